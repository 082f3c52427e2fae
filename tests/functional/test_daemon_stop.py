"""A stop is in order and takes less than two seconds, whatever the daemon is doing."""

from __future__ import annotations

import os
import signal
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from block_files import empty_branch, read_blocks, write_blocks
from node_process import Daemon, running
from scripted_peer import ScriptedPeer

from pybitcoind.chain.primitives.block import Block
from pybitcoind.p2p import messages as m

LIMIT = 2.0
BOTH_SIGNALS = [signal.SIGTERM, signal.SIGINT]
FULL_BLOCKS = 195
"""From here on the chain's blocks are full of signatures."""


@pytest.fixture(scope="module")
def chain(shared: Path) -> Path:
    return shared / "data" / "regtest-signatures.dat"


@pytest.fixture(scope="module")
def loaded(chain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that holds the chain; only for tests that add nothing to it."""
    folder = tmp_path_factory.mktemp("loaded")
    options = ("-stopatheight=220", "-txindex", "-blockfilterindex")
    with running(folder, f"-loadblock={chain}", *options) as node:
        node.process.wait(60)
    return folder


def stops_in_time(node: Daemon, number: int = signal.SIGTERM) -> None:
    code, seconds = node.stop(number)
    assert (code, node.stderr) == (0, "")
    assert node.log.endswith("Shutdown done\n")
    assert seconds < LIMIT


def starts_again(folder: Path) -> None:
    with running(folder) as node:
        assert 0 <= node.call("getblockcount") <= 250


@pytest.mark.usefixtures("cold_starts")
@pytest.mark.parametrize("number", BOTH_SIGNALS, ids=lambda number: number.name)
def test_before_anything_is_there(tmp_path: Path, number: int) -> None:
    """The start stands still where it reads a bitcoin.conf that never ends."""
    pipe = tmp_path / "bitcoin.conf"
    os.mkfifo(pipe)
    with Daemon(tmp_path) as node, pipe.open("w"):
        code, seconds = node.stop(number)
        assert (code, node.stderr) == (0, "")
        assert seconds < LIMIT


@pytest.mark.usefixtures("cold_starts")
@pytest.mark.parametrize("number", BOTH_SIGNALS, ids=lambda number: number.name)
def test_before_the_event_loop_runs(tmp_path: Path, number: int) -> None:
    """The start stands still where it opens a log that nobody reads: it holds the directory by then."""
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    with Daemon(tmp_path, f"-debuglogfile={pipe}") as node:
        pid_file = node.net_dir / "bitcoind.pid"
        node.until("its pid file is there", pid_file.exists)
        code, seconds = node.stop(number)
        assert (code, node.stderr) == (0, "")
        assert seconds < LIMIT
        assert not pid_file.exists()
    starts_again(tmp_path)


@pytest.mark.parametrize(
    ("cache", "number"),
    [
        ("-dbcache=4", signal.SIGTERM),
        ("-dbcache=450", signal.SIGINT),
        pytest.param("-dbcache=4", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("-dbcache=450", signal.SIGTERM, marks=pytest.mark.slow),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_in_the_middle_of_a_load(chain: Path, tmp_path: Path, cache: str, number: int) -> None:
    with Daemon(tmp_path, f"-loadblock={chain}", cache) as node:
        node.wait_for_log(f"height={FULL_BLOCKS + 5} ")
        stops_in_time(node, number)
        assert "height=220 " not in node.log
    starts_again(tmp_path)


def test_in_the_middle_of_a_reorganisation(chain: Path, tmp_path: Path) -> None:
    """25 full blocks come off; their 14,000 transactions go back to the mempool, which takes seconds."""
    blocks = [Block.decode(raw) for raw in read_blocks(chain)]
    at = next(n for n, block in enumerate(blocks) if len(block.vtx) > 1)
    away = empty_branch(blocks[at].header, _height(blocks, at), len(blocks) - at + 5)
    branch = write_blocks(tmp_path / "branch.dat", away)
    with Daemon(tmp_path, f"-loadblock={chain}", f"-loadblock={branch}") as node:
        node.wait_for_log("height=220 ")
        node.wait_for_log("height=221 ")
        stops_in_time(node)
    starts_again(tmp_path)


def _height(blocks: list[Block], at: int) -> int:
    return at if blocks[0].header.prev_hash == bytes(32) else at + 1


@pytest.mark.usefixtures("cold_starts")
def test_in_the_middle_of_a_start(loaded: Path) -> None:
    all_of_them, few = "-checkblocks=0", "-checkblocks=6"
    steps = (
        ("RPC listens on", few),
        ("Loading block index", few),
        ("Verifying blocks", all_of_them),
        ("Bound to", few),
    )
    for (line, blocks), number in zip(steps, BOTH_SIGNALS * 2, strict=True):
        with Daemon(loaded, blocks, "-checklevel=4") as node:
            node.wait_for_log(line, node.log.rindex("Shutdown done"))
            stops_in_time(node, number)
    starts_again(loaded)


@pytest.mark.usefixtures("cold_starts")
def test_by_rpc(tmp_path: Path) -> None:
    with Daemon(tmp_path).wait_ready() as node:
        assert node.call("stop", wait=0) == "Bitcoin Core stopping"
        assert node.process.wait(LIMIT) == 0
        assert node.stderr == ""


@pytest.fixture
def connections() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_while_http_clients_hang(tmp_path: Path, connections: ExitStack) -> None:
    """Idle, half a head, half a body, and a call that waits for a block that never comes."""
    with Daemon(tmp_path).wait_ready() as node:
        cookie = b64encode((node.net_dir / ".cookie").read_bytes())
        head = b"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic " + cookie + b"\r\nContent-Length: "
        call = b'{"method": "waitfornewblock", "params": []}'
        for data in (b"", head, head + b"100\r\n\r\n{", head + b"%d\r\n\r\n" % len(call) + call):
            for _ in range(3):
                connection = socket.create_connection(("127.0.0.1", node.ports["rpc"]))
                connections.enter_context(connection)
                connection.sendall(data)
        node.until("the calls to run", lambda: len(node.call("getrpcinfo")["active_commands"]) == 4)
        stops_in_time(node)


async def test_while_peers_hang(loaded: Path) -> None:
    """One before its version, one in the middle of a message, one that does not read what it asked for."""
    with Daemon(loaded).wait_ready() as node:
        peers = [await ScriptedPeer.connect(("127.0.0.1", node.ports["p2p"])) for _ in range(3)]
        _, halting, deaf = peers
        for peer in (halting, deaf):
            await peer.handshake()
            await peer.sync()
        halting.send_bytes(halting.codec.encode(m.Ping(1))[:20])
        tip = bytes.fromhex(node.call("getbestblockhash"))[::-1]
        await deaf.stop_reading()
        deaf.send(m.GetData([m.Inv(m.InvType.WITNESS_BLOCK, tip)] * 1000))
        stops_in_time(node)
        for peer in peers:
            await peer.close()
