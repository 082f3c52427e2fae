"""A wallet follows the chain: events as they come, and scans for what it missed or never looked for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pybitcoind.chain.events import (
    BlockConnected,
    BlockDisconnected,
    ChainRole,
    Event,
    RemovalReason,
    TipChanged,
    TxAdded,
    TxRemoved,
)
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.transaction import Transaction

from .chain_client import BlockRef, NotBroadcast
from .errors import WalletError
from .ledger import Confirmed, Inactive, InMempool, WalletTx

if TYPE_CHECKING:
    from pybitcoind.chain.header_tree import HeaderNode

    from .wallet import Wallet

SAVE_EVERY = 100
"""Blocks after which the best block is written even if none concerned us."""
TIMESTAMP_WINDOW = 2 * 60 * 60
"""Seconds that a block's time may be off: scans by time begin that much earlier."""
RESEND_FROM, RESEND_SPAN = 12 * 60 * 60, 24 * 60 * 60
"""Pending transactions are sent again after 12 to 36 hours."""


@dataclass(slots=True)
class Scan:
    """A scan that runs. started: monotonic seconds; progress: 0 to 1."""

    started: float
    progress: float = 0.0
    aborted: bool = False
    last_height: int | None = None


def ref_of(node: HeaderNode) -> BlockRef:
    return BlockRef(node.hash, node.height, node.time, node.mtp())


class Follower:
    """Keeps one wallet in step with the chain and the mempool."""

    def __init__(self, wallet: Wallet) -> None:
        self.wallet = wallet
        self.synced = asyncio.Event()
        """Set once it reached the tip after it was loaded, or cannot."""
        self.failed: str | None = None
        """Why it cannot catch up."""
        self.scan: Scan | None = None
        """The one scan that may run at a time; others are refused."""
        self._catching_up = False
        self._unsaved = 0
        self.next_resend = 0
        self.plan_resend()

    # Events

    async def handle(self, event: Event) -> None:
        """In the order of events; each is written before the next is handled."""
        if isinstance(event, BlockConnected):
            if event.role is ChainRole.ACTIVE:
                self._connected(event.block, ref_of(event.node))
        elif isinstance(event, BlockDisconnected):
            self._disconnected(event.node)
        elif isinstance(event, TipChanged):
            self._tip_changed(event)
        elif isinstance(event, TxAdded):
            self._mempool_added(event.tx)
        elif isinstance(event, TxRemoved):
            self._mempool_removed(event.tx)
            wtx = self.wallet.ledger.txs.get(event.tx.txid)
            if wtx is not None and event.reason is RemovalReason.CONFLICT:
                self.wallet.on_transaction(wtx)
        await self._save()

    async def _save(self) -> None:
        due = self._unsaved >= SAVE_EVERY
        if due or self.wallet.ledger.changed:
            self._unsaved = 0
            await self.wallet.save(locator=True)

    def _connected(self, block: Block, ref: BlockRef) -> None:
        self._take_block(block, ref)
        best = self.wallet.best
        if not self._catching_up and (best is None or block.header.prev_hash == best.hash):
            self.wallet.processed(ref)
            self._unsaved += 1

    def _take_block(self, block: Block, ref: BlockRef, *, rescan: bool = False) -> None:
        wallet, ledger = self.wallet, self.wallet.ledger
        for index, tx in enumerate(block.vtx):
            state = Confirmed(ref.hash, ref.height, index, ref.time)
            ledger.confirm(tx, state)
            if ledger.concerns(tx):
                wallet.add_transaction(tx, state, rescan=rescan)

    def _disconnected(self, node: HeaderNode) -> None:
        wallet = self.wallet
        wallet.ledger.disconnect(node.hash)
        if wallet.best is not None and wallet.best.hash == node.hash and node.prev is not None:
            wallet.processed(ref_of(node.prev))
            self._unsaved += 1

    def _tip_changed(self, event: TipChanged) -> None:
        """Settles what a node without all blocks did not tell block by block."""
        wallet, best = self.wallet, self.wallet.best
        if self._catching_up or best is None or best.hash == event.tip.hash:
            return
        if event.tip.ancestor(min(best.height, event.tip.height)).hash != best.hash:
            for block_hash in wallet.ledger.blocks():
                ref = wallet.client.find(block_hash)
                on_tip = ref is not None and ref.height <= event.tip.height
                if ref is None or not on_tip or event.tip.ancestor(ref.height).hash != block_hash:
                    wallet.ledger.disconnect(block_hash)
        wallet.processed(ref_of(event.tip))
        self._unsaved += 1

    def _mempool_added(self, tx: Transaction) -> None:
        ledger = self.wallet.ledger
        ledger.mempool_added(tx)
        if ledger.concerns(tx):
            self.wallet.add_transaction(tx, InMempool())

    def _mempool_removed(self, tx: Transaction) -> None:
        ledger = self.wallet.ledger
        ledger.mempool_removed(tx)
        wtx = ledger.txs.get(tx.txid)
        if wtx is not None and wtx.in_mempool and not self.wallet.client.in_mempool(tx.txid):
            ledger.set_state(wtx, Inactive())

    # Scans

    async def catch_up(self) -> None:
        """From the last block processed to the tip; then the mempool, and our own transactions into it.

        After a crash the tip may have to be reached again: own transactions wait for that, balances do not.
        BlocksMissing if a block on the way cannot be had.
        """
        try:
            await self._reach_tip()
        finally:
            self.synced.set()
        await self.wallet.client.settled()
        self.take_mempool()
        await self._save()
        await self.resubmit()

    async def _reach_tip(self) -> None:
        wallet, client = self.wallet, self.wallet.client
        self._catching_up = True
        try:
            for block_hash in wallet.ledger.blocks():
                if not client.in_chain(block_hash):
                    wallet.ledger.unplace(block_hash)
            while wallet.best is None or wallet.best.hash != client.tip.hash:
                await self._catch_up_some()
        finally:
            self._catching_up = False
        self.take_mempool()
        await self._save()

    async def _catch_up_some(self) -> None:
        wallet, client = self.wallet, self.wallet.client
        start = self._next_height()
        if start > client.tip.height:
            wallet.processed(client.tip)
            return
        scan = Scan(wallet.ports.clock.monotonic())
        first = start
        own = self.scan is None
        if own:
            self.scan = scan
        wallet.log(f"Rescanning last {client.tip.height - start + 1} blocks (from block {start})...")
        try:
            async for ref, block in client.scan(lambda: wallet.book.scripts, start):
                if block is not None:
                    self._take_block(block, ref, rescan=True)
                wallet.processed(ref)
                self._unsaved += 1
                scan.progress = (ref.height - first) / max(1, client.tip.height - first)
                wallet.ports.progress(f"Rescanning {wallet.name}", scan.progress)
                if self._unsaved >= SAVE_EVERY:
                    await self._save()
        finally:
            wallet.ports.progress(f"Rescanning {wallet.name}", None)
            if own:
                self.scan = None

    def _next_height(self) -> int:
        """Of the first block that the wallet has to look at."""
        best = self.wallet.best
        return self._skip_unborn(0 if best is None else self.wallet.client.fork_height(best.hash) + 1)

    def check_blocks(self) -> None:
        """WalletError if blocks that the wallet has to look at are pruned away."""
        client, start = self.wallet.client, self._next_height()
        if start <= client.tip.height and start < client.lowest_block:
            raise WalletError(
                "Prune: last wallet synchronisation goes beyond pruned data. You need to -reindex (download "
                "the whole blockchain again in case of a pruned node)"
            )

    def _skip_unborn(self, start: int) -> int:
        """start, or a later height that the wallet's descriptors are younger than."""
        birth = self.wallet.birth_time
        client = self.wallet.client
        if birth is None:
            return client.tip.height + 1
        first = client.earliest_at_least(birth - TIMESTAMP_WINDOW)
        return max(start, client.tip.height + 1 if first is None else first.height)

    def reserve(self) -> Scan:
        """The right to scan; give it back with `release`. WalletError while another scan runs."""
        if self.scan is not None:
            raise WalletError("Wallet is currently rescanning. Abort existing rescan or wait.")
        self.scan = Scan(self.wallet.ports.clock.monotonic())
        return self.scan

    def release(self) -> None:
        self.scan = None

    async def rescan(self, scan: Scan, start: int, stop: int | None = None) -> None:
        """Looks through the blocks from height start to stop (None: the tip), then through the mempool.

        scan: as reserved; tells how far it came, and may be told to stop.
        """
        wallet, client = self.wallet, self.wallet.client
        last = client.tip.height if stop is None else stop
        wallet.log(f"Rescan started from block {start}...")
        async for ref, block in client.scan(lambda: wallet.book.scripts, start, stop):
            if block is not None and client.in_chain(ref.hash):
                self._take_block(block, ref, rescan=True)
                if len(wallet.ledger.changed) >= SAVE_EVERY:
                    await wallet.save()
            scan.last_height = ref.height
            scan.progress = (ref.height - start) / max(1, last - start)
            wallet.ports.progress(f"Rescanning {wallet.name}", scan.progress)
            if scan.aborted:
                break
        wallet.ports.progress(f"Rescanning {wallet.name}", None)
        self.take_mempool()
        await wallet.save(locator=True)
        wallet.log("Rescan completed" if not scan.aborted else "Rescan aborted")

    async def rescan_from(self, scan: Scan, time: int) -> None:
        first = self.wallet.client.earliest_at_least(time - TIMESTAMP_WINDOW)
        if first is not None:
            await self.rescan(scan, first.height)
        else:
            self.take_mempool()
            await self.wallet.save()

    # The mempool

    def take_mempool(self) -> None:
        """Brings what is pending in line with the mempool as it is."""
        client, ledger = self.wallet.client, self.wallet.ledger
        for tx in client.mempool_transactions():
            self._mempool_added(tx)
        for wtx in ledger:
            if wtx.in_mempool and not client.in_mempool(wtx.txid):
                ledger.set_state(wtx, Inactive())

    def plan_resend(self) -> None:
        wait = RESEND_FROM + self.wallet.ports.random.below(RESEND_SPAN)
        self.next_resend = self.wallet.ports.clock.time() + wait

    async def resend_if_due(self) -> None:
        """Sends again what was made well before the last block and still is not in one."""
        now = self.wallet.ports.clock.time()
        if now >= self.next_resend and not self.wallet.client.is_ibd:
            best = self.wallet.best
            await self.resubmit(before=best.time - 5 * 60 if best is not None else now)
            self.plan_resend()

    async def resubmit(self, before: int | None = None) -> None:
        """Hands every transaction that waits for a block to the node again, parents first."""
        wallet = self.wallet
        if not wallet.settings.broadcast:
            return

        def waits(wtx: WalletTx) -> bool:
            if wtx.tx.is_coinbase or wtx.abandoned or wallet.ledger.depth(wtx) != 0:
                return False
            return before is None or wtx.received <= before

        waiting = [wtx for wtx in wallet.ledger if waits(wtx)]
        sent = 0
        for wtx in waiting:
            try:
                await wallet.client.broadcast(wtx.tx)
                sent += 1
            except NotBroadcast as error:
                wallet.log(f"Cannot resubmit {wtx.txid[::-1].hex()}: {error}")
        if sent:
            wallet.log(f"ResubmitWalletTransactions: resubmit {sent} unconfirmed transactions")
