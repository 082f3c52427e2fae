"""Transactions: outpoints, inputs, outputs, coins and the transaction itself (BIP 144).

A transaction is parsed once from one buffer; txid and wtxid are hashed from slices of it when asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, final

from .. import native
from .hashes import ZERO_HASH, sha256d
from .serialize import DecodeError, compact_size, read_compact_size, var_bytes

COIN: Final = 100_000_000
MAX_MONEY: Final = 21_000_000 * COIN
WITNESS_SCALE_FACTOR: Final = 4
SEQUENCE_FINAL: Final = 0xFFFFFFFF

_U32: Final = struct.Struct("<I")
_VALUE: Final = struct.Struct("<q")
_INPUT: Final = struct.Struct("<32sIBI")
_OUTPUT: Final = struct.Struct("<qB")
"""Up to the length of the script; the sequence of an input follows at once where it has no script."""
EMPTY_INPUT_SIZE: Final = 41


class OutPoint(NamedTuple):
    """Output number vout of the transaction txid (internal order)."""

    txid: bytes
    vout: int

    @property
    def is_null(self) -> bool:
        return self.vout == 0xFFFFFFFF and self.txid == ZERO_HASH

    def serialize(self) -> bytes:
        return self.txid + _U32.pack(self.vout)


NULL_OUTPOINT = OutPoint(ZERO_HASH, 0xFFFFFFFF)


class TxIn(NamedTuple):
    """An input; its witness is in `Transaction.witness` at the same index."""

    prevout: OutPoint
    script_sig: bytes = b""
    sequence: int = SEQUENCE_FINAL

    def serialize(self) -> bytes:
        return self.prevout.serialize() + var_bytes(self.script_sig) + _U32.pack(self.sequence)


class TxOut(NamedTuple):
    """value in satoshis (int64, may be out of range until checked) and the script that locks it."""

    value: int
    script_pubkey: bytes

    def serialize(self) -> bytes:
        return _VALUE.pack(self.value) + var_bytes(self.script_pubkey)


class Coin(NamedTuple):
    """An unspent output with the height of its block and whether a coinbase made it."""

    value: int
    script_pubkey: bytes
    height: int
    coinbase: bool

    @property
    def txout(self) -> TxOut:
        return TxOut(self.value, self.script_pubkey)


_NULL_OUTPOINT: Final = NULL_OUTPOINT.serialize()
_part: Final = native.part
if _part is not None:
    _part.bind_types(OutPoint, TxIn, TxOut, Coin)

Witness = tuple[bytes, ...]
_new: Final = tuple.__new__


@final
class Transaction:
    """A transaction, immutable. Make one with `parse`, `decode` or `make`.

    version and locktime: uint32. raw: the serialization with witness, as it came. What the part in C has read
    is made into inputs, outputs and witness when somebody asks: for the blocks of a load nobody does.
    """

    __slots__ = (
        "_strip",
        "_txid",
        "_vin",
        "_vout",
        "_witness",
        "_wtxid",
        "input_count",
        "locktime",
        "raw",
        "sigops",
        "sound",
        "version",
        "vin_at",
        "vout_at",
    )

    version: int
    locktime: int
    raw: bytes
    input_count: int
    vin_at: int
    """Offset of the first input in raw."""
    vout_at: int
    """Offset of the first output in raw."""
    sigops: int | None
    """Signature operations of old, once consensus.sigops has counted them."""
    sound: bool
    """No coinbase, and consensus.check_transaction takes it, as far as anybody has looked."""
    _strip: int | None
    """Offset of the witnesses in raw; None where raw has none."""
    _txid: bytes | None
    _vin: tuple[TxIn, ...] | None
    _vout: tuple[TxOut, ...] | None
    _witness: tuple[Witness, ...] | None
    """These three are None where nobody has asked for them yet."""
    _wtxid: bytes | None

    @classmethod
    def parse(cls, buf: bytes, pos: int = 0, *, allow_witness: bool = True) -> tuple[Transaction, int]:
        """The transaction at buf[pos:] and the position behind it; DecodeError if there is none."""
        fields = None if _part is None else _part.transaction(buf, pos, allow_witness)
        if fields is not None:
            tx = cls()
            tx.version, tx.locktime, tx.raw, tx.input_count, tx.vin_at, tx.vout_at, *rest = fields
            tx._strip, tx._txid, tx._wtxid, tx.sigops, tx.sound = rest
            tx._vin = tx._vout = None
            tx._witness = None if tx._strip else ()
            return tx, pos + len(tx.raw)
        try:
            return cls._parse(buf, pos, allow_witness)
        except (struct.error, IndexError):
            raise DecodeError("end of data") from None

    @classmethod
    def decode(cls, raw: bytes, *, allow_witness: bool = True) -> Transaction:
        """The transaction that raw is, to its last byte; DecodeError otherwise."""
        tx, end = cls.parse(raw, 0, allow_witness=allow_witness)
        if end != len(raw):
            raise DecodeError(f"{len(raw) - end} trailing bytes")
        return tx

    @classmethod
    def make(
        cls,
        vin: Sequence[TxIn],
        vout: Sequence[TxOut],
        *,
        version: int = 2,
        locktime: int = 0,
        witness: Sequence[Sequence[bytes]] = (),
    ) -> Transaction:
        """A transaction from its parts. witness: empty, or one stack per input."""
        if witness and len(witness) != len(vin):
            raise ValueError("one witness stack per input")
        tx = cls()
        tx.version, tx.locktime = version, locktime
        tx._vin, tx._vout, tx.input_count = tuple(vin), tuple(vout), len(vin)
        tx._witness = tuple(tuple(stack) for stack in witness) if any(witness) else ()
        tx._txid = tx._wtxid = tx.sigops = None
        tx.sound = False
        parts = [_U32.pack(version)]
        if tx._witness:
            parts.append(b"\x00\x01")
        parts.append(compact_size(len(tx.vin)))
        tx.vin_at = sum(map(len, parts))
        parts += [txin.serialize() for txin in tx.vin]
        parts.append(compact_size(len(tx.vout)))
        tx.vout_at = sum(map(len, parts))
        parts += [txout.serialize() for txout in tx.vout]
        tx._strip = None
        if tx._witness:
            tx._strip = sum(map(len, parts))
            for stack in tx._witness:
                parts.append(compact_size(len(stack)))
                parts += [var_bytes(item) for item in stack]
        parts.append(_U32.pack(locktime))
        tx.raw = b"".join(parts)
        return tx

    @classmethod
    def _parse(cls, buf: bytes, start: int, allow_witness: bool) -> tuple[Transaction, int]:
        # One function and one call of struct for each input and output: this is run for every one there is.
        tx = cls()
        tx._txid = tx._wtxid = tx.sigops = None
        tx.sound = False
        (tx.version,) = _U32.unpack_from(buf, start)
        pos = start + 4
        flags = 0
        if allow_witness and buf[pos] == 0:
            flags = buf[pos + 1]
            pos += 2
            if flags == 0:  # no inputs and no outputs: only what is not a transaction looks like this
                tx._vin, tx._vout, tx._witness, tx._strip, tx.input_count = (), (), (), None, 0
                tx.vin_at = tx.vout_at = pos - start
                return tx._finish(buf, start, pos)
        size = len(buf)
        count = buf[pos]
        if count < 253:
            pos += 1
        else:
            count, pos = read_compact_size(buf, pos)
        tx.vin_at = pos - start
        vin, input_at = [], _INPUT.unpack_from
        for _ in range(count):
            txid, vout, length, sequence = input_at(buf, pos)
            if not length:
                vin.append(_new(TxIn, (_new(OutPoint, (txid, vout)), b"", sequence)))
                pos += EMPTY_INPUT_SIZE
                continue
            if length < 253:
                pos += 37
            else:
                length, pos = read_compact_size(buf, pos + 36)
            end = pos + length
            (sequence,) = _U32.unpack_from(buf, end)
            vin.append(_new(TxIn, (_new(OutPoint, (txid, vout)), buf[pos:end], sequence)))
            pos = end + 4
        tx._vin, tx.input_count = tuple(vin), count
        count = buf[pos]
        if count < 253:
            pos += 1
        else:
            count, pos = read_compact_size(buf, pos)
        tx.vout_at = pos - start
        outputs, output_at = [], _OUTPUT.unpack_from
        for _ in range(count):
            value, length = output_at(buf, pos)
            if length < 253:
                pos += 9
            else:
                length, pos = read_compact_size(buf, pos + 8)
            end = pos + length
            if end > size:
                raise DecodeError("end of data")
            outputs.append(_new(TxOut, (value, buf[pos:end])))
            pos = end
        tx._vout = tuple(outputs)
        tx._witness, tx._strip = (), None
        if flags & 1:
            tx._strip = pos - start
            pos = tx._parse_witness(buf, pos)
        if flags & ~1:
            raise DecodeError("Unknown transaction optional data")
        return tx._finish(buf, start, pos)

    def _parse_witness(self, buf: bytes, pos: int) -> int:
        size = len(buf)
        stacks = []
        for _ in range(self.input_count):
            count = buf[pos]
            if count < 253:
                pos += 1
            else:
                count, pos = read_compact_size(buf, pos)
            stack = []
            for _ in range(count):
                length = buf[pos]
                if length < 253:
                    pos += 1
                else:
                    length, pos = read_compact_size(buf, pos)
                end = pos + length
                if end > size:
                    raise DecodeError("end of data")
                stack.append(buf[pos:end])
                pos = end
            stacks.append(tuple(stack))
        if not any(stacks):
            raise DecodeError("Superfluous witness record")
        self._witness = tuple(stacks)
        return pos

    def _finish(self, buf: bytes, start: int, pos: int) -> tuple[Transaction, int]:
        (self.locktime,) = _U32.unpack_from(buf, pos)
        end = pos + 4
        self.raw = buf if start == 0 and end == len(buf) else buf[start:end]
        return self, end

    @property
    def vin(self) -> tuple[TxIn, ...]:
        if self._vin is None:
            self._vin = self._made("inputs")
        return self._vin

    @property
    def vout(self) -> tuple[TxOut, ...]:
        if self._vout is None:
            self._vout = self._made("outputs")
        return self._vout

    @property
    def witness(self) -> tuple[Witness, ...]:
        """One stack per input, or () where no input has one."""
        if self._witness is None:
            self._witness = self._made("witness")
        return self._witness

    def _made(self, name: str) -> tuple[Any, ...]:
        """A part of what the part in C has read, and can read again."""
        made: tuple[Any, ...] | None = getattr(_part, name)(self.raw)
        if made is None:
            raise MemoryError("no room for a transaction")
        return made

    @property
    def output_bytes(self) -> bytes:
        """All outputs as they are serialized, without their count."""
        return self.raw[self.vout_at : -4 if self._strip is None else self._strip]

    @property
    def without_scripts(self) -> bool:
        """No input has a script: each has 41 bytes, the first of them at vin_at."""
        room = self.vout_at - self.vin_at - EMPTY_INPUT_SIZE * self.input_count
        return room == len(compact_size(len(self.vout)))

    @property
    def stripped(self) -> bytes:
        """The serialization without witness."""
        if self._strip is None:
            return self.raw
        return b"".join((self.raw[:4], self.raw[6 : self._strip], self.raw[-4:]))

    @property
    def txid(self) -> bytes:
        if self._txid is None:
            self._txid = sha256d(self.stripped)
        return self._txid

    @property
    def wtxid(self) -> bytes:
        """Hash with witness (BIP 141); a coinbase's own, not the zero that stands for it in the tree."""
        if self._strip is None:
            return self.txid
        if self._wtxid is None:
            self._wtxid = sha256d(self.raw)
        return self._wtxid

    @property
    def has_witness(self) -> bool:
        return self._strip is not None

    @property
    def is_coinbase(self) -> bool:
        return self.input_count == 1 and self.raw.startswith(_NULL_OUTPOINT, self.vin_at)

    @property
    def base_size(self) -> int:
        """Bytes without witness."""
        if self._strip is None:
            return len(self.raw)
        return self._strip + 2  # less marker and flag, plus the locktime

    @property
    def size(self) -> int:
        """Bytes with witness."""
        return len(self.raw)

    @property
    def weight(self) -> int:
        return self.base_size * (WITNESS_SCALE_FACTOR - 1) + len(self.raw)

    @property
    def vsize(self) -> int:
        """Weight in vbytes, rounded up; policy's version with sigops is in chain/policy."""
        return (self.weight + WITNESS_SCALE_FACTOR - 1) // WITNESS_SCALE_FACTOR

    def witness_of(self, index: int) -> Witness:
        return self.witness[index] if self.witness else ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Transaction) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"Transaction({self.txid[::-1].hex()})"
