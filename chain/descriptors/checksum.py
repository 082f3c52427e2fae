"""The eight characters behind a descriptor's '#' (BIP 380)."""

from __future__ import annotations

from functools import lru_cache

_INPUT = "0123456789()[],'/*abcdefgh@:$%{}IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~ijklmnopqrstuvwxyzABCDEFGH`#\"\\ "
_CHECKSUM = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0xF5DEE51989, 0xA9FDCA3312, 0x1BAB10E32D, 0x3706B1677A, 0x644D626FFD)


def _fold(top: int) -> int:
    """What the five bits that leave the state at the top do to the rest."""
    folded = 0
    for i, generator in enumerate(_GENERATOR):
        if top >> i & 1:
            folded ^= generator
    return folded


_FOLDED = tuple(_fold(top) for top in range(32))
_POSITION = {character: position for position, character in enumerate(_INPUT)}


@lru_cache(maxsize=256)
def descriptor_checksum(text: str) -> str:
    """The checksum of text, a descriptor without one; "" if it has a character that none may have.

    Descriptors are parsed and written over and over with the checksum they had: the last ones are kept.
    """
    values, group, filled = list[int](), 0, 0
    for character in text:
        position = _POSITION.get(character)
        if position is None:
            return ""
        values.append(position & 31)
        group, filled = group * 3 + (position >> 5), filled + 1
        if filled == 3:
            values.append(group)
            group, filled = 0, 0
    if filled:
        values.append(group)
    state, folded = 1, _FOLDED
    for value in values + [0] * 8:
        state = (state & 0x7FFFFFFFF) << 5 ^ value ^ folded[state >> 35]
    state ^= 1
    return "".join(_CHECKSUM[state >> 5 * (7 - i) & 31] for i in range(8))


def add_checksum(text: str) -> str:
    return f"{text}#{descriptor_checksum(text)}"
