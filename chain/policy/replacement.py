"""When a transaction may replace those it conflicts with; every one may be replaced (Core policy/rbf.cpp).

The feerate diagram, the last of the rules, is compared in mempool/.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..primitives.hashes import hash_hex
from .feerate import fee_for, format_money

MAX_REPLACED_CLUSTERS = 100
"""Clusters with direct conflicts; bounds the work of sorting them anew."""


def too_many_clusters(txid: bytes, clusters: int) -> str | None:
    """Detail of the refusal if conflicts touch too many clusters."""
    if clusters <= MAX_REPLACED_CLUSTERS:
        return None
    return (
        f"rejecting replacement {hash_hex(txid)}; too many conflicting clusters"
        f" ({clusters} > {MAX_REPLACED_CLUSTERS})"
    )


def pays_for_replacement(
    txid: bytes, old_fees: int, new_fees: int, vsize: int, incremental_feerate: int
) -> str | None:
    """Detail of the refusal if the new fees do not cover the old ones and the relay of vsize more vbytes.

    Else raising a fee by a satoshi at a time would be a cheap way to use everybody's bandwidth.
    """
    what = f"rejecting replacement {hash_hex(txid)}"
    if new_fees < old_fees:
        return f"{what}, less fees than conflicting txs; {format_money(new_fees)} < {format_money(old_fees)}"
    added, needed = new_fees - old_fees, fee_for(incremental_feerate, vsize)
    if added < needed:
        return f"{what}, not enough additional fees to relay; {format_money(added)} < {format_money(needed)}"
    return None


def spends_conflicting(txid: bytes, ancestors: Sequence[bytes], conflicts: Sequence[bytes]) -> str | None:
    """Detail of the refusal if a transaction depends on one that it replaces."""
    for ancestor in ancestors:
        if ancestor in conflicts:
            return f"{hash_hex(txid)} spends conflicting transaction {hash_hex(ancestor)}"
    return None
