"""Transactions of blocks that a reorganisation took off, kept until the mempool is mended.

They are counted as Core counts them, and kept as bytes: parsed they would take two to three times that.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..primitives.block import Block
from ..primitives.transaction import Transaction
from .usage import transaction_usage

MAX_BYTES = 20_000_000
"""Memory for them (Core MAX_DISCONNECTED_TX_POOL_BYTES); the ones confirmed last are dropped first."""


PART = 500
"""Transactions that `take` parses at once, at most."""


class DisconnectedTransactions:
    """Filled while blocks go, latest first; emptied by `take`."""

    def __init__(self, limit: int = MAX_BYTES) -> None:
        self.limit = limit
        self._txs: dict[bytes, bytes] = {}
        self._usage = 0

    def __len__(self) -> int:
        return len(self._txs)

    def add_block(self, block: Block) -> list[Transaction]:
        """Takes in a block just disconnected; returns what had to be dropped for want of room."""
        for tx in reversed(block.vtx):
            self._txs[tx.txid] = tx.raw
            self._usage += transaction_usage(tx)
        dropped = []
        while self._txs and self._usage > self.limit:
            tx = Transaction.decode(self._txs.pop(next(iter(self._txs))))
            self._usage -= transaction_usage(tx)
            dropped.append(tx)
        return dropped

    def remove_block(self, block: Block) -> None:
        """A block of the new branch was connected: what it holds is confirmed again."""
        if self._txs:
            for tx in block.vtx:
                raw = self._txs.pop(tx.txid, None)
                if raw is not None:
                    self._usage -= transaction_usage(tx if raw == tx.raw else Transaction.decode(raw))

    def take(self) -> Iterator[list[Transaction]]:
        """All of them, parents before children, some at a time; leaves nothing behind."""
        raws = list(self._txs.values())
        self._txs, self._usage = {}, 0
        while raws:
            yield [Transaction.decode(raws.pop()) for _ in range(min(PART, len(raws)))]
