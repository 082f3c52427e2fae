"""2,808 spends that Core's feature_taproot made: what passes and fails under which consensus flags."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from oracle.judge import SETS as COMBINATIONS
from script_vectors import flags_of

from pybitcoind.chain.primitives.serialize import read_compact_size
from pybitcoind.chain.primitives.transaction import Transaction, TxIn, TxOut
from pybitcoind.chain.script.flags import ScriptFlags
from pybitcoind.chain.script.sighash import TxDigests
from pybitcoind.chain.script.verify import verify_input


def decode_output(raw: bytes) -> TxOut:
    size, pos = read_compact_size(raw, 8)
    assert pos + size == len(raw)
    return TxOut(int.from_bytes(raw[:8], "little", signed=True), raw[pos:])


def fitted(tx: Transaction, index: int, spend: dict[str, Any]) -> Transaction:
    """tx with the scriptSig and witness of spend at index."""
    vin = list(tx.vin)
    vin[index] = TxIn(vin[index].prevout, bytes.fromhex(spend["scriptSig"]), vin[index].sequence)
    witness: list[Iterable[bytes]] = [tx.witness_of(n) for n in range(len(vin))]
    witness[index] = [bytes.fromhex(item) for item in spend["witness"]]
    stacks = [tuple(stack) for stack in witness]
    return Transaction.make(vin, tx.vout, version=tx.version, locktime=tx.locktime, witness=stacks)


def run(case: dict[str, Any], combinations: list[ScriptFlags]) -> int:
    """Check one case; how many scripts were run."""
    tx = Transaction.decode(bytes.fromhex(case["tx"]))
    spent = [decode_output(bytes.fromhex(raw)) for raw in case["prevouts"]]
    index, flags = case["index"], flags_of(case["flags"])
    checks = 0
    for kind in ("success", "failure"):
        if kind not in case:
            continue
        spend = fitted(tx, index, case[kind])
        digests = TxDigests(spend, spent)
        for combination in combinations:
            if kind == "success":
                counts, want = case.get("final", False) or combination in flags, True
            else:
                counts, want = flags in combination, False
            if not counts:
                continue
            for enabled in (True, False):
                error = verify_input(
                    spend, index, spent[index], combination, digests, templates_enabled=enabled
                )
                assert (error is None) is want, (case["comment"], kind, combination, error, enabled)
                checks += 1
    return checks


def test_spends(shared: Path) -> None:
    """Every spend, under its own flags, under all, and under three other sets drawn by lot."""
    rng = random.Random(20261120)
    cases = json.loads((shared / "vectors/core/taproot_spends.json").read_text())
    checks = 0
    for case in cases:
        checks += run(case, [flags_of(case["flags"]), COMBINATIONS[-1], *rng.sample(COMBINATIONS, 3)])
    print(f"{len(cases)} spends, {checks} checks")
    assert len(cases) == 2808


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_spends_under_all_flags(shared: Path) -> None:
    cases = json.loads((shared / "vectors/core/taproot_spends.json").read_text())
    checks = sum(run(case, COMBINATIONS) for case in cases)
    print(f"{len(cases)} spends, {checks} checks")
