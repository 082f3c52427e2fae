"""Signed messages: signatures that Core's own tests carry, and what must not pass."""

from __future__ import annotations

from base64 import b64decode
from hashlib import sha256

from pybitcoind.chain import params as networks
from pybitcoind.chain.primitives.hashes import hash160
from pybitcoind.chain.script import secp
from pybitcoind.chain.script.address import PubKeyHash, decode_address
from pybitcoind.chain.script.signed_message import is_signed_by, message_hash, sign_message

SECRET = bytes(31) + b"\x02"
KNOWN = (
    (
        "15CRxFdyRpGZLW9w8HnHvVduizdL5jKNbs",
        "IPojfrX2dfPnH26UegfbGQQLrdK844DlHq5157/P6h57WyuS/Qsl+h/WSVGDF4MUi4rWSswW38oimDYfNNUBUOk=",
        "Trust no one",
    ),
    (
        "11canuhp9X2NocwCq7xNrQYTmUgZAnLK3",
        "IIcaIENoYW5jZWxsb3Igb24gYnJpbmsgb2Ygc2Vjb25kIGJhaWxvdXQgZm9yIGJhbmtzIAaHRtbCeDZINyavx14=",
        "Trust me",
    ),
)


def test_hash_that_is_signed() -> None:
    text = "ü" * 200
    raw = b"\x18Bitcoin Signed Message:\n" + b"\xfd\x90\x01" + text.encode()
    assert message_hash(text) == sha256(sha256(raw).digest()).digest()


def test_known_signatures() -> None:
    for address, signature, text in KNOWN:
        destination = decode_address(address, networks.main())
        assert isinstance(destination, PubKeyHash)
        assert is_signed_by(text, b64decode(signature), destination.hash)
        assert not is_signed_by("I never signed this", b64decode(signature), destination.hash)


def test_signature_is_the_one_core_makes() -> None:
    secret = bytes.fromhex("d97f5108f11cda6eeebaaa420fef0726b1f898060b98489fa3098463c0032866")
    assert sign_message("Trust no one", secret) == b64decode(KNOWN[0][1])


def test_both_forms_of_the_key() -> None:
    for compressed in (True, False):
        signature = sign_message("hello", SECRET, compressed)
        assert signature == sign_message("hello", SECRET, compressed) and len(signature) == 65
        assert is_signed_by("hello", signature, hash160(secp.pubkey_of(SECRET, compressed)))
        assert not is_signed_by("hello", signature, hash160(secp.pubkey_of(SECRET, not compressed)))


def test_what_does_not_pass() -> None:
    key_hash = hash160(secp.pubkey_of(SECRET))
    signature = sign_message("hello", SECRET)
    assert not is_signed_by("Hello", signature, key_hash)
    assert not is_signed_by("hello", signature[:-1], key_hash)
    assert not is_signed_by("hello", b"", key_hash)
    assert not is_signed_by("hello", bytes(65), key_hash)
    assert not is_signed_by("hello", b"\x1f" + b"\xff" * 64, key_hash)
