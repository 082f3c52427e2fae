"""Short cuts for the script paths of taproot that wallets make (templates.py tells what a template may say).

<key> is 32 bytes, <n> a number by OP_1 to OP_16 or a shortest push:

    <key> CHECKSIG
    <key> CHECKSIG (<key> CHECKSIGADD)... <m> NUMEQUAL
    SIZE 32 EQUALVERIFY SHA256 <hash> EQUALVERIFY <key> CHECKSIG
    <key> CHECKSIGVERIFY <n> CHECKSEQUENCEVERIFY, or CHECKLOCKTIMEVERIFY
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..primitives.hashes import sha256
from ..primitives.transaction import Transaction
from .checker import TxChecker
from .opcodes import (
    OP_1,
    OP_16,
    OP_CHECKLOCKTIMEVERIFY,
    OP_CHECKSEQUENCEVERIFY,
    OP_CHECKSIG,
    OP_CHECKSIGADD,
    OP_CHECKSIGVERIFY,
    OP_NUMEQUAL,
)
from .script import ScriptNumError, decode_num, script_num
from .secp import SCHNORR, TWEAK, Claim
from .sighash import TxDigests, taproot_sighash
from .taproot import (
    CONTROL_BASE_SIZE,
    LEAF_MASK,
    LEAF_TAPSCRIPT,
    is_control_size,
    merkle_root_of,
    tapleaf_hash,
    taptweak,
)

_HASH_LOCK_START = b"\x82\x01\x20\x88\xa8\x20"
_HASH_LOCK_MIDDLE = b"\x88\x20"
_KEY_PUSH = 32
_MOST_KEYS = 100
"""Of a multisig: far from where the stack overflows, at a thousand items."""
_new = tuple.__new__


def script_path(
    tx: Transaction,
    index: int,
    program: bytes,
    stack: Sequence[bytes],
    digests: TxDigests,
    claims: list[Claim],
    owner: Any,
) -> bool:
    """Whether the witness stack satisfies the output key program, if the claims that are added hold.

    False adds nothing. Without annex only. The budget of signatures (BIP 342) is never short here: each has
    more bytes than it costs.
    """
    if len(stack) < 3:
        return False
    control, script = stack[-1], stack[-2]
    if not is_control_size(len(control)) or control[0] & LEAF_MASK != LEAF_TAPSCRIPT:
        return False  # an annex is told here too: it begins with another byte
    pairs = _signatures_wanted(tx, index, script, stack[:-2], digests)
    if pairs is None:
        return False
    leaf_hash = tapleaf_hash(LEAF_TAPSCRIPT, script)
    made: list[Claim] = []
    hashes: dict[int, bytes] = {}
    for key, sig in pairs:
        hash_type = 0 if len(sig) == 64 else sig[64]
        digest = hashes.get(hash_type)
        if digest is None:
            digest = taproot_sighash(tx, index, hash_type, digests, leaf_hash=leaf_hash)
            if digest is None:
                return False
            hashes[hash_type] = digest
        made.append(_new(Claim, (SCHNORR, key, sig, digest, owner)))
    internal = control[1:CONTROL_BASE_SIZE]
    tweak = taptweak(internal, merkle_root_of(control, leaf_hash))
    claims.append(_new(Claim, (TWEAK, internal, bytes((control[0] & 1,)) + program, tweak, owner)))
    claims += made
    return True


def _signatures_wanted(
    tx: Transaction, index: int, script: bytes, items: Sequence[bytes], digests: TxDigests
) -> list[tuple[bytes, bytes]] | None:
    """(key, signature) pairs that are left to check when script runs over items; None if it is not known."""
    size = len(script)
    if size < 34 or not items:
        return None
    if script[0] == _KEY_PUSH:
        key, opcode = script[1:33], script[33]
        if opcode == OP_CHECKSIG:
            if size == 34:
                return _pair(key, items[0]) if len(items) == 1 else None
            return _checksigadd(script, items)
        if opcode == OP_CHECKSIGVERIFY and len(items) == 1 and _lock_passes(tx, index, script, digests):
            return _pair(key, items[0])
        return None
    if (
        size == 73
        and len(items) == 2
        and script[:6] == _HASH_LOCK_START
        and script[38:40] == _HASH_LOCK_MIDDLE
        and script[72] == OP_CHECKSIG
    ):
        sig, preimage = items
        if len(preimage) == 32 and sha256(preimage) == script[6:38]:
            return _pair(script[40:72], sig)
    return None


def _pair(key: bytes, sig: bytes) -> list[tuple[bytes, bytes]] | None:
    """One pair, if sig has the size of a signature and a hash type that may be one."""
    return [(key, sig)] if len(sig) == 64 or (len(sig) == 65 and sig[64]) else None


def _checksigadd(script: bytes, items: Sequence[bytes]) -> list[tuple[bytes, bytes]] | None:
    """m of n: the signature of the first key lies on top; who does not sign leaves an empty item."""
    count = len(items)
    end = 34 * count
    if (
        count > _MOST_KEYS
        or len(script) != end + 2
        or script[-1] != OP_NUMEQUAL
        or not OP_1 <= script[end] <= OP_16
    ):
        return None
    pairs: list[tuple[bytes, bytes]] = []
    for n, sig in enumerate(reversed(items)):
        at = 34 * n
        if script[at] != _KEY_PUSH or script[at + 33] != (OP_CHECKSIGADD if n else OP_CHECKSIG):
            return None
        if sig:
            pair = _pair(script[at + 1 : at + 33], sig)
            if pair is None:
                return None
            pairs += pair
    return pairs if len(pairs) == script[end] - OP_1 + 1 else None


def _lock_passes(tx: Transaction, index: int, script: bytes, digests: TxDigests) -> bool:
    """Whether behind <key> CHECKSIGVERIFY there is a lock, and nothing else, that has passed."""
    if len(script) < 36:
        return False
    if OP_1 <= script[34] <= OP_16 and len(script) == 36:
        number = script[34] - OP_1 + 1
    else:
        data = script[35:-1]
        if not 1 <= len(data) <= 5 or script[34] != len(data):
            return False
        try:
            number = decode_num(data, True, 5)
        except ScriptNumError:
            return False
        if number <= 16 or script_num(number) != data:
            return False
    checker = TxChecker(tx, index, 0, digests)
    if script[-1] == OP_CHECKSEQUENCEVERIFY:
        return number < 1 << 31 and checker.check_sequence(number)
    return script[-1] == OP_CHECKLOCKTIMEVERIFY and checker.check_lock_time(number)
