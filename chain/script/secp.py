"""libsecp256k1: the one file that touches coincurve's private binding (pinned in setup.cfg, names tested).

Keys and signatures go in and out as bytes. Every call into C releases the interpreter lock, so checks run on
as many threads as there are; each fills structs of its own. Sizes are checked here, because C reads what it
was promised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from coincurve._libsecp256k1 import ffi, lib

from .. import native
from .encoding import CURVE_ORDER

_static: Any = lib.secp256k1_context_static
_pubkey_parse: Any = lib.secp256k1_ec_pubkey_parse
_xonly_parse: Any = lib.secp256k1_xonly_pubkey_parse
_parse_compact: Any = lib.secp256k1_ecdsa_signature_parse_compact
_parse_der: Any = lib.secp256k1_ecdsa_signature_parse_der
_normalize: Any = lib.secp256k1_ecdsa_signature_normalize
_ecdsa_verify: Any = lib.secp256k1_ecdsa_verify
_schnorr_verify: Any = lib.secp256k1_schnorrsig_verify
_tweak_add_check: Any = lib.secp256k1_xonly_pubkey_tweak_add_check

_COMPRESSED, _UNCOMPRESSED = lib.SECP256K1_EC_COMPRESSED, lib.SECP256K1_EC_UNCOMPRESSED
_SIG = ffi.typeof("secp256k1_ecdsa_signature *")

if native.part is not None:  # the same library for C: a context and functions, in the order of native.h
    _context: Any = lib.secp256k1_context_create(lib.SECP256K1_CONTEXT_NONE)  # for good, as what is in C
    _functions: Any = (
        ffi.addressof(lib, "secp256k1_ec_pubkey_parse"),
        ffi.addressof(lib, "secp256k1_xonly_pubkey_parse"),
        ffi.addressof(lib, "secp256k1_ecdsa_signature_parse_der"),
        ffi.addressof(lib, "secp256k1_ecdsa_signature_normalize"),
        ffi.addressof(lib, "secp256k1_ecdsa_verify"),
        ffi.addressof(lib, "secp256k1_schnorrsig_verify"),
        ffi.addressof(lib, "secp256k1_ec_pubkey_create"),
        ffi.addressof(lib, "secp256k1_ec_pubkey_combine"),
        ffi.addressof(lib, "secp256k1_ec_pubkey_serialize"),
    )
    native.part.bind_curve(tuple([int(ffi.cast("uintptr_t", at)) for at in (_context, *_functions)]))


# --- public keys ready for use ----------------------------------------------------------------------

KNOWN_KEYS = 4096
"""So many are kept decoded: to decode one is a square root, a seventh of a check, and who spends many coins
at once, or often, does it with few keys."""


def _decode_pubkey(pubkey: bytes) -> Any | None:
    """A struct that nobody may change; None if pubkey is no point of the curve."""
    key = ffi.new("secp256k1_pubkey *")
    return key if _pubkey_parse(_static, key, pubkey, len(pubkey)) else None


def _decode_xonly(xonly: bytes) -> Any | None:
    """As _decode_pubkey, for 32 bytes of an X."""
    key = ffi.new("secp256k1_xonly_pubkey *")
    return key if len(xonly) == 32 and _xonly_parse(_static, key, xonly) else None


_Decode: TypeAlias = Callable[[bytes], Any]
_parse_pubkey: _Decode = lru_cache(KNOWN_KEYS)(_decode_pubkey)
_parse_xonly: _Decode = lru_cache(KNOWN_KEYS)(_decode_xonly)


def keep_keys(enabled: bool) -> None:
    """Whether decoded keys are kept, in the whole process; they are unless somebody says no."""
    global _parse_pubkey, _parse_xonly
    _parse_pubkey = lru_cache(KNOWN_KEYS)(_decode_pubkey) if enabled else _decode_pubkey
    _parse_xonly = lru_cache(KNOWN_KEYS)(_decode_xonly) if enabled else _decode_xonly


# --- verification -----------------------------------------------------------------------------------


def verify_ecdsa(pubkey: bytes, sig: bytes, msg32: bytes) -> bool:
    """Whether sig, DER of any laxity without hash type, signs msg32 with pubkey; high S is good too."""
    key, parsed = _parse_pubkey(pubkey), ffi.new(_SIG)
    if len(msg32) != 32 or key is None:
        return False
    compact = parse_lax_der(sig)
    if compact is None or not _parse_compact(_static, parsed, compact):
        return False
    _normalize(_static, parsed, parsed)
    return bool(_ecdsa_verify(_static, parsed, msg32, key))


def verify_ecdsa_der(pubkey: bytes, sig: bytes, msg32: bytes, high_s: bool = True) -> bool:
    """As verify_ecdsa for a sig with its hash type behind it, if it is strict DER (BIP 66); False if not.

    What C parses and finds good is strict DER: lengths written shortest and right to the last byte, numbers
    shortest and not negative, for C takes a negative one as zero, and the lax parser as positive.
    high_s: whether S may be more than half the group order.
    """
    key, parsed = _parse_pubkey(pubkey), ffi.new(_SIG)
    if key is None or not _parse_der(_static, parsed, sig, len(sig) - 1):
        return False
    if _ecdsa_verify(_static, parsed, msg32, key):
        return True
    if not high_s or not _normalize(_static, parsed, parsed):
        return False
    return bool(_ecdsa_verify(_static, parsed, msg32, key))


def verify_schnorr(xonly32: bytes, sig64: bytes, msg32: bytes) -> bool:
    """BIP 340."""
    key = _parse_xonly(xonly32)
    if key is None or len(sig64) != 64 or len(msg32) != 32:
        return False
    return bool(_schnorr_verify(_static, sig64, msg32, 32, key))


def tweak_check(xonly_out: bytes, parity: int, xonly_in: bytes, tweak: bytes) -> bool:
    """Whether xonly_out, with the parity of its Y, is xonly_in plus tweak times the generator."""
    key = _parse_xonly(xonly_in)
    if key is None or len(xonly_out) != 32 or len(tweak) != 32:
        return False
    return bool(_tweak_add_check(_static, xonly_out, parity, key, tweak))


class Claim(NamedTuple):
    """A signature or a tweak that somebody else has to look at: see `unproven`.

    ECDSA: key, sig with its hash type, digest; LOW_S: the same, and S is at most half the order.
    SCHNORR: x-only key, sig of 64 bytes or more, digest.
    TWEAK: x-only key before, 33 bytes of parity and x-only key after, tweak. owner: the caller's.
    """

    kind: int
    key: bytes
    sig: bytes
    msg32: bytes
    owner: Any


ECDSA: Final = 0
LOW_S: Final = 1
SCHNORR: Final = 2
TWEAK: Final = 3


def unproven(claims: Sequence[Claim]) -> list[Claim]:
    """The claims that do not hold. Of an ECDSA signature the form counts too: see `verify_ecdsa_der`.

    One after the other and with nothing else in between: the tables of the curve, a megabyte of them, stay
    in the processor's cache, and the interpreter's lock is needed for a moment only.
    """
    failed: list[Claim] = []
    if not claims:
        return failed
    scratch, static = ffi.new(_SIG), _static
    parse_pubkey, parse_xonly = _parse_pubkey, _parse_xonly
    for claim in claims:
        kind, key, sig, msg32, _ = claim
        if kind <= LOW_S:
            parsed = parse_pubkey(key)
            if parsed is not None and _parse_der(static, scratch, sig, len(sig) - 1):
                if _ecdsa_verify(static, scratch, msg32, parsed):
                    continue
                if (
                    kind == ECDSA
                    and _normalize(static, scratch, scratch)
                    and _ecdsa_verify(static, scratch, msg32, parsed)
                ):
                    continue
        elif kind == SCHNORR:
            parsed = parse_xonly(key)
            if parsed is not None and _schnorr_verify(static, sig, msg32, 32, parsed):
                continue
        elif tweak_check(sig[1:], sig[0], key, msg32):
            continue
        failed.append(claim)
    return failed


def parse_lax_der(sig: bytes) -> bytes | None:
    """R and S, 32 bytes each, of a signature in DER as OpenSSL once took it; None if even that fails.

    Blocks before BIP 66 hold such signatures: lengths are written too long or are wrong for the whole,
    integers are padded or negative (and meant positive), garbage follows. The whole's length is not read.
    """
    if len(sig) < 2 or sig[0] != 0x30:
        return None
    pos = 2
    if sig[1] & 0x80:
        pos += sig[1] & 0x7F
    first = _lax_integer(sig, pos)
    if first is None:
        return None
    r, pos = first
    second = _lax_integer(sig, pos)
    if second is None:
        return None
    s, _ = second
    if r >= CURVE_ORDER or s >= CURVE_ORDER:
        return None
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _lax_integer(sig: bytes, pos: int) -> tuple[int, int] | None:
    """The integer at pos, read without sign, and the position behind it."""
    if pos + 2 > len(sig) or sig[pos] != 2:
        return None
    size = sig[pos + 1]
    pos += 2
    if size & 0x80:
        width = size & 0x7F
        if width > len(sig) - pos:
            return None
        length = sig[pos : pos + width].lstrip(b"\0")
        if len(length) >= 4:
            return None
        size = int.from_bytes(length, "big")
        pos += width
    if size > len(sig) - pos:
        return None
    return int.from_bytes(sig[pos : pos + size], "big"), pos + size


# --- public keys ------------------------------------------------------------------------------------


def _serialize(key: Any, compressed: bool) -> bytes:
    size = 33 if compressed else 65
    out, length = ffi.new("unsigned char[65]"), ffi.new("size_t *", size)
    lib.secp256k1_ec_pubkey_serialize(_static, out, length, key, _COMPRESSED if compressed else _UNCOMPRESSED)
    return bytes(ffi.buffer(out, size))


def is_valid_pubkey(pubkey: bytes) -> bool:
    """Whether pubkey, compressed, uncompressed or hybrid, is a point of the curve."""
    return _parse_pubkey(pubkey) is not None


def is_valid_xonly(xonly: bytes) -> bool:
    """Whether 32 bytes are the X of a point of the curve."""
    return _parse_xonly(xonly) is not None


def convert_pubkey(pubkey: bytes, compressed: bool) -> bytes | None:
    """pubkey in the other form; None if it is no point."""
    key = _parse_pubkey(pubkey)
    return None if key is None else _serialize(key, compressed)


def pubkey_tweak_add(pubkey: bytes, tweak: bytes, compressed: bool = True) -> bytes | None:
    """pubkey plus tweak (32 bytes) times the generator; None if that is no key."""
    key = _decode_pubkey(pubkey)  # one of its own, since it is changed
    if key is None or len(tweak) != 32 or not lib.secp256k1_ec_pubkey_tweak_add(_static, key, tweak):
        return None
    return _serialize(key, compressed)


def xonly_tweak_add(xonly: bytes, tweak: bytes) -> tuple[bytes, int] | None:
    """(X, parity of Y) of the point with X xonly and even Y, plus tweak times the generator; None if none."""
    key = _parse_xonly(xonly)
    out = ffi.new("secp256k1_pubkey *")
    if key is None or len(tweak) != 32:
        return None
    if not lib.secp256k1_xonly_pubkey_tweak_add(_static, out, key, tweak):
        return None
    point = _serialize(out, True)
    return point[1:], point[0] & 1


def pubkey_combine(pubkeys: list[bytes]) -> bytes | None:
    """The sum of the points; None if one is no key or the sum is infinity."""
    keys = [_parse_pubkey(pubkey) for pubkey in pubkeys]
    if not keys or None in keys:
        return None
    out = ffi.new("secp256k1_pubkey *")
    if not lib.secp256k1_ec_pubkey_combine(_static, out, keys, len(keys)):
        return None
    return _serialize(out, True)


# --- secret keys ------------------------------------------------------------------------------------


@cache
def _signing() -> Any:
    """A context that can sign; made when first asked for, since a node without keys needs none."""
    return ffi.gc(
        lib.secp256k1_context_create(lib.SECP256K1_CONTEXT_NONE), lib.secp256k1_context_destroy, size=1024
    )


def blind(seed32: bytes) -> None:
    """Blind signing against side channels with 32 random bytes. At start, before any thread signs."""
    if len(seed32) != 32:
        raise ValueError("a seed has 32 bytes")
    lib.secp256k1_context_randomize(_signing(), seed32)


def is_valid_seckey(seckey: bytes) -> bool:
    """Whether seckey is 32 bytes, not zero, below the group order."""
    return len(seckey) == 32 and bool(lib.secp256k1_ec_seckey_verify(_static, seckey))


def _require_seckey(seckey: bytes, msg32: bytes = bytes(32)) -> None:
    if not is_valid_seckey(seckey):
        raise ValueError("not a secret key")
    if len(msg32) != 32:
        raise ValueError("what is signed has 32 bytes")


def pubkey_of(seckey: bytes, compressed: bool = True) -> bytes:
    """The public key; ValueError if seckey is none."""
    _require_seckey(seckey)
    key = ffi.new("secp256k1_pubkey *")
    lib.secp256k1_ec_pubkey_create(_signing(), key, seckey)
    return _serialize(key, compressed)


def seckey_tweak_add(seckey: bytes, tweak: bytes) -> bytes | None:
    """seckey plus tweak modulo the group order; None if that is no key."""
    if not is_valid_seckey(seckey) or len(tweak) != 32:
        return None
    key = ffi.new("unsigned char[32]", seckey)
    if not lib.secp256k1_ec_seckey_tweak_add(_static, key, tweak):
        return None
    return bytes(ffi.buffer(key, 32))


def seckey_negate(seckey: bytes) -> bytes:
    """The secret key of the point with the other Y; ValueError if seckey is none."""
    _require_seckey(seckey)
    return (CURVE_ORDER - int.from_bytes(seckey, "big")).to_bytes(32, "big")


def sign_ecdsa(seckey: bytes, msg32: bytes, grind: bool = True) -> bytes:
    """Strict DER with low S and, where grind is set, an R of at most 32 bytes, as Core's CKey::Sign makes it.

    The nonce is RFC 6979; grinding adds a counter, 32 bytes little-endian, until R is short.
    """
    _require_seckey(seckey, msg32)
    sig, counter, extra = ffi.new("secp256k1_ecdsa_signature *"), 0, ffi.NULL
    compact = ffi.new("unsigned char[64]")
    while True:
        lib.secp256k1_ecdsa_sign(_signing(), sig, msg32, seckey, lib.secp256k1_nonce_function_rfc6979, extra)
        lib.secp256k1_ecdsa_signature_serialize_compact(_static, compact, sig)
        if not grind or compact[0] < 0x80:
            break
        counter += 1
        extra = ffi.new("unsigned char[32]", counter.to_bytes(32, "little"))
    out, size = ffi.new("unsigned char[72]"), ffi.new("size_t *", 72)
    lib.secp256k1_ecdsa_signature_serialize_der(_static, out, size, sig)
    return bytes(ffi.buffer(out, size[0]))


def sign_schnorr(seckey: bytes, msg32: bytes, aux32: bytes = bytes(32)) -> bytes:
    """BIP 340, 64 bytes. aux32: randomness that the nonce takes in; zeros are right too."""
    _require_seckey(seckey, msg32)
    if len(aux32) != 32:
        raise ValueError("auxiliary randomness has 32 bytes")
    pair, out = ffi.new("secp256k1_keypair *"), ffi.new("unsigned char[64]")
    lib.secp256k1_keypair_create(_signing(), pair, seckey)
    lib.secp256k1_schnorrsig_sign32(_signing(), out, msg32, pair, aux32)
    return bytes(ffi.buffer(out, 64))


def sign_recoverable(seckey: bytes, msg32: bytes, compressed: bool = True) -> bytes:
    """65 bytes: 27 + which of four keys + 4 if compressed, then R and S (Core SignCompact, signmessage)."""
    _require_seckey(seckey, msg32)
    sig = ffi.new("secp256k1_ecdsa_recoverable_signature *")
    nonce = lib.secp256k1_nonce_function_rfc6979
    lib.secp256k1_ecdsa_sign_recoverable(_signing(), sig, msg32, seckey, nonce, ffi.NULL)
    out, which = ffi.new("unsigned char[64]"), ffi.new("int *")
    lib.secp256k1_ecdsa_recoverable_signature_serialize_compact(_static, out, which, sig)
    return bytes((27 + which[0] + (4 if compressed else 0),)) + bytes(ffi.buffer(out, 64))


def recover(sig65: bytes, msg32: bytes) -> bytes | None:
    """The public key that made sig65 (see sign_recoverable), in the form it names; None if there is none."""
    if len(sig65) != 65 or len(msg32) != 32:
        return None
    header = sig65[0] - 27 & 0xFF
    sig, key = ffi.new("secp256k1_ecdsa_recoverable_signature *"), ffi.new("secp256k1_pubkey *")
    parse = lib.secp256k1_ecdsa_recoverable_signature_parse_compact
    if not parse(_static, sig, sig65[1:], header & 3):
        return None
    if not lib.secp256k1_ecdsa_recover(_static, key, sig, msg32):
        return None
    return _serialize(key, bool(header & 4))


# --- BIP 324 ----------------------------------------------------------------------------------------


def ellswift_create(seckey: bytes, entropy32: bytes) -> bytes:
    """The public key as 64 bytes that look random (ElligatorSwift)."""
    _require_seckey(seckey)
    if len(entropy32) != 32:
        raise ValueError("entropy has 32 bytes")
    out = ffi.new("unsigned char[64]")
    lib.secp256k1_ellswift_create(_signing(), out, seckey, entropy32)
    return bytes(ffi.buffer(out, 64))


def ellswift_decode(ell64: bytes) -> bytes:
    """The compressed public key that 64 bytes stand for; any 64 bytes stand for one."""
    if len(ell64) != 64:
        raise ValueError("an ElligatorSwift key has 64 bytes")
    key = ffi.new("secp256k1_pubkey *")
    lib.secp256k1_ellswift_decode(_static, key, ell64)
    return _serialize(key, True)


def ellswift_xdh(initiator64: bytes, responder64: bytes, seckey: bytes, initiating: bool) -> bytes:
    """The shared secret of BIP 324, 32 bytes. seckey is the initiator's if initiating."""
    _require_seckey(seckey)
    if len(initiator64) != 64 or len(responder64) != 64:
        raise ValueError("an ElligatorSwift key has 64 bytes")
    out, hash_function = ffi.new("unsigned char[32]"), lib.secp256k1_ellswift_xdh_hash_function_bip324
    party = 0 if initiating else 1
    lib.secp256k1_ellswift_xdh(_static, out, initiator64, responder64, seckey, party, hash_function, ffi.NULL)
    return bytes(ffi.buffer(out, 32))
