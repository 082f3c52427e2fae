"""Merkle roots, and partial trees for every choice of leaves in small blocks."""

from __future__ import annotations

import random
from itertools import product

import pytest

from pybitcoind.chain.params import main
from pybitcoind.chain.primitives.hashes import sha256d
from pybitcoind.chain.primitives.merkle import MerkleBlock, PartialMerkleTree, merkle_root
from pybitcoind.chain.primitives.serialize import DecodeError, Reader, Writer


def leaves(count: int) -> list[bytes]:
    return [sha256d(bytes((i,))) for i in range(count)]


def plain_root(hashes: list[bytes]) -> bytes:
    if len(hashes) == 1:
        return hashes[0]
    half = 1 << (len(hashes) - 1).bit_length() - 1
    left, right = hashes[:half], hashes[half:]
    while len(right) < half:  # the last hash of a level stands in for what is missing
        right = right + right[-(len(right) & -len(right)) :]
    return sha256d(plain_root(left) + plain_root(right))


@pytest.mark.parametrize("count", range(1, 40))
def test_root(count: int) -> None:
    assert merkle_root(leaves(count)) == (plain_root(leaves(count)), False)


def test_no_leaves() -> None:
    assert merkle_root([]) == (bytes(32), False)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ([0, 1, 2], [0, 1, 2, 2]),
        ([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5, 4, 5]),
        ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 4, 4, 4]),
        ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 4]),
    ],
)
def test_mutation(short: list[int], long: list[int]) -> None:
    """CVE-2012-2459."""
    hashes = leaves(8)
    root, mutated = merkle_root([hashes[i] for i in short])
    assert not mutated
    assert merkle_root([hashes[i] for i in long]) == (root, True)


def test_equal_leaves_that_are_no_pair() -> None:
    a, b, c, _ = leaves(4)
    assert merkle_root([a, b, b, c])[1] is False
    assert merkle_root([a, a, b])[1] is True


def encoded(tree: PartialMerkleTree) -> bytes:
    w = Writer()
    tree.encode(w)
    return w.getvalue()


@pytest.mark.parametrize("count", range(1, 9))
def test_every_choice_of_leaves(count: int) -> None:
    hashes = leaves(count)
    root, _ = merkle_root(hashes)
    for match in product((False, True), repeat=count):
        tree = PartialMerkleTree.build(hashes, match)
        wanted = [(i, hashes[i]) for i in range(count) if match[i]]
        assert tree.extract() == (root, wanted)
        r = Reader(encoded(tree))
        again = PartialMerkleTree.decode(r)
        r.finish()
        assert again.extract() == (root, wanted)
        assert encoded(again) == encoded(tree)
        if sum(match) < 2:  # no more than a path
            assert len(tree.hashes) <= 1 + (count - 1).bit_length()


def test_larger_blocks() -> None:
    seed = 37
    print("seed", seed)
    rng = random.Random(seed)
    for count in (17, 56, 100, 256, 312):
        hashes = [rng.randbytes(32) for _ in range(count)]
        match = [rng.random() < 0.05 for _ in range(count)]
        tree = PartialMerkleTree.build(hashes, match)
        assert tree.extract() == (merkle_root(hashes)[0], [(i, h) for i, h in enumerate(hashes) if match[i]])


def test_a_changed_bit_does_not_keep_root_and_matches() -> None:
    hashes = leaves(7)
    tree = PartialMerkleTree.build(hashes, [i in (2, 5) for i in range(7)])
    good = tree.extract()
    raw = encoded(tree)
    for position in range(len(raw) * 8):
        broken = bytearray(raw)
        broken[position // 8] ^= 1 << position % 8
        try:
            r = Reader(bytes(broken))
            found = PartialMerkleTree.decode(r)
            r.finish()
            result = found.extract()
        except DecodeError:
            continue
        padding = position >= (len(raw) - 1) * 8  # bits behind the last one used
        assert result != good or padding


def test_broken_trees() -> None:
    a, b = leaves(2)
    cases = [
        PartialMerkleTree(0, [True], [a]),
        PartialMerkleTree(16667, [True], [a]),
        PartialMerkleTree(1, [True, True], [a, b]),  # more hashes than leaves
        PartialMerkleTree(2, [True], [a, b]),  # fewer bits than hashes
        PartialMerkleTree(2, [True, False], [a]),  # bits run out
        PartialMerkleTree(2, [True, False, False], [a]),  # hashes run out
        PartialMerkleTree(2, [True, True, True], [a, a]),  # equal siblings: CVE-2012-2459
        PartialMerkleTree(2, [False] * 9, [a]),  # a byte of bits too many
        PartialMerkleTree(2, [False, False], [a, b]),  # a hash too many
    ]
    for tree in cases:
        with pytest.raises(DecodeError):
            tree.extract()
    assert PartialMerkleTree(16666, [False], [a]).extract() == (a, [])


def test_merkle_block() -> None:
    block = main().genesis
    tree = PartialMerkleTree.build(block.txids(), [True])
    raw = MerkleBlock(block.header, tree).serialize()
    assert raw == block.header.raw + bytes.fromhex("01000000" + "01") + block.vtx[0].txid + b"\x01\x01"
    again = MerkleBlock.decode(raw)
    assert again.header == block.header
    assert again.tree.extract() == (block.header.merkle_root, [(0, block.vtx[0].txid)])
    for size in range(len(raw)):
        with pytest.raises(DecodeError):
            MerkleBlock.decode(raw[:size])
    with pytest.raises(DecodeError):
        MerkleBlock.decode(raw + b"\x00")
