"""Scripts as bytes: building, reading, recognising, counting, printing. Source: Core src/script/script.h."""

from __future__ import annotations

from collections.abc import Iterator

from .encoding import HASH_TYPE_NAMES, is_defined_hash_type, is_strict_der
from .opcodes import (
    MAX_OPCODE,
    OP_0,
    OP_1,
    OP_16,
    OP_CHECKMULTISIG,
    OP_CHECKMULTISIGVERIFY,
    OP_CHECKSIG,
    OP_CHECKSIGVERIFY,
    OP_EQUAL,
    OP_HASH160,
    OP_INVALIDOPCODE,
    OP_PUSHDATA1,
    OP_PUSHDATA2,
    OP_PUSHDATA4,
    OP_RETURN,
    OPCODE_NAMES,
)

MAX_SCRIPT_SIZE = 10_000
MAX_SCRIPT_ELEMENT_SIZE = 520
MAX_OPS_PER_SCRIPT = 201
MAX_PUBKEYS_PER_MULTISIG = 20
MAX_PUBKEYS_PER_MULTI_A = 999
MAX_STACK_SIZE = 1000
LOCKTIME_THRESHOLD = 500_000_000
"""Lock times below are heights, from here on seconds since 1970."""
ANNEX_TAG = 0x50

_PAY_TO_ANCHOR = b"\x51\x02\x4e\x73"


class ScriptParseError(ValueError):
    """A push that runs past the end of its script."""


class ScriptNumError(ValueError):
    """A stack item that is no number: too long, or not minimally encoded where that is asked for."""


# --- building ---------------------------------------------------------------------------------------


def push_data(data: bytes) -> bytes:
    """A push of data with the shortest length prefix, as Core's CScript << bytes.

    It never becomes OP_1 to OP_16: one byte 0x05 is pushed as 01 05.
    """
    size = len(data)
    if size < OP_PUSHDATA1:
        return bytes((size,)) + data
    if size <= 0xFF:
        return bytes((OP_PUSHDATA1, size)) + data
    if size <= 0xFFFF:
        return bytes((OP_PUSHDATA2,)) + size.to_bytes(2, "little") + data
    return bytes((OP_PUSHDATA4,)) + size.to_bytes(4, "little") + data


def push_int(n: int) -> bytes:
    """A push of the number n, as Core's CScript << int64: OP_0, OP_1NEGATE, OP_1 to OP_16, or its bytes."""
    if n == 0:
        return bytes((OP_0,))
    if n == -1 or 1 <= n <= 16:
        return bytes((OP_1 - 1 + n,))
    return push_data(script_num(n))


def script_num(n: int) -> bytes:
    """n as a stack item: little-endian, sign in the highest bit, zero is empty."""
    if n == 0:
        return b""
    size = abs(n).bit_length() // 8 + 1  # one bit is left for the sign
    if n > 0:
        return n.to_bytes(size, "little")
    return (-n | 1 << 8 * size - 1).to_bytes(size, "little")


def decode_num(data: bytes, require_minimal: bool, max_size: int = 4) -> int:
    """The number that a stack item stands for. ScriptNumError if too long, or not minimal where required."""
    size = len(data)
    if size > max_size:
        raise ScriptNumError("script number overflow")
    if size == 0:
        return 0
    last = data[-1]
    # a last byte without value is only right where the byte before needs its top bit: 255 is ff 00
    if require_minimal and not last & 0x7F and (size == 1 or not data[-2] & 0x80):
        raise ScriptNumError("non-minimally encoded script number")
    number = int.from_bytes(data, "little")
    if last & 0x80:
        return -(number ^ 0x80 << 8 * (size - 1))
    return number


# --- reading ----------------------------------------------------------------------------------------


def read_op(script: bytes, pos: int) -> tuple[int, bytes | None, int]:
    """(opcode, what it pushes or None, position behind it) at pos < len(script).

    OP_0 pushes b""; OP_1NEGATE and OP_1 to OP_16 carry no bytes and give None.
    ScriptParseError where the push is cut short.
    """
    opcode = script[pos]
    pos += 1
    if opcode > OP_PUSHDATA4:
        return opcode, None, pos
    if opcode < OP_PUSHDATA1:
        size = opcode
    else:
        width = 1 << opcode - OP_PUSHDATA1
        if pos + width > len(script):
            raise ScriptParseError("push without its length")
        size = int.from_bytes(script[pos : pos + width], "little")
        pos += width
    end = pos + size
    if end > len(script):
        raise ScriptParseError("push past the end of the script")
    return opcode, script[pos:end], end


def iter_ops(script: bytes) -> Iterator[tuple[int, bytes | None, int]]:
    """(opcode, what it pushes or None, offset of the opcode) in order; ScriptParseError at a cut-off push."""
    pos = 0
    while pos < len(script):
        opcode, data, end = read_op(script, pos)
        yield opcode, data, pos
        pos = end


def is_push_only(script: bytes, start: int = 0) -> bool:
    """Whether script, from start on, holds whole pushes only; OP_RESERVED counts as one (Core)."""
    pos, size = start, len(script)
    while pos < size:  # strangers choose what is in 100 kB of OP_RETURN: nothing is sliced here
        opcode = script[pos]
        pos += 1
        if opcode < OP_PUSHDATA1:
            pos += opcode
        elif opcode <= OP_PUSHDATA4:
            width = 1 << opcode - OP_PUSHDATA1
            if pos + width > size:
                return False
            pos += int.from_bytes(script[pos : pos + width], "little") + width
        elif opcode > OP_16:
            return False
    return pos <= size


def has_valid_ops(script: bytes) -> bool:
    """Whether every op is whole, known and pushes at most 520 bytes (Core HasValidOps)."""
    try:
        return all(
            op <= MAX_OPCODE and (data is None or len(data) <= MAX_SCRIPT_ELEMENT_SIZE)
            for op, data, _ in iter_ops(script)
        )
    except ScriptParseError:
        return False


def is_minimal_push(data: bytes, opcode: int) -> bool:
    """Whether opcode, 0 to OP_PUSHDATA4, is the shortest way to push data (BIP 62 rule 3)."""
    size = len(data)
    if size == 0:
        return opcode == OP_0
    if size == 1 and (1 <= data[0] <= 16 or data[0] == 0x81):
        return False  # OP_1 to OP_16 or OP_1NEGATE would do
    if size <= 75:
        return opcode == size
    if size <= 0xFF:
        return opcode == OP_PUSHDATA1
    if size <= 0xFFFF:
        return opcode == OP_PUSHDATA2
    return True


def find_and_delete(script: bytes, pattern: bytes) -> tuple[bytes, int]:
    """script without pattern wherever it stands at the start of an op, and how often it stood there.

    Part of the old signature hash: a signature cannot sign itself.
    """
    if not pattern or pattern not in script:
        return script, 0
    kept, found, start, pos = [], 0, 0, 0
    while True:
        kept.append(script[start:pos])
        while script.startswith(pattern, pos):
            pos += len(pattern)
            found += 1
        start = pos
        if pos >= len(script):
            break
        try:
            _, _, pos = read_op(script, pos)
        except ScriptParseError:
            break
    kept.append(script[start:])
    return b"".join(kept), found


# --- recognising ------------------------------------------------------------------------------------


def is_p2pkh(script: bytes) -> bool:
    return len(script) == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac"


def is_p2sh(script: bytes) -> bool:
    return len(script) == 23 and script[0] == OP_HASH160 and script[1] == 20 and script[22] == OP_EQUAL


def is_p2pk(script: bytes) -> bool:
    """A push of what has the size and the first byte of a key, then OP_CHECKSIG."""
    if not script or script[-1] != OP_CHECKSIG:
        return False
    if len(script) == 35:
        return script[0] == 33 and script[1] in (2, 3)
    return len(script) == 67 and script[0] == 65 and script[1] in (4, 6, 7)


def is_p2wsh(script: bytes) -> bool:
    return len(script) == 34 and script[:2] == b"\x00\x20"


def is_p2tr(script: bytes) -> bool:
    return len(script) == 34 and script[:2] == b"\x51\x20"


def is_pay_to_anchor(script: bytes) -> bool:
    """Spendable by anyone without a witness; a place to hang a fee bump on."""
    return script == _PAY_TO_ANCHOR


def is_witness_program(script: bytes) -> tuple[int, bytes] | None:
    """(version 0 to 16, program of 2 to 40 bytes), or None where script is no witness program (BIP 141)."""
    size = len(script)
    if not 4 <= size <= 42 or script[1] + 2 != size:
        return None
    opcode = script[0]
    if opcode == OP_0:
        return 0, script[2:]
    if OP_1 <= opcode <= OP_16:
        return opcode - OP_1 + 1, script[2:]
    return None


def is_op_return(script: bytes) -> bool:
    return len(script) > 0 and script[0] == OP_RETURN


def is_unspendable(script: bytes) -> bool:
    """Whether nothing can ever satisfy script, so its output can be forgotten: OP_RETURN or too long."""
    return (len(script) > 0 and script[0] == OP_RETURN) or len(script) > MAX_SCRIPT_SIZE


# --- counting ---------------------------------------------------------------------------------------


def count_sigops(script: bytes, accurate: bool) -> int:
    """Signature operations in script, up to a push cut short.

    accurate: CHECKMULTISIG counts the number of keys pushed right before it by OP_1 to OP_16; otherwise 20.
    """
    if not (
        OP_CHECKSIG in script
        or OP_CHECKSIGVERIFY in script
        or OP_CHECKMULTISIG in script
        or OP_CHECKMULTISIGVERIFY in script
    ):
        return 0
    count, pos, size, last = 0, 0, len(script), OP_INVALIDOPCODE
    while pos < size:
        opcode = script[pos]
        pos += 1
        if opcode <= OP_PUSHDATA4:
            if opcode >= OP_PUSHDATA1:
                width = 1 << opcode - OP_PUSHDATA1
                if pos + width > size:
                    break
                pos += int.from_bytes(script[pos : pos + width], "little") + width
            else:
                pos += opcode
            if pos > size:
                break
        elif opcode in (OP_CHECKSIG, OP_CHECKSIGVERIFY):
            count += 1
        elif opcode in (OP_CHECKMULTISIG, OP_CHECKMULTISIGVERIFY):
            count += last - OP_1 + 1 if accurate and OP_1 <= last <= OP_16 else MAX_PUBKEYS_PER_MULTISIG
        last = opcode
    return count


def last_push(script_sig: bytes) -> bytes | None:
    """What the last op of a push-only script pushes: the redeem script of P2SH. None if it is not push-only.

    OP_1NEGATE, OP_RESERVED and OP_1 to OP_16 give b"", as in Core.
    """
    data: bytes | None = b""
    pos = 0
    try:
        while pos < len(script_sig):
            opcode, data, pos = read_op(script_sig, pos)
            if opcode > OP_16:
                return None
    except ScriptParseError:
        return None
    return data or b""


def count_p2sh_sigops(script_pubkey: bytes, script_sig: bytes) -> int:
    """Signature operations, accurately, of the redeem script if script_pubkey is P2SH, else of itself."""
    if not is_p2sh(script_pubkey):
        return count_sigops(script_pubkey, True)
    redeem_script = last_push(script_sig)
    return 0 if redeem_script is None else count_sigops(redeem_script, True)


# --- printing ---------------------------------------------------------------------------------------


def opcode_name(opcode: int) -> str:
    return OPCODE_NAMES.get(opcode, "OP_UNKNOWN")


def to_asm(script: bytes, sighash_decode: bool = False) -> str:
    """Core's asm: up to 4 pushed bytes as a number, more as hex, `[error]` where a push is cut short.

    sighash_decode: write the hash type of what looks like a signature as [ALL] etc.; for scriptSigs.
    """
    words, pos = [], 0
    decode = sighash_decode and not is_unspendable(script)
    while pos < len(script):
        try:
            opcode, data, pos = read_op(script, pos)
        except ScriptParseError:
            words.append("[error]")
            break
        if data is None:
            words.append(opcode_name(opcode))
        elif len(data) <= 4:
            words.append(str(decode_num(data, False)))
        elif decode and is_strict_der(data) and is_defined_hash_type(data[-1]):
            words.append(f"{data[:-1].hex()}[{HASH_TYPE_NAMES[data[-1]]}]")
        else:
            words.append(data.hex())
    return " ".join(words)
