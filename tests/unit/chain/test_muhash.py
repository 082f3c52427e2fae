"""MuHash3072 against the values in Core's own tests."""

from __future__ import annotations

import random

import pytest

from pybitcoind.chain.muhash import MODULUS, MuHash3072
from pybitcoind.chain.primitives.hashes import sha256
from pybitcoind.chain.primitives.serialize import DecodeError

KNOWN = "10d312b100cbd32ada024a6646e40d3482fcff103668d2625f10002a607d5863"


def element(i: int) -> bytes:
    return bytes((i,)) + bytes(31)


def single(i: int) -> MuHash3072:
    return MuHash3072([element(i)])


def test_the_prime() -> None:
    assert MODULUS == (1 << 3072) - 1103717


def test_empty_set() -> None:
    assert MuHash3072().finalize() == sha256(b"\x01" + bytes(383))


def test_known_value() -> None:
    acc = single(0)
    acc.combine(single(1))
    acc.discard(single(2))
    assert acc.finalize()[::-1].hex() == KNOWN
    acc = MuHash3072()
    acc.remove(element(2))  # before it is in
    acc.insert(element(1))
    acc.insert(element(0))
    assert acc.finalize()[::-1].hex() == KNOWN
    assert acc.finalize()[::-1].hex() == KNOWN  # as often as one likes


def test_known_state() -> None:
    acc = single(1)
    acc.combine(single(2))
    raw = acc.serialize()
    assert len(raw) == 768
    assert raw[:32].hex() == "1fa093295ea30a6a3acdc7b3f770fa538eff537528e990e2910e40bbcfd7f669"
    assert raw[368:384].hex() == "be519a2f2836b16392e18036cb13e48c5c"[2:]
    assert raw[384:] == b"\x01" + bytes(383)
    assert MuHash3072.decode(raw).finalize() == acc.finalize()


def test_state_above_the_modulus() -> None:
    raw = b"\xff" * 384 + b"\x01" + bytes(383)
    digest = MuHash3072.decode(raw).finalize()
    assert digest.hex() == "3a31e6903aff0de9f62f9a9f7f8b861de76ce2cda09822b90014319ae5dc2271"


def test_state_has_768_bytes() -> None:
    for size in (0, 767, 769):
        with pytest.raises(DecodeError):
            MuHash3072.decode(bytes(size))


def test_order_does_not_matter_and_removing_undoes() -> None:
    seed = 7
    print("seed", seed)
    rng = random.Random(seed)
    data = [rng.randbytes(rng.randrange(100)) for _ in range(20)]
    expected = MuHash3072(data[:12]).finalize()
    for _ in range(5):
        steps = [("insert", d) for d in data] + [("remove", d) for d in data[12:]]
        rng.shuffle(steps)
        acc = MuHash3072()
        for step, d in steps:
            getattr(acc, step)(d)
        assert acc.finalize() == expected


def test_combine_and_discard() -> None:
    x, y, z = single(3), single(9), MuHash3072()
    z.combine(x)
    z.combine(y)
    y.combine(x)
    z.discard(y)
    assert z.finalize() == MuHash3072().finalize()
