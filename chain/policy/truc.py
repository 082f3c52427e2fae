"""Topologically restricted until confirmation: version 3 (BIP 431, Core policy/truc_policy.cpp).

One of version 3 has at most one unconfirmed parent and one unconfirmed child, both of version 3; with a
parent it is small. So nobody can pin it by hanging large or many children on it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from ..primitives.hashes import hash_hex
from ..primitives.transaction import Transaction

TRUC_VERSION = 3
MAX_VSIZE, MAX_CHILD_VSIZE = 10_000, 1_000


class Family(NamedTuple):
    """A parent in the mempool. ancestors and descendants count it too.

    children: txids of all its descendants, the lone child being the one that may be evicted for a sibling;
    child_ancestors: ancestors of the first of them, with itself.
    """

    tx: Transaction
    ancestors: int
    children: Sequence[bytes]
    child_ancestors: int

    @property
    def descendants(self) -> int:
        return len(self.children) + 1


def _name(tx: Transaction) -> str:
    return f"{hash_hex(tx.txid)} (wtxid={hash_hex(tx.wtxid)})"


def _wrong_version(tx: Transaction, parent: Transaction) -> str | None:
    if tx.version != TRUC_VERSION and parent.version == TRUC_VERSION:
        return f"non-version=3 tx {_name(tx)} cannot spend from version=3 tx {_name(parent)}"
    if tx.version == TRUC_VERSION and parent.version != TRUC_VERSION:
        return f"version=3 tx {_name(tx)} cannot spend from non-version=3 tx {_name(parent)}"
    return None


def _too_large(tx: Transaction, vsize: int, limit: int) -> str:
    child = "child " if limit == MAX_CHILD_VSIZE else ""
    return f"version=3 {child}tx {_name(tx)} is too big: {vsize} > {limit} virtual bytes"


def check_single(
    tx: Transaction, parents: Sequence[Family], conflicts: Collection[bytes], vsize: int
) -> tuple[str, bytes | None] | None:
    """None if tx, of any version, keeps the rules; else the detail, and a sibling whose going would mend it.

    parents: those in the mempool; conflicts: txids of what tx conflicts with directly.
    """
    for parent in parents:
        if (fault := _wrong_version(tx, parent.tx)) is not None:
            return fault, None
    if tx.version != TRUC_VERSION:
        return None
    if vsize > MAX_VSIZE:
        return _too_large(tx, vsize, MAX_VSIZE), None
    if not parents:
        return None
    if len(parents) > 1 or parents[0].ancestors > 1:
        return f"tx {_name(tx)} would have too many ancestors", None
    if vsize > MAX_CHILD_VSIZE:
        return _too_large(tx, vsize, MAX_CHILD_VSIZE), None
    parent = parents[0]
    if parent.children and not any(child in conflicts for child in parent.children):
        detail = f"tx {_name(parent.tx)} would exceed descendant count limit"
        lone = len(parent.children) == 1 and parent.child_ancestors == 2
        return detail, parent.children[0] if lone else None
    return None


def check_in_package(
    tx: Transaction, vsize: int, package: Sequence[Transaction], parents: Sequence[Family]
) -> str | None:
    """The detail of the refusal if tx breaks the rules together with the package it stands in."""
    spent = {txin.prevout.txid for txin in tx.vin}
    position = next(i for i, other in enumerate(package) if other is tx)
    near = [other for other in package[:position] if other.txid in spent]
    if tx.version != TRUC_VERSION:
        for other in (*(parent.tx for parent in parents), *near):
            if (fault := _wrong_version(tx, other)) is not None:
                return fault
        return None
    if len(parents) + len(near) > 1:
        return f"tx {_name(tx)} would have too many ancestors"
    if parents and parents[0].ancestors + len(near) > 1:
        return f"tx {_name(tx)} would have too many ancestors"
    if not parents and not near:
        return None
    if vsize > MAX_CHILD_VSIZE:
        return _too_large(tx, vsize, MAX_CHILD_VSIZE)
    above = parents[0].tx if parents else near[0]
    if (fault := _wrong_version(tx, above)) is not None:
        return fault
    crowded = f"tx {_name(above)} would exceed descendant count limit"
    for other in package:
        if other is tx:
            continue
        for txin in other.vin:
            if txin.prevout.txid == above.txid:
                return crowded
            if txin.prevout.txid == tx.txid:
                return f"tx {_name(other)} would have too many ancestors"
    if parents and parents[0].children:
        return crowded
    return None
