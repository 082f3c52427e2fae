"""Regtest chains for the benchmarks: made once from a seed, then kept in the machine's temporary folder.

    chain = make_chain("mix", 100_000)      # Chain(path, height, tip, inputs, ...)

Each chain is a file in Core's -loadblock form: a hundred empty blocks, so that coinbases may be spent, then
large blocks, as few as weight and signature operations allow. Every output has a key of its own. By itself
the module makes all chains and prints what is in them: _chains.py [INPUTS [KIND ...]].

- mix: payments of some inputs to some outputs, all forms that wallets use today; nearly all is signatures.
- outputs: wide fan-out and consolidation, five outputs made for each that is spent.
- legacy: P2PKH, hundreds to thousands of inputs in a transaction, each of which signs all of it.
- taproot: script paths: a signature, two of three by OP_CHECKSIGADD, a hash lock, a relative lock; trees of
  depth 0 to 16.
- multisig: two of three and three of five, bare and P2WSH.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from _bench import arguments
from block_files import read_blocks

from pybitcoind.chain.block_template import make_coinbase
from pybitcoind.chain.consensus.blocks import block_subsidy
from pybitcoind.chain.consensus.pow import bits_to_target
from pybitcoind.chain.consensus.witness_commitment import generate_commitment
from pybitcoind.chain.nonce_search import grind
from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import HEADER_SIZE, Block, BlockHeader
from pybitcoind.chain.primitives.hashes import hash160, sha256, sha256d
from pybitcoind.chain.primitives.merkle import merkle_root
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script import opcodes as op
from pybitcoind.chain.script import secp
from pybitcoind.chain.script.script import push_data
from pybitcoind.chain.script.sighash import TxDigests, legacy_sighash, segwit_v0_sighash, taproot_sighash
from pybitcoind.chain.script.taproot import output_key, tapbranch_hash, tapleaf_hash, taptweak

FORMAT = 2
"""Part of a chain's file name: another one whenever other chains are made."""
MATURITY = 100
MAX_WEIGHT = 3_960_000
MAX_SIGOPS = 79_000
FEE = 1000
_ALL = b"\x01"
_PARAMS = regtest()


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain's file and what is in it."""

    path: Path
    height: int
    tip: str
    inputs: int
    outputs: int
    signatures: int
    blocks_with_spends: int


# --- what an output asks for, and what satisfies it ---------------------------------------------------


class Lock(Protocol):
    """script: of the output. sigops: at BIP 141's prices, to make it and to spend it. weight: of a spend.

    unlock: (script_sig, witness) for input index of the transaction of digests. sequence: of that input.
    """

    script: bytes
    sigops: tuple[int, int]
    weight: int
    signatures: int
    sequence: int

    def unlock(self, digests: TxDigests, index: int) -> tuple[bytes, tuple[bytes, ...]]: ...


class Keys:
    """Secret keys from a seed, each with its public key."""

    def __init__(self, seed: bytes) -> None:
        self._seed, self._count = seed, 0

    def fresh(self) -> tuple[bytes, bytes]:
        self._count += 1
        secret = sha256(self._seed + struct.pack("<I", self._count))
        return secret, secp.pubkey_of(secret)


class _Single:
    """One key and one signature; what all locks begin with."""

    signatures, sequence = 1, 0xFFFFFFFD

    def __init__(self, keys: Keys) -> None:
        self.secret, self.pubkey = keys.fresh()

    def _sign(self, digest: bytes) -> bytes:
        return secp.sign_ecdsa(self.secret, digest, grind=False) + _ALL

    @property
    def _p2pkh(self) -> bytes:
        return b"\x76\xa9\x14" + hash160(self.pubkey) + b"\x88\xac"

    def _v0(self, digests: TxDigests, index: int) -> tuple[bytes, ...]:
        value = _spent(digests, index).value
        return self._sign(segwit_v0_sighash(self._p2pkh, digests.tx, index, 1, value, digests)), self.pubkey


def _spent(digests: TxDigests, index: int) -> TxOut:
    assert digests.spent is not None
    return TxOut(*digests.spent[index][:2])


class P2pkh(_Single):
    sigops, weight = (4, 0), 4 * 148

    def __init__(self, keys: Keys) -> None:
        super().__init__(keys)
        self.script = self._p2pkh

    def unlock(self, digests: TxDigests, index: int) -> tuple[bytes, tuple[bytes, ...]]:
        sig = self._sign(legacy_sighash(self.script, digests.tx, index, 1, digests))
        return push_data(sig) + push_data(self.pubkey), ()


class P2wpkh(_Single):
    sigops, weight = (0, 1), 4 * 41 + 109

    def __init__(self, keys: Keys) -> None:
        super().__init__(keys)
        self.script = b"\x00\x14" + hash160(self.pubkey)

    def unlock(self, digests: TxDigests, index: int) -> tuple[bytes, tuple[bytes, ...]]:
        return b"", self._v0(digests, index)


class NestedP2wpkh(_Single):
    sigops, weight = (0, 1), 4 * 64 + 109

    def __init__(self, keys: Keys) -> None:
        super().__init__(keys)
        self.redeem = b"\x00\x14" + hash160(self.pubkey)
        self.script = b"\xa9\x14" + hash160(self.redeem) + b"\x87"

    def unlock(self, digests: TxDigests, index: int) -> tuple[bytes, tuple[bytes, ...]]:
        return push_data(self.redeem), self._v0(digests, index)


class P2trKey(_Single):
    sigops, weight = (0, 0), 4 * 41 + 67

    def __init__(self, keys: Keys) -> None:
        super().__init__(keys)
        made = output_key(self.pubkey[1:])
        assert made is not None
        self.script = b"\x51\x20" + made[0]

    def unlock(self, digests: TxDigests, index: int) -> tuple[bytes, tuple[bytes, ...]]:
        secret = secp.seckey_negate(self.secret) if self.pubkey[0] == 3 else self.secret
        tweaked = secp.seckey_tweak_add(secret, taptweak(self.pubkey[1:]))
        digest = taproot_sighash(digests.tx, index, 0, digests)
        assert tweaked is not None and digest is not None
        return b"", (secp.sign_schnorr(tweaked, digest),)


class _Multisig:
    """required of total keys; signed by those that the first shuffle of rng puts in front."""

    sequence = 0xFFFFFFFD

    def __init__(self, keys: Keys, required: int, total: int, rng: random.Random) -> None:
        made = [keys.fresh() for _ in range(total)]
        self.secrets = [made[i][0] for i in sorted(rng.sample(range(total), required))]
        pushes = b"".join(push_data(pubkey) for _, pubkey in made)
        self.code = b"%c%b%c\xae" % (0x50 + required, pushes, 0x50 + total)
        self.signatures = required

    def _sigs(self, digest: bytes) -> list[bytes]:
        return [secp.sign_ecdsa(secret, digest, grind=False) + _ALL for secret in self.secrets]


class BareMultisig(_Multisig):
    sigops = (80, 0)

    def __init__(self, keys: Keys, required: int, total: int, rng: random.Random) -> None:
        super().__init__(keys, required, total, rng)
        self.script, self.weight = self.code, 4 * (42 + 73 * required)

    def unlock(self, digests: TxDigests, index: int) -> tuple[bytes, tuple[bytes, ...]]:
        sigs = self._sigs(legacy_sighash(self.script, digests.tx, index, 1, digests))
        return b"\x00" + b"".join(map(push_data, sigs)), ()


class P2wshMultisig(_Multisig):
    def __init__(self, keys: Keys, required: int, total: int, rng: random.Random) -> None:
        super().__init__(keys, required, total, rng)
        self.script = b"\x00\x20" + sha256(self.code)
        self.weight, self.sigops = 4 * 41 + 4 + 74 * required + len(self.code), (0, total)

    def unlock(self, digests: TxDigests, index: int) -> tuple[bytes, tuple[bytes, ...]]:
        value = _spent(digests, index).value
        sigs = self._sigs(segwit_v0_sighash(self.code, digests.tx, index, 1, value, digests))
        return b"", (b"", *sigs, self.code)


class TapLeaf:
    """A script path. kind: sig, multi (two of three by OP_CHECKSIGADD), hash, delay; depth: of the leaf."""

    sigops = (0, 0)

    def __init__(self, keys: Keys, kind: str, depth: int, rng: random.Random) -> None:
        self.kind, self.sequence = kind, 1 if kind == "delay" else 0xFFFFFFFD
        made = [keys.fresh() for _ in range(3 if kind == "multi" else 1)]
        pushes = [push_data(pubkey[1:]) for _, pubkey in made]
        self.secrets: list[bytes | None] = [secret for secret, _ in made]
        self.preimage = rng.randbytes(32)
        if kind == "multi":
            self.secrets[rng.randrange(3)] = None
            self.leaf = b"%b\xac%b\xba%b\xba\x52\x9c" % tuple(pushes)
        elif kind == "hash":
            self.leaf = b"\x82\x01\x20\x88\xa8\x20" + sha256(self.preimage) + b"\x88" + pushes[0] + b"\xac"
        elif kind == "delay":
            self.leaf = pushes[0] + bytes((op.OP_CHECKSIGVERIFY, op.OP_1, op.OP_CHECKSEQUENCEVERIFY))
        else:
            self.leaf = pushes[0] + b"\xac"
        self.signatures = sum(secret is not None for secret in self.secrets)
        self.leaf_hash = node = tapleaf_hash(0xC0, self.leaf)
        path = [rng.randbytes(32) for _ in range(depth)]
        for other in path:
            node = tapbranch_hash(node, other)
        internal = keys.fresh()[1][1:]
        made_key = output_key(internal, node)
        assert made_key is not None
        self.control = bytes((0xC0 | made_key[1],)) + internal + b"".join(path)
        self.script = b"\x51\x20" + made_key[0]
        self.weight = 4 * 41 + 100 * len(made) + len(self.leaf) + len(self.control) + 8

    def unlock(self, digests: TxDigests, index: int) -> tuple[bytes, tuple[bytes, ...]]:
        digest = taproot_sighash(digests.tx, index, 0, digests, leaf_hash=self.leaf_hash)
        assert digest is not None
        sigs = [b"" if key is None else secp.sign_schnorr(key, digest) for key in reversed(self.secrets)]
        preimage = [self.preimage] if self.kind == "hash" else []
        return b"", (*sigs, *preimage, self.leaf, self.control)


# --- the chain -----------------------------------------------------------------------------------------


class Output(NamedTuple):
    """An output that may be spent."""

    outpoint: OutPoint
    value: int
    lock: Lock


class Plan(NamedTuple):
    """A transaction to be: what it spends and how its outputs are locked."""

    spends: Sequence[Output]
    locks: Sequence[Lock]

    @property
    def weight(self) -> int:
        base = 44 + sum(9 + len(lock.script) for lock in self.locks) + 4
        return 4 * base + sum(output.lock.weight for output in self.spends)

    @property
    def sigops(self) -> int:
        made = sum(lock.sigops[0] for lock in self.locks)
        return made + sum(output.lock.sigops[1] for output in self.spends)


def carry_out(plan: Plan) -> tuple[Transaction, list[Output]]:
    """The signed transaction, and its outputs, of equal value."""
    spent = [TxOut(output.value, output.lock.script) for output in plan.spends]
    each = (sum(output.value for output in plan.spends) - FEE) // len(plan.locks)
    if each < 1000:
        raise ValueError("there is too little to spend")
    vin = [TxIn(output.outpoint, b"", output.lock.sequence) for output in plan.spends]
    vout = [TxOut(each, lock.script) for lock in plan.locks]
    digests = TxDigests(Transaction.make(vin, vout), spent)
    unlocked = [output.lock.unlock(digests, index) for index, output in enumerate(plan.spends)]
    signed = [
        TxIn(txin.prevout, script, txin.sequence) for txin, (script, _) in zip(vin, unlocked, strict=True)
    ]
    tx = Transaction.make(signed, vout, witness=[witness for _, witness in unlocked])
    return tx, [Output(OutPoint(tx.txid, n), each, lock) for n, lock in enumerate(plan.locks)]


class Miner:
    """Makes the blocks of a chain and writes them down."""

    def __init__(self, keys: Keys, file: Any) -> None:
        self._keys, self._file = keys, file
        self.header, self.height = _PARAMS.genesis.header, 0
        self.inputs = self.outputs = self.signatures = self.spending = 0
        self._coinbases: list[tuple[int, Output]] = []
        self._target = bits_to_target(self.header.bits)[0]

    def block(self, txs: Sequence[Transaction] = ()) -> None:
        """The next block, ten minutes after the last."""
        self.height += 1
        lock = P2wpkh(self._keys)
        coinbase = make_coinbase(self.height, lock.script, block_subsidy(self.height, _PARAMS), tail=b"\x00")
        vtx = [generate_commitment([coinbase, *txs]), *txs]
        root, _ = merkle_root([tx.txid for tx in vtx])
        old = self.header
        header = BlockHeader(0x20000000, old.hash, root, old.time + 600, old.bits, 0)
        nonce, _ = grind(header.raw, self._target, 0, 1_000_000)
        assert nonce is not None
        self.header = BlockHeader(0x20000000, old.hash, root, old.time + 600, old.bits, nonce)
        raw = Block(self.header, vtx).raw
        self._file.write(_PARAMS.magic + struct.pack("<I", len(raw)) + raw)
        out = vtx[0].vout[0]
        self._coinbases.append((self.height, Output(OutPoint(vtx[0].txid, 0), out.value, lock)))
        self.inputs += sum(len(tx.vin) for tx in txs)
        self.outputs += sum(len(tx.vout) for tx in vtx)
        self.spending += bool(txs)

    def coinbase(self) -> Output:
        """The oldest coinbase; blocks are mined until it may be spent."""
        height, output = self._coinbases.pop(0)
        while self.height + 1 - height < MATURITY:
            self.block()
        return output

    def mine(self, plans: Iterator[Plan] | Sequence[Plan]) -> list[Output]:
        """Carries plans out, in as few blocks as they fit into; all outputs they made."""
        made: list[Output] = []
        txs: list[Transaction] = []
        weight = sigops = 0
        for plan in plans:
            if txs and (weight + plan.weight > MAX_WEIGHT or sigops + plan.sigops > MAX_SIGOPS):
                self.block(txs)
                txs, weight, sigops = [], 0, 0
            tx, outputs = carry_out(plan)
            if tx.weight > plan.weight:
                raise ValueError(f"{tx} weighs {tx.weight}, more than the {plan.weight} that were planned")
            txs.append(tx)
            made += outputs
            weight += plan.weight
            sigops += plan.sigops
            self.signatures += sum(output.lock.signatures for output in plan.spends)
        if txs:
            self.block(txs)
        return made

    def fan_out(self, locks: Sequence[Lock], width: int) -> list[Output]:
        """Outputs with these locks, width to a transaction, each of which spends a coinbase."""
        parts = [locks[start : start + width] for start in range(0, len(locks), width)]
        return self.mine([Plan([self.coinbase()], part) for part in parts])


def _parts(items: Sequence[Output], sizes: Callable[[], int]) -> Iterator[Sequence[Output]]:
    start = 0
    while start < len(items):
        size = sizes()
        yield items[start : start + size]
        start += size


def _mix(miner: Miner, keys: Keys, rng: random.Random, inputs: int) -> None:
    forms: list[Callable[[], Lock]] = [
        lambda: P2pkh(keys),
        lambda: P2wpkh(keys),
        lambda: NestedP2wpkh(keys),
        lambda: P2trKey(keys),
        lambda: P2wshMultisig(keys, 2, 3, rng),
    ]

    def lock() -> Lock:
        return rng.choices(forms, (20, 35, 10, 30, 5))[0]()

    def payments(outputs: list[Output]) -> list[Plan]:
        """A wallet has outputs of one form, pays to somebody and gets its change back in the same form."""
        plans = []
        for form in (P2pkh, P2wpkh, NestedP2wpkh, P2trKey, P2wshMultisig):
            own = [output for output in outputs if isinstance(output.lock, form)]
            for group in _parts(own, lambda: rng.choice((1, 1, 1, 2, 2, 3, 5))):
                change = P2wshMultisig(keys, 2, 3, rng) if form is P2wshMultisig else form(keys)
                plans.append(Plan(group, [change, *(lock() for _ in range(rng.choice((0, 1, 1, 1, 2))))]))
        rng.shuffle(plans)
        return plans

    ready = miner.fan_out([lock() for _ in range(inputs // 5)], 2000)
    left = inputs - miner.inputs
    while left > 0:
        rng.shuffle(ready)
        now, rest = ready[:left], ready[left:]
        left -= len(now)
        ready = rest + miner.mine(payments(now))


def _outputs(miner: Miner, keys: Keys, rng: random.Random, inputs: int) -> None:
    made = miner.fan_out([P2wpkh(keys) if n % 2 else P2trKey(keys) for n in range(5 * inputs)], 5000)
    rng.shuffle(made)
    miner.mine(Plan(group, [P2wpkh(keys)]) for group in _parts(made[:inputs], lambda: 250))


def _legacy(miner: Miner, keys: Keys, rng: random.Random, inputs: int) -> None:
    made = miner.fan_out([P2pkh(keys) for _ in range(inputs)], 2000)
    rng.shuffle(made)
    sizes = lambda: rng.choice((250, 500, 650, 1000, 2000, 3000))  # noqa: E731
    miner.mine(Plan(group, [P2pkh(keys)]) for group in _parts(made, sizes))


def _taproot(miner: Miner, keys: Keys, rng: random.Random, inputs: int) -> None:
    def lock() -> Lock:
        kind = rng.choices(("sig", "multi", "hash", "delay"), (40, 25, 20, 15))[0]
        return TapLeaf(keys, kind, rng.choice((0, 1, 1, 2, 2, 3, 4, 8, 16)), rng)

    made = miner.fan_out([lock() for _ in range(inputs)], 2000)
    rng.shuffle(made)
    groups = _parts(made, lambda: rng.choice((1, 2, 3, 5)))
    miner.mine(Plan(group, [P2trKey(keys), P2trKey(keys)]) for group in groups)


def _multisig(miner: Miner, keys: Keys, rng: random.Random, inputs: int) -> None:
    def lock(bare: bool) -> Lock:
        required, total = rng.choice(((2, 3), (2, 3), (3, 5))) if not bare else (2, 3)
        return (BareMultisig if bare else P2wshMultisig)(keys, required, total, rng)

    made = miner.fan_out([lock(n % 3 == 0) for n in range(inputs)], 900)
    rng.shuffle(made)
    groups = _parts(made, lambda: rng.choice((1, 2, 3, 5)))
    miner.mine(Plan(group, [P2wpkh(keys), P2wpkh(keys)]) for group in groups)


KINDS = {"mix": _mix, "outputs": _outputs, "legacy": _legacy, "taproot": _taproot, "multisig": _multisig}


def folder() -> Path:
    """Where chains are kept: PYBITCOIND_BENCH_CACHE, or a folder in the machine's temporary one."""
    named = os.environ.get("PYBITCOIND_BENCH_CACHE")
    return Path(named) if named else Path(tempfile.gettempdir()) / "pybitcoind-bench"


def make_chain(kind: str, inputs: int = 100_000) -> Chain:
    """The chain of that kind with at least so many inputs besides coinbases, made if it is not there yet."""
    path = folder() / f"{kind}-{inputs}-{FORMAT}.dat"
    facts = path.with_suffix(".json")
    if not facts.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f"making {path}, which is kept for the next time", file=sys.stderr, flush=True)
        seed = hashlib.sha256(f"{kind} {inputs}".encode()).digest()
        temporary = path.with_suffix(".tmp")
        with open(temporary, "wb") as file:
            keys = Keys(seed)
            miner = Miner(keys, file)
            for _ in range(MATURITY):
                miner.block()
            KINDS[kind](miner, keys, random.Random(seed), inputs)
        temporary.replace(path)
        chain = Chain(
            path,
            miner.height,
            miner.header.hash[::-1].hex(),
            miner.inputs,
            miner.outputs,
            miner.signatures,
            miner.spending,
        )
        facts.write_text(json.dumps(asdict(chain) | {"path": str(path)}))
    known = json.loads(facts.read_text())
    return Chain(**known | {"path": path})


def file_headers(path: Path) -> list[BlockHeader]:
    """The headers of the blocks of a file, the genesis block's in front."""
    return [_PARAMS.genesis.header, *(BlockHeader.decode(raw[:HEADER_SIZE]) for raw in read_blocks(path))]


def empty_headers(last: BlockHeader, count: int) -> list[BlockHeader]:
    """count solved headers on top of last: work that lies over a chain, for -assumevalid."""
    made: list[BlockHeader] = []
    target = bits_to_target(last.bits)[0]
    for n in range(count):
        root = sha256d(struct.pack("<I", n))
        bare = BlockHeader(0x20000000, last.hash, root, last.time + 600, last.bits, 0)
        nonce, _ = grind(bare.raw, target, 0, 1_000_000)
        assert nonce is not None
        last = BlockHeader(0x20000000, last.hash, root, last.time + 600, last.bits, nonce)
        made.append(last)
    return made


if __name__ == "__main__":
    inputs, kinds = arguments(100_000, list(KINDS))
    for name in kinds:
        began = time.perf_counter()
        chain = make_chain(name, inputs)
        print(
            f"{name:9} height {chain.height}, {chain.blocks_with_spends} blocks that spend, "
            f"{chain.inputs} inputs, {chain.outputs} outputs, {chain.signatures} signatures, "
            f"{chain.path.stat().st_size / 1e6:.1f} MB ({time.perf_counter() - began:.1f} s)",
            flush=True,
        )
