"""Script verification flags: which rules hold. Names, order and sets as in Bitcoin Core 31.99.

Each flag is a soft fork: whatever passes with more flags passes with fewer.
"""

from __future__ import annotations

from enum import IntFlag, auto
from functools import lru_cache


class ScriptFlags(IntFlag):
    """Core's SCRIPT_VERIFY_ flags. What runs once per input takes them as a plain int: faster."""

    NONE = 0
    P2SH = auto()
    """Pay to script hash (BIP 16)."""
    STRICTENC = auto()
    """Strict DER, defined hash types, keys of a known form. Policy only."""
    DERSIG = auto()
    """Strict DER signatures (BIP 66)."""
    LOW_S = auto()
    """S at most half the group order. Policy only."""
    NULLDUMMY = auto()
    """The extra item that CHECKMULTISIG eats is empty (BIP 147)."""
    SIGPUSHONLY = auto()
    """Nothing but pushes in the scriptSig."""
    MINIMALDATA = auto()
    """Shortest pushes and numbers. Policy only."""
    DISCOURAGE_UPGRADABLE_NOPS = auto()
    CLEANSTACK = auto()
    """One item is left. Policy only, and only with P2SH and WITNESS; inside witnesses it is a rule anyway."""
    CHECKLOCKTIMEVERIFY = auto()
    """BIP 65."""
    CHECKSEQUENCEVERIFY = auto()
    """BIP 112."""
    WITNESS = auto()
    """Segregated witness (BIP 141, BIP 143). Only with P2SH."""
    DISCOURAGE_UPGRADABLE_WITNESS_PROGRAM = auto()
    MINIMALIF = auto()
    """OP_IF takes empty or 0x01 in witness v0. Policy only; in tapscript it is a rule anyway."""
    NULLFAIL = auto()
    """A signature that fails is empty. Policy only."""
    WITNESS_PUBKEYTYPE = auto()
    """Compressed keys in witness v0. Policy only."""
    CONST_SCRIPTCODE = auto()
    """No OP_CODESEPARATOR and no signature inside the script it signs, outside witnesses. Policy only."""
    TAPROOT = auto()
    """BIP 341 and BIP 342. Only with WITNESS."""
    DISCOURAGE_UPGRADABLE_TAPROOT_VERSION = auto()
    DISCOURAGE_OP_SUCCESS = auto()
    DISCOURAGE_UPGRADABLE_PUBKEYTYPE = auto()


MANDATORY_FLAGS = (
    ScriptFlags.P2SH
    | ScriptFlags.DERSIG
    | ScriptFlags.NULLDUMMY
    | ScriptFlags.CHECKLOCKTIMEVERIFY
    | ScriptFlags.CHECKSEQUENCEVERIFY
    | ScriptFlags.WITNESS
    | ScriptFlags.TAPROOT
)
"""What blocks of today must obey; breaking these in a relayed transaction is a consensus failure."""

STANDARD_FLAGS = (
    MANDATORY_FLAGS
    | ScriptFlags.STRICTENC
    | ScriptFlags.MINIMALDATA
    | ScriptFlags.DISCOURAGE_UPGRADABLE_NOPS
    | ScriptFlags.CLEANSTACK
    | ScriptFlags.MINIMALIF
    | ScriptFlags.NULLFAIL
    | ScriptFlags.LOW_S
    | ScriptFlags.DISCOURAGE_UPGRADABLE_WITNESS_PROGRAM
    | ScriptFlags.WITNESS_PUBKEYTYPE
    | ScriptFlags.CONST_SCRIPTCODE
    | ScriptFlags.DISCOURAGE_UPGRADABLE_TAPROOT_VERSION
    | ScriptFlags.DISCOURAGE_OP_SUCCESS
    | ScriptFlags.DISCOURAGE_UPGRADABLE_PUBKEYTYPE
)
"""What transactions must obey to be relayed."""


@lru_cache(maxsize=64)
def _names(flags: int) -> tuple[str, ...]:
    return tuple(sorted(flag.name for flag in ScriptFlags if flag.name and flags & flag))


def flag_names(flags: int) -> list[str]:
    """The names of the flags that are set, in alphabetical order, as getdeploymentinfo lists them."""
    return list(_names(int(flags)))
