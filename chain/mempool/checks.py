"""The steps of acceptance, in Core's order: plain functions over a pool and coins fetched before.

Source: Core 31.99 validation.cpp, MemPoolAccept. They only look at the pool; acceptance.py changes it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..consensus.connect import script_failure_detail
from ..consensus.context import HeaderContext
from ..consensus.errors import TxFault, TxInvalid
from ..consensus.transactions import (
    check_transaction,
    check_tx_inputs,
    is_final,
    locks_passed,
    sequence_locks,
    sigop_cost,
)
from ..policy.ephemeral import check_dust_is_free
from ..policy.feerate import fee_for
from ..policy.replacement import pays_for_replacement, too_many_clusters
from ..policy.standard import (
    MAX_STANDARD_SIGOPS_COST,
    MIN_STANDARD_BASE_SIZE,
    check_inputs_standard,
    check_standard,
    is_witness_standard,
    spends_witness_program,
)
from ..policy.truc import check_single
from ..primitives.transaction import Coin, OutPoint, Transaction
from ..script.flags import STANDARD_FLAGS
from ..script.verify import CheckFailure
from .clusters import Candidate
from .entry import MEMPOOL_HEIGHT, MempoolEntry
from .linearize import diagram_improves
from .pool import Mempool

_DISABLE_LOCK = 1 << 31


class Mode(NamedTuple):
    """How a transaction is judged. bypass_limits: it was in a block, so fees and limits do not count."""

    time: int
    test_only: bool = False
    bypass_limits: bool = False
    allow_replacement: bool = True
    allow_sibling_eviction: bool = True
    package_feerates: bool = False
    """Fees are judged for the package as a whole."""
    in_package: bool = False
    """Others come with it; the caller trims the pool when all are in."""
    max_feerate: int | None = None
    """The sender's own limit in satoshis per 1000 vbytes."""


@dataclass(slots=True)
class Workspace:
    """A transaction on its way in. conflicts: txids in the pool that it drives out, a sibling too."""

    tx: Transaction
    conflicts: dict[bytes, None] = field(default_factory=dict)
    sibling_eviction: bool = False
    coins: Sequence[Coin] = ()
    entry: MempoolEntry | None = None
    parents: Sequence[bytes] = ()

    @property
    def made(self) -> MempoolEntry:
        assert self.entry is not None, "check_with_coins comes first"
        return self.entry


@dataclass(slots=True)
class Replacement:
    """What all conflicts come to. txids: with descendants."""

    txids: Sequence[bytes] = ()
    fees: int = 0
    vsize: int = 0


def check_without_coins(ws: Workspace, pool: Mempool, tip: HeaderContext, mode: Mode) -> None:
    """Form, standardness, finality, and what the pool has; finds direct conflicts. Raises TxInvalid."""
    tx, settings = ws.tx, pool.settings
    check_transaction(tx)
    if tx.is_coinbase:
        raise TxInvalid(TxFault.CONSENSUS, "coinbase")
    if settings.require_standard and (reason := check_standard(tx, settings)) is not None:
        raise TxInvalid(TxFault.NOT_STANDARD, reason)
    if tx.base_size < MIN_STANDARD_BASE_SIZE:
        raise TxInvalid(TxFault.NOT_STANDARD, "tx-size-small")
    if not is_final(tx, tip.height + 1, tip.mtp()):
        raise TxInvalid(TxFault.PREMATURE_SPEND, "non-final")
    if pool.get_by_wtxid(tx.wtxid) is not None:
        raise TxInvalid(TxFault.CONFLICT, "txn-already-in-mempool")
    if pool.contains(tx.txid):
        raise TxInvalid(TxFault.CONFLICT, "txn-same-nonwitness-data-in-mempool")
    for txin in tx.vin:
        conflict = pool.spender_of(txin.prevout)
        if conflict is not None:
            if not mode.allow_replacement:
                raise TxInvalid(TxFault.MEMPOOL_POLICY, "bip125-replacement-disallowed")
            ws.conflicts[conflict.txid] = None


def check_with_coins(
    ws: Workspace, pool: Mempool, tip: HeaderContext, coins: Mapping[OutPoint, Coin], mode: Mode
) -> None:
    """Locks, amounts, standard inputs, fees and family rules; makes the entry. Raises TxInvalid.

    coins: every prevout of the transaction.
    """
    tx, settings = ws.tx, pool.settings
    ws.coins = [coins[txin.prevout] for txin in tx.vin]
    if not are_locks_passed(tx, ws.coins, tip):
        raise TxInvalid(TxFault.PREMATURE_SPEND, "non-BIP68-final")
    fee = check_tx_inputs(tx, ws.coins, tip.height + 1)
    if settings.require_standard:
        check_inputs_standard(tx, ws.coins)
        if tx.has_witness and not is_witness_standard(tx, ws.coins):
            raise TxInvalid(TxFault.WITNESS_MUTATED, "bad-witness-nonstandard")
    sigops = sigop_cost(tx, ws.coins, STANDARD_FLAGS)
    entry = ws.entry = MempoolEntry.make(
        tx,
        fee,
        delta=pool.deltas.get(tx.txid, 0),
        time=mode.time,
        height=tip.height,
        sequence=0 if mode.bypass_limits else pool.sequence,
        sigop_cost=sigops,
        bytes_per_sigop=settings.bytes_per_sigop,
        depends_on_height=any(coin.coinbase for coin in ws.coins) or has_relative_lock(tx),
    )
    if settings.require_standard:
        check_dust_is_free(tx, settings.dust_relay_feerate, fee, entry.modified_fee)
    if sigops > MAX_STANDARD_SIGOPS_COST:
        raise TxInvalid(TxFault.NOT_STANDARD, "bad-txns-too-many-sigops", str(sigops))
    if not mode.bypass_limits and not mode.package_feerates:
        check_feerate(pool, entry.modified_fee, entry.vsize)
    ws.parents = pool.parents_of(tx)
    if not mode.bypass_limits:
        families = [pool.family(parent) for parent in ws.parents]
        fault = check_single(tx, families, ws.conflicts, entry.vsize)
        if fault is not None:
            detail, sibling = fault
            if sibling is None or not mode.allow_sibling_eviction:
                raise TxInvalid(TxFault.MEMPOOL_POLICY, "TRUC-violation", detail)
            ws.conflicts[sibling] = None
            ws.sibling_eviction = True


def check_feerate(pool: Mempool, fee: int, vsize: int) -> None:
    """Raises TxInvalid if fee is below what a full pool, or relay at all, asks for vsize."""
    needed = fee_for(pool.min_feerate(), vsize)
    if needed > 0 and fee < needed:
        raise TxInvalid(TxFault.RECONSIDERABLE, "mempool min fee not met", f"{fee} < {needed}")
    needed = fee_for(pool.settings.min_relay_feerate, vsize)
    if fee < needed:
        raise TxInvalid(TxFault.RECONSIDERABLE, "min relay fee not met", f"{fee} < {needed}")


def exceeds(entry: MempoolEntry, max_feerate: int | None) -> bool:
    """Whether entry pays a higher feerate than its sender allows."""
    return max_feerate is not None and entry.modified_fee * 1000 > max_feerate * entry.vsize


def check_replacement(ws: Workspace, pool: Mempool) -> Replacement:
    """All that ws would drive out, if it may: it pays for it, and miners gain. Raises TxInvalid."""
    entry = ws.made
    evicts = " (including sibling eviction)" if ws.sibling_eviction else ""
    detail = too_many_clusters(ws.tx.txid, pool.graph.count_clusters(ws.conflicts))
    if detail is not None:
        raise TxInvalid(TxFault.MEMPOOL_POLICY, f"too many potential replacements{evicts}", detail)
    replaced = sum_up(pool, ws.conflicts)
    detail = pays_for_replacement(
        ws.tx.txid,
        replaced.fees,
        entry.modified_fee,
        entry.vsize,
        pool.settings.incremental_relay_feerate,
    )
    if detail is not None:
        raise TxInvalid(TxFault.RECONSIDERABLE, f"insufficient fee{evicts}", detail)
    added = [pool.candidate(entry)]
    if not pool.graph.fits(added, replaced.txids):
        raise TxInvalid(TxFault.MEMPOOL_POLICY, "too-large-cluster")
    detail = worsens_diagram(pool, added, replaced.txids)
    if detail is not None:
        raise TxInvalid(TxFault.RECONSIDERABLE, "replacement-failed", detail)
    return replaced


def sum_up(pool: Mempool, conflicts: Collection[bytes]) -> Replacement:
    txids = pool.graph.descendants(conflicts)
    entries = [pool.entries[txid] for txid in txids]
    return Replacement(txids, sum(e.modified_fee for e in entries), sum(e.vsize for e in entries))


def worsens_diagram(pool: Mempool, added: Sequence[Candidate], removed: Collection[bytes]) -> str | None:
    """Detail of the refusal if the pool's feerate diagram is not strictly better after the change."""
    old, new = pool.graph.diagrams(added, removed)
    if diagram_improves(old, new):
        return None
    return "insufficient feerate: does not improve feerate diagram"


def has_relative_lock(tx: Transaction) -> bool:
    return tx.version >= 2 and any(not txin.sequence & _DISABLE_LOCK for txin in tx.vin)


def are_locks_passed(tx: Transaction, coins: Sequence[Coin], tip: HeaderContext) -> bool:
    """Whether the relative locks of tx allow it in the block after tip; unconfirmed coins count as in it."""
    heights = [tip.height + 1 if coin.height == MEMPOOL_HEIGHT else coin.height for coin in coins]
    return locks_passed(sequence_locks(tx, heights, tip), tip)


def script_fault(ws: Workspace, failure: CheckFailure, standard: bool) -> TxInvalid:
    """The refusal for a script that fails with the flags of policy (standard) or of the next block."""
    tx, words = ws.tx, failure.error.message
    detail = script_failure_detail(tx, failure.index)
    if not standard:
        return TxInvalid(TxFault.CONSENSUS, f"block-script-verify-flag-failed ({words})", detail)
    fault = TxFault.NOT_STANDARD
    if not tx.has_witness and spends_witness_program(tx, ws.coins):
        fault = TxFault.WITNESS_STRIPPED  # another copy, with its witness, may be good
    return TxInvalid(fault, f"mempool-script-verify-flag-failed ({words})", detail)
