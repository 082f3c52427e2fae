"""The statistics after each block are those of its coins, over reorganisations and restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_indexes import Chain, Quiet, running

from pybitcoind.chain.consensus.connect import BIP30_OVERWRITTEN
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.indexes import base
from pybitcoind.chain.indexes.coin_stats import BlockAmounts, CoinStatsIndex, block_change
from pybitcoind.chain.muhash import MuHash3072
from pybitcoind.chain.ports import Ports
from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.hashes import sha256d
from pybitcoind.chain.primitives.transaction import NULL_OUTPOINT, Coin, OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.storage.database import FileStorage, MemoryStorage
from pybitcoind.chain.storage.records import BlockUndo
from pybitcoind.chain.utxo_set_hash import serialize_coin

SUBSIDY = 50 * 100_000_000
FEE, BURNT = 6, 4


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture(params=["files", "memory"])
def ports(request: pytest.FixtureRequest, tmp_path: Path) -> Ports:
    quiet: Any = Quiet()
    storage = FileStorage(tmp_path) if request.param == "files" else MemoryStorage()
    return Ports(quiet, quiet, quiet, quiet, storage, quiet)


def coins_at(chain: Chain, node: HeaderNode) -> dict[OutPoint, Coin]:
    """The UTXO set after node, from the beginning."""
    coins: dict[OutPoint, Coin] = {}
    for height in range(1, node.height + 1):
        for tx in chain.blocks[node.ancestor(height)][0].vtx:
            if not tx.is_coinbase:
                for txin in tx.vin:
                    del coins[txin.prevout]
            for n, (value, script) in enumerate(tx.vout):
                if not script.startswith(b"\x6a"):
                    coins[OutPoint(tx.txid, n)] = Coin(value, script, height, tx.is_coinbase)
    return coins


def grow(
    chain: Chain, prev: HeaderNode | None = None, spends: int = 0, *, left: int = 0, salt: int = 0
) -> HeaderNode:
    """A block behind prev (default: the tip) that spends the oldest coins and claims all but left."""
    prev = prev or chain.tip
    coins = coins_at(chain, prev)
    txs, undo = [], []
    for outpoint in list(coins)[:spends]:
        coin = coins[outpoint]
        outputs = [TxOut(coin.value - FEE - BURNT, b"\x51" * (salt + 2)), TxOut(BURNT, b"\x6a")]
        txs.append(Transaction.make([TxIn(outpoint, b"")], outputs))
        undo.append([coin])
    height = prev.height + 1
    reward = SUBSIDY + FEE * spends - left
    coinbase = Transaction.make(
        [TxIn(NULL_OUTPOINT, b"\x04" + height.to_bytes(4, "little") + bytes([salt]))],
        [TxOut(reward - 1000, b"\x51" + bytes([salt])), TxOut(1000, b"\x52")],
    )
    header = BlockHeader(4, prev.hash, sha256d(coinbase.raw), prev.time + 1, 0x207FFFFF, salt)
    return chain.add(Block(header, [coinbase, *txs]), BlockUndo(undo))


async def stats_hold(index: CoinStatsIndex, chain: Chain, tip: HeaderNode) -> None:
    """All money ever made is in the coins or can never be spent."""
    for height in range(tip.height + 1):
        coins = coins_at(chain, tip.ancestor(height))
        stats = await index.find(tip.ancestor(height).hash)
        assert stats is not None
        elements = [serialize_coin(outpoint.txid, outpoint.vout, coin) for outpoint, coin in coins.items()]
        assert stats.muhash == MuHash3072(elements).finalize()
        assert stats.txouts == len(coins)
        assert stats.bogosize == sum(50 + len(coin.script_pubkey) for coin in coins.values())
        assert stats.total_amount == sum(coin.value for coin in coins.values())
        assert stats.total_amount + stats.total_unspendable_amount == SUBSIDY * (height + 1)
        moved = stats.block
        assert moved.prevout_spent + SUBSIDY == (
            moved.new_outputs_ex_coinbase + moved.coinbase + moved.unspendable
        )


async def test_amounts_of_a_block(chain: Chain, ports: Ports) -> None:
    for _ in range(3):
        chain.connect(grow(chain))
    async with running(CoinStatsIndex, chain, ports) as index:
        node = grow(chain, spends=2, left=77)
        chain.connect(node)
        await chain.events.drained()
        genesis = await index.find(chain.headers.chain[0].hash)
        assert genesis.block == BlockAmounts(genesis_block=SUBSIDY)
        assert (genesis.txouts, genesis.total_amount, genesis.total_unspendable_amount) == (0, 0, SUBSIDY)
        assert genesis.muhash == MuHash3072().finalize()
        stats = await index.find(node.hash)
        spent = SUBSIDY  # the two outputs of the first coinbase
        made, reward = spent - 2 * (FEE + BURNT), SUBSIDY + 2 * FEE - 77
        assert stats.block == BlockAmounts(spent, made, reward, 0, 0, 2 * BURNT, 77)
        assert stats.txouts == 3 * 2 + 2 - 2 + 2
        assert await index.find(bytes(32)) is None
        await stats_hold(index, chain, chain.tip)


async def test_reorganisation(chain: Chain, ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "BATCH_BLOCKS", 3)
    for _ in range(8):
        chain.connect(grow(chain, spends=1))
    stale = chain.tip
    async with running(CoinStatsIndex, chain, ports) as index:
        before = await index.find(stale.hash)
        chain.connect(grow(chain, chain.headers.chain[5], 2, left=5, salt=1))
        for _ in range(4):
            chain.connect(grow(chain, spends=3, salt=1))
        await chain.events.drained()
        assert index.best is chain.tip
        await stats_hold(index, chain, chain.tip)
        await stats_hold(index, chain, stale)  # still known by its hash
        chain.connect(stale)
        chain.connect(grow(chain, spends=2, salt=2))
        await chain.events.drained()
        assert await index.find(stale.hash) == before
        await stats_hold(index, chain, chain.tip)


async def test_reorganisation_while_it_is_off(chain: Chain, ports: Ports) -> None:
    for _ in range(6):
        chain.connect(grow(chain, spends=1))
    async with running(CoinStatsIndex, chain, ports):
        pass
    chain.connect(grow(chain, chain.headers.chain[4], 2, salt=3))
    chain.connect(grow(chain, spends=1, salt=3))
    chain.connect(grow(chain, spends=1, salt=3))
    chain.reads = 0
    async with running(CoinStatsIndex, chain, ports) as index:
        assert chain.reads == 3 and index.best is chain.tip
        await stats_hold(index, chain, chain.tip)


async def test_overwritten_coinbase(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two coinbases with one txid the first is lost (the main chain's 91722 and 91812)."""
    node = grow(chain, left=9)
    block, undo = chain.blocks[node]
    monkeypatch.setitem(BIP30_OVERWRITTEN, 1, block.hash)
    change = block_change(block, undo, 1, SUBSIDY)
    assert (change.factor, change.txouts, change.bogosize) == (1, 0, 0)
    assert change.amounts == BlockAmounts(bip30=SUBSIDY)


async def test_a_gap_is_damage(chain: Chain, ports: Ports) -> None:
    for _ in range(3):
        chain.connect(grow(chain))
    async with running(CoinStatsIndex, chain, ports) as index:
        expected = await index.find(chain.tip.hash)
        await index.db.write(lambda conn: conn.execute("DELETE FROM stats WHERE hash=?", (chain.tip.hash,)))
    old = chain.tip
    chain.connect(grow(chain))
    async with running(CoinStatsIndex, chain, ports) as index:
        assert index.best is chain.tip and await index.find(old.hash) == expected
    lines: list[str] = ports.log.lines  # type: ignore[attr-defined]
    assert any("is damaged (3 of 4 blocks). It is deleted" in line for line in lines), lines
