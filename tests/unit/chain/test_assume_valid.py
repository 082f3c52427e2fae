"""When scripts go unchecked, reason by reason, in Core's words."""

from __future__ import annotations

import pytest
from invalid_transactions import INVALID_TRANSACTIONS
from ports import make_ports
from running import running_chain
from scene import make_scene, solved

from pybitcoind.chain.assume_valid import script_check_reason
from pybitcoind.chain.header_tree import HeaderNode, HeaderTree
from pybitcoind.chain.manager import ChainOptions
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


@pytest.mark.parametrize(
    ("assumed", "headers", "token"),
    [
        (True, 2100, None),
        (True, 2000, "block-script-verify-flag-failed"),
        (False, 2100, "block-script-verify"),
    ],
)
async def test_scripts_far_below_an_assumed_block_are_not_run(
    assumed: bool, headers: int, token: str | None
) -> None:
    """-assumevalid: a block whose script fails is connected, but not within two weeks of work of the best."""
    scene = make_scene(112)
    (template,) = (t for t in INVALID_TRANSACTIONS if t.name == "script: verify")
    bad = scene.block(template.build(scene))
    above, prev = [], bad.header
    for _ in range(headers):
        prev = solved(BlockHeader(0x20000000, prev.hash, bytes(32), prev.time + 1, prev.bits, 0))
        above.append(prev)
    options = ChainOptions(assume_valid=bad.hash if assumed else bytes(32))
    async with running_chain(make_ports(now=scene.now), options) as chain:
        for block in scene.blocks:
            await chain.process_block(block)
        await chain.accept_headers([bad.header, *above])
        result = await chain.process_block(bad, requested=True)
    reason = result.error.reason if result.error else None
    assert reason == token or (reason or "").startswith(token or "-")
