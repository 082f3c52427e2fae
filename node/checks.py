"""Options that do not go together, or have impossible values: found before the start; Core's words."""

from __future__ import annotations

import os
import re
import sys
import time

from pybitcoind.chain.consensus.limits import MAX_FUTURE_BLOCK_TIME
from pybitcoind.chain.params import ChainParams
from pybitcoind.chain.primitives.hashes import hash_hex

from .config import ChainFileError, Config, ConfigError
from .network_options import TEST_OPTIONS, network_params
from .policy_options import policy_settings

DB_CACHE_MIB, MIN_DB_CACHE_MIB = 450, 4
HIGH_DB_CACHE_MIB = 1024
"""The default on a machine with at least HIGH_DB_CACHE_MEMORY."""
HIGH_DB_CACHE_MEMORY = 4 << 30
ROLES = ("full", "miner", "spv")
WEB_ABOVE_RPC = 3
"""The explorer's port on main is 8335: behind those of RPC, of peers, and of peers that come by Tor."""
MAX_SUBVERSION_LENGTH = 256
_SAFE_IN_COMMENT = re.compile(r"[a-zA-Z0-9 .,;\-_?@]*")

_GONE = {
    "checkpoints": "Option '-checkpoints' is set but checkpoints were removed. This option has no effect.",
    "limitancestorsize": "Option '-limitancestorsize' is given but ancestor size limits have been replaced "
    "with "
    "cluster size limits (see -limitclustersize). This option has no effect.",
    "limitdescendantsize": "Option '-limitdescendantsize' is given but descendant size limits have been "
    "replaced "
    "with cluster size limits (see -limitclustersize). This option has no effect.",
}


def warnings(config: Config) -> list[str]:
    """What is odd but no error; for stderr and the log."""
    found = [text for name, text in _GONE.items() if config.is_set(name)]
    if unknown := config.unknown_sections():
        found.append("\n".join(unknown))
    found += [
        f'Unrecognised option "{option}" provided in -test=<option>.'
        for option in config.values("test")
        if option not in TEST_OPTIONS
    ]
    cache, memory = db_cache_bytes(config), total_memory()
    if memory and cache > (memory // 100 * 75 if memory >= 2 << 30 else DB_CACHE_MIB << 20):
        found.append(
            f"A {cache >> 20} MiB dbcache may be too large for a system memory of only {memory >> 20} MiB."
        )
    return found


def db_cache_bytes(config: Config) -> int:
    """What -dbcache says, at least the minimum; a default that the machine's memory can bear."""
    much = sys.maxsize > 1 << 32 and total_memory() >= HIGH_DB_CACHE_MEMORY
    default = HIGH_DB_CACHE_MIB if much else DB_CACHE_MIB
    return max(config.number("dbcache", default), MIN_DB_CACHE_MIB) << 20


def total_memory() -> int:
    """Bytes of memory of this machine; 0 if it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def check(config: Config) -> ChainParams:
    """The network's parameters, if all is well. Raises ConfigError. See also `check_connections`."""
    _check_sections(config)
    _check_role(config)
    _check_indexes(config)
    _check_listening(config)
    _check_wallets(config)
    if config.values("test") and config.network != "regtest":
        raise ConfigError("-test=<option> can only be used with regtest")
    if config.own_chain is not None:
        _check_own_chain(config, config.own_chain)
    params = network_params(config)
    if params.name == "signet":
        config.notes.append(("info", f"Signet derived magic (message start): {params.magic.hex()}"))
    policy_settings(config, params)
    web_port(config, params)
    assert config.blocks_root
    return params


def check_connections(config: Config) -> None:
    """What is checked when the log is open already, as in Core. Raises ConfigError."""
    _check_ports(config)
    _check_privacy(config)
    if config.flag("acceptstalefeeestimates") and config.network != "regtest":
        raise ConfigError(f"acceptstalefeeestimates is not supported on {config.network} chain.")
    _check_user_agent(config)


def _check_own_chain(config: Config, params: ChainParams) -> None:
    genesis = params.genesis
    if genesis.header.time > (config.number("mocktime") or time.time()) + MAX_FUTURE_BLOCK_TIME:
        raise ChainFileError(f"{config.own_chain_path}: genesis.time: {genesis.header.time} is in the future")
    text = (
        f"Chain {params.name} of {config.own_chain_path}: genesis {hash_hex(genesis.hash)} with nonce "
        f"{genesis.header.nonce}, definition {params.definition}"
    )
    config.notes.append(("info", text))


def web_port(config: Config, params: ChainParams) -> int | None:
    """Where -web wants the explorer: None for nowhere, 0 for a free port. Raises ConfigError."""
    if not config.is_set("web") or config.negated("web"):
        return None
    text = config.text("web")
    if text in ("", "1"):
        return params.rpc_port + WEB_ABOVE_RPC
    if not text.isascii() or not text.isdecimal() or len(text) > 5 or int(text) > 65535:
        raise ConfigError(f"Invalid port specified in -web: '{text}'")
    return int(text)


def _check_sections(config: Config) -> None:
    wrong = config.unsuitable_section_options()
    if wrong:
        raise ConfigError(
            "\n".join(
                f"Config setting for -{name} only applied on {config.network} network when in "
                f"[{config.network}] section."
                for name in wrong
            )
        )


_WHOLE_CHAIN = (
    "txindex",
    "blockfilterindex",
    "coinstatsindex",
    "txospenderindex",
    "scriptindex",
    "prune",
    "reindex",
    "loadblock",
)


def _check_role(config: Config) -> None:
    role = config.text("role", "full")
    if role not in ROLES:
        raise ConfigError(f"Unknown -role={role}. Valid values: {', '.join(ROLES)}.")
    if role == "spv":
        for name in _WHOLE_CHAIN:
            if config.flag(name):
                raise ConfigError(f"-{name} needs the whole chain, which -role=spv does not keep.")
    if role != "miner":
        for name in ("mineraddress", "minerinterval"):
            if config.is_set(name):
                raise ConfigError(f"-{name} needs -role=miner.")


def filter_index_wanted(config: Config) -> bool:
    """-blockfilterindex: bare, 1 or basic. ConfigError for other types."""
    value = config.text("blockfilterindex", "0")
    if value in ("", "1"):
        return True
    if value == "0":
        return False
    for name in config.values("blockfilterindex"):
        if name != "basic":
            raise ConfigError(f"Unknown -blockfilterindex value {name}.")
    return True


def _check_indexes(config: Config) -> None:
    if config.flag("peerblockfilters") and not filter_index_wanted(config):
        raise ConfigError("Cannot set -peerblockfilters without -blockfilterindex.")
    filter_index_wanted(config)
    prune = config.number("prune")
    if prune:
        for name in ("txindex", "txospenderindex"):
            if config.flag(name):
                raise ConfigError(f"Prune mode is incompatible with -{name}.")
        if config.flag("reindex-chainstate"):
            raise ConfigError(
                "Prune mode is incompatible with -reindex-chainstate. Use full -reindex instead."
            )
    if prune < 0:
        raise ConfigError("Prune cannot be configured with a negative value.")
    if 1 < prune < 550 and not config.flag("fastprune"):
        raise ConfigError("Prune configured below the minimum of 550 MiB.  Please use a higher number.")


def _check_listening(config: Config) -> None:
    if config.flag("forcednsseed") and not config.flag("dnsseed", True):
        raise ConfigError("Cannot set -forcednsseed to true when setting -dnsseed to false.")
    if not config.flag("listen", True):
        if config.values("bind") or config.values("whitebind"):
            raise ConfigError("Cannot set -bind or -whitebind together with -listen=0")
        if config.flag("listenonion", True):
            raise ConfigError("Cannot set -listen=0 together with -listenonion=1")
    if config.number("maxconnections", 125) < 0:
        raise ConfigError("-maxconnections must be greater or equal than zero")
    if config.number("peertimeout", 60) <= 0:
        raise ConfigError("peertimeout must be a positive integer.")


def _check_privacy(config: Config) -> None:
    """What we cannot do yet and would betray its user if it were left out silently."""
    if config.text("i2psam") not in ("", "0"):
        raise ConfigError("-i2psam is not supported yet.")
    for net in config.values("onlynet"):
        if net.lower() not in ("ipv4", "ipv6"):
            raise ConfigError(f"-onlynet={net} is not supported yet.")
    if config.flag("privatebroadcast"):
        raise ConfigError(
            "Private broadcast of own transactions requested (-privatebroadcast), but none of Tor or I2P "
            "networks "
            "is reachable"
        )


def _check_ports(config: Config) -> None:
    for name in ("port", "rpcport"):
        text = config.text(name, "0")
        if not (text.isdecimal() and int(text) < 65536):
            raise ConfigError(f"Invalid port specified in -{name}: '{text}'")
    for name in ("i2psam", "onion", "proxy", "bind", "rpcbind", "torcontrol", "whitebind"):
        for text in config.values(name):
            _check_host_port(name, text)


def _check_user_agent(config: Config) -> None:
    comments = config.values("uacomment")
    for comment in comments:
        if not _SAFE_IN_COMMENT.fullmatch(comment):
            raise ConfigError(f"User Agent comment ({comment}) contains unsafe characters.")
    length = len(f"/pybitcoind:0.1.0({'; '.join(comments)})/")
    if length > MAX_SUBVERSION_LENGTH:
        raise ConfigError(
            f"Total length of network version string ({length}) exceeds maximum length "
            f"({MAX_SUBVERSION_LENGTH}). Reduce the number or size of uacomments."
        )


def _check_host_port(name: str, text: str) -> None:
    value = text.rpartition("=")[0] if name in ("proxy", "bind") and "=" in text else text
    if name in ("onion", "proxy") and value.startswith("unix:"):
        return
    value = value.rpartition("@")[2] if name == "whitebind" else value
    _, colon, port = value.rpartition(":")
    if not colon or (value.count(":") > 1 and "]:" not in value):
        return
    if not (port.isdecimal() and 0 < int(port) < 65536) and not (name == "bind" and port == "0"):
        raise ConfigError(f"Invalid port specified in -{name}: '{text}'")


def _check_wallets(config: Config) -> None:
    if not config.flag("disablewallet"):
        _ = config.wallet_dir
    if not config.flag("disablewallet") and True in config.command_line.get("wallet", ()):
        raise ConfigError(
            "Invalid value detected for '-wallet' or '-nowallet'. '-wallet' requires a string value, while "
            "'-nowallet' accepts only '1' to disable all wallets"
        )
