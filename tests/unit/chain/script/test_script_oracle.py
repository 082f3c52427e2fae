"""Random and hostile spends, judged by us, in every way that we can, and by Bitcoin Core's engine.

PYBITCOIND_FUZZ_SEED and PYBITCOIND_FUZZ_COUNT choose others and more; scripts/oracle runs any number.
"""

from __future__ import annotations

import importlib.util
import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from oracle import judge, serialized
from oracle.engine import ScriptEngine
from oracle.spends import Spend, make_spend
from oracle.tape import Tape, shrink

SEED = os.environ.get("PYBITCOIND_FUZZ_SEED", "20261126")
COUNT = int(os.environ.get("PYBITCOIND_FUZZ_COUNT", "1000"))
PARTS = 3

pytestmark = pytest.mark.timeout(300)
needs_engine = pytest.mark.skipif(
    importlib.util.find_spec("pbk") is None, reason="py-bitcoinkernel is not installed"
)


@pytest.fixture(scope="module")
def engine() -> Iterator[ScriptEngine]:
    with judge.engine() as child:
        yield child


@needs_engine
@pytest.mark.parametrize("part", range(PARTS))
def test_spends_under_all_sets_of_flags(part: int) -> None:
    tally = judge.compare(SEED, part * COUNT, COUNT)
    print(f"seed {SEED}: {tally.count} spends, {len(judge.SETS)} sets of flags; {tally.errors.most_common()}")
    assert not tally.differences, [judge.reproduction(*found) for found in tally.differences]
    assert tally.count == COUNT and sum(tally.passed.values()) > COUNT // 4 and len(tally.errors) > 25
    tapscripts = sum(count for kind, count in tally.kinds.items() if kind.startswith("tapscript"))
    assert COUNT * 0.4 < tapscripts < COUNT * 0.6


@needs_engine
@seed(int(SEED) if SEED.isdecimal() else 1)
@settings(
    max_examples=400, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=True
)
@given(rng=st.randoms(use_true_random=False))
def test_spends_that_hypothesis_draws(engine: ScriptEngine, rng: random.Random) -> None:
    """It looks at edges of what may be drawn, and makes small what it finds."""
    spend = make_spend(rng)
    found = judge.difference(spend, engine)
    assert found is None, judge.reproduction(found or "", spend)


@needs_engine
def test_damaged_bytes() -> None:
    """Of a serialized transaction: read by both, to the same, or by neither."""
    tally = serialized.compare(SEED, 0, 3 * COUNT)
    print(f"seed {SEED}: {tally.answers.most_common()}")
    assert not tally.differences, tally.differences
    assert min(tally.answers["read"], tally.answers["refused"]) > COUNT // 5


def test_what_is_found_is_made_small() -> None:
    """By the draws that made it: here, of spends with an annex."""

    def has_annex(spend: Spend) -> bool:
        witness = spend.tx.witness_of(spend.index)
        return spend.kind.startswith("key path") and len(witness) > 1 and witness[-1][:1] == b"\x50"

    number = next(n for n in range(10_000) if has_annex(make_spend(random.Random(f"{SEED}/{n}"))))
    tape = Tape(f"{SEED}/{number}")
    first = make_spend(tape)
    assert first == make_spend(random.Random(f"{SEED}/{number}")) and has_annex(first)
    assert make_spend(Tape(given=tape.drawn)) == first
    small = make_spend(Tape(given=shrink(tape.drawn, lambda drawn: has_annex(make_spend(drawn)))))
    assert has_annex(small) and len(small.tx.raw) < len(first.tx.raw)
    assert len(small.tx.vout) == 1 and small.tx.witness_of(0)[-1] == b"\x50"
    assert Spend.from_json(small.as_json()) == small
