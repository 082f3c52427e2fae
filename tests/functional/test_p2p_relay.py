"""Transactions between nodes: announced, asked for, orphans, packages, fee filters."""

from __future__ import annotations

from itertools import pairwise

from p2p_nodes import run_virtual, until, world
from scene import make_scene
from scripted_peer import ScriptedPeer

from pybitcoind.chain.primitives.transaction import OutPoint
from pybitcoind.p2p import messages as m
from pybitcoind.p2p.memory_network import MemoryHub
from pybitcoind.p2p.permissions import WhitelistEntry

SCENE = make_scene(130)


def test_a_transaction_reaches_every_node_within_seconds_of_virtual_time() -> None:
    async def main() -> None:
        async with world(SCENE.now, MemoryHub().network) as w:
            nodes = [await w.node(name, blocks=SCENE.blocks) for name in "abcd"]
            for left, right in pairwise(nodes):
                await left.dial(right)
            await until(lambda: all(p.complete for n in nodes for p in n.peers.peers.values()))
            parent = SCENE.spend(SCENE.mature[0])
            child = SCENE.spend(SCENE.output(parent))
            await nodes[0].send(parent)
            await nodes[0].send(child)
            await until(lambda: all(len(node.mempool.entries) == 2 for node in nodes), timeout=120)
            assert nodes[3].peers.peers[0].last_tx_time

    run_virtual(main())


async def test_noban_peers_are_told_at_once_and_serve_by_wtxid() -> None:
    hub = MemoryHub()
    trusted = [WhitelistEntry.parse("noban@127.0.0.1")]
    async with world(SCENE.now, hub.network) as w:
        node = await w.node("a", blocks=SCENE.blocks, whitelist=trusted)
        async with await ScriptedPeer.connect(node.endpoint, network=hub.network("peer")) as peer:
            await peer.handshake()
            await peer.sync()
            tx = SCENE.spend(SCENE.mature[0])
            await node.send(tx)
            inv = await peer.wait_for(m.InvMessage)
            assert inv.items == [m.Inv(m.InvType.WTX, tx.wtxid)]
            missing = m.Inv(m.InvType.WTX, bytes(32))
            peer.send(m.GetData([inv.items[0], missing]))
            assert (await peer.wait_for(m.TxMessage)).tx == tx
            assert (await peer.wait_for(m.NotFound)).items == [missing]
            peer.send(m.GetData([m.Inv(m.InvType.TX, tx.txid)]))
            stripped = await peer.wait_for(m.TxMessage, lambda message: not message.tx.has_witness)
            assert stripped.tx.raw == tx.stripped


async def test_an_orphans_parents_are_asked_for_and_both_are_taken() -> None:
    hub = MemoryHub()
    async with world(SCENE.now, hub.network) as w:
        node = await w.node("a", blocks=SCENE.blocks, whitelist=[WhitelistEntry.parse("noban@127.0.0.1")])
        async with await ScriptedPeer.connect(node.endpoint, network=hub.network("peer")) as peer:
            await peer.handshake()
            parent = SCENE.spend(SCENE.mature[0])
            child = SCENE.spend(SCENE.output(parent))
            peer.send(m.InvMessage([m.Inv(m.InvType.WTX, child.wtxid)]))
            asked = await peer.wait_for(m.GetData)
            assert asked.items == [m.Inv(m.InvType.WTX, child.wtxid)]
            peer.send(m.TxMessage(child))
            asked = await peer.wait_for(m.GetData, lambda data: data.items[0].hash == parent.txid)
            assert asked.items == [m.Inv(m.InvType.WITNESS_TX, parent.txid)]
            peer.send(m.TxMessage(parent))
            await until(lambda: len(node.mempool.entries) == 2)
            assert len(node.peers.relay.download.orphanage) == 0


async def test_a_child_pays_for_its_parent_over_the_wire() -> None:
    hub = MemoryHub()
    async with world(SCENE.now, hub.network) as w:
        node = await w.node("a", blocks=SCENE.blocks, whitelist=[WhitelistEntry.parse("noban@127.0.0.1")])
        async with await ScriptedPeer.connect(node.endpoint, network=hub.network("peer")) as peer:
            await peer.handshake()
            parent = SCENE.spend(SCENE.mature[0], fee=0)
            child = SCENE.spend(SCENE.output(parent), fee=5000)
            peer.send(m.TxMessage(parent))
            await peer.sync()
            assert not node.mempool.entries
            peer.send(m.TxMessage(child))
            await peer.wait_for(m.GetData, lambda data: data.items[0].hash == parent.txid)
            peer.send(m.TxMessage(parent))
            await until(lambda: len(node.mempool.entries) == 2)


def test_a_peer_that_does_not_deliver_is_replaced_after_a_minute() -> None:
    async def main() -> None:
        hub = MemoryHub()
        async with world(SCENE.now, hub.network) as w:
            node = await w.node("a", blocks=SCENE.blocks)
            tx = SCENE.spend(SCENE.mature[0])
            inv = m.InvMessage([m.Inv(m.InvType.WTX, tx.wtxid)])
            async with (
                await ScriptedPeer.connect(node.endpoint, network=hub.network("p")) as lazy,
                await ScriptedPeer.connect(node.endpoint, network=hub.network("q")) as other,
            ):
                for peer in (lazy, other):
                    await peer.handshake()
                    peer.send(inv)
                await until(lambda: lazy.of(m.GetData) or other.of(m.GetData))
                first, second = (lazy, other) if lazy.of(m.GetData) else (other, lazy)
                assert not second.of(m.GetData)
                await second.wait_for(m.GetData, timeout=100)
                second.send(m.TxMessage(tx))
                await until(lambda: node.mempool.contains(tx.txid))
                assert len(first.of(m.GetData)) == 1

    run_virtual(main())


def test_the_fee_filter_is_sent_and_honoured() -> None:
    async def main() -> None:
        hub = MemoryHub()
        async with world(SCENE.now, hub.network) as w:
            node = await w.node("a", blocks=SCENE.blocks)
            async with await ScriptedPeer.connect(node.endpoint, network=hub.network("p")) as peer:
                await peer.handshake()
                assert (await peer.wait_for(m.FeeFilter)).feerate == 100
                async with await ScriptedPeer.connect(node.endpoint, network=hub.network("q")) as quiet:
                    await quiet.handshake(relay=False)  # it wants no transactions, and may send some
                    assert (await quiet.wait_for(m.FeeFilter)).feerate == 100
                peer.send(m.FeeFilter(20_000))
                await peer.sync()
                cheap, dear = (SCENE.spend(SCENE.mature[i], fee=fee) for i, fee in ((0, 200), (1, 20_000)))
                await node.send(cheap)
                await node.send(dear)
                inv = await peer.wait_for(m.InvMessage, timeout=60)
                assert inv.items == [m.Inv(m.InvType.WTX, dear.wtxid)]

    run_virtual(main())


async def test_a_transaction_is_not_served_before_it_is_announced() -> None:
    hub = MemoryHub()
    async with world(SCENE.now, hub.network) as w:
        node = await w.node("a", blocks=SCENE.blocks)
        async with await ScriptedPeer.connect(node.endpoint, network=hub.network("p")) as peer:
            await peer.handshake()
            await peer.sync()
            peers = node.peers.peers
            peers[0].transactions.next_send = node.peers.context.now() + 1000
            tx = SCENE.spend(SCENE.mature[0])
            await node.send(tx)
            item = m.Inv(m.InvType.WTX, tx.wtxid)
            peer.send(m.GetData([item]))
            assert (await peer.wait_for(m.NotFound)).items == [item]
            block = SCENE.block(tx)
            await node.feed([block])
            await until(lambda: node.peers.sync.announcer.recent_block is block)
            peer.send(m.GetData([item]))
            assert (await peer.wait_for(m.TxMessage)).tx == tx, "one of the last block is"


async def test_in_initial_block_download_transactions_are_left_alone() -> None:
    hub = MemoryHub()
    async with world(SCENE.now + 10 * 86400, hub.network) as w:
        node = await w.node("a", blocks=SCENE.blocks)
        async with await ScriptedPeer.connect(node.endpoint, network=hub.network("p")) as peer:
            await peer.handshake()
            assert (await peer.wait_for(m.FeeFilter)).feerate > 9_000_000
            tx = SCENE.spend(SCENE.mature[0])
            peer.send(m.InvMessage([m.Inv(m.InvType.WTX, tx.wtxid)]), m.TxMessage(tx))
            await peer.sync()
            assert not node.mempool.entries and not peer.of(m.GetData)


async def test_blocksonly_disconnects_who_announces_transactions() -> None:
    hub = MemoryHub()
    async with world(SCENE.now, hub.network) as w:
        node = await w.node("a", blocks=SCENE.blocks, blocks_only=True)
        async with await ScriptedPeer.connect(node.endpoint, network=hub.network("p")) as peer:
            assert not (await peer.handshake()).relay
            peer.send(m.InvMessage([m.Inv(m.InvType.WTX, bytes(32))]))
            await peer.wait_closed()
            assert node.log.find("inv sent in violation of protocol, disconnecting peer=0")


def test_what_nobody_asked_for_is_announced_again() -> None:
    async def main() -> None:
        hub = MemoryHub()
        async with world(SCENE.now, hub.network) as w:
            node = await w.node("a", blocks=SCENE.blocks)
            tx = SCENE.spend(SCENE.mature[0])
            await node.send(tx)
            node.mempool.add_unbroadcast(tx.txid)
            async with await ScriptedPeer.connect(node.endpoint, network=hub.network("p")) as peer:
                await peer.handshake()
                inv = await peer.wait_for(m.InvMessage, timeout=1000)
                peer.send(m.GetData(inv.items))
                await peer.wait_for(m.TxMessage)
                assert not node.mempool.unbroadcast

    run_virtual(main())


async def test_confirmed_and_conflicting_transactions_leave_the_pool() -> None:
    async with world(SCENE.now, MemoryHub().network) as w:
        a = await w.node("a", blocks=SCENE.blocks)
        b = await w.node("b", blocks=SCENE.blocks)
        await a.dial(b)
        coin = SCENE.mature[0]
        await b.send(SCENE.spend(coin, fee=3000))
        block = SCENE.block(SCENE.spend(coin, fee=1000))
        await a.feed([block])
        await until(lambda: b.chain.tip.hash == block.hash)
        assert not b.mempool.entries
        assert b.mempool.spender_of(OutPoint(block.vtx[1].txid, 0)) is None


async def test_a_peer_with_a_bloom_filter_hears_of_what_matches_only() -> None:
    hub = MemoryHub()
    permissions = [WhitelistEntry.parse("noban,bloomfilter@127.0.0.1")]
    async with world(SCENE.now, hub.network) as w:
        node = await w.node("a", blocks=SCENE.blocks, whitelist=permissions)
        async with await ScriptedPeer.connect(node.endpoint, network=hub.network("p")) as peer:
            theirs = await peer.handshake(relay=False)
            assert theirs.services & m.ServiceFlags.BLOOM
            wanted, other = (SCENE.spend(SCENE.mature[i]) for i in (0, 1))
            outpoint = wanted.vin[0].prevout.serialize()
            peer.send(m.FilterLoad(bytes(100), 5, 0, 0), m.FilterAdd(outpoint))
            await peer.sync()
            await node.send(other)
            await node.send(wanted)
            inv = await peer.wait_for(m.InvMessage)
            assert inv.items == [m.Inv(m.InvType.WTX, wanted.wtxid)]
            block = SCENE.block(other, wanted)
            await node.feed([block])
            peer.send(m.GetData([m.Inv(m.InvType.FILTERED_BLOCK, block.hash)]))
            proof = await peer.wait_for(m.MerkleBlockMessage)
            assert proof.tree.extract() == (block.header.merkle_root, [(2, wanted.txid)])
            sent = await peer.wait_for(m.TxMessage)
            assert sent.tx.raw == wanted.stripped
            peer.send(m.FilterClear(), m.FilterAdd(b"x"))
            await until(lambda: node.log.find("Misbehaving: peer=0: bad filteradd message"))
