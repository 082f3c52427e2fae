"""Compact targets, work and retargets, against numbers from the main chain and from Core's own tests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from pybitcoind.chain import params as networks
from pybitcoind.chain.consensus.pow import (
    bits_to_target,
    block_work,
    check_proof_of_work,
    derive_target,
    next_work_required,
    permitted_difficulty_transition,
    proof_equivalent_time,
    target_to_bits,
)
from pybitcoind.chain.params import ChainParams, main, regtest, signet

MAIN_LIMIT = 0x1D00FFFF


@dataclass
class Node:
    """A header whose ancestors are made up: all have the time and bits of `first`."""

    height: int
    time: int
    bits: int
    first: Node | None = None
    prev: Any = None

    def ancestor(self, height: int) -> Node:
        assert self.first is not None and height == self.first.height
        return self.first


@pytest.mark.parametrize(
    ("bits", "target", "negative", "overflow", "back"),
    [
        (0x00000000, 0, False, False, 0),
        (0x00123456, 0, False, False, 0),
        (0x01003456, 0, False, False, 0),
        (0x02000056, 0, False, False, 0),
        (0x03000000, 0, False, False, 0),
        (0x04000000, 0, False, False, 0),
        (0x00923456, 0, False, False, 0),
        (0x01803456, 0, False, False, 0),
        (0x02800056, 0, False, False, 0),
        (0x03800000, 0, False, False, 0),
        (0x04800000, 0, False, False, 0),
        (0x01123456, 0x12, False, False, 0x01120000),
        (0x01FEDCBA, 0x7E, True, False, 0x017E0000),
        (0x02123456, 0x1234, False, False, 0x02123400),
        (0x03123456, 0x123456, False, False, 0x03123456),
        (0x04123456, 0x12345600, False, False, 0x04123456),
        (0x04923456, 0x12345600, True, False, 0x04123456),
        (0x05009234, 0x92340000, False, False, 0x05009234),
        (0x20123456, 0x123456 << 232, False, False, 0x20123456),
        (0x217FFFFF, (0x7FFFFF << 240) % 2**256, False, True, None),
        (0x2100FFFF, 0xFFFF << 240, False, False, 0x2100FFFF),
        (0x220000FF, 0xFF << 248, False, False, 0x2100FF00),
        (0x22000100, 0, False, True, None),
        (0xFF123456, 0, False, True, None),
        (0xFF000000, 0, False, False, 0),
    ],
)
def test_compact(bits: int, target: int, negative: bool, overflow: bool, back: int | None) -> None:
    assert bits_to_target(bits) == (target, negative, overflow)
    if back is not None:
        assert target_to_bits(target) == back


def test_compact_moves_the_sign_bit_out_of_the_way() -> None:
    assert target_to_bits(0x80) == 0x02008000
    assert target_to_bits(0x7FFFFF) == 0x037FFFFF
    assert target_to_bits(0x800000) == 0x04008000


def test_targets_that_are_none() -> None:
    limit = (1 << 224) - 1
    assert derive_target(MAIN_LIMIT, limit) == 0xFFFF << 208
    assert derive_target(0x1D010000, limit) is None  # above the limit
    assert derive_target(0x1D80FFFF, limit) is None  # negative
    assert derive_target(0x1D000000, limit) is None  # zero
    assert derive_target(0xFF00FFFF, limit) is None  # overflown


def test_proof_of_work_of_genesis() -> None:
    params = main()
    genesis = params.genesis.header
    assert check_proof_of_work(genesis.hash, 0x1D00FFFF, params)
    assert not check_proof_of_work(genesis.hash, 0x1B00FFFF, params)
    target = 0xFFFF << 208
    assert check_proof_of_work(target.to_bytes(32, "little"), 0x1D00FFFF, params)
    assert not check_proof_of_work((target + 1).to_bytes(32, "little"), 0x1D00FFFF, params)
    assert not check_proof_of_work(bytes(32), 0x207FFFFF, params)
    assert check_proof_of_work(bytes(32), 0x207FFFFF, regtest())


def test_work() -> None:
    assert block_work(0x1D00FFFF) == 0x100010001
    assert block_work(0x207FFFFF) == 2
    assert block_work(0) == block_work(0x04923456) == block_work(0xFF123456) == 0


RETARGETS = [
    # first time, height, last time, bits, next bits
    (1261130161, 32255, 1262152739, 0x1D00FFFF, 0x1D00D86A),
    (1231006505, 2015, 1233061996, 0x1D00FFFF, 0x1D00FFFF),  # no easier than the limit
    (1279008237, 68543, 1279297671, 0x1C05A3F4, 0x1C0168FD),  # a quarter at least
    (1263163443, 46367, 1269211443, 0x1C387F6F, 0x1D00E1FD),  # four times at most
]


@pytest.mark.parametrize(("first_time", "height", "time", "bits", "expected"), RETARGETS)
def test_retarget(first_time: int, height: int, time: int, bits: int, expected: int) -> None:
    last = Node(height, time, bits, Node(height - 2015, first_time, bits))
    assert next_work_required(last, time + 600, main()) == expected
    assert permitted_difficulty_transition(height + 1, bits, expected, main())


def test_no_change_within_a_period() -> None:
    assert next_work_required(Node(2014, 5, 0x1C05A3F4), 10**9, main()) == 0x1C05A3F4


@pytest.mark.parametrize(("bits", "wrong"), [(0x1C05A3F4, 0x1C0168FC), (0x1C387F6F, 0x1D00E1FE)])
def test_steps_that_are_too_large(bits: int, wrong: int) -> None:
    assert not permitted_difficulty_transition(2016 * 23, bits, wrong, main())


def test_permitted_transition_elsewhere() -> None:
    assert not permitted_difficulty_transition(2017, 0x1C05A3F4, 0x1C05A3F5, main())
    assert permitted_difficulty_transition(2017, 0x1C05A3F4, 0x1C05A3F4, main())
    assert permitted_difficulty_transition(2017, 0x1C05A3F4, 0x1D00FFFF, networks.testnet4())
    assert permitted_difficulty_transition(2017, 0x1C05A3F4, 0x1D00FFFF, regtest())
    assert not permitted_difficulty_transition(2017, 0x1D05A3F4, 0x1D00FFFF, signet())


def linked(params: ChainParams, height: int, bits: list[int], time: int = 1_800_000_000) -> Node:
    """Headers 600 s apart with these bits; the first at height, without a parent."""
    node = Node(height, time, bits[0])
    for i, value in enumerate(bits[1:], 1):
        node = Node(height + i, time + 600 * i, value, prev=node)
    return node


def test_late_blocks_of_testnets() -> None:
    params = networks.testnet4()
    real = 0x1C05A3F4
    tip = linked(params, 4032, [real, real, MAIN_LIMIT, MAIN_LIMIT])
    assert next_work_required(tip, tip.time + 1201, params) == MAIN_LIMIT
    assert next_work_required(tip, tip.time + 1200, params) == real
    # Back to the first block of the period, no further.
    tip = linked(params, 4030, [real, real, MAIN_LIMIT, MAIN_LIMIT])
    assert next_work_required(tip, tip.time + 1200, params) == MAIN_LIMIT
    assert next_work_required(tip, tip.time + 1201, main()) == MAIN_LIMIT


def test_bip94_takes_the_first_block_of_the_period() -> None:
    last = Node(68543, 1279297671, MAIN_LIMIT, Node(66528, 1279008237, 0x1C05A3F4))
    assert next_work_required(last, 0, networks.testnet4()) == 0x1C0168FD
    assert next_work_required(last, 0, replace(networks.testnet4(), enforce_bip94=False)) == 0x1C3FFFC0


def test_regtest_never_retargets() -> None:
    last = Node(143, 10_000, 0x207FFFFE, Node(0, 0, 0x207FFFFF))
    assert next_work_required(last, 10_600, regtest()) == 0x207FFFFE


def test_regtest_does_not_look_back() -> None:
    """All its blocks have the least difficulty; to walk to the beginning of a period is slow."""
    limit = regtest().genesis.header.bits
    assert next_work_required(Node(100, 10_000, limit, prev=object()), 10_600, regtest()) == limit
    harder = replace(regtest(), pow_limit=regtest().pow_limit >> 1)  # genesis is none of its usual blocks
    tip = linked(harder, 10, [0x1F00FFFF, 0x203FFFFF, 0x203FFFFF])
    assert next_work_required(tip, tip.time + 600, harder) == 0x1F00FFFF


def test_equivalent_time() -> None:
    params = main()
    work = block_work(0x1D00FFFF)
    assert proof_equivalent_time(10 * work, 4 * work, 0x1D00FFFF, params) == 3600
    assert proof_equivalent_time(4 * work, 10 * work, 0x1D00FFFF, params) == -3600
    assert proof_equivalent_time(work, work, 0x1D00FFFF, params) == 0
    assert proof_equivalent_time(2**200, 0, 0x207FFFFF, params) == 2**63 - 1
