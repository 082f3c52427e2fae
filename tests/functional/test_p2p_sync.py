"""Several nodes in one process: headers and blocks find their way, over memory and over TCP."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from p2p_nodes import P2PNode, run_virtual, until, world
from scene import Scene, make_scene
from scripted_peer import ScriptedPeer

from pybitcoind.chain.ports import Network
from pybitcoind.node.tcp_network import TcpNetwork
from pybitcoind.p2p import messages as m
from pybitcoind.p2p.memory_network import MemoryHub


def networks(kind: str) -> Callable[[str], Network]:
    if kind == "tcp":
        return lambda name: TcpNetwork()
    hub = MemoryHub()
    return hub.network


def same_tip(*nodes: P2PNode) -> bool:
    return len({node.chain.tip.hash for node in nodes}) == 1


@pytest.mark.parametrize("kind,host", [("memory", "127.0.0.1"), ("tcp", "127.0.0.1"), ("tcp", "::1")])
async def test_300_blocks_from_two_peers_at_once(kind: str, host: str) -> None:
    scene = make_scene(300)
    async with world(scene.now, networks(kind)) as w:
        first = await w.node("first", host=host, blocks=scene.blocks)
        second = await w.node("second", host=host, blocks=scene.blocks)
        fresh = await w.node("fresh", host=host)
        await fresh.dial(first)
        await fresh.dial(second)
        await until(lambda: fresh.height == 300)
        sent = [node.peers.peers[0].connection.sent.by_command.get("block", 0) for node in (first, second)]
        assert all(sent), "both have sent some"
        received = fresh.log.find("received block ")
        assert len(received) == 300, "and none was sent twice"
        assert not fresh.chain.is_ibd


def branches(base: int, lengths: tuple[int, int]) -> tuple[Scene, Scene]:
    """Two chains that share their first base blocks."""
    root = make_scene(base)
    sides = []
    for side, length in enumerate(lengths):
        scene = root
        for _ in range(length):
            scene = scene.extended(scene.block(time=scene.tip.time + 60 + side))
        sides.append(scene)
    return sides[0], sides[1]


async def test_a_new_block_goes_through_the_network_by_headers_and_at_once() -> None:
    scene = make_scene(130)
    async with world(scene.now, networks("tcp")) as w:
        nodes = [await w.node(name, blocks=scene.blocks) for name in ("a", "b", "c", "d")]
        for left, right in pairwise(nodes):
            await left.dial(right)
        await until(lambda: all(len(node.log.find("initial getheaders")) for node in nodes))
        await until(lambda: all(p.features.prefers_headers for n in nodes for p in n.peers.peers.values()))
        for _ in range(3):
            scene = scene.extended(scene.block(time=scene.tip.time + 60))
            await nodes[0].feed([scene.blocks[-1]])
            await until(lambda: same_tip(*nodes), timeout=5)
        assert not any(node.log.find("Ignoring low-work") for node in nodes)
        assert nodes[3].log.find("Saw new header")


async def test_a_reorganisation_over_the_network() -> None:
    short, long = branches(120, (3, 5))
    async with world(long.now, networks("memory")) as w:
        a = await w.node("a", blocks=short.blocks)
        b = await w.node("b", blocks=long.blocks)
        await a.dial(b)
        await until(lambda: same_tip(a, b))
        assert a.chain.tip.hash == long.tip.hash
        for _ in range(4):
            short = short.extended(short.block(time=short.tip.time + 60))
        await b.feed(short.blocks[123:])  # b learns of the other branch, and it is now the longer
        await b.feed(short.blocks[120:123])
        await until(lambda: same_tip(a, b))
        assert a.chain.tip.hash == short.tip.hash


async def test_a_split_network_joins_again() -> None:
    left, right = branches(110, (2, 4))
    hub = MemoryHub()
    async with world(right.now, hub.network) as w:
        a = await w.node("a", blocks=left.blocks[:110])
        b = await w.node("b", blocks=left.blocks[:110])
        b_host, b_port = b.endpoint
        a.peers.add_node(f"{b_host}:{b_port}")
        await until(lambda: a.peers.counts() == (0, 1) and b.peers.counts() == (1, 0))
        hub.split(["a"], ["b"])
        await until(lambda: not a.peers.peers and not b.peers.peers)
        await a.feed(left.blocks[110:])
        await b.feed(right.blocks[110:])
        assert not same_tip(a, b)
        hub.heal_all()
        await until(lambda: same_tip(a, b))
        assert a.chain.tip.hash == right.tip.hash


async def test_a_pong_tells_that_the_blocks_before_it_are_connected() -> None:
    """Far behind the headers blocks are stored without waiting; the missing one connects all the others."""
    scene, hub = make_scene(130), MemoryHub()
    async with world(scene.now, hub.network) as w:
        node = await w.node("node")
        async with await ScriptedPeer.connect(node.endpoint, network=hub.network("peer")) as peer:
            await peer.handshake()
            peer.send(m.Headers([block.header for block in scene.blocks]))
            peer.send(*[m.BlockMessage(block) for block in scene.blocks[1:]])
            await peer.sync()
            assert node.height == 0
            peer.send(m.BlockMessage(scene.blocks[0]), m.Ping(8), m.Ping(9))
            await peer.wait_for(m.Pong, lambda pong: pong.nonce == 9)
            assert node.height == 130
            assert [pong.nonce for pong in peer.of(m.Pong)][-2:] == [8, 9]


def test_a_stalling_peer_is_replaced_in_virtual_time() -> None:
    """The one peer with the blocks the window waits for sends nothing more; it is dropped after 2 s."""

    async def main() -> None:
        scene = make_scene(1100)
        async with world(scene.now, networks("memory")) as w:
            good = await w.node("good", blocks=scene.blocks)
            bad = await w.node("bad", blocks=scene.blocks)

            async def silent(peer: object, message: object) -> None:
                return None

            bad.peers.handlers["getdata"] = silent
            fresh = await w.node("fresh")
            await fresh.dial(bad)
            await until(lambda: fresh.peers.peers[0].blocks.in_flight if fresh.peers.peers else False)
            await fresh.dial(good)
            await until(lambda: fresh.height == 1100, timeout=120)
            assert len(fresh.log.find("Peer is stalling block download, disconnecting peer=0")) == 1
            assert fresh.log.find("Increased stalling timeout temporarily to 4 seconds")
            assert fresh.log.find("Decreased stalling timeout to 2 seconds")
            assert list(fresh.peers.peers) == [1]

    run_virtual(main())


def test_a_peer_that_never_sends_its_block_times_out_in_virtual_time() -> None:
    async def main() -> None:
        scene = make_scene(110)
        async with world(scene.now, networks("memory")) as w:
            bad = await w.node("bad", blocks=scene.blocks)

            async def silent(peer: object, message: object) -> None:
                return None

            bad.peers.handlers["getdata"] = silent
            fresh = await w.node("fresh")
            await fresh.dial(bad)
            await until(lambda: fresh.log.find("Timeout downloading block"), timeout=700)
            assert not fresh.peers.peers

    run_virtual(main())
