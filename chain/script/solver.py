"""Which standard form a script has. Names as in Core's TxoutType, which RPC prints."""

from __future__ import annotations

from .encoding import has_pubkey_size
from .opcodes import OP_1, OP_16, OP_CHECKMULTISIG, OP_PUSHDATA4
from .script import (
    MAX_PUBKEYS_PER_MULTISIG,
    ScriptNumError,
    ScriptParseError,
    decode_num,
    is_minimal_push,
    is_op_return,
    is_p2pk,
    is_p2pkh,
    is_p2sh,
    is_pay_to_anchor,
    is_push_only,
    is_witness_program,
    push_data,
    push_int,
    read_op,
)


def solve(script: bytes) -> tuple[str, list[bytes]]:
    """(type, solutions): hashes or keys of the form; for multisig [m, keys..., n], m and n as one byte.

    Types: nonstandard, anchor, pubkey, pubkeyhash, scripthash, multisig, nulldata, witness_v0_keyhash,
    witness_v0_scripthash, witness_v1_taproot, witness_unknown (solutions: version byte, program).
    """
    if is_p2sh(script):
        return "scripthash", [script[2:22]]
    witness = is_witness_program(script)
    if witness is not None:
        version, program = witness
        if version == 0 and len(program) == 20:
            return "witness_v0_keyhash", [program]
        if version == 0 and len(program) == 32:
            return "witness_v0_scripthash", [program]
        if version == 1 and len(program) == 32:
            return "witness_v1_taproot", [program]
        if is_pay_to_anchor(script):
            return "anchor", []
        if version != 0:
            return "witness_unknown", [bytes((version,)), program]
        return "nonstandard", []
    if is_op_return(script) and is_push_only(script, 1):
        return "nulldata", []
    if is_p2pk(script):
        return "pubkey", [script[1:-1]]
    if is_p2pkh(script):
        return "pubkeyhash", [script[3:23]]
    multisig = match_multisig(script)
    if multisig is not None:
        required, keys = multisig
        return "multisig", [bytes((required,)), *keys, bytes((len(keys),))]
    return "nonstandard", []


def match_multisig(script: bytes) -> tuple[int, list[bytes]] | None:
    """(signatures required, keys) of m <key>... n OP_CHECKMULTISIG with 1 <= m <= n <= 20; None otherwise."""
    if not script or script[-1] != OP_CHECKMULTISIG:
        return None
    try:
        opcode, data, pos = read_op(script, 0)
        required = _number(opcode, data, 1, MAX_PUBKEYS_PER_MULTISIG)
        if required is None:
            return None
        keys: list[bytes] = []
        while True:
            opcode, data, pos = read_op(script, pos)
            if data is None or not has_pubkey_size(data):
                break
            keys.append(data)
    except (ScriptParseError, IndexError):
        return None
    count = _number(opcode, data, required, MAX_PUBKEYS_PER_MULTISIG)
    if count != len(keys) or pos + 1 != len(script):
        return None
    return required, keys


def multisig_script(required: int, keys: list[bytes]) -> bytes:
    """m <key>... n OP_CHECKMULTISIG."""
    pushes = b"".join(push_data(key) for key in keys)
    return push_int(required) + pushes + push_int(len(keys)) + bytes((OP_CHECKMULTISIG,))


def _number(opcode: int, data: bytes | None, least: int, most: int) -> int | None:
    """A minimally pushed number in the range, by OP_1 to OP_16 or by its bytes; None otherwise."""
    if OP_1 <= opcode <= OP_16:
        number = opcode - OP_1 + 1
    elif data is not None and opcode <= OP_PUSHDATA4 and is_minimal_push(data, opcode):
        try:
            number = decode_num(data, True)
        except ScriptNumError:
            return None
    else:
        return None
    return number if least <= number <= most else None
