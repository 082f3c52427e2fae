"""The longest chain of headers as it was stored, in columns: what a node reads of a million headers at start.

The header tree makes nodes of it when they are asked for; most never are.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Container, Iterator
from itertools import accumulate, compress, pairwise
from operator import ne

from .consensus.pow import block_work
from .storage.header_rows import HeaderColumns, HeaderRow, checked

STEP = 256
"""Headers by which the latest time and the number of transactions so far are noted."""
_NONE = 0
"""No header: the hash table counts them from 1."""


class Trunk:
    """Number n is the header at height n, child of the one before. Changed by `activate` only.

    What has become of a header since it was loaded stands in its node.
    """

    def __init__(self, columns: HeaderColumns) -> None:
        self._columns = columns
        self._heights = _HashTable(columns)
        self._times = times = columns.times()
        self._time_max = list(
            accumulate((max(times[at : at + STEP]) for at in range(0, len(self), STEP)), max)
        )
        counts = columns.tx_counts()
        self.connectable = _before_zero(counts)
        """So many from the genesis block on have had their bodies: they can be connected."""
        self._tx_totals = _Totals(counts[: self.connectable])
        self._active = self._assumed = 0
        self._assumed_totals = _Totals(array("I"))
        bits, total = columns.bits(), 0
        self._work_starts = [0, *_changes(bits)] if bits else []
        self._works: list[tuple[int, int]] = []
        work: dict[int, int] = {}
        for start, stop in pairwise((*self._work_starts, len(bits))):
            kind = bits[start]
            if kind not in work:
                self.row(start)  # bits that are damaged are hardly those of another header
                work[kind] = block_work(kind)
            self._works.append((total, work[kind]))
            total += (stop - start) * work[kind]

    def __len__(self) -> int:
        return self._columns.count

    def row(self, height: int) -> HeaderRow:
        """StorageError if it is damaged."""
        return checked(self._columns.row(height))

    def find(self, block_hash: bytes) -> int | None:
        """The height of the header with that hash."""
        return self._heights.find(block_hash)

    def chainwork(self, height: int) -> int:
        run = bisect_right(self._work_starts, height) - 1
        before, work = self._works[run]
        return before + (height - self._work_starts[run] + 1) * work

    def time_max(self, height: int) -> int:
        part = height // STEP
        latest = max(self._times[part * STEP : height + 1])
        return max(latest, self._time_max[part - 1]) if part else latest

    def chain_tx_count(self, height: int) -> int:
        if height < self.connectable:
            return self._tx_totals[height]
        above = height - self._assumed
        return self._assumed_totals[above] if 0 <= above < len(self._assumed_totals) else 0

    def assume(self, height: int, chain_tx_count: int) -> None:
        """The coins at height were loaded: up to it there are so many transactions."""
        counts = self._columns.tx_counts()[height + 1 :]
        self._assumed = height
        self._assumed_totals = _Totals(array("Q", (chain_tx_count, *counts[: _before_zero(counts)])))

    def activate(self, count: int) -> None:
        """The lowest count headers are on the active chain: they come first whenever they came."""
        self._active = count

    def sequence(self, height: int) -> int:
        return 0 if height < self._active else max(1, self._columns.row(height).sequence)

    def highest_sequence(self) -> int:
        return max(self._columns.sequences(), default=0)

    def waiting(self, have_data: int) -> Iterator[int]:
        """Heights whose body is there (by that bit of their status) and waits for one before it."""
        flags = self._columns.statuses().translate(bytes(status & have_data for status in range(256)))
        bodies = compress(range(self.connectable, len(self)), flags[self.connectable :])
        return (height for height in bodies if not self.chain_tx_count(height))

    def in_files(self, numbers: Container[int]) -> Iterator[int]:
        """Heights whose bodies are in the block files of those numbers."""
        return (height for height, file in enumerate(self._columns.files()) if file in numbers)


def _before_zero(numbers: array[int]) -> int:
    """How many there are before the first 0."""
    return numbers.index(0) if 0 in numbers else len(numbers)


def _changes(numbers: array[int]) -> Iterator[int]:
    """The places of those that differ from the one before; most do not."""
    for start in range(1, len(numbers), STEP):
        some = numbers[start : start + STEP]
        before = numbers[start - 1 : start - 1 + len(some)]
        if some != before:
            yield from compress(range(start, start + STEP), map(ne, some, before))


class _Totals:
    """The sums of numbers from the first up to each."""

    def __init__(self, numbers: array[int]) -> None:
        self._numbers = numbers
        parts = (sum(numbers[at : at + STEP]) for at in range(0, len(numbers), STEP))
        self._before = list(accumulate(parts, initial=0))

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, at: int) -> int:
        part = at // STEP
        return self._before[part] + sum(self._numbers[part * STEP : at + 1])


class _HashTable:
    """From hash to height. Headers are chained, the highest first, by the rest that a word of theirs leaves.

    Four to eight are in a chain: the beginnings of all chains fit into the processor's cache, and a look-up
    compares words. The divisor is salted: to lengthen a chain takes a hash with a word of one's choice.
    """

    def __init__(self, columns: HeaderColumns) -> None:
        self._columns, self._words = columns, columns.hash_words()
        least = columns.count // 8 + 1
        self._size = size = least + hash(b"salt") % least
        self._last = last = array("I", bytes(4 * size))
        self._before = before = array("I", [_NONE])
        for number, word in enumerate(self._words, 1):
            at = word % size
            before.append(last[at])
            last[at] = number

    def find(self, block_hash: bytes) -> int | None:
        word = int.from_bytes(block_hash[:4], "little")
        number = self._last[word % self._size]
        while number != _NONE:
            if self._words[number - 1] == word and self._columns.hash(number - 1) == block_hash:
                return number - 1
            number = self._before[number]
        return None
