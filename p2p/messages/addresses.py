"""Gossip about where nodes are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

from pybitcoind.chain.primitives.serialize import Reader, Writer

from .message import check_count
from .netaddress import NetAddress

MAX_ADDR_TO_SEND = 1_000
"""Addresses of one message."""
_V1_SIZE, _V2_LEAST = 30, 9


class PeerAddress(NamedTuple):
    """time: when the node was last heard of, uint32 seconds. services: uint64."""

    time: int
    services: int
    address: NetAddress


@dataclass(slots=True)
class Addr:
    """Addresses in the old form, which only knows IPv4 and IPv6."""

    COMMAND: ClassVar[str] = "addr"
    V2_ID: ClassVar[int | None] = 1
    addresses: list[PeerAddress]

    def encode(self, w: Writer) -> None:
        w.compact_size(len(self.addresses))
        for time, services, address in self.addresses:
            w.u32(time)
            w.u64(services)
            address.encode_v1(w)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        count = check_count(r, MAX_ADDR_TO_SEND, _V1_SIZE, "addr message size = {}")
        return cls([PeerAddress(r.u32(), r.u64(), NetAddress.decode_v1(r)) for _ in range(count)])


@dataclass(slots=True)
class AddrV2:
    """Addresses of any network (BIP 155)."""

    COMMAND: ClassVar[str] = "addrv2"
    V2_ID: ClassVar[int | None] = 28
    addresses: list[PeerAddress]

    def encode(self, w: Writer) -> None:
        w.compact_size(len(self.addresses))
        for time, services, address in self.addresses:
            w.u32(time)
            w.compact_size(services)
            address.encode_v2(w)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        count = check_count(r, MAX_ADDR_TO_SEND, _V2_LEAST, "addrv2 message size = {}")
        return cls([PeerAddress(r.u32(), r.compact_u64(), NetAddress.decode_v2(r)) for _ in range(count)])
