"""The header tree: ancestors, forks, locators, leaves and the active chain."""

from __future__ import annotations

import random
import statistics

import pytest

from pybitcoind.chain.header_tree import HeaderNode, HeaderTree, fork_point
from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import BlockHeader


def grow(tree: HeaderTree, prev: HeaderNode, count: int, *, nonce: int = 0, work: int = 2) -> HeaderNode:
    for _ in range(count):
        header = BlockHeader(4, prev.hash, bytes(32), prev.time + 1, 0x207FFFFF, nonce)
        prev = tree.add(header, work)
    return prev


@pytest.fixture
def tree() -> HeaderTree:
    tree = HeaderTree()
    tree.add(regtest().genesis.header, 2)
    return tree


def test_fields_come_from_the_header(tree: HeaderTree) -> None:
    header = BlockHeader(-5, tree.genesis.hash, bytes(range(32)), 1_700_000_000, 0x207FFFFF, 77)
    node = tree.add(header, 2)
    assert (node.version, node.merkle_root, node.time) == (-5, bytes(range(32)), 1_700_000_000)
    assert (node.bits, node.nonce, node.prev_hash) == (0x207FFFFF, 77, tree.genesis.hash)
    assert node.header == header and node.header.hash == header.hash == node.hash
    assert (node.height, node.chainwork, node.prev) == (1, 4, tree.genesis)
    assert tree.add(header, 2) is node and len(tree) == 2
    assert not (node.have_data or node.have_undo or node.failed or node.scripts_valid)


def test_header_without_parent_is_refused(tree: HeaderTree) -> None:
    with pytest.raises(KeyError):
        tree.add(BlockHeader(1, bytes(32), bytes(32), 0, 0, 0), 1)


def test_ancestors_in_few_steps(tree: HeaderTree) -> None:
    tip = grow(tree, tree.genesis, 5000)
    by_height = list(tree)
    for height in (0, 1, 2, 3, 10, 1023, 1024, 2500, 4998, 4999, 5000):
        assert tip.ancestor(height) is by_height[height]
    for node in by_height[1:]:
        steps, at, target = 0, node, random.Random(node.height).randrange(node.height)
        while at.height > target:
            assert at.jump is not None and at.prev is not None
            at = at.jump if at.jump.height >= target else at.prev
            steps += 1
        assert at is by_height[target] and steps <= 60
    for height in (-1, 5001):
        with pytest.raises(ValueError):
            tip.ancestor(height)


def test_fork_point_of_random_branches(tree: HeaderTree) -> None:
    rng = random.Random(1)
    nodes = [tree.genesis]
    for nonce in range(60):
        nodes.append(grow(tree, rng.choice(nodes), rng.randrange(1, 40), nonce=nonce))
    for _ in range(300):
        a, b = rng.choice(nodes), rng.choice(nodes)
        path = set()
        node: HeaderNode | None = a
        while node is not None:
            path.add(node.hash)
            node = node.prev
        node = b
        while node is not None and node.hash not in path:
            node = node.prev
        assert fork_point(a, b) is node
        assert a.descends_from(b) == (node is b)


def test_median_time_past(tree: HeaderTree) -> None:
    rng, prev = random.Random(2), tree.genesis
    times = [prev.time]
    for _ in range(30):
        prev = tree.add(BlockHeader(1, prev.hash, bytes(32), rng.randrange(10**9), 0, 0), 1)
        times.append(prev.time)
        last = sorted(times[-11:])
        assert prev.mtp() == last[len(last) // 2]
    assert prev.mtp() == statistics.median(times[-11:])
    assert prev.time_max == max(times)


def test_active_chain_follows_the_tip(tree: HeaderTree) -> None:
    trunk = grow(tree, tree.genesis, 10)
    left, right = grow(tree, trunk, 5, nonce=1), grow(tree, trunk, 8, nonce=2)
    assert tree.tip is None
    tree.set_tip(left)
    assert [n.height for n in tree.chain] == list(range(16)) and tree.tip is left
    assert tree.in_chain(trunk) and not tree.in_chain(right)
    assert tree.fork_with_chain(right) is trunk
    tree.set_tip(right)
    assert tree.tip is right and not tree.in_chain(left) and len(tree.chain) == 19
    assert tree.next_in_chain(trunk) is right.ancestor(11)
    assert tree.next_in_chain(right) is None and tree.next_in_chain(left) is None
    tree.set_tip(trunk)
    assert tree.tip is trunk and len(tree.chain) == 11
    assert tree.tips() == [right, left, trunk] and tree.leaves() == [left, right]
    assert set(tree.descendants(trunk)) == {left.ancestor(h) for h in range(11, 16)} | {
        right.ancestor(h) for h in range(11, 19)
    }
    tree.set_tip(None)
    assert tree.tip is None and not tree.in_chain(tree.genesis)


def test_locator_and_the_fork_it_finds(tree: HeaderTree) -> None:
    tip = grow(tree, tree.genesis, 100)
    tree.set_tip(tip)
    heights = []
    for block_hash in tree.locator():
        node = tree.get(block_hash)
        assert node is not None
        heights.append(node.height)
    assert heights == [*range(100, 89, -1), 89, 87, 83, 75, 59, 27, 0]
    assert tree.locator(tree.genesis) == [tree.genesis.hash]

    assert tree.find_fork([b"?" * 32, tip.ancestor(40).hash, tip.hash]).height == 40
    assert tree.find_fork([grow(tree, tip, 3).hash]) is tip
    assert tree.find_fork([b"?" * 32]) is tree.genesis


def test_earliest_block_with_a_time(tree: HeaderTree) -> None:
    tip = grow(tree, tree.genesis, 50)
    tree.set_tip(tip)
    start = tree.genesis.time
    assert tree.earliest_at_least(start + 7) is tip.ancestor(7)
    assert tree.earliest_at_least(0, height=9) is tip.ancestor(9)
    assert tree.earliest_at_least(start + 51) is None
