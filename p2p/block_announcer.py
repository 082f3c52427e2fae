"""Blocks that are new on the active chain, told to peers: as headers, as compact blocks, or by inv.

Behaviour is that of Bitcoin Core 31.99 (net_processing.cpp, SendMessages), log lines included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex

from .block_download import BlockDownload
from .compact_relay import CompactRelay
from .messages import Headers, Inv, InvMessage, InvType, SendHeaders
from .messages.inventory import MAX_INV_SZ
from .messages.message import SENDHEADERS_VERSION

if TYPE_CHECKING:
    from .context import Context
    from .peer import Peer

MAX_BLOCKS_TO_ANNOUNCE = 8
"""Blocks of one step that are announced one by one; beyond it the peer finds the rest itself."""


class PeerAnnouncements:
    """Blocks a peer is yet to be told of. continuation: the last block of a full getblocks answer."""

    __slots__ = ("by_headers", "by_inv", "continuation", "sent_sendheaders")

    def __init__(self) -> None:
        self.by_headers: list[bytes] = []
        self.by_inv: list[bytes] = []
        self.continuation: bytes | None = None
        self.sent_sendheaders = False


class BlockAnnouncer:
    """Queues by peer what it is yet to be told, and tells it."""

    def __init__(self, context: Context, download: BlockDownload, compact: CompactRelay) -> None:
        self.context, self.download, self.compact = context, download, compact
        self.queues: dict[int, PeerAnnouncements] = {}
        """By peer id."""
        self.recent_block: Block | None = None
        """The newest one; most peers are told of it, and ask for it at once."""

    def add_peer(self, peer: Peer) -> None:
        self.queues[peer.id] = PeerAnnouncements()

    def remove_peer(self, peer: Peer) -> None:
        self.queues.pop(peer.id, None)

    def tip_changed(self, tip: HeaderNode, fork: HeaderNode | None) -> None:
        """Queues the announcement of what is new on the active chain."""
        hashes: list[bytes] = []
        node: HeaderNode | None = tip
        while node is not None and node is not fork and len(hashes) < MAX_BLOCKS_TO_ANNOUNCE:
            hashes.append(node.hash)
            node = node.prev
        for peer in self.context.peers.values():
            if peer.id in self.queues:
                self.queues[peer.id].by_headers += reversed(hashes)
        self.context.wake()

    def announce(self, peer: Peer) -> None:
        """Sends what is queued for peer."""
        queue = self.queues[peer.id]
        if queue.by_headers:
            hashes, queue.by_headers = queue.by_headers, []
            headers = self._connecting_headers(peer, hashes)
            if headers is None:
                self._announce_tip_by_inv(peer, hashes[-1])
            elif len(headers) == 1 and self._announce_compact(peer, headers[0]):
                pass
            elif headers and not peer.features.prefers_headers:
                self._announce_tip_by_inv(peer, hashes[-1])
            elif headers:
                self._log_announced(peer, headers)
                peer.send(Headers([node.header for node in headers]))
                peer.blocks.best_sent = headers[-1]
        while queue.by_inv:
            batch, queue.by_inv = queue.by_inv[:MAX_INV_SZ], queue.by_inv[MAX_INV_SZ:]
            peer.send(InvMessage([Inv(InvType.BLOCK, block_hash) for block_hash in batch]))

    def _announce_compact(self, peer: Peer, node: HeaderNode) -> bool:
        """If the peer asked for that, and the block is at hand."""
        block = self.recent_block
        if not peer.features.high_bandwidth or block is None or block.hash != node.hash:
            return False
        self.compact.announce(peer, block, node, "SendMessages")
        return True

    def _connecting_headers(self, peer: Peer, hashes: Sequence[bytes]) -> list[HeaderNode] | None:
        """Of the new blocks those that the peer lacks, if they connect to one it has; None: use inv."""
        compact = peer.features.high_bandwidth and len(hashes) == 1
        if not (peer.features.prefers_headers or compact) or len(hashes) > MAX_BLOCKS_TO_ANNOUNCE:
            return None
        tree, download = self.context.headers, self.download
        download.resolve(peer.id)
        headers: list[HeaderNode] = []
        last: HeaderNode | None = None
        for block_hash in hashes:
            node = tree.get(block_hash)
            if node is None or not tree.in_chain(node) or (last is not None and node.prev is not last):
                return None  # reorganised away meanwhile
            last = node
            if headers:
                headers.append(node)
            elif download.has_header(peer.id, node):
                continue
            elif node.prev is None or download.has_header(peer.id, node.prev):
                headers.append(node)
            else:
                return None
        return headers

    def _announce_tip_by_inv(self, peer: Peer, block_hash: bytes) -> None:
        node = self.context.headers.get(block_hash)
        if node is not None and not self.download.has_header(peer.id, node):
            self.queues[peer.id].by_inv.append(block_hash)
            self.context.log.debug(
                "net", f"SendMessages: sending inv peer={peer.id} hash={hash_hex(block_hash)}"
            )

    def _log_announced(self, peer: Peer, nodes: Sequence[HeaderNode]) -> None:
        first, last = hash_hex(nodes[0].hash), hash_hex(nodes[-1].hash)
        if len(nodes) > 1:
            text = f"{len(nodes)} headers, range ({first}, {last}), to peer={peer.id}"
        else:
            text = f"sending header {first} to peer={peer.id}"
        self.context.log.debug("net", f"SendMessages: {text}")

    def maybe_sendheaders(self, peer: Peer) -> None:
        """Asks for headers instead of inv; not before the initial sync with it, which they would disturb."""
        queue, best = self.queues[peer.id], peer.blocks.best_known
        if queue.sent_sendheaders or peer.features.common_version < SENDHEADERS_VERSION:
            return
        if best is not None and best.chainwork > self.context.chain.minimum_chainwork:
            peer.send(SendHeaders())
            queue.sent_sendheaders = True
