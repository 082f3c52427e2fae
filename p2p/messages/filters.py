"""Compact block filters (BIP 157), and the bloom filters that came before them (BIP 37)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from pybitcoind.chain.primitives.serialize import DecodeError, Reader, Writer

from .message import Empty, Misbehaviour, hash_list

BASIC_FILTER = 0
"""The one filter type there is (BIP 158)."""
MAX_GETCFILTERS_SIZE = 1_000
"""Blocks one getcfilters may ask for."""
MAX_GETCFHEADERS_SIZE = 2_000
"""Blocks one getcfheaders may ask for, and hashes one cfheaders may hold."""
CFCHECKPT_INTERVAL = 1_000
"""Blocks between the headers of a cfcheckpt."""

MAX_BLOOM_FILTER_SIZE = 36_000
MAX_HASH_FUNCS = 50
MAX_FILTERADD_SIZE = 520
"""Bytes; the longest script element."""


@dataclass(slots=True)
class _FilterRange:
    """Asks about the blocks from start_height (uint32) to the block stop_hash."""

    filter_type: int
    start_height: int
    stop_hash: bytes

    def encode(self, w: Writer) -> None:
        w.u8(self.filter_type)
        w.u32(self.start_height)
        w.hash(self.stop_hash)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        return cls(r.u8(), r.u32(), r.hash())


@dataclass(slots=True)
class GetCFilters(_FilterRange):
    """Their filters, each in a cfilter."""

    COMMAND: ClassVar[str] = "getcfilters"
    V2_ID: ClassVar[int | None] = 22


@dataclass(slots=True)
class GetCFHeaders(_FilterRange):
    """Their filter hashes, in one cfheaders."""

    COMMAND: ClassVar[str] = "getcfheaders"
    V2_ID: ClassVar[int | None] = 24


@dataclass(slots=True)
class CFilter:
    """The filter of one block. filter: its BIP 158 serialization with the number of elements in front."""

    COMMAND: ClassVar[str] = "cfilter"
    V2_ID: ClassVar[int | None] = 23
    filter_type: int
    block_hash: bytes
    filter: bytes

    def encode(self, w: Writer) -> None:
        w.u8(self.filter_type)
        w.hash(self.block_hash)
        w.var_bytes(self.filter)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        return cls(r.u8(), r.hash(), r.var_bytes())


@dataclass(slots=True)
class CFHeaders:
    """The filter header before the first block asked for, and the filter hash of each block."""

    COMMAND: ClassVar[str] = "cfheaders"
    V2_ID: ClassVar[int | None] = 25
    filter_type: int
    stop_hash: bytes
    prev_filter_header: bytes
    filter_hashes: list[bytes]

    def encode(self, w: Writer) -> None:
        w.u8(self.filter_type)
        w.hash(self.stop_hash)
        w.hash(self.prev_filter_header)
        w.list(self.filter_hashes, Writer.hash)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        head = r.u8(), r.hash(), r.hash()
        return cls(*head, hash_list(r, MAX_GETCFHEADERS_SIZE, "cfheaders message size = {}"))


@dataclass(slots=True)
class GetCFCheckpt:
    """Filter headers at each multiple of CFCHECKPT_INTERVAL up to the block stop_hash."""

    COMMAND: ClassVar[str] = "getcfcheckpt"
    V2_ID: ClassVar[int | None] = 26
    filter_type: int
    stop_hash: bytes

    def encode(self, w: Writer) -> None:
        w.u8(self.filter_type)
        w.hash(self.stop_hash)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        return cls(r.u8(), r.hash())


@dataclass(slots=True)
class CFCheckpt:
    """The answer to getcfcheckpt, lowest height first."""

    COMMAND: ClassVar[str] = "cfcheckpt"
    V2_ID: ClassVar[int | None] = 27
    filter_type: int
    stop_hash: bytes
    filter_headers: list[bytes]

    def encode(self, w: Writer) -> None:
        w.u8(self.filter_type)
        w.hash(self.stop_hash)
        w.list(self.filter_headers, Writer.hash)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        count_limit = 4_000_000 // 32  # no more fit into a message
        return cls(r.u8(), r.hash(), hash_list(r, count_limit))


@dataclass(slots=True)
class FilterLoad:
    """A bloom filter over what to announce. hash_funcs, tweak: uint32; flags: uint8, who updates it."""

    COMMAND: ClassVar[str] = "filterload"
    V2_ID: ClassVar[int | None] = 8
    data: bytes
    hash_funcs: int
    tweak: int
    flags: int

    def encode(self, w: Writer) -> None:
        w.var_bytes(self.data)
        w.u32(self.hash_funcs)
        w.u32(self.tweak)
        w.u8(self.flags)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        message = cls(r.var_bytes(), r.u32(), r.u32(), r.u8())
        if len(message.data) > MAX_BLOOM_FILTER_SIZE or message.hash_funcs > MAX_HASH_FUNCS:
            raise Misbehaviour("too-large bloom filter")
        return message


@dataclass(slots=True)
class FilterAdd:
    """One more element for the bloom filter."""

    COMMAND: ClassVar[str] = "filteradd"
    V2_ID: ClassVar[int | None] = 6
    data: bytes

    def encode(self, w: Writer) -> None:
        w.var_bytes(self.data)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        size = r.compact_size()
        if size > r.remaining:
            raise DecodeError("end of data")
        if size > MAX_FILTERADD_SIZE:
            raise Misbehaviour("bad filteradd message")
        return cls(r.bytes(size))


class FilterClear(Empty):
    """No bloom filter any more."""

    COMMAND: ClassVar[str] = "filterclear"
    V2_ID: ClassVar[int | None] = 7
