"""The form of signatures and keys that the flags DERSIG, STRICTENC, LOW_S and WITNESS_PUBKEYTYPE ask for.

A signature in a script is DER with one byte behind it, the hash type; so sizes here count that byte.
"""

from __future__ import annotations

from typing import Final

from .errors import ScriptError
from .flags import ScriptFlags

SIGHASH_DEFAULT: Final = 0
"""Taproot only: as ALL, with no byte for it."""
SIGHASH_ALL: Final = 1
SIGHASH_NONE: Final = 2
SIGHASH_SINGLE: Final = 3
SIGHASH_ANYONECANPAY: Final = 0x80

HASH_TYPE_NAMES: Final = {
    SIGHASH_ALL: "ALL",
    SIGHASH_NONE: "NONE",
    SIGHASH_SINGLE: "SINGLE",
    SIGHASH_ALL | SIGHASH_ANYONECANPAY: "ALL|ANYONECANPAY",
    SIGHASH_NONE | SIGHASH_ANYONECANPAY: "NONE|ANYONECANPAY",
    SIGHASH_SINGLE | SIGHASH_ANYONECANPAY: "SINGLE|ANYONECANPAY",
}

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_HALF_ORDER = CURVE_ORDER >> 1

_STRICTENC, _LOW_S = int(ScriptFlags.STRICTENC), int(ScriptFlags.LOW_S)
_ANY_DER = int(ScriptFlags.DERSIG | ScriptFlags.LOW_S | ScriptFlags.STRICTENC)
_WITNESS_PUBKEYTYPE = int(ScriptFlags.WITNESS_PUBKEYTYPE)


def is_strict_der(sig: bytes) -> bool:
    """Whether sig is 30 len 02 len R 02 len S hash-type, R and S shortest and not negative (BIP 66)."""
    size = len(sig)
    if not 9 <= size <= 73 or sig[0] != 0x30 or sig[1] != size - 3 or sig[2] != 2:
        return False
    r_size = sig[3]
    if r_size == 0 or 5 + r_size >= size:
        return False
    s_size = sig[5 + r_size]
    if s_size == 0 or r_size + s_size + 7 != size or sig[4 + r_size] != 2:
        return False
    return _is_shortest(sig, 4, r_size) and _is_shortest(sig, 6 + r_size, s_size)


def _is_shortest(sig: bytes, pos: int, size: int) -> bool:
    """Whether the integer at pos is not negative and has no zero in front but the one its sign needs."""
    first = sig[pos]
    return first < 0x80 and (first != 0 or size == 1 or sig[pos + 1] >= 0x80)


def is_low_s(sig: bytes) -> bool:
    """Whether S of a strict DER signature is at most half the group order.

    Numbers from the group order up are no signature at all; Core reads them as zero, which is low.
    """
    r_size = sig[3]
    s_at = 6 + r_size
    s = int.from_bytes(sig[s_at : s_at + sig[s_at - 1]], "big")
    if s <= _HALF_ORDER or s >= CURVE_ORDER:
        return True
    return int.from_bytes(sig[4 : 4 + r_size], "big") >= CURVE_ORDER


def is_defined_hash_type(hash_type: int) -> bool:
    """Whether the last byte of a signature is one of the six that mean something."""
    return SIGHASH_ALL <= hash_type & ~SIGHASH_ANYONECANPAY <= SIGHASH_SINGLE


def check_signature_encoding(sig: bytes, flags: int) -> ScriptError | None:
    """What is wrong with the form of sig under flags. The empty signature is always well formed."""
    if not sig or not flags & _ANY_DER:
        return None
    if not is_strict_der(sig):
        return ScriptError.SIG_DER
    if flags & _LOW_S and not is_low_s(sig):
        return ScriptError.SIG_HIGH_S
    if flags & _STRICTENC and not is_defined_hash_type(sig[-1]):
        return ScriptError.SIG_HASHTYPE
    return None


def is_compressed(pubkey: bytes) -> bool:
    return len(pubkey) == 33 and pubkey[0] in (2, 3)


def is_compressed_or_uncompressed(pubkey: bytes) -> bool:
    """By size and first byte; the hybrid forms 06 and 07 are neither."""
    return is_compressed(pubkey) or (len(pubkey) == 65 and pubkey[0] == 4)


def has_pubkey_size(pubkey: bytes) -> bool:
    """Whether the size fits the first byte: 33 for 02 and 03, 65 for 04, 06 and 07 (CPubKey::ValidSize)."""
    if len(pubkey) == 33:
        return pubkey[0] in (2, 3)
    return len(pubkey) == 65 and pubkey[0] in (4, 6, 7)


def check_pubkey_encoding(pubkey: bytes, flags: int, witness_v0: bool) -> ScriptError | None:
    """What is wrong with the form of pubkey under flags."""
    if flags & _STRICTENC and not is_compressed_or_uncompressed(pubkey):
        return ScriptError.PUBKEYTYPE
    if witness_v0 and flags & _WITNESS_PUBKEYTYPE and not is_compressed(pubkey):
        return ScriptError.WITNESS_PUBKEYTYPE
    return None
