"""Base58 with and without checksum, bounded as in Core. The arithmetic is the base58 library's."""

from __future__ import annotations

import base58

from ..primitives.hashes import sha256d

_SPACE = " \f\n\r\t\v"


def decode_base58(text: str, max_size: int) -> bytes | None:
    """The bytes of text, space around it ignored; None if it is not base58 or has more than max_size."""
    text = text.strip(_SPACE)
    if len(text) > 2 * max_size + 2:  # not even base58 is that long; decoding costs the square of the length
        return None
    try:
        data = base58.b58decode(text.encode("ascii"))
    except ValueError:
        return None
    return data if len(data) <= max_size else None


def encode_base58check(data: bytes) -> str:
    """data and the first four bytes of its double SHA-256."""
    return base58.b58encode(data + sha256d(data)[:4]).decode("ascii")


def decode_base58check(text: str, max_size: int) -> bytes | None:
    """The bytes that stand before a right checksum, at most max_size; None otherwise."""
    data = decode_base58(text, max_size + 4)
    if data is None or len(data) < 4 or sha256d(data[:-4])[:4] != data[-4:]:
        return None
    return data[:-4]
