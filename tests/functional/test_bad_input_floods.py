"""Many connections, silent and deaf ones, large requests: the daemon serves the others meanwhile."""

from __future__ import annotations

import json
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from node_process import Daemon, running
from scripted_peer import ScriptedPeer

from pybitcoind.p2p import messages as m

MAX_INBOUND = 114
"""125 connections less 8 + 2 outbound ones and a feeler."""


@pytest.fixture
def connections() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(connections: ExitStack, port: int, data: bytes = b"") -> socket.socket:
    connection = connections.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
    connection.sendall(data)
    return connection


async def test_200_silent_peers(tmp_path: Path, connections: ExitStack) -> None:
    """The oldest without a handshake go; a peer that speaks comes in, and stays."""
    with running(tmp_path, "-debug=net") as node:
        async with await ScriptedPeer.connect(("127.0.0.1", node.ports["p2p"])) as peer:
            await peer.handshake()
            for _ in range(200):
                connect(connections, node.ports["p2p"])
            node.until("all to have come", lambda: node.log.count(" accepted") >= 201)
            node.until("the evicted to go", lambda: node.call("getconnectioncount") <= MAX_INBOUND)
            await peer.sync()
        async with await ScriptedPeer.connect(("127.0.0.1", node.ports["p2p"])) as another:
            await another.handshake()
            await another.sync()


async def test_silent_peers_are_sent_away(tmp_path: Path, connections: ExitStack) -> None:
    with running(tmp_path, "-debug=net", "-peertimeout=1") as node:
        mute = connect(connections, node.ports["p2p"])
        node.wait_for_log("socket no message in first 1 seconds")
        assert mute.recv(100) == b""
        async with await ScriptedPeer.connect(("127.0.0.1", node.ports["p2p"])) as peer:
            await peer.handshake()


async def test_a_peer_that_never_reads(shared: Path, tmp_path: Path) -> None:
    """It asks for 400 MB of blocks; the node keeps no more of them than the connection's buffer."""
    chain = shared / "data" / "regtest-signatures.dat"
    with running(tmp_path, f"-loadblock={chain}") as node:
        node.until("the chain", lambda: node.call("getblockcount") == 220)
        hashes = [bytes.fromhex(node.call("getblockhash", height))[::-1] for height in range(195, 220)]
        wanted = [m.Inv(m.InvType.WITNESS_BLOCK, block) for block in hashes] * 40
        endpoint = ("127.0.0.1", node.ports["p2p"])
        async with await ScriptedPeer.connect(endpoint) as deaf, await ScriptedPeer.connect(endpoint) as peer:
            await deaf.handshake()
            await peer.handshake()
            await peer.sync()
            before = memory(node)
            await deaf.stop_reading()
            deaf.send(m.GetData(wanted))
            for _ in range(3):
                peer.send(m.GetData(wanted[:25]))
                since = len(peer.received)
                await peer.wait_until(lambda since=since: blocks_received(peer, since) == 25)  # type: ignore[misc]
            assert memory(node) - before < 50_000_000
            deaf.resume_reading()
            await deaf.wait_until(lambda: blocks_received(deaf, 0) > 50)


def blocks_received(peer: ScriptedPeer, since: int) -> int:
    return sum(isinstance(message, m.BlockMessage) for message in peer.received[since:])


def memory(node: Daemon) -> int:
    """Bytes in RAM."""
    status = Path(f"/proc/{node.process.pid}/status")
    if not status.exists():
        pytest.skip("no /proc here")
    return int(status.read_text().split("VmRSS:")[1].split()[0]) * 1024


def test_slow_http_clients(tmp_path: Path, connections: ExitStack) -> None:
    """200 that send a head byte by byte do not keep others out, and are sent away in time."""
    with running(tmp_path, "-rpcservertimeout=2") as node:
        slow = [connect(connections, node.ports["rpc"], b"POST / HTTP/1.1\r\nX: ") for _ in range(200)]
        assert node.call("getblockcount") == 0
        for connection in slow:
            assert connection.recv(1000)[:12] in (b"", b"HTTP/1.1 408", b"HTTP/1.1 400")


def test_a_large_batch(tmp_path: Path) -> None:
    """Others do not wait for its end."""
    with running(tmp_path) as node:
        body = json.dumps([{"method": "getblockchaininfo", "id": n} for n in range(5000)]).encode()
        cookie = b64encode((node.net_dir / ".cookie").read_bytes())
        head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic " + cookie
        answer = b""

        def ask() -> None:
            nonlocal answer
            with socket.create_connection(("127.0.0.1", node.ports["rpc"])) as connection:
                connection.sendall(head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                while data := connection.recv(1 << 20):
                    answer += data

        client = threading.Thread(target=ask)
        client.start()
        served = 0
        while client.is_alive():
            node.call("getblockcount")
            served += 1
        client.join()
        replies = json.loads(answer[answer.index(b"\r\n\r\n") :])
        assert [reply["id"] for reply in replies] == list(range(5000))
        assert served > 1
