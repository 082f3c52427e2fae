"""Compact block filters for the SPV role: FilterClient among real peers, and filters on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from pybitcoind.chain.block_filter import BlockFilter
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.primitives.hashes import hash_hex, sha256d
from pybitcoind.chain.primitives.serialize import DecodeError

from .filter_client import AskFilter, AskHeaders, Drop, FetchBlock, FilterClient, Rewound
from .messages import CFHeaders, CFilter, GetCFHeaders, GetCFilters, NetAddress, ServiceFlags
from .messages.filters import BASIC_FILTER, MAX_GETCFILTERS_SIZE

if TYPE_CHECKING:
    from .context import Context
    from .peer import Peer
    from .sync import BlockSync

FILTER_TIMEOUT = 30.0
"""Seconds between two filters of an answer."""
LOOK_INTERVAL = 5.0


Spawn = Callable[[Coroutine[Any, Any, None]], None]


class FilterSync:
    """client.height tells how far filters are known. on_progress, on_rewind: called when it grew, and when
    what was known from a height on turned out to be false."""

    def __init__(self, context: Context, sync: BlockSync) -> None:
        self.context, self._sync = context, sync
        self.client = FilterClient(context.headers, self._knows)
        self.on_progress: Callable[[], None] = lambda: None
        self.on_rewind: Callable[[int], None] = lambda height: None
        self._news = asyncio.Event()
        self._progress = asyncio.Event()
        self._fetching: dict[bytes, None] = {}
        self._waiting: dict[bytes, asyncio.Future[tuple[int, bytes]]] = {}
        self._liars: dict[NetAddress, None] = {}
        sync.on_learned = self.wake

    # Peers

    def add_peer(self, peer: Peer) -> None:
        """Its handshake is complete."""
        if not peer.features.services & ServiceFlags.COMPACT_FILTERS or peer.inbound:
            return
        if peer.address in self._liars:
            peer.disconnect("gave false filters before")
            return
        self.client.add_peer(peer.id)
        self.wake()

    def remove_peer(self, peer: Peer) -> None:
        self.client.remove_peer(peer.id)
        self.wake()

    def wake(self) -> None:
        self._news.set()

    def _knows(self, peer_id: int, node: HeaderNode) -> bool:
        peer = self.context.peers.get(peer_id)
        if peer is None or not peer.complete:
            return False
        self._sync.download.resolve(peer_id)
        best = peer.blocks.best_known
        return best is not None and best.descends_from(node)

    async def on_cfheaders(self, peer: Peer, message: CFHeaders) -> None:
        if message.filter_type == BASIC_FILTER:
            self.client.on_cfheaders(
                peer.id, message.stop_hash, message.prev_filter_header, message.filter_hashes
            )
            self.wake()

    async def on_cfilter(self, peer: Peer, message: CFilter) -> None:
        if message.filter_type != BASIC_FILTER:
            return
        if self.client.on_cfilter(peer.id, message.block_hash, message.filter):
            self.wake()
        future = self._waiting.get(message.block_hash)
        if future is not None and not future.done():
            future.set_result((peer.id, message.filter))

    # The chain of filter headers

    async def run(self, spawn: Spawn) -> None:
        """Follows the best header chain until it is cancelled."""
        clock = self.context.ports.clock
        while True:
            height = self.client.height
            for action in self.client.poll(self.context.now()):
                self._act(action, spawn)
            if self.client.height != height:
                self._progress.set()
                self._progress = asyncio.Event()
                self.on_progress()
            try:
                async with clock.timeout(LOOK_INTERVAL):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()

    def _act(self, action: AskHeaders | AskFilter | FetchBlock | Drop | Rewound, spawn: Spawn) -> None:
        match action:
            case AskHeaders(peer_id, start, stop):
                self._send(peer_id, GetCFHeaders(BASIC_FILTER, start, stop))
            case AskFilter(peer_id, height, block_hash):
                self._send(peer_id, GetCFilters(BASIC_FILTER, height, block_hash))
            case FetchBlock(block_hash):
                if block_hash not in self._fetching:
                    self._fetching[block_hash] = None
                    spawn(self._fetch(block_hash))
            case Drop(peer_id, reason):
                self._drop(peer_id, reason)
            case Rewound(height):
                self.on_rewind(height)

    def _send(self, peer_id: int, message: GetCFHeaders | GetCFilters) -> None:
        peer = self.context.peers.get(peer_id)
        if peer is not None:
            peer.send(message)

    def _drop(self, peer_id: int, reason: str) -> None:
        peer = self.context.peers.get(peer_id)
        if peer is not None:
            if "did not come" not in reason:
                self._liars[peer.address] = None
            peer.disconnect(reason, info=True)

    async def _fetch(self, block_hash: bytes) -> None:
        try:
            block = await self._sync.fetch_block(block_hash)
            if block is None:
                await self.context.ports.clock.sleep(LOOK_INTERVAL)
            self.client.on_block(block, block_hash)
        finally:
            del self._fetching[block_hash]
        self.wake()

    async def wait_height(self, height: int, timeout: float | None = None) -> bool:
        """Until filters up to height are known; False after timeout seconds."""
        try:
            async with self.context.ports.clock.timeout(timeout):
                while self.client.height < height:
                    await self._progress.wait()
        except TimeoutError:
            return False
        return True

    # Filters

    async def filters(
        self,
        start_height: int,
        stop_height: int,
        each: Callable[[HeaderNode, BlockFilter | None], Awaitable[None]],
    ) -> int:
        """Fetches the filters of that range of the best chain and hands each, in order, to `each`: the block
        and its filter, or None where it is disputed (then fetch the block whole).

        Returns the height to go on from: stop_height + 1, or less if no peer delivers or the chain changed.
        """
        height = start_height
        while height <= min(stop_height, self.client.height):
            count = min(MAX_GETCFILTERS_SIZE, min(stop_height, self.client.height) - height + 1)
            done = await self._filter_batch(height, count, each)
            height += done
            if done < count and not self._askable(height):
                break
        return height

    def _askable(self, height: int) -> list[int]:
        top = self.client.top
        if top is None or height > top.height:
            return []
        node = top.ancestor(height)
        return [p for p in self.client.agreeing_peers(height) if self._knows(p, node)]

    async def _filter_batch(
        self, start: int, count: int, each: Callable[[HeaderNode, BlockFilter | None], Awaitable[None]]
    ) -> int:
        """Asks one peer for count filters; how many were good."""
        top = self.client.top
        able = self._askable(start)
        if top is None or not able:
            return 0
        stop = top.ancestor(min(start + count - 1, top.height))
        if not self._knows(peer_id := self.context.ports.random.choice(able), stop):
            return 0
        nodes = [stop]
        while nodes[-1].height > start and nodes[-1].prev is not None:
            nodes.append(nodes[-1].prev)
        nodes.reverse()
        loop = asyncio.get_running_loop()
        futures = {node.hash: loop.create_future() for node in nodes}
        self._waiting |= futures
        self._send(peer_id, GetCFilters(BASIC_FILTER, start, stop.hash))
        try:
            for number, node in enumerate(nodes):
                found = await self._take(node, futures[node.hash], peer_id)
                if found is None or not self.context.best_header.descends_from(node):
                    return number
                await each(node, None if node.height in self.client.disputed else found)
        finally:
            for block_hash in futures:
                self._waiting.pop(block_hash, None)
        return len(nodes)

    async def _take(
        self, node: HeaderNode, future: asyncio.Future[tuple[int, bytes]], peer_id: int
    ) -> BlockFilter | None:
        """The filter of one block, if it is the one whose hash is known; else its sender is dropped."""
        try:
            async with self.context.ports.clock.timeout(FILTER_TIMEOUT):
                sender, encoded = await future
        except TimeoutError:
            self._drop(peer_id, "cfilter did not come")
            return None
        if node.height > self.client.height:
            return None  # rewound meanwhile
        try:
            found = BlockFilter(node.hash, encoded)
        except DecodeError:
            found = None
        expected = self.client.filter_hash(node.height)
        if expected is not None and (found is None or sha256d(encoded) != expected):
            self._drop(sender, f"wrong filter of block {hash_hex(node.hash)}")
            return None
        return found or BlockFilter.trusted(node.hash, b"\x00")
