"""Coins as Core writes them to snapshots (and its own database): short numbers, amounts and scripts.

- VARINT: seven bits a byte, highest first, all but the last byte with the top bit set; each of those counts
  one more than it says, so that no number has two forms.
- An amount loses its trailing zeros: most are round in decimal.
- P2PKH, P2SH and P2PK scripts become one byte of kind and their hash or X; any other script follows its size.

Source: Bitcoin Core src/compressor.h, src/coins.h, src/serialize.h (31.99).
"""

from __future__ import annotations

from .primitives.serialize import DecodeError
from .primitives.transaction import Coin
from .script.opcodes import OP_RETURN
from .script.script import MAX_SCRIPT_SIZE
from .script.secp import convert_pubkey

_KINDS = 6
"""Script sizes below this stand for the kinds with a form of their own."""
_MOST_BYTES = 4_000_000
"""No script of a block is longer; who claims one that is has no coins to offer."""
_MASK64 = (1 << 64) - 1
_P2PKH, _P2PKH_END = bytes.fromhex("76a914"), bytes.fromhex("88ac")
_P2SH, _P2SH_END = bytes.fromhex("a914"), bytes.fromhex("87")
_CHECKSIG = b"\xac"


def varint(n: int) -> bytes:
    """n, not negative, in Core's VARINT form."""
    if n < 0x80:
        return bytes((n,))
    out = [n & 0x7F]
    while n > 0x7F:
        n = (n >> 7) - 1
        out.append((n & 0x7F) | 0x80)
    return bytes(reversed(out))


def read_varint(data: bytes, pos: int, limit: int = _MASK64) -> tuple[int, int]:
    """The number at pos and the position behind it. DecodeError above limit; IndexError at the end."""
    n = 0
    while True:
        byte = data[pos]
        pos += 1
        if n > limit >> 7:
            raise DecodeError("ReadVarInt(): size too large")
        n = (n << 7) | (byte & 0x7F)
        if byte < 0x80:
            return n, pos
        if n == limit:
            raise DecodeError("ReadVarInt(): size too large")
        n += 1


def compress_amount(n: int) -> int:
    """A number that is small for round amounts; n: satoshis, 64 bits without sign."""
    if n == 0:
        return 0
    zeros = 0
    while zeros < 9 and n % 10 == 0:
        n //= 10
        zeros += 1
    if zeros == 9:
        return 10 * n
    n, last = divmod(n, 10)
    return 1 + (9 * n + last - 1) * 10 + zeros


def decompress_amount(x: int) -> int:
    """The inverse of compress_amount, 64 bits like Core's."""
    if x == 0:
        return 0
    x, zeros = divmod(x - 1, 10)
    if zeros == 9:
        n = x + 1
    else:
        n, last = divmod(x, 9)
        n = 10 * n + last + 1
    return (n * int(10**zeros)) & _MASK64


def compress_script(script: bytes) -> bytes:
    """The script with what tells its kind or its size before it."""
    size = len(script)
    if size == 25 and script[:3] == _P2PKH and script[23:] == _P2PKH_END:
        return b"\x00" + script[3:23]
    if size == 23 and script[:2] == _P2SH and script[22:] == _P2SH_END:
        return b"\x01" + script[2:22]
    if size == 35 and script[0] == 33 and script[1] in (2, 3) and script[34:] == _CHECKSIG:
        return script[1:34]
    if size == 67 and script[:2] == b"\x41\x04" and script[66:] == _CHECKSIG:
        key = convert_pubkey(script[1:66], True)
        if key is not None:  # of what is no point the X alone would not bring back the Y
            return bytes((key[0] + 2,)) + key[1:]
    return varint(size + _KINDS) + script


def read_script(data: bytes, pos: int) -> tuple[bytes, int]:
    """The script at pos and the position behind it. DecodeError, or IndexError at the end of data.

    As in Core, a script above the limit is replaced by one that cannot be spent either, and an X that is on
    no point gives an empty script: the hash of the set tells that something is wrong.
    """
    kind, pos = read_varint(data, pos)
    size = kind - _KINDS if kind >= _KINDS else (20 if kind < 2 else 32)
    if size > _MOST_BYTES:
        raise DecodeError("script too large")
    end = pos + size
    if end > len(data):
        raise IndexError(end)
    if kind >= _KINDS:
        return (data[pos:end] if size <= MAX_SCRIPT_SIZE else bytes((OP_RETURN,))), end
    body = data[pos:end]
    if kind == 0:
        return _P2PKH + body + _P2PKH_END, end
    if kind == 1:
        return _P2SH + body + _P2SH_END, end
    if kind < 4:
        return b"\x21" + bytes((kind,)) + body + _CHECKSIG, end
    key = convert_pubkey(bytes((kind - 2,)) + body, False)
    return (b"" if key is None else b"\x41" + key + _CHECKSIG), end


def compress_coin(coin: Coin) -> bytes:
    value, script, height, coinbase = coin
    return varint(height << 1 | coinbase) + varint(compress_amount(value)) + compress_script(script)


def read_coin(data: bytes, pos: int) -> tuple[Coin, int]:
    """The coin at pos and the position behind it; its amount may be no valid one, or negative.

    DecodeError for a number above its limit; IndexError at the end of data.
    """
    code, pos = read_varint(data, pos, 0xFFFFFFFF)
    amount, pos = read_varint(data, pos)
    script, pos = read_script(data, pos)
    value = decompress_amount(amount)
    return Coin(value - (1 << 64) if value >> 63 else value, script, code >> 1, bool(code & 1)), pos
