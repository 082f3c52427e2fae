"""Bech32 (BIP 173) and bech32m (BIP 350), with the place of up to two wrong characters as in Core."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from functools import cache
from typing import NamedTuple

CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUE = {char: value for value, char in enumerate(CHARSET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
CHECKSUM_SIZE = 6
SEPARATOR = "1"
MAX_LENGTH = 90
"""Longest address; up to here the checksum finds any four wrong characters."""


class Encoding(Enum):
    """The value is the constant that the checksum comes to."""

    BECH32 = 1
    BECH32M = 0x2BC830A3


class Bech32(NamedTuple):
    """Human readable part, and the data behind the separator without the checksum, 5 bits a value."""

    encoding: Encoding
    hrp: str
    data: list[int]


def _times_x(c: int) -> int:
    """c, a polynomial over GF(32) of six 5-bit coefficients, times x modulo the generator."""
    top = c >> 25
    c = (c & 0x1FFFFFF) << 5
    for i, g in enumerate(_GENERATOR):
        if top >> i & 1:
            c ^= g
    return c


def _polymod(values: Iterable[int]) -> int:
    c = 1
    for value in values:
        c = _times_x(c) ^ value
    return c


def _expand(hrp: str) -> list[int]:
    codes = [ord(char) for char in hrp]
    return [code >> 5 for code in codes] + [0] + [code & 31 for code in codes]


def bech32_encode(encoding: Encoding, hrp: str, data: Sequence[int]) -> str:
    """The string for data, 5 bits a value. hrp is in lower case."""
    values = [*_expand(hrp), *data]
    checksum = _polymod([*values, *[0] * CHECKSUM_SIZE]) ^ encoding.value
    tail = [checksum >> 5 * (CHECKSUM_SIZE - 1 - i) & 31 for i in range(CHECKSUM_SIZE)]
    return hrp + SEPARATOR + "".join(CHARSET[value] for value in (*data, *tail))


def bech32_decode(text: str, limit: int = MAX_LENGTH) -> Bech32 | None:
    """What text says, None if it is neither bech32 nor bech32m of at most limit characters."""
    if len(text) > limit or _bad_characters(text):
        return None
    pos = text.rfind(SEPARATOR)
    if pos < 1 or pos + CHECKSUM_SIZE >= len(text):
        return None
    text = text.lower()
    hrp, tail = text[:pos], text[pos + 1 :]
    if any(char not in _VALUE for char in tail):
        return None
    data = [_VALUE[char] for char in tail]
    residue = _polymod([*_expand(hrp), *data])
    for encoding in Encoding:
        if residue == encoding.value:
            return Bech32(encoding, hrp, data[:-CHECKSUM_SIZE])
    return None


def convert_bits(data: Iterable[int], from_bits: int, to_bits: int, pad: bool) -> list[int] | None:
    """The same bits in groups of another size.

    pad: fill the last group with zeros. Otherwise what is left must be zeros, less than a group; else None.
    """
    acc = bits = 0
    out, mask = [], (1 << to_bits) - 1
    for value in data:
        acc = acc << from_bits | value
        bits += from_bits
        while bits >= to_bits:
            bits -= to_bits
            out.append(acc >> bits & mask)
        acc &= (1 << bits) - 1
    if pad:
        if bits:
            out.append(acc << to_bits - bits & mask)
    elif bits >= from_bits or acc:
        return None
    return out


def _bad_characters(text: str) -> list[int]:
    """Where text leaves printable ASCII, or the case it began with."""
    bad, seen_lower, seen_upper = [], False, False
    for i, char in enumerate(text):
        if "a" <= char <= "z":
            if seen_upper:
                bad.append(i)
            else:
                seen_lower = True
        elif "A" <= char <= "Z":
            if seen_lower:
                bad.append(i)
            else:
                seen_upper = True
        elif not "!" <= char <= "~":
            bad.append(i)
    return bad


@cache
def _single_errors() -> dict[int, tuple[int, int]]:
    """What one wrong character does to the checksum: change -> (its distance from the end, xor of its value).

    No two of these agree, nor do any two pairs of them: the code has distance five.
    """
    table = {}
    for error in range(1, 32):
        change = error
        for distance in range(MAX_LENGTH):
            table[change] = distance, error
            change = _times_x(change)
    return table


def _find_errors(residue: int, length: int) -> list[int]:
    """Distances from the end, largest first, of the one or two wrong values that explain residue; else []."""
    table = _single_errors()
    hit = table.get(residue)
    if hit is not None:
        return [hit[0]] if hit[0] < length else []
    for change, (first, _) in table.items():
        if first < length:
            second = table.get(residue ^ change)
            if second is not None and second[0] < length and second[0] != first:
                return sorted((first, second[0]), reverse=True)
    return []


def locate_errors(text: str, limit: int = MAX_LENGTH) -> tuple[str, list[int]]:
    """What is wrong with text in Core's words, and where its wrong characters are; ("", []) if nothing is."""
    if len(text) > limit:
        return "Bech32 string too long", list(range(limit, len(text)))
    bad = _bad_characters(text)
    if bad:
        return "Invalid character or mixed case", bad
    pos = text.rfind(SEPARATOR)
    if pos == -1:
        return "Missing separator", []
    if pos == 0 or pos + CHECKSUM_SIZE >= len(text):
        return "Invalid separator position", [pos]
    lower = text.lower()
    for i in range(pos + 1, len(text)):
        if lower[i] not in _VALUE:
            return "Invalid Base 32 character", [i]

    values = [_VALUE[char] for char in lower[pos + 1 :]]
    checksum = _polymod([*_expand(lower[:pos]), *values])
    found: list[int] = []
    best: Encoding | None = None
    for encoding in Encoding:  # a wrong version character hides which one was meant: the fewest errors win
        residue = checksum ^ encoding.value
        if residue == 0:
            return "", []
        errors = _find_errors(residue, len(values))
        if errors and (not found or len(errors) < len(found)):
            found, best = errors, encoding
    message = {Encoding.BECH32: "Invalid Bech32 checksum", Encoding.BECH32M: "Invalid Bech32m checksum"}
    return (message[best] if best else "Invalid checksum"), [len(text) - 1 - distance for distance in found]
