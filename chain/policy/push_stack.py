"""The stack that a push-only script leaves, for looking at redeem scripts before anything is run."""

from __future__ import annotations

from ..script.errors import ScriptError

MAX_ELEMENT_SIZE, MAX_STACK_SIZE = 520, 1000
_PUSHDATA = {0x4C: 1, 0x4D: 2, 0x4E: 4}
_1NEGATE, _RESERVED, _1, _16 = 0x4F, 0x50, 0x51, 0x60


def push_stack(script: bytes) -> tuple[list[bytes], str | None]:
    """(stack, None), or the items so far and the interpreter's message for why script fails.

    script: only pushes, as is_push_only allows them; any other opcode counts as a bad one.
    """
    stack: list[bytes] = []
    pos, end = 0, len(script)
    while pos < end:
        opcode = script[pos]
        pos += 1
        if opcode <= 0x4E:
            size = opcode
            if opcode in _PUSHDATA:
                width = _PUSHDATA[opcode]
                if pos + width > end:
                    return stack, ScriptError.BAD_OPCODE.message
                size = int.from_bytes(script[pos : pos + width], "little")
                pos += width
            if pos + size > end:
                return stack, ScriptError.BAD_OPCODE.message
            if size > MAX_ELEMENT_SIZE:
                return stack, ScriptError.PUSH_SIZE.message
            stack.append(script[pos : pos + size])
            pos += size
        elif opcode == _1NEGATE:
            stack.append(b"\x81")
        elif _1 <= opcode <= _16:
            stack.append(bytes((opcode - _RESERVED,)))
        else:
            return stack, ScriptError.BAD_OPCODE.message
        if len(stack) > MAX_STACK_SIZE:
            return stack, ScriptError.STACK_SIZE.message
    return stack, None
