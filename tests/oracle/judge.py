"""Spends before both judges, ours and Core's engine: any difference is made small and told."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from both_ways import fast_verdict, verdict

from pybitcoind.chain.script.errors import ScriptError
from pybitcoind.chain.script.flags import ScriptFlags, flag_names
from pybitcoind.chain.script.sighash import TxDigests
from pybitcoind.chain.script.verify import verify_input

from .engine import ScriptEngine
from .spends import Spend, make_spend
from .tape import Tape, shrink


def consensus_sets() -> list[ScriptFlags]:
    """All 64 sets of the seven consensus flags that make sense, from none to all."""
    free = (
        ScriptFlags.DERSIG,
        ScriptFlags.NULLDUMMY,
        ScriptFlags.CHECKLOCKTIMEVERIFY,
        ScriptFlags.CHECKSEQUENCEVERIFY,
    )
    chain = (ScriptFlags.P2SH, ScriptFlags.WITNESS, ScriptFlags.TAPROOT)
    return [
        ScriptFlags(sum(chain[:length]) + sum(chosen))
        for length in range(len(chain) + 1)
        for count in range(len(free) + 1)
        for chosen in itertools.combinations(free, count)
    ]


SETS = consensus_sets()
BATCH = 200


@dataclass
class Verdict:
    """passes: a bit per set of SETS. error: under all flags. faults: where our own ways do not agree."""

    passes: int
    error: ScriptError | None
    faults: list[str]


def our_verdict(spend: Spend, turn: int) -> Verdict:
    """By the interpreter under every set; by the fast ways too under a few, others at every turn."""
    tx, index, spent = spend.tx, spend.index, spend.spent
    digests = TxDigests(tx, spent)
    passes, error = 0, None
    for n, flags in enumerate(SETS):
        error = verify_input(tx, index, spent[index], flags, digests, templates_enabled=False)
        passes |= (error is None) << n
    faults = []
    for n in (turn % len(SETS), turn // 64 * 7 % len(SETS), len(SETS) - 1):
        try:
            if (verdict(tx, index, spent, SETS[n]) is None) != bool(passes >> n & 1):
                faults.append("what is kept of a transaction changed the verdict")
        except AssertionError as fault:
            faults.append(str(fault))
    return Verdict(passes, error, faults)


def difference(spend: Spend, engine: ScriptEngine) -> str | None:
    """What the judges do not agree on, None if they do."""
    ours = our_verdict(spend, 0)
    return told(ours, engine.judge(spend))


def told(ours: Verdict, theirs: int) -> str | None:
    if ours.faults:
        return ours.faults[0]
    if ours.passes == theirs:
        return None
    n = next(n for n in range(len(SETS)) if (ours.passes ^ theirs) >> n & 1)
    which = "Core accepts, we refuse" if theirs >> n & 1 else "we accept, Core refuses"
    return f"{which} under {','.join(flag_names(SETS[n])) or 'no flags'} and others; ours says {ours.error}"


@contextmanager
def engine() -> Iterator[ScriptEngine]:
    child = ScriptEngine(SETS)
    try:
        yield child
    finally:
        child.close()


@dataclass
class Tally:
    """What was compared. differences: text and spend, made small."""

    count: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    differences: list[tuple[str, Spend]] = field(default_factory=list)

    def add(self, spend: Spend, ours: Verdict) -> None:
        kind = spend.kind.removesuffix(", damaged")
        self.count += 1
        self.kinds[kind] += 1
        if ours.error is None:
            self.passed[kind] += 1
        self.errors[ours.error.name if ours.error else "OK"] += 1


def compare(
    seed: str, first: int, count: int, progress: Callable[[Tally], None] | None = None, most: int = 3
) -> Tally:
    """Judge spends number first to first + count of a seed; ends early at so many differences.

    Core's engine works on a batch while we do.
    """
    tally = Tally()
    numbers = range(first, first + count)
    with engine() as child, ThreadPoolExecutor(1) as pool:
        for start in range(0, count, BATCH):
            batch = [(n, make_spend(random.Random(f"{seed}/{n}"))) for n in numbers[start : start + BATCH]]
            waiting = pool.submit(lambda batch=batch: [child.judge(spend) for _, spend in batch])
            ours = [our_verdict(spend, n) for n, spend in batch]
            for (n, spend), we, they in zip(batch, ours, waiting.result(), strict=True):
                tally.add(spend, we)
                found = told(we, they)
                if found and len(tally.differences) < most:
                    small = smallest(f"{seed}/{n}", child) or spend
                    tally.differences.append((f"spend {n} of seed {seed}: {found}", small))
            _judge_as_block(f"{seed}/{start}", batch, ours, tally)
            if progress is not None:
                progress(tally)
            if len(tally.differences) >= most:
                break
    return tally


def _judge_as_block(name: str, batch: list[tuple[int, Spend]], ours: list[Verdict], tally: Tally) -> None:
    """The batch as the inputs of a block: all that pass, and two at random places that do not."""
    rng = random.Random(name)
    spends = [(spend, we.error) for (_, spend), we in zip(batch, ours, strict=True) if we.error is None]
    bad = [(spend, we.error) for (_, spend), we in zip(batch, ours, strict=True) if we.error is not None]
    for _ in range(3):
        for spend, error in rng.sample(bad, min(len(bad), 2)):
            spends.insert(rng.randrange(len(spends) + 1), (spend, error))
        wanted = next((found for found in spends if found[1] is not None), None)
        checks = [TxDigests(spend.tx, spend.spent) for spend, _ in spends]
        failure = fast_verdict(checks, SETS[-1], rng.choice((1, 2, 7)))
        told = (failure.tx, failure.index, failure.error) if failure else None
        if told != (wanted and (wanted[0].tx, wanted[0].index, wanted[1])):
            spend = wanted[0] if wanted else spends[0][0]
            tally.differences.append((f"{name} as a block: {told and told[1:]} instead of {wanted}", spend))
        spends = [found for found in spends if found[1] is None]


def smallest(seed: str, child: ScriptEngine) -> Spend | None:
    """The smallest spend that comes from what a seed draws and is still judged differently."""

    def differs(tape: Tape) -> bool:
        return difference(make_spend(tape), child) is not None

    tape = Tape(seed)
    if not differs(tape):
        return None
    return make_spend(Tape(given=shrink(tape.drawn, differs)))


def reproduction(text: str, spend: Spend) -> str:
    """A file that `scripts/oracle replay` takes: one JSON object a line."""
    told: dict[str, Any] = {"what": text, **spend.as_json()}
    return json.dumps(told) + "\n"
