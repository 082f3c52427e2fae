"""What every message has, the two ways to break a limit, and the protocol's versions and service bits."""

from __future__ import annotations

from enum import IntFlag
from typing import ClassVar, Protocol, Self

from pybitcoind.chain.primitives.serialize import DecodeError, Reader, Writer

PROTOCOL_VERSION = 70016
"""What we announce. Source of the versions: Bitcoin Core src/node/protocol_version.h."""
MIN_PEER_PROTO_VERSION = 31800
BIP31_VERSION = 60000
"""pong, and the nonce in ping, exist in versions after this one."""
SENDHEADERS_VERSION = 70012
FEEFILTER_VERSION = 70013
SHORT_IDS_BLOCKS_VERSION = 70014
INVALID_CB_NO_BAN_VERSION = 70015
"""From here on a peer is not banned for a compact block that turns out to be invalid."""
WTXID_RELAY_VERSION = 70016

MAX_PROTOCOL_MESSAGE_LENGTH = 4_000_000
"""Bytes of payload; a longer message ends the connection."""

KNOWN_COMMANDS = (
    *("version", "verack", "addr", "addrv2", "sendaddrv2", "inv", "getdata", "merkleblock", "getblocks"),
    *("getheaders", "tx", "headers", "block", "getaddr", "mempool", "ping", "pong", "notfound"),
    *("filterload", "filteradd", "filterclear", "sendheaders", "feefilter", "sendcmpct", "cmpctblock"),
    *("getblocktxn", "blocktxn", "getcfilters", "cfilter", "getcfheaders", "cfheaders", "getcfcheckpt"),
    *("cfcheckpt", "wtxidrelay", "sendtxrcncl"),
)
"""Core's ALL_NET_MESSAGE_TYPES: those that getpeerinfo counts by name; all others are "*other*"."""

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,;-_/:?@()")


def sanitize(text: str | bytes) -> str:
    """text without the characters that could harm a log or a terminal (Core SanitizeString)."""
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    return "".join(c for c in text if c in _SAFE)


class ServiceFlags(IntFlag):
    """What a node offers. On the wire 64 bits; unknown ones are kept, so fields are plain ints."""

    NONE = 0
    NETWORK = 1 << 0
    BLOOM = 1 << 2
    WITNESS = 1 << 3
    COMPACT_FILTERS = 1 << 6
    NETWORK_LIMITED = 1 << 10
    P2P_V2 = 1 << 11


_SERVICE_NAMES = {flag.value: flag.name for flag in ServiceFlags if flag.value}


def service_names(services: int) -> list[str]:
    """As in getpeerinfo's servicesnames: known flags by name, others as UNKNOWN[2^n], lowest bit first."""
    return [_SERVICE_NAMES.get(1 << n) or f"UNKNOWN[2^{n}]" for n in range(64) if services >> n & 1]


class Misbehaviour(DecodeError):
    """A message that breaks a limit: its sender is discouraged and disconnected (Core Misbehaving)."""


class Disconnect(DecodeError):
    """A message that breaks a limit: its sender is disconnected, not discouraged."""


class Message(Protocol):
    """One message: a slotted dataclass in the file of its family.

    decode reads from the front of a payload. What is left behind it is ignored, as in Core, because later
    versions of a message grow at their end. Every failure is a DecodeError.
    """

    COMMAND: ClassVar[str]
    V2_ID: ClassVar[int | None]
    """BIP 324 short id; None: written as 12 bytes of command."""

    def encode(self, w: Writer) -> None: ...

    @classmethod
    def decode(cls, r: Reader) -> Self: ...


class Empty:
    """A message without payload."""

    __slots__ = ()

    def encode(self, w: Writer) -> None:
        pass

    @classmethod
    def decode(cls, r: Reader) -> Self:
        return cls()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def hash_list(
    r: Reader, limit: int, complaint: str | None = None, error: type[DecodeError] = Misbehaviour
) -> list[bytes]:
    """A counted list of at most limit hashes. complaint: what Core logs over a longer one, with {} for its
    size; a list that is too long and also cut short is only malformed, as in Core."""
    count = check_count(r, limit, 32, complaint, error)
    data = r.bytes(count * 32)
    return [data[i : i + 32] for i in range(0, len(data), 32)]


def check_count(
    r: Reader, limit: int, item_size: int, complaint: str | None, error: type[DecodeError] = Misbehaviour
) -> int:
    """The count at the front of a list whose items have at least item_size bytes each."""
    count = r.compact_size()
    if count * item_size > r.remaining:
        raise DecodeError("end of data")
    if count > limit:
        raise error((complaint or "message size = {}").format(count))
    return count
