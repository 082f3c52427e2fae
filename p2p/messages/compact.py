"""Compact blocks: a block by short ids of its transactions, and those that the receiver lacks (BIP 152)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from pybitcoind.chain.primitives.block import HEADER_SIZE, BlockHeader
from pybitcoind.chain.primitives.serialize import DecodeError, Reader, Writer
from pybitcoind.chain.primitives.transaction import Transaction

SHORT_ID_SIZE = 6
_MAX_INDEX = 0xFFFF


def _read_tx(r: Reader) -> Transaction:
    tx, r.pos = Transaction.parse(r.buf, r.pos)
    return tx


@dataclass(slots=True)
class CmpctBlock:
    """A header, the short ids of most of its transactions, and the others themselves.

    nonce: uint64, part of what short ids are made with. short_ids: 48 bits each, in the order of the block.
    prefilled: (so many transactions after the one before it, transaction), as on the wire.
    """

    COMMAND: ClassVar[str] = "cmpctblock"
    V2_ID: ClassVar[int | None] = 4
    header: BlockHeader
    nonce: int
    short_ids: list[int]
    prefilled: list[tuple[int, Transaction]]

    @property
    def tx_count(self) -> int:
        return len(self.short_ids) + len(self.prefilled)

    def encode(self, w: Writer) -> None:
        w.bytes(self.header.raw)
        w.u64(self.nonce)
        w.compact_size(len(self.short_ids))
        w.bytes(b"".join(short.to_bytes(SHORT_ID_SIZE, "little") for short in self.short_ids))
        w.compact_size(len(self.prefilled))
        for gap, tx in self.prefilled:
            w.compact_size(gap)
            w.bytes(tx.raw)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        header = BlockHeader.decode(r.bytes(HEADER_SIZE))
        nonce = r.u64()
        data = r.bytes(r.compact_size() * SHORT_ID_SIZE)
        parts = (data[at : at + SHORT_ID_SIZE] for at in range(0, len(data), SHORT_ID_SIZE))
        short_ids = [int.from_bytes(part, "little") for part in parts]
        prefilled = []
        for _ in range(r.compact_size()):
            gap = r.compact_size()
            if gap > _MAX_INDEX:
                raise DecodeError("CompactSize exceeds limit of type")
            prefilled.append((gap, _read_tx(r)))
        if len(short_ids) + len(prefilled) > _MAX_INDEX:
            raise DecodeError("indexes overflowed 16 bits")
        return cls(header, nonce, short_ids, prefilled)


@dataclass(slots=True)
class GetBlockTxn:
    """Send me these transactions of a block. indexes: rising, of at most 16 bits."""

    COMMAND: ClassVar[str] = "getblocktxn"
    V2_ID: ClassVar[int | None] = 10
    block_hash: bytes
    indexes: list[int]

    def encode(self, w: Writer) -> None:
        w.hash(self.block_hash)
        w.compact_size(len(self.indexes))
        following = 0
        for index in self.indexes:
            w.compact_size(index - following)
            following = index + 1

    @classmethod
    def decode(cls, r: Reader) -> Self:
        block_hash = r.hash()
        indexes, following = list[int](), 0
        for _ in range(r.compact_size()):
            index = following + r.compact_size()
            if index > _MAX_INDEX:
                raise DecodeError("differential value overflow")
            indexes.append(index)
            following = index + 1
        return cls(block_hash, indexes)


@dataclass(slots=True)
class BlockTxn:
    """The transactions that a getblocktxn asked for, in its order."""

    COMMAND: ClassVar[str] = "blocktxn"
    V2_ID: ClassVar[int | None] = 3
    block_hash: bytes
    txs: list[Transaction]

    def encode(self, w: Writer) -> None:
        w.hash(self.block_hash)
        w.compact_size(len(self.txs))
        for tx in self.txs:
            w.bytes(tx.raw)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        return cls(r.hash(), [_read_tx(r) for _ in range(r.compact_size())])
