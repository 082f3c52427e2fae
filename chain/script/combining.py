"""Several signed copies of one transaction become one: for each input the signatures of all (no key needed).

What a copy's input shows is read as Core does: a complete input is taken as it stands; of the others the
scripts and every signature that is good for a key, and of these the input is made anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..primitives.hashes import hash160, sha256
from ..primitives.transaction import Transaction, TxOut
from .checker import TxChecker
from .flags import STANDARD_FLAGS, ScriptFlags
from .interpreter import eval_script
from .machine import SignatureChecker, SigVersion
from .script import push_data
from .solver import solve
from .verify import verify_script

Unlocking = tuple[bytes, tuple[bytes, ...]]
"""script_sig and witness of an input."""


@dataclass(slots=True)
class _Known:
    """What the copies show of one input; what came first stays."""

    redeem_script: bytes = b""
    witness_script: bytes = b""
    signatures: dict[bytes, bytes] = field(default_factory=dict)
    """By public key."""

    def merge(self, other: _Known) -> None:
        self.redeem_script = self.redeem_script or other.redeem_script
        self.witness_script = self.witness_script or other.witness_script
        self.signatures = other.signatures | self.signatures

    def script(self, script_hash: bytes) -> bytes | None:
        """By HASH160, whichever of the two it is."""
        for script in (self.redeem_script, self.witness_script):
            if script and hash160(script) == script_hash:
                return script
        return None


class _Collector(TxChecker):
    """Remembers, on the way, each signature that is good."""

    __slots__ = ("signatures",)

    def __init__(self, tx: Transaction, index: int, amount: int) -> None:
        super().__init__(tx, index, amount)  # no spent outputs: as in Core, taproot signatures never count
        self.signatures: dict[bytes, bytes] = {}

    def check_ecdsa(self, sig: bytes, pubkey: bytes, script_code: bytes, version: SigVersion) -> bool:
        good = super().check_ecdsa(sig, pubkey, script_code, version)
        if good:
            self.signatures.setdefault(pubkey, sig)
        return good


def combine_input(copies: Sequence[Transaction], index: int, spent: TxOut) -> Unlocking:
    """Input index of the combined transaction. spent: the output it spends; a copy may have fewer inputs."""
    known = _Known()
    for tx in copies:
        if index >= len(tx.vin):
            continue
        collector = _Collector(tx, index, spent.value)
        script_sig, witness = tx.vin[index].script_sig, tuple(tx.witness_of(index))
        if verify_script(script_sig, spent.script_pubkey, witness, STANDARD_FLAGS, collector) is None:
            return script_sig, witness
        known.merge(_read(script_sig, witness, spent.script_pubkey, collector))
    return _unlock(spent.script_pubkey, known)


def _read(script_sig: bytes, witness: tuple[bytes, ...], script: bytes, collector: _Collector) -> _Known:
    """What an incomplete input shows. collector has seen it fail."""
    found = _Known(signatures=collector.signatures)
    stack: list[bytes] = []
    eval_script(stack, script_sig, ScriptFlags.STRICTENC, SignatureChecker())
    version = SigVersion.BASE
    kind, solutions = solve(script)
    if kind == "scripthash" and stack and stack[-1]:
        found.redeem_script = script = stack.pop()
        kind, solutions = solve(script)
    if kind == "witness_v0_scripthash" and witness and witness[-1]:
        found.witness_script = script = witness[-1]
        kind, solutions = solve(script)
        stack, version = list(witness[:-1]), SigVersion.WITNESS_V0
    if kind == "multisig":
        pubkeys = solutions[1:-1]
        start = 0
        for item in stack:
            for i in range(start, len(pubkeys)):
                pubkey = pubkeys[i]
                if pubkey in found.signatures or collector.check_ecdsa(item, pubkey, script, version):
                    start = i + 1
                    break
    return found


def _unlock(script_pubkey: bytes, known: _Known) -> Unlocking:
    """The best that known can do; empty places in a multisig where signatures are missing."""
    script, wrapping = script_pubkey, b""
    kind, solutions = solve(script)
    if kind == "scripthash":
        redeem = known.script(solutions[0])
        if redeem is None:
            return b"", ()
        script, wrapping = redeem, push_data(redeem)
        kind, solutions = solve(script)
        if kind == "scripthash":
            inner = known.script(solutions[0])
            return (push_data(inner) if inner is not None else b"") + wrapping, ()
    if kind == "witness_v0_keyhash":
        return wrapping, tuple(_satisfy("pubkeyhash", solutions, known))
    if kind == "witness_v0_scripthash":
        witness_script = next(
            (s for s in (known.redeem_script, known.witness_script) if s and sha256(s) == solutions[0]),
            None,
        )
        if witness_script is None:
            return wrapping, ()
        return wrapping, (*_satisfy(*solve(witness_script), known), witness_script)
    return b"".join(push_data(item) for item in _satisfy(kind, solutions, known)) + wrapping, ()


def _satisfy(kind: str, solutions: list[bytes], known: _Known) -> list[bytes]:
    """What the script of this kind wants below itself; nothing where that is not known."""
    if kind == "pubkey":
        signature = known.signatures.get(solutions[0])
        return [signature] if signature is not None else []
    if kind == "pubkeyhash":
        pairs = [pair for pair in known.signatures.items() if hash160(pair[0]) == solutions[0]]
        return [pairs[0][1], pairs[0][0]] if pairs else []
    if kind == "multisig":
        required = solutions[0][0]
        signatures = [known.signatures[key] for key in solutions[1:-1] if key in known.signatures]
        missing = max(required - len(signatures), 0)
        return [b"", *signatures[:required], *[b""] * ((missing + 1) // 2)]  # half of them: so does Core
    return []
