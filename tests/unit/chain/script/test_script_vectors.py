"""Core's script_tests.json, tx_valid.json and tx_invalid.json, through the templates and without them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from both_ways import verdict
from script_vectors import ALL_FLAGS, assemble, fill, flags_of, trim

from pybitcoind.chain.primitives.hashes import hash_from_hex
from pybitcoind.chain.primitives.transaction import COIN, NULL_OUTPOINT, OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script.errors import ScriptError
from pybitcoind.chain.script.flags import ScriptFlags
from pybitcoind.chain.script.sighash import TxDigests
from pybitcoind.chain.script.taproot import output_key, tapleaf_hash

NUMS = bytes.fromhex("50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0")
"""A point without a known secret key (BIP 341)."""
NAMES = {"NULLFAIL": "SIG_NULLFAIL"}


def spend(script_sig: bytes, script_pubkey: bytes, witness: list[bytes], amount: int) -> Transaction:
    """The transaction of script_tests.json: it spends a coinbase whose scriptSig is two zeros."""
    credit = Transaction.make([TxIn(NULL_OUTPOINT, b"\x00\x00")], [TxOut(amount, script_pubkey)], version=1)
    return Transaction.make(
        [TxIn(OutPoint(credit.txid, 0), script_sig)],
        [TxOut(amount, b"")],
        version=1,
        witness=[witness] if witness else (),
    )


def check(tx: Transaction, index: int, output: TxOut, flags: ScriptFlags, digests: TxDigests) -> Any:
    """The answer, which is the same by every way."""
    assert digests.spent is not None and digests.spent[index] is output
    return verdict(tx, index, digests.spent, flags, digests)


def test_scripts(shared: Path, ran: Callable[[str, object], None]) -> None:
    cases = json.loads((shared / "vectors/core/script_tests.json").read_text(), parse_float=Decimal)
    rng, run = random.Random(20261120), 0
    for case in cases:
        if len(case) == 1:
            continue
        items = case.pop(0) if isinstance(case[0], list) else []
        amount = int(items.pop() * COIN) if items else 0
        sig_text, pubkey_text, flag_text, want, *_ = case
        witness, taproot = [], b""
        for item in items:
            if item.startswith("#SCRIPT#"):
                script = assemble(item.removeprefix("#SCRIPT#"))
                point = output_key(NUMS, tapleaf_hash(0xC0, script))
                assert point is not None
                taproot, control = b"\x51\x20" + point[0], bytes((0xC0 | point[1],)) + NUMS
                witness.append(script)
            else:
                witness.append(control if item == "#CONTROLBLOCK#" else bytes.fromhex(item))
        script_pubkey = taproot if "#TAPROOTOUTPUT#" in pubkey_text else assemble(pubkey_text)
        flags = flags_of(flag_text)
        if ScriptFlags.CLEANSTACK in flags:
            flags |= ScriptFlags.P2SH | ScriptFlags.WITNESS
        tx = spend(assemble(sig_text), script_pubkey, witness, amount)
        output = TxOut(amount, script_pubkey)
        digests = TxDigests(tx, [output])
        error = check(tx, 0, output, flags, digests)
        assert error is (None if want == "OK" else ScriptError[NAMES.get(want, want)]), (case, error)
        for _ in range(8):  # fewer flags never hurt, more never help
            extra = ScriptFlags(rng.randrange(ALL_FLAGS + 1))
            other = trim(flags & ~extra) if want == "OK" else fill(flags | extra)
            assert (check(tx, 0, output, other, digests) is None) == (want == "OK"), (case, other)
        run += 1
    ran("core/script_tests.json", f"{run} scripts, each under 9 sets of flags and by all ways")
    assert run == 1222


def transactions(path: Path) -> list[tuple[Transaction, dict[OutPoint, TxOut], str]]:
    """(transaction, outputs it spends, flags) of each case."""
    found = []
    for case in json.loads(path.read_text()):
        if len(case) != 3:
            continue
        prevouts, raw, flags = case
        spent = {
            OutPoint(hash_from_hex(txid), vout & 0xFFFFFFFF): TxOut(
                amount[0] if amount else 0, assemble(text)
            )
            for txid, vout, text, *amount in prevouts
        }
        found.append((Transaction.decode(bytes.fromhex(raw)), spent, flags))
    return found


def passes(tx: Transaction, spent: dict[OutPoint, TxOut], flags: ScriptFlags) -> bool:
    outputs = [spent[txin.prevout] for txin in tx.vin]
    digests = TxDigests(tx, outputs)
    return all(check(tx, n, output, flags, digests) is None for n, output in enumerate(outputs))


def single_flags(flags: ScriptFlags) -> list[ScriptFlags]:
    return [flag for flag in ScriptFlags if flag in flags]


def test_valid_transactions(shared: Path, ran: Callable[[str, object], None]) -> None:
    """The flags of a case are all that it breaks."""
    cases = transactions(shared / "vectors/core/tx_valid.json")
    rng = random.Random(20261120)
    for tx, spent, text in cases:
        broken = flags_of("" if text == "NONE" else text)
        flags = trim(ALL_FLAGS & ~broken)
        assert passes(tx, spent, flags), text
        for flag in single_flags(flags):
            assert passes(tx, spent, trim(flags & ~flag))
        assert passes(tx, spent, trim(flags & ~ScriptFlags(rng.randrange(ALL_FLAGS + 1))))
        for flag in single_flags(broken):  # none is named for nothing
            assert not passes(tx, spent, fill(flags | flag)), (text, flag)
    ran("core/tx_valid.json", f"{len(cases)} transactions")
    assert len(cases) == 121


def test_invalid_transactions(shared: Path, ran: Callable[[str, object], None]) -> None:
    """The flags of a case are the fewest that it needs to fail."""
    cases = [case for case in transactions(shared / "vectors/core/tx_invalid.json") if case[2] != "BADTX"]
    for tx, spent, text in cases:
        flags = fill(flags_of("" if text == "NONE" else text))
        assert not passes(tx, spent, flags), text
        assert not passes(tx, spent, ALL_FLAGS)
        for flag in single_flags(flags):
            assert passes(tx, spent, trim(flags & ~flag)) or text == "NONE", (text, flag)
    ran("core/tx_invalid.json", f"{len(cases)} transactions that fail in a script")
    assert len(cases) == 84


def test_transactions_of_bad_form(shared: Path, ran: Callable[[str, object], None]) -> None:
    """BADTX fails before any script; all others, valid or not, are well formed."""
    rules = pytest.importorskip("pybitcoind.chain.consensus.transactions")
    errors = pytest.importorskip("pybitcoind.chain.consensus.errors")
    bad = 0
    for name in ("tx_valid", "tx_invalid"):
        for tx, _, text in transactions(shared / f"vectors/core/{name}.json"):
            if text == "BADTX":
                bad += 1
                with pytest.raises(errors.TxInvalid):
                    rules.check_transaction(tx)
            else:
                rules.check_transaction(tx)
    ran("core/tx_invalid.json", f"{bad} transactions of bad form")
    assert bad == 9
