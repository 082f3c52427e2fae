"""Taking transactions into the mempool, one by one, and mending it after a reorganisation.

Runs on the owner task: between its awaits nobody else changes chain or pool. Coins are fetched in one trip,
scripts run on the workers, everything else is in checks.py. Packages are in package_acceptance.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from ..consensus.context import HeaderContext
from ..consensus.deployments import script_flags_for
from ..consensus.errors import TxFault, TxInvalid
from ..consensus.limits import COINBASE_MATURITY
from ..consensus.transactions import is_final
from ..events import RemovalReason
from ..params import ChainParams
from ..policy.ephemeral import unspent_dust
from ..policy.feerate import feerate_of
from ..policy.replacement import spends_conflicting
from ..ports import Ports
from ..primitives.hashes import hash_hex
from ..primitives.transaction import Coin, OutPoint, Transaction
from ..script.flags import STANDARD_FLAGS
from ..script.sighash import TxDigests
from ..script_checks import run_script_checks
from .checks import (
    Mode,
    Replacement,
    Workspace,
    are_locks_passed,
    check_replacement,
    check_with_coins,
    check_without_coins,
    exceeds,
    script_fault,
)
from .entry import MempoolEntry
from .pool import Mempool
from .results import TxAccept

Coins = Mapping[OutPoint, Coin]

LONGEST_STRETCH = 0.02
"""Seconds of work on one transaction after the other until others, who only read, get a turn."""


class ChainView(Protocol):
    """The active chain as the owner task sees it."""

    @property
    def tip(self) -> HeaderContext: ...

    @property
    def is_current(self) -> bool:
        """It is not behind what peers have."""

    async def get_coins(self, outpoints: Sequence[OutPoint]) -> Mapping[OutPoint, Coin | None]:
        """The unspent ones among outpoints, in one trip."""


class Acceptance:
    """Decides about transactions for one pool on one chain. fast_scripts: see `run_script_checks`."""

    def __init__(
        self,
        pool: Mempool,
        chain: ChainView,
        params: ChainParams,
        ports: Ports,
        *,
        fast_scripts: bool = True,
    ) -> None:
        self.pool, self.chain, self.params, self.ports = pool, chain, params, ports
        self._fast_scripts = fast_scripts

    async def accept(
        self,
        tx: Transaction,
        *,
        test_only: bool = False,
        bypass_limits: bool = False,
        max_feerate: int | None = None,
        time: int | None = None,
    ) -> TxAccept:
        """Takes tx in, or says whether it would be (test_only). Raises TxInvalid.

        bypass_limits: no fees asked, for what was in a block. time: when it came, in seconds; now by default.
        """
        when = self.ports.clock.time() if time is None else time
        mode = Mode(when, test_only=test_only, bypass_limits=bypass_limits, max_feerate=max_feerate)
        return await self.accept_one(tx, mode)

    async def accept_one(self, tx: Transaction, mode: Mode, known: Coins | None = None) -> TxAccept:
        """As `accept`. known: coins of the chain that are at hand already.

        How long it waits will tell of its feerate if it came by itself, was not in a block, needs no other
        transaction, and the chain is not behind.
        """
        pool = self.pool
        ws = Workspace(tx)
        await self.check(ws, mode, known)
        replaced = check_replacement(ws, pool) if ws.conflicts else Replacement()
        entry = ws.made
        if not pool.graph.fits([pool.candidate(entry)], replaced.txids):
            raise TxInvalid(TxFault.MEMPOOL_POLICY, "too-large-cluster")
        detail = spends_conflicting(tx.txid, pool.graph.ancestors(ws.parents), list(ws.conflicts))
        if detail is not None:
            raise TxInvalid(TxFault.CONSENSUS, "bad-txns-spends-conflicting-tx", detail)
        if exceeds(entry, mode.max_feerate):
            raise TxInvalid(TxFault.MEMPOOL_POLICY, "max feerate exceeded")
        if not mode.bypass_limits and pool.settings.require_standard:
            fault = unspent_dust([tx], pool.settings.dust_relay_feerate, self.transaction_in_pool)
            if fault is not None:
                raise fault[1]
        await self.check_scripts(ws)
        gone = [pool.entries[txid].tx for txid in replaced.txids]
        feerate = feerate_of(entry.modified_fee, entry.vsize)
        accepted = TxAccept(tx, entry.fee, entry.vsize, feerate, [tx.wtxid], gone)
        if mode.test_only:
            return accepted
        self.replace(replaced, [entry])
        if not mode.in_package and not mode.bypass_limits:
            pool.limit()
            if not pool.contains(tx.txid):
                raise TxInvalid(TxFault.RECONSIDERABLE, "mempool full")
        by_itself = not (mode.bypass_limits or mode.in_package or ws.parents)
        pool.announce(entry, telling=by_itself and self.chain.is_current)
        return accepted

    async def check(
        self, ws: Workspace, mode: Mode, known: Coins | None = None, made: Coins | None = None
    ) -> None:
        """Everything before replacement, limits and scripts. made: outputs of others in the same package."""
        tip = self.chain.tip
        check_without_coins(ws, self.pool, tip, mode)
        coins = await self._coins_of(ws.tx, known or {}, made or {})
        check_with_coins(ws, self.pool, tip, coins, mode)

    async def check_scripts(self, ws: Workspace) -> None:
        """With the flags of policy; with those of the next block too, should it have others: what passes
        under more flags passes under fewer."""
        tip = self.chain.tip
        block_flags = script_flags_for(tip.height, tip.hash, self.params)
        digests = TxDigests(ws.tx, [coin.txout for coin in ws.coins])
        for flags, standard in ((STANDARD_FLAGS, True), (block_flags, False)):
            if not standard and not block_flags & ~STANDARD_FLAGS:
                break
            failure = await run_script_checks(self.ports.workers, [digests], flags, fast=self._fast_scripts)
            if failure is not None:
                raise script_fault(ws, failure, standard)

    def replace(self, replaced: Replacement, entries: Sequence[MempoolEntry]) -> None:
        """Puts entries, parents first, in the place of what they replace."""
        pool, log = self.pool, self.ports.log
        if replaced.txids and log.enabled("mempool"):
            fees, vsize = sum(e.modified_fee for e in entries), sum(e.vsize for e in entries)
            new = f"New package with {len(entries)} txs, fees={fees}, vsize={vsize}"
            if len(entries) == 1:
                tx = entries[0].tx
                new = f"New tx {hash_hex(tx.txid)} (wtxid={hash_hex(tx.wtxid)}, fees={fees}, vsize={vsize})"
            for txid in replaced.txids:
                old = pool.entries[txid]
                log.debug(
                    "mempool",
                    f"replacing mempool tx {hash_hex(txid)} (wtxid={hash_hex(old.tx.wtxid)},"
                    f" fees={old.fee}, vsize={old.vsize}). {new}",
                )
        pool.remove(replaced.txids, RemovalReason.REPLACED)
        for entry in entries:
            pool.add(entry)

    def transaction_in_pool(self, txid: bytes) -> Transaction | None:
        entry = self.pool.get(txid)
        return None if entry is None else entry.tx

    async def _coins_of(self, tx: Transaction, known: Coins, made: Coins) -> dict[OutPoint, Coin]:
        """What tx spends, from package, pool and chain; raises TxInvalid if something is missing."""
        coins: dict[OutPoint, Coin] = {}
        ask: list[OutPoint] = []
        for txin in tx.vin:
            prevout = txin.prevout
            coin = made.get(prevout) or self.pool.coin(prevout) or known.get(prevout)
            if coin is not None:
                coins[prevout] = coin
            elif not self.pool.contains(prevout.txid):
                ask.append(prevout)
        if ask:
            for prevout, coin in (await self.chain.get_coins(ask)).items():
                if coin is not None:
                    coins[prevout] = coin
        if any(txin.prevout not in coins for txin in tx.vin):
            own = [OutPoint(tx.txid, i) for i in range(len(tx.vout))]
            if any((await self.chain.get_coins(own)).values()):
                raise TxInvalid(TxFault.CONFLICT, "txn-already-known")
            raise TxInvalid(TxFault.MISSING_INPUTS, "bad-txns-inputs-missingorspent")
        return coins

    async def mend_after_reorg(self, readd: Callable[[], bool] = lambda: True) -> None:
        """Puts back what the disconnected blocks held and still may stand; drops what no longer may.

        Follows `Mempool.block_disconnected` and `block_connected`, with the new tip in place, before the
        owner serves anybody else. readd: asked before each transaction; False gives it up, when too many
        blocks went or the node stops.
        """
        clock = self.ports.clock
        breath = clock.monotonic()
        pool = self.pool
        mode = Mode(self.ports.clock.time(), bypass_limits=True)
        back = []
        for txs in pool.disconnected.take():
            known = await self._chain_coins(tx for tx in txs if not tx.is_coinbase) if readd() else {}
            for tx in txs:
                if clock.monotonic() - breath > LONGEST_STRETCH:
                    await clock.sleep(0)
                    breath = clock.monotonic()
                try:
                    if tx.is_coinbase or not readd():
                        raise TxInvalid(TxFault.UNKNOWN, "not put back")
                    await self.accept_one(tx, mode, known)
                    back.append(tx.txid)
                except TxInvalid:
                    pool.remove_recursive(tx, RemovalReason.REORG)
        pool.link_children(back)
        watched = [entry for entry in pool.entries.values() if entry.depends_on_height]
        coins = await self._chain_coins(entry.tx for entry in watched)
        tip = self.chain.tip

        def invalid(entry: MempoolEntry) -> bool:
            if not is_final(entry.tx, tip.height + 1, tip.mtp()):
                return True
            if not entry.depends_on_height:
                return False
            spent = [pool.coin(txin.prevout) or coins.get(txin.prevout) for txin in entry.tx.vin]
            there = [coin for coin in spent if coin is not None]
            return (
                len(there) < len(spent)
                or any(c.coinbase and tip.height + 1 - c.height < COINBASE_MATURITY for c in there)
                or not are_locks_passed(entry.tx, there, tip)
            )

        pool.remove_for_reorg(invalid)
        pool.limit()

    async def _chain_coins(self, txs: Iterable[Transaction]) -> Coins:
        """In one trip what txs spend of the chain; what they spend of each other or the pool is left out."""
        many = list(txs)
        made = {tx.txid for tx in many}
        ask = [
            txin.prevout
            for tx in many
            for txin in tx.vin
            if txin.prevout.txid not in made and not self.pool.contains(txin.prevout.txid)
        ]
        found = await self.chain.get_coins(ask) if ask else {}
        return {prevout: coin for prevout, coin in found.items() if coin is not None}
