"""Messages of the handshake, and those that settle how the two sides will talk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from pybitcoind.chain.primitives.serialize import DecodeError, Reader, Writer

from .message import MIN_PEER_PROTO_VERSION, Empty, sanitize
from .netaddress import UNKNOWN_ADDRESS, NetAddress

MAX_SUBVERSION_LENGTH = 256
"""Bytes of a user agent."""


@dataclass(slots=True)
class Version:
    """The first message each way.

    version: int32. services: uint64. time: int64, the sender's clock in seconds. receiver: how the sender
    sees the other side. nonce: uint64 by which a node knows itself. relay: announce transactions to me
    (BIP 37).
    """

    COMMAND: ClassVar[str] = "version"
    V2_ID: ClassVar[int | None] = None
    version: int
    services: int
    time: int
    receiver_services: int = 0
    receiver: NetAddress = UNKNOWN_ADDRESS
    sender_services: int = 0
    sender: NetAddress = UNKNOWN_ADDRESS
    nonce: int = 1
    user_agent: bytes = b""
    start_height: int = -1
    relay: bool = True

    @property
    def subver(self) -> str:
        """The user agent, safe to print."""
        return sanitize(self.user_agent)

    def encode(self, w: Writer) -> None:
        w.i32(self.version)
        w.u64(self.services)
        w.i64(self.time)
        w.u64(self.receiver_services)
        self.receiver.encode_v1(w)
        w.u64(self.sender_services)
        self.sender.encode_v1(w)
        w.u64(self.nonce)
        w.var_bytes(self.user_agent)
        w.i32(self.start_height)
        w.bool(self.relay)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        """Old nodes end it after the receiver, the nonce, the user agent or the height; what is missing then
        has the default. Of a version that is obsolete nothing more is read."""
        message = cls(version=r.i32(), services=r.u64(), time=max(r.i64(), 0))
        message.receiver_services = r.u64()
        message.receiver = NetAddress.decode_v1(r)
        if message.version < MIN_PEER_PROTO_VERSION:
            return message
        if r.remaining:
            message.sender_services = r.u64()
            message.sender = NetAddress.decode_v1(r)
            message.nonce = r.u64()
        if r.remaining:
            size = r.compact_size()
            if size > MAX_SUBVERSION_LENGTH:
                raise DecodeError("String length limit exceeded")
            message.user_agent = r.bytes(size)
        if r.remaining:
            message.start_height = r.i32()
        if r.remaining:
            message.relay = r.bool()
        return message


class Verack(Empty):
    """The version message is accepted; features may no longer be negotiated."""

    COMMAND: ClassVar[str] = "verack"
    V2_ID: ClassVar[int | None] = None


class WtxidRelay(Empty):
    """Announce transactions to me by wtxid (BIP 339); only between version and verack."""

    COMMAND: ClassVar[str] = "wtxidrelay"
    V2_ID: ClassVar[int | None] = None


class SendAddrV2(Empty):
    """Send me addrv2 instead of addr (BIP 155); only between version and verack."""

    COMMAND: ClassVar[str] = "sendaddrv2"
    V2_ID: ClassVar[int | None] = None


@dataclass(slots=True)
class SendTxRcncl:
    """I can reconcile transactions (BIP 330); only between version and verack.

    salt: uint64, the sender's half of what short ids are made with.
    """

    COMMAND: ClassVar[str] = "sendtxrcncl"
    V2_ID: ClassVar[int | None] = None
    version: int
    salt: int

    def encode(self, w: Writer) -> None:
        w.u32(self.version)
        w.u64(self.salt)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        return cls(r.u32(), r.u64())


class SendHeaders(Empty):
    """Announce blocks to me by headers instead of inv (BIP 130)."""

    COMMAND: ClassVar[str] = "sendheaders"
    V2_ID: ClassVar[int | None] = None


@dataclass(slots=True)
class SendCmpct:
    """I serve compact blocks of this version (BIP 152). high_bandwidth: announce new blocks to me so."""

    COMMAND: ClassVar[str] = "sendcmpct"
    V2_ID: ClassVar[int | None] = 20
    high_bandwidth: bool
    version: int

    def encode(self, w: Writer) -> None:
        w.bool(self.high_bandwidth)
        w.u64(self.version)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        return cls(r.bool(), r.u64())
