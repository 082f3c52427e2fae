"""Bitcoin's hash functions. Hashes are bytes in internal (wire) order; display hex is reversed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256 as _sha256

from .. import native

ZERO_HASH = bytes(32)


def sha256(data: bytes) -> bytes:
    return _sha256(data).digest()


def _sha256d(data: bytes) -> bytes:
    return _sha256(_sha256(data).digest()).digest()


sha256d: Callable[[bytes], bytes] = _sha256d if native.part is None else native.part.sha256d
"""Double SHA-256: txids, block hashes, merkle nodes, checksums."""


def sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()


def hash160(data: bytes) -> bytes:
    """RIPEMD-160 of SHA-256: key and script hashes."""
    return ripemd160(_sha256(data).digest())


@lru_cache(maxsize=256)
def _tag_prefix(tag: str) -> bytes:
    return _sha256(tag.encode()).digest() * 2


def tagged_hash(tag: str, data: bytes) -> bytes:
    """BIP 340: SHA-256 of the tag's hash twice, then data."""
    return _sha256(_tag_prefix(tag) + data).digest()


def hash_hex(digest: bytes) -> str:
    """Display form of a 32-byte hash: hex, reversed."""
    return digest[::-1].hex()


def hash_from_hex(text: str) -> bytes:
    """Internal order from display hex of exactly 64 digits; ValueError otherwise."""
    if len(text) != 64:
        raise ValueError("a hash has 64 hex digits")
    return bytes.fromhex(text)[::-1]


try:  # OpenSSL 3 keeps RIPEMD-160 in its legacy provider, which some builds leave out
    _ripemd160 = hashlib.new("ripemd160", b"", usedforsecurity=False)

    def ripemd160(data: bytes) -> bytes:
        hasher = _ripemd160.copy()  # half the time of looking the algorithm up again
        hasher.update(data)
        return hasher.digest()

except ValueError:  # pragma: no cover - depends on the machine's OpenSSL
    from .ripemd160 import ripemd160
