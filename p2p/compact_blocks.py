"""Compact blocks without sockets: made of a block, and put together again from what we have (BIP 152)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from siphashc import siphash

from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.hashes import sha256
from pybitcoind.chain.primitives.transaction import Transaction

from .messages import CmpctBlock

MAX_TRANSACTIONS = 4_000_000 // 240
"""Of a block: none has less weight than 240 units, 60 bytes without witness."""
_MAX_INDEX = 0xFFFF


class InvalidCompactBlock(Exception):
    """No honest peer sends this."""


class ShortIdCollision(Exception):
    """Two transactions have the same short id, which chance may bring about."""


def short_ids_of(header: BlockHeader, nonce: int) -> Callable[[bytes], int]:
    """What makes short ids of wtxids: the low 48 bits of SipHash-2-4, keyed by header and nonce."""
    key = sha256(header.raw + nonce.to_bytes(8, "little"))[:16]

    def short_id(wtxid: bytes) -> int:
        return int(siphash(key, wtxid)) & 0xFFFFFFFFFFFF

    return short_id


def compact(block: Block, nonce: int) -> CmpctBlock:
    """With the coinbase prefilled: nobody else can have it."""
    short_id = short_ids_of(block.header, nonce)
    short_ids = [short_id(tx.wtxid) for tx in block.vtx[1:]]
    return CmpctBlock(block.header, nonce, short_ids, [(0, block.vtx[0])])


class PartialBlock:
    """A compact block that was received, and which of its transactions are there.

    pool: transactions that may be in it, by wtxid; those after the last one that is needed are not looked at.
    Raises InvalidCompactBlock or ShortIdCollision.
    """

    def __init__(self, message: CmpctBlock, pool: Iterable[tuple[bytes, Transaction]]) -> None:
        if not message.tx_count or message.tx_count > MAX_TRANSACTIONS:
            raise InvalidCompactBlock
        self.header = message.header
        self._txs: list[Transaction | None] = [None] * message.tx_count
        self.prefilled = len(message.prefilled)
        self.from_pool = 0
        self._place_prefilled(message)
        self._take(message, pool)

    def _place_prefilled(self, message: CmpctBlock) -> None:
        last = -1
        for number, (gap, tx) in enumerate(message.prefilled):
            last += gap + 1
            null = not tx.vin and not tx.vout
            if null or last > _MAX_INDEX or last > len(message.short_ids) + number:
                raise InvalidCompactBlock
            self._txs[last] = tx

    def _take(self, message: CmpctBlock, pool: Iterable[tuple[bytes, Transaction]]) -> None:
        places = dict(zip(message.short_ids, self.missing, strict=True))
        if len(places) != len(message.short_ids):
            raise ShortIdCollision
        short_id, taken = short_ids_of(message.header, message.nonce), dict[int, bytes]()
        if not places:
            return
        for wtxid, tx in pool:
            place = places.get(short_id(wtxid))
            if place is None or taken.get(place) == wtxid:
                continue
            if place not in taken:
                taken[place], self._txs[place] = wtxid, tx
                self.from_pool += 1
            elif self._txs[place] is not None:  # two that fit: which one is meant must be asked
                self._txs[place] = None
                self.from_pool -= 1
            if self.from_pool == len(places):
                break

    @property
    def missing(self) -> list[int]:
        """Places in the block of the transactions that are not there."""
        return [place for place, tx in enumerate(self._txs) if tx is None]

    def fill(self, txs: Sequence[Transaction]) -> Block:
        """The block, with txs for those that are missing; whether they are the right ones is not checked.

        Raises InvalidCompactBlock where txs are too few or too many.
        """
        if len(txs) != len(self.missing):
            raise InvalidCompactBlock
        left = iter(txs)
        return Block(self.header, [next(left) if tx is None else tx for tx in self._txs])
