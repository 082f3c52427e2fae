"""Sizes of what is to be signed, to the byte, and the feerate to pay.

ECDSA signatures are ground for a low R, so they take at most 71 bytes with their hash type; Schnorr ones take
64, as taproot inputs are signed with the default hash type. One ECDSA signature in 256 or so is shorter by a
byte, which is then overpaid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pybitcoind.chain.policy.fee_calculation import FeeCalculation, FeeReason
from pybitcoind.chain.policy.feerate import fee_for
from pybitcoind.chain.primitives.serialize import compact_size
from pybitcoind.chain.primitives.transaction import TxOut
from pybitcoind.chain.script.script import push_data
from pybitcoind.chain.script.solver import solve

from .chain_client import ChainClient
from .settings import WalletSettings
from .signing import Keyring

ECDSA_SIZE = 71
"""With the byte for the hash type, and a low R."""
SCHNORR_SIZE = 64
PUBKEY_SIZE = 33
WITNESS_SCALE = 4
_OUTPOINT_AND_SEQUENCE = 32 + 4 + 4


class InputSize(NamedTuple):
    """base: bytes without witness, with the length of script_sig. witness: bytes, 0 where it has none.

    An input without witness still counts one witness byte in a transaction that has witnesses.
    """

    base: int
    witness: int

    @property
    def weight(self) -> int:
        return self.base * WITNESS_SCALE + self.witness

    @property
    def vsize(self) -> int:
        """Rounded up; an upper bound of what the input adds."""
        return (self.weight + WITNESS_SCALE - 1) // WITNESS_SCALE


def input_size(script_pubkey: bytes, keyring: Keyring) -> InputSize | None:
    """Of an input that spends script_pubkey when it is signed; None if we do not know how to."""
    kind, solutions = solve(script_pubkey)
    script_sig = 0
    if kind == "scripthash":
        redeem = keyring.redeem_script(solutions[0])
        if redeem is None:
            return None
        script_sig = len(push_data(redeem))
        script_pubkey = redeem
        kind, solutions = solve(redeem)
    if kind == "witness_v1_taproot":
        if keyring.internal_key(solutions[0]) is None:
            return None
        return _sized(script_sig, [SCHNORR_SIZE])
    if kind == "witness_v0_keyhash":
        return _sized(script_sig, [ECDSA_SIZE, PUBKEY_SIZE]) if keyring.pubkey(solutions[0]) else None
    if kind == "witness_v0_scripthash":
        witness = keyring.witness_script(solutions[0])
        if witness is None:
            return None
        items = _stack_sizes(*solve(witness), keyring)
        return None if items is None else _sized(script_sig, [*items, len(witness)])
    items = _stack_sizes(kind, solutions, keyring)
    if items is None:
        return None
    return _sized(script_sig + sum(_push_size(size) for size in items), [])


def _stack_sizes(kind: str, solutions: list[bytes], keyring: Keyring) -> list[int] | None:
    """Bytes of each item that a script wants."""
    if kind == "pubkey":
        return [ECDSA_SIZE]
    if kind == "pubkeyhash":
        pubkey = keyring.pubkey(solutions[0])
        return None if pubkey is None else [ECDSA_SIZE, len(pubkey)]
    if kind == "multisig":
        return [0] + [ECDSA_SIZE] * solutions[0][0]
    return None


def _push_size(size: int) -> int:
    return 1 if size == 0 else len(push_data(b"\xff" * size))


def _sized(script_sig: int, witness: Sequence[int]) -> InputSize:
    base = _OUTPOINT_AND_SEQUENCE + len(compact_size(script_sig)) + script_sig
    if not witness:
        return InputSize(base, 0)
    return InputSize(
        base, len(compact_size(len(witness))) + sum(len(compact_size(size)) + size for size in witness)
    )


def tx_weight(inputs: Sequence[InputSize], outputs: Sequence[TxOut]) -> int:
    """Of the whole transaction when all its inputs are signed."""
    base = 4 + 4 + len(compact_size(len(inputs))) + len(compact_size(len(outputs)))
    base += sum(size.base for size in inputs) + sum(len(out.serialize()) for out in outputs)
    weight = base * WITNESS_SCALE
    if any(size.witness for size in inputs):
        weight += 2 + sum(size.witness or 1 for size in inputs)
    return weight


def vsize_of(weight: int) -> int:
    return (weight + WITNESS_SCALE - 1) // WITNESS_SCALE


@dataclass(frozen=True, slots=True)
class ChosenFeerate:
    """feerate: satoshis per 1000 vbytes. calculation: where it comes from, the estimate if there is one."""

    feerate: int
    calculation: FeeCalculation

    @property
    def reason(self) -> FeeReason:
        return self.calculation.reason


def required_feerate(client: ChainClient, settings: WalletSettings) -> int:
    return max(settings.min_feerate, client.min_relay_feerate)


def choose_feerate(
    client: ChainClient,
    settings: WalletSettings,
    *,
    asked: int | None = None,
    target: int | None = None,
    conservative: bool = False,
) -> ChosenFeerate:
    """asked: by the user; else an estimate for target blocks, else the fallback; never below the minimum."""
    calculation = FeeCalculation()
    if asked is not None:
        feerate = asked
    else:
        calculation = client.estimate_feerate(target or settings.confirm_target, conservative)
        feerate = calculation.feerate
        if not feerate:
            feerate = settings.fallback_feerate
            calculation = calculation._replace(reason=FeeReason.FALLBACK)
            if not feerate:
                return ChosenFeerate(0, calculation)
        if feerate < client.mempool_min_feerate:
            feerate = client.mempool_min_feerate
            calculation = calculation._replace(reason=FeeReason.MEMPOOL_MIN)
    if required_feerate(client, settings) > feerate:
        feerate = required_feerate(client, settings)
        calculation = calculation._replace(reason=FeeReason.REQUIRED)
    return ChosenFeerate(feerate, calculation)


def discard_feerate(client: ChainClient, settings: WalletSettings) -> int:
    """At which an output is not worth its later spending."""
    estimate = client.estimate_feerate(client.max_fee_target, False).feerate
    feerate = min(estimate, settings.discard_feerate) if estimate else settings.discard_feerate
    return max(feerate, client.dust_feerate)


__all__ = [
    "ChosenFeerate",
    "InputSize",
    "choose_feerate",
    "discard_feerate",
    "fee_for",
    "input_size",
    "required_feerate",
    "tx_weight",
    "vsize_of",
]
