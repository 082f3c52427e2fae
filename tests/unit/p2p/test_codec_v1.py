"""The v1 transport: frames from any cut of the stream, and what breaks it."""

from __future__ import annotations

import hashlib
import struct
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybitcoind.p2p.codec_v1 import BadChecksum, BadCommand, BadFrame, Frame, ProtocolError, V1Codec
from pybitcoind.p2p.messages import Ping, Verack

MAGIC = bytes.fromhex("fabfb5da")


def frame(command: bytes, payload: bytes, *, size: int | None = None, checksum: bytes | None = None) -> bytes:
    digest = hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    head = MAGIC + command.ljust(12, b"\x00")
    head += struct.pack("<I", len(payload) if size is None else size)
    return head + (digest if checksum is None else checksum) + payload


def feed_all(data: bytes, step: int | None = None) -> list[Frame | BadFrame]:
    codec = V1Codec(MAGIC)
    step = step or len(data) or 1
    out: list[Frame | BadFrame] = []
    for at in range(0, len(data), step):
        out += codec.feed(data[at : at + step])
    return out


def test_bytes_of_a_verack() -> None:
    expected = bytes.fromhex("fabfb5da76657261636b000000000000000000005df6e0e2")
    assert V1Codec(MAGIC).encode(Verack()) == expected
    assert feed_all(expected) == [Frame("verack", b"", 24)]


def test_encode_is_framed_as_by_hand() -> None:
    assert V1Codec(MAGIC).encode(Ping(7)) == frame(b"ping", struct.pack("<Q", 7))
    with pytest.raises(ValueError):
        V1Codec(MAGIC).encode_payload("a" * 13, b"")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([b"ping", b"tx", b"twelve_bytes"]), st.binary(max_size=200)), max_size=6
    ),
    st.integers(1, 50),
)
def test_any_cut_gives_the_same_frames(messages: list[tuple[bytes, bytes]], step: int) -> None:
    data = b"".join(frame(*message) for message in messages)
    whole = feed_all(data)
    assert whole == [Frame(c.decode(), p, 24 + len(p)) for c, p in messages]
    assert feed_all(data, 1) == whole
    assert feed_all(data, step) == whole


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_garbage_raises_protocol_error_alone(data: bytes, with_magic: bool) -> None:
    for step in (None, 1):
        with suppress(ProtocolError):
            feed_all(MAGIC + data if with_magic else data, step)


def test_frames_before_the_garbage_still_come() -> None:
    codec = V1Codec(MAGIC)
    got = []
    with pytest.raises(ProtocolError) as raised:
        for item in codec.feed(frame(b"ping", b"12345678") + b"\x00\x01\x02\x03" + bytes(20)):
            got.append(item)
    assert got == [Frame("ping", b"12345678", 32)]
    assert str(raised.value) == "Header error: Wrong MessageStart 00010203 received"


def test_size_is_refused_before_any_payload_arrives() -> None:
    codec = V1Codec(MAGIC)
    with pytest.raises(ProtocolError) as raised:
        list(codec.feed(frame(b"bl\x1bock", b"", size=4_000_001)))
    assert str(raised.value) == "Header error: Size too large (block, 4000001 bytes)"
    codec = V1Codec(MAGIC)
    assert list(codec.feed(frame(b"block", b"", size=4_000_000))) == []
    assert codec.pending == 0


def test_bad_checksum_is_dropped_and_the_next_comes() -> None:
    data = frame(b"ping", b"12345678", checksum=b"\x01\x02\x03\x04") + frame(b"verack", b"")
    bad, good = feed_all(data)
    assert isinstance(bad, BadChecksum) and good == Frame("verack", b"", 24)
    expected = frame(b"ping", b"12345678")[20:24].hex()
    assert bad.reason == f"Header error: Wrong checksum (ping, 8 bytes), expected {expected} was 01020304"
    assert bad.raw_size == 32


@pytest.mark.parametrize("command", [b"a\x00b", b"a\x1f", b"\x7f", b"\xff" * 12])
def test_bad_commands_are_dropped(command: bytes) -> None:
    (bad,) = feed_all(frame(command, b"xyz"))
    assert isinstance(bad, BadCommand)
    assert bad.reason.startswith("Header error: Invalid message type (")


def test_large_messages_in_small_pieces_take_linear_time() -> None:
    data = frame(b"block", bytes(4_000_000))
    started = time.perf_counter()
    (got,) = feed_all(data, 1000)
    assert isinstance(got, Frame) and len(got.payload) == 4_000_000
    assert time.perf_counter() - started < 2
