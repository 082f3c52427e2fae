"""Random spends that mostly work: scripts grown op by op, then signed by the checks they make."""

from __future__ import annotations

import hashlib
import random
from typing import NamedTuple

from pybitcoind.chain.primitives.hashes import sha256
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script import opcodes, secp
from pybitcoind.chain.script.address import ScriptHash, WitnessV0ScriptHash
from pybitcoind.chain.script.checker import TxChecker
from pybitcoind.chain.script.errors import ScriptError
from pybitcoind.chain.script.interpreter import eval_script
from pybitcoind.chain.script.machine import ExecutionData, SignatureChecker, SigVersion
from pybitcoind.chain.script.script import push_data, push_int
from pybitcoind.chain.script.sighash import TxDigests, legacy_sighash, segwit_v0_sighash, taproot_sighash
from pybitcoind.chain.script.taproot import output_key, tapbranch_hash, tapleaf_hash

KEYS = [hashlib.sha256(b"key %d" % n).digest() for n in range(4)]
PUBKEYS = [secp.pubkey_of(key) for key in KEYS]
LONG_PUBKEYS = [secp.pubkey_of(key, compressed=False) for key in KEYS]
HYBRID_PUBKEYS = [bytes((6 + (key[-1] & 1),)) + key[1:] for key in LONG_PUBKEYS]
SECRETS = {
    pubkey: secret
    for forms in (PUBKEYS, LONG_PUBKEYS, HYBRID_PUBKEYS, [key[1:] for key in PUBKEYS])
    for pubkey, secret in zip(forms, KEYS, strict=True)
}
INTERNAL = PUBKEYS[0][1:]
ONE = b"\x01" + bytes(31)
SIG_OF_ONE = secp.sign_ecdsa(KEYS[1], ONE) + b"\x03"
"""Signs an input that SIGHASH_SINGLE finds no output for, and may stand in the script itself."""

HASH_TYPES = (0, 1, 1, 1, 2, 3, 4, 0x41, 0x80, 0x81, 0x82, 0x83, 0xFF)
TAPROOT_TYPES = (0, 0, 0, 1, 2, 3, 0x81, 0x82, 0x83, 4, 0x80)
SIZES = (0, 1, 1, 2, 3, 4, 5, 20, 32, 33, 65, 75, 76, 255, 256, 520, 521)
PLAIN = [
    code for code in range(opcodes.OP_NOP, opcodes.OP_CHECKSIGADD + 1) if code not in opcodes.OP_SUCCESSES
]


class Spend(NamedTuple):
    tx: Transaction
    index: int
    spent: list[TxOut]


class Signer(SignatureChecker):
    """Says yes to placeholders, and remembers the signature that each should have been."""

    def __init__(self, rng: random.Random, tx: Transaction, index: int, spent: list[TxOut]) -> None:
        self.rng, self.tx, self.index, self.spent = rng, tx, index, spent
        self.made: dict[bytes, bytes] = {}
        self.real = TxChecker(tx, index, spent[index].value, TxDigests(tx, spent))

    def check_ecdsa(self, sig: bytes, pubkey: bytes, script_code: bytes, version: SigVersion) -> bool:
        if not sig.startswith(b"sig ") or pubkey not in SECRETS:
            return self.real.check_ecdsa(sig, pubkey, script_code, version)
        if sig not in self.made:
            hash_type = self.rng.choice(HASH_TYPES)
            if version is SigVersion.BASE:
                digest = legacy_sighash(script_code, self.tx, self.index, hash_type)
            else:
                amount = self.spent[self.index].value
                digest = segwit_v0_sighash(script_code, self.tx, self.index, hash_type, amount)
            self.made[sig] = secp.sign_ecdsa(SECRETS[pubkey], digest) + bytes((hash_type,))
            return True
        return False

    def check_schnorr(
        self, sig: bytes, pubkey: bytes, version: SigVersion, execution: ExecutionData
    ) -> ScriptError | None:
        if not sig.startswith(b"sig ") or pubkey not in SECRETS:
            return self.real.check_schnorr(sig, pubkey, version, execution)
        hash_type = self.rng.choice(TAPROOT_TYPES)
        digest = taproot_sighash(
            self.tx,
            self.index,
            hash_type,
            self.real.digests,
            annex_hash=execution.annex_hash,
            leaf_hash=execution.leaf_hash,
            code_separator_pos=execution.code_separator_pos,
        )
        if digest is None:
            return ScriptError.SCHNORR_SIG_HASHTYPE
        tail = bytes((hash_type,)) if hash_type else b""
        self.made[sig] = secp.sign_schnorr(SECRETS[pubkey], digest) + tail
        return None

    def check_lock_time(self, lock_time: int) -> bool:
        return self.real.check_lock_time(lock_time)

    def check_sequence(self, sequence: int) -> bool:
        return self.real.check_sequence(sequence)


def random_push(rng: random.Random) -> bytes:
    kind = rng.randrange(6)
    if kind == 0:
        return push_int(rng.choice((-1, 0, 1, 2, 3, 16, 17, -128, 255, 2**31 - 1, -(2**31) + 1, 2**31)))
    if kind == 1:
        return bytes((rng.choice((0, *range(79, 97))),))
    if kind == 2:
        return push_data(rng.choice((SIG_OF_ONE, *PUBKEYS, *LONG_PUBKEYS, *HYBRID_PUBKEYS)))
    data = bytes(rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256))) for _ in range(rng.choice(SIZES)))
    if kind == 3 and len(data) < 256:
        return bytes((opcodes.OP_PUSHDATA1, len(data))) + data
    return push_data(data)


def random_piece(rng: random.Random, version: SigVersion) -> bytes:
    kind = rng.randrange(12)
    if kind < 3:
        return random_push(rng)
    if kind < 5:
        tapscript = version is SigVersion.TAPSCRIPT
        forms = [PUBKEYS, PUBKEYS, LONG_PUBKEYS, HYBRID_PUBKEYS] if not tapscript else [[INTERNAL], PUBKEYS]
        key = push_data(rng.choice(rng.choice(forms)))
        if tapscript and rng.random() < 0.4:
            return push_int(rng.randrange(3)) + key + bytes((opcodes.OP_CHECKSIGADD,))
        return key + bytes(
            (rng.choice((opcodes.OP_CHECKSIG, opcodes.OP_CHECKSIG, opcodes.OP_CHECKSIGVERIFY)),)
        )
    if kind == 5 and version is not SigVersion.TAPSCRIPT:
        keys = [rng.choice((*PUBKEYS, *LONG_PUBKEYS)) for _ in range(rng.randrange(4))]
        required = push_int(rng.randrange(len(keys) + 1))
        pushes = b"".join(map(push_data, keys))
        return required + pushes + push_int(len(keys)) + bytes((rng.choice((0xAE, 0xAE, 0xAF)),))
    if kind == 6:
        inner = random_push(rng) if rng.random() < 0.5 else bytes((rng.choice(PLAIN),))
        other = b"\x67" + random_push(rng) if rng.random() < 0.5 else b""
        return bytes((rng.choice((0x00, 0x51, 0x52)), rng.choice((0x63, 0x64)))) + inner + other + b"\x68"
    if kind == 7:
        return rng.choice((b"\xab", b"\xab", b"\x76", b"\x75", push_data(SIG_OF_ONE) + b"\x75"))
    if kind == 8 and rng.random() < 0.1:
        return bytes((rng.randrange(256),))
    if kind == 9:
        number = rng.choice((0, 1, 5, 500_000_000, 0x400001, 2**31, 2**32 + 5))
        return push_int(number) + bytes((rng.choice((0xB1, 0xB2)), 0x75))
    return bytes((rng.choice(PLAIN),))


def grow(rng: random.Random, signer: Signer, version: SigVersion, start: list[bytes]) -> bytes:
    """A script that mostly runs over the items start and mostly leaves one that is true."""
    script = b""
    flags = rng.choice((0, 0x600, 0x610, 0x610))  # lock times, empty dummies
    for _ in range(rng.randrange(1, 14)):
        longer = script + random_piece(rng, version)
        error = run(longer, signer, version, start, flags)[0]
        if error is None or rng.random() < 0.02:
            script = longer
    error, stack = run(script, signer, version, start, flags)
    if error is None and rng.random() < 0.9:
        script += b"\x75" * len(stack) + b"\x51" if len(stack) != 1 or rng.random() < 0.8 else b""
    return script


def run(
    script: bytes, signer: Signer, version: SigVersion, start: list[bytes], flags: int
) -> tuple[ScriptError | None, list[bytes]]:
    stack, execution = list(start), ExecutionData()
    execution.leaf_hash, execution.weight_left = b"\x01" * 32, 10_000
    signer.made.clear()
    return eval_script(stack, script, flags, signer, version, execution), stack


def make_spend(rng: random.Random) -> Spend:
    """A transaction one of whose inputs runs a random script: bare, P2SH, P2WSH, nested or a tapscript."""
    count = rng.randrange(1, 4)
    index = rng.randrange(count)
    sequences = (0, 1, 5, 0x400005, 0xFFFFFFFD, 0xFFFFFFFF, 0x80000000)
    vin = [
        TxIn(OutPoint(rng.randbytes(32), rng.randrange(3)), b"", rng.choice(sequences)) for _ in range(count)
    ]
    vout = [TxOut(rng.randrange(10**9), rng.randbytes(rng.randrange(40))) for _ in range(rng.randrange(1, 4))]
    locktime = rng.choice((0, 5, 10**6, 500_000_001, 2**32 - 1))
    version = rng.choice((1, 2, 2, 3, 2**32 - 1))
    form = rng.choice(("bare", "p2sh", "p2wsh", "p2wsh", "p2sh-p2wsh", "tapscript", "tapscript"))
    mode = {"bare": SigVersion.BASE, "p2sh": SigVersion.BASE, "tapscript": SigVersion.TAPSCRIPT}.get(
        form, SigVersion.WITNESS_V0
    )
    start = [
        rng.choice((b"", b"\x01", b"sig %d" % n, b"sig %d" % n, rng.randbytes(rng.randrange(4)), SIG_OF_ONE))
        for n in range(rng.randrange(5))
    ]
    spent = [TxOut(rng.randrange(10**12), b"\x51") for _ in range(count)]
    bare = Transaction.make(vin, vout, version=version, locktime=locktime)
    script = grow(rng, Signer(rng, bare, index, spent), mode, start)

    prefix: list[bytes] = []
    annex = [b"\x50" + rng.randbytes(rng.randrange(3))] if rng.random() < 0.3 else []
    execution = ExecutionData()
    if form == "bare":
        script_pubkey = script
    elif form == "p2sh":
        script_pubkey, prefix = ScriptHash.of(script).script_pubkey, [script]
    elif form == "tapscript":
        leaf_version = 0xC0 if rng.random() < 0.95 else rng.choice((0xC2, 0x50))
        leaf = tapleaf_hash(leaf_version, script)
        path = [rng.randbytes(32) for _ in range(rng.randrange(3))]
        root = leaf
        for node in path:
            root = tapbranch_hash(root, node)
        point = output_key(INTERNAL, root)
        assert point is not None
        script_pubkey = b"\x51\x20" + point[0]
        control = bytes((leaf_version | point[1],)) + INTERNAL + b"".join(path)
        prefix = [script, control, *annex]
        execution.leaf_hash, execution.weight_left = leaf, 10_000
        if annex:
            execution.annex_hash = sha256(bytes((len(annex[0]),)) + annex[0])
    else:
        program = WitnessV0ScriptHash.of(script).script_pubkey
        script_pubkey = program if form == "p2wsh" else ScriptHash.of(program).script_pubkey
        prefix = [script]
    spent[index] = TxOut(spent[index].value, script_pubkey)

    signer = Signer(rng, bare, index, spent)
    eval_script(list(start), script, rng.choice((0, 0x610)), signer, mode, execution)
    items = [signer.made.get(item, item) for item in start]
    items = [item if rng.random() < 0.98 else item[:-1] for item in items]
    script_sig, witness = b"", [*items, *prefix]
    if mode is SigVersion.BASE:
        script_sig = b"".join(map(push_data, witness))
        witness = [b""] if rng.random() < 0.03 else []
    elif form == "p2sh-p2wsh":
        script_sig = push_data(program)
    if rng.random() < 0.02:
        script_sig += b"\x51"
    vin[index] = TxIn(vin[index].prevout, script_sig, vin[index].sequence)
    stacks = [tuple(witness) if n == index else () for n in range(count)] if witness else ()
    return Spend(
        Transaction.make(vin, vout, version=version, locktime=locktime, witness=stacks), index, spent
    )
