"""A transaction in the mempool and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass

from ..policy.feerate import adjusted_weight
from ..primitives.transaction import WITNESS_SCALE_FACTOR, Transaction

MEMPOOL_HEIGHT = 0x7FFFFFFF
"""Height of coins that unconfirmed transactions make."""


@dataclass(slots=True, eq=False)
class MempoolEntry:
    """fee: what it pays; modified_fee: with the delta of prioritisetransaction. Satoshis.

    time: seconds, when it came; height: of the tip then. sequence: of the mempool then, 0 if it came back
    from a block. adjusted_weight, vsize: with sigops counted in. depends_on_height: it spends a coinbase or
    has a relative lock, so its coins are looked at again after a reorganisation. usage: bytes of memory.
    """

    tx: Transaction
    fee: int
    modified_fee: int
    time: int
    height: int
    sequence: int
    sigop_cost: int
    adjusted_weight: int
    depends_on_height: bool
    usage: int = 0

    @classmethod
    def make(
        cls,
        tx: Transaction,
        fee: int,
        *,
        delta: int = 0,
        time: int = 0,
        height: int = 0,
        sequence: int = 0,
        sigop_cost: int = 0,
        bytes_per_sigop: int = 20,
        depends_on_height: bool = False,
    ) -> MempoolEntry:
        weight = adjusted_weight(tx.weight, sigop_cost, bytes_per_sigop)
        return cls(tx, fee, fee + delta, time, height, sequence, sigop_cost, weight, depends_on_height)

    @property
    def txid(self) -> bytes:
        return self.tx.txid

    @property
    def vsize(self) -> int:
        return (self.adjusted_weight + WITNESS_SCALE_FACTOR - 1) // WITNESS_SCALE_FACTOR
