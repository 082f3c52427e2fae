"""Short cuts for the common forms: straight from the bytes to the signature check, without the interpreter.

A template only ever says yes. Where anything is unusual, a signature fails, or some flag might forbid a form,
it says "not mine": the interpreter decides then, and names the error. So each template asks for what the
strictest flags ask, whatever the flags; all that is to be proved is that the interpreter would accept too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from ..primitives.hashes import hash160, sha256, sha256d
from ..primitives.serialize import var_bytes
from ..primitives.transaction import Transaction
from .encoding import HASH_TYPE_NAMES, SIGHASH_ALL, is_low_s, is_strict_der
from .flags import ScriptFlags
from .opcodes import OP_0, OP_1, OP_CHECKMULTISIG
from .script import MAX_SCRIPT_ELEMENT_SIZE, ScriptParseError, is_minimal_push, read_op
from .secp import verify_ecdsa_strict, verify_schnorr
from .sighash import TxDigests, legacy_digest, segwit_v0_sighash, taproot_sighash

_LOW_S, _P2SH = int(ScriptFlags.LOW_S), int(ScriptFlags.P2SH)
_P2SH_WITNESS = int(ScriptFlags.P2SH | ScriptFlags.WITNESS)
_P2SH_WITNESS_TAPROOT = int(ScriptFlags.P2SH | ScriptFlags.WITNESS | ScriptFlags.TAPROOT)

_u32, _i64 = struct.Struct("<I").pack, struct.Struct("<q").pack

_LEAST_SIG = 26
"""A shorter one could stand in a P2PKH script and be cut out of what it signs. Real ones have 70 bytes."""


def accepts(tx: Transaction, index: int, value: int, script: bytes, flags: int, digests: TxDigests) -> bool:
    """Whether input index is of a common form and satisfies script. False decides nothing.

    value, script: of the output spent. flags: a plain int.
    """
    size = len(script)
    if size == 22:
        if script[:2] == b"\x00\x14" and flags & _P2SH_WITNESS == _P2SH_WITNESS and not tx.vin[index][1]:
            return _key_hash_v0(tx, index, value, script[2:], flags, digests)
    elif size == 25:
        if script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
            return _p2pkh(tx, index, script, flags, digests)
    elif size == 34:
        if flags & _P2SH_WITNESS == _P2SH_WITNESS and not tx.vin[index][1]:
            if script[:2] == b"\x51\x20":
                return (
                    flags & _P2SH_WITNESS_TAPROOT == _P2SH_WITNESS_TAPROOT
                    and digests.spent is not None
                    and _taproot_key_path(tx, index, script[2:], digests)
                )
            if script[:2] == b"\x00\x20":
                return _multisig_v0(tx, index, value, script[2:], flags, digests)
    elif size == 23 and script[:2] == b"\xa9\x14" and script[22] == 0x87:
        script_sig = tx.vin[index][1]
        if len(script_sig) == 23 and script_sig[:3] == b"\x16\x00\x14":
            nested = _key_hash_v0
        elif len(script_sig) == 35 and script_sig[:3] == b"\x22\x00\x20":
            nested = _multisig_v0
        else:
            return _p2sh_multisig(tx, index, script[2:22], flags, digests)
        if flags & _P2SH_WITNESS == _P2SH_WITNESS and hash160(script_sig[1:]) == script[2:22]:
            return nested(tx, index, value, script_sig[3:], flags, digests)
    return False


def _is_good_sig(sig: bytes, flags: int) -> bool:
    """Whether any flags let this form of a signature pass; high S only where LOW_S is off."""
    return (
        len(sig) >= _LEAST_SIG
        and is_strict_der(sig)
        and sig[-1] in HASH_TYPE_NAMES
        and (not flags & _LOW_S or is_low_s(sig))
    )


def _key_hash_v0(
    tx: Transaction, index: int, value: int, program: bytes, flags: int, digests: TxDigests
) -> bool:
    """P2WPKH, bare or in P2SH: a signature and a compressed key."""
    stack = tx.witness[index] if tx.witness else ()
    if len(stack) != 2:
        return False
    sig, pubkey = stack
    if len(pubkey) != 33 or hash160(pubkey) != program or not _is_good_sig(sig, flags):
        return False
    if sig[-1] == SIGHASH_ALL:
        head, tail = digests.v0_all()
        (txid, vout), _, sequence = tx.vin[index]
        middle = b"%b%b\x19\x76\xa9\x14%b\x88\xac%b%b" % (
            txid,
            _u32(vout),
            program,
            _i64(value),
            _u32(sequence),
        )
        digest = sha256d(head + middle + tail)
    else:
        code = b"\x76\xa9\x14" + program + b"\x88\xac"
        digest = segwit_v0_sighash(code, tx, index, sig[-1], value, digests)
    return verify_ecdsa_strict(pubkey, sig[:-1], digest)


def _p2pkh(tx: Transaction, index: int, script: bytes, flags: int, digests: TxDigests) -> bool:
    """P2PKH: a push of a signature, a push of a key, no witness."""
    if tx.witness and tx.witness[index]:
        return False
    script_sig = tx.vin[index][1]
    if len(script_sig) < _LEAST_SIG:
        return False
    sig_end = 1 + script_sig[0]
    sig, pubkey = script_sig[1:sig_end], script_sig[sig_end + 1 :]
    key_size = len(pubkey)
    if key_size == 33:
        pass
    elif key_size != 65 or pubkey[0] != 4:
        return False
    if script_sig[sig_end] != key_size or hash160(pubkey) != script[3:23] or not _is_good_sig(sig, flags):
        return False
    digest = legacy_digest(b"\x19" + script, tx, index, sig[-1], digests)
    return verify_ecdsa_strict(pubkey, sig[:-1], digest)


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


def _p2sh_multisig(tx: Transaction, index: int, script_hash: bytes, flags: int, digests: TxDigests) -> bool:
    """P2SH of a multisig: OP_0, pushes of the signatures and of the script, no witness."""
    if tx.witness and tx.witness[index]:
        return False
    script_sig = tx.vin[index][1]
    if not flags & _P2SH or not script_sig or script_sig[0] != OP_0:
        return False
    pushes, pos = [], 1
    try:
        while pos < len(script_sig):
            opcode, data, pos = read_op(script_sig, pos)
            if data is None or not is_minimal_push(data, opcode):
                return False
            pushes.append(data)
    except ScriptParseError:
        return False
    if len(pushes) < 2:
        return False
    script = pushes.pop()
    keys = _multisig_keys(script, len(pushes), compressed=False)
    if not keys or len(script) > MAX_SCRIPT_ELEMENT_SIZE or hash160(script) != script_hash:
        return False
    code = var_bytes(script)
    return _match(pushes, keys, flags, lambda hash_type: legacy_digest(code, tx, index, hash_type, digests))


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
    at, spare = 0, len(keys) - len(sigs)
    for sig in sigs:
        if not _is_good_sig(sig, flags):
            return False
        hash_type = sig[-1]
        digest = hashes.get(hash_type)
        if digest is None:
            digest = hashes[hash_type] = digest_of(hash_type)
        while not verify_ecdsa_strict(keys[at], sig[:-1], digest):
            spare -= 1
            if spare < 0:
                return False
            at += 1
        at += 1
    return True


def _taproot_key_path(tx: Transaction, index: int, output_key: bytes, digests: TxDigests) -> bool:
    """P2TR by its key and without annex: one signature."""
    stack = tx.witness[index] if tx.witness else ()
    if len(stack) != 1:
        return False
    sig = stack[0]
    if len(sig) == 64:
        hasher = digests.taproot_head(0).copy()
        hasher.update(b"\0" + _u32(index))
        return verify_schnorr(output_key, sig, hasher.digest())
    if len(sig) != 65 or sig[64] == 0:
        return False
    digest = taproot_sighash(tx, index, sig[64], digests)
    return digest is not None and verify_schnorr(output_key, sig[:64], digest)
