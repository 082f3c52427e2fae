"""Votes for rules that nobody here knows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pybitcoind.chain.consensus.deployments import StateCache
from pybitcoind.chain.consensus.unknown_rules import UnknownCache, unknown_activations
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.params import ChainParams, main, regtest
from pybitcoind.chain.primitives.block import BlockHeader

PLAIN, BIT_7, BIT_28 = 0x20000000, 0x20000080, 0x30000000


def extend(tip: HeaderNode | None, count: int, version: int = PLAIN) -> HeaderNode:
    for _ in range(count):
        time = 1_700_000_000 if tip is None else tip.time + 600
        prev_hash = bytes(32) if tip is None else tip.hash
        tip = HeaderNode(BlockHeader(version, prev_hash, bytes(32), time, 0x207FFFFF, 0), tip, 2)
    assert tip is not None
    return tip


def unknown(tip: HeaderNode, params: ChainParams | None = None) -> list[tuple[int, bool]]:
    cache: UnknownCache = {}
    states: StateCache = {}
    found = unknown_activations(tip, params or regtest(), cache, states)
    assert unknown_activations(tip, params or regtest(), cache, states) == found
    return found


def test_locked_in_then_active() -> None:
    first = extend(None, 144)
    assert unknown(extend(first, 143, BIT_7)) == []
    assert unknown(extend(extend(first, 37), 107, BIT_7)) == []  # one short of three quarters
    voted = extend(extend(first, 36), 108, BIT_7)
    assert unknown(voted) == [(7, False)]
    assert unknown(extend(voted, 143)) == [(7, False)]
    assert unknown(extend(voted, 144)) == [(7, True)]
    assert unknown(extend(voted, 500)) == [(7, True)]


def test_the_first_period_has_no_votes() -> None:
    assert unknown(extend(None, 144, BIT_7)) == []
    assert unknown(extend(None, 288, BIT_7)) == [(7, False)]


def test_several_bits() -> None:
    tip = extend(extend(None, 144), 144, 0x20000081)
    assert unknown(tip) == [(0, False), (7, False)]
    assert unknown(extend(tip, 144, 0x20000001)) == [(0, True), (7, True)]


def test_expected_votes_are_no_news() -> None:
    """Regtest's test deployment is bit 28."""
    tip = extend(extend(None, 144), 144, BIT_28)
    assert unknown(tip) == []
    assert unknown(tip, replace(regtest(), deployments={})) == [(28, False)]


@pytest.mark.parametrize("version", [0x40000080, 0x00000080, -1])
def test_votes_need_the_top_bits(version: int) -> None:
    assert unknown(extend(extend(None, 144), 144, version)) == []


def test_main_counts_late() -> None:
    tip = extend(extend(None, 2016), 2016, BIT_7)
    assert unknown(tip, main()) == []
    assert unknown(tip, replace(main(), name="test")) == [(7, False)]
