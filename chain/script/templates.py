"""Short cuts for the common forms: straight from the bytes to the signature checks, past the interpreter.

A template only ever says yes, provided that the claims it makes hold: signatures, which the caller checks
many at a time. Where anything is unusual, a claim does not hold, or some flag might forbid a form, it says
"not mine": the interpreter decides then, and names the error. So each template asks for what the strictest
flags ask, whatever the flags; all that is to be proved is that the interpreter would accept too.

The form of an ECDSA signature is not looked at here: a claim holds for strict DER only. Script paths of
taproot are in templates_taproot.py.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from ..primitives.hashes import hash160, sha256
from ..primitives.serialize import var_bytes
from ..primitives.transaction import Transaction
from .encoding import HASH_TYPE_NAMES, SIGHASH_ALL
from .flags import ScriptFlags
from .opcodes import OP_0, OP_1, OP_CHECKMULTISIG
from .script import MAX_SCRIPT_ELEMENT_SIZE, ScriptParseError, is_minimal_push, is_p2pk, read_op
from .secp import ECDSA, LOW_S, SCHNORR, Claim, unproven, verify_ecdsa_der
from .sighash import TxDigests, legacy_digest, segwit_v0_sighash, taproot_sighash
from .templates_taproot import script_path

_LOW_S: Final = int(ScriptFlags.LOW_S)
_P2SH: Final = int(ScriptFlags.P2SH)
_P2SH_WITNESS: Final = int(ScriptFlags.P2SH | ScriptFlags.WITNESS)
_P2SH_WITNESS_TAPROOT: Final = int(ScriptFlags.P2SH | ScriptFlags.WITNESS | ScriptFlags.TAPROOT)

_sha256: Final = hashlib.sha256
_u32: Final = struct.Struct("<I").pack
_key_hash_part: Final = struct.Struct("<32sI4s20s2sqI").pack
"""Outpoint, script code of a key hash, amount and sequence: what BIP 143 puts in the middle."""

_LEAST_SIG: Final = 26
_MOST_SIG: Final = 73
"""A shorter one could stand in a P2PKH script and be cut out of what it signs; none longer is strict DER."""

_new: Final = tuple.__new__


def accepts(tx: Transaction, index: int, value: int, script: bytes, flags: int, digests: TxDigests) -> bool:
    """Whether input index is of a common form and satisfies script. False decides nothing.

    value, script: of the output spent. flags: a plain int.
    """
    claims: list[Claim] = []
    return accepts_if(tx, index, value, script, flags, digests, claims, None) and not unproven(claims)


def accepts_if(
    tx: Transaction,
    index: int,
    value: int,
    script: bytes,
    flags: int,
    digests: TxDigests,
    claims: list[Claim],
    owner: Any,
) -> bool:
    """Whether input index is of a common form and satisfies script if the claims it adds hold.

    False decides nothing and adds nothing. owner: goes into the claims.
    """
    size, kind = len(script), LOW_S if flags & _LOW_S else ECDSA
    if size == 22:
        if script[:2] == b"\x00\x14" and flags & _P2SH_WITNESS == _P2SH_WITNESS and not tx.vin[index][1]:
            return _key_hash_v0(tx, index, value, script[2:], kind, digests, claims, owner)
    elif size == 34:
        if flags & _P2SH_WITNESS == _P2SH_WITNESS and not tx.vin[index][1]:
            if script[:2] == b"\x51\x20":
                if flags & _P2SH_WITNESS_TAPROOT != _P2SH_WITNESS_TAPROOT or digests.spent is None:
                    return False
                stack = tx.witness[index] if tx.witness else ()
                if len(stack) == 1:
                    return _taproot_key_path(tx, index, script[2:], stack[0], digests, claims, owner)
                return script_path(tx, index, script[2:], stack, digests, claims, owner)
            if script[:2] == b"\x00\x20":
                return _multisig_v0(tx, index, value, script[2:], flags, digests)
    elif size == 25:
        if script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
            return _p2pkh(tx, index, script, kind, digests, claims, owner)
    elif size == 23 and script[:2] == b"\xa9\x14" and script[22] == 0x87:
        script_sig = tx.vin[index][1]
        if len(script_sig) == 23 and script_sig[:3] == b"\x16\x00\x14":
            return (
                flags & _P2SH_WITNESS == _P2SH_WITNESS
                and hash160(script_sig[1:]) == script[2:22]
                and _key_hash_v0(tx, index, value, script_sig[3:], kind, digests, claims, owner)
            )
        if len(script_sig) == 35 and script_sig[:3] == b"\x22\x00\x20":
            return (
                flags & _P2SH_WITNESS == _P2SH_WITNESS
                and hash160(script_sig[1:]) == script[2:22]
                and _multisig_v0(tx, index, value, script_sig[3:], flags, digests)
            )
        return _p2sh_multisig(tx, index, script[2:22], flags, digests)
    elif size > 36 and script[-1] == OP_CHECKMULTISIG:
        return _bare_multisig(tx, index, script, flags, digests)
    elif is_p2pk(script):
        return _p2pk(tx, index, script, kind, digests, claims, owner)
    return False


def _key_hash_v0(
    tx: Transaction,
    index: int,
    value: int,
    program: bytes,
    kind: int,
    digests: TxDigests,
    claims: list[Claim],
    owner: Any,
) -> bool:
    """P2WPKH, bare or in P2SH: a signature and a compressed key."""
    stack = tx.witness[index] if tx.witness else ()
    if len(stack) != 2:
        return False
    sig, pubkey = stack
    if len(pubkey) != 33 or len(sig) < _LEAST_SIG or hash160(pubkey) != program:
        return False
    if sig[-1] == SIGHASH_ALL:
        head, tail = digests.v0_all()
        (txid, vout), _, sequence = tx.vin[index]
        middle = _key_hash_part(txid, vout, b"\x19\x76\xa9\x14", program, b"\x88\xac", value, sequence)
        digest = _sha256(_sha256(head + middle + tail).digest()).digest()
    elif sig[-1] in HASH_TYPE_NAMES:
        code = b"\x76\xa9\x14" + program + b"\x88\xac"
        digest = segwit_v0_sighash(code, tx, index, sig[-1], value, digests)
    else:
        return False
    claims.append(_new(Claim, (kind, pubkey, sig, digest, owner)))
    return True


def _p2pkh(
    tx: Transaction, index: int, script: bytes, kind: int, digests: TxDigests, claims: list[Claim], owner: Any
) -> bool:
    """P2PKH: a push of a signature, a push of a key, no witness."""
    if tx.witness and tx.witness[index]:
        return False
    script_sig = tx.vin[index][1]
    if len(script_sig) < _LEAST_SIG or not _LEAST_SIG <= script_sig[0] <= _MOST_SIG:
        return False
    sig_end = 1 + script_sig[0]
    sig, pubkey = script_sig[1:sig_end], script_sig[sig_end + 1 :]
    key_size = len(pubkey)
    if key_size != 33 and (key_size != 65 or pubkey[0] != 4):
        return False
    if script_sig[sig_end] != key_size or sig[-1] not in HASH_TYPE_NAMES or hash160(pubkey) != script[3:23]:
        return False
    digest = legacy_digest(b"\x19" + script, tx, index, sig[-1], digests)
    claims.append(_new(Claim, (kind, pubkey, sig, digest, owner)))
    return True


def _p2pk(
    tx: Transaction, index: int, script: bytes, kind: int, digests: TxDigests, claims: list[Claim], owner: Any
) -> bool:
    """P2PK: a push of a signature, no witness. No signature looks like the key in the script."""
    if tx.witness and tx.witness[index]:
        return False
    script_sig, pubkey = tx.vin[index][1], script[1:-1]
    size = len(script_sig) - 1
    if not _LEAST_SIG <= size <= _MOST_SIG or script_sig[0] != size or pubkey[0] not in (2, 3, 4):
        return False
    sig = script_sig[1:]
    if sig[-1] not in HASH_TYPE_NAMES:
        return False
    digest = legacy_digest(b"%c%b" % (len(script), script), tx, index, sig[-1], digests)
    claims.append(_new(Claim, (kind, pubkey, sig, digest, owner)))
    return True


# --- several signatures -------------------------------------------------------------------------------


def _multisig_v0(
    tx: Transaction, index: int, value: int, program: bytes, flags: int, digests: TxDigests
) -> bool:
    """P2WSH of a multisig, bare or in P2SH: an empty item, the signatures, the script."""
    stack = tx.witness[index] if tx.witness else ()
    if len(stack) < 3 or stack[0]:
        return False
    script = stack[-1]
    keys = _multisig_keys(script, len(stack) - 2, compressed=True)
    if not keys or sha256(script) != program:
        return False
    return _match(
        stack[1:-1],
        keys,
        flags,
        lambda hash_type: segwit_v0_sighash(script, tx, index, hash_type, value, digests),
    )


def _bare_multisig(tx: Transaction, index: int, script: bytes, flags: int, digests: TxDigests) -> bool:
    """A multisig as it is: OP_0, pushes of the signatures, no witness."""
    pushes = _pushes_behind_zero(tx, index)
    keys = pushes and _multisig_keys(script, len(pushes), compressed=False)
    if not pushes or not keys:
        return False
    code = var_bytes(script)
    return _match(pushes, keys, flags, lambda hash_type: legacy_digest(code, tx, index, hash_type, digests))


def _p2sh_multisig(tx: Transaction, index: int, script_hash: bytes, flags: int, digests: TxDigests) -> bool:
    """P2SH of a multisig: OP_0, pushes of the signatures and of the script, no witness."""
    pushes = _pushes_behind_zero(tx, index) if flags & _P2SH else None
    if not pushes or len(pushes) < 2:
        return False
    script = pushes.pop()
    keys = _multisig_keys(script, len(pushes), compressed=False)
    if not keys or len(script) > MAX_SCRIPT_ELEMENT_SIZE or hash160(script) != script_hash:
        return False
    code = var_bytes(script)
    return _match(pushes, keys, flags, lambda hash_type: legacy_digest(code, tx, index, hash_type, digests))


def _pushes_behind_zero(tx: Transaction, index: int) -> list[bytes] | None:
    """What the script of an input without witness pushes after OP_0; None if it does anything else."""
    script_sig = tx.vin[index][1]
    if not script_sig or script_sig[0] != OP_0 or (tx.witness and tx.witness[index]):
        return None
    pushes, pos, end = [], 1, len(script_sig)
    try:
        while pos < end:
            size = script_sig[pos]
            if 2 <= size <= 75:  # one byte could be a number, which is pushed otherwise
                start, pos = pos + 1, pos + 1 + size
                if pos > end:
                    return None
                pushes.append(script_sig[start:pos])
                continue
            opcode, data, pos = read_op(script_sig, pos)
            if data is None or not is_minimal_push(data, opcode):
                return None
            pushes.append(data)
    except ScriptParseError:
        return None
    return pushes


def _multisig_keys(script: bytes, required: int, compressed: bool) -> list[bytes] | None:
    """The keys of m <key>... n OP_CHECKMULTISIG, m and n up to 16, if m is required; else None.

    compressed: only compressed keys will do; else uncompressed ones too. No signature looks like such a key,
    so none stands in the script to be cut out of it.
    """
    end = len(script) - 2
    if (
        end < 35
        or script[-1] != OP_CHECKMULTISIG
        or not 1 <= required <= 16
        or script[0] != OP_1 - 1 + required
    ):
        return None
    keys, pos = [], 1
    while pos < end:
        size, first = script[pos], script[pos + 1]
        if not (size == 33 and first in (2, 3)) and (compressed or size != 65 or first != 4):
            return None
        keys.append(script[pos + 1 : pos + 1 + size])
        pos += 1 + size
    if pos != end or not required <= len(keys) <= 16 or script[-2] != OP_1 - 1 + len(keys):
        return None
    return keys


def _match(sigs: Sequence[bytes], keys: list[bytes], flags: int, digest_of: Callable[[int], bytes]) -> bool:
    """Whether each signature has its key, in the same order.

    From the first on, where the interpreter begins with the last: a match there is, or is not, either way,
    and who signs takes the first keys that he has.
    """
    hashes: dict[int, bytes] = {}
    at, spare, high_s = 0, len(keys) - len(sigs), not flags & _LOW_S
    for sig in sigs:
        if len(sig) < _LEAST_SIG or sig[-1] not in HASH_TYPE_NAMES:
            return False
        hash_type = sig[-1]
        digest = hashes.get(hash_type)
        if digest is None:
            digest = hashes[hash_type] = digest_of(hash_type)
        while not verify_ecdsa_der(keys[at], sig, digest, high_s):
            spare -= 1
            if spare < 0:
                return False
            at += 1
        at += 1
    return True


# --- taproot ------------------------------------------------------------------------------------------


def _taproot_key_path(
    tx: Transaction,
    index: int,
    output_key: bytes,
    sig: bytes,
    digests: TxDigests,
    claims: list[Claim],
    owner: Any,
) -> bool:
    """P2TR by its key and without annex: one signature."""
    if len(sig) == 64:
        hasher = digests.taproot_head(0).copy()
        hasher.update(b"\0" + _u32(index))
        digest: bytes | None = hasher.digest()
    elif len(sig) == 65 and sig[64]:
        digest = taproot_sighash(tx, index, sig[64], digests)
    else:
        return False
    if digest is None:
        return False
    claims.append(_new(Claim, (SCHNORR, output_key, sig, digest, owner)))
    return True
