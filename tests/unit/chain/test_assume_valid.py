"""When scripts go unchecked, reason by reason, in Core's words."""

from __future__ import annotations

from pybitcoind.chain.assume_valid import script_check_reason
from pybitcoind.chain.header_tree import HeaderNode, HeaderTree
from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import BlockHeader

WEEKS_2 = 2016
"""Blocks that regtest's spacing of ten minutes makes of two weeks."""


def grow(tree: HeaderTree, prev: HeaderNode, count: int, nonce: int = 0) -> HeaderNode:
    for _ in range(count):
        prev = tree.add(BlockHeader(4, prev.hash, bytes(32), prev.time + 1, 0x207FFFFF, nonce), 2)
    return prev


def test_reasons() -> None:
    params, tree = regtest(), HeaderTree()
    genesis = tree.add(params.genesis.header, 2)
    assumed = grow(tree, genesis, 100)
    side = grow(tree, genesis, 5, nonce=1)
    tree.best_header = assumed

    def reason(node: HeaderNode, assume: bytes = assumed.hash, work: int = 0) -> str | None:
        return script_check_reason(node, tree, assume, work, params)

    node = assumed.ancestor(50)
    assert reason(node, bytes(32)) == "assumevalid=0 (always verify)"
    assert reason(node, b"?" * 32) == "assumevalid hash not in headers"
    assert reason(side) == "block not in assumevalid chain"
    assert reason(node) == "block too recent relative to best header"
    above = grow(tree, assumed, 1)
    assert reason(above) == "block height above assumevalid height"
    tree.best_header = grow(tree, side, 3000, nonce=1)
    assert reason(node) == "block not in best header chain"
    tree.best_header = grow(tree, node, WEEKS_2, nonce=2)
    assert reason(node) == "block too recent relative to best header"
    tree.best_header = grow(tree, tree.best_header, 1, nonce=2)
    assert reason(node, work=1 << 60) == "best header chainwork below minimumchainwork"
    assert reason(node) is None
    tree.best_header = grow(tree, assumed, WEEKS_2)
    assert reason(assumed) == "block too recent relative to best header"
    assert reason(assumed.ancestor(99)) is None
