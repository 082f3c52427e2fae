"""The longest chain of headers as it was stored, in columns: what a node reads of a million headers at start.

The header tree makes nodes of it when they are asked for; most never are.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Container, Iterator
from itertools import accumulate, groupby

from .consensus.pow import block_work
from .storage.header_rows import HeaderColumns, HeaderRow

TIMES = 256
"""Headers by which the latest time so far is noted."""
_NONE = 0
"""No header: the hash table counts them from 1."""


class Trunk:
    """Number n is the header at height n, child of the one before. Changed by `activate` only.

    What has become of a header since it was loaded stands in its node.
    """

    def __init__(self, columns: HeaderColumns) -> None:
        self._columns = columns
        self._heights = _HashTable(columns)
        self._times = columns.times()
        starts = range(0, len(self), TIMES)
        self._time_max = list(accumulate((max(self._times[at : at + TIMES]) for at in starts), max))
        counts = columns.tx_counts()
        self.connectable = counts.index(0) if 0 in counts else len(counts)
        """So many from the genesis block on have had their bodies: they can be connected."""
        self._tx_totals = array("Q", accumulate(counts[: self.connectable]))
        self._active = self._assumed = 0
        self._assumed_totals = array("Q")
        self._work_starts: list[int] = []
        self._works: list[tuple[int, int]] = []
        height = total = 0
        for bits, run in groupby(columns.bits()):
            work, length = block_work(bits), sum(1 for _ in run)
            self._work_starts.append(height)
            self._works.append((total, work))
            height, total = height + length, total + length * work

    def __len__(self) -> int:
        return self._columns.count

    def row(self, height: int) -> HeaderRow:
        return self._columns.row(height)

    def find(self, block_hash: bytes) -> int | None:
        """The height of the header with that hash."""
        return self._heights.find(block_hash)

    def chainwork(self, height: int) -> int:
        run = bisect_right(self._work_starts, height) - 1
        before, work = self._works[run]
        return before + (height - self._work_starts[run] + 1) * work

    def time_max(self, height: int) -> int:
        part = height // TIMES
        latest = max(self._times[part * TIMES : height + 1])
        return max(latest, self._time_max[part - 1]) if part else latest

    def chain_tx_count(self, height: int) -> int:
        if height < self.connectable:
            return self._tx_totals[height]
        above = height - self._assumed
        return self._assumed_totals[above] if 0 <= above < len(self._assumed_totals) else 0

    def assume(self, height: int, chain_tx_count: int) -> None:
        """The coins at height were loaded: up to it there are so many transactions."""
        counts = self._columns.tx_counts()[height + 1 :]
        end = counts.index(0) if 0 in counts else len(counts)
        self._assumed = height
        self._assumed_totals = array("Q", accumulate((chain_tx_count, *counts[:end])))

    def activate(self, count: int) -> None:
        """The lowest count headers are on the active chain: they come first whenever they came."""
        self._active = count

    def sequence(self, height: int) -> int:
        return 0 if height < self._active else max(1, self.row(height).sequence)

    def highest_sequence(self) -> int:
        return max(self._columns.sequences(), default=0)

    def waiting(self, have_data: int) -> Iterator[int]:
        """Heights whose body is there (by that bit of their status) and waits for one before it."""
        statuses = self._columns.statuses()[self.connectable :]
        return (
            height
            for height, status in enumerate(statuses, self.connectable)
            if status & have_data and not self.chain_tx_count(height)
        )

    def in_files(self, numbers: Container[int]) -> Iterator[int]:
        """Heights whose bodies are in the block files of those numbers."""
        return (height for height, file in enumerate(self._columns.files()) if file in numbers)


class _HashTable:
    """From hash to height: headers whose hashes begin alike are in one chain, the highest first.

    Four to eight are in a chain, so few that the beginnings of all fit into the processor's cache.
    """

    def __init__(self, columns: HeaderColumns) -> None:
        self._columns = columns
        least = columns.count // 8 + 1
        self._size = size = least + hash(b"salt") % least  # salted: nobody can make long chains
        self._last = last = array("I", bytes(4 * size))
        self._before = before = array("I", [_NONE])
        for number, word in enumerate(columns.hash_words(), 1):
            at = word % size
            before.append(last[at])
            last[at] = number

    def find(self, block_hash: bytes) -> int | None:
        number = self._last[int.from_bytes(block_hash[:4], "little") % self._size]
        while number != _NONE:
            if self._columns.hash(number - 1) == block_hash:
                return number - 1
            number = self._before[number]
        return None
