"""What a list of transactions must look like to be taken as one package (Core policy/packages.cpp)."""

from __future__ import annotations

from collections.abc import Sequence

from ..primitives.hashes import sha256
from ..primitives.transaction import OutPoint, Transaction

MAX_PACKAGE_COUNT = 25
MAX_PACKAGE_WEIGHT = 404_000


def check_package(txs: Sequence[Transaction]) -> str | None:
    """Core's token for why txs are no package, None if they are one. Looks at nothing but txs."""
    if len(txs) > MAX_PACKAGE_COUNT:
        return "package-too-many-transactions"
    if len(txs) > 1 and sum(tx.weight for tx in txs) > MAX_PACKAGE_WEIGHT:
        return "package-too-large"
    later = {tx.txid for tx in txs}
    if len(later) != len(txs):
        return "package-contains-duplicates"
    for tx in txs:
        if any(txin.prevout.txid in later for txin in tx.vin):
            return "package-not-sorted"
        later.discard(tx.txid)
    spent: set[OutPoint] = set()
    for tx in txs:
        prevouts = [txin.prevout for txin in tx.vin]
        if not prevouts or any(prevout in spent for prevout in prevouts):
            return "conflict-in-package"
        spent.update(prevouts)  # afterwards: one input twice in a transaction has its own token
    return None


def is_child_with_parents(txs: Sequence[Transaction]) -> bool:
    """Whether all but the last are parents of the last."""
    if len(txs) < 2:
        return False
    spent = {txin.prevout.txid for txin in txs[-1].vin}
    return all(tx.txid in spent for tx in txs[:-1])


def package_hash(txs: Sequence[Transaction]) -> bytes:
    """SHA-256 of the wtxids, sorted as little-endian numbers; a name for the package in the log."""
    return sha256(b"".join(wtxid[::-1] for wtxid in sorted(tx.wtxid[::-1] for tx in txs)))
