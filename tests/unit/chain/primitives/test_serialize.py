"""Reader and writer: what one writes the other reads, and nothing past the end."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from pybitcoind.chain.primitives.serialize import (
    DecodeError,
    Reader,
    Writer,
    compact_size,
    read_compact_size,
    var_bytes,
)

COMPACT = [
    (0, "00"),
    (252, "fc"),
    (253, "fdfd00"),
    (0xFFFF, "fdffff"),
    (0x10000, "fe00000100"),
    (0x02000000, "fe00000002"),
    (0xFFFFFFFF, "feffffffff"),
    (0x100000000, "ff0000000001000000"),
    (2**64 - 1, "ffffffffffffffffff"),
]


@pytest.mark.parametrize(("number", "text"), COMPACT)
def test_compact_sizes(number: int, text: str) -> None:
    raw = bytes.fromhex(text)
    assert compact_size(number) == raw
    assert read_compact_size(b"x" + raw, 1, range_check=False) == (number, 1 + len(raw))
    assert Reader(raw).compact_u64() == number
    for size in range(len(raw)):
        with pytest.raises(DecodeError, match="end of data"):
            read_compact_size(raw[:size], 0)
    if number <= 0x02000000:
        assert Reader(raw).compact_size() == number
    else:
        with pytest.raises(DecodeError, match="size too large"):
            Reader(raw).compact_size()


@pytest.mark.parametrize("text", ["fdfc00", "fd0000", "feffff0000", "ffffffffff00000000"])
def test_longer_than_needed(text: str) -> None:
    raw = bytes.fromhex(text)
    with pytest.raises(DecodeError, match="non-canonical"):
        Reader(raw).compact_u64()


def test_just_above_the_limit() -> None:
    with pytest.raises(DecodeError, match="size too large"):
        Reader(bytes.fromhex("fe01000002")).compact_size()
    with pytest.raises(DecodeError):
        Reader(b"\x05hello").var_bytes(limit=4)
    assert Reader(b"\x05hello").var_bytes(limit=5) == b"hello"


def written() -> bytes:
    w = Writer()
    w.u8(7)
    w.bool(True)
    w.bool(False)
    w.u16(0x1234)
    w.u16_be(0x1234)
    w.u32(0xDEADBEEF)
    w.u64(2**64 - 2)
    w.i32(-5)
    w.i64(-(2**63))
    w.hash(bytes(range(32)))
    w.compact_size(300)
    w.var_bytes(b"abc")
    w.list([b"x", b"yz"], Writer.var_bytes)
    w.bytes(b"tail")
    return w.getvalue()


def read(raw: bytes) -> list[object]:
    r = Reader(raw)
    values: list[object] = [
        r.u8(),
        r.bool(),
        r.bool(),
        r.u16(),
        r.u16_be(),
        r.u32(),
        r.u64(),
        r.i32(),
        r.i64(),
    ]
    values += [r.hash(), r.compact_size(), r.var_bytes(), r.list(Reader.var_bytes), r.bytes(4)]
    r.finish()
    return values


def test_round_trip() -> None:
    raw = written()
    assert raw.hex().startswith("070100" + "3412" + "1234" + "efbeadde" + "feffffffffffffff" + "fbffffff")
    assert read(raw) == [
        7,
        True,
        False,
        0x1234,
        0x1234,
        0xDEADBEEF,
        2**64 - 2,
        -5,
        -(2**63),
        bytes(range(32)),
        300,
        b"abc",
        [b"x", b"yz"],
        b"tail",
    ]


def test_every_truncation_and_a_byte_too_much() -> None:
    raw = written()
    for size in range(len(raw)):
        with pytest.raises(DecodeError):
            read(raw[:size])
    with pytest.raises(DecodeError, match="1 trailing bytes"):
        read(raw + b"\x00")


def test_garbage() -> None:
    seed = 31
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(2000):
        with suppress(DecodeError):
            read(rng.randbytes(rng.randrange(120)))


def test_a_count_that_promises_too_much_is_not_believed() -> None:
    with pytest.raises(DecodeError):
        Reader(compact_size(0x02000000) + b"\x00").list(Reader.u32)


def test_reader_odds_and_ends() -> None:
    r = Reader(b"abcdef", 2)
    assert (r.remaining, r.bytes(1), r.rest(), r.remaining) == (4, b"c", b"def", 0)
    with pytest.raises(DecodeError):
        r.bytes(-1)
    with pytest.raises(ValueError, match="32 bytes"):
        Writer().hash(bytes(31))
    assert var_bytes(bytes(253)) == b"\xfd\xfd\x00" + bytes(253)
