"""The graph of clusters, its limits and its order."""

from __future__ import annotations

import random

from pybitcoind.chain.mempool.clusters import Candidate, ClusterGraph


def name(n: int) -> bytes:
    return n.to_bytes(32, "big")


def graph(
    *rows: tuple[int, int, int, tuple[int, ...]], count: int = 64, weight: int = 404_000
) -> ClusterGraph:
    made = ClusterGraph(count, weight)
    for n, fee, size, parents in rows:
        made.add(name(n), fee, size, [name(p) for p in parents])
    return made


def numbers(txids: list[bytes]) -> list[int]:
    return [int.from_bytes(txid, "big") for txid in txids]


def test_chunks_come_best_first_over_clusters() -> None:
    g = graph((1, 100, 400, ()), (2, 5000, 400, (1,)), (3, 1000, 400, ()), (4, 100, 400, (3,)))
    assert [numbers(list(c.txids)) for c in g.chunks()] == [[1, 2], [3], [4]]
    assert g.worst_chunk().txids == (name(4),)
    assert g.chunk_of(name(1)).fee == 5100


def test_removal_splits_a_cluster() -> None:
    g = graph((1, 10, 400, ()), (2, 10, 400, (1,)), (3, 10, 400, (2,)), (4, 10, 400, (2,)))
    assert g.cluster_count(name(1)) == 4
    g.remove([name(2)])
    assert [g.cluster_count(name(n)) for n in (1, 3, 4)] == [1, 1, 1]
    assert g.parents(name(3)) == [] and g.children(name(1)) == []


def test_fee_changes_the_order() -> None:
    g = graph((1, 100, 400, ()), (2, 200, 400, ()))
    assert g.worst_chunk().txids == (name(1),)
    g.set_fee(name(1), 300)
    assert g.worst_chunk().txids == (name(2),)
    assert [numbers(list(c.txids)) for c in g.chunks()] == [[1], [2]]


def test_limits() -> None:
    g = graph((1, 1, 400, ()), (2, 1, 400, (1,)), (3, 1, 400, ()), count=3, weight=1500)
    assert g.fits([Candidate(name(9), 1, 400, [name(1)])])
    assert not g.fits([Candidate(name(9), 1, 400, [name(1), name(3)])])
    assert g.fits([Candidate(name(9), 1, 400, [name(1), name(3)])], without=[name(2)])
    assert not g.fits([Candidate(name(9), 1, 800, [name(2)])])
    assert not g.fits([Candidate(name(8), 1, 400, [name(2)]), Candidate(name(9), 1, 400, [name(8)])])


def test_diagrams_of_a_replacement() -> None:
    g = graph((1, 400, 400, ()), (2, 2000, 400, (1,)), (3, 50, 400, ()))
    old, new = g.diagrams([Candidate(name(9), 3000, 800, [name(1)])], [name(2)])
    assert old == [(2400, 800)]
    assert new == [(3400, 1200)]


def test_trim_oversized_keeps_the_best_within_the_limit() -> None:
    g = graph(
        (1, 10, 400, ()), (2, 20, 400, ()), (3, 30, 400, ()), (4, 1, 400, ()), (5, 2, 400, (4,)), count=3
    )
    for child in (2, 3, 4):
        g.add_dependency(name(1), name(child))
    dropped = g.trim_oversized()
    assert numbers(dropped) == [4, 5]
    g.remove(dropped)
    assert g.trim_oversized() == []
    assert g.cluster_count(name(1)) == 3


def test_worst_chunk_is_the_last_in_order_through_changes() -> None:
    rng = random.Random(5)
    g = ClusterGraph(64, 404_000)
    alive: list[int] = []
    for n in range(300):
        if alive and rng.random() < 0.3:
            gone = numbers(g.descendants([name(rng.choice(alive))]))
            g.remove([name(i) for i in gone])
            alive = [i for i in alive if i not in gone]
        else:
            parents = [p for p in rng.sample(alive, min(2, len(alive))) if g.cluster_count(name(p)) < 20]
            g.add(name(n), rng.randint(0, 5000), rng.randint(400, 900), [name(p) for p in parents])
            alive.append(n)
        if alive:
            worst, last = g.worst_chunk(), g.chunks()[-1]
            assert worst.fee * last.weight == last.fee * worst.weight


def test_nothing_piles_up_when_nobody_asks_for_the_worst() -> None:
    g = graph((1, 100, 400, ()), (2, 200, 400, ()))
    for fee in range(1000):
        g.set_fee(name(1), fee)
        g.chunks()
    assert len(g._worst) < 100
    assert g.worst_chunk().txids == (name(2),)
