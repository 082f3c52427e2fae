"""Feerates: satoshis per 1000 vbytes as int, or exactly as fee over size (Core policy/feerate.h)."""

from __future__ import annotations

from ..consensus.transactions import format_money
from ..primitives.transaction import COIN, WITNESS_SCALE_FACTOR, Transaction


def fee_for(feerate: int, vsize: int) -> int:
    """The fee in satoshis that feerate asks for vsize, rounded up."""
    return -(-feerate * vsize // 1000)


def feerate_of(fee: int, vsize: int) -> int:
    """Satoshis per 1000 vbytes, rounded down; 0 for nothing."""
    return fee * 1000 // vsize if vsize > 0 else 0


def adjusted_weight(weight: int, sigop_cost: int, bytes_per_sigop: int) -> int:
    """Weight, or what its signature checks are worth in weight if that is more."""
    return max(weight, sigop_cost * bytes_per_sigop)


def virtual_size(tx: Transaction, sigop_cost: int, bytes_per_sigop: int) -> int:
    """The vsize that policy counts: of the adjusted weight, rounded up."""
    weight = adjusted_weight(tx.weight, sigop_cost, bytes_per_sigop)
    return (weight + WITNESS_SCALE_FACTOR - 1) // WITNESS_SCALE_FACTOR


def format_feerate(feerate: int) -> str:
    """As Core's log writes it: "0.00001000 BTC/kvB"."""
    return f"{feerate // COIN}.{feerate % COIN:08d} BTC/kvB"


__all__ = ["adjusted_weight", "fee_for", "feerate_of", "format_feerate", "format_money", "virtual_size"]
