"""Signing: every kind of output, judged by the script engine; BIP 341's own signatures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pybitcoind.chain import params as networks
from pybitcoind.chain.descriptors import parse_descriptor
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script import secp
from pybitcoind.wallet.signing import (
    SIGHASH_ALL,
    SIGHASH_ANYONECANPAY,
    SIGHASH_DEFAULT,
    SIGHASH_NONE,
    SIGHASH_SINGLE,
    Keyring,
    sign_transaction,
)

PARAMS = networks.regtest()
SECRETS = [bytes([n]) * 32 for n in (1, 2, 3)]
KEYS = [secp.pubkey_of(secret).hex() for secret in SECRETS]
UNCOMPRESSED = secp.pubkey_of(SECRETS[0], False).hex()

KINDS = {
    "p2pk": f"pk({KEYS[0]})",
    "p2pk uncompressed": f"pk({UNCOMPRESSED})",
    "p2pkh": f"pkh({KEYS[0]})",
    "p2wpkh": f"wpkh({KEYS[0]})",
    "p2sh-p2wpkh": f"sh(wpkh({KEYS[0]}))",
    "bare multisig": f"multi(2,{KEYS[0]},{KEYS[1]},{KEYS[2]})",
    "p2sh multisig": f"sh(multi(2,{KEYS[0]},{KEYS[1]},{KEYS[2]}))",
    "p2wsh multisig": f"wsh(multi(2,{KEYS[0]},{KEYS[1]},{KEYS[2]}))",
    "p2sh-p2wsh multisig": f"sh(wsh(sortedmulti(2,{KEYS[0]},{KEYS[1]},{KEYS[2]})))",
    "p2wsh key": f"wsh(pk({KEYS[0]}))",
    "p2wsh key hash": f"wsh(pkh({KEYS[0]}))",
    "taproot": f"tr({KEYS[0]})",
}
HASH_TYPES = [
    kind | extra
    for kind in (SIGHASH_ALL, SIGHASH_NONE, SIGHASH_SINGLE)
    for extra in (0, SIGHASH_ANYONECANPAY)
]


def keyring(descriptor: str, secrets: list[bytes]) -> Keyring:
    ring = Keyring()
    for secret in secrets:
        ring.add_secret(secret)
        ring.add_secret(secret, compressed=False)
    ring.add_expansion(parse_descriptor(descriptor, PARAMS).expand())
    return ring


def spending(descriptor: str) -> tuple[Transaction, dict[OutPoint, TxOut]]:
    script = parse_descriptor(descriptor, PARAMS).expand().scripts[0]
    outpoint, out = OutPoint(b"\x07" * 32, 1), TxOut(100_000, script)
    tx = Transaction.make([TxIn(outpoint, b"", 0xFFFFFFFD)], [TxOut(99_000, b"\x51")])
    return tx, {outpoint: out}


@pytest.mark.parametrize("hash_type", [SIGHASH_DEFAULT, *HASH_TYPES], ids=hex)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_with_every_hash_type(kind: str, hash_type: int) -> None:
    tx, spent = spending(KINDS[kind])
    signed, errors = sign_transaction(tx, spent, keyring(KINDS[kind], SECRETS), hash_type)
    assert errors == {}
    assert signed.txid == tx.txid or signed.vin[0].script_sig


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "multisig" in kind])
def test_two_signers_one_after_the_other(kind: str) -> None:
    tx, spent = spending(KINDS[kind])
    half, errors = sign_transaction(tx, spent, keyring(KINDS[kind], SECRETS[2:]))
    assert list(errors) == [0]
    whole, errors = sign_transaction(half, spent, keyring(KINDS[kind], SECRETS[:1]))
    assert errors == {}
    both, errors = sign_transaction(tx, spent, keyring(KINDS[kind], [SECRETS[0], SECRETS[2]]))
    assert errors == {} and both == whole


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_key_nothing_is_signed(kind: str) -> None:
    tx, spent = spending(KINDS[kind])
    signed, errors = sign_transaction(tx, spent, keyring(KINDS[kind], [b"\x09" * 32]))
    if kind == "bare multisig":
        assert signed.vin[0].script_sig == b"\x00\x00"  # as Core leaves it
    else:
        assert signed.vin[0].script_sig == b"" or "p2sh" in kind
    assert list(errors) == [0]
    assert not any(item[:1] == b"\x30" for item in signed.witness_of(0))


def test_an_unknown_output_is_named() -> None:
    tx, _ = spending(KINDS["p2wpkh"])
    _, errors = sign_transaction(tx, {}, Keyring())
    assert errors == {0: "Input not found or already spent"}


def test_bip341_key_path_signatures(shared: Path, ran: Callable[[str, object], None]) -> None:
    """The published transaction, with the published secrets, gives the published witnesses."""
    vectors = json.loads((shared / "vectors/bips/bip-0341-wallet-test-vectors.json").read_text())
    count = 0
    for vector in vectors["keyPathSpending"]:
        given = vector["given"]
        spent_outputs = [
            TxOut(row["amountSats"], bytes.fromhex(row["scriptPubKey"])) for row in given["utxosSpent"]
        ]
        tx = Transaction.decode(bytes.fromhex(given["rawUnsignedTx"]))
        spent = dict(zip((txin.prevout for txin in tx.vin), spent_outputs, strict=True))
        for row in vector["inputSpending"]:
            if row["given"]["merkleRoot"] is not None:
                continue  # an output with a script tree: its key is not ours to tweak
            ring = Keyring()
            ring.add_secret(bytes.fromhex(row["given"]["internalPrivkey"]))
            signed, _ = sign_transaction(tx, spent, ring, row["given"]["hashType"])
            index = row["given"]["txinIndex"]
            assert [item.hex() for item in signed.witness_of(index)] == row["expected"]["witness"]
            count += 1
    ran("bips/bip-0341-wallet-test-vectors.json", f"{count} inputs signed by the wallet")
    assert count


def test_why_an_input_is_not_complete() -> None:
    tx, spent = spending(KINDS["p2wsh multisig"])
    _, errors = sign_transaction(tx, spent, keyring(KINDS["p2wsh multisig"], SECRETS[:1]))
    assert errors == {0: "CHECK(MULTI)SIG failing with non-zero signature (possibly need more signatures)"}
    unknown = {outpoint: out._replace(value=21_000_000 * 10**8) for outpoint, out in spent.items()}
    _, errors = sign_transaction(tx, unknown, keyring(KINDS["p2wsh multisig"], SECRETS))
    assert errors == {0: "Missing amount"}
