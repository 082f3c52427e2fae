"""Sizes as computed and as they are once signed, for every kind of input."""

from __future__ import annotations

from collections import Counter

import pytest

from pybitcoind.chain.descriptors import parse_descriptor
from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut
from pybitcoind.wallet.fees import InputSize, input_size, tx_weight, vsize_of
from pybitcoind.wallet.hd import ExtKey
from pybitcoind.wallet.scripts import ScriptBook, WalletDescriptor
from pybitcoind.wallet.signing import Keyring, sign_transaction

PARAMS = regtest()
ROOT = ExtKey.from_seed(bytes(range(32))).encode(PARAMS)
THREE = ",".join(f"{ROOT}/{i}/*" for i in range(3))
KINDS = {
    "pk": f"pk({ROOT}/0/*)",
    "pkh": f"pkh({ROOT}/0/*)",
    "sh-wpkh": f"sh(wpkh({ROOT}/0/*))",
    "wpkh": f"wpkh({ROOT}/0/*)",
    "tr": f"tr({ROOT}/0/*)",
    "multi": f"multi(1,{ROOT}/0/*,{ROOT}/1/*)",
    "sh-multi": f"sh(multi(2,{THREE}))",
    "wsh-multi": f"wsh(sortedmulti(2,{THREE}))",
    "sh-wsh-multi": f"sh(wsh(multi(2,{THREE})))",
}
WEIGHTS = {  # as the BIPs give them, for signatures of 71 bytes (64 for Schnorr)
    "pk": 4 * (40 + 1 + 72),
    "pkh": 4 * (40 + 1 + 72 + 34),
    "sh-wpkh": 4 * (40 + 1 + 23) + 1 + 72 + 34,
    "wpkh": 4 * (40 + 1) + 1 + 72 + 34,
    "tr": 4 * (40 + 1) + 1 + 65,
    "multi": 4 * (40 + 1 + 1 + 72),
    "sh-multi": 4 * (40 + 1 + 1 + 2 * 72 + 2 + 105),
    "wsh-multi": 4 * (40 + 1) + 1 + 1 + 2 * 72 + 1 + 105,
    "sh-wsh-multi": 4 * (40 + 1 + 35) + 1 + 1 + 2 * 72 + 1 + 105,
}
PAYMENT = TxOut(50_000, b"\x00\x14" + bytes(20))


def book_of(text: str, count: int) -> tuple[ScriptBook, list[bytes]]:
    book = ScriptBook(PARAMS)
    entry = WalletDescriptor(1, parse_descriptor(text, PARAMS, sink=book.keys), 0)
    derived = entry.derive(0, count)
    book.add_descriptor(entry)
    book.add_scripts(entry, derived)
    return book, [script for script, _ in derived]


def signed(
    scripts: list[bytes], ring: Keyring, outputs: list[TxOut], salt: int = 0
) -> tuple[Transaction, list[InputSize]]:
    points = [OutPoint(bytes((salt,)) * 32, i) for i in range(len(scripts))]
    spent = {point: TxOut(60_000, script) for point, script in zip(points, scripts, strict=True)}
    tx = Transaction.make([TxIn(point, b"", 0xFFFFFFFD) for point in points], outputs)
    done, errors = sign_transaction(tx, spent, ring)
    assert errors == {}
    sizes = [input_size(script, ring) for script in scripts]
    return done, [size for size in sizes if size is not None]


@pytest.mark.parametrize("kind", KINDS)
def test_an_input_is_as_large_as_computed(kind: str) -> None:
    book, scripts = book_of(KINDS[kind], 20)
    ring = book.keyring(scripts, secrets=True)
    differences: Counter[int] = Counter()
    for i, script in enumerate(scripts):
        tx, sizes = signed([script], ring, [PAYMENT], i)
        assert sizes[0].weight == WEIGHTS[kind]
        differences[tx_weight(sizes, [PAYMENT]) - tx.weight] += 1
    # Signatures of 70 bytes happen, and are never longer; Schnorr's never differ.
    assert min(differences) == 0 and differences[0] >= 17
    if kind == "tr":
        assert differences == {0: 20}


def test_inputs_of_many_kinds_in_one_transaction() -> None:
    """A witness costs the inputs without one a byte each; counts above 252 take three."""
    ring, scripts = Keyring(), []
    for kind in KINDS:
        book, own = book_of(KINDS[kind], 30)
        ring.merge(book.keyring(own, secrets=True))
        scripts += own
    tx, sizes = signed(scripts, ring, [PAYMENT] * 300)
    assert len(tx.vin) > 252
    over = tx_weight(sizes, [PAYMENT] * 300) - tx.weight
    assert 0 <= over <= 40
    assert vsize_of(tx.weight) == tx.vsize


def test_what_is_unknown_has_no_size() -> None:
    _, (script,) = book_of(KINDS["pkh"], 1)
    assert input_size(script, Keyring()) is None
    assert input_size(b"\x51", Keyring()) is None
