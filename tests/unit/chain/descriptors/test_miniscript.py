"""Miniscript read back from scripts: the specification's own examples, and what is not sane."""

from __future__ import annotations

import pytest

from pybitcoind.chain import params as networks
from pybitcoind.chain.descriptors import infer_descriptor
from pybitcoind.chain.descriptors.miniscript import infer_miniscript
from pybitcoind.chain.primitives.hashes import hash160, sha256
from pybitcoind.chain.script import secp
from pybitcoind.wallet.signing import Keyring

A, B, C, D = (secp.pubkey_of(bytes([n]) * 32) for n in (1, 2, 3, 4))
H20, H32 = hash160(b"secret"), sha256(b"secret")


def push(data: bytes) -> str:
    return f"{len(data):02x}{data.hex()}"


IF, NOTIF, ELSE, ENDIF, IFDUP, DUP = "63", "64", "67", "68", "73", "76"
CHECKSIG, CHECKSIGVERIFY, MULTISIG, MULTISIGVERIFY = "ac", "ad", "ae", "af"
EQUAL, EQUALVERIFY, SIZE, SWAP, ADD, BOOLAND, BOOLOR = "87", "88", "82", "7c", "93", "9a", "9b"
TOALT, FROMALT, CSV, CLTV, VERIFY, NOT0 = "6b", "6c", "b2", "b1", "69", "92"
NUM_144, NUM_32 = "029000", "0120"
PK_A, PK_B = push(A) + CHECKSIG, push(B) + CHECKSIG
HASH_B = DUP + "a9" + push(hash160(B)) + EQUALVERIFY

SANE = [
    (PK_A, f"pk({A.hex()})"),
    (HASH_B + CHECKSIG, f"pkh({B.hex()})"),
    (push(A) + CHECKSIGVERIFY + NUM_144 + CSV, f"and_v(v:pk({A.hex()}),older(144))"),
    (
        PK_A + IFDUP + NOTIF + HASH_B + CHECKSIGVERIFY + NUM_144 + CSV + ENDIF,
        f"or_d(pk({A.hex()}),and_v(v:pkh({B.hex()}),older(144)))",
    ),
    (PK_A + SWAP + PK_B + BOOLOR, f"or_b(pk({A.hex()}),s:pk({B.hex()}))"),
    (PK_A + SWAP + PK_B + BOOLAND, f"and_b(pk({A.hex()}),s:pk({B.hex()}))"),
    (IF + PK_A + ELSE + PK_B + ENDIF, f"or_i(pk({A.hex()}),pk({B.hex()}))"),
    (
        PK_A + NOTIF + PK_B + ELSE + NUM_144 + CSV + ENDIF,
        f"andor(pk({A.hex()}),older(144),pk({B.hex()}))",
    ),
    (
        PK_A + SWAP + PK_B + ADD + SWAP + IF + "00" + ELSE + NUM_144 + CSV + ENDIF + ADD + "52" + EQUAL,
        None,  # s: wants one item, and u: of a lock takes one: see the next
    ),
    (
        PK_A + SWAP + PK_B + ADD + TOALT + push(C) + CHECKSIG + FROMALT + ADD + "52" + EQUAL,
        f"thresh(2,pk({A.hex()}),s:pk({B.hex()}),a:pk({C.hex()}))",
    ),
    (
        "52" + push(A) + push(B) + "52" + MULTISIG,
        f"multi(2,{A.hex()},{B.hex()})",
    ),
    (
        push(A) + CHECKSIGVERIFY + SIZE + NUM_32 + EQUALVERIFY + "a8" + push(H32) + EQUAL,
        f"and_v(v:pk({A.hex()}),sha256({H32.hex()}))",
    ),
    (
        SIZE + NUM_32 + EQUALVERIFY + "a9" + push(H20) + EQUALVERIFY + push(A) + CHECKSIG,
        f"and_v(v:hash160({H20.hex()}),pk({A.hex()}))",
    ),
    (PK_A + NOTIF + PK_B + ENDIF, None),  # or_c wants a V on its right
    (
        PK_A + NOTIF + push(B) + CHECKSIGVERIFY + ENDIF + "51",
        f"t:or_c(pk({A.hex()}),v:pk({B.hex()}))",
    ),
]


@pytest.mark.parametrize(("script", "text"), SANE)
def test_read_back(script: str, text: str | None) -> None:
    node = infer_miniscript(bytes.fromhex(script), {hash160(B): B}.get)
    assert (node and node.text(bytes.hex)) == text


def test_the_hash_of_an_unknown_key() -> None:
    assert infer_miniscript(bytes.fromhex(HASH_B + CHECKSIG)) is None


@pytest.mark.parametrize(
    ("why", "script"),
    [
        ("no signature", NUM_144 + CSV),
        ("the same key twice", push(A) + CHECKSIGVERIFY + PK_A),
        ("malleable", SIZE + NUM_32 + EQUALVERIFY + "a8" + push(H32) + EQUAL + SWAP + PK_A + BOOLOR),
        ("a push longer than it must be", "4c21" + A.hex() + CHECKSIG),
        ("no key", push(b"\x02" + b"\xff" * 32) + CHECKSIG),
        ("an uncompressed key", push(secp.pubkey_of(b"\x01" * 32, False)) + CHECKSIG),
        ("something before it", "6a" + PK_A),
        ("a lock of zero", push(A) + CHECKSIGVERIFY + "00" + CSV),
        (
            "height and time locks together",
            push(A) + CHECKSIGVERIFY + NUM_144 + CSV + VERIFY + "03010040" + CSV,
        ),
        ("cut off", "21" + A.hex()[:20]),
        ("nothing", ""),
    ],
)
def test_not_sane(why: str, script: str) -> None:
    assert infer_miniscript(bytes.fromhex(script)) is None, why


def test_a_long_chain_ends_in_no_error() -> None:
    assert infer_miniscript(bytes.fromhex(VERIFY * 9000)) is None
    assert infer_miniscript(bytes.fromhex(ENDIF * 9000)) is None


def test_a_witness_script_is_shown_as_miniscript() -> None:
    script = bytes.fromhex(push(A) + CHECKSIGVERIFY + NUM_144 + CSV)
    ring = Keyring()
    ring.add_script(script)
    output = bytes.fromhex("0020") + sha256(script)
    found = infer_descriptor(output, networks.regtest(), ring)
    assert found.text() == f"wsh(and_v(v:pk({A.hex()}),older(144)))"
    assert found.expand().scripts == [output]
