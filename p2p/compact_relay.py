"""Compact blocks between peers: received, announced, and which peers are to announce with them (BIP 152).

Source: Bitcoin Core 31.99, net_processing.cpp. Putting blocks together is compact_blocks.py's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pybitcoind.chain.consensus.errors import BlockInvalid
from pybitcoind.chain.consensus.pow import block_work
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import Transaction

from .block_download import MAX_BLOCKS_IN_TRANSIT_PER_PEER
from .compact_blocks import InvalidCompactBlock, PartialBlock, ShortIdCollision, compact
from .handshake import CMPCTBLOCKS_VERSION
from .headers_sync import anti_dos_threshold
from .messages import BlockTxn, CmpctBlock, GetBlockTxn, GetData, Headers, Inv, InvType, SendCmpct
from .messages.message import INVALID_CB_NO_BAN_VERSION, SHORT_IDS_BLOCKS_VERSION

if TYPE_CHECKING:
    from .context import Context
    from .peer import Peer
    from .sync import BlockSync

MAX_ANNOUNCERS = 3
"""Peers that we ask to announce blocks as compact blocks."""
MAX_IN_FLIGHT_PER_BLOCK = 3
"""Peers of which one compact block's transactions are asked at a time."""
MAX_AHEAD = 2
"""Blocks ahead of our tip up to which our mempool is of use."""
MAX_EXTRA_SIZE = 100_000
"""Bytes of a refused transaction that is kept to put blocks together."""


class CompactRelay:
    """extra: transactions that are not in the mempool and may be in a block all the same, by wtxid."""

    def __init__(self, context: Context, sync: BlockSync) -> None:
        self.context, self.sync, self.download = context, sync, sync.download
        self.extra = deque[tuple[bytes, Transaction]](maxlen=context.options.extra_transactions)
        self._announcers: list[int] = []
        self._highest_announced = 0
        self._recent: CmpctBlock | None = None

    def add_extra(self, tx: Transaction) -> None:
        """It was refused, is an orphan, or was replaced: a miner may think otherwise."""
        if tx.size < MAX_EXTRA_SIZE:
            self.extra.append((tx.wtxid, tx))

    def _pool(self) -> Iterator[tuple[bytes, Transaction]]:
        if self.context.chain.mempool is not None:
            yield from self.context.chain.mempool.transactions()
        yield from self.extra

    def complete_peer(self, peer: Peer) -> None:
        """Tells what we speak; the peer is to announce as before."""
        if peer.features.common_version >= SHORT_IDS_BLOCKS_VERSION and not self.context.options.headers_only:
            peer.send(SendCmpct(False, CMPCTBLOCKS_VERSION))

    # Peers that announce to us

    def valid_block_from(self, peer: Peer) -> None:
        """The peer was first with a valid block: the next ones come as compact blocks, without asking."""
        options, download = self.context.options, self.download
        if options.blocks_only or options.headers_only or self.context.is_ibd or download.in_flight:
            return
        if not peer.features.provides_cmpctblocks or not peer.complete:
            return
        announcers, peers = self._announcers, self.context.peers
        if peer.id in announcers:
            announcers.remove(peer.id)
            announcers.append(peer.id)
            return
        if len(announcers) >= MAX_ANNOUNCERS:
            outbound = [one for one in announcers if one in peers and not peers[one].inbound]
            if peer.inbound and outbound == announcers[:1]:  # the last outbound one stays
                announcers[0], announcers[1] = announcers[1], announcers[0]
            stopped = peers.get(announcers.pop(0))
            if stopped is not None:
                stopped.send(SendCmpct(False, CMPCTBLOCKS_VERSION))
                stopped.announces_compact = False
        peer.send(SendCmpct(True, CMPCTBLOCKS_VERSION))
        peer.announces_compact = True
        announcers.append(peer.id)

    # Announcing

    def compact_block(self, block: Block) -> CmpctBlock:
        """The same one, with the same nonce, as long as it is asked for."""
        recent = self._recent
        if recent is None or recent.header.hash != block.hash:
            recent = self._recent = compact(block, self.context.ports.random.u64())
        return recent

    def new_block(self, block: Block, node: HeaderNode) -> None:
        """A block on top of the tip with enough work: announced before it is validated."""
        if node.height <= self._highest_announced or node.height < self.context.params.segwit_height:
            return
        self._highest_announced = node.height
        for peer in self.context.complete_peers():
            if not peer.features.high_bandwidth or peer.id not in self.download.peers:
                continue
            if peer.features.common_version < INVALID_CB_NO_BAN_VERSION or node.prev is None:
                continue
            self.download.resolve(peer.id)
            has_header = self.download.has_header
            if has_header(peer.id, node.prev) and not has_header(peer.id, node):
                self.announce(peer, block, node, "PeerManager::NewPoWValidBlock")

    def announce(self, peer: Peer, block: Block, node: HeaderNode, where: str) -> None:
        self.context.log.debug(
            "net", f"{where} sending header-and-ids {hash_hex(node.hash)} to peer={peer.id}"
        )
        peer.send(self.compact_block(block))
        peer.blocks.best_sent = node

    # Receiving

    async def on_cmpctblock(self, peer: Peer, message: CmpctBlock) -> None:
        context, header = self.context, message.header
        if context.options.headers_only:
            return
        if context.chain.loading_blocks:
            context.log.debug("net", f"Unexpected cmpctblock message received from peer {peer.id}")
            return
        prev = context.headers.get(header.prev_hash)
        if prev is None:
            if not context.is_ibd:
                self.sync.ask_headers(peer, context.headers.locator(context.best_header))
            return
        threshold = anti_dos_threshold(context.tip, context.chain.minimum_chainwork)
        if prev.chainwork + block_work(header.bits) < threshold:
            context.log.debug("net", f"Ignoring low-work compact block from peer {peer.id}")
            return
        new = context.headers.get(header.hash) is None
        with self.sync.accepting():
            try:
                node = await context.chain.accept_headers([header], min_pow_checked=True)
            except BlockInvalid as error:
                self.sync.punish(peer, error, "invalid header via cmpctblock", via_compact=True)
                return
            if node is None or peer.disconnecting:
                return
            if new:
                self.sync.log_new_header(peer, node, via="cmpctblock ")
            self.download.announced(peer.id, node.hash)
            if new and node.chainwork > context.tip.chainwork:
                peer.blocks.last_announcement = context.now()
            block = self._look_at(peer, message, node)
        if block is not None:
            await self._process(peer, block)
        elif node.height > context.tip.height + MAX_AHEAD and peer.id not in self._asked(node.hash):
            await self.sync.on_headers(peer, Headers([header]), via_compact=True)

    def _asked(self, block_hash: bytes) -> dict[int, None]:
        return self.download.in_flight.get(block_hash, {})

    def _look_at(self, peer: Peer, message: CmpctBlock, node: HeaderNode) -> Block | None:
        """The block, if all of it is here; else it may have been asked for."""
        context, tip = self.context, self.context.tip
        if node.have_data or self.download.is_processed(node.hash):
            return None
        asked = self._asked(node.hash)
        from_here = peer.id in asked
        if node.chainwork <= tip.chainwork or node.tx_count:  # we know better, or had it once
            if from_here:
                self._ask_whole(peer, node.hash)
            return None
        if not asked and not context.can_direct_fetch:
            return None
        if node.height > tip.height + MAX_AHEAD:
            if from_here:
                self._ask_whole(peer, node.hash)
            return None
        room = len(asked) < MAX_IN_FLIGHT_PER_BLOCK
        room = room and len(peer.blocks.in_flight) < MAX_BLOCKS_IN_TRANSIT_PER_PEER
        if room or from_here:
            return self._begin(peer, message, node, list(asked))
        try:  # it is on its way from others; perhaps nothing is missing
            partial = PartialBlock(message, self._pool())
        except (InvalidCompactBlock, ShortIdCollision):
            return None
        return None if partial.missing else self._whole(partial, [])

    def _begin(self, peer: Peer, message: CmpctBlock, node: HeaderNode, asked: list[int]) -> Block | None:
        """asked: who was asked for the block before."""
        context, download, block_hash = self.context, self.download, node.hash
        first = not asked or asked[0] == peer.id
        if block_hash in peer.blocks.partial:
            context.log.debug("net", "Peer sent us compact block we were already syncing!")
            return None
        download.requested(peer.id, node, context.now(), parallel=True)
        try:
            partial = PartialBlock(message, self._pool())
        except InvalidCompactBlock:
            download.done(block_hash, context.now(), only_from=peer.id)
            peer.misbehaving("invalid compact block")
            return None
        except ShortIdCollision:
            self._failed(peer, block_hash, first=first)
            return None
        peer.blocks.partial[block_hash] = partial
        missing = partial.missing
        if not missing:
            return self._fill(peer, block_hash, [])
        from_outbound = any(not context.peers[one].inbound for one in asked if one in context.peers)
        # The last place is kept for an outbound peer, unless one had its chance already.
        spare = not peer.inbound or from_outbound or len(asked) < MAX_IN_FLIGHT_PER_BLOCK - 1
        if first or (peer.announces_compact and spare):
            peer.send(GetBlockTxn(block_hash, missing))
        else:
            download.done(block_hash, context.now(), only_from=peer.id)
        return None

    async def on_blocktxn(self, peer: Peer, message: BlockTxn) -> None:
        if self.context.chain.loading_blocks:
            self.context.log.debug("net", f"Unexpected blocktxn message received from peer {peer.id}")
            return
        block = self._fill(peer, message.block_hash, message.txs)
        if block is not None:
            await self._process(peer, block)

    def _fill(self, peer: Peer, block_hash: bytes, txs: list[Transaction]) -> Block | None:
        """The block that the peer sent as a compact one, with txs for what was missing."""
        context, download, partials = self.context, self.download, peer.blocks.partial
        if block_hash not in partials:
            context.log.debug(
                "net", f"Peer {peer.id} sent us block transactions for block we weren't expecting"
            )
            return None
        partial, asked = partials[block_hash], self._asked(block_hash)
        if partial is None:
            download.done(block_hash, context.now(), only_from=peer.id)
            peer.misbehaving("previous compact block reconstruction attempt failed")
            context.log.debug("net", f"Peer {peer.id} sent compact block transactions multiple times")
            return None
        try:
            block = self._whole(partial, txs)
        except InvalidCompactBlock:
            download.done(block_hash, context.now(), only_from=peer.id)
            peer.misbehaving("invalid compact block/non-matching block transactions")
            return None
        if block is None:
            self._failed(peer, block_hash, first=next(iter(asked)) == peer.id)
            return None
        download.done(block_hash, context.now(), only_from=peer.id)
        return block

    def _whole(self, partial: PartialBlock, txs: list[Transaction]) -> Block | None:
        """None if the transactions are not those of the header. Raises InvalidCompactBlock."""
        block = partial.fill(txs)
        prev = self.context.headers.get(block.header.prev_hash)
        assert prev is not None, "its header was accepted"
        if self.sync.is_mutated(block, prev):
            return None
        self.context.log.debug(
            "cmpctblock",
            f"Successfully reconstructed block {hash_hex(block.hash)} with {partial.prefilled} txn "
            f"prefilled, {partial.from_pool} txn from mempool (incl. extra pool) and {len(txs)} txn "
            f"({sum(tx.size for tx in txs)} bytes) requested",
        )
        return block

    def _failed(self, peer: Peer, block_hash: bytes, *, first: bool) -> None:
        """Chance or malice: the whole block is asked of who came first, the others are given up."""
        if first:
            peer.blocks.partial[block_hash] = None
            self._ask_whole(peer, block_hash)
            return
        self.download.done(block_hash, self.context.now(), only_from=peer.id)
        self.context.log.debug(
            "net",
            f"Peer {peer.id} sent us a compact block but it failed to reconstruct, waiting on first "
            "download to complete",
        )

    def _ask_whole(self, peer: Peer, block_hash: bytes) -> None:
        kind = InvType.WITNESS_BLOCK if peer.serves_witnesses else InvType.BLOCK
        peer.send(GetData([Inv(kind, block_hash)]))

    async def _process(self, peer: Peer, block: Block) -> None:
        """As if it had been asked for. A peer may pass on a compact block before it has validated it."""
        await self.sync.process(peer, block, requested=True, enough_work=True, via_compact=True)
