"""What a peer can do wrong on the wire, and what a node must do about it: one table for Core and for us.

Each case is played on a fresh connection by a ScriptedPeer. Then the node either goes on (it answers a ping)
or has ended the connection, and its debug.log (-debug=net) holds the line. Core 31.99 says so: tests/interop.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from scripted_peer import ScriptedPeer

from pybitcoind.p2p import messages as m
from pybitcoind.p2p.codec_v1 import V1Codec

HASH = bytes(range(32))


@dataclass(frozen=True, slots=True)
class BadMessage:
    """play: sends it. ready: after the handshake (else before the peer's version). ends: the node hangs up.
    log: part of a line of debug.log, {peer} stands for the number of the connection."""

    name: str
    play: Callable[[ScriptedPeer], None]
    ends: bool
    log: str
    ready: bool = True


def _frame(peer: ScriptedPeer, command: bytes, payload: bytes, size: int | None = None) -> bytes:
    whole = bytearray(peer.codec.encode_payload("x", payload))
    whole[4:16] = command.ljust(12, b"\0")
    if size is not None:
        whole[16:20] = struct.pack("<I", size)
    return bytes(whole)


def _damaged(peer: ScriptedPeer) -> bytes:
    data = bytearray(peer.codec.encode(m.Ping(7)))
    data[20:24] = b"\xff\xff\xff\xff"
    return bytes(data)


def _raw(make: Callable[[ScriptedPeer], bytes]) -> Callable[[ScriptedPeer], None]:
    return lambda peer: peer.send_bytes(make(peer))


def _payload(command: str, payload: bytes) -> Callable[[ScriptedPeer], None]:
    return lambda peer: peer.send_payload(command, payload)


def _send(*messages: m.Message) -> Callable[[ScriptedPeer], None]:
    return lambda peer: peer.send(*messages)


_VERSION_START = struct.pack("<iQq", 70016, 9, 0) + bytes(26)

BAD_MESSAGES = (
    BadMessage(
        "wrong-magic",
        _raw(lambda peer: V1Codec(b"\xde\xad\xbe\xef").encode(m.Ping(1))),
        True,
        "Header error: Wrong MessageStart deadbeef received, peer={peer}",
    ),
    BadMessage(
        "oversize",
        _raw(lambda peer: _frame(peer, b"block", b"", 4_000_001)),
        True,
        "Header error: Size too large (block, 4000001 bytes), peer={peer}",
    ),
    BadMessage(
        "bad-checksum",
        _raw(_damaged),
        False,
        "Header error: Wrong checksum (ping, 8 bytes), expected 8c820c80 was ffffffff, peer={peer}",
    ),
    BadMessage(
        "bad-command",
        _raw(lambda peer: _frame(peer, b"ba\x07d", b"xy")),
        False,
        "Header error: Invalid message type (bad, 2 bytes), peer={peer}",
    ),
    BadMessage(
        "unknown", _payload("nonsense", b"123"), False, 'Unknown message type "nonsense" from peer={peer}'
    ),
    BadMessage(
        "truncated-ping", _payload("ping", b"1234"), False, "ProcessMessages(ping, 4 bytes): Exception"
    ),
    BadMessage(
        "truncated-feefilter",
        _payload("feefilter", b"\x02\x00\x00"),
        False,
        "ProcessMessages(feefilter, 3 bytes): Exception",
    ),
    BadMessage(
        "truncated-block", _payload("block", bytes(79)), False, "ProcessMessages(block, 79 bytes): Exception"
    ),
    BadMessage(
        "truncated-headers",
        _payload("headers", b"\x01" + bytes(80)),
        False,
        "ProcessMessages(headers, 81 bytes)",
    ),
    BadMessage(
        "inv-that-is-cut-short",
        _payload("inv", b"\xfe\x00\x00\x00\x02" + bytes(360)),
        False,
        "ProcessMessages(inv, 365 bytes): Exception",
    ),
    BadMessage(
        "too-many-inv", _send(m.InvMessage([m.Inv(1, HASH)] * 50_001)), True, "inv message size = 50001"
    ),
    BadMessage(
        "too-much-getdata", _send(m.GetData([m.Inv(1, HASH)] * 50_001)), True, "getdata message size = 50001"
    ),
    BadMessage("too-many-headers", _payload("headers", b"\xfd\xd1\x07"), True, "headers message size = 2001"),
    BadMessage(
        "too-many-addr", _payload("addr", b"\xfd\xe9\x03" + bytes(30_030)), True, "addr message size = 1001"
    ),
    BadMessage(
        "long-locator",
        _send(m.GetHeaders([HASH] * 102)),
        True,
        "getheaders locator size 102 > 101, disconnecting peer={peer}",
    ),
    BadMessage(
        "long-locator-of-getblocks",
        _send(m.GetBlocks([HASH] * 102)),
        True,
        "getblocks locator size 102 > 101, disconnecting peer={peer}",
    ),
    BadMessage(
        "wtxidrelay-after-verack",
        _send(m.WtxidRelay()),
        True,
        "wtxidrelay received after verack, disconnecting peer={peer}",
    ),
    BadMessage(
        "sendaddrv2-after-verack",
        _send(m.SendAddrV2()),
        True,
        "sendaddrv2 received after verack, disconnecting peer={peer}",
    ),
    BadMessage(
        "second-version", _send(m.Version(70016, 9, 0)), False, "redundant version message from peer={peer}"
    ),
    BadMessage(
        "second-verack", _send(m.Verack()), False, "ignoring redundant verack message from peer={peer}"
    ),
    BadMessage(
        "ping-before-version",
        _send(m.Ping(1)),
        False,
        'non-version message before version handshake. Message "ping" from peer={peer}',
        ready=False,
    ),
    BadMessage(
        "truncated-version",
        _payload("version", _VERSION_START[:40]),
        False,
        "ProcessMessages(version, 40 bytes): Exception",
        ready=False,
    ),
    BadMessage(
        "long-user-agent",
        _send(m.Version(70016, 9, 0, user_agent=b"x" * 257)),
        False,
        "ProcessMessages(version, 345 bytes): Exception",
        ready=False,
    ),
    BadMessage(
        "obsolete-version",
        _send(m.Version(31799, 9, 0)),
        True,
        "peer using obsolete version 31799, disconnecting peer={peer}",
        ready=False,
    ),
)


async def play(case: BadMessage, peer: ScriptedPeer) -> None:
    """Plays a case on a new connection and checks that the node goes on, or hangs up, as it must."""
    if case.ready:
        await peer.handshake()
    case.play(peer)
    if case.ends:
        await peer.wait_closed()
    else:
        if not case.ready:
            await peer.handshake()
        await peer.sync()
