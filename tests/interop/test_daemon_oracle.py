"""Random input before Bitcoin Core's daemon and us: spends for the mempools, trees of blocks steered by hand.

PYBITCOIND_FUZZ_SEED chooses others; scripts/oracle daemon and scripts/oracle steering run any number.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from oracle import judge, policy, steering

pytestmark = pytest.mark.interop

SEED = os.environ.get("PYBITCOIND_FUZZ_SEED", "20261126")


@pytest.mark.parametrize("standard", [True, False])
async def test_spends_before_both_mempools(bitcoind: Path, standard: bool) -> None:
    """The flags of policy, and Core's words in full; with -acceptnonstdtxn more come to their scripts."""
    tally = await policy.compare(bitcoind, SEED, 0, 1000, standard=standard)
    print(f"seed {SEED}: {tally.count} spends; {tally.answers.most_common()}")
    assert not tally.differences, [judge.reproduction(*found) for found in tally.differences]
    assert tally.count == 1000 and tally.answers["allowed"] > 50 and len(tally.answers) > 25


async def test_trees_steered_by_hand(bitcoind: Path) -> None:
    """invalidateblock, reconsiderblock and preciousblock; the rows of getchaintips after each step."""
    tally = await steering.compare(bitcoind, SEED, 0, 500)
    print(f"seed {SEED}: {tally.steps} steps; {tally.kinds.most_common()}")
    assert not tally.differences, tally.differences
    assert min(tally.kinds[order] for order in steering.ORDERS) > 10
    assert set(tally.statuses) == {"active", "invalid", "headers-only", "valid-headers", "valid-fork"}
