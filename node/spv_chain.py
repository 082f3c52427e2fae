"""How the wallets of an SPV node follow the chain: filters tell them which blocks matter.

`SpvChain` walks behind the headers. A block whose filter matches a script of a wallet, or is disputed, is
fetched and told as BlockConnected; after each stretch comes a TipChanged. What wallets know reaches up to
`view`. Work that goes back over old blocks is kept as `_Again`: look-ahead grew, a filter proved false, or
peers began to dispute one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pybitcoind.chain.block_filter import BlockFilter
from pybitcoind.chain.consensus.errors import TxInvalid
from pybitcoind.chain.events import BlockConnected, Event, TipChanged
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.manager import ChainManager
from pybitcoind.chain.ports import Ports
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.serialize import DecodeError
from pybitcoind.chain.primitives.transaction import Transaction
from pybitcoind.chain.storage.records import BlockUndo
from pybitcoind.p2p.filter_store import FilterStore
from pybitcoind.p2p.peer_manager import PeerManager
from pybitcoind.p2p.rolling_filter import RollingFilter
from pybitcoind.p2p.tx_request import GenTxid
from pybitcoind.wallet.ledger import Confirmed

from .spv_events import SpvEvents
from .spv_pending import Pending, is_plausible

if TYPE_CHECKING:
    from pybitcoind.wallet.wallet import Wallet

STRETCH = 100
"""Blocks whose filters are matched in one go."""
RETRY = 2.0
"""Seconds until it looks again for filters and blocks that nobody gave."""
SETTLE = 2.0
"""Seconds that a caller waits at most for the wallets to reach the headers."""
TIMESTAMP_WINDOW = 2 * 60 * 60
"""Seconds that a block's time may be off."""
MAX_STRANGERS = 1000
"""Transactions of others that are kept without a block: anybody can make up such as pay us."""
BLOCKS_AT_ONCE = 8
"""Matching blocks that are fetched side by side."""


def matching(filters: Sequence[tuple[bytes, bytes | None]], scripts: Collection[bytes]) -> dict[bytes, None]:
    """Of (block hash, encoded filter) the hashes of those that may touch a script, and of those without a
    filter that can be read: such a block is looked at as a whole. Runs on the workers."""
    found: dict[bytes, None] = {}
    for block_hash, encoded in filters:
        try:
            if encoded is None or BlockFilter(block_hash, encoded).match_any(scripts):
                found[block_hash] = None
        except DecodeError:
            found[block_hash] = None
    return found


@dataclass(slots=True)
class _Again:
    """Blocks from height start to stop are to be matched again. scripts: None for all there are."""

    start: int
    stop: int
    scripts: list[bytes] | None = None
    begun: bool = False

    def absorb(self, other: _Again) -> bool:
        """Takes other along, if both are for certain scripts: one pass for what came of many payments."""
        if self.begun or self.scripts is None or other.scripts is None:
            return False
        self.start, self.stop = min(self.start, other.start), max(self.stop, other.stop)
        self.scripts += other.scripts
        return True


class NotNow(Exception):
    """Nobody gives a filter or a block at the moment, or the chain was reorganised meanwhile."""


class SpvChain:
    """`run` is a task of the node's. wallets: those loaded."""

    def __init__(
        self,
        ports: Ports,
        chain: ChainManager,
        peers: PeerManager,
        events: SpvEvents,
        store: FilterStore,
        expiry: int,
    ) -> None:
        """expiry: seconds after which a transaction that no block took is forgotten (-mempoolexpiry)."""
        assert peers.filters is not None, "an SPV node's peers have filters"
        self.ports, self.chain, self.peers, self.events = ports, chain, peers, events
        self.filters, self._store = peers.filters, store
        self.wallets: Callable[[], Iterable[Wallet]] = lambda: ()
        self.view: HeaderNode = chain.tip
        """The last block that the wallets were told of."""
        self.pending = Pending(events)
        self._expiry = expiry
        self._again: list[_Again] = []
        self._stored_again: int | None = None
        self._ranges: dict[tuple[str, int], int] = {}
        """By wallet and descriptor, up to which index its scripts are being looked for."""
        self._declined = RollingFilter(50_000, 0.000_001, ports.random.bytes(16))
        self._news = asyncio.Event()
        self._moved = asyncio.Event()
        self.filters.on_progress = self.wake
        self.filters.on_rewind = self._rewound
        self.filters.on_disputed = lambda height: self._look_again(_Again(height, height))
        peers.relay.on_transaction = self._on_transaction
        peers.relay.wants_transaction = self._wants
        events.settle = self._settle

    # What others ask

    @property
    def level(self) -> bool:
        """The wallets know all that the headers tell."""
        return self.view is self.chain.tip and not self._again

    async def _settle(self) -> None:
        await self.chain.events.drained()
        if self.chain.tip.height - self.view.height > STRETCH:
            return  # far behind: better an old answer than none
        self.wake()
        try:
            async with self.ports.clock.timeout(SETTLE):
                while not self.level and any(True for _ in self.wallets()) and self._helpers():
                    await self._moved.wait()
        except TimeoutError:
            pass

    def _helpers(self) -> bool:
        """Some peer may give us what we lack."""
        return bool(self.filters.client.agreeing_peers(-1)) or self.filters.client.waiting

    async def on_chain_event(self, event: Event) -> None:
        """The subscriber of the headers' bus."""
        if isinstance(event, TipChanged):
            self.wake()
            self.filters.wake()

    def wake(self) -> None:
        self._news.set()

    async def moved(self) -> None:
        """Waits until something changed, but not for long."""
        try:
            async with self.ports.clock.timeout(RETRY):
                await self._moved.wait()
        except TimeoutError:
            pass

    def _told(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    # Following

    async def run(self) -> None:
        """Until it is cancelled."""
        self._stored_again = await self._store.again_from()
        if self._stored_again is not None:
            self._look_again(_Again(self._stored_again, self.view.height))
        while True:
            self._news.clear()
            try:
                busy = await self._step()
            except NotNow:
                busy = False
            await self._keep_again()
            self._told()
            if busy:
                await self.ports.clock.sleep(0)
                continue
            self._forget(self.pending.expire(self.ports.clock.time() - self._expiry))
            try:
                async with self.ports.clock.timeout(RETRY):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def _step(self) -> bool:
        """One stretch of work; False if there is none, or it has to wait."""
        tree = self.chain.headers
        if not tree.in_chain(self.view):
            await self._reorganised()
            return True
        if not any(True for _ in self.wallets()) and not len(self.pending):
            self._again.clear()
            if self.view is not self.chain.tip:
                await self._tell_tip(self.chain.tip)
            return False
        self._notice_growth(self.view.height)
        if self.view is not self.chain.tip and await self._follow():
            return True
        return await self._match_again()

    async def _reorganised(self) -> None:
        """Goes back to the fork; what was confirmed behind it waits for a block again."""
        fork = self.chain.headers.fork_with_chain(self.view)
        assert fork is not None, "two trees"
        self._again = [job for job in self._again if job.start <= fork.height]
        for job in self._again:
            job.stop = min(job.stop, fork.height)
        lost = [
            (wallet, wtx)
            for wallet in self.wallets()
            for wtx in wallet.ledger
            if isinstance(wtx.state, Confirmed) and wtx.state.height > fork.height
        ]
        await self._tell_tip(fork)
        now = self.ports.clock.time()
        for wallet, wtx in lost:
            if not wtx.inactive or wtx.abandoned:
                continue
            own = wallet.ledger.from_me(wtx.tx)
            self._forget(self.pending.add(wtx.tx, now, own=own))
            if own:
                self.peers.announce_transaction(wtx.tx)
        await self.events.handled()

    async def _tell_tip(self, tip: HeaderNode) -> None:
        fork = self.view if tip.descends_from(self.view) else tip
        self.view = tip
        self.events.emit(TipChanged(tip, fork, self.chain.is_ibd))
        await self.events.handled()

    async def _follow(self) -> bool:
        """The next stretch behind the view; False if its filters are not there yet."""
        chain = self.chain.headers.chain
        last = min(self.view.height + STRETCH, len(chain) - 1, self.filters.client.height)
        nodes = chain[self.view.height + 1 : last + 1]
        if not nodes:
            return False
        try:
            await self._match(nodes, None)
        except NotNow:
            return False
        await self._tell_tip(nodes[-1])
        return True

    async def _match(self, nodes: Sequence[HeaderNode], scripts: Sequence[bytes] | None) -> None:
        """Tells the wallets of those of nodes, consecutive blocks of the chain, that touch scripts (None: any
        that is watched). NotNow if filters or blocks are missing."""
        found = await self.fetch_filters(nodes)
        rest = list(nodes)
        while rest:
            watched = self._watched() if scripts is None else scripts
            filters = [(node.hash, found[node.hash]) for node in rest]
            hits = await self.ports.workers.run(matching, filters, watched)
            wanted = [node for node in rest if node.hash in hits]
            blocks = await asyncio.gather(*(self.fetch_block(node) for node in wanted[:BLOCKS_AT_ONCE]))
            for node, block in zip(wanted, blocks, strict=False):
                if not self.chain.headers.in_chain(node):
                    raise NotNow
                encoded = found[node.hash]
                if encoded is not None:
                    await self.filters.judge(node, block, encoded)
                await self._tell_block(node, block)
                rest = rest[rest.index(node) + 1 :]
                if scripts is None and self._notice_growth(node.height):
                    break  # what follows is matched with the new scripts too
            else:
                if len(wanted) <= BLOCKS_AT_ONCE:
                    return

    async def _tell_block(self, node: HeaderNode, block: Block) -> None:
        self.events.emit(BlockConnected(block, BlockUndo(), node))
        self._forget(self.pending.block_connected(block))
        await self.events.handled()

    def _watched(self) -> dict[bytes, None]:
        scripts: dict[bytes, None] = {}
        for wallet in self.wallets():
            scripts |= dict.fromkeys(wallet.book.scripts)
        scripts |= dict.fromkeys(self.pending.watched_scripts())
        return scripts

    # Going back

    def _rewound(self, height: int) -> None:
        """Filters from height on were false: blocks that they hid are looked for with the right ones."""
        self._look_again(_Again(height, self.view.height))

    async def _keep_again(self) -> None:
        """So that what is to be matched again survives a restart."""
        start = min((job.start for job in self._again), default=None)
        if start != self._stored_again:
            self._stored_again = start
            await self._store.put_again_from(start)

    def _look_again(self, job: _Again) -> None:
        if job.start <= job.stop:
            if not any(waiting.absorb(job) for waiting in self._again):
                self._again.append(job)
            self.wake()

    def _notice_growth(self, height: int) -> bool:
        """Looks whether look-ahead grew, and has filters up to height matched with the new scripts."""
        grown = False
        for wallet in self.wallets():
            for entry in wallet.book.descriptors.values():
                key = wallet.name, entry.id
                before = self._ranges.get(key)
                self._ranges[key] = entry.range_end
                if before is None or not before < entry.range_end:
                    continue  # a new one, which the wallet itself looks for
                grown = True
                first = self.chain.headers.earliest_at_least(entry.created - TIMESTAMP_WINDOW)
                if first is not None:
                    scripts = [script for script, _ in entry.derive(before, entry.range_end)]
                    self._look_again(_Again(first.height, height, scripts))
        return grown

    async def _match_again(self) -> bool:
        """One stretch of what is to be matched again."""
        job = next((job for job in self._again if job.start <= self.view.height), None)
        if job is None:
            return False
        stop = min(job.stop, self.view.height, job.start + STRETCH - 1)
        if stop > self.filters.client.height:
            return False
        job.begun = True
        await self._match(self.chain.headers.chain[job.start : stop + 1], job.scripts)
        job.start = stop + 1
        if job.start > job.stop and job in self._again:
            self._again.remove(job)
        return True

    # Filters and blocks

    async def fetch_filters(self, nodes: Sequence[HeaderNode]) -> dict[bytes, bytes | None]:
        """See FilterSync.filters. NotNow."""
        found = await self.filters.filters(nodes)
        if found is None:
            raise NotNow
        return found

    async def fetch_block(self, node: HeaderNode) -> Block:
        """NotNow if nobody gives it."""
        block = await self.peers.sync.fetcher.fetch_block(node.hash)
        if block is None:
            self.ports.log.debug("net", f"Nobody gives block {hash_hex(node.hash)} at the moment")
            raise NotNow
        return block

    # Transactions without a block

    def _wants(self, gtxid: GenTxid) -> bool:
        return any(True for _ in self.wallets()) and gtxid.hash not in self._declined

    async def _on_transaction(self, tx: Transaction, peer: int) -> None:
        """A peer sent a transaction; it is kept if it concerns a wallet."""
        concerned = [wallet for wallet in self.wallets() if wallet.ledger.concerns(tx)]
        room = sum(not entry.own for entry in self.pending) < MAX_STRANGERS
        if concerned and room and self._plausible(tx, concerned):
            self._forget(self.pending.add(tx, self.ports.clock.time(), own=False))
        else:
            self._declined.insert(tx.txid)
            self._declined.insert(tx.wtxid)

    def _plausible(self, tx: Transaction, wallets: Sequence[Wallet]) -> bool:
        known = [wallet.ledger.txs.get(tx.txid) for wallet in wallets]
        if any(wtx is not None and (wtx.confirmed or wtx.conflicted) for wtx in known):
            return False
        ours = [
            next((out for w in wallets if (out := w.ledger.txos.get(txin.prevout)) is not None), None)
            for txin in tx.vin
        ]
        try:
            return is_plausible(tx, ours)
        except TxInvalid:
            return False

    def send(self, tx: Transaction) -> None:
        """Announces tx until a block has it; peers may ask for it."""
        self._forget(self.pending.add(tx, self.ports.clock.time(), own=True))
        self.peers.announce_transaction(tx)
        self.wake()

    def _forget(self, txs: Iterable[Transaction]) -> None:
        for tx in txs:
            self.peers.relay.forget_own(tx)
