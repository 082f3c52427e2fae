"""One small template per way a script can fail: the output that is spent, the spend, Core's words (31.99).

A scene (scene.py) has a coin for each. Scripts need no key, since nothing here fails by a good signature.
"""

from __future__ import annotations

from dataclasses import dataclass

from pybitcoind.chain.primitives.hashes import hash160, sha256
from pybitcoind.chain.script.script import push_data
from pybitcoind.chain.script.taproot import output_key, tapleaf_hash

KEY = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
INTERNAL = bytes.fromhex("50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0")
"""A point whose secret nobody knows (BIP 341)."""

EVAL_FALSE = "Script evaluated without error but finished with a false/empty top stack element"
MISMATCH = "Witness program hash mismatch"


@dataclass(frozen=True)
class FailingScript:
    """The input spends an output with script_pubkey by script_sig and witness, and fails with message."""

    name: str
    message: str
    script_pubkey: bytes
    script_sig: bytes
    witness: tuple[bytes, ...]
    in_mempool: str = ""
    """What the mempool says where it is not the same message: its own rules come first."""


def _p2wsh(
    name: str, message: str, script: bytes, *items: bytes, script_sig: bytes = b"", in_mempool: str = ""
) -> FailingScript:
    program = b"\x00\x20" + sha256(script)
    return FailingScript(name, message, program, script_sig, (*items, script), in_mempool)


def _p2sh(
    name: str, message: str, redeem: bytes, script_sig: bytes, *witness: bytes, in_mempool: str = ""
) -> FailingScript:
    script_pubkey = b"\xa9\x14" + hash160(redeem) + b"\x87"
    return FailingScript(name, message, script_pubkey, script_sig, witness, in_mempool)


def _leaf(name: str, message: str, script: bytes, *items: bytes, in_mempool: str = "") -> FailingScript:
    """In a tapscript."""
    script_pubkey, control = _tree(script)
    return FailingScript(
        f"tapscript: {name}", message, script_pubkey, b"", (*items, script, control), in_mempool
    )


def _tree(script: bytes) -> tuple[bytes, bytes]:
    point = output_key(INTERNAL, tapleaf_hash(0xC0, script))
    assert point is not None
    return b"\x51\x20" + point[0], bytes((0xC0 | point[1],)) + INTERNAL


def _taproot(name: str, message: str, *witness: bytes, marks: bytes = b"") -> FailingScript:
    """By the key, or by something that is not in the tree; marks tells its output from others."""
    return FailingScript(f"taproot: {name}", message, _tree(b"\x51" + marks)[0], b"", witness)


_SCRIPT_FAILED = "Script failed an OP_{} operation".format
_SIG_DER, _NULLDUMMY = "Non-canonical DER signature", "Dummy CHECKMULTISIG argument must be zero"
_CONTROL = _tree(b"\x51")[1]
_WITNESS_NONSTANDARD, _INPUTS_NONSTANDARD = "bad-witness-nonstandard", "bad-txns-nonstandard-inputs"
_STACK = "Operation not valid with the current stack size"
_MINIMALIF = "OP_IF/NOTIF argument must be minimal in tapscript"
_WEIGHT_SCRIPT = push_data(KEY) + b"\x6e\xad" * 40 + b"\x6d\x51"

FAILING_SCRIPTS = (
    _p2wsh("false", EVAL_FALSE, b"\x00"),
    _p2wsh("negative zero", EVAL_FALSE, b"\x01\x80"),
    _p2wsh("verify", _SCRIPT_FAILED("VERIFY"), b"\x00\x69\x51"),
    _p2wsh("equalverify", _SCRIPT_FAILED("EQUALVERIFY"), b"\x51\x52\x88\x51"),
    _p2wsh("numequalverify", _SCRIPT_FAILED("NUMEQUALVERIFY"), b"\x51\x52\x9d\x51"),
    _p2wsh("checksigverify", _SCRIPT_FAILED("CHECKSIGVERIFY"), b"\x00" + push_data(KEY) + b"\xad\x51"),
    _p2wsh(
        "checkmultisigverify",
        _SCRIPT_FAILED("CHECKMULTISIGVERIFY"),
        b"\x00\x00\x51" + push_data(KEY) + b"\x51\xaf\x51",
    ),
    _p2wsh("return", "OP_RETURN was encountered", b"\x51\x6a"),
    _p2wsh("reserved opcode", "Opcode missing or not understood", b"\x51\x50"),
    _p2wsh("OP_VERIF that is not run", "Opcode missing or not understood", b"\x00\x63\x65\x68\x51"),
    _p2wsh("push cut short", "Opcode missing or not understood", b"\x51\x02\x01"),
    _p2wsh("OP_CHECKSIGADD in witness v0", "Opcode missing or not understood", b"\x00\x51\x51\xba"),
    _p2wsh("disabled opcode", "Attempted to use a disabled opcode", b"\x00\x63\x7e\x68\x51"),
    _p2wsh("nothing to copy", _STACK, b"\x76"),
    _p2wsh("pick too deep", _STACK, b"\x51\x51\x79"),
    _p2wsh("other stack", "Operation not valid with the current altstack size", b"\x51\x6c"),
    _p2wsh("OP_IF without OP_ENDIF", "Invalid OP_IF construction", b"\x51\x51\x63"),
    _p2wsh("OP_ELSE without OP_IF", "Invalid OP_IF construction", b"\x51\x67"),
    _p2wsh("too many keys", "Pubkey count negative or limit exceeded", b"\x00\x00\x01\x15\xae"),
    _p2wsh(
        "more signatures than keys",
        "Signature count negative or greater than pubkey count",
        b"\x00\x52" + push_data(KEY) + b"\x51\xae",
    ),
    _p2wsh(
        "number of five bytes",
        "Script number overflowed or is non-minimally encoded",
        b"\x05\x01\x01\x01\x01\x01\x51\x93",
    ),
    _p2wsh("push of 521", "Push value size limit exceeded", b"\x4d\x09\x02" + bytes(521) + b"\x75\x51"),
    _p2wsh(
        "item of 521",
        "Push value size limit exceeded",
        b"\x75\x51",
        bytes(521),
        in_mempool=_WITNESS_NONSTANDARD,
    ),
    _p2wsh("202 operations", "Operation limit exceeded", b"\x61" * 202 + b"\x51"),
    _p2wsh("operations of a multisig", "Operation limit exceeded", b"\x61" * 181 + b"\x00\x00\x01\x14\xae"),
    _p2wsh("1,001 items", "Stack size limit exceeded", b"\x51" * 1001),
    _p2wsh(
        "script of 10,001",
        "Script is too big",
        (b"\x4d\x08\x02" + bytes(520) + b"\x75") * 19 + b"\x51" * 45,
        in_mempool=_WITNESS_NONSTANDARD,
    ),
    _p2wsh("negative lock time", "Negative locktime", b"\x4f\xb1"),
    _p2wsh("lock time", "Locktime requirement not satisfied", b"\x01\x64\xb1"),
    _p2wsh("negative relative lock", "Negative locktime", b"\x4f\xb2"),
    _p2wsh("relative lock", "Locktime requirement not satisfied", b"\x52\xb2"),
    _p2wsh("no DER", _SIG_DER, push_data(KEY) + b"\xac", b"\x30\x01\x01"),
    _p2wsh("dummy", _NULLDUMMY, b"\x51\x00\x00\xae"),
    _p2wsh("scriptSig", "Witness requires empty scriptSig", b"\x51\x75\x51", script_sig=b"\x51"),
    FailingScript(
        "witness program of 21",
        "Witness program has incorrect length",
        b"\x00\x15" + b"\x01" * 21,
        b"",
        (b"\x51",),
        _INPUTS_NONSTANDARD,
    ),
    FailingScript("one item for a key hash", MISMATCH, b"\x00\x14" + hash160(KEY), b"", (KEY,)),
    _p2sh("P2SH: false", EVAL_FALSE, b"\x00", b"\x01\x00"),
    _p2sh("P2SH: other script", EVAL_FALSE, b"\x51\x51\x87", b"\x01\x51"),
    _p2sh(
        "P2SH: no push",
        "Only push operators allowed in signatures",
        b"\x51\x51\x88\x51",
        b"\x61\x04\x51\x51\x88\x51",
        in_mempool="scriptsig-not-pushonly",
    ),
    _p2sh(
        "P2SH: unexpected witness",
        "Witness provided for non-witness script",
        b"\x51\x52\x53\x6d",
        b"\x04\x51\x52\x53\x6d",
        b"\x01",
        in_mempool=_WITNESS_NONSTANDARD,
    ),
    _p2sh(
        "P2SH: more than the program",
        "Witness requires only-redeemscript scriptSig",
        b"\x00\x20" + sha256(b"\x51\x52\x75"),
        b"\x51" + push_data(b"\x00\x20" + sha256(b"\x51\x52\x75")),
        b"\x51\x52\x75",
    ),
    _taproot("no witness", "Witness program was passed an empty witness"),
    _taproot("signature of 63", "Invalid Schnorr signature size", bytes(63), marks=b"\x61"),
    _taproot("hash type 0", "Invalid Schnorr signature hash type", bytes(65), marks=b"\x61" * 2),
    _taproot("hash type 4", "Invalid Schnorr signature hash type", bytes(64) + b"\x04", marks=b"\x61" * 3),
    _taproot("signature", "Invalid Schnorr signature", bytes(64), marks=b"\x61" * 4),
    _taproot(
        "control block of 34",
        "Invalid Taproot control block size",
        b"\x51",
        _CONTROL + b"\x00",
        marks=b"\x61" * 5,
    ),
    _taproot("script of another tree", MISMATCH, b"\x51", _CONTROL, marks=b"\x61" * 6),
    _leaf("false", EVAL_FALSE, b"\x00"),
    _leaf("two items", "Stack size must be exactly one after execution", b"\x51\x51"),
    _leaf("condition of two", _MINIMALIF, b"\x52\x63\x68\x51"),
    _leaf(
        "multisig",
        "OP_CHECKMULTISIG(VERIFY) is not available in tapscript",
        b"\x00\x00\x00\xae\x51",
    ),
    _leaf("empty key", "Empty public key in tapscript", b"\x00\x00\xac\x91"),
    _leaf("signature of one", "Invalid Schnorr signature size", b"\x51" + push_data(KEY[1:]) + b"\xac"),
    _leaf("signature", "Invalid Schnorr signature", push_data(KEY[1:]) + b"\xac", bytes(64)),
    _leaf(
        "signature budget",
        "Too much signature validation relative to witness weight",
        _WEIGHT_SCRIPT,
        b"\x01",
        in_mempool="Public key version reserved for soft-fork upgrades",
    ),
    _leaf("1,001 items", "Stack size limit exceeded", b"\x75\x51", *[b""] * 1001),
    _leaf(
        "item of 521",
        "Push value size limit exceeded",
        b"\x75\x51",
        bytes(521),
        in_mempool=_WITNESS_NONSTANDARD,
    ),
    _leaf("disabled opcode of old", "Opcode missing or not understood", b"\x51\x65"),
)
