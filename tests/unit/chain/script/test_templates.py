"""The short cuts agree with the interpreter, on every form signed well and on what it can be broken into."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

import pytest
from script_vectors import ALL_FLAGS, trim

from pybitcoind.chain import native
from pybitcoind.chain.primitives.hashes import hash160, sha256
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script import secp, templates
from pybitcoind.chain.script.address import PubKeyHash, ScriptHash, WitnessV0KeyHash, WitnessV0ScriptHash
from pybitcoind.chain.script.errors import ScriptError
from pybitcoind.chain.script.flags import MANDATORY_FLAGS, STANDARD_FLAGS, ScriptFlags
from pybitcoind.chain.script.script import push_data
from pybitcoind.chain.script.sighash import TxDigests, legacy_sighash, segwit_v0_sighash, taproot_sighash
from pybitcoind.chain.script.solver import multisig_script
from pybitcoind.chain.script.taproot import output_key, tapbranch_hash, tapleaf_hash
from pybitcoind.chain.script.verify import split_checks, verify_input, verify_run

KEYS = [hashlib.sha256(bytes((i,))).digest() for i in range(1, 5)]
PUBKEYS = [secp.pubkey_of(key) for key in KEYS]
LONG = secp.pubkey_of(KEYS[0], compressed=False)
HYBRID = bytes((6 + (LONG[-1] & 1),)) + LONG[1:]
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HASH_TYPES = (1, 2, 3, 0x81, 0x82, 0x83)
AMOUNT = 12_345_678

MULTISIG = multisig_script(2, PUBKEYS[:3])
MIXED = multisig_script(2, [LONG, PUBKEYS[1], PUBKEYS[2]])

Fit = tuple[bytes, list[bytes]]
"""A scriptSig and a witness."""


class Case:
    """A transaction of two inputs, of which the second one is looked at, paying script_pubkey."""

    def __init__(
        self, script_pubkey: bytes, sequence: int = 0xFFFFFFFD, locktime: int = 0, version: int = 2
    ) -> None:
        self.script_pubkey, self.sequence = script_pubkey, sequence
        self.locktime, self.version = locktime, version
        self.spent = [TxOut(7, b"\x51"), TxOut(AMOUNT, script_pubkey)]
        self.bare = self.fitted(b"", [])

    def fitted(self, script_sig: bytes, witness: list[bytes]) -> Transaction:
        vin = [
            TxIn(OutPoint(b"\x11" * 32, 0), b"", 0),
            TxIn(OutPoint(b"\x22" * 32, 5), script_sig, self.sequence),
        ]
        vout = [TxOut(1, b"\x51"), TxOut(2, b"\x52"), TxOut(3, b"\x53")]
        stacks = [(), tuple(witness)] if witness else ()
        return Transaction.make(vin, vout, version=self.version, locktime=self.locktime, witness=stacks)

    def legacy(self, key: int, code: bytes, hash_type: int) -> bytes:
        digest = legacy_sighash(code, self.bare, 1, hash_type)
        return secp.sign_ecdsa(KEYS[key], digest) + bytes((hash_type,))

    def v0(self, key: int, code: bytes, hash_type: int) -> bytes:
        digest = segwit_v0_sighash(code, self.bare, 1, hash_type, AMOUNT)
        return secp.sign_ecdsa(KEYS[key], digest) + bytes((hash_type,))


def p2pkh(pubkey: bytes) -> Callable[[int], tuple[Case, Fit]]:
    def make(hash_type: int) -> tuple[Case, Fit]:
        case = Case(PubKeyHash(hash160(pubkey)).script_pubkey)
        sig = case.legacy(0, case.script_pubkey, hash_type)
        return case, (push_data(sig) + push_data(pubkey), [])

    return make


def p2wpkh(nested: bool) -> Callable[[int], tuple[Case, Fit]]:
    def make(hash_type: int) -> tuple[Case, Fit]:
        program = WitnessV0KeyHash(hash160(PUBKEYS[0])).script_pubkey
        case = Case(ScriptHash.of(program).script_pubkey if nested else program)
        sig = case.v0(0, PubKeyHash(hash160(PUBKEYS[0])).script_pubkey, hash_type)
        return case, (push_data(program) if nested else b"", [sig, PUBKEYS[0]])

    return make


def p2wsh(signers: tuple[int, int], nested: bool) -> Callable[[int], tuple[Case, Fit]]:
    def make(hash_type: int) -> tuple[Case, Fit]:
        program = WitnessV0ScriptHash.of(MULTISIG).script_pubkey
        case = Case(ScriptHash.of(program).script_pubkey if nested else program)
        sigs = [case.v0(key, MULTISIG, hash_type) for key in signers]
        return case, (push_data(program) if nested else b"", [b"", *sigs, MULTISIG])

    return make


def p2sh_multisig(script: bytes, signers: tuple[int, ...]) -> Callable[[int], tuple[Case, Fit]]:
    def make(hash_type: int) -> tuple[Case, Fit]:
        case = Case(ScriptHash.of(script).script_pubkey)
        sigs = [push_data(case.legacy(key, script, hash_type)) for key in signers]
        return case, (b"\x00" + b"".join(sigs) + push_data(script), [])

    return make


def p2tr(hash_type: int) -> tuple[Case, Fit]:
    case = Case(b"\x51\x20" + PUBKEYS[0][1:])
    digest = taproot_sighash(case.bare, 1, hash_type, TxDigests(case.bare, case.spent))
    assert digest is not None
    sig = secp.sign_schnorr(KEYS[0], digest) + (bytes((hash_type,)) if hash_type else b"")
    return case, (b"", [sig])


def p2pk(pubkey: bytes) -> Callable[[int], tuple[Case, Fit]]:
    def make(hash_type: int) -> tuple[Case, Fit]:
        case = Case(push_data(pubkey) + b"\xac")
        return case, (push_data(case.legacy(0, case.script_pubkey, hash_type)), [])

    return make


def bare_multisig(script: bytes, signers: tuple[int, ...]) -> Callable[[int], tuple[Case, Fit]]:
    def make(hash_type: int) -> tuple[Case, Fit]:
        case = Case(script)
        return case, (
            b"\0" + b"".join(push_data(case.legacy(key, script, hash_type)) for key in signers),
            [],
        )

    return make


PREIMAGE = b"\x77" * 32
XONLY = [push_data(pubkey[1:]) for pubkey in PUBKEYS]
HASH_LOCK = b"\x82\x01\x20\x88\xa8\x20" + sha256(PREIMAGE) + b"\x88" + XONLY[0] + b"\xac"
TWO_OF_THREE = XONLY[0] + b"\xac" + XONLY[1] + b"\xba" + XONLY[2] + b"\xba\x52\x9c"


def leaf(
    script: bytes,
    signers: tuple[int | None, ...] = (0,),
    more: tuple[bytes, ...] = (),
    depth: int = 2,
    sequence: int = 0xFFFFFFFD,
    locktime: int = 0,
    version: int = 2,
) -> Callable[[int], tuple[Case, Fit]]:
    """A script path. signers: who signs, the first at the bottom of the stack; more: items on top of that."""

    def make(hash_type: int) -> tuple[Case, Fit]:
        leaf_hash = node = tapleaf_hash(0xC0, script)
        path = [hashlib.sha256(bytes((n,))).digest() for n in range(depth)]
        for other in path:
            node = tapbranch_hash(node, other)
        made = output_key(PUBKEYS[3][1:], node)
        assert made is not None
        case = Case(b"\x51\x20" + made[0], sequence, locktime, version)
        digests = TxDigests(case.bare, case.spent)
        digest = taproot_sighash(case.bare, 1, hash_type, digests, leaf_hash=leaf_hash)
        assert digest is not None
        tail = bytes((hash_type,)) if hash_type else b""
        sigs = [b"" if n is None else secp.sign_schnorr(KEYS[n], digest) + tail for n in signers]
        control = bytes((0xC0 | made[1],)) + PUBKEYS[3][1:] + b"".join(path)
        return case, (b"", [*sigs, *more, script, control])

    return make


FORMS: dict[str, tuple[Callable[[int], tuple[Case, Fit]], tuple[int, ...]]] = {
    "p2pkh": (p2pkh(PUBKEYS[0]), HASH_TYPES),
    "p2pkh, long key": (p2pkh(LONG), HASH_TYPES),
    "p2wpkh": (p2wpkh(False), HASH_TYPES),
    "p2sh-p2wpkh": (p2wpkh(True), HASH_TYPES),
    "p2wsh, keys 0 1": (p2wsh((0, 1), False), HASH_TYPES),
    "p2wsh, keys 0 2": (p2wsh((0, 2), False), HASH_TYPES),
    "p2sh-p2wsh": (p2wsh((1, 2), True), HASH_TYPES),
    "p2sh multisig": (p2sh_multisig(MULTISIG, (0, 2)), HASH_TYPES),
    "p2sh multisig, long key": (p2sh_multisig(MIXED, (0, 1)), HASH_TYPES),
    "p2pk": (p2pk(PUBKEYS[0]), HASH_TYPES),
    "p2pk, long key": (p2pk(LONG), HASH_TYPES),
    "bare multisig": (bare_multisig(MULTISIG, (0, 2)), HASH_TYPES),
    "bare multisig, long key": (bare_multisig(MIXED, (1, 2)), HASH_TYPES),
    "p2tr": (p2tr, (0, *HASH_TYPES)),
    "leaf, signature": (leaf(XONLY[0] + b"\xac"), (0, *HASH_TYPES)),
    "leaf, no depth": (leaf(XONLY[0] + b"\xac", depth=0), (0, 1)),
    "leaf, two of three": (leaf(TWO_OF_THREE, (2, None, 0)), (0, *HASH_TYPES)),
    "leaf, hash lock": (leaf(HASH_LOCK, more=(PREIMAGE,)), (0, *HASH_TYPES)),
    "leaf, relative lock": (leaf(XONLY[0] + b"\xad\x55\xb2", sequence=5), (0, 1)),
    "leaf, relative time": (leaf(XONLY[0] + b"\xad\x03\x01\0\x40\xb2", sequence=0x400001), (0, 1)),
    "leaf, lock time": (leaf(XONLY[0] + b"\xad\x02\xf4\x01\xb1", locktime=500), (0, 1)),
}
WITHOUT_WITNESS = (
    "p2pkh",
    "p2pkh, long key",
    "p2pk",
    "p2pk, long key",
    "bare multisig",
    "bare multisig, long key",
)


def both(case: Case, fit: Fit, flags: int) -> tuple[bool, ScriptError | None]:
    """(whether a template took it, the answer), the answer being the same both ways."""
    tx = case.fitted(*fit)
    digests = TxDigests(tx, case.spent)
    taken = templates.accepts(tx, 1, AMOUNT, case.script_pubkey, int(flags), digests)
    error = verify_input(tx, 1, case.spent[1], flags, digests, templates_enabled=False)
    assert verify_input(tx, 1, case.spent[1], flags, digests) is error
    assert not (taken and error), (fit, error)
    assert not proved(case, fit, flags) or taken, fit
    return taken, error


def proved(case: Case, fit: Fit, flags: int) -> bool:
    """Whether the compiled part takes it; no where there is none."""
    run = case.fitted(*fit).raw, case.spent, 1, 2
    return native.part is not None and not native.part.prove([run], int(flags))


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_taken(name: str) -> None:
    make, hash_types = FORMS[name]
    for hash_type in hash_types:
        case, fit = make(hash_type)
        for flags in (MANDATORY_FLAGS, STANDARD_FLAGS, ALL_FLAGS):
            assert both(case, fit, flags) == (True, None)
            if native.part is not None and hash_type in (0, 1):
                assert proved(case, fit, flags), "signatures of all inputs and outputs are what C knows"
    assert both(case, fit, ScriptFlags.NONE) == (name in WITHOUT_WITNESS, None)


@pytest.mark.parametrize("name", FORMS)
def test_broken_forms(name: str) -> None:
    """Bytes changed, dropped, added and swapped, flags drawn by lot: both ways give the same answer."""
    rng = random.Random(f"20261120 {name}")
    make, hash_types = FORMS[name]
    failed = 0
    for _ in range(150):
        case, (script_sig, witness) = make(rng.choice(hash_types))
        parts = [script_sig, *witness]
        for _ in range(rng.choice((1, 1, 2))):
            n = rng.randrange(len(parts))
            part = bytearray(parts[n])
            place = rng.randrange(len(part) + 1)
            action = rng.randrange(6)
            if action == 0 and part:
                part[place - 1] ^= 1 << rng.randrange(8)
            elif action == 1 and part:
                del part[place - 1]
            elif action == 2:
                part.insert(place, rng.randrange(256))
            elif action == 3:
                part[place : place + rng.randrange(4)] = b""
            elif action == 4 and n:
                parts.insert(n, bytes(part) if rng.random() < 0.5 else b"")
            elif action == 5 and len(parts) > 2:
                other = rng.randrange(1, len(parts))
                parts[n], parts[other] = parts[other], parts[n]
                continue
            parts[n] = bytes(part)
        flags = rng.choice((MANDATORY_FLAGS, STANDARD_FLAGS, trim(ScriptFlags(rng.randrange(ALL_FLAGS + 1)))))
        _, error = both(case, (parts[0], parts[1:]), flags)
        failed += error is not None
    assert failed > 20


def rewrite(sig: bytes, form: str) -> bytes:
    """sig with high S, with a padded R, or as a negative number."""
    r_size = sig[3]
    r, s, tail = sig[4 : 4 + r_size], sig[6 + r_size : -1], sig[-1:]
    if form == "high":
        s = (ORDER - int.from_bytes(s, "big")).to_bytes(33, "big")
    elif form == "padded":
        r = b"\0" + r
    elif form == "negative":
        s = (ORDER - int.from_bytes(s, "big")).to_bytes(32, "big")
    body = bytes((2, len(r))) + r + bytes((2, len(s))) + s
    return bytes((0x30, len(body))) + body + tail


@pytest.mark.parametrize("form", ["high", "padded", "negative"])
def test_odd_signatures(form: str) -> None:
    """What only some flags forbid passes without them, both ways."""
    case, (script_sig, _) = p2pkh(PUBKEYS[0])(1)
    sig = rewrite(script_sig[1:][: script_sig[0]], form)
    fit = push_data(sig) + push_data(PUBKEYS[0]), []
    high = form == "high"
    assert both(case, fit, ScriptFlags.NONE) == (high, None)
    assert both(case, fit, MANDATORY_FLAGS) == ((True, None) if high else (False, ScriptError.SIG_DER))
    wanted = ScriptError.SIG_HIGH_S if high else ScriptError.SIG_DER
    assert both(case, fit, STANDARD_FLAGS) == (False, wanted)


def test_odd_forms() -> None:
    """Near misses of the templates, each with the error the interpreter names."""
    case, (_, witness) = p2wpkh(False)(1)
    assert both(case, (b"", [witness[0][:-1] + b"\x00", witness[1]]), MANDATORY_FLAGS)[1]
    assert both(case, (b"\x00", witness), MANDATORY_FLAGS) == (False, ScriptError.WITNESS_MALLEATED)
    assert both(case, (b"", []), MANDATORY_FLAGS) == (False, ScriptError.WITNESS_PROGRAM_MISMATCH)
    case, (script_sig, _) = p2pkh(PUBKEYS[0])(1)
    assert both(case, (script_sig, [b""]), MANDATORY_FLAGS) == (False, ScriptError.WITNESS_UNEXPECTED)
    assert both(case, (b"\x51" + script_sig, []), STANDARD_FLAGS) == (False, ScriptError.CLEANSTACK)
    case, (_, witness) = p2wsh((0, 1), False)(1)
    assert both(case, (b"", [b"\x01", *witness[1:]]), MANDATORY_FLAGS) == (False, ScriptError.SIG_NULLDUMMY)
    backwards = [b"", witness[2], witness[1], MULTISIG]
    assert both(case, (b"", backwards), MANDATORY_FLAGS) == (False, ScriptError.EVAL_FALSE)
    case, (_, witness) = p2tr(1)
    assert both(case, (b"", [*witness, b"\x50"]), MANDATORY_FLAGS) == (False, ScriptError.SCHNORR_SIG)
    zero = witness[0][:-1] + b"\0"
    assert both(case, (b"", [zero]), MANDATORY_FLAGS) == (False, ScriptError.SCHNORR_SIG_HASHTYPE)


def test_odd_leaves() -> None:
    """Near misses of the script paths."""

    def odd(make: Callable[[int], tuple[Case, Fit]]) -> ScriptError | None:
        case, fit = make(0)
        taken, error = both(case, fit, MANDATORY_FLAGS)
        assert not taken
        return error

    assert odd(leaf(TWO_OF_THREE, (2, 1, 0))) is ScriptError.EVAL_FALSE
    assert odd(leaf(TWO_OF_THREE, (None, None, 0))) is ScriptError.EVAL_FALSE
    assert odd(leaf(TWO_OF_THREE, (0, 2, None))) is ScriptError.SCHNORR_SIG
    assert odd(leaf(TWO_OF_THREE, (None, None))) is ScriptError.INVALID_STACK_OPERATION
    assert odd(leaf(XONLY[0] + b"\xac", (0, 0))) is ScriptError.CLEANSTACK
    assert odd(leaf(XONLY[0] + b"\xac", (None,))) is ScriptError.EVAL_FALSE
    assert odd(leaf(XONLY[0] + b"\xac\x61")) is None
    assert odd(leaf(HASH_LOCK, more=(PREIMAGE + b"\0",))) is ScriptError.EQUALVERIFY
    assert odd(leaf(HASH_LOCK, more=(PREIMAGE[:-1] + b"\0",))) is ScriptError.EQUALVERIFY
    assert odd(leaf(XONLY[0] + b"\xad\x55\xb2", sequence=4)) is ScriptError.UNSATISFIED_LOCKTIME
    assert odd(leaf(XONLY[0] + b"\xad\x00\xb2", sequence=5)) is ScriptError.EVAL_FALSE
    assert odd(leaf(XONLY[0] + b"\xad\x01\x05\xb2", sequence=5)) is None
    assert odd(leaf(XONLY[0] + b"\xad\x02\xf4\x01\xb1", locktime=499)) is ScriptError.UNSATISFIED_LOCKTIME
    assert odd(leaf(XONLY[0] + b"\xad\x02\xf4\x81\xb1", locktime=500)) is ScriptError.NEGATIVE_LOCKTIME
    case, (_, witness) = leaf(XONLY[0] + b"\xac")(0)
    assert both(case, (b"", [*witness, b"\x50"]), MANDATORY_FLAGS) == (False, ScriptError.SCHNORR_SIG)
    other = bytes((witness[-1][0] ^ 1,)) + witness[-1][1:]
    wanted = False, ScriptError.WITNESS_PROGRAM_MISMATCH
    assert both(case, (b"", [*witness[:-1], other]), MANDATORY_FLAGS) == wanted


UNSATISFIED = ScriptError.UNSATISFIED_LOCKTIME
LOCKS: list[tuple[str, int, int, int, ScriptError | None, ScriptError | None]] = [
    # behind the check of the key; sequence, lock time, version; error by MANDATORY_FLAGS, by STANDARD_FLAGS
    ("02f401b1", 0xFFFFFFFE, 500, 0, None, None),
    ("02f401b1", 0xFFFFFFFF, 500, 2, UNSATISFIED, UNSATISFIED),
    ("02f401b1", 0, 500_000_000, 2, UNSATISFIED, UNSATISFIED),
    ("040065cd1db1", 0, 500_000_000, 2, None, None),
    ("040065cd1db1", 0, 499_999_999, 2, UNSATISFIED, UNSATISFIED),
    ("04ff64cd1db1", 0, 500_000_000, 2, UNSATISFIED, UNSATISFIED),
    ("05ffffffff00b1", 0, 2**32 - 1, 2, None, None),
    ("050000000001b1", 0, 2**32 - 1, 2, UNSATISFIED, UNSATISFIED),
    ("06ffffffff0000b1", 0, 2**32 - 1, 2, ScriptError.SCRIPTNUM, ScriptError.SCRIPTNUM),
    ("03f40100b1", 0, 500, 2, None, ScriptError.SCRIPTNUM),
    ("0110b1", 0, 500, 2, None, ScriptError.MINIMALDATA),
    ("0111b1", 0, 17, 2, None, None),
    ("60b1", 0, 16, 2, None, None),
    ("60b1", 0, 15, 2, UNSATISFIED, UNSATISFIED),
    ("4c02f401b1", 0, 500, 2, None, ScriptError.MINIMALDATA),
    ("55b2", 5, 0, 2, None, None),
    ("55b2", 5, 0, 2**32 - 1, None, None),
    ("55b2", 5, 0, 1, UNSATISFIED, UNSATISFIED),
    ("55b2", 0x400005, 0, 2, UNSATISFIED, UNSATISFIED),
    ("55b2", 0x80000005, 0, 2, UNSATISFIED, UNSATISFIED),
    ("55b2", 0x10004, 0, 2, UNSATISFIED, UNSATISFIED),
    ("03050040b2", 0x400005, 0, 2, None, None),
    ("03050040b2", 0xFFFF, 0, 2, UNSATISFIED, UNSATISFIED),
    ("04ffff3f00b2", 0xFFFF, 0, 2, None, ScriptError.SCRIPTNUM),
    ("050500008000b2", 0, 0, 1, None, None),
]


@pytest.mark.parametrize(("tail", "sequence", "locktime", "version", "mandatory", "standard"), LOCKS)
def test_locks_at_their_limits(
    tail: str,
    sequence: int,
    locktime: int,
    version: int,
    mandatory: ScriptError | None,
    standard: ScriptError | None,
) -> None:
    script = XONLY[0] + b"\xad" + bytes.fromhex(tail)
    case, fit = leaf(script, sequence=sequence, locktime=locktime, version=version)(0)
    assert both(case, fit, MANDATORY_FLAGS)[1] is mandatory
    assert both(case, fit, STANDARD_FLAGS)[1] is standard


def test_what_only_policy_forbids() -> None:
    """Hybrid keys and pushes that are not shortest pass in blocks."""
    hybrid = multisig_script(1, [HYBRID, PUBKEYS[1]])
    for make in (
        p2pkh(HYBRID),
        p2pk(HYBRID),
        bare_multisig(hybrid, (0,)),
        p2sh_multisig(hybrid, (0,)),
    ):
        case, fit = make(1)
        assert both(case, fit, MANDATORY_FLAGS) == (False, None)
        assert both(case, fit, STANDARD_FLAGS) == (False, ScriptError.PUBKEYTYPE)
    for name in ("p2pkh", "p2pk", "bare multisig", "p2sh multisig"):
        case, (script_sig, _) = FORMS[name][0](1)
        first = 1 if script_sig[0] == 0 else 0  # behind the item that a multisig eats
        longer = script_sig[:first] + b"\x4c" + script_sig[first:]
        assert both(case, (longer, []), MANDATORY_FLAGS) == (False, None)
        assert both(case, (longer, []), STANDARD_FLAGS) == (False, ScriptError.MINIMALDATA)


def test_a_witness_that_is_not_asked_for() -> None:
    for name in (*WITHOUT_WITNESS, "p2sh multisig"):
        case, (script_sig, _) = FORMS[name][0](1)
        assert both(case, (script_sig, [b""]), MANDATORY_FLAGS) == (False, ScriptError.WITNESS_UNEXPECTED)


def test_redeem_script_of_the_wrong_size() -> None:
    """A push of 34 bytes that ends after 22; they hash to the P2SH script, and a key hash stands in them."""
    key_hash = hash160(PUBKEYS[0])
    case = Case(ScriptHash.of(b"\x00\x20" + key_hash).script_pubkey)
    sig = case.v0(0, PubKeyHash(key_hash).script_pubkey, 1)
    script_sig = b"\x22\x00\x20" + key_hash
    assert both(case, (script_sig, [sig, PUBKEYS[0]]), MANDATORY_FLAGS) == (False, ScriptError.BAD_OPCODE)
    case = Case(ScriptHash.of(b"\x00\x14" + sha256(MULTISIG)).script_pubkey)
    sigs = [case.v0(key, MULTISIG, 1) for key in (0, 1)]
    script_sig = b"\x16\x00\x14" + sha256(MULTISIG)
    assert both(case, (script_sig, [b"", *sigs, MULTISIG]), MANDATORY_FLAGS)[1] is not None


def test_runs() -> None:
    """Checks of a block, cut into runs: all are covered once, and the input that fails is named."""
    made = [FORMS[name][0](1) for name in FORMS]
    all_digests = [TxDigests(case.fitted(*fit), case.spent) for case, fit in made]
    for parts in (1, 2, 3, 7, 100):
        lists = split_checks(all_digests, parts)
        assert len(lists) <= parts
        covered = [(run.digests.tx, n) for runs in lists for run in runs for n in range(run.start, run.stop)]
        assert covered == [(digests.tx, n) for digests in all_digests for n in (0, 1)]
        for switches in ({}, {"compiled": False}, {"templates_enabled": False}):
            assert not any(verify_run(runs, MANDATORY_FLAGS, **switches) for runs in lists)
    assert split_checks([], 4) == []
    case, (_, witness) = p2wpkh(False)(1)
    bad = TxDigests(case.fitted(b"", [witness[0], PUBKEYS[1]]), case.spent)
    failure = verify_run(split_checks([*all_digests, bad], 1)[0], MANDATORY_FLAGS)
    assert failure is not None
    assert (failure.tx, failure.index, failure.error) == (bad.tx, 1, ScriptError.EQUALVERIFY)
    with pytest.raises(ValueError, match="spent outputs"):
        verify_run(split_checks([TxDigests(bad.tx)], 1)[0], MANDATORY_FLAGS)
    taproot, fit = p2tr(0)
    with pytest.raises(ValueError, match="taproot"):
        verify_input(taproot.fitted(*fit), 1, taproot.spent[1], MANDATORY_FLAGS)
