"""Messages that keep a connection alive and say what should not be sent on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from pybitcoind.chain.primitives.serialize import Reader, Writer

from .message import Empty


@dataclass(slots=True)
class Ping:
    """Keep-alive; the peer echoes nonce (uint64) in a pong (BIP 31). Up to version 60000: None, no answer."""

    COMMAND: ClassVar[str] = "ping"
    V2_ID: ClassVar[int | None] = 18
    nonce: int | None

    def encode(self, w: Writer) -> None:
        if self.nonce is not None:
            w.u64(self.nonce)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        return cls(r.u64() if r.remaining else None)


@dataclass(slots=True)
class Pong:
    """The answer to a ping. nonce: None if the payload is too short to hold one."""

    COMMAND: ClassVar[str] = "pong"
    V2_ID: ClassVar[int | None] = 19
    nonce: int | None

    def encode(self, w: Writer) -> None:
        if self.nonce is not None:
            w.u64(self.nonce)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        return cls(r.u64() if r.remaining >= 8 else None)


@dataclass(slots=True)
class FeeFilter:
    """Announce no transactions below feerate (satoshis per 1000 vbytes, int64) to me (BIP 133)."""

    COMMAND: ClassVar[str] = "feefilter"
    V2_ID: ClassVar[int | None] = 5
    feerate: int

    def encode(self, w: Writer) -> None:
        w.i64(self.feerate)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        return cls(r.i64())


class GetAddr(Empty):
    """Tell me addresses of nodes."""

    COMMAND: ClassVar[str] = "getaddr"
    V2_ID: ClassVar[int | None] = None


class MempoolRequest(Empty):
    """Announce what is in your mempool (BIP 35)."""

    COMMAND: ClassVar[str] = "mempool"
    V2_ID: ClassVar[int | None] = 15
