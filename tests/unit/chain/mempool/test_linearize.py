"""Linearisations against all orders of small clusters, tried one by one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise, permutations

import pytest

from pybitcoind.chain.mempool.linearize import diagram_improves, linearize


def is_topological(order: Sequence[int], parents: Sequence[Sequence[int]]) -> bool:
    place = {i: k for k, i in enumerate(order)}
    return all(place[p] < place[child] for child, above in enumerate(parents) for p in above)


def chunked(order: Sequence[int], fees: Sequence[int], sizes: Sequence[int]) -> list[tuple[int, int]]:
    chunks: list[tuple[int, int]] = []
    for i in order:
        chunks.append((fees[i], sizes[i]))
        while len(chunks) > 1 and chunks[-1][0] * chunks[-2][1] > chunks[-2][0] * chunks[-1][1]:
            (fee_b, size_b), (fee_a, size_a) = chunks.pop(), chunks.pop()
            chunks.append((fee_a + fee_b, size_a + size_b))
    return chunks


@pytest.mark.parametrize("seed", range(40))
def test_no_order_is_better(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(8):
        n = rng.randint(1, 6)
        names = rng.sample(range(n), n)
        parents: list[list[int]] = [[] for _ in range(n)]
        for a in range(n):
            parents[names[a]] = [names[b] for b in range(a) if rng.random() < 0.4]
        fees = [rng.randint(0, 6) for _ in range(n)]
        sizes = [rng.randint(1, 4) for _ in range(n)]
        chunks = linearize(fees, sizes, parents)
        order = [i for chunk in chunks for i in chunk]
        assert sorted(order) == list(range(n))
        assert is_topological(order, parents)
        sums = [(sum(fees[i] for i in chunk), sum(sizes[i] for i in chunk)) for chunk in chunks]
        assert all(a[0] * b[1] >= b[0] * a[1] for a, b in pairwise(sums))
        for other in permutations(range(n)):
            if is_topological(other, parents):
                assert not diagram_improves(sums, chunked(other, fees, sizes)), (fees, sizes, parents)


def test_child_pays_for_parent() -> None:
    assert linearize([0, 500, 100], [100, 100, 100], [[], [0], []]) == [(0, 1), (2,)]


def test_two_children_pay_together() -> None:
    """Neither child alone makes the parent better than the fourth one; together they do."""
    assert linearize([0, 60, 60, 39], [10, 10, 10, 10], [[], [0], [0], []]) == [(0, 1, 2), (3,)]


def test_equal_feerates_stay_apart() -> None:
    assert linearize([10, 20, 10], [10, 20, 10], [[], [0], [1]]) == [(0,), (1,), (2,)]


def test_full_clusters_are_quick() -> None:
    n = 64
    chain = [[i - 1] if i else [] for i in range(n)]
    assert linearize(list(range(n)), [400] * n, chain) == [tuple(range(n))]
    assert linearize([100] * n, [400] * n, chain) == [(i,) for i in range(n)]
    rng = random.Random(64)
    wild = [[b for b in range(a) if rng.random() < 0.1] for a in range(n)]
    chunks = linearize(
        [rng.randint(0, 9999) for _ in range(n)], [rng.randint(400, 999) for _ in range(n)], wild
    )
    assert is_topological([i for chunk in chunks for i in chunk], wild)


@pytest.mark.parametrize(
    ("old", "new", "better"),
    [
        ([(10, 10)], [(11, 10)], True),
        ([(10, 10)], [(10, 10)], False),
        ([(10, 10)], [(20, 20)], True),
        ([(10, 10)], [(9, 10), (5, 10)], False),
        ([(10, 20)], [(12, 10)], True),
        ([(20, 10), (1, 100)], [(20, 10)], False),
        ([(20, 10), (0, 100)], [(20, 10)], False),
        ([], [(0, 10)], False),
        ([], [(1, 10)], True),
    ],
)
def test_diagrams(old: list[tuple[int, int]], new: list[tuple[int, int]], better: bool) -> None:
    assert diagram_improves(old, new) is better
