"""What each opcode does, but for those of signatures (checksig.py). Source: Core EvalScript.

`OPERATIONS[opcode]` is (items it needs on the stack, function over the machine), or None where the opcode is
not understood. An operation fails by raising ScriptFailure, or ScriptNumError where an item is no number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ..primitives import hashes
from . import opcodes as op
from .errors import ScriptError
from .flags import ScriptFlags
from .machine import Machine, ScriptFailure, SigVersion, cast_to_bool
from .script import decode_num, script_num

Operation: TypeAlias = Callable[[Machine], None]

OPERATIONS: list[tuple[int, Operation] | None] = [None] * 256

_CLTV, _CSV = int(ScriptFlags.CHECKLOCKTIMEVERIFY), int(ScriptFlags.CHECKSEQUENCEVERIFY)
_DISCOURAGE_NOPS = int(ScriptFlags.DISCOURAGE_UPGRADABLE_NOPS)
_MINIMALIF = int(ScriptFlags.MINIMALIF)

_SEQUENCE_LOCK_DISABLED = 1 << 31


def operation(*opcodes: int, needs: int = 0) -> Callable[[Operation], Operation]:
    """Enter a function for opcodes that need so many items."""

    def enter(function: Operation) -> Operation:
        for opcode in opcodes:
            OPERATIONS[opcode] = needs, function
        return function

    return enter


# --- constants and control --------------------------------------------------------------------------


def _constant(item: bytes) -> Operation:
    return lambda vm: vm.stack.append(item)


operation(op.OP_1NEGATE)(_constant(b"\x81"))
for _n in range(1, 17):
    operation(op.OP_1 + _n - 1)(_constant(bytes((_n,))))


@operation(op.OP_NOP)
def _nop(vm: Machine) -> None:
    pass


@operation(op.OP_NOP1, op.OP_NOP4, op.OP_NOP5, op.OP_NOP6, op.OP_NOP7, op.OP_NOP8, op.OP_NOP9, op.OP_NOP10)
def _upgradable_nop(vm: Machine) -> None:
    if vm.flags & _DISCOURAGE_NOPS:
        raise ScriptFailure(ScriptError.DISCOURAGE_UPGRADABLE_NOPS)


@operation(op.OP_CHECKLOCKTIMEVERIFY)
def _check_lock_time_verify(vm: Machine) -> None:
    if not vm.flags & _CLTV:
        return
    vm.need(1)
    lock_time = decode_num(vm.stack[-1], vm.minimal, 5)  # 4 bytes end in 2038, lock times in 2106
    if lock_time < 0:
        raise ScriptFailure(ScriptError.NEGATIVE_LOCKTIME)
    if not vm.checker.check_lock_time(lock_time):
        raise ScriptFailure(ScriptError.UNSATISFIED_LOCKTIME)


@operation(op.OP_CHECKSEQUENCEVERIFY)
def _check_sequence_verify(vm: Machine) -> None:
    if not vm.flags & _CSV:
        return
    vm.need(1)
    sequence = decode_num(vm.stack[-1], vm.minimal, 5)
    if sequence < 0:
        raise ScriptFailure(ScriptError.NEGATIVE_LOCKTIME)
    if sequence & _SEQUENCE_LOCK_DISABLED:
        return  # kept free for later rules
    if not vm.checker.check_sequence(sequence):
        raise ScriptFailure(ScriptError.UNSATISFIED_LOCKTIME)


def _open_condition(vm: Machine, negate: bool) -> None:
    value = False
    if not vm.skipping:
        vm.need(1)
        item = vm.stack[-1]
        if item not in (b"", b"\x01"):
            if vm.version is SigVersion.TAPSCRIPT:
                raise ScriptFailure(ScriptError.TAPSCRIPT_MINIMALIF)
            if vm.version is SigVersion.WITNESS_V0 and vm.flags & _MINIMALIF:
                raise ScriptFailure(ScriptError.MINIMALIF)
        value = cast_to_bool(vm.stack.pop()) is not negate
    vm.conditions.append(value)
    vm.skipping += not value


@operation(op.OP_IF)
def _if(vm: Machine) -> None:
    _open_condition(vm, False)


@operation(op.OP_NOTIF)
def _notif(vm: Machine) -> None:
    _open_condition(vm, True)


@operation(op.OP_ELSE)
def _else(vm: Machine) -> None:
    if not vm.conditions:
        raise ScriptFailure(ScriptError.UNBALANCED_CONDITIONAL)
    value = vm.conditions[-1] = not vm.conditions[-1]
    vm.skipping += -1 if value else 1


@operation(op.OP_ENDIF)
def _endif(vm: Machine) -> None:
    if not vm.conditions:
        raise ScriptFailure(ScriptError.UNBALANCED_CONDITIONAL)
    vm.skipping -= not vm.conditions.pop()


@operation(op.OP_VERIFY, needs=1)
def _verify(vm: Machine) -> None:
    if not cast_to_bool(vm.stack.pop()):
        raise ScriptFailure(ScriptError.VERIFY)


@operation(op.OP_RETURN)
def _return(vm: Machine) -> None:
    raise ScriptFailure(ScriptError.OP_RETURN)


# --- stack ------------------------------------------------------------------------------------------


@operation(op.OP_TOALTSTACK, needs=1)
def _to_alt(vm: Machine) -> None:
    vm.alt.append(vm.stack.pop())


@operation(op.OP_FROMALTSTACK)
def _from_alt(vm: Machine) -> None:
    if not vm.alt:
        raise ScriptFailure(ScriptError.INVALID_ALTSTACK_OPERATION)
    vm.stack.append(vm.alt.pop())


@operation(op.OP_2DROP, needs=2)
def _2drop(vm: Machine) -> None:
    del vm.stack[-2:]


@operation(op.OP_2DUP, needs=2)
def _2dup(vm: Machine) -> None:
    vm.stack += vm.stack[-2:]


@operation(op.OP_3DUP, needs=3)
def _3dup(vm: Machine) -> None:
    vm.stack += vm.stack[-3:]


@operation(op.OP_2OVER, needs=4)
def _2over(vm: Machine) -> None:
    vm.stack += vm.stack[-4:-2]


@operation(op.OP_2ROT, needs=6)
def _2rot(vm: Machine) -> None:
    vm.stack[-6:] = vm.stack[-4:] + vm.stack[-6:-4]


@operation(op.OP_2SWAP, needs=4)
def _2swap(vm: Machine) -> None:
    vm.stack[-4:] = vm.stack[-2:] + vm.stack[-4:-2]


@operation(op.OP_IFDUP, needs=1)
def _ifdup(vm: Machine) -> None:
    if cast_to_bool(vm.stack[-1]):
        vm.stack.append(vm.stack[-1])


@operation(op.OP_DEPTH)
def _depth(vm: Machine) -> None:
    vm.stack.append(script_num(len(vm.stack)))


@operation(op.OP_DROP, needs=1)
def _drop(vm: Machine) -> None:
    vm.stack.pop()


@operation(op.OP_DUP, needs=1)
def _dup(vm: Machine) -> None:
    vm.stack.append(vm.stack[-1])


@operation(op.OP_NIP, needs=2)
def _nip(vm: Machine) -> None:
    del vm.stack[-2]


@operation(op.OP_OVER, needs=2)
def _over(vm: Machine) -> None:
    vm.stack.append(vm.stack[-2])


def _take_depth(vm: Machine) -> int:
    """Take the top item, a number, and give where that deep an item lies."""
    depth = vm.number(-1)
    vm.stack.pop()
    if not 0 <= depth < len(vm.stack):
        raise ScriptFailure(ScriptError.INVALID_STACK_OPERATION)
    return -depth - 1


@operation(op.OP_PICK, needs=2)
def _pick(vm: Machine) -> None:
    vm.stack.append(vm.stack[_take_depth(vm)])


@operation(op.OP_ROLL, needs=2)
def _roll(vm: Machine) -> None:
    vm.stack.append(vm.stack.pop(_take_depth(vm)))


@operation(op.OP_ROT, needs=3)
def _rot(vm: Machine) -> None:
    vm.stack.append(vm.stack.pop(-3))


@operation(op.OP_SWAP, needs=2)
def _swap(vm: Machine) -> None:
    vm.stack.append(vm.stack.pop(-2))


@operation(op.OP_TUCK, needs=2)
def _tuck(vm: Machine) -> None:
    vm.stack.insert(-2, vm.stack[-1])


@operation(op.OP_SIZE, needs=1)
def _size(vm: Machine) -> None:
    vm.stack.append(script_num(len(vm.stack[-1])))


@operation(op.OP_EQUAL, needs=2)
def _equal(vm: Machine) -> None:
    vm.push_bool(vm.stack.pop() == vm.stack.pop())


@operation(op.OP_EQUALVERIFY, needs=2)
def _equalverify(vm: Machine) -> None:
    if vm.stack.pop() != vm.stack.pop():
        raise ScriptFailure(ScriptError.EQUALVERIFY)


# --- numbers: operands have up to 4 bytes, results may be larger ------------------------------------


def _unary(opcode: int, function: Callable[[int], int]) -> None:
    def run(vm: Machine) -> None:
        vm.stack[-1] = script_num(function(vm.number(-1)))

    operation(opcode, needs=1)(run)


def _binary(opcode: int, function: Callable[[int, int], int]) -> None:
    def run(vm: Machine) -> None:
        a, b = vm.number(-2), vm.number(-1)
        vm.stack[-2:] = [script_num(function(a, b))]

    operation(opcode, needs=2)(run)


_unary(op.OP_1ADD, lambda a: a + 1)
_unary(op.OP_1SUB, lambda a: a - 1)
_unary(op.OP_NEGATE, lambda a: -a)
_unary(op.OP_ABS, abs)
_unary(op.OP_NOT, lambda a: a == 0)
_unary(op.OP_0NOTEQUAL, lambda a: a != 0)

_binary(op.OP_ADD, lambda a, b: a + b)
_binary(op.OP_SUB, lambda a, b: a - b)
_binary(op.OP_BOOLAND, lambda a, b: a != 0 and b != 0)
_binary(op.OP_BOOLOR, lambda a, b: a != 0 or b != 0)
_binary(op.OP_NUMEQUAL, lambda a, b: a == b)
_binary(op.OP_NUMNOTEQUAL, lambda a, b: a != b)
_binary(op.OP_LESSTHAN, lambda a, b: a < b)
_binary(op.OP_GREATERTHAN, lambda a, b: a > b)
_binary(op.OP_LESSTHANOREQUAL, lambda a, b: a <= b)
_binary(op.OP_GREATERTHANOREQUAL, lambda a, b: a >= b)
_binary(op.OP_MIN, min)
_binary(op.OP_MAX, max)


@operation(op.OP_NUMEQUALVERIFY, needs=2)
def _numequalverify(vm: Machine) -> None:
    if vm.number(-2) != vm.number(-1):
        raise ScriptFailure(ScriptError.NUMEQUALVERIFY)
    del vm.stack[-2:]


@operation(op.OP_WITHIN, needs=3)
def _within(vm: Machine) -> None:
    value, least, end = vm.number(-3), vm.number(-2), vm.number(-1)
    del vm.stack[-3:]
    vm.push_bool(least <= value < end)


# --- hashes -----------------------------------------------------------------------------------------


def _hash(opcode: int, function: Callable[[bytes], bytes]) -> None:
    def run(vm: Machine) -> None:
        vm.stack[-1] = function(vm.stack[-1])

    operation(opcode, needs=1)(run)


_hash(op.OP_RIPEMD160, hashes.ripemd160)
_hash(op.OP_SHA1, hashes.sha1)
_hash(op.OP_SHA256, hashes.sha256)
_hash(op.OP_HASH160, hashes.hash160)
_hash(op.OP_HASH256, hashes.sha256d)


@operation(op.OP_CODESEPARATOR)
def _codeseparator(vm: Machine) -> None:
    vm.code_start = vm.pos
    vm.execution.code_separator_pos = vm.op_number
