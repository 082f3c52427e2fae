"""The daemon's life: start, files, stop, signals, failures; as the framework of Core's tests expects it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from node_process import Daemon, RpcFailure, command, environment, run_to_end, running

from pybitcoind.chain.params import regtest
from pybitcoind.node.daemon import run


@pytest.mark.usefixtures("cold_starts")
def test_start_files_and_stop(tmp_path: Path) -> None:
    with running(tmp_path, "-debug", "-logtimemicros") as node:
        folder = tmp_path / "regtest"
        assert (folder / ".cookie").stat().st_mode & 0o777 == 0o600
        assert (folder / ".cookie").read_text().startswith("__cookie__:")
        assert (folder / "bitcoind.pid").read_text() == f"{node.process.pid}\n"
        assert list((folder / "wallets").iterdir()) == []
        for path in (folder, folder / "wallets", folder / "blocks", folder / "chainstate"):
            assert path.stat().st_mode & 0o777 == 0o700, path
        assert node.call("getblockcount") == 0
        assert node.call("getbestblockhash") == regtest().genesis.hash[::-1].hex()
        assert node.call("uptime") >= 0
        assert node.ports["p2p"] > 0
        with pytest.raises(RpcFailure, match="Method not found"):
            node.call("nothing")
        assert "ThreadRPCServer method=nothing" in node.log, "a line is there before the answer"
    assert {path.name for path in folder.iterdir() if path.is_dir()} <= {
        "blocks",
        "chainstate",
        "indexes",
        "wallets",
    }
    for name in (".cookie", "bitcoind.pid", "ports.json"):
        assert not (folder / name).exists(), name
    assert node.log.endswith("Shutdown done\n")


@pytest.mark.usefixtures("cold_starts")
def test_second_start_and_both_signals(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with Daemon(tmp_path) as node:
            code, seconds = node.wait_ready().stop(number)
            assert (code, node.stderr) == (0, "") and seconds < 2


@pytest.mark.usefixtures("cold_starts")
def test_start_is_fast_and_small(tmp_path: Path) -> None:
    """An empty node answers within 0.5 s and takes at most 90 MB; the limits here leave room for a busy
    machine, and the time is the processor's (scripts/bench measures the real one)."""
    with running(tmp_path) as node:
        node.call("getblockcount")
        process = Path(f"/proc/{node.process.pid}")
        if process.exists():
            kilobytes = int((process / "status").read_text().split("VmRSS:")[1].split()[0])
            assert kilobytes < 120_000
            ticks = (process / "stat").read_text().rsplit(")", 1)[1].split()[11:13]
            assert sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK") < 2


@pytest.mark.usefixtures("cold_starts")
def test_a_locked_directory(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        code, stderr = run_to_end(tmp_path)
        assert code == 1
        assert stderr == (
            f"Error: Cannot obtain a lock on directory {tmp_path / 'regtest'}. "
            "Bitcoin Core is probably already running.\n"
        )
        assert node.call("getblockcount") == 0
        assert (tmp_path / "regtest" / ".cookie").exists()


@pytest.mark.usefixtures("cold_starts")
def test_kill_and_start_again(tmp_path: Path) -> None:
    with Daemon(tmp_path) as node:
        node.wait_ready().kill()
    assert (tmp_path / "regtest" / "bitcoind.pid").exists()
    with running(tmp_path) as node:
        assert node.call("getblockcount") == 0


def test_free_ports_are_different_for_two_nodes(tmp_path: Path) -> None:
    with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        taken = [number for number in (*a.ports.values(), *b.ports.values()) if number is not None]
        assert len(taken) == len({*taken}) == 6  # no web pages


def test_a_taken_port(tmp_path: Path) -> None:
    with running(tmp_path / "a") as node:
        taken = f"-rpcport={node.ports['rpc']}"
        code, stderr = run_to_end(tmp_path / "b", taken)
        assert (code, stderr) == (1, "Error: Unable to start HTTP server. See debug log for details.\n")
        port = node.ports["p2p"]
        code, stderr = run_to_end(tmp_path / "c", f"-bind=127.0.0.1:{port}")
        assert code == 1
        assert stderr.startswith(f"Error: Unable to bind to 127.0.0.1:{port} on this computer.")


@pytest.mark.parametrize(
    ("argument", "stderr"),
    [
        ("-dash_cli=1", "Error: Error parsing command line arguments: Invalid parameter -dash_cli=1\n"),
        (
            "word",
            "Error: Command line contains unexpected token 'word', see pybitcoind -h for a list of "
            "options.\n",
        ),
        ("-debug=foo", "Error: Unsupported logging category -debug=foo.\n"),
        ("-role=king", "Error: Unknown -role=king. Valid values: full, miner, spv.\n"),
        ("-peerblockfilters", "Error: Cannot set -peerblockfilters without -blockfilterindex.\n"),
        ("-maxmempool=1", "Error: -maxmempool must be at least 5 MB\n"),
        ("-bind=x.y", "Error: Cannot resolve -bind address: 'x.y'\n"),
        ("-blockmaxweight=4000001", None),
    ],
)
def test_options_that_stop_the_start(tmp_path: Path, argument: str, stderr: str | None) -> None:
    code, found = run_to_end(tmp_path, argument)
    assert code == 1
    assert found.startswith("Error: ") and found.count("\n") == 1
    assert stderr is None or found == stderr


ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
FAILED_START = "Unable to start HTTP server. See debug log for details."
SUBNET = (
    "Invalid -rpcallowip subnet specification: x. Valid values are a single IP (e.g. 1.2.3.4), a "
    "network/netmask (e.g. 1.2.3.4/255.255.255.0), a network/CIDR (e.g. 1.2.3.4/24), all ipv4 (0.0.0.0/0), "
    "or all ipv6 (::/0). RFC4193 is allowed only if -cjdnsreachable=0."
)


@pytest.mark.parametrize(
    ("argument", "errors"),
    [
        ("-proxy=x -dns=0", ["Invalid -proxy address or hostname: 'x'"]),
        ("-proxy=1.2.3.4:0", ["Invalid port specified in -proxy: '1.2.3.4:0'"]),
        ("-uacomment=a/b", ["User Agent comment (a/b) contains unsafe characters."]),
        ("-rpcallowip=x", [SUBNET, FAILED_START]),
    ],
)
def test_errors_after_the_log_is_open_are_in_it_too(tmp_path: Path, argument: str, errors: list[str]) -> None:
    code, stderr = run_to_end(tmp_path, *argument.split())
    assert (code, stderr) == (1, "".join(f"Error: {error}\n" for error in errors))
    log = (tmp_path / "regtest" / "debug.log").read_text()
    assert [line.partition("[error] ")[2] for line in log.splitlines() if "[error]" in line] == errors


def test_a_stop_height_that_is_reached_already_stops_at_once(tmp_path: Path) -> None:
    """Any number but 0 counts, as in Core."""
    assert run_to_end(tmp_path, "-stopatheight=-1") == (0, "")
    with running(tmp_path, "-stopatheight=2") as node:
        node.call("generatetoaddress", 1, ADDRESS)
        node.call("generatetoaddress", 1, ADDRESS)
        assert node.process.wait(30) == 0
    assert run_to_end(tmp_path, "-stopatheight=2") == (0, "")
    with running(tmp_path, "-stopatheight=0") as node:
        assert node.call("getblockcount") == 2


def test_a_wallet_that_is_missing_is_told_and_skipped(tmp_path: Path) -> None:
    with Daemon(tmp_path, "-wallet=nosuch") as node:
        assert node.wait_ready().call("listwallets") == []
        assert node.stop()[0] == 0
    assert node.stderr == (
        "Warning: Skipping -wallet path that doesn't exist. Failed to load database path"
        f" '{tmp_path}/regtest/wallets/nosuch'. Path does not exist.\n"
    )


def test_unknown_key_and_malformed_line_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "bitcoin.conf").write_text("dash_conf=1\n[regtest]\nuacomment=hello\n")
    with running(tmp_path) as node:
        assert "[warning] Ignoring unknown configuration value dash_conf" in node.log
    (tmp_path / "bitcoin.conf").write_text("server=1\ngarbage\n")
    code, stderr = run_to_end(tmp_path)
    assert (code, stderr) == (
        1,
        "Error: Error reading configuration file: parse error on line 2: garbage\n",
    )


def test_a_directory_of_another_network_or_damaged(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    (tmp_path / "regtest").rename(tmp_path / "signet")
    code, stderr = run_to_end(tmp_path, network="signet")
    assert code == 1 and stderr.startswith("Error: ") and stderr.count("\n") == 1
    (tmp_path / "signet").rename(tmp_path / "regtest")
    (tmp_path / "regtest" / "blocks" / "index.sqlite").write_bytes(b"not a database" * 1000)
    code, stderr = run_to_end(tmp_path)
    assert code == 1 and stderr.startswith("Error: ") and stderr.count("\n") == 1
    assert "-reindex" in stderr


def test_notifications(tmp_path: Path) -> None:
    startup = f"-startupnotify=echo started > {tmp_path}/started"
    shutdown = f"-shutdownnotify=echo ended > {tmp_path}/ended"
    with running(tmp_path, startup, shutdown) as node:
        node.until("startupnotify", (tmp_path / "started").exists)
    assert (tmp_path / "ended").read_text() == "ended\n"


def test_daemon_option_goes_to_the_background(tmp_path: Path) -> None:
    start = [*command(tmp_path), "-daemonwait"]
    done = subprocess.run(start, capture_output=True, timeout=30, env=environment())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"pybitcoind starting\n", b"")
    pid_file = tmp_path / "regtest" / "bitcoind.pid"
    os.kill(int(pid_file.read_text()), signal.SIGTERM)
    deadline = time.monotonic() + 10
    while pid_file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_log_after_rotation(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        path = tmp_path / "regtest" / "debug.log"
        path.rename(path.with_suffix(".old"))
        node.process.send_signal(signal.SIGHUP)
        node.until("a new log", path.exists)


@pytest.mark.usefixtures("cold_starts")
def test_a_stop_in_the_middle_of_a_load(tmp_path: Path, shared: Path) -> None:
    chain = shared / "data" / "regtest-signatures.dat"
    with Daemon(tmp_path, f"-loadblock={chain}", "-par=1") as node:
        node.wait_for_log("Importing blocks file")
        code, seconds = node.stop()
        assert (code, node.stderr) == (0, "") and seconds < 2
    with running(tmp_path) as node:
        assert 0 <= node.call("getblockcount") <= 220


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-version"]) == 0
    assert capsys.readouterr().out.startswith("pybitcoind daemon version v")
    assert run(["-h"]) == 0
    out = capsys.readouterr().out
    assert "\n  -datadir=<dir>\n       Data directory" in out and "-regtest" not in out
    assert run(["-help-debug"]) == 0
    assert "\n  -regtest\n" in capsys.readouterr().out
