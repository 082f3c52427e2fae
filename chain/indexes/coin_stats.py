"""The coin statistics index: the UTXO set's hash and totals after every block (-coinstatsindex).

Source: Bitcoin Core src/index/coinstatsindex.cpp (31.99).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..consensus.blocks import block_subsidy
from ..consensus.connect import BIP30_OVERWRITTEN
from ..header_tree import HeaderNode
from ..muhash import MODULUS, MuHash3072
from ..primitives.block import Block
from ..primitives.hashes import sha256
from ..primitives.transaction import Coin
from ..script.script import is_unspendable
from ..storage.database import Connection
from ..storage.migrations import Schema
from ..storage.records import BlockUndo
from ..utxo_set_hash import bogosize, serialize_coin
from .base import Index

_STATE_SIZE = 384
"""Bytes of a MuHash3072 number, little-endian."""


class BlockAmounts(NamedTuple):
    """Satoshis that moved in one block; the last four can never be spent.

    Prevouts and subsidy together are outputs, coinbase and what is unspendable together.
    """

    prevout_spent: int = 0
    new_outputs_ex_coinbase: int = 0
    coinbase: int = 0
    """Of the coinbase's spendable outputs."""
    genesis_block: int = 0
    bip30: int = 0
    """Of a coinbase that a later one with the same txid overwrites."""
    scripts: int = 0
    """Sent to unspendable scripts."""
    unclaimed_rewards: int = 0
    """Subsidy and fees that the coinbase left."""

    @property
    def unspendable(self) -> int:
        return self.genesis_block + self.bip30 + self.scripts + self.unclaimed_rewards


class CoinStats(NamedTuple):
    """The UTXO set after a block. muhash: internal order. Amounts in satoshis."""

    muhash: bytes
    txouts: int
    bogosize: int
    total_amount: int
    total_unspendable_amount: int
    block: BlockAmounts


@dataclass(frozen=True, slots=True)
class BlockChange:
    """What one block does to the statistics. factor: what the MuHash number is multiplied by."""

    factor: int
    txouts: int
    bogosize: int
    amounts: BlockAmounts


_COLUMNS = (
    "state, txouts, bogosize, total_amount, total_unspendable_amount, prevout_spent, "
    "new_outputs_ex_coinbase, coinbase, genesis_block, bip30, scripts, unclaimed_rewards"
)


class _Total(NamedTuple):
    """The sums over all blocks up to one. state: the MuHash number."""

    state: int
    txouts: int
    bogosize: int
    amount: int
    unspendable: int

    def after(self, change: BlockChange) -> _Total:
        moved = change.amounts
        return _Total(
            self.state * change.factor % MODULUS,
            self.txouts + change.txouts,
            self.bogosize + change.bogosize,
            self.amount + moved.coinbase + moved.new_outputs_ex_coinbase - moved.prevout_spent,
            self.unspendable + moved.unspendable,
        )

    @property
    def row(self) -> tuple[bytes, int, int, int, int]:
        """As the table has it."""
        return self.state.to_bytes(_STATE_SIZE, "little"), *self[1:]


class CoinStatsIndex(Index[BlockChange]):
    """Keeps the statistics of all blocks ever connected, by block hash: also of those off the active chain.

    With a block its whole MuHash number is stored, so going back to it needs no undo data.
    """

    NAME = "coinstatsindex"
    FILE = "indexes/coinstatsindex.sqlite"
    NEEDS_UNDO = True
    ALLOW_PRUNE = True
    BLOCKS = "stats"
    SCHEMA = Schema(
        1,
        [
            """CREATE TABLE stats (
                id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, state BLOB NOT NULL,
                txouts INTEGER NOT NULL, bogosize INTEGER NOT NULL,
                total_amount INTEGER NOT NULL, total_unspendable_amount INTEGER NOT NULL,
                prevout_spent INTEGER NOT NULL, new_outputs_ex_coinbase INTEGER NOT NULL,
                coinbase INTEGER NOT NULL, genesis_block INTEGER NOT NULL, bip30 INTEGER NOT NULL,
                scripts INTEGER NOT NULL, unclaimed_rewards INTEGER NOT NULL)"""
        ],
    )

    def prepare(self, block: Block, undo: BlockUndo, height: int) -> BlockChange:
        return block_change(block, undo, height, block_subsidy(height, self._params))

    def store(self, conn: Connection, items: Sequence[tuple[HeaderNode, BlockChange]]) -> None:
        total = self._before(conn, items[0][0])
        if total is None:
            raise self._damage(f"nothing of block {items[0][0].height - 1}")
        for node, change in items:
            total = total.after(change)
            conn.execute(
                f"INSERT OR REPLACE INTO stats (hash, {_COLUMNS}) VALUES (?{', ?' * 12})",
                (node.hash, *total.row, *change.amounts),
            )

    def holds(self, conn: Connection, node: HeaderNode, item: BlockChange) -> bool:
        before = self._before(conn, node)
        found = conn.execute(f"SELECT {_COLUMNS} FROM stats WHERE hash=?", (node.hash,)).fetchone()
        return before is not None and found == (*before.after(item).row, *item.amounts)

    @staticmethod
    def _before(conn: Connection, node: HeaderNode) -> _Total | None:
        """The sums before node; None if those of its parent are not there."""
        if node.prev is None:
            return _Total(1, 0, 0, 0, 0)
        row = conn.execute(
            "SELECT state, txouts, bogosize, total_amount, total_unspendable_amount FROM stats WHERE hash=?",
            (node.prev.hash,),
        ).fetchone()
        return None if row is None else _Total(int.from_bytes(row[0], "little"), *row[1:])

    async def find(self, block_hash: bytes) -> CoinStats | None:
        """The statistics after a block; None if it was not indexed (yet)."""
        row = await self.read(
            lambda conn: conn.execute(f"SELECT {_COLUMNS} FROM stats WHERE hash=?", (block_hash,)).fetchone()
        )
        if row is None:
            return None
        state, txouts, bogo, amount, unspendable, *moved = row
        return CoinStats(sha256(state), txouts, bogo, amount, unspendable, BlockAmounts(*moved))


def block_change(block: Block, undo: BlockUndo, height: int, subsidy: int) -> BlockChange:
    """What block does to the statistics. undo: of all its transactions but the coinbase. Pure.

    The genesis block makes no coins: all of its subsidy is lost.
    """
    if height == 0:
        return BlockChange(1, 0, 0, BlockAmounts(genesis_block=subsidy))
    muhash = MuHash3072()
    txouts = bogo = prevout_spent = new_outputs = coinbase = bip30 = scripts = 0
    for index, tx in enumerate(block.vtx):
        if index == 0 and BIP30_OVERWRITTEN.get(height) == block.hash:
            bip30 += subsidy
            continue
        for n, (value, script) in enumerate(tx.vout):
            if is_unspendable(script):
                scripts += value
                continue
            muhash.insert(serialize_coin(tx.txid, n, Coin(value, script, height, index == 0)))
            txouts += 1
            bogo += bogosize(script)
            if index == 0:
                coinbase += value
            else:
                new_outputs += value
        if index == 0:
            continue
        for txin, coin in zip(tx.vin, undo.txs[index - 1], strict=True):
            muhash.remove(serialize_coin(txin.prevout.txid, txin.prevout.vout, coin))
            txouts -= 1
            bogo -= bogosize(coin.script_pubkey)
            prevout_spent += coin.value
    unclaimed = prevout_spent + subsidy - (new_outputs + coinbase + bip30 + scripts)
    amounts = BlockAmounts(prevout_spent, new_outputs, coinbase, 0, bip30, scripts, unclaimed)
    factor = muhash.numerator % MODULUS
    if muhash.denominator != 1:
        factor = factor * pow(muhash.denominator, -1, MODULUS) % MODULUS
    return BlockChange(factor, txouts, bogo, amounts)
