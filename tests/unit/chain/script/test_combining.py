"""Copies of a transaction, each signed with one key, combine to what one signer with all keys would make."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import pytest

from pybitcoind.chain import params as networks
from pybitcoind.chain.descriptors import parse_descriptor
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script import secp
from pybitcoind.chain.script.combining import combine_input
from pybitcoind.chain.script.flags import STANDARD_FLAGS
from pybitcoind.chain.script.verify import verify_input
from pybitcoind.wallet.signing import Keyring, sign_transaction

PARAMS = networks.regtest()
SECRETS = [bytes([n]) * 32 for n in (1, 2, 3)]
KEYS = ",".join(secp.pubkey_of(secret).hex() for secret in SECRETS)
FIRST = KEYS[:66]
MULTISIG = {
    "bare": f"multi(2,{KEYS})",
    "p2sh": f"sh(multi(2,{KEYS}))",
    "p2wsh": f"wsh(multi(2,{KEYS}))",
    "p2sh-p2wsh": f"sh(wsh(multi(2,{KEYS})))",
}
SINGLE = [f"pk({FIRST})", f"pkh({FIRST})", f"wpkh({FIRST})", f"sh(wpkh({FIRST}))", f"wsh(pkh({FIRST}))"]
OUTPOINT = OutPoint(b"\x07" * 32, 1)


class Case:
    def __init__(self, descriptor: str) -> None:
        self.expansion = parse_descriptor(descriptor, PARAMS).expand()
        self.spent = TxOut(100_000, self.expansion.scripts[0])
        self.tx = Transaction.make([TxIn(OUTPOINT, b"", 0xFFFFFFFD)], [TxOut(99_000, b"\x51")])

    def signed(self, secrets: Sequence[bytes]) -> Transaction:
        ring = Keyring()
        for secret in secrets:
            ring.add_secret(secret)
        ring.add_expansion(self.expansion)
        return sign_transaction(self.tx, {OUTPOINT: self.spent}, ring)[0]

    def combined(self, *copies: Transaction) -> Transaction:
        script_sig, witness = combine_input(copies, 0, self.spent)
        vin = [TxIn(OUTPOINT, script_sig, 0xFFFFFFFD)]
        return Transaction.make(vin, self.tx.vout, witness=[witness])

    def is_complete(self, tx: Transaction) -> bool:
        return verify_input(tx, 0, self.spent, STANDARD_FLAGS) is None


@pytest.mark.parametrize("descriptor", MULTISIG.values(), ids=MULTISIG)
def test_two_of_three(descriptor: str) -> None:
    case = Case(descriptor)
    for pair in combinations(SECRETS, 2):
        one, other = (case.signed([secret]) for secret in pair)
        whole = case.signed(pair)
        assert case.is_complete(whole) and not case.is_complete(one)
        for copies in ((one, other), (other, one), (case.tx, one, other), (one, whole), (one, one, other)):
            assert case.combined(*copies).raw == whole.raw


@pytest.mark.parametrize("descriptor", MULTISIG.values(), ids=MULTISIG)
def test_one_signature_keeps_an_empty_place(descriptor: str) -> None:
    case = Case(descriptor)
    one = case.signed(SECRETS[1:2])
    assert case.combined(case.tx, one).raw == one.raw


@pytest.mark.parametrize("descriptor", SINGLE)
def test_one_key(descriptor: str) -> None:
    case = Case(descriptor)
    signed = case.signed(SECRETS[:1])
    assert case.combined(case.tx, signed).raw == signed.raw
    assert case.combined(signed, case.tx).raw == signed.raw


def test_signature_that_is_not_good_is_dropped() -> None:
    case = Case(SINGLE[1])
    signed = case.signed(SECRETS[:1])
    other_out = Transaction.make(signed.vin, [TxOut(98_000, b"\x51")])
    assert case.combined(signed, other_out).raw == signed.raw
    assert combine_input([other_out], 0, TxOut(1, case.spent.script_pubkey)) == (b"", ())


def test_copy_with_fewer_inputs_is_passed_over() -> None:
    case = Case(SINGLE[1])
    assert combine_input([case.tx], 1, case.spent) == (b"", ())
