"""Compact blocks between peers: received, put together, asked for, served and announced (BIP 152)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from p2p_nodes import P2PNode, until, world
from scene import make_scene
from scripted_peer import ScriptedPeer

from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.transaction import Transaction
from pybitcoind.p2p import messages as m
from pybitcoind.p2p.compact_blocks import compact
from pybitcoind.p2p.memory_network import MemoryHub

SCENE = make_scene(130)
TXS = [SCENE.spend(coin) for coin in SCENE.mature[:5]]
BLOCK = SCENE.block(*TXS)
CHILD = SCENE.extended(BLOCK).block()


@asynccontextmanager
async def node_and_peers(count: int = 1) -> AsyncIterator[tuple[P2PNode, list[ScriptedPeer]]]:
    """A node at SCENE's tip, and peers that speak compact blocks and have its headers."""
    hub = MemoryHub()
    async with world(SCENE.now, hub.network) as w:
        node = await w.node("a", blocks=SCENE.blocks)
        peers = []
        try:
            for number in range(count):
                peer = await ScriptedPeer.connect(node.endpoint, network=hub.network(f"p{number}"))
                peers.append(peer)
                await peer.handshake()
                peer.send(m.SendCmpct(False, 2), m.GetHeaders([SCENE.params.genesis.hash]))
                await peer.sync()
            yield node, peers
        finally:
            for peer in peers:
                await peer.close()


def asked_whole(peer: ScriptedPeer, block: Block) -> bool:
    wanted = m.Inv(m.InvType.WITNESS_BLOCK, block.hash)
    return any(wanted in message.items for message in peer.of(m.GetData))


async def test_a_block_of_known_transactions_needs_no_answer() -> None:
    async with node_and_peers() as (node, (peer,)):
        assert peer.of(m.SendCmpct) == [m.SendCmpct(False, 2)]
        for tx in TXS:
            await node.send(tx)
        peer.send(m.CmpctBlock.decode(m.Reader(m.encode_payload(compact(BLOCK, 1)))))
        await until(lambda: node.chain.tip.hash == BLOCK.hash)
        assert not peer.of(m.GetBlockTxn) and not node.mempool.entries
        await peer.wait_for(m.SendCmpct, lambda message: message.high_bandwidth)
        assert node.peers.peer_infos()[0]["bip152_hb_to"] is True


async def test_what_is_missing_is_asked_for() -> None:
    async with node_and_peers() as (node, (peer,)):
        for tx in TXS[1:3]:
            await node.send(tx)
        peer.send(compact(BLOCK, 2))
        asked = await peer.wait_for(m.GetBlockTxn)
        assert asked == m.GetBlockTxn(BLOCK.hash, [1, 4, 5])
        assert node.peers.peer_infos()[0]["inflight"] == [131]
        peer.send(m.BlockTxn(BLOCK.hash, [TXS[0], *TXS[3:]]))
        await until(lambda: node.chain.tip.hash == BLOCK.hash)
        assert not node.peers.sync.download.in_flight


async def test_an_announced_header_is_answered_by_asking_for_the_compact_block() -> None:
    async with node_and_peers() as (_, (peer,)):
        peer.send(m.Headers([BLOCK.header]))
        asked = await peer.wait_for(m.GetData)
        assert asked.items == [m.Inv(m.InvType.CMPCT_BLOCK, BLOCK.hash)]


async def test_wrong_transactions_make_the_whole_block_asked_for() -> None:
    async with node_and_peers() as (node, (peer,)):
        peer.send(compact(BLOCK, 3))
        await peer.wait_for(m.GetBlockTxn)
        wrong = m.BlockTxn(BLOCK.hash, TXS[::-1])
        peer.send(wrong)
        await peer.wait_until(lambda: asked_whole(peer, BLOCK))
        peer.send(m.BlockMessage(BLOCK))
        await until(lambda: node.chain.tip.hash == BLOCK.hash)
        peer.send(wrong)
        await peer.sync()
        assert node.log.find("sent us block transactions for block we weren't expecting")


async def test_wrong_transactions_twice_or_too_few_are_misbehaviour() -> None:
    for second in (TXS[::-1], None):
        async with node_and_peers() as (node, (peer,)):
            peer.send(compact(BLOCK, 3))
            await peer.wait_for(m.GetBlockTxn)
            if second is None:
                peer.send(m.BlockTxn(BLOCK.hash, TXS[1:]))
            else:
                peer.send(m.BlockTxn(BLOCK.hash, second), m.BlockTxn(BLOCK.hash, second))
            await peer.wait_closed()
            assert node.log.find("invalid compact block/non-matching block transactions") or node.log.find(
                "previous compact block reconstruction attempt failed"
            )
            assert node.height == 130 and not node.peers.sync.download.in_flight


async def test_of_several_announcers_two_are_asked_and_any_may_deliver() -> None:
    async with node_and_peers(3) as (node, (slow, fast, third)):
        for number, peer in enumerate((slow, fast, third)):
            node.peers.peers[number].announces_compact = True
            peer.send(compact(BLOCK, 10 + number))
            await peer.sync()
        assert slow.of(m.GetBlockTxn) and fast.of(m.GetBlockTxn)
        assert not third.of(m.GetBlockTxn), "the last place is for an outbound peer"
        fast.send(m.BlockTxn(BLOCK.hash, TXS))
        await until(lambda: node.chain.tip.hash == BLOCK.hash)
        slow.send(m.BlockTxn(BLOCK.hash, TXS))
        await slow.sync()
        assert not slow.closed and not node.peers.sync.download.in_flight


async def test_a_peer_is_not_blamed_for_the_block_but_for_what_it_builds_on() -> None:
    async with node_and_peers() as (node, (peer,)):
        bad = SCENE.block(SCENE.spend(SCENE.mature[0], fee=-5))
        message = compact(bad, 4)
        message.prefilled += [(0, tx) for tx in bad.vtx[1:]]
        message.short_ids = []
        peer.send(message)
        await until(lambda: node.log.find("bad-txns-in-belowout"))
        peer.send(message)
        await peer.sync()
        assert node.height == 130 and not peer.closed
        peer.send(compact(SCENE.extended(bad).block(), 4))
        await peer.wait_closed()


async def test_low_work_and_unknown_parents() -> None:
    async with node_and_peers() as (node, (peer,)):
        peer.send(compact(CHILD, 5))
        await peer.sync()
        assert not peer.of(m.GetBlockTxn) and peer.of(m.GetHeaders)
        assert node.chain.headers.get(CHILD.hash) is None
        peer.send(m.CmpctBlock(BLOCK.header, 5, [1, 1], [(0, BLOCK.vtx[0])]))  # chance, or so it seems
        await peer.wait_until(lambda: asked_whole(peer, BLOCK))


async def announced(peer: ScriptedPeer, node: P2PNode, block: Block) -> m.CmpctBlock:
    since = len(peer.received)
    await node.feed([block])
    return await peer.wait_for(m.CmpctBlock, since=since)


async def test_served_and_announced() -> None:
    async with node_and_peers() as (node, (peer,)):
        peer.send(m.SendCmpct(True, 2))
        await peer.sync()
        assert node.peers.peer_infos()[0]["bip152_hb_from"] is True
        message = await announced(peer, node, BLOCK)
        assert message.header == BLOCK.header and message.prefilled == [(0, BLOCK.vtx[0])]
        assert message.short_ids == compact(BLOCK, message.nonce).short_ids
        await peer.sync()
        assert len(peer.of(m.CmpctBlock)) == 1 and not peer.of(m.InvMessage), "announced once"

        peer.send(m.GetBlockTxn(BLOCK.hash, [0, 2, 5]))
        served = await peer.wait_for(m.BlockTxn)
        assert served == m.BlockTxn(BLOCK.hash, [BLOCK.vtx[0], TXS[1], TXS[4]])
        peer.send(m.GetData([m.Inv(m.InvType.CMPCT_BLOCK, BLOCK.hash)]))
        again = await peer.wait_for(m.CmpctBlock, since=len(peer.received))
        assert again == message
        depths = {5: m.CmpctBlock, 6: m.BlockMessage}
        for depth, kind in depths.items():
            wanted = node.chain.headers.chain[131 - depth].hash
            peer.send(m.GetData([m.Inv(m.InvType.CMPCT_BLOCK, wanted)]))
            await peer.sync()
            assert isinstance(last_but_pong(peer), kind)
        for depth, kind in {10: m.BlockTxn, 11: m.BlockMessage}.items():
            peer.send(m.GetBlockTxn(node.chain.headers.chain[131 - depth].hash, [0]))
            await peer.sync()
            assert isinstance(last_but_pong(peer), kind)
        peer.send(m.GetBlockTxn(bytes(32), [0]))
        await peer.sync()
        assert not peer.closed
        peer.send(m.GetBlockTxn(BLOCK.hash, [6]))
        await peer.wait_closed()
        assert node.log.find("getblocktxn with out-of-bounds tx indices")


def last_but_pong(peer: ScriptedPeer) -> object:
    return [message for message in peer.received if not isinstance(message, m.Pong | m.FeeFilter)][-1]


async def test_refused_transactions_help() -> None:
    """Some that our mempool does not take, a miner may."""
    async with node_and_peers() as (node, (peer,)):
        cheap: Transaction = SCENE.spend(SCENE.mature[0], fee=0)
        peer.send(m.TxMessage(cheap))
        await peer.sync()
        assert not node.mempool.entries
        block = SCENE.block(cheap)
        peer.send(compact(block, 9))
        await until(lambda: node.chain.tip.hash == block.hash)
        assert not peer.of(m.GetBlockTxn)


async def test_between_our_nodes_blocks_come_as_compact_ones() -> None:
    hub = MemoryHub()
    async with world(SCENE.now, hub.network) as w:
        left, right = [await w.node(name, blocks=SCENE.blocks) for name in "ab"]
        await left.dial(right)
        await until(lambda: all(p.complete for n in (left, right) for p in n.peers.peers.values()))
        await left.feed([BLOCK])
        await until(lambda: right.chain.tip.hash == BLOCK.hash)
        await until(lambda: left.peers.peers[0].features.high_bandwidth)
        count = left.peers.peer_infos()[0]["bytessent_per_msg"].get("cmpctblock", 0)
        await left.feed([CHILD])
        await until(lambda: right.chain.tip.hash == CHILD.hash)
        assert left.peers.peer_infos()[0]["bytessent_per_msg"]["cmpctblock"] > count
        assert not right.log.find("Requesting block " + CHILD.hash[::-1].hex())
