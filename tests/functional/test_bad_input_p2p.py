"""What peers send that is wrong, on the daemon's own port: it does as Core does, and goes on.

Messages are those of bad_messages.py, blocks and transactions those of invalid_blocks.py and
invalid_transactions.py; where BITCOIND is set, Bitcoin Core's daemon confirms every case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_messages import BAD_MESSAGES, BadMessage, play
from both_nodes import BOTH, daemon, daemon_with_chain
from invalid_blocks import INVALID_BLOCKS, InvalidBlock
from invalid_transactions import INVALID_TRANSACTIONS, InvalidTransaction
from node_process import Daemon
from scene import make_scene, solved
from scripted_peer import ScriptedPeer

from pybitcoind.chain.primitives.block import BlockHeader
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.p2p import messages as m

LARGEST_MESSAGE = 4_000_000


@pytest.fixture(scope="module", params=BOTH)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp(request.param)
    debug = ("-debug=net", "-debug=validation")
    with daemon_with_chain(request.param, folder, make_scene(), *debug) as running:
        yield running


async def connect(node: Daemon, host: str = "127.0.0.1") -> ScriptedPeer:
    return await ScriptedPeer.connect((host, node.ports["p2p"]))


async def expect(node: Daemon, peer: ScriptedPeer, ends: bool, *lines: str) -> None:
    """The node hangs up, or goes on with this peer; the log has each of lines, {peer} for any number."""
    if ends:
        await peer.wait_closed()
    else:
        await peer.sync()
    for line in lines:
        pattern = re.escape(line).replace(re.escape("{peer}"), r"\d+")
        assert re.search(pattern, node.log), f"no line {line!r} in\n{node.log[-3000:]}"


async def lives_on(node: Daemon) -> None:
    """Nothing moved, and others are served."""
    scene = make_scene()
    assert node.call("getbestblockhash") == hash_hex(scene.tip.hash)
    async with await connect(node) as other:
        await other.handshake()
        await other.sync()


@pytest.mark.parametrize("case", BAD_MESSAGES, ids=lambda case: case.name)
async def test_messages(node: Daemon, case: BadMessage) -> None:
    async with await connect(node) as peer:
        await play(case, peer)
        await expect(node, peer, case.ends, case.log)
    await lives_on(node)


@pytest.mark.parametrize("template", [t for t in INVALID_BLOCKS if t.on_wire], ids=lambda t: t.name)
async def test_blocks(node: Daemon, template: InvalidBlock) -> None:
    block = template.build(make_scene())
    async with await connect(node) as peer:
        await peer.handshake()
        peer.send_payload("block", block.raw)
        if len(block.raw) > LARGEST_MESSAGE:
            await expect(node, peer, True, "Header error: Size too large (block, ")
        elif template.fault == "MUTATED":
            await expect(node, peer, True, "Received mutated block from peer={peer}")
        elif template.fault == "TIME_FUTURE":
            await expect(node, peer, False, template.reason)
        else:
            await expect(node, peer, True, "Misbehaving: peer={peer}", template.reason)
    await lives_on(node)


@pytest.mark.parametrize("template", [t for t in INVALID_TRANSACTIONS if t.on_wire], ids=lambda t: t.name)
async def test_transactions(node: Daemon, template: InvalidTransaction) -> None:
    tx = template.build(make_scene())
    async with await connect(node) as peer:
        await peer.handshake()
        peer.send_payload("tx", tx.raw)
        await expect(node, peer, False)
    assert node.call("getrawmempool") == []
    await lives_on(node)


def _header(prev: bytes, *, work: bool = True, time: int | None = None, salt: int = 0) -> BlockHeader:
    scene = make_scene()
    when = scene.tip.time + 1 if time is None else time
    return solved(BlockHeader(0x20000000, prev, salt.to_bytes(32, "little"), when, 0x207FFFFF, 0), work)


async def test_headers_without_work(node: Daemon) -> None:
    async with await connect(node) as peer:
        await peer.handshake()
        peer.send(m.Headers([_header(make_scene().tip.hash, work=False)]))
        await expect(node, peer, True, "header with invalid proof of work")
    await lives_on(node)


async def test_headers_that_do_not_follow_each_other(node: Daemon) -> None:
    tip = make_scene().tip.hash
    async with await connect(node) as peer:
        await peer.handshake()
        peer.send(m.Headers([_header(tip), _header(tip, salt=1)]))
        await expect(node, peer, True, "non-continuous headers sequence")
    await lives_on(node)


async def test_headers_that_do_not_connect(node: Daemon) -> None:
    """They are asked after, not punished."""
    async with await connect(node) as peer:
        await peer.handshake()
        await peer.wait_for(m.GetHeaders)
        peer.send(m.Headers([]))  # an answer, before which it does not ask again
        await peer.sync()
        known = len(peer.received)
        peer.send(m.Headers([_header(b"\x09" * 32)]))
        await peer.wait_for(m.GetHeaders, since=known)
        await expect(node, peer, False, "missing prev block")
    await lives_on(node)


async def test_headers_from_the_future(node: Daemon) -> None:
    scene = make_scene()
    async with await connect(node) as peer:
        await peer.handshake()
        peer.send(m.Headers([_header(scene.tip.hash, time=scene.now + 7201)]))
        await expect(node, peer, False, "time-too-new")
    await lives_on(node)


async def test_headers_on_an_invalid_block(node: Daemon) -> None:
    scene = make_scene()
    bad = scene.block(coinbase=scene.coinbase(fees=2))
    async with await connect(node) as peer:
        await peer.handshake()
        peer.send_payload("block", bad.raw)
        await expect(node, peer, True)
    async with await connect(node) as peer:
        await peer.handshake()
        peer.send(m.Headers([_header(bad.hash, time=scene.tip.time + 2)]))
        await expect(node, peer, True, "has prev block invalid", "invalid header received")
    await lives_on(node)


@pytest.mark.parametrize("program", BOTH)
async def test_headers_with_little_work(program: str, tmp_path: Path) -> None:
    """They are not kept."""
    scene = make_scene()
    options = ("-debug=net", f"-mocktime={scene.now}", "-minimumchainwork=10000")
    with daemon(program, tmp_path, *options) as node:
        async with await connect(node) as peer:
            await peer.handshake()
            peer.send(m.Headers([block.header for block in scene.blocks]))
            await expect(node, peer, False, "Ignoring low-work chain (height=130) from peer={peer}")
        assert [tip["height"] for tip in node.call("getchaintips")] == [0]


async def test_all_messages_over_ipv6(tmp_path: Path) -> None:
    with daemon("pybitcoind", tmp_path, "-debug=net") as node:
        for case in BAD_MESSAGES:
            async with await connect(node, "::1") as peer:
                await play(case, peer)
        async with await connect(node, "::1") as peer:
            await peer.handshake()
