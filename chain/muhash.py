"""MuHash3072: a hash of a set that grows and shrinks element by element, in any order.

An element is spread to a number of 3072 bits; the set is the product of its elements modulo a prime, and
taking one out divides. Source: Bitcoin Core src/crypto/muhash.h.
"""

from __future__ import annotations

from collections.abc import Iterable

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from .primitives.hashes import sha256
from .primitives.serialize import DecodeError

MODULUS = 2**3072 - 1103717
"""The largest safe prime below 2^3072."""
_GAP = 1103717
_MASK = (1 << 3072) - 1
_BYTES = 384
_ZEROS, _NONCE = bytes(_BYTES), bytes(16)


def element_number(data: bytes) -> int:
    """The number that data stands for: a ChaCha20 keystream under its SHA-256, little-endian."""
    keystream = Cipher(algorithms.ChaCha20(sha256(data), _NONCE), mode=None).encryptor().update(_ZEROS)
    return int.from_bytes(keystream, "little")


def _times(a: int, b: int) -> int:
    """A number congruent to a * b with no more than a bit over 3072; three times as fast as a division."""
    product = a * b
    product = (product & _MASK) + (product >> 3072) * _GAP  # 2^3072 is congruent to the gap
    return (product & _MASK) + (product >> 3072) * _GAP


class MuHash3072:
    """The hash of a set of byte strings."""

    __slots__ = ("denominator", "numerator")

    def __init__(self, elements: Iterable[bytes] = ()) -> None:
        self.numerator = self.denominator = 1
        for data in elements:
            self.insert(data)

    def insert(self, data: bytes) -> None:
        self.numerator = _times(self.numerator, element_number(data))

    def remove(self, data: bytes) -> None:
        """Takes data out; also before it was put in."""
        self.denominator = _times(self.denominator, element_number(data))

    def combine(self, other: MuHash3072) -> None:
        """Puts in all that is in other, and takes out all that was taken out of it."""
        self.numerator = _times(self.numerator, other.numerator)
        self.denominator = _times(self.denominator, other.denominator)

    def discard(self, other: MuHash3072) -> None:
        """Undoes `combine(other)`."""
        self.numerator = _times(self.numerator, other.denominator)
        self.denominator = _times(self.denominator, other.numerator)

    def finalize(self) -> bytes:
        """The 32 bytes of the set, in internal order; the state stays as it is."""
        value = self.numerator * pow(self.denominator, -1, MODULUS) % MODULUS
        return sha256(value.to_bytes(_BYTES, "little"))

    def serialize(self) -> bytes:
        """The state in 768 bytes, as Core writes it."""
        parts = (self.numerator % MODULUS, self.denominator % MODULUS)
        return b"".join(part.to_bytes(_BYTES, "little") for part in parts)

    @classmethod
    def decode(cls, raw: bytes) -> MuHash3072:
        """From exactly 768 bytes; DecodeError otherwise."""
        if len(raw) != 2 * _BYTES:
            raise DecodeError("a MuHash3072 state has 768 bytes")
        state = cls()
        state.numerator = int.from_bytes(raw[:_BYTES], "little") % MODULUS
        state.denominator = int.from_bytes(raw[_BYTES:], "little") % MODULUS
        return state
