"""Header rules that the templates of invalid blocks do not show: other networks, edges, order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scene import Scene, make_scene

from pybitcoind.chain.consensus.errors import BlockFault, BlockInvalid
from pybitcoind.chain.consensus.headers import check_header, contextual_check_header
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.params import NETWORKS, ChainParams, regtest
from pybitcoind.chain.primitives.block import BlockHeader

BITS = 0x207FFFFF


def chain(times: list[int], bits: int = BITS) -> HeaderNode:
    node = None
    for time in times:
        prev_hash = bytes(32) if node is None else node.hash
        node = HeaderNode(BlockHeader(4, prev_hash, bytes(32), time, bits, 0), node, 2)
    assert node is not None
    return node


def on_top(prev: HeaderNode, time: int, version: int = 4, bits: int = BITS) -> BlockHeader:
    return BlockHeader(version, prev.hash, bytes(32), time, bits, 0)


def refusal(header: BlockHeader, prev: HeaderNode, params: ChainParams, now: float = 2e9) -> str:
    with pytest.raises(BlockInvalid) as caught:
        contextual_check_header(header, prev, now, params)
    return caught.value.reason


def test_error_texts() -> None:
    error = BlockInvalid(BlockFault.CONSENSUS, "bad-cb-length", "detail")
    assert (str(error), error.reason, error.detail) == (
        "bad-cb-length, detail",
        "bad-cb-length",
        "detail",
    )
    assert str(BlockInvalid(BlockFault.MUTATED, "bad-cb-length")) == "bad-cb-length"


@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_genesis_has_its_work(network: str) -> None:
    params = NETWORKS[network]()
    check_header(params.genesis.header, params)


def test_median_time_of_eleven() -> None:
    prev = chain([1000 + i for i in range(11)])
    contextual_check_header(on_top(prev, 1006), prev, 2e9, regtest())
    assert refusal(on_top(prev, 1005), prev, regtest()) == "time-too-old"


def test_two_hours_ahead() -> None:
    prev = chain([1000])
    contextual_check_header(on_top(prev, 10_000), prev, 2800, regtest())
    assert refusal(on_top(prev, 10_000), prev, regtest(), now=2799.5) == "time-too-new"


def test_timewarp() -> None:
    """BIP 94: the first block of a period is at most ten minutes before the last one of the period before."""
    params = replace(regtest(), enforce_bip94=True)
    prev = chain([10_000 + 10 * i for i in range(143)] + [20_000])
    contextual_check_header(on_top(prev, 19_400), prev, 2e9, params)
    assert refusal(on_top(prev, 19_399), prev, params) == "time-timewarp-attack"
    contextual_check_header(on_top(prev, 19_399), prev, 2e9, regtest())
    prev = chain([10_000 + 10 * i for i in range(142)] + [20_000])  # not the first of a period
    contextual_check_header(on_top(prev, 19_399), prev, 2e9, params)


def test_versions_follow_the_deployments() -> None:
    params = replace(regtest(), bip34_height=2, bip66_height=3, bip65_height=4)
    prev = chain([1000])
    contextual_check_header(on_top(prev, 2000, version=1), prev, 2e9, params)
    for height, version in ((2, 1), (3, 2), (4, 3)):
        prev = chain([1000 + i for i in range(height)])
        assert refusal(on_top(prev, 2000, version), prev, params) == f"bad-version(0x0000000{version})"
        contextual_check_header(on_top(prev, 2000, version + 1), prev, 2e9, params)
    assert refusal(on_top(prev, 2000, -2), prev, params) == "bad-version(0xfffffffe)"


def test_order() -> None:
    """Difficulty, then old, then new, then version."""
    prev = chain([5000])
    wrong = {"bits": 0x207FFFFE, "version": 0}
    assert refusal(on_top(prev, 5000, **wrong), prev, regtest(), now=-(10**6)) == "bad-diffbits"
    assert refusal(on_top(prev, 5000, 0), prev, regtest(), now=-(10**6)) == "time-too-old"
    assert refusal(on_top(prev, 5001, 0), prev, regtest(), now=-(10**6)) == "time-too-new"
    assert refusal(on_top(prev, 5001, 0), prev, regtest()) == "bad-version(0x00000000)"


def test_the_scene_is_valid() -> None:
    scene: Scene = make_scene()
    node: HeaderNode | None = scene.tip
    while node is not None and node.prev is not None:
        check_header(node.header, scene.params)
        contextual_check_header(node.header, node.prev, scene.now, scene.params)
        node = node.prev
