"""The interpreter: reads a script op by op and runs it. There are no loops. Source: Core EvalScript."""

from __future__ import annotations

from . import checksig  # noqa: F401 - enters the operations of signatures
from . import opcodes as op
from .errors import ScriptError
from .flags import ScriptFlags
from .machine import ExecutionData, Machine, ScriptFailure, SignatureChecker, SigVersion
from .operations import OPERATIONS
from .script import (
    MAX_OPS_PER_SCRIPT,
    MAX_SCRIPT_ELEMENT_SIZE,
    MAX_SCRIPT_SIZE,
    MAX_STACK_SIZE,
    ScriptNumError,
    ScriptParseError,
    is_minimal_push,
    read_op,
)

DISABLED = frozenset(
    (
        op.OP_CAT,
        op.OP_SUBSTR,
        op.OP_LEFT,
        op.OP_RIGHT,
        op.OP_INVERT,
        op.OP_AND,
        op.OP_OR,
        op.OP_XOR,
        op.OP_2MUL,
        op.OP_2DIV,
        op.OP_MUL,
        op.OP_DIV,
        op.OP_MOD,
        op.OP_LSHIFT,
        op.OP_RSHIFT,
    )
)
"""They fail a script even where they are not run (CVE-2010-5137)."""

_CONST_SCRIPTCODE = int(ScriptFlags.CONST_SCRIPTCODE)


def eval_script(
    stack: list[bytes],
    script: bytes,
    flags: int,
    checker: SignatureChecker,
    version: SigVersion = SigVersion.BASE,
    execution: ExecutionData | None = None,
) -> ScriptError | None:
    """Run script over stack, which it changes; why it failed, or None. What is left there is not judged."""
    if execution is None:
        execution = ExecutionData()
    execution.code_separator_pos = 0xFFFFFFFF
    try:
        return _run(Machine(stack, script, flags, checker, version, execution))
    except ScriptFailure as failure:
        return failure.error
    except ScriptNumError:
        return ScriptError.SCRIPTNUM
    except ScriptParseError:
        return ScriptError.BAD_OPCODE


def _run(vm: Machine) -> ScriptError | None:
    script, stack, alt = vm.script, vm.stack, vm.alt
    limited = vm.version is not SigVersion.TAPSCRIPT
    if limited and len(script) > MAX_SCRIPT_SIZE:
        return ScriptError.SCRIPT_SIZE
    no_separator = vm.version is SigVersion.BASE and vm.flags & _CONST_SCRIPTCODE
    pos, end = 0, len(script)
    while pos < end:
        opcode, data, pos = read_op(script, pos)
        if data is not None:
            if len(data) > MAX_SCRIPT_ELEMENT_SIZE:
                return ScriptError.PUSH_SIZE
            if not vm.skipping:
                if vm.minimal and not is_minimal_push(data, opcode):
                    return ScriptError.MINIMALDATA
                stack.append(data)
        else:
            if limited and opcode > op.OP_16:
                vm.op_count += 1
                if vm.op_count > MAX_OPS_PER_SCRIPT:
                    return ScriptError.OP_COUNT
            if opcode in DISABLED:
                return ScriptError.DISABLED_OPCODE
            if opcode == op.OP_CODESEPARATOR and no_separator:
                return ScriptError.OP_CODESEPARATOR
            if not vm.skipping or op.OP_IF <= opcode <= op.OP_ENDIF:
                entry = OPERATIONS[opcode]
                if entry is None:
                    return ScriptError.BAD_OPCODE
                needs, run = entry
                if len(stack) < needs:
                    return ScriptError.INVALID_STACK_OPERATION
                vm.pos = pos
                run(vm)
        if len(stack) + len(alt) > MAX_STACK_SIZE:
            return ScriptError.STACK_SIZE
        vm.op_number += 1
    return ScriptError.UNBALANCED_CONDITIONAL if vm.conditions else None
