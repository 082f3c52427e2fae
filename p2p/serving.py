"""Answers to what peers ask for: headers, blocks, transactions, compact filters.

Behaviour and limits are those of Bitcoin Core 31.99 (net_processing.cpp). A long answer waits whenever the
peer does not read it, and lets others run in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybitcoind.chain.consensus.pow import proof_equivalent_time
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.storage.block_store import BlockUnreadable

from .block_download import NODE_NETWORK_LIMITED_MIN_BLOCKS
from .bloom import filtered
from .messages import (
    BlockTxn,
    CFCheckpt,
    CFHeaders,
    CFilter,
    GetBlocks,
    GetBlockTxn,
    GetCFCheckpt,
    GetCFHeaders,
    GetCFilters,
    GetData,
    GetHeaders,
    Headers,
    Inv,
    InvMessage,
    InvType,
    MerkleBlockMessage,
    NotFound,
    ServiceFlags,
    TxMessage,
)
from .messages.blocks import MAX_HEADERS_RESULTS
from .messages.filters import (
    BASIC_FILTER,
    CFCHECKPT_INTERVAL,
    MAX_GETCFHEADERS_SIZE,
    MAX_GETCFILTERS_SIZE,
)
from .permissions import Permission
from .upload_budget import HISTORICAL_AGE

if TYPE_CHECKING:
    from .context import Context
    from .peer import Peer
    from .relay import TxRelay
    from .sync import BlockSync

STALE_RELAY_AGE_LIMIT = 30 * 24 * 60 * 60
"""Blocks off the active chain are served for this many seconds: later they could tell who we are."""
MAX_GETBLOCKS = 500
MAX_CMPCTBLOCK_DEPTH = 5
MAX_BLOCKTXN_DEPTH = 10
"""Blocks below the tip that are served as compact blocks, and transactions of which are."""
_ITEMS_PER_TURN = 100
"""Transactions served before other tasks run."""
ZERO = bytes(32)


class Serving:
    def __init__(self, context: Context, sync: BlockSync, relay: TxRelay) -> None:
        self.context, self.sync, self.relay = context, sync, relay

    def may_serve(self, node: HeaderNode) -> bool:
        """On the active chain, or valid and not long off it: old stale blocks would be a fingerprint."""
        if self.context.headers.in_chain(node):
            return True
        best = self.context.best_header
        if not node.scripts_valid or best.time - node.time >= STALE_RELAY_AGE_LIMIT:
            return False
        behind = proof_equivalent_time(best.chainwork, node.chainwork, best.bits, self.context.params)
        return behind < STALE_RELAY_AGE_LIMIT

    # Headers and block hashes

    async def on_getheaders(self, peer: Peer, message: GetHeaders) -> None:
        context, tree = self.context, self.context.headers
        if context.options.headers_only:
            peer.send(Headers([]))
            return
        if context.chain.loading_blocks:
            context.log.debug("net", f"Ignoring getheaders from peer={peer.id} while importing/reindexing")
            return
        if context.tip.chainwork < context.chain.minimum_chainwork and not peer.has(Permission.DOWNLOAD):
            context.log.debug(
                "net",
                f"Ignoring getheaders from peer={peer.id} because active chain has too little work; "
                "sending empty response",
            )
            peer.send(Headers([]))
            return
        node: HeaderNode | None
        if not message.locator:
            node = tree.get(message.stop)
            if node is None:
                return
            if not self.may_serve(node):
                context.log.debug(
                    "net",
                    f"ProcessMessage: ignoring request from peer={peer.id} for old block header that isn't "
                    "in the main chain",
                )
                return
        else:
            node = tree.next_in_chain(tree.find_fork(message.locator))
        end = "end" if message.stop == ZERO else hash_hex(message.stop)
        peer.debug(f"getheaders {-1 if node is None else node.height} to {end} from")
        nodes: list[HeaderNode] = []
        while node is not None:
            nodes.append(node)
            if len(nodes) == MAX_HEADERS_RESULTS or node.hash == message.stop:
                break
            node = tree.next_in_chain(node)
        # Not the better of the two: what was announced but is not in this answer must be announced again.
        peer.blocks.best_sent = node if node is not None else context.tip
        peer.send(Headers([node.header for node in nodes]))

    async def on_getblocks(self, peer: Peer, message: GetBlocks) -> None:
        tree = self.context.headers
        if self.context.options.headers_only:
            return
        node = tree.next_in_chain(tree.find_fork(message.locator))
        end = "end" if message.stop == ZERO else hash_hex(message.stop)
        peer.debug(f"getblocks {-1 if node is None else node.height} to {end} limit {MAX_GETBLOCKS} from")
        queue = self.sync.announcer.queues[peer.id]
        for _ in range(MAX_GETBLOCKS):
            if node is None:
                break
            if node.hash == message.stop:
                peer.debug(f" getblocks stopping at {node.height} {hash_hex(node.hash)}")
                break
            queue.by_inv.append(node.hash)
            last, node = node, tree.next_in_chain(node)
        else:
            peer.debug(f" getblocks stopping at limit {last.height} {hash_hex(last.hash)}")
            queue.continuation = last.hash
        self.context.wake()

    # Blocks and transactions

    async def on_getdata(self, peer: Peer, message: GetData) -> None:
        peer.debug(f"received getdata ({len(message.items)} invsz)")
        if message.items:
            peer.debug(f"received getdata for: {message.items[0]}")
        missing: list[Inv] = []
        for number, item in enumerate(message.items, 1):
            if not await peer.connection.send_room() or peer.disconnecting:
                return
            if item.is_tx:
                self._serve_transaction(peer, item, missing)
                if number % _ITEMS_PER_TURN == 0:
                    await self.context.ports.clock.sleep(0)
                continue
            if item.is_block:
                await self._serve_block(peer, item)
            self._send_missing(peer, missing)
            await self.context.ports.clock.sleep(0)
        self._send_missing(peer, missing)

    @staticmethod
    def _send_missing(peer: Peer, missing: list[Inv]) -> None:
        if missing:
            peer.send(NotFound(list(missing)))
            missing.clear()

    def _serve_transaction(self, peer: Peer, item: Inv, missing: list[Inv]) -> None:
        if peer.transactions is None:
            return  # it asked for no announcements, or may not have them
        tx = self.relay.find_for(peer, item)
        if tx is None:
            missing.append(item)
            return
        peer.send(TxMessage(tx, witness=item.type != InvType.TX))
        self.relay.served(tx)

    async def _serve_block(self, peer: Peer, item: Inv) -> None:
        context = self.context
        if context.options.headers_only:
            return
        node = context.headers.get(item.hash)
        if node is None:
            return
        if not self.may_serve(node):
            context.log.debug(
                "net",
                f"ProcessGetBlockData: ignoring request from peer={peer.id} for old block that isn't in "
                "the main chain",
            )
            return
        age = context.best_header.time - node.time
        historical = age > HISTORICAL_AGE or item.type == InvType.FILTERED_BLOCK
        if historical and not context.upload.serves_historical and not peer.has(Permission.DOWNLOAD):
            peer.disconnect("historical block serving limit reached")
            return
        pruned = peer.our_services & (ServiceFlags.NETWORK | ServiceFlags.NETWORK_LIMITED)
        deep = context.tip.height - node.height > NODE_NETWORK_LIMITED_MIN_BLOCKS + 2
        if pruned == ServiceFlags.NETWORK_LIMITED and deep and not peer.has(Permission.NOBAN):
            peer.disconnect("Ignore block request below NODE_NETWORK_LIMITED threshold")
            return
        if not node.have_data:
            return
        if item.type == InvType.FILTERED_BLOCK:
            await self._send_filtered_block(peer, node)
        elif item.type == InvType.CMPCT_BLOCK and self._is_fresh(node, MAX_CMPCTBLOCK_DEPTH):
            block = await self._read(peer, node)
            if block is not None:
                peer.send(self.sync.compact.compact_block(block))
        else:
            await self._send_block(peer, node, witness=item.type != InvType.BLOCK)
        queue = self.sync.announcer.queues.get(peer.id)
        if queue is not None and queue.continuation == item.hash:
            # It asks for the next hashes when it sees the tip; it must come right behind the block.
            queue.continuation = None
            peer.send(InvMessage([Inv(InvType.BLOCK, context.tip.hash)]))

    def _is_fresh(self, node: HeaderNode, depth: int) -> bool:
        """At most depth below the tip, which is not old: the asker's mempool may know the block."""
        return self.context.can_direct_fetch and node.height >= self.context.tip.height - depth

    async def _read(self, peer: Peer, node: HeaderNode) -> Block | None:
        """None, and the peer disconnected, if the block is gone."""
        recent = self.sync.announcer.recent_block
        if recent is not None and recent.hash == node.hash:
            return recent
        try:
            return await self.context.chain.read_block(node)
        except LookupError:
            peer.disconnect("Block was pruned before it could be read")
            return None

    async def on_getblocktxn(self, peer: Peer, message: GetBlockTxn) -> None:
        context, recent, block_hash = self.context, self.sync.announcer.recent_block, message.block_hash
        if context.options.headers_only:
            return
        if recent is not None and recent.hash == block_hash:
            self._send_block_transactions(peer, recent, message)
            return
        node = context.headers.get(block_hash)
        if node is None or not node.have_data:
            context.log.debug("net", f"Peer {peer.id} sent us a getblocktxn for a block we don't have")
        elif node.height >= context.tip.height - MAX_BLOCKTXN_DEPTH:
            block = await self._read(peer, node)
            if block is not None:
                self._send_block_transactions(peer, block, message)
        else:  # who asks for many of these must take in what is read for it
            context.log.debug(
                "net", f"Peer {peer.id} sent us a getblocktxn for a block > {MAX_BLOCKTXN_DEPTH} deep"
            )
            await self._serve_block(peer, Inv(InvType.WITNESS_BLOCK, block_hash))

    def _send_block_transactions(self, peer: Peer, block: Block, message: GetBlockTxn) -> None:
        if any(index >= len(block.vtx) for index in message.indexes):
            peer.misbehaving("getblocktxn with out-of-bounds tx indices")
            return
        txs = [block.vtx[index] for index in message.indexes]
        self.context.log.debug(
            "cmpctblock",
            f"Peer {peer.id} sent us a GETBLOCKTXN for block {hash_hex(block.hash)}, sending a BLOCKTXN with "
            f"{len(txs)} txns. ({sum(tx.size for tx in txs)} bytes)",
        )
        peer.send(BlockTxn(block.hash, txs))

    async def _send_block(self, peer: Peer, node: HeaderNode, *, witness: bool) -> None:
        recent = self.sync.announcer.recent_block
        if recent is not None and recent.hash == node.hash:
            raw = recent.raw if witness else recent.stripped
        else:
            try:
                if witness:
                    raw = await self.context.chain.read_block_bytes(node)
                else:
                    raw = (await self.context.chain.read_block(node)).stripped
            except (LookupError, BlockUnreadable) as error:
                self._cannot_serve(peer, error)
                return
        if not peer.disconnecting:
            peer.connection.send_payload("block", raw)

    def _cannot_serve(self, peer: Peer, error: LookupError | BlockUnreadable) -> None:
        if isinstance(error, BlockUnreadable):
            self.context.log.error(f"{error}")
            self.context.log.error(f"Cannot load block from disk, disconnecting {peer.log_name}")
            peer.close()
        else:
            peer.disconnect("Block was pruned before it could be read")

    async def _send_filtered_block(self, peer: Peer, node: HeaderNode) -> None:
        """To a peer with a bloom filter: a merkleblock, then the transactions in it, without witnesses."""
        if peer.transactions is None or peer.transactions.bloom is None:
            return
        try:
            block = await self.context.chain.read_block(node)
        except (LookupError, BlockUnreadable) as error:
            self._cannot_serve(peer, error)
            return
        tree, matched = filtered(block, peer.transactions.bloom)
        peer.send(MerkleBlockMessage(block.header, tree))
        for tx in matched:
            peer.send(TxMessage(tx, witness=False))

    # Compact block filters (BIP 157)

    def _filter_range(
        self, peer: Peer, filter_type: int, start_height: int, stop_hash: bytes, limit: int
    ) -> HeaderNode | None:
        """The last block of a request that may be answered; else the peer is disconnected."""
        if filter_type != BASIC_FILTER or not peer.our_services & ServiceFlags.COMPACT_FILTERS:
            peer.disconnect(f"peer requested unsupported block filter type: {filter_type}")
            return None
        stop = self.context.headers.get(stop_hash)
        if stop is None or not self.may_serve(stop):
            peer.disconnect(f"peer requested invalid block hash: {hash_hex(stop_hash)}")
            return None
        if start_height > stop.height:
            peer.disconnect(
                "peer sent invalid getcfilters/getcfheaders with "
                f"start height {start_height} and stop height {stop.height}"
            )
            return None
        if stop.height - start_height >= limit:
            count = stop.height - start_height + 1
            peer.disconnect(f"peer requested too many cfilters/cfheaders: {count} / {limit}")
            return None
        if self.context.filter_index is None:
            self.context.log.debug("net", "Filter index for supported type basic not found")
            return None
        return stop

    async def on_getcfilters(self, peer: Peer, message: GetCFilters) -> None:
        start = message.start_height
        stop = self._filter_range(peer, message.filter_type, start, message.stop_hash, MAX_GETCFILTERS_SIZE)
        index = self.context.filter_index
        if stop is None or index is None:
            return
        filters = await index.filters(start, stop)
        if filters is None and await self._index_follows(stop):
            filters = await index.filters(start, stop)
        if filters is None:
            self._not_indexed("block filter", start, stop)
            return
        for one in filters:
            if not await peer.connection.send_room() or peer.disconnecting:
                return
            peer.send(CFilter(BASIC_FILTER, one.block_hash, one.encoded))

    async def on_getcfheaders(self, peer: Peer, message: GetCFHeaders) -> None:
        start = message.start_height
        stop = self._filter_range(peer, message.filter_type, start, message.stop_hash, MAX_GETCFHEADERS_SIZE)
        index = self.context.filter_index
        if stop is None or index is None:
            return
        hashes = await index.filter_hashes(start, stop)
        if hashes is None and await self._index_follows(stop):
            hashes = await index.filter_hashes(start, stop)
        before = await index.headers_of([stop.ancestor(start - 1)]) if start > 0 else [ZERO]
        if before is None or hashes is None:
            self._not_indexed("block filter hashes", start, stop)
            return
        peer.send(CFHeaders(BASIC_FILTER, stop.hash, before[0], hashes))

    async def on_getcfcheckpt(self, peer: Peer, message: GetCFCheckpt) -> None:
        stop = self._filter_range(peer, message.filter_type, 0, message.stop_hash, 1 << 32)
        index = self.context.filter_index
        if stop is None or index is None:
            return
        heights = range(CFCHECKPT_INTERVAL, stop.height + 1, CFCHECKPT_INTERVAL)
        headers = await index.headers_of([stop.ancestor(height) for height in heights])
        if headers is None:
            self._not_indexed("block filter header", 0, stop)
            return
        peer.send(CFCheckpt(BASIC_FILTER, stop.hash, headers))

    async def _index_follows(self, stop: HeaderNode) -> bool:
        """Gives the index time for a block that was connected just now, and was announced with that; whether
        to look again. Peers take our silence for a failure."""
        if not self.context.headers.in_chain(stop):
            return False
        await self.context.chain.events.drained()
        return True

    def _not_indexed(self, what: str, start: int, stop: HeaderNode) -> None:
        self.context.log.debug(
            "net",
            f"Failed to find {what} in index: filter_type=basic, start_height={start}, "
            f"stop_hash={hash_hex(stop.hash)}",
        )
