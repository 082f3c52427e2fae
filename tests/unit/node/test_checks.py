"""Options that do not go together, and what becomes of those that do: messages as in Bitcoin Core 31.99."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybitcoind.chain.params import regtest
from pybitcoind.node import checks
from pybitcoind.node.checks import (
    check,
    check_connections,
    db_cache_bytes,
    filter_index_wanted,
    warnings,
    web_port,
)
from pybitcoind.node.config import Config, ConfigError
from pybitcoind.node.peer_options import p2p_options
from pybitcoind.node.policy_options import policy_settings
from pybitcoind.p2p.context import Bind
from pybitcoind.p2p.messages import ServiceFlags


def made(tmp_path: Path, *arguments: str, network: str = "regtest") -> Config:
    config = Config()
    config.parse_command_line([f"-datadir={tmp_path}", f"-chain={network}", *arguments])
    config.read_files()
    config.apply_interactions()
    return config


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("-role=spv -txindex", "-txindex needs the whole chain, which -role=spv does not keep."),
        ("-minerinterval=1", "-minerinterval needs -role=miner."),
        ("-blockfilterindex=x", "Unknown -blockfilterindex value x."),
        ("-prune=550 -txindex", "Prune mode is incompatible with -txindex."),
        ("-prune=-1", "Prune cannot be configured with a negative value."),
        ("-prune=549", "Prune configured below the minimum of 550 MiB.  Please use a higher number."),
        ("-listen=0 -bind=127.0.0.1", "Cannot set -bind or -whitebind together with -listen=0"),
        ("-listen=0 -listenonion=1", "Cannot set -listen=0 together with -listenonion=1"),
        ("-maxconnections=-1", "-maxconnections must be greater or equal than zero"),
        ("-peertimeout=0", "peertimeout must be a positive integer."),
        ("-port=65536", "Invalid port specified in -port: '65536'"),
        ("-rpcbind=127.0.0.1:notaport", "Invalid port specified in -rpcbind: '127.0.0.1:notaport'"),
        ("-uacomment=a/b", "User Agent comment (a/b) contains unsafe characters."),
        (
            f"-uacomment={'x' * 250}",
            "Total length of network version string (270) exceeds maximum length (256).",
        ),
        ("-forcednsseed -dnsseed=0", "Cannot set -forcednsseed to true when setting -dnsseed to false."),
        ("-minrelaytxfee=x", "Invalid amount for -minrelaytxfee=<amount>: 'x'"),
        ("-limitclustercount=65", "limitclustercount must be less than or equal to 64"),
        (
            "-blockreservedweight=1",
            "Specified -blockreservedweight (1) is lower than minimum safety value of (2000)",
        ),
        ("-i2psam=127.0.0.1:7656", "-i2psam is not supported yet."),
        ("-blocksdir=/does/not/exist", 'Specified blocks directory "/does/not/exist" does not exist.'),
    ],
)
def test_what_stops_the_start(tmp_path: Path, argument: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        config = made(tmp_path, *argument.split())
        check(config)
        check_connections(config)
        assert config.blocks_root
    assert str(error.value).startswith(message)


def test_other_networks(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="acceptnonstdtxn is not currently supported for main chain"):
        check(made(tmp_path, "-acceptnonstdtxn", network="main"))
    with pytest.raises(ConfigError, match="can only be used with regtest"):
        check(made(tmp_path, "-test=addrman", network="signet"))
    assert check(made(tmp_path, network="testnet4")).name == "testnet4"


def test_what_is_only_warned_of(tmp_path: Path) -> None:
    config = made(tmp_path, "-checkpoints=1", "-test=x")
    assert [text.split(" ")[0] for text in warnings(config)] == ["Option", "Unrecognised"]


def test_more_cache_than_there_is_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than three quarters of the memory, or than 450 MiB where there is little of it."""

    def told(memory_mib: int, *arguments: str) -> list[str]:
        monkeypatch.setattr(checks, "total_memory", lambda: memory_mib << 20)
        return warnings(made(tmp_path, *arguments))

    words = "A 3073 MiB dbcache may be too large for a system memory of only 4096 MiB."
    assert told(4096, "-dbcache=3073") == [words]
    assert told(4096, "-dbcache=3000") == told(1024) == told(0, "-dbcache=99999") == []
    assert len(told(1024, "-dbcache=451")) == 1


def test_the_default_cache_depends_on_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cache(memory_mib: int, *arguments: str) -> int:
        monkeypatch.setattr(checks, "total_memory", lambda: memory_mib << 20)
        return db_cache_bytes(made(tmp_path, *arguments)) >> 20

    assert [cache(memory) for memory in (0, 1024, 4095, 4096, 64 << 10)] == [450, 450, 450, 1024, 1024]
    assert [cache(4096, f"-dbcache={given}") for given in (-1, 0, 100)] == [4, 4, 100]


def test_filter_index(tmp_path: Path) -> None:
    for argument, wanted in (("", True), ("=1", True), ("=basic", True), ("=0", False)):
        assert filter_index_wanted(made(tmp_path, f"-blockfilterindex{argument}")) is wanted
    assert not filter_index_wanted(made(tmp_path))


def test_where_to_listen(tmp_path: Path) -> None:
    def binds(*arguments: str) -> list[tuple[str, int]]:
        config = made(tmp_path, *arguments)
        return [bind.endpoint for bind in p2p_options(config, config.base_params).binds]

    assert binds() == [("0.0.0.0", 18444), ("::", 18444), ("127.0.0.1", 18445)]
    assert binds("-port=0") == [("0.0.0.0", 0), ("::", 0)]
    assert binds("-listen=0") == [] == binds("-connect=0")
    assert binds("-connect=0", "-bind=127.0.0.1:5") == [("127.0.0.1", 5)]
    assert binds("-bind=[::1]:7", "-bind=::1", "-bind=127.0.0.1=onion", "-port=9") == [
        ("::1", 7),
        ("::1", 9),
        ("127.0.0.1", 10),
    ]
    assert binds("-whitebind=noban@127.0.0.1:6") == [("127.0.0.1", 6)]
    for arguments, message in (
        (
            ["-bind=127.0.0.1:5", "-bind=127.0.0.1:5"],
            "Duplicate binding configuration for address 127.0.0.1:5.",
        ),
        (["-bind=x"], "Cannot resolve -bind address: 'x'"),
        (["-whitebind=oops@127.0.0.1:6"], "Invalid P2P permission: 'oops'"),
        (["-whitelist=oops@127.0.0.1"], "Invalid P2P permission: 'oops'"),
    ):
        with pytest.raises(ConfigError) as error:
            binds(*arguments)
        assert str(error.value).startswith(message)


def test_whom_to_connect_to(tmp_path: Path) -> None:
    def only(*arguments: str) -> list[str] | None:
        config = made(tmp_path, *arguments)
        return p2p_options(config, config.base_params).connect

    assert only() is None and only("-noconnect") == [] == only("-connect=0")
    assert only("-connect=a", "-connect=b:5") == ["a", "b:5"]


def test_services(tmp_path: Path) -> None:
    def services(*arguments: str) -> int:
        config = made(tmp_path, *arguments)
        return p2p_options(config, config.base_params).services

    usual = ServiceFlags.NETWORK | ServiceFlags.WITNESS | ServiceFlags.NETWORK_LIMITED
    assert services() == usual
    assert services("-prune=1") == usual & ~ServiceFlags.NETWORK
    assert services("-blockfilterindex", "-peerblockfilters") == usual | ServiceFlags.COMPACT_FILTERS
    assert services("-role=spv") == ServiceFlags.NONE
    config = made(tmp_path, "-uacomment=a", "-uacomment=b")
    assert p2p_options(config, config.base_params).user_agent == b"/pybitcoind:0.1.0(a; b)/"
    assert Bind(("127.0.0.1", 1)).permissions == 0


def test_policy(tmp_path: Path) -> None:
    config = made(
        tmp_path, "-incrementalrelayfee=0.00002", "-datacarrier=0", "-maxmempool=5", "-mempoolexpiry=1"
    )
    settings = policy_settings(config, config.base_params)
    assert (settings.incremental_relay_feerate, settings.min_relay_feerate) == (2000, 2000)
    assert settings.max_datacarrier_bytes is None
    assert (settings.max_size_bytes, settings.expiry) == (5_000_000, 3600)
    defaults = policy_settings(made(tmp_path), config.base_params)
    assert (defaults.min_relay_feerate, defaults.dust_relay_feerate) == (100, 3000)
    assert defaults.max_size_bytes == 300_000_000


@pytest.mark.parametrize(
    ("argument", "port"),
    [("-noweb", None), ("-web", 18446), ("-web=1", 18446), ("-web=0", 0), ("-web=8080", 8080), ("", None)],
)
def test_the_port_of_the_explorer(tmp_path: Path, argument: str, port: int | None) -> None:
    config = made(tmp_path, *filter(None, [argument]))
    assert web_port(config, regtest()) == port


@pytest.mark.parametrize("value", ["70000", "x", "-1", "\u0661", "9" * 20])
def test_no_port_of_the_explorer(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="Invalid port specified in -web"):
        check(made(tmp_path, f"-web={value}"))
