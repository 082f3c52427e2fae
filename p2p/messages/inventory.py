"""Announcing and asking for transactions and blocks by hash."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, NamedTuple, Self

from pybitcoind.chain.primitives.serialize import Reader, Writer, compact_size

from .message import check_count

MAX_INV_SZ = 50_000
"""Items of one inv or getdata."""
MAX_GETDATA_SZ = 1_000
"""Items that we put into one getdata."""

_ITEM = struct.Struct("<I32s")
_WITNESS_FLAG = 1 << 30


class InvType(IntEnum):
    """Kinds of inventory. The witness ones and FILTERED_BLOCK, CMPCT_BLOCK occur in getdata only."""

    TX = 1
    BLOCK = 2
    FILTERED_BLOCK = 3
    CMPCT_BLOCK = 4
    WTX = 5
    WITNESS_TX = TX | _WITNESS_FLAG
    WITNESS_BLOCK = BLOCK | _WITNESS_FLAG


_NAMES = {1: "tx", 2: "block", 3: "merkleblock", 4: "cmpctblock", 5: "wtx"}


class Inv(NamedTuple):
    """One item. type: an InvType, or the plain number of one we do not know. hash: internal order."""

    type: int
    hash: bytes

    @property
    def is_tx(self) -> bool:
        return self.type in (InvType.TX, InvType.WTX, InvType.WITNESS_TX)

    @property
    def is_block(self) -> bool:
        return self.type in (
            InvType.BLOCK,
            InvType.FILTERED_BLOCK,
            InvType.CMPCT_BLOCK,
            InvType.WITNESS_BLOCK,
        )

    def __str__(self) -> str:
        """As Core logs it: "witness-block <hash>", or 0x and the number of a type we do not know."""
        name = _NAMES.get(self.type & 0x3FFFFFFF)
        if name is None:
            name = f"0x{self.type:08x}"
        elif self.type & _WITNESS_FLAG:
            name = "witness-" + name
        return f"{name} {self.hash[::-1].hex()}"


def _encode(w: Writer, items: Iterable[Inv]) -> None:
    parts = [_ITEM.pack(kind, item) for kind, item in items]
    w.bytes(compact_size(len(parts)))
    w.parts += parts


def _decode(r: Reader, command: str) -> list[Inv]:
    count = check_count(r, MAX_INV_SZ, _ITEM.size, command + " message size = {}")
    return [Inv(*item) for item in _ITEM.iter_unpack(r.bytes(count * _ITEM.size))]


@dataclass(slots=True)
class InvMessage:
    """I have these."""

    COMMAND: ClassVar[str] = "inv"
    V2_ID: ClassVar[int | None] = 14
    items: list[Inv]

    def encode(self, w: Writer) -> None:
        _encode(w, self.items)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        return cls(_decode(r, "inv"))


@dataclass(slots=True)
class GetData:
    """Send me these."""

    COMMAND: ClassVar[str] = "getdata"
    V2_ID: ClassVar[int | None] = 11
    items: list[Inv]

    def encode(self, w: Writer) -> None:
        _encode(w, self.items)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        return cls(_decode(r, "getdata"))


@dataclass(slots=True)
class NotFound:
    """Of what you asked for, I have not got these."""

    COMMAND: ClassVar[str] = "notfound"
    V2_ID: ClassVar[int | None] = 17
    items: list[Inv]

    def encode(self, w: Writer) -> None:
        _encode(w, self.items)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        return cls(_decode(r, "notfound"))
