"""Random inputs of every kind, about half of them taproot: good ones, hostile ones, and good ones damaged."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from pybitcoind.chain.primitives.hashes import hash160, sha256
from pybitcoind.chain.primitives.serialize import var_bytes
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script import secp
from pybitcoind.chain.script.address import ScriptHash, WitnessV0ScriptHash
from pybitcoind.chain.script.interpreter import eval_script
from pybitcoind.chain.script.machine import ExecutionData, SigVersion
from pybitcoind.chain.script.script import push_data
from pybitcoind.chain.script.sighash import TxDigests, legacy_sighash, segwit_v0_sighash, taproot_sighash
from pybitcoind.chain.script.taproot import output_key, tapbranch_hash, tapleaf_hash, taptweak

from .scripts import OLD_WEIGHTS, SCRIPTS, TAPSCRIPT_WEIGHTS, Place, any_push, random_data
from .signer import (
    BAD_PUBKEYS,
    HASH_TYPES,
    INTERNAL,
    KEYS,
    LONG_PUBKEYS,
    PUBKEYS,
    SECRETS,
    TAPROOT_TYPES,
    deformed,
    schnorr,
)

VERSIONS = {
    "bare": SigVersion.BASE,
    "p2sh": SigVersion.BASE,
    "p2wsh": SigVersion.WITNESS_V0,
    "p2sh-p2wsh": SigVersion.WITNESS_V0,
    "tapscript": SigVersion.TAPSCRIPT,
}
OLD_FORMS = ("bare", "p2sh", "p2wsh", "p2wsh", "p2sh-p2wsh")


class Spend(NamedTuple):
    """Input index of tx, and the outputs that tx spends. kind: how it was made."""

    kind: str
    tx: Transaction
    index: int
    spent: list[TxOut]

    def as_json(self) -> dict[str, Any]:
        outputs = [[out.value, out.script_pubkey.hex()] for out in self.spent]
        return {"kind": self.kind, "tx": self.tx.raw.hex(), "index": self.index, "spent": outputs}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Spend:
        spent = [TxOut(value, bytes.fromhex(script)) for value, script in told["spent"]]
        return cls(told["kind"], Transaction.decode(bytes.fromhex(told["tx"])), told["index"], spent)


@dataclass
class Draft:
    """A transaction one of whose inputs is still to be filled."""

    rng: random.Random
    vin: list[TxIn]
    vout: list[TxOut]
    version: int
    locktime: int
    index: int
    spent: list[TxOut]

    @property
    def bare(self) -> Transaction:
        return Transaction.make(self.vin, self.vout, version=self.version, locktime=self.locktime)

    def pays(self, script_pubkey: bytes) -> None:
        """What the input spends has this script."""
        self.spent[self.index] = TxOut(self.spent[self.index].value, script_pubkey)

    def filled(self, kind: str, script_sig: bytes, witness: Sequence[bytes]) -> Spend:
        vin, (prevout, _, sequence) = list(self.vin), self.vin[self.index]
        vin[self.index] = TxIn(prevout, script_sig, sequence)
        stacks = [tuple(witness) if n == self.index else () for n in range(len(vin))] if witness else ()
        tx = Transaction.make(vin, self.vout, version=self.version, locktime=self.locktime, witness=stacks)
        return Spend(kind, tx, self.index, list(self.spent))


def draft(rng: random.Random) -> Draft:
    count = rng.choice((1, 1, 2, 3))
    sequences = (0, 1, 5, 0x400005, 0xFFFFFFFD, 0xFFFFFFFF, 0x80000000, 0xFFFF, 0x40FFFF)
    vin = [
        TxIn(OutPoint(rng.randbytes(32), rng.randrange(3)), b"", rng.choice(sequences)) for _ in range(count)
    ]
    vout = [TxOut(rng.randrange(10**9), rng.randbytes(rng.randrange(40))) for _ in range(rng.randrange(1, 4))]
    spent = [TxOut(rng.randrange(10**12), b"\x51") for _ in range(count)]
    return Draft(
        rng,
        vin,
        vout,
        rng.choice((1, 2, 2, 2, 3, 0, 2**31, 2**32 - 1)),
        rng.choice((0, 5, 10**6, 499_999_999, 500_000_000, 500_000_001, 2**32 - 1)),
        rng.randrange(count),
        spent,
    )


Start: TypeAlias = Callable[[random.Random], Draft]


# --- scripts in their forms -------------------------------------------------------------------------


def scripted(rng: random.Random, form: str, name: str, start: Start = draft) -> Spend:
    """A script of SCRIPTS, bare, in P2SH, P2WSH, both, or as a leaf of a taproot output."""
    made = start(rng)
    place = Place(rng, made.bare, made.index, made.spent, VERSIONS[form])
    script, items = SCRIPTS[name](place)
    kind = f"{form}: {name}"
    if form == "tapscript":
        return _leaf(made, place, kind, script, items)
    prefix: list[bytes] = []
    program = WitnessV0ScriptHash.of(script).script_pubkey
    if form == "bare":
        made.pays(script)
    elif form == "p2sh":
        made.pays(ScriptHash.of(script).script_pubkey)
        prefix = [script]
    else:
        made.pays(program if form == "p2wsh" else ScriptHash.of(program).script_pubkey)
        prefix = [script]
    stack = [*_signed(place, script, items, ExecutionData()), *prefix]
    if place.version is SigVersion.BASE:
        script_sig = b"".join(map(push_data, stack))
        odd = rng.randrange(25)
        if odd == 1:
            script_sig = b"".join(any_push(rng, item) for item in stack)
        elif odd == 2:
            script_sig = rng.choice((b"\x61", b"\x51", b"\x51\x75", b"\x00\x63\x68", b"\x50")) + script_sig
        return made.filled(kind, script_sig, [b""] if rng.randrange(30) == 1 else [])
    script_sig = push_data(program) if form == "p2sh-p2wsh" else b""
    if rng.randrange(30) == 1:
        script_sig = rng.choice((script_sig + b"\x51", b"\x51" + script_sig, any_push(rng, program), b""))
    return made.filled(kind, script_sig, stack)


def _signed(place: Place, script: bytes, items: list[bytes], execution: ExecutionData) -> list[bytes]:
    signer = place.signer()
    eval_script(list(items), script, place.rng.choice((0, 0x610)), signer, place.version, execution)
    signed = [signer.made.get(item, item) for item in items]
    if signed and place.rng.randrange(40) == 1:
        at = place.rng.randrange(len(signed))
        signed[at : at + 1] = place.rng.choice(([], [signed[at][:-1]], [signed[at], b""], [b""]))
    return signed


def _annex(rng: random.Random) -> list[bytes]:
    return [b"\x50" + rng.randbytes(rng.choice((0, 1, 5, 300)))] if rng.randrange(4) == 1 else []


def _leaf(made: Draft, place: Place, kind: str, script: bytes, items: list[bytes]) -> Spend:
    rng = made.rng
    leaf_version = 0xC0 if rng.randrange(20) != 1 else rng.choice((0xC2, 0x50, 0x00, 0xFE, 0x66))
    depth = rng.choice((0, 0, 1, 2, 3)) if rng.randrange(20) != 1 else rng.choice((127, 128, 129))
    if kind.endswith("budget"):
        leaf_version, depth = 0xC0, 0
    internal = INTERNAL
    root = leaf = tapleaf_hash(leaf_version, script)
    path = [rng.randbytes(32) for _ in range(depth)]
    for node in path:
        root = tapbranch_hash(root, node)
    point = output_key(internal, root)
    assert point is not None
    made.pays(b"\x51\x20" + point[0])
    annex = _annex(rng)
    execution = ExecutionData()
    execution.leaf_hash, execution.weight_left = leaf, 10_000
    if annex:
        execution.annex_hash = sha256(var_bytes(annex[0]))
    control = bytes((leaf_version | point[1],)) + internal + b"".join(path)
    damage = rng.randrange(80)
    if damage == 1:
        control = bytes((control[0] ^ 1,)) + control[1:]
    elif damage == 2:
        control = bytes((control[0] ^ 2,)) + control[1:]
    elif damage == 3:
        control = control[: rng.choice((0, 1, 32, 33, 34, 64, len(control) - 1))]
    elif damage == 4:
        control += rng.randbytes(rng.choice((1, 31, 32)))
    elif damage == 5:
        control = control[:1] + bytes(32) + control[33:]
    stack = [*_signed(place, script, items, execution), script, control, *annex]
    script_sig = b"\x00" if rng.randrange(60) == 1 else b""
    return made.filled(kind, script_sig, stack)


# --- outputs that name a key ------------------------------------------------------------------------


def key_path(rng: random.Random, start: Start = draft) -> Spend:
    """P2TR by its key, tweaked by a root, by nothing, or not at all; with an annex or without."""
    made = start(rng)
    secret, tweak = KEYS[0], rng.choice((None, b"", rng.randbytes(32)))
    if tweak is not None:
        if PUBKEYS[0][0] == 3:
            secret = secp.seckey_negate(secret)
        tweaked = secp.seckey_tweak_add(secret, taptweak(INTERNAL, tweak))
        assert tweaked is not None
        secret = tweaked
    made.pays(b"\x51\x20" + secp.pubkey_of(secret)[1:])
    annex = _annex(rng)
    hash_type = rng.choice(TAPROOT_TYPES)
    digest = taproot_sighash(
        made.bare,
        made.index,
        hash_type,
        TxDigests(made.bare, made.spent),
        annex_hash=sha256(var_bytes(annex[0])) if annex else None,
    )
    sig = schnorr(rng, secret, digest or bytes(32), hash_type)
    if rng.randrange(30) == 1:
        made.pays(b"\x51\x20" + rng.choice((bytes(32), b"\xff" * 32, rng.randbytes(32))))
    script_sig = b"\x00" if rng.randrange(60) == 1 else b""
    return made.filled(
        "key path", script_sig, [sig, *annex, *([annex[0]] if rng.randrange(40) == 1 and annex else [])]
    )


def key_hash(rng: random.Random, start: Start = draft) -> Spend:
    """P2PK, P2PKH, P2WPKH and P2WPKH in P2SH, with keys and signatures of every form."""
    made, form = start(rng), rng.choice(("p2pk", "p2pkh", "p2pkh", "p2wpkh", "p2wpkh", "p2sh-p2wpkh"))
    pubkey = rng.choice(
        (*PUBKEYS, *PUBKEYS, LONG_PUBKEYS[0], rng.choice(tuple(SECRETS)), rng.choice(BAD_PUBKEYS))
    )
    code = b"\x76\xa9\x14" + hash160(pubkey) + b"\x88\xac"
    program = b"\x00\x14" + hash160(pubkey)
    script = {
        "p2pk": push_data(pubkey) + b"\xac",
        "p2pkh": code,
        "p2wpkh": program,
        "p2sh-p2wpkh": ScriptHash.of(program).script_pubkey,
    }[form]
    made.pays(script)
    hash_type = rng.choice(HASH_TYPES)
    if form in ("p2pk", "p2pkh"):
        digest = legacy_sighash(script, made.bare, made.index, hash_type)
    else:
        digest = segwit_v0_sighash(code, made.bare, made.index, hash_type, made.spent[made.index].value)
    secret = SECRETS.get(pubkey, KEYS[0])
    stack = [deformed(rng, secp.sign_ecdsa(secret, digest)) + bytes((hash_type,))]
    if form != "p2pk":
        stack.append(pubkey)
    if rng.randrange(20) == 1:
        stack.insert(rng.randrange(len(stack) + 1), rng.choice((b"", b"\x01", pubkey)))
    if form in ("p2pk", "p2pkh"):
        push = any_push if rng.randrange(20) == 1 else lambda _, item: push_data(item)
        return made.filled(form, b"".join(push(rng, item) for item in stack), [])
    script_sig = push_data(program) if form == "p2sh-p2wpkh" else b""
    if rng.randrange(25) == 1:
        script_sig = rng.choice((b"\x00", script_sig + b"\x51", any_push(rng, program), b"\x01" + script_sig))
    return made.filled(form, script_sig, stack)


# --- everything else --------------------------------------------------------------------------------


def programs(rng: random.Random, start: Start = draft) -> Spend:
    """Witness programs of all versions and sizes, and near misses, bare or in P2SH, with any witness."""
    made = start(rng)
    version = rng.choice((0, 0x51, 0x51, 0x52, 0x60, 0x4F, 0x61, 0x50))
    size = rng.choice((1, 2, 2, 3, 19, 20, 21, 31, 32, 32, 33, 40, 41))
    data = rng.choice((b"\x4e\x73", rng.randbytes(size), bytes(size), INTERNAL[:size].ljust(size, b"\0")))
    program = bytes((version,)) + any_push(rng, data) + (b"\x51" if rng.randrange(20) == 1 else b"")
    nested = rng.randrange(3) == 1
    made.pays(ScriptHash.of(program).script_pubkey if nested else program)
    witness = [random_data(rng) for _ in range(rng.randrange(4))]
    script_sig = push_data(program) if nested else b""
    if rng.randrange(10) == 1:
        script_sig = rng.choice((b"", script_sig + b"\x51", any_push(rng, program), b"\x51" + script_sig))
    return made.filled("program in P2SH" if nested else "program", script_sig, witness)


def redeemed(rng: random.Random, start: Start = draft) -> Spend:
    """P2SH of short scripts, filled by what is and is not a push."""
    made = start(rng)
    redeem = rng.choice(
        (b"", b"\x51", b"\x00", b"\x01", b"\x61", b"\x51\x87", b"\x6a", b"\x4c", b"\xac", b"\x50")
    )
    made.pays(rng.choice((ScriptHash.of(redeem).script_pubkey, b"\xa9\x4c\x14" + hash160(redeem) + b"\x87")))
    form = rng.randrange(7)
    if form == 0 and len(redeem) == 1 and redeem[0] <= 16:
        script_sig = bytes((0x50 + redeem[0],))
    elif form == 1:
        script_sig = b"\x61" + push_data(redeem)
    elif form == 2:
        script_sig = push_data(redeem) + b"\x76"
    elif form == 3:
        script_sig = any_push(rng, redeem)
    elif form == 4:
        script_sig = b"\x50" + push_data(redeem)
    elif form == 5:
        script_sig = b"\x51" + push_data(redeem)
    else:
        script_sig = push_data(redeem)
    return made.filled("redeemed", script_sig, [b""] if rng.randrange(20) == 1 else [])


def two_scripts(rng: random.Random, start: Start = draft) -> Spend:
    """Any ops in the scriptSig too: conditions and the other stack do not reach across."""
    made = start(rng)
    sigs = (
        b"\x51",
        b"\x51\x63",
        b"\x00\x63",
        b"\x51\x6b",
        b"\x51\xab",
        b"\x51\x6a",
        b"\x4c\x05\x01",
        b"\x51\x51\x93",
    )
    keys = (b"\x51", b"\x68\x51", b"\x6c", b"\x68", b"\x93", b"\x51\x87", b"\x75\x51", b"\x67\x51\x68", b"")
    made.pays(rng.choice(keys))
    return made.filled("two scripts", rng.choice(sigs), [])


KINDS: dict[str, Callable[[random.Random, Start], Spend]] = {
    "key path": key_path,
    "key hash": key_hash,
    "programs": programs,
    "redeemed": redeemed,
    "two scripts": two_scripts,
}


def damaged(rng: random.Random, spend: Spend) -> Spend:
    """spend with one thing changed: a byte, an item, an amount, a number, an output."""
    tx, index, spent = spend.tx, spend.index, list(spend.spent)
    vin, vout = list(tx.vin), list(tx.vout)
    version, locktime = tx.version, tx.locktime
    stacks = [list(tx.witness_of(n)) for n in range(len(vin))]
    prevout, script_sig, sequence = vin[index]
    value, script = spent[index]
    what = rng.randrange(12)
    if what < 3 and stacks[index]:
        at = rng.randrange(len(stacks[index]))
        stacks[index][at] = _changed(rng, stacks[index][at])
    elif what == 3 and stacks[index]:
        at = rng.randrange(len(stacks[index]))
        stacks[index].insert(at, rng.choice((b"", b"\x01", stacks[index][at])))
    elif what == 4 and stacks[index]:
        del stacks[index][rng.randrange(len(stacks[index]))]
    elif what == 5:
        script = _changed(rng, script)
    elif what == 6:
        value ^= 1 << rng.randrange(40)
    elif what == 7:
        sequence ^= 1 << rng.randrange(32)
    elif what == 8:
        version, locktime = (version ^ 1, locktime) if rng.randrange(2) else (version, locktime ^ 1)
    elif what == 9:
        at = rng.randrange(len(vout))
        vout[at] = TxOut(vout[at].value ^ 1, vout[at].script_pubkey)
    elif what == 10 and len(vin) > 1:
        other = (index + 1) % len(vin)
        spent[other] = TxOut(spent[other].value ^ 1, spent[other].script_pubkey)
    else:
        script_sig = _changed(rng, script_sig)
    vin[index] = TxIn(prevout, script_sig, sequence)
    spent[index] = TxOut(value, script)
    witness = [tuple(stack) for stack in stacks] if any(stacks) else ()
    tx = Transaction.make(vin, vout, version=version, locktime=locktime, witness=witness)
    return Spend(spend.kind + ", damaged", tx, index, spent)


def _changed(rng: random.Random, data: bytes) -> bytes:
    at, how = rng.randrange(len(data) + 1), rng.randrange(4)
    if how == 0 or at == len(data):
        return data[:at] + rng.randbytes(1) + data[at:]
    if how == 1:
        return data[:at] + data[at + 1 :]
    return data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]


def make_spend(rng: random.Random, start: Start = draft) -> Spend:
    """One of any kind; half of them run a tapscript. start: makes the transaction to begin with."""
    which = rng.randrange(16)
    if which < 8:
        spend = scripted(rng, "tapscript", rng.choices(_NAMES, _TAPSCRIPT_SHARES)[0], start)
    elif which < 13:
        spend = scripted(rng, rng.choice(OLD_FORMS), rng.choices(_NAMES, _OLD_SHARES)[0], start)
    else:
        spend = KINDS[rng.choice(_KINDS)](rng, start)
    return damaged(rng, spend) if rng.randrange(6) == 1 else spend


_KINDS = ("key path", "key hash", "key hash", "programs", "redeemed", "two scripts")
_NAMES = list(SCRIPTS)
_OLD_SHARES = [OLD_WEIGHTS.get(name, 1.0) for name in _NAMES]
_TAPSCRIPT_SHARES = [TAPSCRIPT_WEIGHTS.get(name, 1.0) for name in _NAMES]


# --- spends of outputs that are in a chain ----------------------------------------------------------

VALUE = 100_000
"""What each such output holds."""
P2WSH = b"\x00\x20" + sha256(b"\x51")


def funded(outpoint: OutPoint, final: bool = False) -> Start:
    """Begins transactions that spend VALUE at outpoint, and that a mempool might take.

    final: no lock is in their way.
    """

    def start(rng: random.Random) -> Draft:
        sequence = rng.choice((0, 1, 5, 0xFFFFFFFD, 0xFFFFFFFF, 0x80000000, 0x400001))
        vout = [TxOut(rng.randrange(1_000, 40_000), P2WSH) for _ in range(rng.choice((1, 1, 2)))]
        version = rng.choice((1, 2, 2, 2, 2, 3)) if rng.randrange(40) else rng.choice((0, 4, 2**32 - 1))
        locktime = rng.choice((0, 0, 5, 100)) if rng.randrange(20) else rng.choice((10**6, 500_000_001))
        if final:
            sequence, locktime = rng.choice((0, 0xFFFFFFFD, 0xFFFFFFFF, 0x80000000)), rng.choice((0, 5, 100))
        return Draft(rng, [TxIn(outpoint, b"", sequence)], vout, version, locktime, 0, [TxOut(VALUE, b"")])

    return start


def plan(name: str, final: bool = False) -> bytes | None:
    """The script that the spend of this name needs, None if an outpoint must be known first."""
    return plan_drawn(lambda: random.Random(name), final)


def plan_drawn(again: Callable[[], random.Random], final: bool = False) -> bytes | None:
    """The same by a source that draws the same each time that it is made."""
    scripts = {
        make_spend(again(), funded(OutPoint(bytes((n,)) * 32, n), final)).spent[0].script_pubkey
        for n in (1, 2)
    }
    return scripts.pop() if len(scripts) == 1 else None
