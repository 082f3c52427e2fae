"""What blocks tell about their filters: scripts paid to, and scripts that inputs reveal."""

from __future__ import annotations

import pytest
from scene import SCRIPT_PUBKEY, make_scene

from pybitcoind.chain.block_filter import BlockFilter, basic_elements
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash160, sha256
from pybitcoind.chain.primitives.transaction import Coin, OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script.secp import pubkey_of, sign_ecdsa
from pybitcoind.chain.script.sighash import TxDigests, legacy_sighash
from pybitcoind.chain.script.taproot import output_key, tapleaf_hash
from pybitcoind.p2p.filter_judge import find_fault, revealed_scripts

SECRET = bytes(31) + b"\x07"
PUBKEY, LONG_PUBKEY = pubkey_of(SECRET), pubkey_of(SECRET, False)
SIGNATURE = b"\x30\x06\x02\x01\x01\x02\x01\x01\x01"
MULTISIG = b"\x51\x21" + PUBKEY + b"\x51\xae"
CONTROL = b"\xc0" + bytes.fromhex("50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0")
PREVOUT = OutPoint(b"\x05" * 32, 1)


def p2pkh(pubkey: bytes) -> bytes:
    return b"\x76\xa9\x14" + hash160(pubkey) + b"\x88\xac"


def p2sh(script: bytes) -> bytes:
    return b"\xa9\x14" + hash160(script) + b"\x87"


def p2wsh(script: bytes) -> bytes:
    return b"\x00\x20" + sha256(script)


def p2wpkh(pubkey: bytes) -> bytes:
    return b"\x00\x14" + hash160(pubkey)


def p2tr() -> bytes:
    key = output_key(CONTROL[1:], tapleaf_hash(0xC0, b"\x51"))
    assert key is not None
    return b"\x51\x20" + key[0]


def push(data: bytes) -> bytes:
    return bytes((len(data),)) + data if len(data) < 76 else b"\x4c" + bytes((len(data),)) + data


def spend(script_sig: bytes, *witness: bytes) -> Transaction:
    return Transaction.make(
        [TxIn(PREVOUT, script_sig, 0)], [TxOut(1, b"\x51")], witness=[witness] if witness else []
    )


def legacy_signature(script_code: bytes) -> bytes:
    tx = spend(b"")
    return sign_ecdsa(SECRET, legacy_sighash(script_code, tx, 0, 1, TxDigests(tx, None))) + b"\x01"


@pytest.mark.parametrize("pubkey", [PUBKEY, LONG_PUBKEY])
def test_a_signature_and_the_key_it_is_of_reveal_p2pkh(pubkey: bytes) -> None:
    signature = legacy_signature(p2pkh(pubkey))
    assert revealed_scripts(spend(push(signature) + push(pubkey)), 0) == (p2pkh(pubkey),)
    other = legacy_signature(b"\x51")
    assert revealed_scripts(spend(push(other) + push(pubkey)), 0) == (), "it could not spend that"


def test_redeem_scripts_reveal_p2sh() -> None:
    signature = legacy_signature(MULTISIG)
    assert revealed_scripts(spend(b"\x00" + push(signature) + push(MULTISIG)), 0) == (p2sh(MULTISIG),)
    assert revealed_scripts(spend(push(b"\x51")), 0) == (p2sh(b"\x51"),)
    program = p2wpkh(PUBKEY)
    nested = spend(push(program), SIGNATURE, PUBKEY)
    assert revealed_scripts(nested, 0) == (p2sh(program),)


def test_what_may_be_p2pk_or_bare_multisig_reveals_nothing() -> None:
    assert revealed_scripts(spend(push(SIGNATURE)), 0) == ()
    assert revealed_scripts(spend(b"\x00" + push(SIGNATURE)), 0) == ()
    assert revealed_scripts(spend(b""), 0) == ()
    assert revealed_scripts(spend(b"\x61"), 0) == ()


def test_witnesses_reveal_programs() -> None:
    assert p2wpkh(PUBKEY) in revealed_scripts(spend(b"", SIGNATURE, PUBKEY), 0)
    assert revealed_scripts(spend(b"", b"", SIGNATURE, MULTISIG), 0) == (p2wsh(MULTISIG),)
    assert revealed_scripts(spend(b"", b"\x51"), 0) == (p2wsh(b"\x51"),)
    assert set(revealed_scripts(spend(b"", b"\x51", CONTROL), 0)) == {p2wsh(CONTROL), p2tr()}
    for by_key in (bytes(64), bytes(65)):
        assert revealed_scripts(spend(b"", by_key), 0) == ()
    assert revealed_scripts(spend(b"", bytes(64), b"\x50annex"), 0) == ()


SCENE = make_scene(110)
CHILD_OF = SCENE.spend(SCENE.mature[0], outputs=[TxOut(10_000, p2wpkh(PUBKEY))])
BLOCK = SCENE.block(CHILD_OF)


def encoded(block: Block, *scripts: bytes) -> bytes:
    return BlockFilter.of_elements(block.hash, scripts).encoded


def test_a_true_filter_is_never_refuted() -> None:
    true = BlockFilter.of_block(BLOCK, [[SCENE.mature[0][1]]])
    assert find_fault(true.encoded, BLOCK) is None
    grandchild = SCENE.spend(SCENE.output(CHILD_OF), outputs=[TxOut(9000, b"\x51")], witness=[[b"\x51"]])
    block = SCENE.block(CHILD_OF, grandchild)
    spent = [[SCENE.mature[0][1]], [Coin(*CHILD_OF.vout[0], 111, False)]]
    assert find_fault(BlockFilter.of_block(block, spent).encoded, block) is None


def test_a_filter_that_lacks_something_is_refuted() -> None:
    assert "output script" in (find_fault(encoded(BLOCK, SCRIPT_PUBKEY), BLOCK) or "")
    assert "cannot be read" in (find_fault(b"\x05junk", BLOCK) or "")
    # An input's script: the miner of this block is paid elsewhere, so only the input tells of SCRIPT_PUBKEY.
    coinbase = Transaction.make(SCENE.coinbase().vin, [TxOut(1, b"\x51")])
    block = SCENE.block(CHILD_OF, coinbase=coinbase)
    outputs = (b"\x51", p2wpkh(PUBKEY))
    assert "an input reveals" in (find_fault(encoded(block, *outputs), block) or "")
    assert find_fault(encoded(block, *outputs, SCRIPT_PUBKEY), block) is None


def test_a_filter_that_holds_too_much_hides_nothing() -> None:
    elements = basic_elements(BLOCK, [[SCENE.mature[0][1]]])
    assert find_fault(encoded(BLOCK, *elements, b"\x51more"), BLOCK) is None
