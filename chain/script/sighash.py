"""What signatures sign: the legacy hash, BIP 143 and BIP 341; what the inputs of a transaction share is kept.

Hashes are 32 bytes as they go into the signature check. Source: Core src/script/interpreter.cpp.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Final, TypeAlias, final

from ..primitives.hashes import sha256, sha256d
from ..primitives.serialize import compact_size, var_bytes
from ..primitives.transaction import Coin, Transaction, TxOut
from .encoding import SIGHASH_ALL, SIGHASH_ANYONECANPAY, SIGHASH_DEFAULT, SIGHASH_NONE, SIGHASH_SINGLE
from .opcodes import OP_CODESEPARATOR
from .script import ScriptParseError, read_op

SpentOutput: TypeAlias = TxOut | Coin

_u32: Final = struct.Struct("<I").pack
_i64: Final = struct.Struct("<q").pack
_ONE = b"\x01" + bytes(31)
_BLANK_OUTPUT = b"\xff" * 8 + b"\0"
"""An output of -1 satoshi with an empty script."""
_BLANK_INPUT: Final = struct.Struct("<32sIBI")
_BLANK_INPUT_SIZE: Final = _BLANK_INPUT.size
_STEP: Final = 32
"""Inputs between two states that LegacyRun keeps."""
_STEP_SIZE: Final = _STEP * _BLANK_INPUT_SIZE
_TAPSIGHASH: Final = hashlib.sha256(hashlib.sha256(b"TapSighash").digest() * 2)
_OUTPUT_MASK: Final = 3
_BASE_MASK: Final = 0x1F


@final
class TxDigests:
    """Hashes over parts of one transaction that all its inputs sign, each made when first needed.

    spent: the outputs that tx spends, in order of its inputs; None where unknown: no taproot then.
    May be shared by threads: at worst two make the same value.
    """

    # One is made for every transaction of a block, and most need few of these: the class holds the defaults.
    _prevouts: bytes | None = None
    _sequences: bytes | None = None
    _outputs: bytes | None = None
    _amounts: bytes | None = None
    _scripts: bytes | None = None
    _blank: bytes | None = None
    _blank_zero: bytes | None = None
    _v0_all: tuple[bytes, bytes] | None = None
    _legacy_all: LegacyRun | None = None
    _taproot_default: hashlib._Hash | None = None

    def __init__(self, tx: Transaction, spent_outputs: Sequence[SpentOutput] | None = None) -> None:
        if spent_outputs is not None and len(spent_outputs) != tx.input_count:
            raise ValueError("one spent output per input")
        self.tx, self.spent = tx, spent_outputs

    @property
    def prevouts(self) -> bytes:
        """SHA-256 of all outpoints."""
        if self._prevouts is None:
            self._prevouts = sha256(b"".join([txid + _u32(vout) for (txid, vout), _, _ in self.tx.vin]))
        return self._prevouts

    @property
    def sequences(self) -> bytes:
        """SHA-256 of all sequence numbers."""
        if self._sequences is None:
            self._sequences = sha256(b"".join([_u32(sequence) for _, _, sequence in self.tx.vin]))
        return self._sequences

    @property
    def outputs(self) -> bytes:
        """SHA-256 of all outputs."""
        if self._outputs is None:
            self._outputs = sha256(self.tx.output_bytes)
        return self._outputs

    def take_outputs_of(self, other: TxDigests) -> None:
        """For a transaction that has the same outputs as the other."""
        self._outputs = other.outputs

    @property
    def amounts(self) -> bytes:
        """SHA-256 of the amounts spent."""
        if self._amounts is None:
            assert self.spent is not None
            self._amounts = sha256(b"".join([_i64(out[0]) for out in self.spent]))
        return self._amounts

    @property
    def scripts(self) -> bytes:
        """SHA-256 of the scripts spent, each behind its length."""
        if self._scripts is None:
            assert self.spent is not None
            self._scripts = sha256(b"".join([var_bytes(out[1]) for out in self.spent]))
        return self._scripts

    def blank_inputs(self, keep_sequence: bool) -> bytes:
        """All inputs with empty scripts, 41 bytes each; sequence numbers kept, or zero."""
        blank = self._blank if keep_sequence else self._blank_zero
        if blank is None:
            vin, pack = self.tx.vin, _BLANK_INPUT.pack
            if keep_sequence:
                blank = b"".join([pack(txid, vout, 0, sequence) for (txid, vout), _, sequence in vin])
                self._blank = blank
            else:
                blank = self._blank_zero = b"".join([pack(txid, vout, 0, 0) for (txid, vout), _, _ in vin])
        return blank

    def v0_all(self) -> tuple[bytes, bytes]:
        """What BIP 143 with SIGHASH_ALL puts before and behind the part of the input."""
        if self._v0_all is None:
            tx = self.tx
            self._v0_all = (
                _u32(tx.version) + sha256(self.prevouts) + sha256(self.sequences),
                sha256(self.outputs) + _u32(tx.locktime) + b"\x01\0\0\0",
            )
        return self._v0_all

    def legacy_all(self) -> LegacyRun:
        """For the legacy hash with SIGHASH_ALL."""
        run = self._legacy_all
        if run is None:
            run = self._legacy_all = LegacyRun(self)
        return run

    def taproot_head(self, hash_type: int) -> hashlib._Hash:
        """BIP 341's hash, fed up to the spend type; copy it before feeding on. hash_type is a defined one."""
        if hash_type == SIGHASH_DEFAULT and self._taproot_default is not None:
            return self._taproot_default
        tx = self.tx
        parts = [bytes((0, hash_type)), _u32(tx.version), _u32(tx.locktime)]
        if not hash_type & SIGHASH_ANYONECANPAY:
            parts += [self.prevouts, self.amounts, self.scripts, self.sequences]
        if hash_type & _OUTPUT_MASK in (SIGHASH_DEFAULT, SIGHASH_ALL):
            parts.append(self.outputs)
        head = _TAPSIGHASH.copy()
        head.update(b"".join(parts))
        if hash_type == SIGHASH_DEFAULT:
            self._taproot_default = head
        return head


@final
class LegacyRun:
    """The legacy hash with SIGHASH_ALL, for all inputs of a transaction.

    Each input signs all of the transaction, with the scripts of all inputs but its own left out: the work is
    quadratic. What stands before an input is a longer and longer beginning of the same bytes, so it is hashed
    once, and the state is kept every so many inputs to go on from.
    """

    def __init__(self, digests: TxDigests) -> None:
        tx = digests.tx
        blank = digests.blank_inputs(True)
        outputs = compact_size(len(tx.vout)) + tx.output_bytes
        self._all = b"".join((blank, outputs, _u32(tx.locktime), b"\x01\0\0\0"))
        hasher = hashlib.sha256(_u32(tx.version) + compact_size(len(tx.vin)))
        self._states = [hasher]
        for at in range(_STEP_SIZE, len(blank), _STEP_SIZE):
            hasher = hasher.copy()
            hasher.update(blank[at - _STEP_SIZE : at])
            self._states.append(hasher)

    def digest(self, index: int, code: bytes) -> bytes:
        """Of input index. code: the script code behind its length."""
        every, step = self._all, index // _STEP
        hasher = self._states[step].copy()
        end = (index + 1) * _BLANK_INPUT_SIZE
        before = every[step * _STEP_SIZE : end - _BLANK_INPUT_SIZE + 36]
        if len(every) < 4096:
            hasher.update(b"".join((before, code, every[end - 4 :])))
        else:  # nothing is copied, and the interpreter's lock is free meanwhile
            hasher.update(before + code)
            hasher.update(memoryview(every)[end - 4 :])
        return sha256(hasher.digest())


def legacy_sighash(
    script_code: bytes, tx: Transaction, index: int, hash_type: int, digests: TxDigests | None = None
) -> bytes:
    """What a signature outside witnesses signs. hash_type: int32, of which the signature holds the low byte.

    SIGHASH_SINGLE without an output at index signs the number one: a bug of 2009, and consensus.
    """
    return legacy_digest(_serialize_code(script_code), tx, index, hash_type, digests)


def legacy_digest(
    code: bytes, tx: Transaction, index: int, hash_type: int, digests: TxDigests | None = None
) -> bytes:
    """legacy_sighash of a script code that is serialized: without separators, its length in front."""
    kind = hash_type & _BASE_MASK
    if kind == SIGHASH_SINGLE and index >= len(tx.vout):
        return _ONE
    if digests is None:
        digests = TxDigests(tx)
    if hash_type == SIGHASH_ALL:
        return digests.legacy_all().digest(index, code)
    keep_sequence = kind not in (SIGHASH_NONE, SIGHASH_SINGLE)
    blank = digests.blank_inputs(keep_sequence)
    at = index * _BLANK_INPUT_SIZE
    own = blank[at : at + 36], code, _u32(tx.vin[index].sequence)
    inputs: tuple[bytes, ...]
    if hash_type & SIGHASH_ANYONECANPAY:
        inputs = (b"\x01", *own)
    else:
        inputs = (compact_size(len(tx.vin)), blank[:at], *own, blank[at + _BLANK_INPUT_SIZE :])
    if kind == SIGHASH_NONE:
        outputs = b"\0"
    elif kind == SIGHASH_SINGLE:
        outputs = compact_size(index + 1) + _BLANK_OUTPUT * index + tx.vout[index].serialize()
    else:
        outputs = compact_size(len(tx.vout)) + tx.output_bytes
    tail = _u32(tx.locktime) + _u32(hash_type & 0xFFFFFFFF)
    return sha256d(b"".join((_u32(tx.version), *inputs, outputs, tail)))


def _serialize_code(script: bytes) -> bytes:
    """script behind its length, without its OP_CODESEPARATORs.

    Of a script whose last push is cut short, the bytes behind the failed op are left out, though the length
    counts them: so Core writes it. Such a script fails in the end, but its signatures are looked at first.
    """
    parts, start, pos = [], 0, 0
    while pos < len(script):
        try:
            opcode, _, pos = read_op(script, pos)
        except ScriptParseError:
            pos = min(len(script), pos + 1 + {76: 1, 77: 2, 78: 4}.get(script[pos], 0))
            break
        if opcode == OP_CODESEPARATOR:
            parts.append(script[start : pos - 1])
            start = pos
    size = compact_size(len(script) - len(parts))
    return b"".join((size, *parts, script[start:pos]))


def segwit_v0_sighash(
    script_code: bytes,
    tx: Transaction,
    index: int,
    hash_type: int,
    amount: int,
    digests: TxDigests | None = None,
) -> bytes:
    """What a signature in a version 0 witness signs (BIP 143). amount: satoshis of the output spent."""
    if digests is None:
        digests = TxDigests(tx)
    (txid, vout), _, sequence = tx.vin[index]
    middle = txid + _u32(vout) + var_bytes(script_code) + _i64(amount) + _u32(sequence)
    if hash_type == SIGHASH_ALL:
        head, tail = digests.v0_all()
        return sha256d(head + middle + tail)
    kind = hash_type & _BASE_MASK
    prevouts = sequences = outputs = bytes(32)
    if not hash_type & SIGHASH_ANYONECANPAY:
        prevouts = sha256(digests.prevouts)
        if kind not in (SIGHASH_SINGLE, SIGHASH_NONE):
            sequences = sha256(digests.sequences)
    if kind not in (SIGHASH_SINGLE, SIGHASH_NONE):
        outputs = sha256(digests.outputs)
    elif kind == SIGHASH_SINGLE and index < len(tx.vout):
        outputs = sha256d(tx.vout[index].serialize())
    tail = outputs + _u32(tx.locktime) + _u32(hash_type & 0xFFFFFFFF)
    return sha256d(_u32(tx.version) + prevouts + sequences + middle + tail)


def taproot_sighash(
    tx: Transaction,
    index: int,
    hash_type: int,
    digests: TxDigests,
    *,
    annex_hash: bytes | None = None,
    leaf_hash: bytes | None = None,
    code_separator_pos: int = 0xFFFFFFFF,
) -> bytes | None:
    """What a Schnorr signature signs (BIP 341); with leaf_hash, in a tapscript (BIP 342).

    annex_hash: SHA-256 of the annex behind its length. code_separator_pos: number of the op that was the last
    OP_CODESEPARATOR run. None for a hash type that is not defined, for SINGLE without its output, and where
    the spent outputs are unknown.
    """
    if digests.spent is None or not (hash_type <= 3 or 0x81 <= hash_type <= 0x83):
        return None
    hasher = digests.taproot_head(hash_type).copy()
    parts = [bytes(((2 if leaf_hash else 0) + (1 if annex_hash else 0),))]
    if hash_type & SIGHASH_ANYONECANPAY:
        (txid, vout), _, sequence = tx.vin[index]
        value, script = digests.spent[index][:2]
        parts += [txid, _u32(vout), _i64(value), var_bytes(script), _u32(sequence)]
    else:
        parts.append(_u32(index))
    if annex_hash is not None:
        parts.append(annex_hash)
    if hash_type & _OUTPUT_MASK == SIGHASH_SINGLE:
        if index >= len(tx.vout):
            return None
        parts.append(sha256(tx.vout[index].serialize()))
    if leaf_hash is not None:
        parts += [leaf_hash, b"\0", _u32(code_separator_pos)]
    hasher.update(b"".join(parts))
    return hasher.digest()
