"""The opcodes and their names in Core's asm."""

from __future__ import annotations

# push
OP_0 = OP_FALSE = 0x00
OP_PUSHDATA1, OP_PUSHDATA2, OP_PUSHDATA4 = 0x4C, 0x4D, 0x4E
OP_1NEGATE = 0x4F
OP_RESERVED = 0x50
OP_1 = OP_TRUE = 0x51
OP_2, OP_3, OP_4, OP_5, OP_6 = 0x52, 0x53, 0x54, 0x55, 0x56
OP_7, OP_8, OP_9, OP_10, OP_11 = 0x57, 0x58, 0x59, 0x5A, 0x5B
OP_12, OP_13, OP_14, OP_15, OP_16 = 0x5C, 0x5D, 0x5E, 0x5F, 0x60

# control
OP_NOP = 0x61
OP_VER = 0x62
OP_IF, OP_NOTIF = 0x63, 0x64
OP_VERIF, OP_VERNOTIF = 0x65, 0x66
OP_ELSE, OP_ENDIF = 0x67, 0x68
OP_VERIFY = 0x69
OP_RETURN = 0x6A

# stack
OP_TOALTSTACK, OP_FROMALTSTACK = 0x6B, 0x6C
OP_2DROP, OP_2DUP, OP_3DUP = 0x6D, 0x6E, 0x6F
OP_2OVER, OP_2ROT, OP_2SWAP = 0x70, 0x71, 0x72
OP_IFDUP, OP_DEPTH, OP_DROP, OP_DUP = 0x73, 0x74, 0x75, 0x76
OP_NIP, OP_OVER, OP_PICK, OP_ROLL = 0x77, 0x78, 0x79, 0x7A
OP_ROT, OP_SWAP, OP_TUCK = 0x7B, 0x7C, 0x7D

# strings; all but OP_SIZE are disabled
OP_CAT, OP_SUBSTR, OP_LEFT, OP_RIGHT = 0x7E, 0x7F, 0x80, 0x81
OP_SIZE = 0x82

# bits
OP_INVERT, OP_AND, OP_OR, OP_XOR = 0x83, 0x84, 0x85, 0x86
OP_EQUAL, OP_EQUALVERIFY = 0x87, 0x88
OP_RESERVED1, OP_RESERVED2 = 0x89, 0x8A

# numbers
OP_1ADD, OP_1SUB, OP_2MUL, OP_2DIV = 0x8B, 0x8C, 0x8D, 0x8E
OP_NEGATE, OP_ABS, OP_NOT, OP_0NOTEQUAL = 0x8F, 0x90, 0x91, 0x92
OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_MOD = 0x93, 0x94, 0x95, 0x96, 0x97
OP_LSHIFT, OP_RSHIFT = 0x98, 0x99
OP_BOOLAND, OP_BOOLOR = 0x9A, 0x9B
OP_NUMEQUAL, OP_NUMEQUALVERIFY, OP_NUMNOTEQUAL = 0x9C, 0x9D, 0x9E
OP_LESSTHAN, OP_GREATERTHAN, OP_LESSTHANOREQUAL, OP_GREATERTHANOREQUAL = 0x9F, 0xA0, 0xA1, 0xA2
OP_MIN, OP_MAX, OP_WITHIN = 0xA3, 0xA4, 0xA5

# hashes and signatures
OP_RIPEMD160, OP_SHA1, OP_SHA256, OP_HASH160, OP_HASH256 = 0xA6, 0xA7, 0xA8, 0xA9, 0xAA
OP_CODESEPARATOR = 0xAB
OP_CHECKSIG, OP_CHECKSIGVERIFY = 0xAC, 0xAD
OP_CHECKMULTISIG, OP_CHECKMULTISIGVERIFY = 0xAE, 0xAF

# expansion
OP_NOP1 = 0xB0
OP_CHECKLOCKTIMEVERIFY = OP_NOP2 = 0xB1
OP_CHECKSEQUENCEVERIFY = OP_NOP3 = 0xB2
OP_NOP4, OP_NOP5, OP_NOP6, OP_NOP7, OP_NOP8, OP_NOP9, OP_NOP10 = 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9
OP_CHECKSIGADD = 0xBA
"""BIP 342."""
OP_INVALIDOPCODE = 0xFF

MAX_OPCODE = OP_NOP10
"""The highest opcode that a decoded transaction may hold to count as sane (Core MAX_OPCODE)."""

_ALIASES = {"OP_FALSE", "OP_TRUE", "OP_NOP2", "OP_NOP3"}
_SMALL_NUMBERS = {OP_0: "0", OP_1NEGATE: "-1"} | {OP_1 + n - 1: str(n) for n in range(1, 17)}

OPCODE_NAMES: dict[int, str] = {
    value: _SMALL_NUMBERS.get(value, name)
    for name, value in list(globals().items())
    if name.startswith("OP_") and name not in _ALIASES
}
"""Core's GetOpName; opcodes that are not here print as OP_UNKNOWN."""


def is_op_success(opcode: int) -> bool:
    """Whether the opcode makes any tapscript succeed (OP_SUCCESSx, BIP 342)."""
    return opcode in OP_SUCCESSES


OP_SUCCESSES = frozenset(
    (80, 98, 126, 127, 128, 129, 131, 132, 133, 134, 137, 138, 141, 142, *range(149, 154), *range(187, 255))
)
