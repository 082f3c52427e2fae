"""Compact block filters: a Golomb-coded set of the scripts a block pays to and spends (BIP 158, basic type).

A client that knows a script asks the filter whether the block may touch it; one answer in 784,931 is a false
yes. Source: BIP 158, Bitcoin Core src/blockfilter.cpp.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from siphashc import siphash

from .primitives.block import Block
from .primitives.hashes import ZERO_HASH, sha256d
from .primitives.serialize import DecodeError, compact_size, read_compact_size
from .primitives.transaction import Coin

BASIC_FILTER_TYPE = 0
GOLOMB_P = 19
"""Bits of the remainder in Golomb-Rice coding."""
FALSE_POSITIVE_M = 784931
"""One over the rate of false positives."""
_OP_RETURN = 0x6A
_MASK_P = (1 << GOLOMB_P) - 1


def basic_elements(block: Block, spent: Iterable[Iterable[Coin]]) -> set[bytes]:
    """The scripts in a block's basic filter: of its outputs but those with OP_RETURN, and of what it spends.

    spent: the block's undo, the coins of each transaction after the coinbase.
    """
    scripts = {script for tx in block.vtx for _, script in tx.vout if script and script[0] != _OP_RETURN}
    scripts.update(script for coins in spent for _, script, _, _ in coins)
    scripts.discard(b"")
    return scripts


class BlockFilter:
    """The basic filter of one block. encoded: as in a cfilter message, the count and then the coded set."""

    __slots__ = ("block_hash", "count", "encoded")

    def __init__(self, block_hash: bytes, encoded: bytes) -> None:
        """A filter as it came; DecodeError unless it holds just as many values as it says."""
        self.block_hash, self.encoded = block_hash, encoded
        self.count, _ = read_compact_size(encoded, 0)
        for _ in self._values():
            pass

    @classmethod
    def trusted(cls, block_hash: bytes, encoded: bytes) -> BlockFilter:
        """A filter of our own making, read back without a look at its values."""
        known = cls.__new__(cls)
        known.block_hash, known.encoded = block_hash, encoded
        known.count, _ = read_compact_size(encoded, 0)
        return known

    @classmethod
    def of_block(cls, block: Block, spent: Iterable[Iterable[Coin]]) -> BlockFilter:
        """The filter of a block; spent: its undo."""
        return cls.of_elements(block.hash, basic_elements(block, spent))

    @classmethod
    def of_elements(cls, block_hash: bytes, elements: Iterable[bytes]) -> BlockFilter:
        """The filter of a set of scripts under the key that block_hash gives."""
        distinct = set(elements)
        count = len(distinct)
        bits, last = [], 0
        for value in sorted(_hashed(distinct, block_hash, count)):
            delta, last = value - last, value
            bits.append("1" * (delta >> GOLOMB_P) + f"{delta & _MASK_P:020b}")  # 0 ends the unary part
        text = "".join(bits)
        size = (len(text) + 7) // 8
        coded = (int(text, 2) << size * 8 - len(text)).to_bytes(size, "big") if text else b""
        return cls.trusted(block_hash, compact_size(count) + coded)

    def match(self, script: bytes) -> bool:
        """Whether the block may touch script; a no is certain."""
        return self.match_any((script,))

    def match_any(self, scripts: Iterable[bytes]) -> bool:
        """Whether the block may touch one of scripts; a no is certain."""
        if not self.count:
            return False
        wanted = set(_hashed(scripts, self.block_hash, self.count))
        return bool(wanted) and not wanted.isdisjoint(self._values())

    def missing(self, scripts: Iterable[bytes]) -> list[bytes]:
        """Those of scripts that the block certainly does not touch."""
        asked, values = list(scripts), set(self._values())
        hashed = _hashed(asked, self.block_hash, self.count)
        return [script for script, value in zip(asked, hashed, strict=True) if value not in values]

    def _values(self) -> Iterator[int]:
        """The hashed values in ascending order; DecodeError if they are not what the encoding says."""
        _, start = read_compact_size(self.encoded, 0)
        coded = self.encoded[start:]
        bits = f"{int.from_bytes(coded, 'big'):0{len(coded) * 8}b}" if coded else ""
        position = value = 0
        for _ in range(self.count):
            stop = bits.find("0", position)
            end = stop + 1 + GOLOMB_P
            if stop < 0 or end > len(bits):
                raise DecodeError("end of data")
            value += (stop - position << GOLOMB_P) + int(bits[stop + 1 : end], 2)
            yield value
            position = end
        if (position + 7) // 8 != len(coded):
            raise DecodeError("encoded_filter contains excess data")

    @property
    def hash(self) -> bytes:
        return sha256d(self.encoded)

    def header(self, prev_header: bytes = ZERO_HASH) -> bytes:
        """The filter header, which chains filters as block headers chain blocks (BIP 157)."""
        return filter_header(self.hash, prev_header)


def filter_header(filter_hash: bytes, prev_header: bytes) -> bytes:
    """Filter header over a filter's hash and the header of the block below (zeros below genesis)."""
    return sha256d(filter_hash + prev_header)


def _hashed(elements: Iterable[bytes], block_hash: bytes, count: int) -> Iterator[int]:
    """Each element as a number below count * M, the same for the same block."""
    key, bound = block_hash[:16], count * FALSE_POSITIVE_M
    return (siphash(key, element) * bound >> 64 for element in elements)
