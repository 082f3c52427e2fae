"""Signing transactions: every kind of input that a key can unlock; partial multisig signatures merge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pybitcoind.chain.descriptors import Expansion, KeyOrigin
from pybitcoind.chain.primitives.hashes import hash160, sha256
from pybitcoind.chain.primitives.transaction import MAX_MONEY, OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script import secp
from pybitcoind.chain.script.flags import STANDARD_FLAGS
from pybitcoind.chain.script.script import is_p2tr, iter_ops, push_data
from pybitcoind.chain.script.sighash import TxDigests, legacy_sighash, segwit_v0_sighash, taproot_sighash
from pybitcoind.chain.script.solver import solve
from pybitcoind.chain.script.taproot import output_key, taptweak
from pybitcoind.chain.script.verify import verify_input

SIGHASH_DEFAULT, SIGHASH_ALL, SIGHASH_NONE, SIGHASH_SINGLE, SIGHASH_ANYONECANPAY = 0, 1, 2, 3, 0x80


class SigningProvider(Protocol):
    """What a signer knows of keys and scripts."""

    def secret(self, pubkey: bytes) -> bytes | None: ...

    def pubkey(self, key_hash: bytes) -> bytes | None:
        """By HASH160."""

    def redeem_script(self, script_hash: bytes) -> bytes | None:
        """By HASH160."""

    def witness_script(self, script_hash: bytes) -> bytes | None:
        """By SHA-256."""

    def internal_key(self, output_key: bytes) -> bytes | None:
        """The internal key (32 bytes) behind a taproot output key."""


@dataclass(slots=True)
class Keyring:
    """A provider from plain dictionaries: secrets by public key, and scripts as they are added."""

    secrets: dict[bytes, bytes] = field(default_factory=dict)
    _by_hash: dict[bytes, bytes] = field(default_factory=dict)
    _redeem: dict[bytes, bytes] = field(default_factory=dict)
    _witness: dict[bytes, bytes] = field(default_factory=dict)
    _internal: dict[bytes, bytes] = field(default_factory=dict)
    _origins: dict[bytes, KeyOrigin] = field(default_factory=dict)

    def add_secret(self, secret: bytes, compressed: bool = True) -> bytes:
        """Keeps secret for P2PK, P2PKH, P2WPKH and P2TR alike; its public key."""
        pubkey = secp.pubkey_of(secret, compressed)
        self.secrets[pubkey] = secret
        self.add_pubkey(pubkey)
        if compressed:
            tweaked = output_key(pubkey[1:])
            if tweaked is not None:
                self._internal[tweaked[0]] = pubkey[1:]
        return pubkey

    def add_pubkey(self, pubkey: bytes) -> None:
        self._by_hash[hash160(pubkey)] = pubkey

    def add_script(self, script: bytes) -> None:
        """A redeem or witness script."""
        self._redeem[hash160(script)] = script
        self._witness[sha256(script)] = script

    def add_expansion(self, expansion: Expansion) -> None:
        """The keys and scripts of a descriptor at one index."""
        for pubkey, origin in expansion.keys.items():
            self.add_pubkey(pubkey)
            self._origins[pubkey] = origin
        self._redeem.update(expansion.redeem_scripts)
        self._witness.update(expansion.witness_scripts)
        self._internal.update(expansion.taproot)

    def merge(self, other: Keyring) -> None:
        """Takes in what other knows."""
        self.secrets.update(other.secrets)
        self._by_hash.update(other._by_hash)
        self._redeem.update(other._redeem)
        self._witness.update(other._witness)
        self._internal.update(other._internal)
        self._origins.update(other._origins)

    def secret(self, pubkey: bytes) -> bytes | None:
        return self.secrets.get(pubkey)

    def pubkey(self, key_hash: bytes) -> bytes | None:
        return self._by_hash.get(key_hash)

    def redeem_script(self, script_hash: bytes) -> bytes | None:
        return self._redeem.get(script_hash)

    def witness_script(self, script_hash: bytes) -> bytes | None:
        return self._witness.get(script_hash)

    def internal_key(self, output_key: bytes) -> bytes | None:
        return self._internal.get(output_key)

    def origin(self, pubkey: bytes) -> KeyOrigin | None:
        return self._origins.get(pubkey)


def sign_transaction(
    tx: Transaction,
    spent: Mapping[OutPoint, TxOut],
    provider: SigningProvider,
    sighash_type: int = SIGHASH_DEFAULT,
) -> tuple[Transaction, dict[int, str]]:
    """tx with what provider can sign, and for each input that is not complete then, why (Core's words).

    spent: the outputs that the inputs spend, where known. sighash_type: SIGHASH_DEFAULT means ALL for
    everything but taproot. Signatures that tx has already stay where they are of use.
    """
    known = [spent.get(txin.prevout) for txin in tx.vin]
    digests = TxDigests(tx, [out for out in known if out is not None] if None not in known else None)
    vin: list[TxIn] = []
    witness: list[tuple[bytes, ...]] = []
    for index, txin in enumerate(tx.vin):
        out = known[index]
        script_sig, stack = txin.script_sig, tx.witness_of(index)
        if out is not None and not ((sighash_type & 31) == SIGHASH_SINGLE and index >= len(tx.vout)):
            signer = _InputSigner(tx, index, out, provider, sighash_type, digests, complete=None not in known)
            script_sig, stack = signer.sign()
        vin.append(TxIn(txin.prevout, script_sig, txin.sequence))
        witness.append(stack)
    signed = Transaction.make(vin, tx.vout, version=tx.version, locktime=tx.locktime, witness=witness)
    digests = TxDigests(signed, [out for out in known if out is not None] if None not in known else None)
    errors: dict[int, str] = {}
    for index, out in enumerate(known):
        if out is None:
            errors[index] = "Input not found or already spent"
            continue
        if out.value == MAX_MONEY and signed.witness_of(index):  # stands for an amount nobody told
            errors[index] = "Missing amount"
            continue
        error = verify_input(signed, index, out, STANDARD_FLAGS, digests)
        if error is not None:
            errors[index] = _failure(error.message)
    return signed, errors


def _failure(message: str) -> str:
    if message == "Operation not valid with the current stack size":
        return "Unable to sign input, invalid stack size (possibly missing key)"
    if message == "Signature must be zero for failed CHECK(MULTI)SIG operation":
        return "CHECK(MULTI)SIG failing with non-zero signature (possibly need more signatures)"
    return message


class _InputSigner:
    """Signs one input. A stack is what the script wants below itself, bottom first."""

    def __init__(
        self,
        tx: Transaction,
        index: int,
        out: TxOut,
        provider: SigningProvider,
        sighash_type: int,
        digests: TxDigests,
        *,
        complete: bool,
    ) -> None:
        self.tx, self.index, self.out, self.provider, self.digests = tx, index, out, provider, digests
        self.sighash_type = sighash_type
        self.complete = complete
        self.existing = _existing_pushes(tx, index)

    def sign(self) -> tuple[bytes, tuple[bytes, ...]]:
        """(script_sig, witness): the old ones where they are complete, or nothing is known of the script.

        Where keys are missing, the scripts and as many signatures as there are, as Core leaves them.
        """
        old = self.tx.vin[self.index].script_sig, self.tx.witness_of(self.index)
        if any(old) and self._is_complete():
            return old
        script, pushes = self.out.script_pubkey, b""
        kind, solutions = solve(script)
        if kind == "scripthash":
            redeem = self.provider.redeem_script(solutions[0]) or self._find_script(solutions[0], hash160)
            if redeem is None:
                return old
            script, pushes = redeem, push_data(redeem)
            kind, solutions = solve(script)
        if kind in ("witness_v0_keyhash", "witness_v0_scripthash", "witness_v1_taproot"):
            stack = self._witness_stack(kind, solutions)
            if stack is None:
                return (pushes, ()) if pushes else old
            return pushes, tuple(stack)
        stack = self._stack(kind, solutions, script, segwit=False)
        if stack is None:
            return (pushes, ()) if pushes else old
        return b"".join(push_data(item) for item in stack) + pushes, ()

    def _is_complete(self) -> bool:
        if not self.complete and is_p2tr(self.out.script_pubkey):
            return False
        return verify_input(self.tx, self.index, self.out, STANDARD_FLAGS, self.digests) is None

    def _witness_stack(self, kind: str, solutions: list[bytes]) -> list[bytes] | None:
        if kind == "witness_v1_taproot":
            return self._taproot_stack(solutions[0])
        if kind == "witness_v0_keyhash":
            code = bytes.fromhex("76a914") + solutions[0] + bytes.fromhex("88ac")
            return self._stack("pubkeyhash", solutions, code, segwit=True)
        witness = self.provider.witness_script(solutions[0]) or self._find_script(solutions[0], sha256)
        if witness is None:
            return None
        inner, inner_solutions = solve(witness)
        stack = self._stack(inner, inner_solutions, witness, segwit=True)
        return [*(stack or ()), witness]

    def _stack(self, kind: str, solutions: list[bytes], code: bytes, *, segwit: bool) -> list[bytes] | None:
        if kind == "pubkey":
            signature = self._signature(solutions[0], code, segwit)
            return [signature] if signature is not None else None
        if kind == "pubkeyhash":
            pubkey = self.provider.pubkey(solutions[0])
            if pubkey is None or (segwit and len(pubkey) != 33):
                return None
            signature = self._signature(pubkey, code, segwit)
            return [signature, pubkey] if signature is not None else None
        if kind == "multisig":
            return self._multisig_stack(solutions, code, segwit)
        return None

    def _multisig_stack(self, solutions: list[bytes], code: bytes, segwit: bool) -> list[bytes]:
        """The signatures in the order of their keys; half as many empty ones as are missing (as in Core)."""
        required = solutions[0][0]
        signatures: list[bytes] = []
        for pubkey in solutions[1:-1]:
            if len(signatures) < required:
                signature = self._existing_signature(pubkey, code, segwit)
                if signature is None:
                    signature = self._signature(pubkey, code, segwit)
                if signature is not None:
                    signatures.append(signature)
        return [b"", *signatures, *[b""] * ((required - len(signatures) + 1) // 2)]

    def _taproot_stack(self, program: bytes) -> list[bytes] | None:
        internal = self.provider.internal_key(program)
        if internal is None or not self.complete:
            return None
        secret = self.provider.secret(b"\x02" + internal) or self.provider.secret(b"\x03" + internal)
        if secret is None:
            return None
        tweaked = taproot_secret(secret)
        digest = taproot_sighash(self.tx, self.index, self.sighash_type, self.digests)
        if digest is None:
            return None
        signature = secp.sign_schnorr(tweaked, digest, bytes(32))
        return [signature + (bytes((self.sighash_type,)) if self.sighash_type else b"")]

    def _hash(self, code: bytes, hash_type: int, segwit: bool) -> bytes:
        if segwit:
            return segwit_v0_sighash(code, self.tx, self.index, hash_type, self.out.value, self.digests)
        return legacy_sighash(code, self.tx, self.index, hash_type)

    def _signature(self, pubkey: bytes, code: bytes, segwit: bool) -> bytes | None:
        secret = self.provider.secret(pubkey)
        if secret is None:
            return None
        hash_type = self.sighash_type or SIGHASH_ALL
        return secp.sign_ecdsa(secret, self._hash(code, hash_type, segwit)) + bytes((hash_type,))

    def _existing_signature(self, pubkey: bytes, code: bytes, segwit: bool) -> bytes | None:
        for item in self.existing:
            if 9 <= len(item) <= 73 and item[0] == 0x30:
                digest = self._hash(code, item[-1], segwit)
                if secp.verify_ecdsa(pubkey, item[:-1], digest):
                    return item
        return None

    def _find_script(self, digest: bytes, hasher: object) -> bytes | None:
        """A script that the input carries already and the provider does not know."""
        assert callable(hasher)
        for item in reversed(self.existing):
            if hasher(item) == digest:
                return item
        return None


def taproot_secret(secret: bytes) -> bytes:
    """The secret that signs for a key-path-only taproot output with this internal key (BIP 341)."""
    pubkey = secp.pubkey_of(secret)
    if pubkey[0] == 3:
        secret = secp.seckey_negate(secret)
    tweaked = secp.seckey_tweak_add(secret, taptweak(pubkey[1:]))
    if tweaked is None:
        raise ValueError("unusable taproot key")
    return tweaked


def _existing_pushes(tx: Transaction, index: int) -> list[bytes]:
    """All that script_sig and witness push."""
    pushes = [data for _, data, _ in iter_ops(tx.vin[index].script_sig) if data]
    return pushes + [item for item in tx.witness_of(index) if item]
