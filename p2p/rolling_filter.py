"""A bounded memory of hashes: "have I seen this lately", with rare false positives."""

from __future__ import annotations

from math import ceil, log

from siphashc import siphash as _siphash


def siphash(key: bytes, data: bytes) -> int:
    """SipHash-2-4, 64 bits; key: 16 bytes."""
    return int(_siphash(key, data))


class RollingFilter:
    """Remembers at least the last `size` hashes inserted, at most twice as many; never forgets sooner.

    Two Bloom filters take turns: the younger is filled, the elder is dropped when the younger is full.
    false_positives: the rate with both full. Memory: 2 * size * 1.44 * log2(2 / rate) bits.
    key: 16 secret bytes, so that nobody can make hashes that collide here.
    """

    __slots__ = ("_bits", "_count", "_elder", "_hashes", "_key", "_size", "_younger")

    def __init__(self, size: int, false_positives: float, key: bytes) -> None:
        rate = false_positives / 2
        self._hashes = max(1, min(50, round(-log(rate) / log(2))))
        self._bits = max(64, ceil(-size * log(rate) / log(2) ** 2))
        self._size, self._key = size, key
        self.reset()

    def reset(self) -> None:
        self._younger, self._elder, self._count = bytearray(), bytearray(), 0

    def insert(self, item: bytes) -> None:
        if self._count == self._size:
            self._elder, self._younger, self._count = self._younger, bytearray(), 0
        if not self._younger:
            self._younger = bytearray((self._bits + 7) // 8)
        self._count += 1
        bits, table = self._bits, self._younger
        digest = siphash(self._key, item)
        low, high = digest & 0xFFFFFFFF, (digest >> 32) | 1
        for _ in range(self._hashes):
            index = low % bits
            table[index >> 3] |= 1 << (index & 7)
            low += high

    def __contains__(self, item: bytes) -> bool:
        digest = siphash(self._key, item)
        return self._in(self._younger, digest) or self._in(self._elder, digest)

    def _in(self, table: bytearray, digest: int) -> bool:
        if not table:
            return False
        low, high, bits = digest & 0xFFFFFFFF, (digest >> 32) | 1, self._bits
        for _ in range(self._hashes):
            index = low % bits
            if not table[index >> 3] >> (index & 7) & 1:
                return False
            low += high
        return True
