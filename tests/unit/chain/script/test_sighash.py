"""Signature hashes: Core's sighash.json and BIP 341's wallet vectors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from pybitcoind.chain.params import main
from pybitcoind.chain.primitives.hashes import hash160
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script import secp
from pybitcoind.chain.script.address import PubKeyHash, WitnessV1Taproot, encode_address
from pybitcoind.chain.script.flags import MANDATORY_FLAGS
from pybitcoind.chain.script.sighash import TxDigests, legacy_sighash, segwit_v0_sighash, taproot_sighash
from pybitcoind.chain.script.taproot import (
    commits_to,
    is_control_size,
    merkle_root_of,
    output_key,
    tapbranch_hash,
    tapleaf_hash,
    taptweak,
)
from pybitcoind.chain.script.verify import verify_input


def test_legacy(shared: Path, ran: Callable[[str, object], None]) -> None:
    cases = json.loads((shared / "vectors/core/sighash.json").read_text())[1:]
    for raw, script, index, hash_type, want in cases:
        tx = Transaction.decode(bytes.fromhex(raw))
        digests = TxDigests(tx)
        for kept in (None, digests, digests):
            got = legacy_sighash(bytes.fromhex(script), tx, index, hash_type, kept)
            assert got[::-1].hex() == want
    ran("core/sighash.json", f"{len(cases)} signature hashes")
    assert len(cases) == 500


def test_single_without_its_output_signs_one() -> None:
    tx = Transaction.make([TxIn(OutPoint(bytes(32), n)) for n in range(2)], [TxOut(1, b"")])
    assert legacy_sighash(b"", tx, 1, 3) == b"\x01" + bytes(31)
    assert legacy_sighash(b"", tx, 1, 0x83) == b"\x01" + bytes(31)
    assert legacy_sighash(b"", tx, 0, 3) != b"\x01" + bytes(31)
    assert segwit_v0_sighash(b"", tx, 1, 3, 0) != segwit_v0_sighash(b"", tx, 1, 2, 0)
    digests = TxDigests(tx, [TxOut(5, b"\x51")] * 2)
    assert taproot_sighash(tx, 1, 3, digests) is None
    assert taproot_sighash(tx, 0, 3, digests) is not None
    assert taproot_sighash(tx, 0, 4, digests) is None and taproot_sighash(tx, 0, 0x80, digests) is None
    assert taproot_sighash(tx, 0, 0, TxDigests(tx)) is None


def test_bip143() -> None:
    """The first P2WPKH example of BIP 143."""
    tx = Transaction.decode(
        bytes.fromhex(
            "0100000002fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f0000000000eeffffff"
            "ef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb206"
            "000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42db"
            "ee7e4dbe6a21b2d50ce2f0167faa815988ac11000000"
        )
    )
    pubkey = "025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee6357"
    code = PubKeyHash(hash160(bytes.fromhex(pubkey))).script_pubkey
    want = "c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670"
    assert segwit_v0_sighash(code, tx, 1, 1, 600_000_000).hex() == want


def tree_hashes(tree: object, leaves: list[bytes]) -> bytes:
    """Root of a script tree as the vectors write it; leaf hashes are appended to leaves."""
    if isinstance(tree, list):
        return tapbranch_hash(*(tree_hashes(branch, leaves) for branch in tree))
    assert isinstance(tree, dict)
    leaves.append(tapleaf_hash(tree["leafVersion"], bytes.fromhex(tree["script"])))
    return leaves[-1]


def test_bip341_outputs(shared: Path, ran: Callable[[str, object], None]) -> None:
    vectors = json.loads((shared / "vectors/core/bip341_wallet_vectors.json").read_text())
    for case in vectors["scriptPubKey"]:
        given, between, expected = case["given"], case["intermediary"], case["expected"]
        internal = bytes.fromhex(given["internalPubkey"])
        leaves: list[bytes] = []
        root = tree_hashes(given["scriptTree"], leaves) if given["scriptTree"] else b""
        assert root.hex() == (between["merkleRoot"] or "")
        assert [leaf.hex() for leaf in leaves] == between.get("leafHashes", [])
        assert taptweak(internal, root).hex() == between["tweak"]
        point = output_key(internal, root)
        assert point is not None and point[0].hex() == between["tweakedPubkey"]
        destination = WitnessV1Taproot(point[0])
        assert destination.script_pubkey.hex() == expected["scriptPubKey"]
        assert encode_address(destination, main()) == expected["bip350Address"]
        for leaf, text in zip(leaves, expected.get("scriptPathControlBlocks", []), strict=True):
            control = bytes.fromhex(text)
            assert is_control_size(len(control)) and control[0] & 1 == point[1]
            assert merkle_root_of(control, leaf) == root
            assert commits_to(point[0], control, leaf)
            assert not commits_to(point[0], bytes((control[0] ^ 1,)) + control[1:], leaf)
            assert not commits_to(point[0], control, bytes(32))
    ran("core/bip341_wallet_vectors.json", f"{len(vectors['scriptPubKey'])} outputs")


def test_bip341_key_path(shared: Path, ran: Callable[[str, object], None]) -> None:
    vectors = json.loads((shared / "vectors/core/bip341_wallet_vectors.json").read_text())
    count = 0
    for case in vectors["keyPathSpending"]:
        tx = Transaction.decode(bytes.fromhex(case["given"]["rawUnsignedTx"]))
        spent = [
            TxOut(utxo["amountSats"], bytes.fromhex(utxo["scriptPubKey"]))
            for utxo in case["given"]["utxosSpent"]
        ]
        digests = TxDigests(tx, spent)
        between = case["intermediary"]
        assert digests.amounts.hex() == between["hashAmounts"]
        assert digests.outputs.hex() == between["hashOutputs"]
        assert digests.prevouts.hex() == between["hashPrevouts"]
        assert digests.scripts.hex() == between["hashScriptPubkeys"]
        assert digests.sequences.hex() == between["hashSequences"]
        for spend in case["inputSpending"]:
            index, hash_type = spend["given"]["txinIndex"], spend["given"]["hashType"]
            digest = taproot_sighash(tx, index, hash_type, digests)
            assert digest is not None and digest.hex() == spend["intermediary"]["sigHash"]
            secret = bytes.fromhex(spend["given"]["internalPrivkey"])
            pubkey = secp.pubkey_of(secret)
            assert pubkey[1:].hex() == spend["intermediary"]["internalPubkey"]
            root = bytes.fromhex(spend["given"]["merkleRoot"] or "")
            if pubkey[0] == 3:
                secret = secp.seckey_negate(secret)
            tweaked = secp.seckey_tweak_add(secret, taptweak(pubkey[1:], root))
            assert tweaked is not None and tweaked.hex() == spend["intermediary"]["tweakedPrivkey"]
            sig = secp.sign_schnorr(tweaked, digest)
            tail = bytes((hash_type,)) if hash_type else b""
            assert (sig + tail).hex() == spend["expected"]["witness"][0]
            assert secp.verify_schnorr(spent[index].script_pubkey[2:], sig, digest)
            count += 1
        signed = Transaction.decode(bytes.fromhex(case["auxiliary"]["fullySignedTx"]))
        for index, out in enumerate(spent):
            assert verify_input(signed, index, out, MANDATORY_FLAGS, TxDigests(signed, spent)) is None
    ran("core/bip341_wallet_vectors.json", f"{count} inputs, and the transaction that they are in")
