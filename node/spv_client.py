"""An SPV node's answers to its wallets: `ChainClient` over headers, filters and what is pending."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import TYPE_CHECKING

from pybitcoind.chain.consensus.errors import TxInvalid
from pybitcoind.chain.consensus.transactions import check_transaction
from pybitcoind.chain.events import EventBus
from pybitcoind.chain.header_tree import HeaderNode, fork_point
from pybitcoind.chain.policy.fee_calculation import FeeCalculation
from pybitcoind.chain.policy.settings import PolicySettings
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.transaction import Transaction
from pybitcoind.wallet.chain_client import BlockRef, BlocksMissing, MempoolFamily, NotBroadcast, ScannedBlock
from pybitcoind.wallet.follow import ref_of

from .spv_chain import STRETCH, NotNow, matching

if TYPE_CHECKING:
    from .spv_chain import SpvChain


class SpvClient:
    """Its best chain is the one that the wallets were told of: it ends in SpvChain.view."""

    has_blocks = False
    lowest_block = 0

    def __init__(self, chain: SpvChain) -> None:
        self._spv = chain
        self._settings = PolicySettings()

    # The chain

    @property
    def events(self) -> EventBus:
        return self._spv.events

    @property
    def _view(self) -> HeaderNode:
        return self._spv.view

    @property
    def tip(self) -> BlockRef:
        return ref_of(self._view)

    @property
    def is_ibd(self) -> bool:
        return self._spv.chain.is_ibd

    async def settled(self) -> None:
        """Headers are not connected anew."""

    def at_height(self, height: int) -> BlockRef | None:
        return ref_of(self._view.ancestor(height)) if 0 <= height <= self._view.height else None

    def _get(self, block_hash: bytes) -> HeaderNode:
        node = self._spv.chain.headers.get(block_hash)
        if node is None:
            raise LookupError(f"unknown block {block_hash[::-1].hex()}")
        return node

    def find(self, block_hash: bytes) -> BlockRef | None:
        node = self._spv.chain.headers.get(block_hash)
        return None if node is None else ref_of(node)

    def in_chain(self, block_hash: bytes) -> bool:
        node = self._spv.chain.headers.get(block_hash)
        return node is not None and self._view.descends_from(node)

    def fork_height(self, block_hash: bytes) -> int:
        return fork_point(self._get(block_hash), self._view).height

    def find_fork(self, locator: Sequence[bytes]) -> BlockRef:
        for block_hash in locator:
            if self.in_chain(block_hash):
                return ref_of(self._get(block_hash))
        return ref_of(self._spv.chain.headers.genesis)

    def locator(self, block_hash: bytes) -> list[bytes]:
        return self._spv.chain.headers.locator(self._get(block_hash))

    def earliest_at_least(self, time: int) -> BlockRef | None:
        node = self._spv.chain.headers.earliest_at_least(time)
        return ref_of(node) if node is not None and self._view.descends_from(node) else None

    # Blocks

    async def scan(
        self, scripts: Callable[[], Collection[bytes]], start: int, stop: int | None = None
    ) -> AsyncIterator[ScannedBlock]:
        """When the scripts grow on the way, it goes back to start with the new ones once it reached the end,
        until there are none. Waits for peers as long as it takes; meanwhile it gives the last step again from
        time to time, so that its user may give up."""
        known = len(scripts())
        wanted: dict[bytes, None] = {}
        later: dict[bytes, None] = {}
        height, reached, last = start, start - 1, None

        while True:
            if last is not None and not self._view.descends_from(last):
                last = fork_point(last, self._view)
                height, reached = last.height + 1, min(reached, last.height)
            end = self._view.height if stop is None else min(stop, self._view.height)
            if height > end:
                if not later:
                    return
                wanted, later, height, last = later, {}, start, None
                continue
            again = height <= reached
            upper = min(height + STRETCH - 1, reached if again else end)
            nodes = [self._view.ancestor(h) for h in range(height, upper + 1)]
            try:
                found = await self._spv.fetch_filters(nodes)
                filters = [(node.hash, found[node.hash]) for node in nodes]
                matched = wanted if again else dict.fromkeys(scripts())
                hits = await self._spv.ports.workers.run(matching, filters, matched)
                for node in nodes:
                    block = await self._spv.fetch_block(node) if node.hash in hits else None
                    yield ScannedBlock(ref_of(node), block)
                    last, height, reached = node, node.height + 1, max(reached, node.height)
                    if len(now := scripts()) != known:
                        fresh = dict.fromkeys(list(now)[known:])
                        known = len(now)
                        later |= fresh
                        wanted |= fresh
                        break  # what follows is matched with the new ones at once
            except NotNow:
                await self._spv.moved()
                if height > 0 and height - 1 <= self._view.height:
                    yield ScannedBlock(ref_of(self._view.ancestor(height - 1)), None)

    async def read_block(self, block_hash: bytes) -> Block:
        try:
            return await self._spv.fetch_block(self._get(block_hash))
        except (NotNow, LookupError):
            raise BlocksMissing("Failed to rescan unavailable blocks: no peer gives them.") from None

    async def find_transaction(self, txid: bytes, where: HeaderNode | None) -> Transaction | None:
        """From a block, which is fetched, or else from what is pending."""
        if where is None:
            entry = self._spv.pending.get(txid)
            return None if entry is None else entry.tx
        try:
            block = await self._spv.fetch_block(where)
        except NotNow:
            return None
        return next((tx for tx in block.vtx if tx.txid == txid), None)

    # What is pending

    async def broadcast(self, tx: Transaction, max_fee: int = 0) -> None:
        """Sent without a check against coins, which there are none of; the wallet keeps to max_fee itself."""
        try:
            check_transaction(tx)
        except TxInvalid as error:
            raise NotBroadcast(str(error)) from None
        if tx.is_coinbase:
            raise NotBroadcast("coinbase")
        self._spv.send(tx)
        await self._spv.events.handled()

    def in_mempool(self, txid: bytes) -> bool:
        return txid in self._spv.pending

    def mempool_transactions(self) -> Sequence[Transaction]:
        return self._spv.pending.transactions()

    def mempool_family(self, txid: bytes) -> MempoolFamily | None:
        return None

    @property
    def min_relay_feerate(self) -> int:
        return self._settings.min_relay_feerate

    @property
    def mempool_min_feerate(self) -> int:
        """What the peers ask for: enough for most of them."""
        asked = sorted(
            peer.transactions.fee_filter_received
            for peer in self._spv.peers.peers.values()
            if peer.complete and peer.transactions is not None
        )
        return max(asked[len(asked) // 2] if asked else 0, self.min_relay_feerate)

    @property
    def dust_feerate(self) -> int:
        return self._settings.dust_relay_feerate

    @property
    def max_fee_target(self) -> int:
        """Any that a full node takes; there is an estimate for none."""
        return 1008

    def estimate_feerate(self, target: int, conservative: bool) -> FeeCalculation:
        """Not known: without blocks there is nothing to learn from."""
        return FeeCalculation()
