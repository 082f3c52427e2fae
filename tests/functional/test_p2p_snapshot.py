"""A node with a loaded snapshot among others: what it asks of whom, and what it offers."""

from __future__ import annotations

import io

from block_files import empty_branch
from p2p_nodes import P2PNode, until, world
from snapshot_chain import BASE_HEIGHT, snapshot_chain, snapshot_file, utxo_hash_at

from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.snapshot import SnapshotReader
from pybitcoind.chain.snapshot_load import load
from pybitcoind.chain.utxo_set_hash import UtxoHashType, utxo_set_stats
from pybitcoind.p2p.memory_network import MemoryHub
from pybitcoind.p2p.messages import ServiceFlags

CHAIN = snapshot_chain(230)
NOW = CHAIN[-1].header.time + 60
LIMITED = ServiceFlags.WITNESS | ServiceFlags.NETWORK_LIMITED


async def load_into(node: P2PNode) -> None:
    await node.chain.accept_headers([block.header for block in CHAIN])
    await load(node.chain, SnapshotReader(io.BytesIO(snapshot_file()), node.chain.params))


async def utxo_hash(node: P2PNode) -> bytes | None:
    await node.chain.flush()
    kind = UtxoHashType.HASH_SERIALIZED_3
    return (await utxo_set_stats(node.chain.chainstate.store, kind, node.ports.workers)).hash


def asked_for(node: P2PNode) -> list[int]:
    lines = node.log.find("Requesting block")
    return [int(line.split("(")[1].split(")")[0]) for line in lines]


async def test_the_tip_first_then_what_lies_below() -> None:
    async with world(NOW, MemoryHub().network) as w:
        full = await w.node("full", blocks=CHAIN)
        node = await w.node("node", blocks=CHAIN[:50])
        assert node.peers.context.services & ServiceFlags.NETWORK
        await load_into(node)
        assert node.peers.context.services == LIMITED
        await node.dial(full)
        assert not full.peers.peers[0].features.services & ServiceFlags.NETWORK
        await until(lambda: node.chain.background is None)
        assert node.height == 230 and await utxo_hash(node) == utxo_hash_at(230)
        heights = asked_for(node)
        assert sorted(heights) == list(range(51, 231)), "each block once"
        assert heights[:16] == list(range(201, 217))
        assert node.peers.context.services & ServiceFlags.NETWORK
        later = await w.node("later")
        await later.dial(node)
        await until(lambda: later.height == 230)


async def test_a_limited_peer_is_not_asked_for_what_lies_below() -> None:
    async with world(NOW, MemoryHub().network) as w:
        limited = await w.node("limited", blocks=CHAIN, services=LIMITED)
        node = await w.node("node", blocks=CHAIN[:50])
        await load_into(node)
        await node.dial(limited)
        await until(lambda: node.height == 230)
        assert min(asked_for(node)) > BASE_HEIGHT
        assert node.chain.validated_tip.height == 50
        full = await w.node("full", blocks=CHAIN)
        await node.dial(full)
        await until(lambda: node.chain.background is None)


async def test_nothing_from_who_is_on_another_chain() -> None:
    """Its blocks could not be connected: below the snapshot nothing can be taken off yet."""
    branch = empty_branch(CHAIN[99].header, 100, 300)
    async with world(NOW + 3600, MemoryHub().network) as w:
        other = await w.node("other", blocks=[*CHAIN[:100], *branch])
        node = await w.node("node", blocks=CHAIN[:50])
        await load_into(node)
        await node.dial(other)
        await until(lambda: node.log.find("doesn't have the snapshot block in its best chain"))
        assert node.height == BASE_HEIGHT and not asked_for(node)
        await node.feed(CHAIN[50:])
        await until(lambda: node.chain.background is None)
        await until(lambda: hash_hex(node.chain.tip.hash) == hash_hex(branch[-1].hash))
