"""Whether an input may spend its output: verify_input is the front door, verify_script Core's VerifyScript.

A block's checks go to threads in runs of inputs: `split_checks` cuts them, `verify_run` does one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

from .. import native
from ..primitives.hashes import sha256
from ..primitives.serialize import compact_size, var_bytes
from ..primitives.transaction import Transaction
from . import templates
from .checker import TxChecker
from .errors import ScriptError
from .flags import ScriptFlags
from .interpreter import eval_script
from .machine import ExecutionData, SignatureChecker, SigVersion, cast_to_bool
from .opcodes import OP_SUCCESSES
from .script import (
    ANNEX_TAG,
    MAX_SCRIPT_ELEMENT_SIZE,
    MAX_STACK_SIZE,
    ScriptParseError,
    count_sigops,
    is_p2sh,
    is_p2tr,
    is_push_only,
    is_witness_program,
    last_push,
    push_data,
    read_op,
)
from .secp import Claim, unproven
from .sighash import SpentOutput, TxDigests
from .taproot import LEAF_MASK, LEAF_TAPSCRIPT, commits_to, is_control_size, tapleaf_hash

_P2SH, _WITNESS, _TAPROOT = int(ScriptFlags.P2SH), int(ScriptFlags.WITNESS), int(ScriptFlags.TAPROOT)
_SIGPUSHONLY, _CLEANSTACK = int(ScriptFlags.SIGPUSHONLY), int(ScriptFlags.CLEANSTACK)
_DISCOURAGE_OP_SUCCESS = int(ScriptFlags.DISCOURAGE_OP_SUCCESS)
_DISCOURAGE_LEAF = int(ScriptFlags.DISCOURAGE_UPGRADABLE_TAPROOT_VERSION)
_DISCOURAGE_PROGRAM = int(ScriptFlags.DISCOURAGE_UPGRADABLE_WITNESS_PROGRAM)

_BATCH = 200
"""Claims that are settled in one go."""
_new = tuple.__new__

_WEIGHT_OFFSET = 50
"""Signature budget that a tapscript has beside the size of its witness (BIP 342)."""


# --- one input --------------------------------------------------------------------------------------


def verify_input(
    tx: Transaction,
    index: int,
    spent: SpentOutput,
    flags: int,
    digests: TxDigests | None = None,
    *,
    templates_enabled: bool = True,
) -> ScriptError | None:
    """Why input index of tx may not spend the output spent, or None if it may.

    digests: of tx, with all spent outputs, which taproot signs; made here where it is the only input.
    templates_enabled: False sends the common forms through the interpreter too; the answer is the same.
    """
    if digests is None:
        digests = TxDigests(tx, (spent,) if len(tx.vin) == 1 else None)
    flags = int(flags)
    value, script = spent[0], spent[1]
    if templates_enabled and templates.accepts(tx, index, value, script, flags, digests):
        return None
    if digests.spent is None and flags & _TAPROOT and is_p2tr(script):
        raise ValueError("taproot signs all spent outputs: hand in their digests")
    checker = TxChecker(tx, index, value, digests)
    return verify_script(tx.vin[index].script_sig, script, tx.witness_of(index), flags, checker)


class CheckRun(NamedTuple):
    """Inputs start to stop of one transaction, to be checked in a row."""

    digests: TxDigests
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class CheckFailure:
    """The input that failed."""

    tx: Transaction
    index: int
    error: ScriptError


def verify_run(
    runs: Iterable[CheckRun], flags: int, *, templates_enabled: bool = True, compiled: bool = True
) -> CheckFailure | None:
    """The first input that fails, None if none does. Made for a thread: mostly the lock is free meanwhile.

    The digests hold the spent outputs (ValueError if not). templates_enabled: False has each input go through
    the interpreter, with nothing kept from the inputs before it. compiled: False leaves out the part in C,
    if there is one. The answer is the same.
    """
    flags = int(flags)
    if not templates_enabled:
        return _interpret(runs, flags)
    if compiled and native.part is not None:
        runs = _left_by(native.part, list(runs), flags)
    accepts_if = templates.accepts_if
    claims: list[Claim] = []
    for digests, start, stop in runs:
        tx, spent = digests.tx, digests.spent
        if spent is None:
            raise ValueError("a run needs the spent outputs")
        for index in range(start, stop):
            value, script = spent[index][:2]
            if accepts_if(tx, index, value, script, flags, digests, claims, (digests, index)):
                if len(claims) < _BATCH:
                    continue
                failure = _settle(claims, flags)
            else:
                # What came before is told first, whatever is wrong with this one.
                failure = _settle(claims, flags) or _interpreted(digests, index, flags)
            if failure is not None:
                return failure
            claims = []
    return _settle(claims, flags)


def _left_by(part: ModuleType, runs: list[CheckRun], flags: int) -> list[CheckRun]:
    """What the compiled part does not prove, a run for each input."""
    rows = [(digests.tx.raw, digests.spent or (), start, stop) for digests, start, stop in runs]
    return [CheckRun(runs[n].digests, index, index + 1) for n, index in part.prove(rows, flags)]


def _settle(claims: list[Claim], flags: int) -> CheckFailure | None:
    """The first input that fails among those that hold if claims do."""
    for claim in unproven(claims):
        digests, index = claim.owner
        failure = _interpreted(digests, index, flags)
        if failure is not None:
            return failure
    return None


def _interpret(runs: Iterable[CheckRun], flags: int) -> CheckFailure | None:
    for digests, start, stop in runs:
        for index in range(start, stop):
            failure = _interpreted(TxDigests(digests.tx, digests.spent), index, flags)
            if failure is not None:
                return failure
    return None


def _interpreted(digests: TxDigests, index: int, flags: int) -> CheckFailure | None:
    if digests.spent is None:
        raise ValueError("a run needs the spent outputs")
    error = verify_input(digests.tx, index, digests.spent[index], flags, digests, templates_enabled=False)
    return None if error is None else CheckFailure(digests.tx, index, error)


def split_checks(all_digests: Sequence[TxDigests], parts: int) -> list[list[CheckRun]]:
    """All inputs of the transactions, in order, as at most parts lists of runs, with as many inputs each."""
    total = sum([digests.tx.input_count for digests in all_digests])
    share = max(1, -(-total // parts))
    lists: list[list[CheckRun]] = []
    room = 0
    for digests in all_digests:
        start, count = 0, digests.tx.input_count
        if count <= room:
            lists[-1].append(_new(CheckRun, (digests, 0, count)))
            room -= count
            continue
        while start < count:
            if room == 0:
                lists.append([])
                room = share
            stop = min(count, start + room)
            lists[-1].append(CheckRun(digests, start, stop))
            room -= stop - start
            start = stop
    return lists


# --- one script -------------------------------------------------------------------------------------


def verify_script(
    script_sig: bytes,
    script_pubkey: bytes,
    witness: Sequence[bytes],
    flags: int,
    checker: SignatureChecker,
) -> ScriptError | None:
    """Why script_sig and witness do not satisfy script_pubkey, or None if they do.

    flags: WITNESS only with P2SH, CLEANSTACK only with both; else adding a flag could let more pass.
    """
    flags = int(flags)
    if flags & _SIGPUSHONLY and not is_push_only(script_sig):
        return ScriptError.SIG_PUSHONLY
    stack: list[bytes] = []  # the two scripts run one after the other, never joined (CVE-2010-5141)
    error = eval_script(stack, script_sig, flags, checker)
    if error:
        return error
    pushed = stack.copy()
    error = eval_script(stack, script_pubkey, flags, checker) or _judge(stack)
    if error:
        return error

    had_witness = False
    if flags & _WITNESS:
        program = is_witness_program(script_pubkey)
        if program is not None:
            had_witness = True
            if script_sig:
                return ScriptError.WITNESS_MALLEATED
            error = _verify_witness_program(witness, *program, flags, checker, False)
            if error:
                return error
            del stack[1:]  # judged inside

    if flags & _P2SH and is_p2sh(script_pubkey):
        if not is_push_only(script_sig):
            return ScriptError.SIG_PUSHONLY
        stack = pushed
        redeem_script = stack.pop()
        error = eval_script(stack, redeem_script, flags, checker) or _judge(stack)
        if error:
            return error
        if flags & _WITNESS:
            program = is_witness_program(redeem_script)
            if program is not None:
                had_witness = True
                if script_sig != push_data(redeem_script):
                    return ScriptError.WITNESS_MALLEATED_P2SH
                error = _verify_witness_program(witness, *program, flags, checker, True)
                if error:
                    return error
                del stack[1:]

    if flags & _CLEANSTACK and len(stack) != 1:
        return ScriptError.CLEANSTACK
    if flags & _WITNESS and not had_witness and witness:
        return ScriptError.WITNESS_UNEXPECTED
    return None


def _judge(stack: list[bytes]) -> ScriptError | None:
    return None if stack and cast_to_bool(stack[-1]) else ScriptError.EVAL_FALSE


def _verify_witness_program(
    witness: Sequence[bytes],
    version: int,
    program: bytes,
    flags: int,
    checker: SignatureChecker,
    in_p2sh: bool,
) -> ScriptError | None:
    if version == 0:
        return _verify_v0(witness, program, flags, checker)
    if version == 1 and len(program) == 32 and not in_p2sh:
        return _verify_taproot(witness, program, flags, checker) if flags & _TAPROOT else None
    if version == 1 and program == b"\x4e\x73" and not in_p2sh:
        return None  # pay to anchor
    if flags & _DISCOURAGE_PROGRAM:
        return ScriptError.DISCOURAGE_UPGRADABLE_WITNESS_PROGRAM
    return None


def _verify_v0(
    witness: Sequence[bytes], program: bytes, flags: int, checker: SignatureChecker
) -> ScriptError | None:
    """P2WSH and P2WPKH (BIP 141)."""
    if len(program) == 32:
        if not witness:
            return ScriptError.WITNESS_PROGRAM_WITNESS_EMPTY
        script = witness[-1]
        if sha256(script) != program:
            return ScriptError.WITNESS_PROGRAM_MISMATCH
        return _run_witness_script(list(witness[:-1]), script, flags, checker, SigVersion.WITNESS_V0)
    if len(program) == 20:
        if len(witness) != 2:
            return ScriptError.WITNESS_PROGRAM_MISMATCH
        script = b"\x76\xa9\x14" + program + b"\x88\xac"
        return _run_witness_script(list(witness), script, flags, checker, SigVersion.WITNESS_V0)
    return ScriptError.WITNESS_PROGRAM_WRONG_LENGTH


def _verify_taproot(
    witness: Sequence[bytes], program: bytes, flags: int, checker: SignatureChecker
) -> ScriptError | None:
    """By key: [sig]; by script: [item..., script, control block]; either with an annex behind (BIP 341)."""
    stack = list(witness)
    if not stack:
        return ScriptError.WITNESS_PROGRAM_WITNESS_EMPTY
    execution = ExecutionData()
    if len(stack) >= 2 and stack[-1][:1] == bytes((ANNEX_TAG,)):
        execution.annex_hash = sha256(var_bytes(stack.pop()))
    if len(stack) == 1:
        return checker.check_schnorr(stack[0], program, SigVersion.TAPROOT, execution)
    control, script = stack.pop(), stack.pop()
    if not is_control_size(len(control)):
        return ScriptError.TAPROOT_WRONG_CONTROL_SIZE
    leaf_version = control[0] & LEAF_MASK
    leaf_hash = tapleaf_hash(leaf_version, script)
    if not commits_to(program, control, leaf_hash):
        return ScriptError.WITNESS_PROGRAM_MISMATCH
    if leaf_version != LEAF_TAPSCRIPT:
        return ScriptError.DISCOURAGE_UPGRADABLE_TAPROOT_VERSION if flags & _DISCOURAGE_LEAF else None
    execution.leaf_hash = leaf_hash
    size = len(compact_size(len(witness))) + sum(len(compact_size(len(item))) + len(item) for item in witness)
    execution.weight_left = size + _WEIGHT_OFFSET
    return _run_witness_script(stack, script, flags, checker, SigVersion.TAPSCRIPT, execution)


def _run_witness_script(
    stack: list[bytes],
    script: bytes,
    flags: int,
    checker: SignatureChecker,
    version: SigVersion,
    execution: ExecutionData | None = None,
) -> ScriptError | None:
    if version is SigVersion.TAPSCRIPT:
        try:
            if _has_op_success(script):  # it succeeds whatever else is wrong with it
                return ScriptError.DISCOURAGE_OP_SUCCESS if flags & _DISCOURAGE_OP_SUCCESS else None
        except ScriptParseError:
            return ScriptError.BAD_OPCODE
        if len(stack) > MAX_STACK_SIZE:
            return ScriptError.STACK_SIZE
    if any(len(item) > MAX_SCRIPT_ELEMENT_SIZE for item in stack):
        return ScriptError.PUSH_SIZE
    error = eval_script(stack, script, flags, checker, version, execution)
    if error:
        return error
    return ScriptError.CLEANSTACK if len(stack) != 1 else _judge(stack)


def _has_op_success(script: bytes) -> bool:
    """Whether there is an OP_SUCCESSx; ScriptParseError if a push that is cut short comes before it."""
    pos = 0
    while pos < len(script):
        opcode, _, pos = read_op(script, pos)
        if opcode in OP_SUCCESSES:
            return True
    return False


# --- counting ---------------------------------------------------------------------------------------


def count_witness_sigops(
    script_sig: bytes, script_pubkey: bytes, witness: Sequence[bytes], flags: int
) -> int:
    """Signature operations in a version 0 witness (BIP 141); taproot has its own budget and counts none."""
    if not int(flags) & _WITNESS:
        return 0
    program = is_witness_program(script_pubkey)
    if program is None and is_p2sh(script_pubkey):
        redeem_script = last_push(script_sig)
        program = None if redeem_script is None else is_witness_program(redeem_script)
    if program is None or program[0] != 0:
        return 0
    if len(program[1]) == 20:
        return 1
    return count_sigops(witness[-1], True) if len(program[1]) == 32 and witness else 0
