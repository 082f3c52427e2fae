"""What cached coins take of memory, measured on a sample of them.

Nothing is counted when coins come and go: that would cost more than the coins. What a coin takes depends on
its script, and on how many coins share a txid and a height; reference counts tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from sys import getrefcount, getsizeof
from typing import Any

SAMPLE = 500
"""Coins looked at: then the mean is right to one or two percent."""
GROWTH = 1.25
"""The next look is taken when there are so many times more coins, or fewer."""
FIRST_GUESS = 400
"""Bytes of a coin without its place in the dictionary, where none was looked at yet."""
NEARLY = 0.04
"""A dictionary is said to grow soon when this share of its entries is left,"""
BLOCK_OF_COINS = 10_000
"""or so many: what a large block may bring before the next look."""
_PLACE = 30
"""Bytes of a dictionary for each entry it has room for, before it grows."""
_GRAIN = 16
"""Python gives memory out in multiples of that."""


class CoinMemory:
    """An estimate that is renewed as the dictionaries grow."""

    def __init__(self) -> None:
        self._entry = float(FIRST_GUESS)
        self._looked_at = 0

    def usage(self, *caches: Mapping[Any, Any]) -> int:
        """Bytes of the dictionaries and all they hold, to some percent."""
        count = sum(map(len, caches))
        if not self._looked_at / GROWTH < count < self._looked_at * GROWTH:
            self.look(*caches)
        return round(count * self._entry) + sum(map(getsizeof, caches))

    @staticmethod
    def growth(*caches: Mapping[Any, Any]) -> int:
        """Bytes that dictionaries which are nearly full of entries will soon take more: they double then."""
        growing = 0
        for cache in caches:
            places = getsizeof(cache) // _PLACE
            if places - len(cache) < min(NEARLY * places, BLOCK_OF_COINS):
                growing += getsizeof(cache)
        return growing

    def look(self, *caches: Mapping[Any, Any]) -> None:
        """Measures anew; goes once through the dictionaries, some ms for a million coins."""
        count = sum(map(len, caches))
        step = max(1, count // SAMPLE)
        sample = [_size(entry) for cache in caches for entry in islice(cache.items(), 0, None, step)]
        if sample:
            self._entry = sum(sample) / len(sample)
        self._looked_at = count


def _size(entry: tuple[Any, Any]) -> float:
    """Bytes of a key and its value, each a tuple of bytes and numbers; what is shared counts in part."""
    total = 0.0
    for whole in entry:
        if whole is not None:
            total += _allocated(whole) + _parts(whole)
    return total


def _parts(values: Iterable[object]) -> float:
    total = 0.0
    for value in values:
        total += _allocated(value) / max(1, getrefcount(value) - 2)  # the loop and the call hold it too
    return total


def _allocated(value: object) -> int:
    return -(-getsizeof(value) // _GRAIN) * _GRAIN
