"""Keys, and signatures made while a script runs: items that hold a place are signed by the check."""

from __future__ import annotations

import hashlib
import random

from pybitcoind.chain.primitives.transaction import Transaction, TxOut
from pybitcoind.chain.script import secp
from pybitcoind.chain.script.checker import TxChecker
from pybitcoind.chain.script.errors import ScriptError
from pybitcoind.chain.script.machine import ExecutionData, SignatureChecker, SigVersion
from pybitcoind.chain.script.sighash import TxDigests, legacy_sighash, segwit_v0_sighash, taproot_sighash

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KEYS = [hashlib.sha256(b"key %d" % n).digest() for n in range(4)]
PUBKEYS = [secp.pubkey_of(key) for key in KEYS]
LONG_PUBKEYS = [secp.pubkey_of(key, compressed=False) for key in KEYS]
HYBRID_PUBKEYS = [bytes((6 + (key[-1] & 1),)) + key[1:] for key in LONG_PUBKEYS]
X_ONLY = [key[1:] for key in PUBKEYS]
SECRETS = {
    pubkey: secret
    for forms in (PUBKEYS, LONG_PUBKEYS, HYBRID_PUBKEYS, X_ONLY)
    for pubkey, secret in zip(forms, KEYS, strict=True)
}
BAD_PUBKEYS = [
    b"",
    b"\x02",
    b"\x02" + bytes(32),  # no point has this X
    b"\x05" + PUBKEYS[0][1:],
    PUBKEYS[0][:-1],
    PUBKEYS[0] + b"\0",
    bytes((13 - HYBRID_PUBKEYS[0][0],)) + HYBRID_PUBKEYS[0][1:],  # its parity is the other one
    b"\x04" + LONG_PUBKEYS[0][1:-1] + b"\0",
    bytes(32),
    b"\xff" * 32,
    X_ONLY[0] + b"\0",
]
"""What keys may not be; in a tapscript some of them are of a kind that is not known yet."""
INTERNAL = X_ONLY[0]
ONE = b"\x01" + bytes(31)
SIG_OF_ONE = secp.sign_ecdsa(KEYS[1], ONE) + b"\x03"
"""Signs an input that SIGHASH_SINGLE finds no output for, and may stand in the script itself."""

HASH_TYPES = (0, 1, 1, 1, 1, 2, 3, 4, 0x1F, 0x21, 0x41, 0x80, 0x81, 0x82, 0x83, 0x84, 0xC1, 0xFF)
TAPROOT_TYPES = (0, 0, 0, 0, 1, 2, 3, 0x81, 0x82, 0x83)
BAD_TAPROOT_TYPES = (4, 0x80, 0x84, 0xFF)


class Signer(SignatureChecker):
    """Says yes to placeholders, `b"sig ..."`, and remembers the signature that each should have been.

    wanted: placeholder to the one key that signs it; others sign by the first that asks.
    """

    def __init__(
        self,
        rng: random.Random,
        tx: Transaction,
        index: int,
        spent: list[TxOut],
        wanted: dict[bytes, bytes] | None = None,
    ) -> None:
        self.rng, self.tx, self.index, self.spent = rng, tx, index, spent
        self.wanted = wanted or {}
        self.made: dict[bytes, bytes] = {}
        self.real = TxChecker(tx, index, spent[index].value, TxDigests(tx, spent))

    def check_ecdsa(self, sig: bytes, pubkey: bytes, script_code: bytes, version: SigVersion) -> bool:
        if not sig.startswith(b"sig ") or pubkey not in SECRETS:
            return self.real.check_ecdsa(sig, pubkey, script_code, version)
        if sig in self.made or self.wanted.get(sig, pubkey) != pubkey:
            return False
        hash_type = self.rng.choice(HASH_TYPES)
        if version is SigVersion.BASE:
            digest = legacy_sighash(script_code, self.tx, self.index, hash_type)
        else:
            amount = self.spent[self.index].value
            digest = segwit_v0_sighash(script_code, self.tx, self.index, hash_type, amount)
        self.made[sig] = deformed(self.rng, secp.sign_ecdsa(SECRETS[pubkey], digest)) + bytes((hash_type,))
        return True

    def check_schnorr(
        self, sig: bytes, pubkey: bytes, version: SigVersion, execution: ExecutionData
    ) -> ScriptError | None:
        if not sig.startswith(b"sig ") or pubkey not in SECRETS:
            return self.real.check_schnorr(sig, pubkey, version, execution)
        hash_type = self.rng.choice(TAPROOT_TYPES)
        digest = taproot_sighash(
            self.tx,
            self.index,
            hash_type,
            self.real.digests,
            annex_hash=execution.annex_hash,
            leaf_hash=execution.leaf_hash,
            code_separator_pos=execution.code_separator_pos,
        )
        if digest is None:
            return ScriptError.SCHNORR_SIG_HASHTYPE
        self.made[sig] = schnorr(self.rng, SECRETS[pubkey], digest, hash_type)
        return None

    def check_lock_time(self, lock_time: int) -> bool:
        return self.real.check_lock_time(lock_time)

    def check_sequence(self, sequence: int) -> bool:
        return self.real.check_sequence(sequence)


def schnorr(rng: random.Random, secret: bytes, digest: bytes, hash_type: int) -> bytes:
    """A signature as it stands in a witness; a few are damaged."""
    sig = secp.sign_schnorr(secret, digest) + (bytes((hash_type,)) if hash_type else b"")
    kind = rng.randrange(60)
    if kind == 1:
        return sig[:64] + bytes((rng.choice((0, *BAD_TAPROOT_TYPES, *TAPROOT_TYPES)),))
    if kind == 2:
        return sig[: rng.choice((1, 32, 63, 64))]
    if kind == 3:
        return sig + b"\0"
    if kind == 4:
        return bytes(32) + sig[32:]
    if kind == 5:
        return sig[:32] + ORDER.to_bytes(32, "big") + sig[64:]
    return sig


# --- signatures of odd form -------------------------------------------------------------------------


def deformed(rng: random.Random, sig: bytes) -> bytes:
    """A strict DER signature, a few times written otherwise: still good by the lax rules, or not any more."""
    if rng.randrange(8) != 1:
        return sig
    r_size = sig[3]
    r, s = sig[4 : 4 + r_size], sig[6 + r_size :]
    kind = rng.randrange(20)
    if kind == 0:
        return encoded(r, (ORDER - int.from_bytes(s, "big")).to_bytes(33, "big"))
    if kind == 1:
        return encoded(b"\0" * rng.randrange(1, 4) + r, s)
    if kind == 2:
        return encoded(r, b"\0" * rng.randrange(1, 40) + s)
    if kind == 3:  # negative by its first bit, positive by the lax rules
        return encoded(r.lstrip(b"\0"), (ORDER - int.from_bytes(s, "big")).to_bytes(32, "big"))
    if kind == 4:
        return sig + rng.randbytes(rng.randrange(1, 4))
    if kind == 5:
        return sig[:1] + bytes((rng.randrange(256),)) + sig[2:]
    if kind == 6:
        return encoded(r, s, whole=b"\x81" + bytes((len(r) + len(s) + 4,)))
    if kind == 7:
        width = rng.randrange(1, 5)
        return encoded(r, s, size_of_r=bytes((0x80 | width,)) + len(r).to_bytes(width, "big"))
    if kind == 8:
        return encoded(r, s, size_of_s=b"\x84\0\0\0" + bytes((len(s),)))
    if kind == 9:
        return encoded(r, s, size_of_s=b"\x80")
    if kind == 10:
        return encoded(rng.choice((b"", b"\0", b"\x01")), s)
    if kind == 11:
        return encoded(r, rng.choice((b"", b"\0", b"\x01")))
    if kind == 12:
        return encoded(b"\0" + (ORDER + rng.randrange(3) - 1).to_bytes(32, "big"), s)
    if kind == 13:
        return encoded(r, b"\0" + (ORDER + rng.randrange(3) - 1).to_bytes(32, "big"))
    if kind == 14:
        return encoded(b"\0" + b"\xff" * 32, s)
    if kind == 15:
        return sig[: rng.randrange(len(sig))]
    if kind == 16:
        return b""
    if kind == 17:
        return encoded(b"\x01" + r.rjust(33, b"\0"), s)
    at = rng.randrange(len(sig))
    return sig[:at] + bytes((sig[at] ^ 1 << rng.randrange(8),)) + sig[at + 1 :]


def encoded(
    r: bytes, s: bytes, *, whole: bytes | None = None, size_of_r: bytes = b"", size_of_s: bytes = b""
) -> bytes:
    """30 whole 02 size R 02 size S."""
    body = b"\x02" + (size_of_r or bytes((len(r),))) + r + b"\x02" + (size_of_s or bytes((len(s),))) + s
    return b"\x30" + (bytes((len(body) & 0xFF,)) if whole is None else whole) + body
