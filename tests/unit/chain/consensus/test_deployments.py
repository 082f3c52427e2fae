"""Buried deployments, script flags, and version bits from start to end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pybitcoind.chain.consensus.deployments import (
    StateCache,
    ThresholdState,
    compute_block_version,
    deployment_info,
    deployment_state,
    is_active,
    is_deployment_active,
    script_flags_for,
    state_since,
)
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.params import ALWAYS_ACTIVE, NETWORKS, NEVER_ACTIVE, Bip9Deployment, main, regtest
from pybitcoind.chain.primitives.block import BlockHeader

DEFINED, STARTED, LOCKED_IN, ACTIVE, FAILED = (
    ThresholdState.DEFINED,
    ThresholdState.STARTED,
    ThresholdState.LOCKED_IN,
    ThresholdState.ACTIVE,
    ThresholdState.FAILED,
)
PLAIN, SIGNAL = 0x20000000, 0x30000000
TIME = 1_700_000_000


def extend(tip: HeaderNode | None, count: int, version: int = PLAIN, step: int = 600) -> HeaderNode:
    for _ in range(count):
        time = TIME if tip is None else tip.time + step
        prev_hash = bytes(32) if tip is None else tip.hash
        tip = HeaderNode(BlockHeader(version, prev_hash, bytes(32), time, 0x207FFFFF, 0), tip, 2)
    assert tip is not None
    return tip


def with_deployment(start: int = 0, timeout: int = 2**63 - 1, min_height: int = 0):  # type: ignore[no-untyped-def]
    deployment = Bip9Deployment(28, start, timeout, min_height, threshold=108, period=144)
    return replace(regtest(), deployments={"testdummy": deployment})


@pytest.mark.parametrize(
    ("name", "height"),
    [("bip34", 227931), ("bip66", 363725), ("bip65", 388381), ("csv", 419328), ("segwit", 481824)],
)
def test_buried_on_main(name: str, height: int) -> None:
    assert not is_active(name, height - 2, main())
    assert is_active(name, height - 1, main())


def test_unknown_deployment() -> None:
    with pytest.raises(KeyError):
        is_active("taproot", 10**6, main())


@pytest.mark.parametrize(
    ("height", "flags"),
    [
        (1, "P2SH|WITNESS|TAPROOT"),
        (363724, "P2SH|WITNESS|TAPROOT"),
        (363725, "P2SH|DERSIG|WITNESS|TAPROOT"),
        (388381, "P2SH|DERSIG|CHECKLOCKTIMEVERIFY|WITNESS|TAPROOT"),
        (419328, "P2SH|DERSIG|CHECKLOCKTIMEVERIFY|CHECKSEQUENCEVERIFY|WITNESS|TAPROOT"),
        (481824, "P2SH|DERSIG|NULLDUMMY|CHECKLOCKTIMEVERIFY|CHECKSEQUENCEVERIFY|WITNESS|TAPROOT"),
    ],
)
def test_script_flags_of_main(height: int, flags: str) -> None:
    found = {flag.name for flag in script_flags_for(height, b"\x01" * 32, main())}
    assert found == set(flags.split("|"))


def test_script_flags_of_the_two_exceptions() -> None:
    bip16 = bytes.fromhex("00000000000002dc756eebf4f49723ed8d30cc28a5f108eb94b1ba88ac4f9c22")[::-1]
    taproot = bytes.fromhex("0000000000000000000f14c35b2d841e986ab5441de8c585d5ffe55ea1e395ad")[::-1]
    assert script_flags_for(170060, bip16, main()) == 0
    names = {flag.name for flag in script_flags_for(692261, taproot, main())}
    assert names == {
        "P2SH",
        "WITNESS",
        "DERSIG",
        "CHECKLOCKTIMEVERIFY",
        "CHECKSEQUENCEVERIFY",
        "NULLDUMMY",
    }


def test_states_in_their_order() -> None:
    params = with_deployment()
    cache: StateCache = {}
    assert deployment_state("testdummy", None, params, cache) is DEFINED
    tip = extend(None, 143)
    assert deployment_state("testdummy", tip, params, cache) is DEFINED
    tip = extend(tip, 1)
    assert deployment_state("testdummy", tip, params, cache) is STARTED
    assert compute_block_version(tip, params, cache) == SIGNAL
    tip = extend(extend(tip, 107, SIGNAL), 37)  # one vote short
    assert deployment_state("testdummy", tip, params, cache) is STARTED
    tip = extend(extend(tip, 36), 108, SIGNAL)
    assert deployment_state("testdummy", tip, params, cache) is LOCKED_IN
    assert compute_block_version(tip, params, cache) == SIGNAL
    assert not is_deployment_active("testdummy", tip, params, cache)
    tip = extend(tip, 144)
    assert deployment_state("testdummy", tip, params, cache) is ACTIVE
    assert deployment_state("testdummy", extend(tip, 200), params, cache) is ACTIVE
    assert compute_block_version(tip, params, cache) == PLAIN
    assert is_deployment_active("testdummy", tip, params, cache)
    assert state_since("testdummy", extend(tip, 300), params, cache) == 576
    assert deployment_state("testdummy", tip, params) is ACTIVE  # without a cache


def test_votes_need_the_top_bits() -> None:
    params = with_deployment()
    for version in (0x10000000, 0x70000000, 0x50000000, -1):
        tip = extend(extend(None, 144), 144, version)
        assert deployment_state("testdummy", tip, params) is STARTED


def test_start_time_is_the_median_time() -> None:
    tip = extend(None, 144)
    assert deployment_state("testdummy", tip, with_deployment(tip.mtp())) is STARTED
    assert deployment_state("testdummy", tip, with_deployment(tip.mtp() + 1)) is DEFINED


def test_timeout_fails_and_last_votes_still_count() -> None:
    first = extend(None, 144)
    params = with_deployment(0, timeout=first.mtp() + 1)
    assert deployment_state("testdummy", first, params) is STARTED
    silent = extend(first, 144)
    assert deployment_state("testdummy", silent, params) is FAILED
    assert deployment_state("testdummy", extend(silent, 144, SIGNAL), params) is FAILED
    assert deployment_state("testdummy", extend(first, 144, SIGNAL), params) is LOCKED_IN


def test_minimum_activation_height() -> None:
    params = with_deployment(0, min_height=433)
    tip = extend(extend(None, 144), 144, SIGNAL)
    assert deployment_state("testdummy", tip, params) is LOCKED_IN
    tip = extend(tip, 144)  # the next is 432
    assert deployment_state("testdummy", tip, params) is LOCKED_IN
    tip = extend(tip, 144)
    assert deployment_state("testdummy", tip, params) is ACTIVE
    assert state_since("testdummy", tip, params) == 576


def test_always_and_never() -> None:
    tip = extend(None, 10)
    assert deployment_state("testdummy", tip, with_deployment(ALWAYS_ACTIVE)) is ACTIVE
    assert deployment_state("testdummy", None, with_deployment(ALWAYS_ACTIVE)) is ACTIVE
    assert deployment_state("testdummy", tip, with_deployment(NEVER_ACTIVE)) is FAILED
    assert state_since("testdummy", tip, with_deployment(NEVER_ACTIVE)) == 0
    for network in ("main", "testnet4", "signet"):
        assert deployment_state("testdummy", tip, NETWORKS[network]()) is FAILED


def test_branches_have_their_own_states() -> None:
    params = with_deployment()
    cache: StateCache = {}
    fork = extend(None, 144)
    assert deployment_state("testdummy", extend(fork, 144, SIGNAL), params, cache) is LOCKED_IN
    assert deployment_state("testdummy", extend(fork, 144), params, cache) is STARTED


def test_information_while_voting() -> None:
    params = with_deployment()
    tip = extend(extend(extend(None, 144), 10, SIGNAL), 5)  # height 158
    info = deployment_info("testdummy", tip, params)
    assert (info.state, info.next_state, info.since, info.active_since) == (STARTED, STARTED, 144, None)
    statistics = info.statistics
    assert statistics is not None
    assert (statistics.period, statistics.threshold) == (144, 108)
    assert (statistics.elapsed, statistics.count, statistics.possible) == (15, 10, True)
    assert statistics.signalling == (True,) * 10 + (False,) * 5
    tip = extend(tip, 32)  # 37 blocks without a vote
    statistics = deployment_info("testdummy", tip, params).statistics
    assert statistics is not None and not statistics.possible


def test_information_at_the_edges() -> None:
    params = with_deployment()
    tip = extend(extend(None, 144), 144, SIGNAL)
    info = deployment_info("testdummy", tip, params)
    assert (info.state, info.next_state) == (STARTED, LOCKED_IN)
    info = deployment_info("testdummy", extend(tip, 1), params)
    assert info.state is LOCKED_IN and info.since == 288
    assert info.statistics is not None
    assert (info.statistics.threshold, info.statistics.possible) == (0, False)
    tip = extend(tip, 144)
    info = deployment_info("testdummy", tip, params)
    assert (info.state, info.next_state, info.active_since) == (LOCKED_IN, ACTIVE, 432)
    info = deployment_info("testdummy", extend(tip, 1), params)
    assert (info.state, info.statistics, info.active_since) == (ACTIVE, None, 432)
