"""Reading Core's script vectors: the language they are written in, and their flags."""

from __future__ import annotations

from pybitcoind.chain.script.flags import ScriptFlags
from pybitcoind.chain.script.opcodes import OP_NOP, OP_RESERVED, OPCODE_NAMES
from pybitcoind.chain.script.script import push_data, push_int

_WORDS = {
    name: opcode for opcode, name in OPCODE_NAMES.items() if OP_NOP <= opcode < 0xBA or opcode == OP_RESERVED
}
_WORDS |= {name.removeprefix("OP_"): opcode for name, opcode in _WORDS.items()}

ALL_FLAGS = ScriptFlags(sum(ScriptFlags))


def assemble(text: str) -> bytes:
    """Numbers and 'text' are pushed, 0x... goes in as it is, words are opcodes with or without OP_."""
    script = b""
    for word in text.split():
        if word.lstrip("-").isdecimal():
            script += push_int(int(word))
        elif word.startswith("0x"):
            script += bytes.fromhex(word[2:])
        elif word.startswith("'"):
            script += push_data(word[1:-1].encode())
        else:
            script += bytes((_WORDS[word],))
    return script


def flags_of(text: str) -> ScriptFlags:
    flags = ScriptFlags.NONE
    for name in filter(None, text.split(",")):
        flags |= ScriptFlags[name]
    return flags


def fill(flags: ScriptFlags) -> ScriptFlags:
    """flags with those that they cannot be without."""
    if ScriptFlags.CLEANSTACK in flags or ScriptFlags.TAPROOT in flags:
        flags |= ScriptFlags.WITNESS
    if ScriptFlags.WITNESS in flags:
        flags |= ScriptFlags.P2SH
    return flags


def trim(flags: ScriptFlags) -> ScriptFlags:
    """flags without those that cannot be without the ones that are missing."""
    if ScriptFlags.P2SH not in flags:
        flags &= ~ScriptFlags.WITNESS
    if ScriptFlags.WITNESS not in flags:
        flags &= ~(ScriptFlags.CLEANSTACK | ScriptFlags.TAPROOT)
    return flags
