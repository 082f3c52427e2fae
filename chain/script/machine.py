"""The state of a script that runs, and what it asks of the transaction it is in."""

from __future__ import annotations

from enum import IntEnum

from .errors import ScriptError
from .flags import ScriptFlags
from .script import decode_num

_MINIMALDATA = int(ScriptFlags.MINIMALDATA)

TRUE, FALSE = b"\x01", b""


class SigVersion(IntEnum):
    """Which rules and which signature hash a script is under."""

    BASE = 0
    """Bare scripts and redeem scripts."""
    WITNESS_V0 = 1
    """BIP 141, BIP 143."""
    TAPROOT = 2
    """A key path: no script runs (BIP 341)."""
    TAPSCRIPT = 3
    """BIP 342."""


class ScriptFailure(Exception):
    """Ends a script; never leaves eval_script."""

    def __init__(self, error: ScriptError) -> None:
        super().__init__(error.name)
        self.error = error


class ExecutionData:
    """What tapscript keeps beside the stack. annex_hash: SHA-256 of the annex behind its length, if any."""

    __slots__ = ("annex_hash", "code_separator_pos", "leaf_hash", "weight_left")

    def __init__(self, annex_hash: bytes | None = None) -> None:
        self.annex_hash = annex_hash
        self.leaf_hash: bytes | None = None
        self.code_separator_pos = 0xFFFFFFFF
        self.weight_left = 0


class SignatureChecker:
    """What a script asks of its transaction. This one says no to all; `checker.TxChecker` knows one."""

    __slots__ = ()

    def check_ecdsa(self, sig: bytes, pubkey: bytes, script_code: bytes, version: SigVersion) -> bool:
        """Whether sig, its hash type behind it, signs the input with pubkey. Any bytes may come."""
        return False

    def check_schnorr(
        self, sig: bytes, pubkey: bytes, version: SigVersion, execution: ExecutionData
    ) -> ScriptError | None:
        """What is wrong with sig by the x-only pubkey of 32 bytes, None if it is right."""
        return ScriptError.SCHNORR_SIG

    def check_lock_time(self, lock_time: int) -> bool:
        """Whether the transaction's lock time is at least lock_time and in force (BIP 65)."""
        return False

    def check_sequence(self, sequence: int) -> bool:
        """Whether the input's sequence is a relative lock of at least sequence (BIP 112)."""
        return False


class Machine:
    """A script with its stacks. Items are bytes; the end of a list is the top.

    conditions: one bool per open OP_IF, true where that branch runs; skipping: how many of them are false.
    pos: offset behind the op that runs; op_number: how many ops came before it.
    code_start: behind the last OP_CODESEPARATOR that ran; from there on signatures sign the script.
    """

    __slots__ = (
        "alt",
        "checker",
        "code_start",
        "conditions",
        "execution",
        "flags",
        "minimal",
        "op_count",
        "op_number",
        "pos",
        "script",
        "skipping",
        "stack",
        "version",
    )

    def __init__(
        self,
        stack: list[bytes],
        script: bytes,
        flags: int,
        checker: SignatureChecker,
        version: SigVersion,
        execution: ExecutionData,
    ) -> None:
        self.stack, self.script, self.flags = stack, script, int(flags)
        self.checker, self.version, self.execution = checker, version, execution
        self.alt: list[bytes] = []
        self.conditions: list[bool] = []
        self.skipping = self.op_count = self.op_number = self.pos = self.code_start = 0
        self.minimal = bool(self.flags & _MINIMALDATA)

    def need(self, count: int) -> None:
        """Fail unless the stack holds that many items."""
        if len(self.stack) < count:
            raise ScriptFailure(ScriptError.INVALID_STACK_OPERATION)

    def number(self, place: int) -> int:
        """The item at stack[place] as a number of up to 4 bytes; ScriptNumError otherwise."""
        return decode_num(self.stack[place], self.minimal)

    def push_bool(self, value: bool) -> None:
        self.stack.append(TRUE if value else FALSE)


def cast_to_bool(item: bytes) -> bool:
    """Any byte but zero makes true; a last byte of 80 alone is negative zero, which is false."""
    return item.lstrip(b"\0") not in (b"", b"\x80")
