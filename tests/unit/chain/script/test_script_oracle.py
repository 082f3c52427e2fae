"""Random spends, judged by us and by Bitcoin Core's engine (py-bitcoinkernel) in a child process."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import subprocess
import sys
from collections import Counter

import pytest
from both_ways import verdict
from script_maker import Spend, make_spend
from script_vectors import consensus_combinations

from pybitcoind.chain.script.sighash import TxDigests

CHILD = """
import json, sys
import pbk
from pbk.script import PrecomputedTransactionData
for line in sys.stdin:
    raw, index, spent, flag_sets = json.loads(line)
    tx = pbk.Transaction(bytes.fromhex(raw))
    scripts = [(pbk.ScriptPubkey(bytes.fromhex(script)), value) for value, script in spent]
    outputs = [pbk.TransactionOutput(script, value) for script, value in scripts]
    data = PrecomputedTransactionData(tx, outputs)
    script, value = scripts[index]
    kinds = pbk.ScriptVerificationFlags
    sets = [sum((kinds[name] for name in names), kinds.NONE) for names in flag_sets]
    print(json.dumps([script.verify(value, tx, data, index, flags) for flags in sets]), flush=True)
"""
COMBINATIONS = consensus_combinations()


def judge(spends: list[Spend], rng: random.Random) -> tuple[int, Counter[str]]:
    """Compare under three sets of flags each; (how many pass, what the others fail with)."""
    lines, ours = [], []
    passed, errors = 0, Counter[str]()
    for tx, index, spent in spends:
        combinations = [COMBINATIONS[-1], *rng.sample(COMBINATIONS, 2)]
        digests = TxDigests(tx, spent)
        answers = [verdict(tx, index, spent, flags, digests) for flags in combinations]
        passed += answers[0] is None
        if answers[0]:
            errors[answers[0].name] += 1
        ours.append([answer is None for answer in answers])
        names = [[flag.name for flag in flags] for flags in combinations]
        outputs = [(out.value, out.script_pubkey.hex()) for out in spent]
        lines.append(json.dumps((tx.raw.hex(), index, outputs, names)))
    text = "\n".join(lines) + "\n"
    child = subprocess.run(
        [sys.executable, "-c", CHILD], input=text, capture_output=True, text=True, timeout=600, check=False
    )
    theirs = [json.loads(line) for line in child.stdout.splitlines()]
    for line, we, they in zip(lines, ours, theirs, strict=False):
        assert we == they, line
    assert len(theirs) == len(ours), f"the engine stopped: {child.stderr[-500:]}\n{lines[len(theirs)]}"
    return passed, errors


@pytest.mark.skipif(importlib.util.find_spec("pbk") is None, reason="py-bitcoinkernel is not installed")
def test_random_spends() -> None:
    """PYBITCOIND_FUZZ_SEED and PYBITCOIND_FUZZ_COUNT choose others and more."""
    seed = int(os.environ.get("PYBITCOIND_FUZZ_SEED", "20261120"))
    count = int(os.environ.get("PYBITCOIND_FUZZ_COUNT", "1000"))
    rng = random.Random(seed)
    spends = [make_spend(rng) for _ in range(count)]
    passed, errors = judge(spends, rng)
    print(f"seed {seed}: {passed} of {count} spends pass; {errors.most_common()}")
    assert passed > count // 5 and len(errors) > 10
