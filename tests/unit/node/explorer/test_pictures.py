"""Pictures: areas that are right, branches that do not lie on each other, text that is escaped."""

from __future__ import annotations

import random
from xml.etree import ElementTree

import pytest

from pybitcoind.chain.header_tree import HeaderNode, HeaderTree
from pybitcoind.chain.mempool.clusters import Chunk
from pybitcoind.chain.params import regtest
from pybitcoind.chain.policy.settings import PolicySettings
from pybitcoind.chain.primitives.block import BlockHeader
from pybitcoind.node.explorer.mempool_view import BLOCK_ROOM, block_room, blocks_to_be, step_of
from pybitcoind.node.explorer.pictures import (
    Rect,
    block_map,
    branch_picture,
    branches_of,
    picture,
    queue,
    treemap,
)

GENESIS = regtest().genesis.header


def chunk(fee: int, weight: int, *names: int) -> Chunk:
    return Chunk(fee, weight, tuple(bytes([name]) * 32 for name in names or (1,)))


def parsed(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(markup)


# The map of a block


def test_a_treemap_fills_its_area_in_proportion() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(50):
        sizes = sorted((rng.randint(1, 4000) for _ in range(rng.randint(1, 120))), reverse=True)
        area = Rect(3, 5, 700, 300)
        tiles = treemap(sizes, area)
        for size, tile in zip(sizes, tiles, strict=True):
            share = size / sum(sizes)
            assert tile.width * tile.height == pytest.approx(share * 700 * 300, rel=1e-6)
            assert tile.x >= 3 - 1e-6 and tile.x + tile.width <= 703 + 1e-6
            assert tile.y >= 5 - 1e-6 and tile.y + tile.height <= 305 + 1e-6


def test_an_empty_treemap() -> None:
    assert treemap([], Rect(0, 0, 1, 1)) == []


def test_blocks_to_be_are_cut_where_one_is_full() -> None:
    chunks = [chunk(1000 - i, 1_000_000, i) for i in range(10)]
    blocks = blocks_to_be(chunks)
    assert [block.txs for block in blocks] == [3, 3, 3, 1]
    assert all(block.weight <= BLOCK_ROOM for block in blocks)
    assert [block.number for block in blocks] == [1, 2, 3, 4]
    short = blocks_to_be(chunks, shown=2)
    assert [block.txs for block in short] == [3, 7], "the last one shown holds the rest"
    assert blocks_to_be([]) == []


def test_blocks_to_be_are_as_large_as_our_own() -> None:
    assert block_room(PolicySettings()) == BLOCK_ROOM
    assert block_room(PolicySettings(block_max_weight=5_000_000)) == BLOCK_ROOM, "consensus allows no more"
    room = block_room(PolicySettings(block_max_weight=1_000_000, block_reserved_weight=2000))
    blocks = blocks_to_be([chunk(1000 - i, 499_000, i) for i in range(5)], room)
    assert [block.txs for block in blocks] == [2, 2, 1]
    assert [block.fill for block in blocks] == [1, 1, 0.5]


def test_colours_follow_the_feerate() -> None:
    weight = 400
    steps = [step_of(rate * 100, weight) for rate in (0, 1, 2, 5, 10, 25, 100, 5000)]
    assert steps == [0, 0, 1, 2, 3, 4, 5, 5]


def test_the_map_and_the_queue_are_well_formed_and_named() -> None:
    chunks = [chunk(5000 * (i + 1), 400 + 17 * i, i % 250, (i + 1) % 250) for i in range(300)]
    blocks = blocks_to_be(chunks)
    for markup in (block_map(blocks[0]), queue(blocks)):
        root = parsed(markup)
        assert root.find("title") is not None and root.find("desc") is not None
        assert root.get("aria-labelledby")
    tiles = list(parsed(block_map(blocks[0])).iter("a"))
    assert len(tiles) == 240
    assert all(a.find("title") is not None for a in tiles)
    words = [
        text.text for text in parsed(block_map(blocks[0])).iter("text") if text.get("class") == "caption"
    ]
    assert words == ["60 smaller ones"], "what has no tile of its own is told"


def test_words_of_a_picture_are_escaped() -> None:
    markup = picture("x", 1, 1, "<script>", '"&', [])
    assert parsed(markup).find("title").text == "<script>"  # type: ignore[union-attr]


# Branches


class Tree:
    """Headers that were not mined: the tree does not look."""

    def __init__(self) -> None:
        self.tree = HeaderTree()
        self.genesis = self.tree.add(GENESIS, 2)
        self.tree.set_tip(self.genesis)
        self._nonce = 0

    def grow(self, node: HeaderNode, count: int) -> list[HeaderNode]:
        made = []
        for _ in range(count):
            self._nonce += 1
            header = BlockHeader(4, node.hash, bytes(32), node.time + 1, GENESIS.bits, self._nonce)
            node = self.tree.add(header, 2)
            made.append(node)
        return made

    def picture(self, *tips: HeaderNode) -> tuple[ElementTree.Element, int]:
        branches = branches_of(self.tree, {tip.hash: "valid-fork" for tip in tips})
        return parsed(branch_picture(self.tree, branches)), len(branches)


def places(root: ElementTree.Element) -> list[tuple[str, str]]:
    return [(rect.get("x", ""), rect.get("y", "")) for rect in root.iter("rect")]


def test_a_chain_alone() -> None:
    tree = Tree()
    tree.tree.set_tip(tree.grow(tree.genesis, 30)[-1])
    root, count = tree.picture()
    assert count == 0
    assert len(places(root)) == 8
    assert "There is one chain and no branch" in (root.findtext("desc") or "")


def test_branches_have_places_of_their_own() -> None:
    """Two from one block, one from a branch, one long, one far below: no two blocks on one place."""
    tree = Tree()
    chain = tree.grow(tree.genesis, 60)
    tree.tree.set_tip(chain[-1])
    one = tree.grow(chain[50], 2)
    other = tree.grow(chain[50], 3)
    inner = tree.grow(other[0], 2)
    long = tree.grow(chain[10], 20)
    tips = [branch[-1] for branch in (one, other, inner, long)]
    root, count = tree.picture(*tips)
    assert count == 4
    found = places(root)
    assert len(found) == len(set(found))
    links = [a.get("href") for a in root.iter("a")]
    for tip in [*tips, chain[-1]]:
        assert f"/block/{tip.hash[::-1].hex()}" in links
    described = root.findtext("desc") or ""
    assert "from height 11 20 blocks, valid-fork" in described


def test_only_so_many_branches() -> None:
    tree = Tree()
    chain = tree.grow(tree.genesis, 20)
    tree.tree.set_tip(chain[-1])
    tips = [tree.grow(chain[i], 1)[-1] for i in range(18)]
    _, count = tree.picture(*tips)
    assert count == 12
