"""Core's short forms of numbers, amounts, scripts and coins."""

from __future__ import annotations

import random

import pytest

from pybitcoind.chain.compressor import (
    compress_amount,
    compress_coin,
    compress_script,
    decompress_amount,
    read_coin,
    read_script,
    read_varint,
    varint,
)
from pybitcoind.chain.primitives.serialize import DecodeError
from pybitcoind.chain.primitives.transaction import COIN, Coin
from pybitcoind.chain.script.secp import convert_pubkey, pubkey_of

VARINTS = {  # Core src/serialize.h
    0: "00",
    1: "01",
    127: "7f",
    128: "8000",
    255: "807f",
    256: "8100",
    16383: "fe7f",
    16384: "ff00",
    16511: "ff7f",
    65535: "82fe7f",
    2**32: "8efefeff00",
}
AMOUNTS = {  # Core src/test/compress_tests.cpp
    0: 0,
    1: 1,
    1_000_000: 7,
    COIN: 9,
    50 * COIN: 0x32,
    21_000_000 * COIN: 0x1406F40,
}


def test_varints() -> None:
    for n, text in VARINTS.items():
        assert varint(n).hex() == text
        assert read_varint(bytes.fromhex(text), 0) == (n, len(text) // 2)


def test_each_varint_has_one_form() -> None:
    n = 0
    while n < 2**64:
        data = varint(n)
        assert read_varint(data + b"\x01", 0) == (n, len(data))
        n = n * 3 + 1


def test_varints_above_the_limit() -> None:
    assert read_varint(varint(0xFFFFFFFF), 0, 0xFFFFFFFF)[0] == 0xFFFFFFFF
    assert read_varint(varint(2**64 - 1), 0)[0] == 2**64 - 1
    for data, limit in ((varint(2**32), 0xFFFFFFFF), (b"\xff" * 20, 2**64 - 1)):
        with pytest.raises(DecodeError):
            read_varint(data, 0, limit)
    with pytest.raises(IndexError):
        read_varint(b"\x80", 0)


def test_amounts() -> None:
    for n, x in AMOUNTS.items():
        assert (compress_amount(n), decompress_amount(x)) == (x, n)
    for n in (
        *range(1, 100_000),
        *(k * 1_000_000 for k in range(1, 10_000)),
        *(k * COIN for k in range(1, 10_000)),
    ):
        assert decompress_amount(compress_amount(n)) == n
    for x in range(100_000):
        assert compress_amount(decompress_amount(x)) == x
    assert 0 <= decompress_amount(2**64 - 1) < 2**64


KEY = pubkey_of(bytes(31) + b"\x07", compressed=False)
HASH = bytes(range(20))


def p2pk(key: bytes) -> bytes:
    return bytes((len(key),)) + key + b"\xac"


def test_scripts_with_a_form_of_their_own() -> None:
    compressed = convert_pubkey(KEY, True)
    assert compressed is not None
    parity = KEY[64] & 1
    forms = {
        b"\x76\xa9\x14" + HASH + b"\x88\xac": b"\x00" + HASH,
        b"\xa9\x14" + HASH + b"\x87": b"\x01" + HASH,
        p2pk(compressed): compressed,
        p2pk(KEY): bytes((4 + parity,)) + KEY[1:33],
    }
    for script, form in forms.items():
        assert compress_script(script) == form
        assert read_script(form + b"more", 0) == (script, len(form))


@pytest.mark.parametrize(
    "script",
    [
        b"",
        b"\x51",
        b"\x00\x14" + HASH,
        b"\x76\xa9\x14" + HASH + b"\x88\xad",
        p2pk(b"\x05" + bytes(32)),
        p2pk(b"\x04" + b"\x01" * 64),  # no point of the curve
        p2pk(b"\x06" + KEY[1:]),  # hybrid
        b"\x51" * 10_000,
    ],
    ids=len,
)
def test_other_scripts_follow_their_size(script: bytes) -> None:
    data = compress_script(script)
    assert data == varint(len(script) + 6) + script
    assert read_script(data, 0) == (script, len(data))


def test_scripts_that_cannot_be() -> None:
    long = varint(10_001 + 6) + b"\x51" * 10_001
    assert read_script(long, 0) == (b"\x6a", len(long))  # as in Core
    not_on_curve = b"\x04" + b"\xff" * 32
    assert read_script(not_on_curve, 0) == (b"", 33)
    with pytest.raises(DecodeError):
        read_script(varint(2**40), 0)
    for cut in (b"", b"\x00" + bytes(19), b"\x02" + bytes(31), b"\x08\x51"):
        with pytest.raises(IndexError):
            read_script(cut, 0)


def test_coins() -> None:
    rng = random.Random(7)
    for _ in range(200):
        coin = Coin(
            rng.randrange(21_000_000 * COIN),
            rng.randbytes(rng.randrange(80)),
            rng.randrange(2**31),
            bool(rng.getrandbits(1)),
        )
        data = compress_coin(coin)
        assert read_coin(b"x" + data, 1) == (coin, 1 + len(data))
        for size in range(len(data)):
            with pytest.raises(IndexError):
                read_coin(data[:size], 0)
