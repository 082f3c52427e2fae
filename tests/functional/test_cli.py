"""pybitcoin-cli against a running node: arguments, output and exit codes as Core's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_process import Daemon, environment, running

from pybitcoind.node import cli
from pybitcoind.node.cli_params import PARAMS
from pybitcoind.node.rpc.methods import declared
from pybitcoind.node.rpc.registry import Registry

CLI = [sys.executable, "-m", "pybitcoind.node.cli"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running(tmp_path_factory.mktemp("cli")) as node:
        yield node


def run(node: Daemon, *arguments: str, stdin: str = "", port: int | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [
            *CLI,
            "-regtest",
            f"-datadir={node.datadir}",
            f"-rpcport={port or node.ports['rpc']}",
            *arguments,
        ],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
    )
    return done.returncode, done.stdout, done.stderr


def test_results(node: Daemon) -> None:
    assert run(node, "getblockcount") == (0, "0\n", "")
    code, out, _ = run(node, "getbestblockhash")
    assert (code, len(out)) == (0, 65), "text is printed as it is"
    assert run(node, "setmocktime", "0") == (0, "", ""), "null is nothing"
    assert run(node, "echojson", '[1.50,{"a":[]}]', "1e-8") == (
        0,
        '[\n  [\n    1.50,\n    {\n      "a": [\n      ]\n    }\n  ],\n  0.00000001\n]\n',
        "",
    )
    assert run(node, "echo", "1", "{x") == (0, '[\n  "1",\n  "{x"\n]\n', "")
    assert run(node, "-named", "echojson", "arg1=2", "0") == (0, "[\n  0,\n  2\n]\n", "")


def test_errors(node: Daemon) -> None:
    assert run(node, "nothing") == (
        32601 & 0xFF,
        "",
        "error code: -32601\nerror message:\nMethod not found\n",
    )
    code, out, err = run(node, "getblockhash", "-1")
    assert (code, out) == (8, "") and err.startswith("error code: -8\nerror message:\n")
    assert run(node, "setmocktime", "{") == (1, "", "error: Error parsing JSON: {\n")
    assert run(node) == (1, "", "error: too few parameters (need at least command)\n")
    code, _, err = run(node, "-bad")
    assert (code, err) == (1, "Error parsing command line arguments: Invalid parameter -bad\n")
    code, _, err = run(node, "-getinfo", "-netinfo")
    assert (code, err) == (1, "error: Only one of -getinfo, -netinfo may be specified.\n")


def test_no_connection_and_no_authorisation(node: Daemon, tmp_path: Path) -> None:
    code, out, err = run(node, "uptime", port=1)
    assert (code, out) == (1, "")
    assert err == (
        "error: timeout on transient error: Could not connect to the server 127.0.0.1:1\n\n"
        "Make sure the bitcoind server is running and that you are connecting to the correct RPC port.\n"
        'Use "bitcoin-cli -help" for more info.\n'
    )
    code, _, err = run(node, "-rpcuser=x", "-rpcpassword=y", "uptime")
    assert code == 1
    assert err.startswith("error: Authorization failed: Incorrect rpcuser or rpcpassword were specified. ")
    code, _, err = run(node, f"-rpccookiefile={tmp_path}/none", "uptime")
    assert "Failed to read cookie file and no rpcpassword was specified." in err
    assert run(node, "-rpcwait", "-rpcwaittimeout=1", "uptime", port=1)[0] == 1
    code, _, err = run(node, "-rpcconnect=127.0.0.1:x", "uptime")
    assert (code, err) == (1, "error: Invalid port provided in -rpcconnect: 127.0.0.1:x\n")


def test_standard_input(node: Daemon) -> None:
    assert run(node, "-stdin", "echo", "a", stdin="b\nc c\n")[1] == '[\n  "a",\n  "b",\n  "c c"\n]\n'
    user, password = (node.net_dir / ".cookie").read_text().split(":")
    code, out, _ = run(node, f"-rpcuser={user}", "-stdinrpcpass", "getblockcount", stdin=f"{password}\n")
    assert (code, out) == (0, "0\n")


def test_help_and_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pybitcoind.node.cli", "-version"],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.stdout.startswith("pybitcoind RPC client version v") and done.returncode == 0


def test_rpcwait_until_the_node_is_there(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        port = f"-rpcport={node.ports['rpc']}"
    program = [sys.executable, "-m", "pybitcoind.node.cli", "-regtest", f"-datadir={tmp_path}"]
    waiting = subprocess.Popen(
        [*program, port, "-rpcwait", "getblockcount"], stdout=subprocess.PIPE, env=environment()
    )
    with running(tmp_path, port):
        assert waiting.communicate(timeout=30)[0] == b"0\n"
    assert waiting.returncode == 0


def test_the_port_that_the_node_reports(node: Daemon) -> None:
    """A node with a free port of its own is found by its data directory."""
    where = ["-regtest", f"-datadir={node.datadir}"]
    for given in ([], ["-rpcport=0"]):
        done = subprocess.run([*CLI, *where, *given, "getblockcount"], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
    done = subprocess.run(
        [*CLI, *where, "-rpcconnect=127.0.0.1:1", "getblockcount"], capture_output=True, text=True
    )
    assert done.returncode == 1 and "Could not connect to the server 127.0.0.1:1\n" in done.stderr


def test_a_reader_that_goes_away(node: Daemon) -> None:
    """As with `| head`: nothing is said about it."""
    command = [*CLI, "-regtest", f"-datadir={node.datadir}", "help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_parsing_of_named_arguments() -> None:
    named = cli._named_params
    assert named("createwallet", ["my=wallet"]) == {"args": ["my=wallet"]}
    assert named("createwallet", ["wallet_name=w", "blank=true"]) == {"wallet_name": "w", "blank": True}
    assert named("getblockstats", ["hash_or_height=ab"]) == {"hash_or_height": "ab"}
    assert named("logging", ['["list=x"]']) == {"args": [["list=x"]]}


def test_the_table_fits_our_methods() -> None:
    """Every argument that is no text is converted, and no other."""
    either = {"hash_or_height", "rollback"}
    for name, position, argument, is_text in Registry(declared()).argument_maps():
        if name == "echojson" or argument in either or name not in PARAMS:
            continue
        converted = any(
            (p.position, p.name, p.format) == (position, argument, "json") for p in PARAMS.get(name, ())
        )
        assert converted is not is_text, (name, argument)


def test_json_is_kept_digit_by_digit() -> None:
    assert json.loads(cli.compact(cli.read_keeping_numbers('{"a": 0.10000000}'))) == {"a": 0.1}
    assert (
        cli.compact(cli.read_keeping_numbers('[0.10000000, 1e5, "x", null]')) == '[0.10000000,1e5,"x",null]'
    )


def test_readable_reports(node: Daemon) -> None:
    code, out, err = run(node, "-getinfo")
    assert (code, err) == (0, "")
    assert out.startswith("Chain: regtest\nBlocks: 0\nHeaders: 0\nVerification progress: ▒")
    assert "\n\nNetwork: in 0, out 0, total 0\nVersion: 319900\n" in out
    assert run(node, "-color=always", "-getinfo")[1].startswith("\x1b[34mChain: regtest\x1b[0m\n")
    code, out, _ = run(node, "-netinfo")
    assert code == 0 and "\nin          0       0       0\n" in out and "Local services: network, " in out
    assert "-netinfo (level [outonly]) | help" in run(node, "-netinfo", "help")[1]
    assert run(node, "-netinfo", "x")[0] == 1
    assert json.loads(run(node, "-addrinfo")[1])["addresses_known"]["total"] == 0


@pytest.mark.interop
def test_reports_are_as_those_of_cores_tool(node: Daemon, bitcoind: Path) -> None:
    """All but the line that names the program."""
    tool = bitcoind.with_name("bitcoin-cli")
    given = ["-regtest", f"-datadir={node.datadir}", f"-rpcport={node.ports['rpc']}"]
    for arguments in (
        ["-getinfo"],
        ["-netinfo"],
        ["-netinfo", "4"],
        ["getblockchaininfo"],
        ["getblock", "xx"],
    ):
        theirs = subprocess.run([tool, *given, *arguments], capture_output=True, text=True)
        code, out, err = run(node, *arguments)
        assert (code, err) == (theirs.returncode, theirs.stderr)
        first = 1 if arguments[0] == "-netinfo" else 0
        assert out.split("\n")[first:] == theirs.stdout.split("\n")[first:]
