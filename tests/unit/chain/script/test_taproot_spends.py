"""2,808 spends that Core's feature_taproot made: what passes and fails under which consensus flags."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from both_ways import verdict
from oracle.judge import SETS
from script_vectors import flags_of

from pybitcoind.chain.primitives.serialize import read_compact_size
from pybitcoind.chain.primitives.transaction import Transaction, TxIn, TxOut
from pybitcoind.chain.script import secp
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


def run(case: dict[str, Any], rng: random.Random) -> int:
    """Check one case under every set of flags that says anything about it; how many checks were made.

    The interpreter is asked under each of them; all our ways are under the case's own flags and two more.
    """
    tx = Transaction.decode(bytes.fromhex(case["tx"]))
    spent = [decode_output(bytes.fromhex(raw)) for raw in case["prevouts"]]
    index, flags = case["index"], flags_of(case["flags"])
    checks = 0
    for kind in ("success", "failure"):
        if kind not in case:
            continue
        spend = fitted(tx, index, case[kind])
        digests = TxDigests(spend, spent)
        if kind == "success":
            wanted = [each for each in SETS if case.get("final", False) or each in flags]
        else:
            wanted = [each for each in SETS if flags in each]
        for each in wanted:
            error = verify_input(spend, index, spent[index], each, digests, templates_enabled=False)
            assert (error is None) is (kind == "success"), (case["comment"], kind, each, error)
        for each in (flags, wanted[-1], rng.choice(wanted)):
            error = verdict(spend, index, spent, each, digests)
            assert (error is None) is (kind == "success"), (case["comment"], kind, each, error)
        checks += len(wanted)
    return checks


@pytest.fixture
def known_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    """What libsecp256k1 said of a signature or a tweak is not asked again: no flag changes it."""
    for name in ("_schnorr_verify", "_tweak_add_check"):
        monkeypatch.setattr(secp, name, cache(getattr(secp, name)))


@pytest.mark.usefixtures("known_signatures")
@pytest.mark.parametrize("quarter", range(4))
def test_spends(shared: Path, ran: Callable[[str, object], None], quarter: int) -> None:
    rng = random.Random(20261120)
    every = json.loads((shared / "vectors/core/taproot_spends.json").read_text())
    assert len(every) == 2808
    cases = every[quarter::4]
    checks = sum(run(case, rng) for case in cases)
    failures = sum("failure" in case for case in cases)
    ran(
        "core/taproot_spends.json",
        f"{len(cases)} of {len(every)} spends and {failures} broken ones under all sets of flags they say "
        f"something about: {checks} checks",
    )
