"""Hash functions against published values; RIPEMD-160 also where OpenSSL has none."""

from __future__ import annotations

import random

import pytest

from pybitcoind.chain.primitives import hashes
from pybitcoind.chain.primitives.ripemd160 import ripemd160 as fallback

RIPEMD160 = [
    (b"", "9c1185a5c5e9fc54612808977ee8f548b2258d31"),
    (b"a", "0bdc9d2d256b3ee9daae347be6f4dc835a467ffe"),
    (b"abc", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"),
    (b"message digest", "5d0689ef49d2fae572b881b123a85ffa21595f36"),
    (b"abcdefghijklmnopqrstuvwxyz", "f71c27109c692c1b56bbdceb5b9d2865b3708dbc"),
    (
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "12a053384a9c0c88e405a06c27dcf49ada62eb2b",
    ),
    (b"1234567890" * 8, "9b752e45573d4b39f4dbd3323cab82bf63326bfb"),
]


@pytest.mark.parametrize(("data", "digest"), RIPEMD160, ids=lambda v: str(len(v)))
def test_ripemd160(data: bytes, digest: str) -> None:
    assert fallback(data).hex() == digest
    assert hashes.ripemd160(data).hex() == digest


def test_both_ripemd160_agree_at_every_length() -> None:
    data = random.Random(160).randbytes(200)
    for size in range(200):
        assert fallback(data[:size]) == hashes.ripemd160(data[:size])


def test_sha() -> None:
    assert hashes.sha256(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (
        hashes.sha256d(b"hello").hex() == "9595c9df90075148eb06860365df33584b75bff782a510c6cd4883a419833d50"
    )
    assert hashes.sha1(b"abc").hex() == "a9993e364706816aba3e25717850c26c9cd0d89d"
    assert hashes.hash160(b"hello").hex() == "b6a9c8c230722b7c748331a8b450f05566dc7d0f"


def test_tagged_hash() -> None:
    """The tweak of the first output key in BIP 341's wallet vectors."""
    key = bytes.fromhex("d6889cb081036e0faefa3a35157ad71086b123b2b144b649798b494c300a961d")
    tweak = "b86e7be8f39bab32a6f2c0443abbc210f0edac0e2c53d501b36b64437d9c6c70"
    assert hashes.tagged_hash("TapTweak", key).hex() == tweak


def test_display_order() -> None:
    text = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
    digest = hashes.hash_from_hex(text)
    assert digest[:3] == b"\x6f\xe2\x8c" and hashes.hash_hex(digest) == text
    for wrong in ("", text[:-1], text + "0", "g" * 64):
        with pytest.raises(ValueError):
            hashes.hash_from_hex(wrong)
