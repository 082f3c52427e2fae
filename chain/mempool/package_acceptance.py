"""Packages: dependent transactions that are tested in order, or a child taken in together with its parents.

Source: Core 31.99 validation.cpp, AcceptMultipleTransactions, AcceptPackage, PackageRBFChecks. Runs on the
owner task.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..consensus.errors import TxFault, TxInvalid
from ..policy.ephemeral import unspent_dust
from ..policy.feerate import feerate_of, format_feerate
from ..policy.packages import check_package, is_child_with_parents
from ..policy.replacement import pays_for_replacement, too_many_clusters
from ..policy.truc import check_in_package
from ..primitives.transaction import Coin, OutPoint, Transaction
from .acceptance import Acceptance
from .checks import (
    Mode,
    Replacement,
    Workspace,
    check_feerate,
    exceeds,
    sum_up,
    worsens_diagram,
)
from .entry import MEMPOOL_HEIGHT
from .results import AlreadyInMempool, OtherWitness, PackageFault, PackageResult, TxAccept

_FAILED = "transaction failed"


async def check_dependent(acceptance: Acceptance, txs: Sequence[Transaction]) -> PackageResult:
    """Whether txs, parents before children, could all be taken in; nothing is. testmempoolaccept's answer."""
    mode = Mode(
        acceptance.ports.clock.time(), test_only=True, allow_replacement=False, allow_sibling_eviction=False
    )
    return await _accept_together(acceptance, txs, mode)


async def submit_package(
    acceptance: Acceptance, txs: Sequence[Transaction], max_feerate: int | None = None
) -> PackageResult:
    """Takes in a child and its parents, the child last; each by itself if it can, else all together.

    So a child can pay for parents that nobody would take alone.
    """
    pool = acceptance.pool
    answer = PackageResult()
    if (reason := check_package(txs)) is not None:
        return answer.fail(PackageFault.POLICY, reason)
    if len(txs) > 1 and not is_child_with_parents(txs):
        return answer.fail(PackageFault.POLICY, "package-not-child-with-parents")
    single = Mode(acceptance.ports.clock.time(), in_package=True, max_feerate=max_feerate)
    alone: dict[bytes, TxInvalid] = {}
    together: list[Transaction] = []
    hopeless = False
    for tx in txs:
        there = pool.get(tx.txid)
        if there is not None and there.tx.wtxid == tx.wtxid:
            answer.results[tx.wtxid] = AlreadyInMempool(there.fee, there.vsize)
            continue
        if there is not None:
            answer.results[tx.wtxid] = OtherWitness(there.tx.wtxid)
            continue
        try:
            answer.results[tx.wtxid] = await acceptance.accept_one(tx, single)
        except TxInvalid as fault:
            alone[tx.wtxid] = fault
            # only a fee, or a parent that failed for its fee, looks different in company
            if len(txs) == 1 or fault.fault not in (TxFault.RECONSIDERABLE, TxFault.MISSING_INPUTS):
                hopeless = True
            else:
                together.append(tx)
    if hopeless:
        answer.fail(PackageFault.TX, _FAILED)
    elif together:
        mode = single._replace(package_feerates=True, allow_sibling_eviction=False)
        if len(together) == 1:
            mode = single
        joint = await _accept_together(acceptance, together, mode)
        if joint.fault is not None:
            answer.fail(joint.fault, joint.reason, joint.detail)
        answer.results.update(joint.results)
    pool.limit()
    for tx in txs:
        known = answer.results.get(tx.wtxid)
        if known is None and tx.wtxid in alone:
            answer.results[tx.wtxid] = alone[tx.wtxid]
        elif known is not None and not isinstance(known, TxInvalid) and not pool.contains(tx.txid):
            answer.fail(PackageFault.TX, _FAILED)
            answer.results[tx.wtxid] = TxInvalid(TxFault.MEMPOOL_POLICY, "mempool full")
    return answer


async def _accept_together(acceptance: Acceptance, txs: Sequence[Transaction], mode: Mode) -> PackageResult:
    """Judges txs, parents before children, as one; takes them in unless mode says test_only."""
    pool, settings = acceptance.pool, acceptance.pool.settings
    answer = PackageResult()
    if len(txs) == 1 and not mode.test_only:
        try:
            answer.results[txs[0].wtxid] = await acceptance.accept_one(txs[0], mode)
        except TxInvalid as fault:
            answer.results[txs[0].wtxid] = fault
            answer.fail(PackageFault.TX, _FAILED)
        return answer
    if (reason := check_package(txs)) is not None:
        return answer.fail(PackageFault.POLICY, reason)

    def tx_failed(tx: Transaction, fault: TxInvalid, reason: str = _FAILED) -> PackageResult:
        answer.results[tx.wtxid] = fault
        return answer.fail(PackageFault.TX, reason)

    spaces = [Workspace(tx) for tx in txs]
    made: dict[OutPoint, Coin] = {}
    for ws in spaces:
        try:
            await acceptance.check(ws, mode, made=made)
            if exceeds(ws.made, mode.max_feerate):
                raise TxInvalid(TxFault.MEMPOOL_POLICY, "max feerate exceeded")
        except TxInvalid as fault:
            return tx_failed(ws.tx, fault)
        for i, out in enumerate(ws.tx.vout):
            made[OutPoint(ws.tx.txid, i)] = Coin(out.value, out.script_pubkey, MEMPOOL_HEIGHT, False)
    for ws in spaces:
        detail = check_in_package(ws.tx, ws.made.vsize, txs, [pool.family(txid) for txid in ws.parents])
        if detail is not None:
            return answer.fail(PackageFault.POLICY, "TRUC-violation", detail)
    fees = sum(ws.made.modified_fee for ws in spaces)
    vsize = sum(ws.made.vsize for ws in spaces)
    if mode.package_feerates:
        try:
            check_feerate(pool, fees, vsize)
        except TxInvalid as fault:
            return tx_failed(txs[-1], fault)
    replaced = Replacement()
    if any(ws.conflicts for ws in spaces):
        result = _check_package_replacement(acceptance, spaces, fees, vsize)
        if not isinstance(result, Replacement):
            return answer.fail(PackageFault.POLICY, *result)
        replaced = result
    new = {tx.txid for tx in txs}
    if not pool.graph.fits([pool.candidate(ws.made, new) for ws in spaces], replaced.txids):
        return answer.fail(PackageFault.POLICY, "too-large-cluster")
    if settings.require_standard:
        dust = unspent_dust(txs, settings.dust_relay_feerate, acceptance.transaction_in_pool)
        if dust is not None:
            return tx_failed(*dust, reason="unspent-dust")
    for ws in spaces:
        try:
            await acceptance.check_scripts(ws)
        except TxInvalid as fault:
            return tx_failed(ws.tx, fault)
        if mode.test_only:
            answer.results[ws.tx.wtxid] = _accepted(ws, mode, spaces, fees, vsize, ())
    if mode.test_only:
        return answer
    gone: Sequence[Transaction] = [pool.entries[txid].tx for txid in replaced.txids]
    acceptance.replace(replaced, [ws.made for ws in spaces])
    for ws in spaces:
        answer.results[ws.tx.wtxid] = _accepted(ws, mode, spaces, fees, vsize, gone)
        gone = ()  # told once, with the first
        pool.announce(ws.made)
    return answer


def _accepted(
    ws: Workspace,
    mode: Mode,
    spaces: Sequence[Workspace],
    fees: int,
    vsize: int,
    gone: Sequence[Transaction],
) -> TxAccept:
    entry = ws.made
    if mode.package_feerates:
        feerate, together = feerate_of(fees, vsize), [other.tx.wtxid for other in spaces]
    else:
        feerate, together = feerate_of(entry.modified_fee, entry.vsize), [ws.tx.wtxid]
    return TxAccept(ws.tx, entry.fee, entry.vsize, feerate, together, gone)


def _check_package_replacement(
    acceptance: Acceptance, spaces: Sequence[Workspace], fees: int, vsize: int
) -> Replacement | tuple[str, str]:
    """What a parent and its child drive out together; or token and detail of why they may not."""
    pool = acceptance.pool
    failed = "package RBF failed: "
    if len(spaces) != 2 or not is_child_with_parents([ws.tx for ws in spaces]):
        return failed + "package must be 1-parent-1-child", ""
    if any(ws.parents for ws in spaces):
        return failed + "new transaction cannot have mempool ancestors", ""
    conflicts = dict.fromkeys(txid for ws in spaces for txid in ws.conflicts)
    parent, child = spaces
    detail = too_many_clusters(child.tx.txid, pool.graph.count_clusters(conflicts))
    if detail is not None:
        return failed + "too many potential replacements", detail
    replaced = sum_up(pool, conflicts)
    step = pool.settings.incremental_relay_feerate
    detail = pays_for_replacement(child.tx.txid, replaced.fees, fees, vsize, step)
    if detail is not None:
        return failed + "insufficient anti-DoS fees", detail
    if fees * parent.made.vsize <= parent.made.modified_fee * vsize:
        of_package = format_feerate(feerate_of(fees, vsize))
        of_parent = format_feerate(feerate_of(parent.made.modified_fee, parent.made.vsize))
        return (
            failed + "package feerate is less than or equal to parent feerate",
            f"package feerate {of_package} <= parent feerate is {of_parent}",
        )
    new = {ws.tx.txid for ws in spaces}
    added = [pool.candidate(ws.made, new) for ws in spaces]
    if not pool.graph.fits(added, replaced.txids):
        return "too-large-cluster", ""
    detail = worsens_diagram(pool, added, replaced.txids)
    if detail is not None:
        return failed + detail, ""
    return replaced
