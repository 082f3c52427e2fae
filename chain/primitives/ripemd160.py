"""RIPEMD-160 in plain Python, for machines whose OpenSSL lacks it.

Source: Dobbertin, Bosselaers, Preneel, "RIPEMD-160: A Strengthened Version of RIPEMD" (1996).
"""

from __future__ import annotations

import struct

_MASK = 0xFFFFFFFF
_RHO = (7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8)
_SHIFTS = (
    (11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8),
    (12, 13, 11, 15, 6, 9, 9, 7, 12, 15, 11, 13, 7, 8, 7, 7),
    (13, 15, 14, 11, 7, 7, 6, 8, 13, 14, 13, 12, 5, 5, 6, 9),
    (14, 11, 12, 14, 8, 6, 5, 5, 15, 12, 15, 14, 9, 9, 8, 6),
    (15, 12, 13, 13, 9, 5, 8, 6, 14, 11, 12, 11, 8, 6, 5, 5),
)
_LEFT_ADD = (0x00000000, 0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xA953FD4E)
_RIGHT_ADD = (0x50A28BE6, 0x5C4DD124, 0x6D703EF3, 0x7A6D76E9, 0x00000000)


def _orders() -> tuple[list[list[int]], list[list[int]]]:
    """Which message word each of the 5 x 16 steps takes, on the left and on the right line."""
    left, right = [list(range(16))], [[(9 * i + 5) % 16 for i in range(16)]]
    for _ in range(4):
        left.append([_RHO[i] for i in left[-1]])
        right.append([_RHO[i] for i in right[-1]])
    return left, right


_LEFT, _RIGHT = _orders()


def _f(line: int, x: int, y: int, z: int) -> int:
    if line == 0:
        return x ^ y ^ z
    if line == 1:
        return (x & y) | (~x & z)
    if line == 2:
        return (x | ~y) ^ z
    if line == 3:
        return (x & z) | (y & ~z)
    return x ^ (y | ~z)


def _rol(x: int, n: int) -> int:
    x &= _MASK
    return ((x << n) | (x >> (32 - n))) & _MASK


def _line(state: tuple[int, ...], words: tuple[int, ...], right: bool) -> tuple[int, ...]:
    a, b, c, d, e = state
    for group in range(5):
        order = (_RIGHT if right else _LEFT)[group]
        add = (_RIGHT_ADD if right else _LEFT_ADD)[group]
        for word in order:
            mixed = _f(4 - group if right else group, b, c, d)
            t = _rol(a + mixed + words[word] + add, _SHIFTS[group][word]) + e
            a, b, c, d, e = e, t & _MASK, b, _rol(c, 10), d
    return a, b, c, d, e


def ripemd160(data: bytes) -> bytes:
    """The 20-byte digest of data."""
    padded = data + b"\x80" + bytes((55 - len(data)) % 64) + struct.pack("<Q", 8 * len(data))
    state: tuple[int, ...] = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
    for start in range(0, len(padded), 64):
        words = struct.unpack("<16I", padded[start : start + 64])
        left, right = _line(state, words, False), _line(state, words, True)
        state = tuple((state[(i + 1) % 5] + left[(i + 2) % 5] + right[(i + 3) % 5]) & _MASK for i in range(5))
    return struct.pack("<5I", *state)
