"""Merkle trees of transactions: the root of a block, and partial trees that prove membership (BIP 37)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import eq

from .block import BlockHeader
from .hashes import ZERO_HASH, sha256d
from .serialize import DecodeError, Reader, Writer

MAX_TRANSACTIONS = 4_000_000 // 240
"""No block holds more transactions than this: weight limit by least weight of a transaction with 60 bytes."""


def merkle_root(leaves: Sequence[bytes]) -> tuple[bytes, bool]:
    """(root, mutated) over leaf hashes in order; the zero hash over none.

    mutated: two equal hashes stand side by side on some level, so another list of leaves has the same
    root (CVE-2012-2459); such a block must be refused without marking its header as failed.
    """
    if not leaves:
        return ZERO_HASH, False
    level, mutated = list(leaves), False
    while len(level) > 1:
        left, right = level[::2], level[1::2]
        if any(map(eq, left, right)):
            mutated = True
        if len(level) & 1:
            right.append(level[-1])
        level = [sha256d(a + b) for a, b in zip(left, right, strict=True)]
    return level[0], mutated


@dataclass(slots=True)
class PartialMerkleTree:
    """A pruned merkle tree: hashes and flag bits of a depth-first walk (BIP 37)."""

    total: int
    bits: list[bool]
    hashes: list[bytes]

    @classmethod
    def build(cls, leaves: Sequence[bytes], match: Sequence[bool]) -> PartialMerkleTree:
        """The part of the tree over leaves that proves those with match set."""
        levels = [list(leaves)]
        flags = [list(match)]
        while len(levels[-1]) > 1:
            row, marks = levels[-1], flags[-1]
            pairs = range(0, len(row), 2)
            levels.append([sha256d(row[i] + row[min(i + 1, len(row) - 1)]) for i in pairs])
            flags.append([any(marks[i : i + 2]) for i in pairs])
        tree = cls(len(leaves), [], [])

        def walk(height: int, index: int) -> None:
            matched = flags[height][index]
            tree.bits.append(matched)
            if height == 0 or not matched:
                tree.hashes.append(levels[height][index])
                return
            walk(height - 1, 2 * index)
            if 2 * index + 1 < len(levels[height - 1]):
                walk(height - 1, 2 * index + 1)

        walk(len(levels) - 1, 0)
        return tree

    def extract(self) -> tuple[bytes, list[tuple[int, bytes]]]:
        """(root, [(index, leaf)]) of the matched leaves; DecodeError if the tree is malformed."""
        if self.total == 0:
            raise DecodeError("empty merkle tree")
        if (
            self.total > MAX_TRANSACTIONS
            or len(self.hashes) > self.total
            or len(self.bits) < len(self.hashes)
        ):
            raise DecodeError("oversized merkle tree")
        height = 0
        while self._width(height) > 1:
            height += 1
        matches: list[tuple[int, bytes]] = []
        bit = used = 0

        def walk(height: int, index: int) -> bytes:
            nonlocal bit, used
            if bit >= len(self.bits):
                raise DecodeError("merkle tree: too few bits")
            parent_of_match = self.bits[bit]
            bit += 1
            if height == 0 or not parent_of_match:
                if used >= len(self.hashes):
                    raise DecodeError("merkle tree: too few hashes")
                digest = self.hashes[used]
                used += 1
                if height == 0 and parent_of_match:
                    matches.append((index, digest))
                return digest
            left = right = walk(height - 1, 2 * index)
            if 2 * index + 1 < self._width(height - 1):
                right = walk(height - 1, 2 * index + 1)
                if right == left:  # the two may never be equal: CVE-2012-2459
                    raise DecodeError("merkle tree: equal siblings")
            return sha256d(left + right)

        root = walk(height, 0)
        if (bit + 7) // 8 != (len(self.bits) + 7) // 8 or used != len(self.hashes):
            raise DecodeError("merkle tree: parts left over")
        return root, matches

    def _width(self, height: int) -> int:
        return (self.total + (1 << height) - 1) >> height

    def encode(self, w: Writer) -> None:
        w.u32(self.total)
        w.compact_size(len(self.hashes))
        for digest in self.hashes:
            w.hash(digest)
        packed = bytearray((len(self.bits) + 7) // 8)
        for i, flag in enumerate(self.bits):
            packed[i // 8] |= flag << (i % 8)
        w.var_bytes(bytes(packed))

    @classmethod
    def decode(cls, r: Reader) -> PartialMerkleTree:
        total = r.u32()
        hashes = r.list(Reader.hash)
        packed = r.var_bytes()
        return cls(total, [bool(byte >> i & 1) for byte in packed for i in range(8)], hashes)


@dataclass(slots=True)
class MerkleBlock:
    """A header with a partial merkle tree: gettxoutproof's answer and the merkleblock message."""

    header: BlockHeader
    tree: PartialMerkleTree

    def serialize(self) -> bytes:
        w = Writer()
        w.bytes(self.header.raw)
        self.tree.encode(w)
        return w.getvalue()

    @classmethod
    def decode(cls, raw: bytes) -> MerkleBlock:
        r = Reader(raw)
        proof = cls(BlockHeader.decode(r.bytes(80)), PartialMerkleTree.decode(r))
        r.finish()
        return proof
