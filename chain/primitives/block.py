"""Block headers and blocks."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import final

from .hashes import ZERO_HASH, sha256d
from .serialize import DecodeError, compact_size, read_compact_size
from .transaction import WITNESS_SCALE_FACTOR, Transaction

HEADER_SIZE = 80
_HEADER = struct.Struct("<i32s32sIII")


@final
class BlockHeader:
    """The 80 bytes that are hashed for proof of work. version: int32; time, bits, nonce: uint32."""

    __slots__ = ("_hash", "bits", "merkle_root", "nonce", "prev_hash", "raw", "time", "version")

    def __init__(
        self,
        version: int,
        prev_hash: bytes,
        merkle_root: bytes,
        time: int,
        bits: int,
        nonce: int,
        raw: bytes | None = None,
    ) -> None:
        """raw: what the others are packed to, where it is at hand."""
        self.version, self.prev_hash, self.merkle_root = version, prev_hash, merkle_root
        self.time, self.bits, self.nonce = time, bits, nonce
        self.raw = _HEADER.pack(version, prev_hash, merkle_root, time, bits, nonce) if raw is None else raw
        self._hash: bytes | None = None

    @classmethod
    def decode(cls, raw: bytes) -> BlockHeader:
        """From exactly 80 bytes; DecodeError otherwise."""
        if len(raw) != HEADER_SIZE:
            raise DecodeError("a block header has 80 bytes")
        version, prev_hash, merkle_root, time, bits, nonce = _HEADER.unpack(raw)
        return cls(version, prev_hash, merkle_root, time, bits, nonce, bytes(raw))

    @property
    def hash(self) -> bytes:
        if self._hash is None:
            self._hash = sha256d(self.raw)
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BlockHeader) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"BlockHeader({self.hash[::-1].hex()})"


@final
class Block:
    """A header and its transactions, with the bytes they came from."""

    __slots__ = ("_base_size", "header", "raw", "vtx")

    def __init__(self, header: BlockHeader, vtx: Sequence[Transaction], raw: bytes | None = None) -> None:
        self.header, self.vtx = header, tuple(vtx)
        if raw is None:
            raw = b"".join((header.raw, compact_size(len(self.vtx)), *(tx.raw for tx in self.vtx)))
        self.raw = raw
        self._base_size: int | None = None

    @classmethod
    def decode(cls, raw: bytes) -> Block:
        """The block that raw is, to its last byte; DecodeError otherwise."""
        header = BlockHeader.decode(raw[:HEADER_SIZE])
        count, pos = read_compact_size(raw, HEADER_SIZE)
        vtx, parse = [], Transaction.parse
        for _ in range(count):
            tx, pos = parse(raw, pos)
            vtx.append(tx)
        if pos != len(raw):
            raise DecodeError(f"{len(raw) - pos} trailing bytes")
        return cls(header, vtx, raw)

    @property
    def hash(self) -> bytes:
        return self.header.hash

    @property
    def size(self) -> int:
        """Bytes with witness."""
        return len(self.raw)

    @property
    def base_size(self) -> int:
        """Bytes without witness."""
        if self._base_size is None:
            count = len(compact_size(len(self.vtx)))
            self._base_size = HEADER_SIZE + count + sum(tx.base_size for tx in self.vtx)
        return self._base_size

    @property
    def weight(self) -> int:
        return self.base_size * (WITNESS_SCALE_FACTOR - 1) + len(self.raw)

    @property
    def stripped(self) -> bytes:
        """The serialization without witnesses."""
        return b"".join((self.header.raw, compact_size(len(self.vtx)), *(tx.stripped for tx in self.vtx)))

    def txids(self) -> list[bytes]:
        return [tx.txid for tx in self.vtx]

    def wtxids(self) -> list[bytes]:
        """Leaves of the witness merkle tree: the coinbase counts as zero (BIP 141)."""
        return [ZERO_HASH, *(tx.wtxid for tx in self.vtx[1:])]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Block) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.header.raw)

    def __repr__(self) -> str:
        return f"Block({self.hash[::-1].hex()}, {len(self.vtx)} txs)"
