"""Options: precedence, sections and messages as in Bitcoin Core 31.99 (values probed with its daemon)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybitcoind.node.config import Config, ConfigError, as_bool, as_int
from pybitcoind.node.network_options import network_params
from pybitcoind.node.options import OPTIONS, help_message


def made(tmp_path: Path, *arguments: str, conf: str = "", network: str = "-regtest") -> Config:
    (tmp_path / "bitcoin.conf").write_text(conf)
    config = Config()
    config.parse_command_line([f"-datadir={tmp_path}", *([network] if network else []), *arguments])
    config.read_files()
    return config


def refused(tmp_path: Path, *arguments: str, conf: str = "") -> str:
    with pytest.raises(ConfigError) as error:
        made(tmp_path, *arguments, conf=conf)
    return str(error.value)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-txindex"], True),
        (["--txindex"], True),
        (["-txindex=1"], True),
        (["-txindex="], True),
        (["-txindex=0"], False),
        (["-txindex=yes"], False),
        (["-notxindex"], False),
        (["-notxindex=0"], True),
        (["-txindex", "-notxindex"], False),
        (["-notxindex", "-txindex"], True),
        ([], None),
    ],
)
def test_flags(tmp_path: Path, arguments: list[str], expected: bool | None) -> None:
    config = made(tmp_path, *arguments)
    assert config.is_set("txindex") is (expected is not None)
    if expected is not None:
        assert config.flag("txindex") is expected


def test_numbers_are_read_as_in_core() -> None:
    assert [as_int(t) for t in ("12", " +7x", "-3", "x", "", "9" * 30)] == [12, 7, -3, 0, 0, 2**63 - 1]
    assert as_bool("") and as_bool("2") and not as_bool("true")


def test_the_last_value_counts_on_the_command_line_the_first_in_the_file(tmp_path: Path) -> None:
    config = made(
        tmp_path, "-par=1", "-par=2", conf="dbcache=1\ndbcache=2\n[regtest]\ndbcache=3\ndbcache=4\n"
    )
    assert config.number("par") == 2
    assert config.number("dbcache") == 3
    assert config.values("dbcache") == ["3", "4", "1", "2"]


def test_the_command_line_is_stronger_than_the_file(tmp_path: Path) -> None:
    config = made(
        tmp_path, "-dbcache=9", "-noaddnode", "-addnode=a", conf="[regtest]\ndbcache=3\naddnode=b\n"
    )
    assert config.number("dbcache") == 9
    assert config.values("addnode") == ["a", "b"], "values of the file come back after a negation"
    config = made(tmp_path, "-noaddnode", conf="[regtest]\naddnode=b\n")
    assert config.values("addnode") == [] and config.negated("addnode")


def test_network_only_options_of_the_top_section(tmp_path: Path) -> None:
    config = made(tmp_path, conf="port=5\nwallet=w\n[regtest]\nwallet=r\n[main]\nport=7\n")
    assert config.number("port", 1) == 1
    assert config.values("wallet") == ["r"]
    assert config.unsuitable_section_options() == ["port"]
    config = made(tmp_path, conf="regtest.port=5\n")
    assert config.number("port") == 5 and config.unsuitable_section_options() == []


def test_the_chain(tmp_path: Path) -> None:
    assert made(tmp_path, network="").network == "main"
    assert made(tmp_path, network="-chain=signet").net_dir == tmp_path / "signet"
    assert made(tmp_path, network="", conf="regtest=1\n").network == "regtest"
    assert made(tmp_path, network="-testnet4").network == "testnet4"
    assert "Can use at most one." in refused(tmp_path, "-signet")
    with pytest.raises(ConfigError, match="Unknown chain foo"):
        made(tmp_path, network="-chain=foo")


def test_errors_of_the_command_line(tmp_path: Path) -> None:
    start = "Error parsing command line arguments: "
    assert refused(tmp_path, "-dash_cli=1") == start + "Invalid parameter -dash_cli=1"
    assert refused(tmp_path, "-regtest.port=1") == start + "Invalid parameter -regtest.port=1"
    assert refused(tmp_path, "-proxy") == (
        start + "Can not set -proxy with no value. Please specify value with -proxy=value."
    )
    assert (
        refused(tmp_path, "-nodatadir")
        == start + "Negating of -datadir is meaningless and therefore forbidden"
    )
    assert refused(tmp_path, "-includeconf=x") == (
        start + '-includeconf cannot be used from commandline; -includeconf="x"'
    )
    assert refused(tmp_path, "word").startswith("Command line contains unexpected token 'word'")
    assert refused(tmp_path, f"-datadir={tmp_path}/none") == (
        f'Specified data directory "{tmp_path}/none" does not exist.'
    )


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ("a=1\ngarbage\n", "parse error on line 2: garbage"),
        (
            "nono\n",
            "parse error on line 1: nono, if you intended to specify a negated option, use nono=1 instead",
        ),
        (
            "\n-dash=1\n",
            "parse error on line 2: -dash=1, options in configuration file must be specified without leading "
            "-",
        ),
        (
            "[main]\nrpcpassword=some#pass",
            "parse error on line 2, using # in rpcpassword can be ambiguous and should be avoided",
        ),
        ("includeconf=none.conf\n", "Failed to include configuration file none.conf"),
        (
            "conf=x\n",
            "conf cannot be set in the configuration file; use includeconf= if you want to include "
            "additional "
            "config files",
        ),
    ],
)
def test_errors_of_the_file(tmp_path: Path, conf: str, message: str) -> None:
    assert refused(tmp_path, conf=conf) == f"Error reading configuration file: {message}"


def test_two_chains_are_no_error_of_the_file(tmp_path: Path) -> None:
    assert refused(tmp_path, conf="testnet4=1\nsignet=1\n") == (
        "Invalid combination of -regtest, -signet, -testnet, -testnet4 and -chain. Can use at most one."
    )


def test_what_is_only_noted(tmp_path: Path) -> None:
    config = made(tmp_path, "-nolisten=0", conf="dash_conf=1 # comment\nx.port=1\n[strange]\n")
    assert config.notes == [
        ("warning", "Parsed potentially confusing double-negative -listen=0"),
        ("warning", "Ignoring unknown configuration value dash_conf"),
    ]
    file = tmp_path / "bitcoin.conf"
    assert config.unknown_sections() == [
        f"{file}:2 Section [x] is not recognized.",
        f"{file}:3 Section [strange] is not recognized.",
    ]


def test_included_files(tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text("par=3\nincludeconf=deeper.conf\n")
    config = made(tmp_path, conf="[regtest]\nincludeconf=more.conf\n")
    assert config.number("par") == 3
    assert config.stderr_notes == [
        "warning: -includeconf cannot be used from included files; ignoring -includeconf=deeper.conf"
    ]
    assert made(tmp_path, "-noincludeconf", conf="[regtest]\nincludeconf=more.conf\n").number("par") == 0


def test_a_bitcoin_conf_that_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "other.conf").write_text("")
    assert 'contains a "bitcoin.conf" file which is ignored, because a different' in refused(
        tmp_path, "-conf=other.conf"
    )
    assert made(tmp_path, "-conf=other.conf", "-allowignoredconf").notes[0][0] == "warning"
    assert "explicitly ignored using -noconf" in made(tmp_path, "-noconf", conf="garbage\n").notes[0][1]


def test_options_that_follow_from_others(tmp_path: Path) -> None:
    config = made(tmp_path, conf="[regtest]\nconnect=0\nbind=127.0.0.1\n")
    config.apply_interactions()
    assert config.flag("listen"), "-bind is stronger than -connect=0"
    assert not config.flag("dnsseed", True)
    assert ("info", "parameter interaction: -bind set -> setting -listen=1") in config.notes
    config = made(tmp_path, "-connect=0")
    config.apply_interactions()
    assert not config.flag("listen", True)


def test_log_lines_hide_secrets(tmp_path: Path) -> None:
    config = made(tmp_path, "-rpcpassword=secret", "-addnode=some.node", conf="[regtest]\nserver=1\n")
    lines = config.log_lines()
    assert "Command-line arg: rpcpassword=****" in lines
    assert 'Command-line arg: addnode="some.node"' in lines
    assert 'Config file arg: [regtest] server="1"' in lines


def test_settings_file(tmp_path: Path) -> None:
    config = made(tmp_path)
    config.net_dir.mkdir()
    config.read_settings()
    config.settings["wallet"] = ["one", "two"]
    config.write_settings()
    again = made(tmp_path, "-wallet=three")
    again.read_settings()
    assert again.values("wallet") == ["three", "one", "two"]
    (config.net_dir / "settings.json").write_text("{")
    with pytest.raises(ConfigError, match="does not contain valid JSON"):
        again.read_settings()


def test_network_parameters(tmp_path: Path) -> None:
    params = network_params(
        made(
            tmp_path,
            "-testactivationheight=csv@432",
            "-vbparams=testdummy:1:2:3",
            "-minimumchainwork=0x10",
            "-assumevalid=0",
            "-test=bip94",
        )
    )
    assert (params.csv_height, params.minimum_chainwork, params.assume_valid) == (432, 16, bytes(32))
    deployment = params.deployments["testdummy"]
    assert (deployment.start_time, deployment.timeout, deployment.min_activation_height) == (1, 2, 3)
    assert params.enforce_bip94
    custom = network_params(made(tmp_path, "-signetchallenge=51", network="-signet"))
    assert custom.signet_challenge == b"\x51"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("-testactivationheight=csv", "Invalid format (csv) for -testactivationheight=name@height."),
        ("-testactivationheight=x@1", "Invalid name (x@1) for -testactivationheight=name@height."),
        (
            "-testactivationheight=csv@-1",
            "Invalid height value (csv@-1) for -testactivationheight=name@height.",
        ),
        ("-vbparams=testdummy:1", "Version bits parameters malformed, expecting deployment:start:end"),
        ("-vbparams=x:1:2", "Invalid deployment (x)"),
        ("-minimumchainwork=test", "Invalid minimum work specified (test), must be up to 64 hex digits"),
    ],
)
def test_bad_network_parameters(tmp_path: Path, argument: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        network_params(made(tmp_path, argument))
    assert str(error.value).startswith(message)


def test_help_lists_every_option_once() -> None:
    text = help_message(show_debug=True)
    for option in OPTIONS.values():
        if option.category.value:
            assert text.count(f"\n  -{option.name}{option.param}\n") == 1, option.name
    assert max(map(len, text.split("\n"))) <= 79
    assert "-regtest" not in help_message()
