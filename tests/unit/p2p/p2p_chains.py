"""Header chains for the tests of p2p: regtest headers with real proof of work, and nodes without it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from pybitcoind.chain.header_tree import HeaderNode, HeaderTree
from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import BlockHeader

T = TypeVar("T")
BITS = 0x207FFFFF


class SeededRandom:
    """ports.Random from a seed."""

    def __init__(self, seed: int = 1) -> None:
        self._rng = random.Random(seed)

    def bytes(self, n: int) -> bytes:
        return self._rng.randbytes(n)

    def below(self, n: int) -> int:
        return self._rng.randrange(n)

    def u64(self) -> int:
        return self._rng.getrandbits(64)

    def uniform(self) -> float:
        return self._rng.random()

    def shuffled(self, items: Sequence[T]) -> list[T]:
        return self._rng.sample(list(items), len(items))

    def choice(self, items: Sequence[T]) -> T:
        return self._rng.choice(list(items))


def headers_on(prev: BlockHeader, count: int, *, salt: int = 0, bits: int = BITS) -> list[BlockHeader]:
    """count headers on prev; salt makes different branches. Their proof of work is not made."""
    headers = []
    for i in range(count):
        root = (salt * 1_000_003 + i).to_bytes(32, "little")
        prev = BlockHeader(4, prev.hash, root, prev.time + 600, bits, 0)
        headers.append(prev)
    return headers


def extend(tree: HeaderTree, headers: Sequence[BlockHeader]) -> list[HeaderNode]:
    return [tree.add(header, 2) for header in headers]


def new_tree(count: int = 0) -> tuple[HeaderTree, list[HeaderNode]]:
    """A tree with the genesis block and count headers on it, genesis active and complete; all nodes."""
    tree = HeaderTree()
    genesis = regtest().genesis.header
    nodes = [tree.add(genesis, 2)]
    have(nodes)
    tree.set_tip(nodes[0])
    nodes += extend(tree, headers_on(genesis, count))
    return tree, nodes


def have(nodes: Sequence[HeaderNode]) -> None:
    """The bodies of these blocks (parents first) are here."""
    for node in nodes:
        node.status |= 4
        node.tx_count = 1
        before = 0 if node.prev is None else node.prev.chain_tx_count
        node.chain_tx_count = before + 1 if node.prev is None or before else 0
