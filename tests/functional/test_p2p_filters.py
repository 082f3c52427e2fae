"""The SPV side of p2p: headers only, filters from full nodes, liars among them, own transactions."""

from __future__ import annotations

from p2p_nodes import P2PNode, run_virtual, until, world
from scene import SCRIPT_PUBKEY, make_scene
from scripted_peer import ScriptedPeer

from pybitcoind.chain.block_filter import BlockFilter
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.primitives.transaction import Transaction
from pybitcoind.p2p import messages as m
from pybitcoind.p2p.handshake import ConnectionType
from pybitcoind.p2p.memory_network import MemoryHub
from pybitcoind.p2p.tx_request import GenTxid

SCENE = make_scene(130)
SPEND = SCENE.spend(SCENE.mature[0])
LAST = SCENE.extended(SCENE.block(SPEND))


def lie(node: P2PNode, height: int) -> None:
    """Has the node serve an empty filter for one block."""
    index = node.peers.context.filter_index
    assert index is not None
    target = node.chain.headers.chain[height].hash
    true_filters, true_hashes, true_headers = index.filters, index.filter_hashes, index.headers_of
    false = BlockFilter.of_elements(target, [])

    async def filters(start: int, stop: HeaderNode) -> list[BlockFilter] | None:
        found = await true_filters(start, stop)
        return found and [false if one.block_hash == target else one for one in found]

    async def hashes(start: int, stop: HeaderNode) -> list[bytes] | None:
        found = await true_hashes(start, stop)
        if found and start <= height <= stop.height:
            found[height - start] = false.hash
        return found

    async def headers_of(nodes: list[HeaderNode]) -> list[bytes] | None:
        found = await true_headers(nodes)
        assert found is not None
        return [bytes(32) if node.height >= height else h for node, h in zip(nodes, found, strict=True)]

    index.filters, index.filter_hashes, index.headers_of = filters, hashes, headers_of  # type: ignore


async def test_headers_filters_and_blocks_for_a_light_client() -> None:
    async with world(LAST.now, MemoryHub().network) as w:
        full = [await w.node(name, blocks=LAST.blocks, filters=True) for name in ("a", "b")]
        light = await w.node("light", headers_only=True, services=0)
        for node in full:
            await light.dial(node)
        await until(lambda: light.height == 131)
        sync = light.peers.filters
        assert sync is not None and await sync.wait_height(131, timeout=10)
        await until(lambda: len(sync.client.agreeing_peers(131)) == 2)
        nodes = light.chain.headers.chain[1:132]
        found = await sync.filters(nodes)
        assert found is not None and list(found) == [node.hash for node in nodes]
        assert all(e and BlockFilter(h, e).match(SCRIPT_PUBKEY) for h, e in found.items())
        block = await light.peers.sync.fetcher.fetch_block(LAST.tip.hash)
        assert block is not None and block.raw == LAST.blocks[-1].raw
        assert light.peers.sync.download.in_flight == {}
        newer = LAST.extended(LAST.block(time=LAST.tip.time + 60))
        await full[0].feed(newer.blocks[-1:])
        assert await sync.wait_height(132, timeout=10)


async def test_a_node_that_serves_a_false_filter_is_dropped() -> None:
    async with world(LAST.now, MemoryHub().network) as w:
        honest = await w.node("honest", blocks=LAST.blocks, filters=True)
        liar = await w.node("liar", blocks=LAST.blocks, filters=True)
        lie(liar, 131)
        light = await w.node("light", headers_only=True, services=0)
        await light.dial(liar)
        await light.dial(honest)
        sync = light.peers.filters
        assert sync is not None
        await until(lambda: light.log.find("false filter of block"))
        assert await sync.wait_height(131, timeout=10)
        await until(lambda: len(light.peers.peers) == 1)
        assert not liar.peers.peers and honest.peers.peers
        index = honest.peers.context.filter_index
        assert index is not None
        truth = await index.filter_hashes(131, honest.chain.tip)
        assert truth is not None and sync.client.filter_hash(131) == truth[0]


def test_few_outbound_peers_may_serve_no_filters() -> None:
    async def run() -> None:
        async with world(LAST.now, MemoryHub().network) as w:
            light = await w.node("light", headers_only=True, services=0)
            for number in range(4):
                plain = await w.node(f"plain{number}", port=18444 + number)
                assert light.peers.add_connection(
                    f"127.0.0.1:{plain.endpoint[1]}", ConnectionType.OUTBOUND_FULL_RELAY
                )
                await until(lambda number=number: len(light.log.find("peer connected")) == number + 1)
            await until(lambda: len(light.peers.peers) == 2)
            assert len(light.log.find("it is used for headers only")) == 2
            assert len(light.log.find("peer serves no compact filters")) == 2

    run_virtual(run())


def test_own_transactions_are_announced_and_served_and_others_are_asked_for() -> None:
    run_virtual(_own_transactions())


async def _own_transactions() -> None:
    async with world(LAST.now, MemoryHub().network) as w:
        full = await w.node("full", blocks=LAST.blocks, filters=True)
        light = await w.node("light", headers_only=True, services=0)
        received: list[Transaction] = []

        async def on_transaction(tx: Transaction, peer: int) -> None:
            received.append(tx)

        light.peers.relay.on_transaction = on_transaction
        asked: list[GenTxid] = []
        light.peers.relay.wants_transaction = lambda gtxid: asked.append(gtxid) is None
        await light.dial(full)
        await until(lambda: all(p.complete for n in (full, light) for p in n.peers.peers.values()))
        own = LAST.spend(LAST.mature[0])
        light.peers.announce_transaction(own)
        await until(lambda: full.mempool.contains(own.txid))
        other = LAST.spend(LAST.mature[1])
        await full.send(other)
        await until(lambda: received == [other])
        assert asked == [GenTxid(other.wtxid, True)]


async def test_limits_of_filter_requests() -> None:
    hub = MemoryHub()
    async with world(LAST.now, hub.network) as w:
        node = await w.node("node", blocks=LAST.blocks, filters=True)
        tip = LAST.tip.hash
        for request, reason in (
            (m.GetCFHeaders(1, 1, tip), "peer requested unsupported block filter type: 1"),
            (m.GetCFHeaders(0, 1, bytes(32)), "peer requested invalid block hash"),
            (m.GetCFilters(0, 132, tip), "start height 132 and stop height 131"),
        ):
            async with await ScriptedPeer.connect(node.endpoint, network=hub.network(reason)) as peer:
                theirs = await peer.handshake()
                assert theirs.services & m.ServiceFlags.COMPACT_FILTERS
                peer.send(request)
                await peer.wait_closed()
                assert node.log.find(reason)
        async with await ScriptedPeer.connect(node.endpoint, network=hub.network("good")) as peer:
            await peer.handshake()
            peer.send(m.GetCFCheckpt(0, tip), m.GetCFHeaders(0, 130, tip), m.GetCFilters(0, 131, tip))
            assert (await peer.wait_for(m.CFCheckpt)).filter_headers == []
            assert len((await peer.wait_for(m.CFHeaders)).filter_hashes) == 2
            assert (await peer.wait_for(m.CFilter)).block_hash == tip
