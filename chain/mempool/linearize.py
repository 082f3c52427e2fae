"""The best order in which to mine a cluster of dependent transactions, and its chunks.

A linearisation is an order with parents before children. Cut where the feerate falls, it gives chunks:
groups that are mined together because the later ones pay for the earlier ones. The method is the
spanning-forest one that Core 31 describes in src/cluster_linearize.h: dependencies are switched on and off;
what hangs together by active ones is a chunk; a chunk is split wherever its upper part pays better than its
lower part, and merged wherever a child pays at least as well as its parent. What stands when nothing can be
split is optimal.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import pairwise

MAX_STEPS_PER_TX = 64
"""Bound on splits, in multiples of the cluster's size: the order stays valid, only perhaps not the best."""

_SHIFT = 64


def feerate_key(fee: int, size: int) -> int:
    """An integer that orders feerates exactly, and is equal for equal ones, for sizes below 2^31."""
    return (fee << _SHIFT) // size


def linearize(
    fees: Sequence[int], sizes: Sequence[int], parents: Sequence[Sequence[int]]
) -> list[tuple[int, ...]]:
    """The chunks of a cluster, best first, each a tuple of indexes in the order to mine them.

    parents: for each transaction the indexes of those it spends from, in any order. Between equals the lower
    index goes first.
    """
    if len(fees) == 1:
        return [(0,)]
    forest = _Forest(fees, sizes, parents)
    forest.make_topological()
    forest.optimize()
    forest.split_equals()
    return forest.order()


def _bits(mask: int) -> list[int]:
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


class _Forest:
    """Sets of transactions are bit masks; a chunk is named by a number that is never used again."""

    def __init__(self, fees: Sequence[int], sizes: Sequence[int], parents: Sequence[Sequence[int]]) -> None:
        n = len(fees)
        self.fees, self.sizes = fees, sizes
        self.parents = [0] * n
        self.children = [0] * n
        for child, above in enumerate(parents):
            for parent in above:
                self.parents[child] |= 1 << parent
                self.children[parent] |= 1 << child
        self.active = [0] * n  # neighbours by active dependencies, both ways
        self.chunk_of = list(range(n))
        self.members = {i: 1 << i for i in range(n)}
        self.fee = {i: fees[i] for i in range(n)}
        self.size = {i: sizes[i] for i in range(n)}
        self._next = n

    def make_topological(self) -> None:
        """Merges until every chunk pays strictly less than the chunks it depends on."""
        for i in range(len(self.fees)):
            if self.chunk_of[i] in self.members:
                chunk = self.merge_up(self.chunk_of[i])
                self.merge_down(chunk)

    def optimize(self) -> None:
        """Splits chunks whose upper part pays better, and mends the order, until none is left."""
        todo = list(self.members)
        for _ in range(MAX_STEPS_PER_TX * len(self.fees)):
            if not todo:
                break
            chunk = todo.pop()
            if chunk not in self.members:
                continue
            best = self._best_split(chunk)
            if best is None:
                continue
            top, bottom = self._split(chunk, *best)
            todo.append(self.merge_up(top))
            if bottom in self.members:
                todo.append(self.merge_down(bottom))
            else:  # the upper part depends on the lower one by another way: they hang together again
                todo.append(self.merge_down(todo[-1]))

    def split_equals(self) -> None:
        """Cuts chunks into parts of equal feerate where an active dependency allows it."""
        todo = list(self.members)
        while todo:
            chunk = todo.pop()
            for parent, child, _, bottom in self._edges(chunk):
                top = self.members[chunk] & ~bottom
                fee, size = self._sum(bottom)
                if fee * self.size[chunk] != self.fee[chunk] * size:
                    continue
                if any(self.parents[i] & bottom for i in _bits(top)):
                    continue
                todo.extend(self._split(chunk, parent, child, bottom))
                break

    def order(self) -> list[tuple[int, ...]]:
        """Chunks by topology, feerate, least size and least greatest index; so too inside a chunk."""
        waiting = {}
        ready: list[tuple[int, int, int, int]] = []

        def push(chunk: int) -> None:
            key = feerate_key(self.fee[chunk], self.size[chunk])
            heappush(ready, (-key, self.size[chunk], self.members[chunk].bit_length(), chunk))

        for chunk, members in self.members.items():
            above = {self.chunk_of[p] for i in _bits(members) for p in _bits(self.parents[i] & ~members)}
            waiting[chunk] = above
            if not above:
                push(chunk)
        chunks = []
        while ready:
            done = heappop(ready)[3]
            chunks.append(self._order_within(self.members[done]))
            for chunk, above in waiting.items():
                if done in above:
                    above.discard(done)
                    if not above:
                        push(chunk)
        return chunks

    def _order_within(self, members: int) -> tuple[int, ...]:
        ready: list[tuple[int, int, int]] = []
        left = members

        def push(i: int) -> None:
            heappush(ready, (-feerate_key(self.fees[i], self.sizes[i]), self.sizes[i], i))

        for i in _bits(members):
            if not self.parents[i] & members:
                push(i)
        order = []
        while ready:
            i = heappop(ready)[2]
            order.append(i)
            left &= ~(1 << i)
            for child in _bits(self.children[i] & members):
                if not self.parents[child] & left:
                    push(child)
        return tuple(order)

    def merge_up(self, chunk: int) -> int:
        """Joins chunk with the worst-paying chunk above it as long as that pays no more than it does."""
        while True:
            members = self.members[chunk]
            above = 0
            for i in _bits(members):
                above |= self.parents[i]
            best = -1
            for other in {self.chunk_of[i] for i in _bits(above & ~members)}:
                # other pays at most what chunk pays, and least of those
                if self._cmp(other, chunk) <= 0 and (best < 0 or (self._cmp(other, best), other) < (0, best)):
                    best = other
            if best < 0:
                return chunk
            parent = next(i for i in _bits(above & self.members[best]) if self.children[i] & members)
            child = _bits(self.children[parent] & members)[0]
            chunk = self._merge(chunk, best, parent, child)

    def merge_down(self, chunk: int) -> int:
        """Joins chunk with the best-paying chunk below it as long as that pays no less than it does."""
        while True:
            members = self.members[chunk]
            below = 0
            for i in _bits(members):
                below |= self.children[i]
            best = -1
            for other in {self.chunk_of[i] for i in _bits(below & ~members)}:
                if self._cmp(other, chunk) >= 0 and (
                    best < 0 or (-self._cmp(other, best), other) < (0, best)
                ):
                    best = other
            if best < 0:
                return chunk
            child = next(i for i in _bits(below & self.members[best]) if self.parents[i] & members)
            parent = _bits(self.parents[child] & members)[0]
            chunk = self._merge(chunk, best, parent, child)

    def _cmp(self, a: int, b: int) -> int:
        """Sign of feerate(a) - feerate(b)."""
        difference = self.fee[a] * self.size[b] - self.fee[b] * self.size[a]
        return (difference > 0) - (difference < 0)

    def _sum(self, mask: int) -> tuple[int, int]:
        fee = size = 0
        for i in _bits(mask):
            fee += self.fees[i]
            size += self.sizes[i]
        return fee, size

    def _new_chunk(self, members: int, fee: int, size: int) -> int:
        chunk = self._next
        self._next += 1
        self.members[chunk], self.fee[chunk], self.size[chunk] = members, fee, size
        for i in _bits(members):
            self.chunk_of[i] = chunk
        return chunk

    def _merge(self, a: int, b: int, parent: int, child: int) -> int:
        self.active[parent] |= 1 << child
        self.active[child] |= 1 << parent
        members = self.members.pop(a) | self.members.pop(b)
        return self._new_chunk(
            members, self.fee.pop(a) + self.fee.pop(b), self.size.pop(a) + self.size.pop(b)
        )

    def _split(self, chunk: int, parent: int, child: int, bottom: int) -> tuple[int, int]:
        """Switches one dependency off; returns the chunk with its parent and the one with its child."""
        self.active[parent] &= ~(1 << child)
        self.active[child] &= ~(1 << parent)
        top = self.members.pop(chunk) & ~bottom
        del self.fee[chunk], self.size[chunk]
        return self._new_chunk(top, *self._sum(top)), self._new_chunk(bottom, *self._sum(bottom))

    def _best_split(self, chunk: int) -> tuple[int, int, int] | None:
        """The active dependency (parent, child, bottom part) whose split gains most; None if none gains."""
        best, gain = None, 0
        for parent, child, value, bottom in self._edges(chunk):
            if value > gain:
                best, gain = (parent, child, bottom), value
        return best

    def _edges(self, chunk: int) -> list[tuple[int, int, int, int]]:
        """(parent, child, gain of splitting there, bottom part) of each active dependency in chunk.

        The gain is fee(top) * size(bottom) - fee(bottom) * size(top). One walk over the tree sums all parts.
        """
        members = self.members[chunk]
        root = members.bit_length() - 1
        order, seen = [(root, -1)], 1 << root
        for i, _ in order:
            for j in _bits(self.active[i] & ~seen):
                seen |= 1 << j
                order.append((j, i))
        masks = {i: 1 << i for i, _ in order}
        fee = {i: self.fees[i] for i, _ in order}
        size = {i: self.sizes[i] for i, _ in order}
        edges = []
        for i, up in reversed(order[1:]):
            masks[up] |= masks[i]
            fee[up] += fee[i]
            size[up] += size[i]
            # i and up hang together by one dependency; below it is the side of the child
            gain = (self.fee[chunk] - fee[i]) * size[i] - fee[i] * (self.size[chunk] - size[i])
            if self.parents[i] >> up & 1:
                edges.append((up, i, gain, masks[i]))
            else:
                edges.append((i, up, -gain, members & ~masks[i]))
        return edges


def diagram_improves(old: Sequence[tuple[int, int]], new: Sequence[tuple[int, int]]) -> bool:
    """Whether the feerate diagram of the chunks new lies nowhere below old's and somewhere above it.

    Both: (fee, size) of chunks, best feerate first. Past its end a diagram goes on flat. The comparison is
    made at the corners of both: between them both are straight (Core util/feefrac.cpp CompareChunks).
    """

    def corners(chunks: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        points, fee, size = [(0, 0)], 0, 0
        for chunk_fee, chunk_size in chunks:
            fee += chunk_fee
            size += chunk_size
            points.append((size, fee))
        return points

    def height(points: list[tuple[int, int]], at: int) -> tuple[int, int]:
        """Fee at size at, as numerator and denominator."""
        for (size_a, fee_a), (size_b, fee_b) in pairwise(points):
            if at <= size_b:
                return fee_a * (size_b - size_a) + (fee_b - fee_a) * (at - size_a), size_b - size_a
        return points[-1][1], 1

    old_points, new_points = corners(old), corners(new)
    better = False
    for at in sorted({size for size, _ in old_points} | {size for size, _ in new_points}):
        old_fee, old_size = height(old_points, at)
        new_fee, new_size = height(new_points, at)
        difference = new_fee * old_size - old_fee * new_size
        if difference < 0:
            return False
        better = better or difference > 0
    return better
