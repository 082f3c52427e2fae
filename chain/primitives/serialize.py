"""Reading and writing Bitcoin's serialization: little-endian integers, compact sizes, byte strings.

Source: Bitcoin Core src/serialize.h.
"""

from __future__ import annotations

import builtins
import struct
from collections.abc import Callable, Iterable
from typing import TypeVar, final

T = TypeVar("T")

MAX_SIZE = 0x02000000
"""Largest compact size that counts something, 32 MiB (Core MAX_SIZE)."""

_U16, _U32, _U64 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")
_I32, _I64 = struct.Struct("<i"), struct.Struct("<q")


class DecodeError(ValueError):
    """Bytes from outside that are no valid serialization of what was expected."""


def read_compact_size(buf: bytes, pos: int, *, range_check: bool = True) -> tuple[int, int]:
    """Compact size at buf[pos:] and the position behind it. DecodeError otherwise."""
    try:
        size = buf[pos]
        if size < 253:
            return size, pos + 1
        if size == 253:
            (size,), pos, least = _U16.unpack_from(buf, pos + 1), pos + 3, 253
        elif size == 254:
            (size,), pos, least = _U32.unpack_from(buf, pos + 1), pos + 5, 0x10000
        else:
            (size,), pos, least = _U64.unpack_from(buf, pos + 1), pos + 9, 0x100000000
    except (IndexError, struct.error):
        raise DecodeError("end of data") from None
    if size < least:
        raise DecodeError("non-canonical ReadCompactSize()")
    if range_check and size > MAX_SIZE:
        raise DecodeError("ReadCompactSize(): size too large")
    return size, pos


def compact_size(n: int) -> bytes:
    """n, 0 to 2^64 - 1, as a compact size of 1, 3, 5 or 9 bytes."""
    if n < 253:
        return bytes((n,))
    if n <= 0xFFFF:
        return b"\xfd" + _U16.pack(n)
    if n <= 0xFFFFFFFF:
        return b"\xfe" + _U32.pack(n)
    return b"\xff" + _U64.pack(n)


def var_bytes(data: bytes) -> bytes:
    """data behind its length as a compact size."""
    return compact_size(len(data)) + data


@final
class Reader:
    """Takes values off the front of a byte string; every read past the end is a DecodeError."""

    __slots__ = ("buf", "pos")

    def __init__(self, buf: builtins.bytes, pos: int = 0) -> None:
        self.buf, self.pos = buf, pos

    @property
    def remaining(self) -> int:
        return len(self.buf) - self.pos

    def bytes(self, n: int) -> builtins.bytes:
        end = self.pos + n
        if n < 0 or end > len(self.buf):
            raise DecodeError("end of data")
        data = self.buf[self.pos : end]
        self.pos = end
        return data

    def rest(self) -> builtins.bytes:
        return self.bytes(self.remaining)

    def _number(self, layout: struct.Struct) -> int:
        try:
            (value,) = layout.unpack_from(self.buf, self.pos)
        except struct.error:
            raise DecodeError("end of data") from None
        self.pos += layout.size
        return int(value)

    def u8(self) -> int:
        return self.bytes(1)[0]

    def bool(self) -> builtins.bool:
        return self.u8() != 0

    def u16(self) -> int:
        return self._number(_U16)

    def u16_be(self) -> int:
        return int.from_bytes(self.bytes(2), "big")

    def u32(self) -> int:
        return self._number(_U32)

    def u64(self) -> int:
        return self._number(_U64)

    def i32(self) -> int:
        return self._number(_I32)

    def i64(self) -> int:
        return self._number(_I64)

    def hash(self) -> builtins.bytes:
        """32 bytes in internal order."""
        return self.bytes(32)

    def compact_size(self, limit: int = MAX_SIZE) -> int:
        """A count or length of at most limit."""
        size, self.pos = read_compact_size(self.buf, self.pos)
        if size > limit:
            raise DecodeError("size too large")
        return size

    def compact_u64(self) -> int:
        """A number written as a compact size but counting nothing: all 64 bits are allowed."""
        value, self.pos = read_compact_size(self.buf, self.pos, range_check=False)
        return value

    def var_bytes(self, limit: int = MAX_SIZE) -> builtins.bytes:
        return self.bytes(self.compact_size(limit))

    def list(self, read: Callable[[Reader], T], limit: int = MAX_SIZE) -> builtins.list[T]:
        """A counted list. The limit holds before anything is allocated."""
        return [read(self) for _ in range(self.compact_size(limit))]

    def finish(self) -> None:
        """Trailing bytes are an error."""
        if self.pos != len(self.buf):
            raise DecodeError(f"{len(self.buf) - self.pos} trailing bytes")


@final
class Writer:
    """Collects serialized values; `getvalue()` joins them."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: builtins.list[builtins.bytes] = []

    def getvalue(self) -> builtins.bytes:
        return b"".join(self.parts)

    def bytes(self, data: builtins.bytes) -> None:
        self.parts.append(data)

    def u8(self, n: int) -> None:
        self.parts.append(bytes((n,)))

    def bool(self, value: builtins.bool) -> None:
        self.parts.append(b"\x01" if value else b"\x00")

    def u16(self, n: int) -> None:
        self.parts.append(_U16.pack(n))

    def u16_be(self, n: int) -> None:
        self.parts.append(n.to_bytes(2, "big"))

    def u32(self, n: int) -> None:
        self.parts.append(_U32.pack(n))

    def u64(self, n: int) -> None:
        self.parts.append(_U64.pack(n))

    def i32(self, n: int) -> None:
        self.parts.append(_I32.pack(n))

    def i64(self, n: int) -> None:
        self.parts.append(_I64.pack(n))

    def hash(self, data: builtins.bytes) -> None:
        if len(data) != 32:
            raise ValueError("a hash has 32 bytes")
        self.parts.append(data)

    def compact_size(self, n: int) -> None:
        self.parts.append(compact_size(n))

    def var_bytes(self, data: builtins.bytes) -> None:
        self.parts.append(compact_size(len(data)))
        self.parts.append(data)

    def list(self, items: Iterable[T], write: Callable[[Writer, T], None]) -> None:
        rows = list(items)
        self.compact_size(len(rows))
        for item in rows:
            write(self, item)
