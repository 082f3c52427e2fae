"""One block from some peer that has it: how the SPV role gets the blocks that its filters match."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex

from .block_download import NODE_NETWORK_LIMITED_MIN_BLOCKS, BlockDownload
from .messages import GetData, Inv, InvType

if TYPE_CHECKING:
    from .context import Context
    from .peer import Peer


class BlockFetcher:
    def __init__(self, context: Context, download: BlockDownload) -> None:
        self.context, self.download = context, download
        self._wanted: dict[bytes, list[tuple[int, asyncio.Future[Block | None]]]] = {}
        """Blocks asked for, of which peer, and who waits."""

    def remove_peer(self, peer: Peer) -> None:
        """It will not deliver any more."""
        for waiting in self._wanted.values():
            for asked, future in waiting:
                if asked == peer.id and not future.done():
                    future.set_result(None)

    async def fetch_block(self, block_hash: bytes, *, timeout: float = 60.0, tries: int = 3) -> Block | None:
        """The block from some peer that has it, checked against its header (merkle root, witness
        commitment); None if nobody delivers. The header must be known."""
        node = self.context.headers.get(block_hash)
        if node is None:
            return None
        tried: dict[int, None] = {}
        for _ in range(tries):
            peer = self._peer_with(node, tried)
            if peer is None:
                return None
            tried[peer.id] = None
            block = await self._fetch_from(peer, block_hash, timeout)
            if block is not None:
                return block
        return None

    async def _fetch_from(self, peer: Peer, block_hash: bytes, timeout: float) -> Block | None:
        """None if the peer goes away, sends a wrong block or is too slow."""
        future: asyncio.Future[Block | None] = asyncio.get_running_loop().create_future()
        waiting = self._wanted.setdefault(block_hash, [])
        if all(asked != peer.id for asked, _ in waiting):
            peer.send(GetData([Inv(InvType.WITNESS_BLOCK, block_hash)]))
        waiting.append((peer.id, future))
        try:
            async with self.context.ports.clock.timeout(timeout):
                return await future
        except TimeoutError:
            peer.disconnect(f"Timeout downloading block {hash_hex(block_hash)}", info=True)
            return None
        finally:
            waiting.remove((peer.id, future))
            if not waiting:
                self._wanted.pop(block_hash, None)

    def _peer_with(self, node: HeaderNode, but: dict[int, None]) -> Peer | None:
        able = []
        for peer in self.context.complete_peers():
            if peer.id in but or not (peer.serves_blocks and peer.serves_witnesses):
                continue
            self.download.resolve(peer.id)
            best = peer.blocks.best_known
            if best is None or not best.descends_from(node):
                continue
            if not peer.limited or best.height - node.height < NODE_NETWORK_LIMITED_MIN_BLOCKS:
                able.append(peer)
        return self.context.ports.random.choice(able) if able else None

    def deliver(self, block: Block) -> None:
        """Hands the block to whoever waits for it in `fetch_block`."""
        for _, future in self._wanted.get(block.hash, ()):
            if not future.done():
                future.set_result(block)

    def undelivered(self, peer: Peer, block_hash: bytes) -> None:
        """The peer sent something else in place of the block."""
        for asked, future in self._wanted.get(block_hash, ()):
            if asked == peer.id and not future.done():
                future.set_result(None)
