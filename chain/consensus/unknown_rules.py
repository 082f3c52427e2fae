"""Whether miners have voted in rules that this program does not know: a reason to warn its user.

Source: CheckUnknownActivations in Bitcoin Core 31.99 src/versionbits.cpp.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import MutableMapping

from ..params import ChainParams
from .context import HeaderContext
from .deployments import (
    VERSION_TOP_BITS,
    VERSION_TOP_MASK,
    StateCache,
    compute_block_version,
    period_end,
)

VERSION_BITS = 29
"""Bits of a version that can vote."""
_MAIN_START = 711_648
"""On main, votes for what is known by now ended below this height; other networks count from the start."""

UnknownCache = MutableMapping[bytes, tuple[int, int]]
"""Hash of a period's last block to the (locked in, active) bits of the next period; kept by the caller."""


def unknown_activations(
    node: HeaderContext, params: ChainParams, cache: UnknownCache, states: StateCache
) -> list[tuple[int, bool]]:
    """Bits by which rules unknown to us are locked in or (True) active in the block after node."""
    period, threshold, start = 2016, 1815, _MAIN_START
    if params.is_test_chain:
        period, start = params.difficulty_interval, 0
        threshold = period * 3 // 4
    # In the first period nobody can vote yet.
    start = max(start, 2 * period - 1)
    last = period_end(node, period)
    pending: list[HeaderContext] = []
    locked_in = active = 0
    while last is not None and last.height >= start:
        known = cache.get(last.hash)
        if known is not None:
            locked_in, active = known
            break
        pending.append(last)
        last = last.ancestor(last.height - period)
    for last in reversed(pending):
        active |= locked_in
        locked_in = _winners(last, period, threshold, params, states) & ~active
        cache[last.hash] = locked_in, active
    bits = ((bit, locked_in >> bit & 1, active >> bit & 1) for bit in range(VERSION_BITS))
    return [(bit, bool(on)) for bit, waits, on in bits if waits or on]


def _winners(
    last: HeaderContext, period: int, threshold: int, params: ChainParams, states: StateCache
) -> int:
    """The bits that enough blocks of the period ending with last voted for, and that we did not expect."""
    start = 0 if params.is_test_chain else _MAIN_START
    versions: Counter[int] = Counter()
    node: HeaderContext | None = last
    for _ in range(period):
        if node is None or node.height < start:
            break
        versions[node.version] += 1
        node = node.prev
    # Known deployments have the same periods, so what a block was expected to vote for is the same in all.
    below = last.ancestor(last.height - period)
    expected = compute_block_version(below, params, states)
    winners = 0
    for bit in range(VERSION_BITS):
        votes = sum(
            count
            for version, count in versions.items()
            if version & VERSION_TOP_MASK == VERSION_TOP_BITS and version >> bit & 1
        )
        if votes >= threshold and not expected >> bit & 1:
            winners |= 1 << bit
    return winners
