"""The local network as people run it: a process in one terminal, commands in another, and the demo."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from web_client import WebClient

pytestmark = pytest.mark.timeout(180)
SELDOM = ("--interval", "3600")
COMMAND = [sys.executable, "-m", "pybitcoind.node.localnet.main"]


def localnet(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """A command from a second terminal."""
    return subprocess.run(
        [*COMMAND, "--dir", str(folder), *args], capture_output=True, text=True, timeout=120
    )


def ask(folder: Path, *args: str) -> str:
    result = localnet(folder, *args)
    assert result.returncode == 0, result.stderr
    return result.stdout


def ask_until(text: str, folder: Path, *args: str) -> str:
    """The answer once it has text."""
    deadline = time.monotonic() + 30
    while text not in (answer := ask(folder, *args)):
        assert time.monotonic() < deadline, f"no {text!r} in {answer!r}"
    return answer


def see_until(tips: set[str], page: WebClient) -> None:
    """Until the nodes on the page stand in these colours: it hears of blocks a little after the nodes."""
    deadline = time.monotonic() + 30
    while True:
        nodes = [tag for tag in page.get("/").all("g") if "node" in tag.get("class", "")]
        if {tag["class"].split()[2] for tag in nodes} == tips:
            return
        assert time.monotonic() < deadline, f"no {tips} among {nodes}"


class Terminal:
    """The first terminal, in which `up` runs."""

    def __init__(self, folder: Path, *args: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [*COMMAND, "--dir", str(folder), "up", "--plain", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []

    def read_until(self, text: str) -> str:
        """The line with text; the end of the output fails the test."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"no {text!r} in:\n{''.join(self.lines)}")

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode

    @property
    def pids(self) -> list[int]:
        state = json.loads((self.folder / "localnet.json").read_text())
        return [node["pid"] for node in state["nodes"].values()]


def alive(pid: int) -> bool:
    """Whether pid is a process that is not only waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path / "net", "--full", "2", "--miners", "1", "--spv", "0", *SELDOM)
    try:
        yield terminal
    finally:
        if terminal.process.poll() is None:
            terminal.end(signal.SIGTERM)
        if terminal.process.stdout:
            terminal.process.stdout.close()


def test_a_network_in_one_terminal_and_orders_from_another(terminal: Terminal) -> None:
    terminal.read_until("the network is up")
    folder, pids = terminal.folder, terminal.pids
    rows = ask(folder, "status").splitlines()
    assert [row.split()[0] for row in rows] == ["full1", "full2", "miner1"]
    assert all("height=201" in row and "peers=2" in row for row in rows), "\n".join(rows)
    tips = {re.search(r"tip=(\S+)", row)[1] for row in rows}  # type: ignore[index]
    assert len(tips) == 1

    txid = ask(folder, "send", "full1", "full2", "1.25").strip()
    assert re.fullmatch("[0-9a-f]{64}", txid)
    ask_until(txid, folder, "cli", "miner1", "getrawmempool")
    (block_hash,) = ask(folder, "mine", "1").split()
    assert ask(folder, "cli", "miner1", "getbestblockhash").strip() == block_hash
    ask_until(block_hash, folder, "cli", "full1", "getbestblockhash")
    shown = ask(folder, "chain", "full1", "-n", "1")
    assert block_hash[:40] in shown
    assert txid[-12:] in shown
    ask_until("101.25", folder, "wallets")
    assert "UpdateTip" in ask(folder, "logs", "full1", "-n", "400")

    assert "full2 is stopped" in ask(folder, "stop", "full2")
    assert "full2    full   stopped" in ask(folder, "status")
    ask(folder, "mine", "2")
    assert "full2 runs" in ask(folder, "start", "full2")
    assert ask(folder, "cli", "full2", "getconnectioncount").strip() == "2"

    wrong = localnet(folder, "start", "full2")
    assert wrong.returncode == 1 and "full2 runs already" in wrong.stderr
    wrong = localnet(folder, "send", "full9", "full1", "1")
    assert wrong.returncode == 1 and "no node is named 'full9'" in wrong.stderr
    wrong = localnet(folder, "send", "full1", "full2", "much")
    assert wrong.returncode == 1 and "'much' is no amount" in wrong.stderr
    wrong = localnet(folder, "up")
    assert wrong.returncode == 1 and "a network runs in" in wrong.stderr

    assert "goes down" in ask(folder, "down")
    assert terminal.process.wait(60) == 0
    assert not any(map(alive, pids))
    wrong = localnet(folder, "status")
    assert wrong.returncode == 1 and "no network runs in" in wrong.stderr


def test_faults_and_scenes_and_the_page(terminal: Terminal) -> None:
    terminal.read_until("the network is up")
    address = terminal.read_until("its page: ").split()[-1]
    folder, port = terminal.folder, int(address.split(":")[2].partition("/")[0])
    assert ask(folder, "open").strip() == address
    page = WebClient(port)
    assert "opens with a token" in page.get("/", 403).text

    with page_events(page, address) as events:
        assert "2 links cut: full1 | full2, miner1" in ask(folder, "partition", "full1")
        ask(folder, "mine", "2")
        told = [data for name, data in until(events, "block", lambda data: data["height"] == 203)]
        assert told[-1]["node"] in ("full2", "miner1")
    tips = {row.split()[0]: re.search(r"tip=(\S+)", row)[1] for row in ask(folder, "status").splitlines()}  # type: ignore[index]
    assert tips["full1"] != tips["full2"] == tips["miner1"]
    see_until({"tip-0", "tip-1"}, page)
    assert len(page.get("/").all("line", class_="wire cut")) == 2
    ask(folder, "stop", "full1")
    ask(folder, "start", "full1")
    assert ask(folder, "cli", "full1", "getconnectioncount").strip() == "0", "what is cut stays cut"
    assert "2 had been cut" in ask(folder, "heal")
    ask_until("height=203", folder, "status")

    assert "takes 150 ms one way" in ask(folder, "delay", "miner1", "full1", "150")
    assert "full2 and full1 are cut" in ask(folder, "cut", "full1", "full2")
    (block_hash,) = ask(folder, "mine", "1").split()
    ask_until(block_hash, folder, "cli", "full1", "getbestblockhash")
    assert "is not delayed any more" in ask(folder, "delay", "miner1", "full1", "0")
    assert "linked again" in ask(folder, "link", "full1", "full2")

    before = ask(folder, "cli", "full1", "getblockhash", "203").strip()
    done = ask(folder, "reorg", "2", "--node", "full2")
    assert "2 blocks above height 202 gave way to 3 others; full2, " in done
    assert ask(folder, "cli", "full1", "getblockhash", "203").strip() != before
    assert ask(folder, "cli", "miner1", "getblockcount").strip() == "205"

    assert "2.5 BTC for full2" in ask(folder, "faucet", "full2", "2.5")
    ask_until("102.5", folder, "wallets")
    assert "snapshot now is taken" in ask(folder, "snapshot", "now")
    ask(folder, "mine", "3")
    assert "as it was at snapshot now" in ask(folder, "restore", "now")
    rows = ask(folder, "status").splitlines()
    assert all("height=206" in row and "peers=2" in row for row in rows), "\n".join(rows)

    port = json.loads((folder / "full1" / "regtest" / "ports.json").read_text())["web"]
    assert "206" in WebClient(port).get("/").text, "every node has a window of its own"


@contextmanager
def page_events(page: WebClient, address: str) -> Iterator[Iterator[tuple[str, Any]]]:
    """The events of the network's page, once it has been opened."""
    page.get("/" + address.partition("/?")[1][1:] + address.partition("/?")[2])
    with page.events() as events:
        assert next(events)[0] == "state"
        yield events


def until(
    events: Iterator[tuple[str, Any]], kind: str, last: Callable[[Any], bool]
) -> Iterator[tuple[str, Any]]:
    """The events of a kind up to one that is the last."""
    for name, data in events:
        if name == kind:
            yield name, data
            if last(data):
                return


def test_ctrl_c_leaves_nothing_behind(terminal: Terminal) -> None:
    terminal.read_until("mining a chain in advance")
    pids = terminal.pids
    assert terminal.end(signal.SIGINT) in (0, 130)
    assert not any(map(alive, pids))
    assert not (terminal.folder / "localnet.json").exists()


def test_a_crashed_run_is_cleaned_up_by_the_next(terminal: Terminal) -> None:
    terminal.read_until("the network is up")
    pids = terminal.pids
    os.kill(terminal.process.pid, signal.SIGKILL)
    terminal.process.wait()
    assert all(map(alive, pids))
    second = Terminal(terminal.folder, "--full", "1", "--miners", "0", "--spv", "0", *SELDOM)
    try:
        second.read_until("left by a run that crashed")
        second.read_until("the network is up")
        assert not any(map(alive, pids))
        assert len(ask(second.folder, "status").splitlines()) == 1
    finally:
        started = time.monotonic()
        assert second.end() == 0
        assert second.process.stdout is not None
        second.process.stdout.close()
        assert time.monotonic() - started < 20


def test_a_chain_of_ones_own_has_its_pace_from_difficulty(tmp_path: Path) -> None:
    """Its miner goes at full speed, but only after the chain in advance, which leaves difficulty low."""
    chain = Path(__file__).resolve().parents[2] / "configs" / "chains" / "difficulty.toml"
    terminal = Terminal(tmp_path / "net", "--full", "1", "--miners", "1", "--spv", "0", "--chain", str(chain))
    try:
        terminal.read_until("the network is up")
        folder, pids = terminal.folder, terminal.pids
        shown = ask_until("bits 1e", folder, "status")  # some 64 times the least difficulty, or more
        assert "hashes/s over the last 10, wanted 2 s; retarget in" in shown
        assert "bits 1" in ask(folder, "chain", "full1", "-n", "1")
        first = json.loads(ask(folder, "cli", "full1", "getblockheader", ask_hash(folder, 201)))
        assert first["bits"] == "1f0fffff", "as at the start"
        assert ask(folder, "cli", "miner1", "-rpcwallet=miner", "getnewaddress").startswith("dif1")
        ask(folder, "down")
        assert terminal.process.wait(60) == 0
        assert not any(map(alive, pids))
    finally:
        if terminal.process.poll() is None:
            terminal.end(signal.SIGTERM)
        assert terminal.process.stdout is not None
        terminal.process.stdout.close()


def ask_hash(folder: Path, height: int) -> str:
    return ask(folder, "cli", "full1", "getblockhash", str(height)).strip()


def test_the_demo_tells_the_whole_story(tmp_path: Path) -> None:
    result = localnet(tmp_path / "net", "--demo")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "All of it holds" in result.stdout
    assert not (tmp_path / "net-demo" / "localnet.json").exists()
