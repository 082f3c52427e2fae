"""A full node's answers to its wallets: `ChainClient` over the chain manager, the mempool and the filters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from pybitcoind.chain.events import EventBus
from pybitcoind.chain.header_tree import HeaderNode, fork_point
from pybitcoind.chain.indexes.block_filters import BlockFilterIndex
from pybitcoind.chain.owner import OwnerStopped
from pybitcoind.chain.policy.fee_calculation import FeeCalculation
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.transaction import Transaction
from pybitcoind.chain.storage.block_store import BlockUnreadable
from pybitcoind.wallet.chain_client import (
    BlockRef,
    BlocksMissing,
    MempoolFamily,
    NotBroadcast,
    ScannedBlock,
)
from pybitcoind.wallet.follow import ref_of

from .broadcast import BroadcastError, broadcast_transaction

if TYPE_CHECKING:
    from pybitcoind.chain.mempool.pool import Mempool

    from .app import Node


_PRUNED = "Can't rescan beyond pruned data. Use RPC call getblockchaininfo to determine your pruned height."
_BELOW_SNAPSHOT = (
    "Failed to rescan unavailable blocks likely due to an in-progress assumeutxo background sync. Check logs "
    "or getchainstates RPC for assumeutxo background sync progress and try again later."
)
_DAMAGED = (
    "Failed to rescan unavailable blocks, potentially caused by data corruption. If the issue persists you "
    "may want to reindex (see -reindex option)."
)


class FullNodeChain:
    """`wallet.chain_client.ChainClient` of a node that has all blocks."""

    has_blocks = True

    def __init__(self, node: Node) -> None:
        self._node = node

    @property
    def _pool(self) -> Mempool:
        assert self._node.mempool is not None, "a full node has a mempool"
        return self._node.mempool

    # The chain

    @property
    def lowest_block(self) -> int:
        chain = self._node.chain
        return chain.first_stored_block().height if chain.pruning else 0

    @property
    def events(self) -> EventBus:
        return self._node.events

    @property
    def tip(self) -> BlockRef:
        return ref_of(self._node.chain.tip)

    @property
    def is_ibd(self) -> bool:
        return self._node.chain.is_ibd

    async def settled(self) -> None:
        with suppress(OwnerStopped):
            await self._node.chain.activate_best()

    def at_height(self, height: int) -> BlockRef | None:
        chain = self._node.chain.headers.chain
        return ref_of(chain[height]) if 0 <= height < len(chain) else None

    def _get(self, block_hash: bytes) -> HeaderNode:
        node = self._node.chain.headers.get(block_hash)
        if node is None:
            raise LookupError(f"unknown block {block_hash[::-1].hex()}")
        return node

    def find(self, block_hash: bytes) -> BlockRef | None:
        node = self._node.chain.headers.get(block_hash)
        return None if node is None else ref_of(node)

    def in_chain(self, block_hash: bytes) -> bool:
        node = self._node.chain.headers.get(block_hash)
        return node is not None and self._node.chain.headers.in_chain(node)

    def fork_height(self, block_hash: bytes) -> int:
        return fork_point(self._get(block_hash), self._node.chain.tip).height

    def find_fork(self, locator: Sequence[bytes]) -> BlockRef:
        return ref_of(self._node.chain.headers.find_fork(locator))

    def locator(self, block_hash: bytes) -> list[bytes]:
        return self._node.chain.headers.locator(self._get(block_hash))

    def earliest_at_least(self, time: int) -> BlockRef | None:
        node = self._node.chain.headers.earliest_at_least(time)
        return None if node is None else ref_of(node)

    async def scan(
        self, scripts: Callable[[], Collection[bytes]], start: int, stop: int | None = None
    ) -> AsyncIterator[ScannedBlock]:
        chain = self._node.chain
        index = self._node.indexes.get(BlockFilterIndex.NAME)
        filters = index if isinstance(index, BlockFilterIndex) else None
        height = start
        last: HeaderNode | None = None
        while height <= (chain.tip.height if stop is None else stop):
            if last is not None and not chain.headers.in_chain(last):
                last = fork_point(last, chain.tip)
                height = last.height + 1
                continue
            if height > chain.tip.height:
                return
            node = chain.headers.chain[height]
            wanted = True
            if filters is not None:
                block_filter = await filters.filter(node.hash)
                wanted = block_filter is None or block_filter.match_any(scripts())
            yield ScannedBlock(ref_of(node), await self._read(node) if wanted else None)
            last = node
            height += 1
            if height % 16 == 0:
                await self._node.ports.clock.sleep(0)  # others have their turn

    async def read_block(self, block_hash: bytes) -> Block:
        return await self._read(self._get(block_hash))

    async def _read(self, node: HeaderNode) -> Block:
        try:
            return await self._node.chain.read_block(node)
        except BlockUnreadable as error:
            self._node.ports.log.error(f"{error}")
            raise BlocksMissing(_DAMAGED) from None
        except LookupError:
            raise BlocksMissing(self._why_missing(node)) from None

    def _why_missing(self, node: HeaderNode) -> str:
        """Core's words."""
        if node.tx_count and self._node.chain.pruning:
            return _PRUNED
        return _BELOW_SNAPSHOT if self._node.chain.background is not None else _DAMAGED

    # The mempool

    async def broadcast(self, tx: Transaction, max_fee: int = 0) -> None:
        try:
            await broadcast_transaction(self._node, tx, max_fee)
        except BroadcastError as error:
            raise NotBroadcast(str(error)) from None

    def in_mempool(self, txid: bytes) -> bool:
        return self._pool.contains(txid)

    def mempool_transactions(self) -> Sequence[Transaction]:
        return [entry.tx for entry in self._pool.in_mining_order()]

    def mempool_family(self, txid: bytes) -> MempoolFamily | None:
        if not self._pool.contains(txid):
            return None
        ancestors = self._pool.ancestors(txid)
        cluster = sum(len(chunk.txids) for chunk in self._pool.cluster(txid))
        vsize = sum(entry.vsize for entry in ancestors)
        fees = sum(entry.modified_fee for entry in ancestors)
        return MempoolFamily(len(ancestors), vsize, fees, cluster)

    @property
    def min_relay_feerate(self) -> int:
        return self._pool.settings.min_relay_feerate

    @property
    def mempool_min_feerate(self) -> int:
        return max(self._pool.min_feerate(), self.min_relay_feerate)

    @property
    def dust_feerate(self) -> int:
        return self._pool.settings.dust_relay_feerate

    @property
    def max_fee_target(self) -> int:
        return 0 if self._node.fees is None else self._node.fees.estimator.max_target

    def estimate_feerate(self, target: int, conservative: bool) -> FeeCalculation:
        fees = self._node.fees
        if fees is None:
            return FeeCalculation()
        return fees.estimator.estimate_smart(target, conservative=conservative)
