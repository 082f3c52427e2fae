"""Random trees of blocks, a third of them bad: after each of them Bitcoin Core's engine says what we say.

PYBITCOIND_FUZZ_SEED and PYBITCOIND_FUZZ_COUNT choose others and more; scripts/oracle runs any number.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from oracle import court
from oracle.engine import ChainEngine
from oracle.trees import KINDS, Delivery, base, make_tree

SEED = os.environ.get("PYBITCOIND_FUZZ_SEED", "20261126")
COUNT = int(os.environ.get("PYBITCOIND_FUZZ_COUNT", "1200"))

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("pbk") is None, reason="py-bitcoinkernel is not installed"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def engine() -> Iterator[tuple[ChainEngine, Path]]:
    with court.chain_engine() as pair:
        yield pair


async def test_same_verdicts_as_core_after_every_block() -> None:
    tally = await court.compare(SEED, 0, COUNT, 80)
    print(
        f"seed {SEED}: {tally.blocks} blocks of {len(tally.kinds)} kinds, {tally.reorganisations} "
        f"reorganisations, {len(tally.tokens)} verdicts: {tally.tokens.most_common()}"
    )
    assert not tally.differences, [court.reproduction(*found) for found in tally.differences]
    assert tally.reorganisations > 10 and len(tally.kinds) > 60


async def test_every_kind_of_bad_block(engine: tuple[ChainEngine, Path]) -> None:
    """One of each on the same tip, with Core's token."""
    tree = [Delivery(template.name, template.build(base())) for template in KINDS]
    tally = court.BlockTally()
    assert await court.difference(tree, *engine, tally) is None
    print(f"{len(tally.kinds)} kinds of bad blocks, {len(tally.tokens)} tokens")
    assert len(tally.kinds) == len(KINDS) >= 80
    assert set(tally.tokens) == {template.reason for template in KINDS}


@seed(int(SEED) if SEED.isdecimal() else 1)
@settings(
    max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=True
)
@given(rng=st.randoms(use_true_random=False), size=st.integers(1, 40))
def test_trees_that_hypothesis_draws(engine: tuple[ChainEngine, Path], rng: random.Random, size: int) -> None:
    tree = make_tree(rng, size)
    found = asyncio.run(court.difference(tree, *engine))
    assert found is None, court.reproduction(found or "", tree)
