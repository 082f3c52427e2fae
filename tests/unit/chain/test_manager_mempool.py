"""The mempool follows the chain: through blocks, conflicts and reorganisations, always in step."""

from __future__ import annotations

import pytest
from ports import make_ports
from running import Recorder, running_chain
from scene import SCRIPT_PUBKEY, Scene, make_scene, solved

from pybitcoind.chain.consensus.errors import TxFault, TxInvalid
from pybitcoind.chain.events import BlockConnected, BlockDisconnected, RemovalReason, TxAdded, TxRemoved
from pybitcoind.chain.manager import ChainManager
from pybitcoind.chain.mempool.pool import Mempool
from pybitcoind.chain.policy.settings import PolicySettings
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.transaction import COIN


def with_mempool(chain: ChainManager) -> Mempool:
    pool = Mempool(PolicySettings(), chain.ports.clock, chain.ports.log, chain.events)
    chain.attach_mempool(pool)
    return pool


async def feed(chain: ChainManager, scene: Scene) -> None:
    for block in scene.blocks:
        await chain.accept_block(block, requested=True)
    await chain.activate_best()
    assert chain.tip.hash == scene.tip.hash


async def test_without_a_mempool() -> None:
    base = make_scene(105)
    async with running_chain(make_ports(now=base.now)) as chain:
        with pytest.raises(TxInvalid) as caught:
            await chain.accept_transaction(base.spend(base.mature[0]))
        assert caught.value.fault is TxFault.NO_MEMPOOL


async def test_blocks_take_transactions_and_reorganisations_bring_them_back() -> None:
    base = make_scene(110)
    parent = base.spend(base.mature[0])
    child = base.spend(base.output(parent))
    loser, winner = base.spend(base.mature[1]), base.spend(base.mature[1], fee=2000)
    mined = base.extended(base.block(parent, winner))
    other = base.extended(base.block(coinbase=base.coinbase(script_sig=b"\x01\x6f\x00\x00")))
    other2 = other.extended(other.block())
    recorder = Recorder()
    async with running_chain(make_ports(now=other2.now), recorder=recorder) as chain:
        pool = with_mempool(chain)
        await feed(chain, base)
        for tx in (parent, child, loser):
            await chain.accept_transaction(tx)
        assert len(pool) == 3
        await chain.process_block(mined.blocks[-1])
        assert list(pool.entries) == [child.txid]
        await chain.events.drained()
        removed = [(event.tx, event.reason) for event in recorder.of(TxRemoved)]
        assert removed == [(parent, RemovalReason.BLOCK), (loser, RemovalReason.CONFLICT)]

        recorder.events.clear()
        for block in (other.blocks[-1], other2.blocks[-1]):
            await chain.process_block(block, requested=True)
        assert chain.tip.hash == other2.tip.hash
        assert set(pool.entries) == {parent.txid, child.txid, winner.txid}
        assert pool.ancestors(child.txid)[1].tx is not None
        await chain.events.drained()
        kinds = [type(e) for e in recorder.of(BlockDisconnected, TxAdded, BlockConnected)]
        assert kinds == [BlockDisconnected, TxAdded, TxAdded, BlockConnected, BlockConnected]

        template = await chain.create_template(SCRIPT_PUBKEY)
        assert set(template.block.txids()[1:]) == set(pool.entries)
        block = Block(solved(template.block.header), template.block.vtx)
        result = await chain.process_block(block)
        assert result.error is None and result.checked and len(pool) == 0

        await chain.invalidate_block(block.hash)
        assert set(pool.entries) == {parent.txid, child.txid, winner.txid}
        await chain.reconsider_block(block.hash)
        assert chain.tip.hash == block.hash and len(pool) == 0


async def test_what_a_reorganisation_makes_immature_leaves_the_mempool() -> None:
    base = make_scene(110)
    ripe = base.extended(base.block())
    youngest = ripe.mature[-1]
    assert base.height - youngest[1].height < 100  # it could not be spent one block earlier
    async with running_chain(make_ports(now=ripe.now)) as chain:
        pool = with_mempool(chain)
        await feed(chain, ripe)
        tx = ripe.spend(youngest)
        await chain.accept_transaction(tx)
        await chain.invalidate_block(ripe.tip.hash)
        assert len(pool) == 0
        with pytest.raises(TxInvalid, match="bad-txns-premature-spend-of-coinbase"):
            await chain.accept_transaction(tx)


async def test_scripts_the_mempool_checked_are_not_checked_again() -> None:
    base = make_scene(110)
    txs = [base.spend(coin, fee=COIN // 1000) for coin in base.mature[:5]]
    async with running_chain(make_ports(now=base.now)) as chain:
        with_mempool(chain)
        await feed(chain, base)
        for tx in txs[:3]:
            await chain.accept_transaction(tx)
        await chain.accept_transaction(txs[3], test_only=True)
        assert len(chain.script_cache) == 4
        await chain.test_block_validity(base.block(*txs))
        assert len(chain.script_cache) == 5
