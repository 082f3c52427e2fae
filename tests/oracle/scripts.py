"""Random scripts, each with the items it runs over: grown so that they mostly run, or made to be at a limit.

`SCRIPTS[name](scene)` gives (script, items); items that begin with "sig " hold the place of signatures.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from pybitcoind.chain.primitives.hashes import sha256
from pybitcoind.chain.primitives.transaction import Transaction, TxOut
from pybitcoind.chain.script import opcodes as op
from pybitcoind.chain.script.errors import ScriptError
from pybitcoind.chain.script.interpreter import eval_script
from pybitcoind.chain.script.machine import ExecutionData, SigVersion
from pybitcoind.chain.script.script import push_data, push_int, script_num

from .signer import (
    BAD_PUBKEYS,
    HYBRID_PUBKEYS,
    INTERNAL,
    LONG_PUBKEYS,
    PUBKEYS,
    SECRETS,
    SIG_OF_ONE,
    X_ONLY,
    Signer,
)

SIZES = (0, 1, 1, 2, 3, 4, 5, 20, 32, 33, 65, 75, 76, 255, 256, 519, 520, 521)
PLAIN = [code for code in range(op.OP_NOP, op.OP_CHECKSIGADD + 1) if code not in op.OP_SUCCESSES]
NUMBERS = (-1, 0, 1, 2, 3, 16, 17, 127, 128, -128, 255, 2**31 - 1, -(2**31) + 1, 2**31, 2**39, -(2**31))
DROP, NOT, NOP, TRUE = b"\x75", b"\x91", b"\x61", b"\x51"


@dataclass
class Place:
    """What a script is made for: its transaction, still without it, and the rules it runs under."""

    rng: random.Random
    tx: Transaction
    index: int
    spent: list[TxOut]
    version: SigVersion
    wanted: dict[bytes, bytes] = field(default_factory=dict)
    """Placeholders that one key signs only."""

    def signer(self) -> Signer:
        return Signer(self.rng, self.tx, self.index, self.spent, self.wanted)

    @property
    def tapscript(self) -> bool:
        return self.version is SigVersion.TAPSCRIPT

    def run(self, script: bytes, items: list[bytes], flags: int) -> tuple[ScriptError | None, list[bytes]]:
        stack, execution = list(items), ExecutionData()
        execution.leaf_hash, execution.weight_left = b"\x01" * 32, 10_000
        return eval_script(stack, script, flags, self.signer(), self.version, execution), stack


Made: TypeAlias = tuple[bytes, list[bytes]]


# --- pieces -----------------------------------------------------------------------------------------


def random_data(rng: random.Random) -> bytes:
    size = rng.choice(SIZES)
    if rng.randrange(2):
        return rng.randbytes(size)
    return bytes((rng.choice((0, 1, 0x7F, 0x80, 0xFF)),)) * size


def random_push(rng: random.Random) -> bytes:
    kind = rng.randrange(6)
    if kind == 0:
        return push_int(rng.choice(NUMBERS))
    if kind == 1:
        return bytes((rng.choice((0, *range(79, 97))),))
    if kind == 2:
        return push_data(
            rng.choice((SIG_OF_ONE, *PUBKEYS, *LONG_PUBKEYS, *HYBRID_PUBKEYS, *X_ONLY, *BAD_PUBKEYS))
        )
    return any_push(rng, random_data(rng))


def any_push(rng: random.Random, data: bytes) -> bytes:
    """A push of data, now and then with a longer prefix than it needs."""
    kind, size = rng.randrange(8), len(data)
    if kind == 1 and size < 256:
        return bytes((op.OP_PUSHDATA1, size)) + data
    if kind == 2:
        return bytes((op.OP_PUSHDATA2,)) + size.to_bytes(2, "little") + data
    if kind == 3:
        return bytes((op.OP_PUSHDATA4,)) + size.to_bytes(4, "little") + data
    return push_data(data)


def random_key(place: Place) -> bytes:
    rng = place.rng
    if rng.randrange(12) == 1:
        return rng.choice(BAD_PUBKEYS)
    if place.tapscript:
        return rng.choice(rng.choice((X_ONLY, X_ONLY, X_ONLY, PUBKEYS)))
    return rng.choice(rng.choice((PUBKEYS, PUBKEYS, PUBKEYS, LONG_PUBKEYS, HYBRID_PUBKEYS)))


def padded(rng: random.Random, number: int) -> bytes:
    """number as an item, now and then longer than it needs to be."""
    data = script_num(number)
    if rng.randrange(4) == 1 and data and not data[-1] & 0x80:
        data += bytes(rng.randrange(1, 4))
    return data


def random_piece(place: Place) -> bytes:
    rng = place.rng
    kind = rng.randrange(14)
    if kind < 3:
        return random_push(rng)
    if kind < 5:
        key = push_data(random_key(place))
        if place.tapscript and rng.randrange(5) < 2:
            return push_int(rng.randrange(3)) + key + bytes((op.OP_CHECKSIGADD,))
        return key + bytes((rng.choice((op.OP_CHECKSIG, op.OP_CHECKSIG, op.OP_CHECKSIGVERIFY)),))
    if kind == 5 and not place.tapscript:
        keys = [random_key(place) for _ in range(rng.randrange(4))]
        required = push_int(rng.randrange(len(keys) + 1))
        return (
            required + b"".join(map(push_data, keys)) + push_int(len(keys)) + rng.choice((b"\xae", b"\xaf"))
        )
    if kind == 6:
        inner = random_push(rng) if rng.randrange(2) else bytes((rng.choice(PLAIN),))
        other = b"\x67" + random_push(rng) if rng.randrange(2) else b""
        return bytes((rng.choice((0x00, 0x51, 0x52)), rng.choice((0x63, 0x64)))) + inner + other + b"\x68"
    if kind == 7:
        return rng.choice((b"\xab", b"\xab", b"\x76", b"\x75", push_data(SIG_OF_ONE) + DROP))
    if kind == 8 and rng.randrange(10) == 1:
        return bytes((rng.randrange(256),))
    if kind == 9:
        return lock(place) + DROP
    if kind == 10:
        a, b = (any_push(rng, padded(rng, rng.choice(NUMBERS))) for _ in range(2))
        return a + b + bytes((rng.randrange(op.OP_ADD, op.OP_WITHIN + 1),))
    if kind == 11:
        return random_push(rng) + bytes((rng.randrange(op.OP_1ADD, op.OP_0NOTEQUAL + 1),))
    if kind == 12:
        return random_push(rng) + bytes((rng.randrange(op.OP_RIPEMD160, op.OP_HASH256 + 1),))
    return bytes((rng.choice(PLAIN),))


def lock(place: Place) -> bytes:
    """A lock near what the transaction has: in blocks or seconds, relative or not, of any length or sign."""
    rng = place.rng
    relative = rng.randrange(2)
    near = place.tx.vin[place.index].sequence if relative else place.tx.locktime
    number = rng.choice((near - 1, near, near + 1, near & 0x40FFFF, 0, 1, -1, 499_999_999, 500_000_000))
    if rng.randrange(6) == 1:
        number = rng.choice((0x400000, 0x40FFFF, 0xFFFF, 2**31, 2**32 - 1, 2**32, 2**39 - 1, 2**39, -(2**39)))
    return any_push(rng, padded(rng, number)) + bytes((0xB2 if relative else 0xB1,))


# --- grown ------------------------------------------------------------------------------------------


def start_items(rng: random.Random) -> list[bytes]:
    return [
        rng.choice((b"", b"\x01", b"sig %d" % n, b"sig %d" % n, rng.randbytes(rng.randrange(4)), SIG_OF_ONE))
        for n in range(rng.randrange(5))
    ]


def grown(place: Place) -> Made:
    """Piece by piece, each kept if the script still runs; mostly it ends with one item that is true.

    Where it ends with a comparison to what we found at the top, Core must have found the same.
    """
    rng, items = place.rng, start_items(place.rng)
    flags = rng.choice((0, 0x600, 0x610, 0x610))  # lock times, empty dummies
    script = b""
    stack = list(items)
    for _ in range(rng.randrange(1, 14)):
        longer = script + random_piece(place)
        error, after = place.run(longer, items, flags)
        if error is None or rng.randrange(50) == 1:
            script, stack = longer, after
    ending = rng.randrange(10)
    if ending == 0:
        return script, items
    if stack and ending < 6 and len(stack[-1]) <= 520:
        script += push_data(stack[-1]) + b"\x88" + DROP * (len(stack) - 1) + TRUE
    elif len(stack) != 1 or ending < 9:
        script += DROP * len(stack) + TRUE
    return script, items


def noise(place: Place) -> Made:
    rng = place.rng
    if rng.randrange(2):
        return rng.randbytes(rng.randrange(60)), start_items(rng)
    ops = (*PLAIN, *range(0x4F, 0x61))
    return bytes(rng.choice(ops) for _ in range(rng.randrange(1, 20))), start_items(rng)


def any_opcode(place: Place) -> Made:
    """One op of all there are, run or not, over a few items."""
    rng = place.rng
    code = bytes((rng.randrange(256),))
    start = b"".join(random_push(rng) for _ in range(rng.randrange(7)))
    form = rng.randrange(4)
    if form == 0:
        return start + code, [TRUE[:0], b"\x01"]
    if form == 1:
        return b"\x00\x63" + code + b"\x68\x51", []
    if form == 2:
        return start + code + b"\x51", [b"\x01"] * rng.randrange(4)
    return b"\x51\x63" + code + b"\x67" + bytes((rng.randrange(256),)) + b"\x68\x51", [b"\x01"] * 3


def successes(place: Place) -> Made:
    """OP_SUCCESSx, which decides before anything runs, but not before a push that is cut short."""
    rng = place.rng
    code = bytes((rng.choice(sorted(op.OP_SUCCESSES)),))
    before = rng.choice((b"", b"\x6a", b"\x01", b"\x4d\xff", b"\x63", random_push(rng), b"\x00\x63"))
    behind = rng.choice((b"", b"\x6a", b"\x05\x01", b"\x4c", b"\x4e\xff\xff\xff\xff", rng.randbytes(3)))
    items = rng.choice(([], [b""], [bytes(521)], [b""] * 1001))
    return before + code + behind, list(items)


# --- at the limits ----------------------------------------------------------------------------------


def pushes(place: Place) -> Made:
    """Items near 520 bytes, from the script or from outside, and pushes cut short."""
    rng = place.rng
    size = rng.choice((75, 76, 255, 256, 519, 520, 520, 521, 522))
    data = rng.randbytes(size)
    form = rng.randrange(5)
    if form == 0:
        return any_push(rng, data) + DROP + TRUE, []
    if form == 1:
        return DROP + TRUE, [data]
    if form == 2:
        return b"\x00\x63" + any_push(rng, data) + b"\x68\x51", []
    if form == 3:
        cut = any_push(rng, data)
        return TRUE + cut[: rng.randrange(len(cut) + 1)], []
    return b"\x82" + push_int(size) + b"\x9d" + DROP + TRUE, [data]


def op_counts(place: Place) -> Made:
    """About 201 operations, those of a multisig counted with its keys."""
    rng = place.rng
    count = rng.choice((199, 200, 201, 202, 203))
    if rng.randrange(2) or place.tapscript:
        return rng.choice((NOP, b"\xb0")) * count + TRUE, []
    keys = rng.randrange(21)
    multisig = b"\x00\x00" + push_data(PUBKEYS[0]) * keys + push_int(keys) + b"\xae"
    return NOP * (count - keys - 1) + multisig, []


def script_sizes(place: Place) -> Made:
    """About 10,000 bytes."""
    rng = place.rng
    wanted = rng.choice((9_999, 10_000, 10_000, 10_001, 10_200))
    script = (b"\x4d\x08\x02" + bytes(520) + DROP) * 18
    rest = wanted - len(script) - 1
    while rest:
        size = min(rest - 4, 400)
        script += b"\x4d" + size.to_bytes(2, "little") + bytes(size) + DROP
        rest -= size + 4
    return script + TRUE, []


def stack_sizes(place: Place) -> Made:
    """About 1,000 items on both stacks."""
    rng = place.rng
    count = rng.choice((998, 999, 1000, 1001, 1002))
    form = rng.randrange(4)
    if form == 0 and place.version is not SigVersion.BASE:
        return b"\x6d" * ((count - 1) // 2) + DROP * ((count - 1) % 2), [b"\x01"] * count
    if form == 1:
        moved = rng.randrange(100)
        return TRUE * moved + b"\x6b" * moved + TRUE * (count - moved), []
    if form == 2 and place.tapscript:
        return TRUE * count + b"\x6d" * ((count - 1) // 2) + DROP * ((count - 1) % 2), []
    return TRUE * (count - 3) + b"\x6f", []


def budgets(place: Place) -> Made:
    """As many signature checks in a tapscript as its witness pays for, one more, or one less."""
    rng = place.rng
    key = rng.choice((X_ONLY[0], X_ONLY[0], PUBKEYS[0], b"\x02" * 31))
    checks = rng.randrange(1, 12)
    head = push_data(key)
    script = head + b"\x6e\xad" * checks + b"\x6d\x51"
    # count, signature, script and control block, each behind its length; the weight begins 50 higher
    size = 1 + 65 + 1 + len(script) + 1 + 33
    missing = 50 * checks - 50 - size + rng.choice((-1, 0, 0, 1, 2))
    if missing > 2:
        script = push_data(bytes(missing - 2 if missing < 78 else missing - 3)) + DROP + script
    return script, [b"sig 0" if rng.randrange(6) else b""]


# --- signatures -------------------------------------------------------------------------------------


def multisigs(place: Place) -> Made:
    """m of n with n up to 20, the signers in order or not, the dummy empty or not."""
    rng = place.rng
    n = rng.choice((0, 1, 2, 3, 3, 4, 5, 15, 16, 17, 19, 20, 21))
    m = rng.choice((0, 1, 2, n, n, n + 1, rng.randrange(n + 1)))
    keys = [random_key(place) for _ in range(n)]
    known = [at for at, key in enumerate(keys) if key in SECRETS]
    signers = sorted(rng.sample(known, min(m, len(known))))
    if rng.randrange(8) == 1:
        rng.shuffle(signers)
    sigs = [b"sig %d" % number for number in range(m)]
    place.wanted = {sig: keys[at] for sig, at in zip(sigs, signers, strict=False)}
    if rng.randrange(8) == 1 and sigs:
        sigs[rng.randrange(m)] = rng.choice((b"", SIG_OF_ONE, b"\x01"))
    dummy = rng.choice((b"", b"", b"", b"", b"\0", b"\x01", b"sig 0"))
    separator = b"\xab" if rng.randrange(5) == 1 else b""
    script = push_int(m) + b"".join(map(push_data, keys)) + push_int(n) + separator
    script += rng.choice((b"\xae", b"\xae", b"\xae\x91", b"\xaf\x51"))
    return script, [dummy, *sigs]


def checksigs(place: Place) -> Made:
    """One key of any form; behind OP_NOT a failure that is no error shows."""
    rng = place.rng
    key = push_data(random_key(place))
    separators = b"\xab" * rng.randrange(3)
    tail = rng.choice((b"\xac", b"\xac", b"\xac" + NOT, b"\xad\x51"))
    if place.tapscript and rng.randrange(3) == 1:
        number = rng.choice((0, 1, -1, 2**31 - 1, 2**31))
        return (
            push_int(number) + separators + key + b"\xba" + push_int(number + 1) + b"\x87",
            [b"sig 0" if rng.randrange(4) else b""],
        )
    item = rng.choice((b"sig 0", b"sig 0", b"sig 0", b"", SIG_OF_ONE, b"\x01"))
    hidden = b"\x00\x63\xab\x68" if rng.randrange(4) == 1 else b""
    return separators + hidden + key + tail, [item]


def wallet_forms(place: Place) -> Made:
    """What wallets make: a key, some of many keys, a key and a lock, a key and a secret; and near misses."""
    rng, keys = place.rng, (X_ONLY if place.tapscript else PUBKEYS)
    key = push_data(rng.choice(keys) if rng.randrange(12) else random_key(place))
    form = rng.randrange(4)
    if form == 0:
        return key + rng.choice((b"\xac", b"\xac", b"\xac\x51\x9c", b"\xac\x61")), [b"sig 0"]
    if form == 1 and place.tapscript:
        count = rng.choice((1, 2, 3, 3, 5, 17))
        chosen = [rng.choice(X_ONLY) if rng.randrange(20) else random_key(place) for _ in range(count)]
        signers = set(rng.sample(range(count), rng.randrange(count + 1)))
        items = [b"sig %d" % n if n in signers else b"" for n in range(count)]
        if rng.randrange(10) == 1:
            items[rng.randrange(count)] = rng.choice((b"\0", b"\x01", bytes(64), bytes(65)))
        checks = [push_data(key) + (b"\xba" if n else b"\xac") for n, key in enumerate(chosen)]
        wanted = len(signers) + (rng.choice((-1, 1)) if rng.randrange(8) == 1 else 0)
        end = rng.choice((b"\x9c", b"\x9c", b"\x9c", b"\x87", b"\xa2"))
        return b"".join(checks) + any_push_int(rng, wanted) + end, items[::-1]
    if form == 2:
        verify = rng.choice((b"\xad", b"\xad", b"\xac\x69"))
        return key + verify + lock(place), [b"sig 0"]
    secret = rng.choice((rng.randbytes(32), rng.randbytes(32), rng.randbytes(32), b"", rng.randbytes(31)))
    digest = sha256(secret) if rng.randrange(10) else rng.randbytes(32)
    head = rng.choice((b"\x82\x01\x20\x88\xa8", b"\x82\x01\x20\x88\xa8", b"\xa8"))
    return head + push_data(digest) + b"\x88" + key + b"\xac", [b"sig 0", secret]


def any_push_int(rng: random.Random, number: int) -> bytes:
    return push_int(number) if rng.randrange(8) else any_push(rng, script_num(number))


def cut_out(place: Place) -> Made:
    """Signatures in the script they sign (FindAndDelete), pushed the usual way or another.

    The signature is made over a script without it, so that it is good where it is cut out, and only there.
    """
    from pybitcoind.chain.script import secp
    from pybitcoind.chain.script.sighash import legacy_sighash, segwit_v0_sighash

    rng = place.rng
    which = rng.randrange(len(PUBKEYS))
    key = push_data(PUBKEYS[which])
    hash_type = rng.choice((1, 1, 2, 3, 0x81))
    separator = rng.choice((b"", b"", b"\xab"))
    before, behind = rng.choice((b"", b"\x00" + DROP)), DROP + rng.choice((b"", NOP))
    multisig = rng.randrange(3) == 1
    check = (b"\x51" + key + b"\x51\xae") if multisig else key + b"\xac"
    code = before + behind + check
    # what is left of the script once its signature is cut out; CODESEPARATOR lies before all of it
    if place.version is SigVersion.WITNESS_V0:
        amount = place.spent[place.index].value
        digest = segwit_v0_sighash(code, place.tx, place.index, hash_type, amount)
    else:
        digest = legacy_sighash(code, place.tx, place.index, hash_type)
    sig = secp.sign_ecdsa(SECRETS[PUBKEYS[which]], digest) + bytes((hash_type,))
    inside = rng.choice((push_data(sig), push_data(sig), push_data(sig) * 2 + DROP, any_push(rng, sig)))
    script = separator + before + inside + behind + check
    return script, [b"", sig] if multisig else [sig]


def locks(place: Place) -> Made:
    rng = place.rng
    if rng.randrange(2):
        return lock(place) + DROP + TRUE, []
    made = lock(place)
    return made[-1:] + DROP + TRUE, [made[1:-1][: rng.randrange(9)]]


def conditions(place: Place) -> Made:
    """OP_IF over items that are true, false and more."""
    rng = place.rng
    item = rng.choice((b"", b"\x01", b"\x02", b"\0", b"\x01\0", b"\x80", b"\0\x80", b"\0\0\x80", b"\x01\x01"))
    code = bytes((rng.choice((0x63, 0x64)),))
    yes, no = rng.choice(((b"\x51", b"\x00"), (b"\x00", b"\x51"), (b"\x51", b"\x51")))
    tail = rng.choice((b"\x68", b"\x68", b"\x68", b"", b"\x68\x68", b"\x67\x68", b"\x67\x67\x68"))
    return code + yes + b"\x67" + no + tail, [item]


SCRIPTS: dict[str, Callable[[Place], Made]] = {
    "grown": grown,
    "noise": noise,
    "any opcode": any_opcode,
    "success": successes,
    "pushes": pushes,
    "op count": op_counts,
    "script size": script_sizes,
    "stack size": stack_sizes,
    "budget": budgets,
    "multisig": multisigs,
    "checksig": checksigs,
    "wallet form": wallet_forms,
    "cut out": cut_out,
    "locks": locks,
    "conditions": conditions,
}
WEIGHTS = {
    "grown": 14,
    "wallet form": 4,
    "checksig": 4,
    "multisig": 3,
    "locks": 2,
    "script size": 0.4,
    "stack size": 0.4,
}
OLD_WEIGHTS = {**WEIGHTS, "success": 0.2, "budget": 0.2, "cut out": 3}
TAPSCRIPT_WEIGHTS = {**WEIGHTS, "multisig": 0.5, "cut out": 0.2, "budget": 3, "success": 2, "noise": 0.5}
"""1 where nothing is said. Older scripts know neither OP_SUCCESSx nor a budget, tapscripts no multisig."""

__all__ = ["INTERNAL", "OLD_WEIGHTS", "SCRIPTS", "TAPSCRIPT_WEIGHTS", "Made", "Place"]
