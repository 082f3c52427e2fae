"""Compact block filters for the SPV role: FilterClient among real peers, and filters on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex, sha256d

from .filter_client import Action, AskFilter, AskHeaders, Drop, FetchBlock, FilterClient, Rewound, Undecided
from .filter_judge import find_fault
from .filter_store import FilterStore
from .handshake import ConnectionType
from .messages import CFHeaders, CFilter, GetCFHeaders, GetCFilters, NetAddress, ServiceFlags
from .messages.filters import BASIC_FILTER

if TYPE_CHECKING:
    from .context import Context
    from .peer import Peer
    from .sync import BlockSync

FILTER_PATIENCE = 10.0
"""Seconds between two filters of an answer."""
LOOK_INTERVAL = 5.0
WAITING_INTERVAL = 1.0
"""Seconds between looks at what is due: usually, and while an answer is owed."""
PAGE = 10_000
"""Rows of the store that are read in one go."""
MAX_WITHOUT_FILTERS = 2
"""Automatic outbound connections to peers that serve no filters; more would take the place of better ones."""
FILTERS_AT_ONCE = 250
"""In one request: some 5 MB on the main network."""

Spawn = Callable[[Coroutine[Any, Any, None]], None]


class _Answer:
    """Filters asked of one peer. done: whether all came, once that is known."""

    def __init__(self, peer: int, nodes: Sequence[HeaderNode]) -> None:
        self.peer = peer
        self.missing = {node.hash: None for node in nodes}
        self.found: dict[bytes, bytes] = {}
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def take(self, block_hash: bytes, encoded: bytes) -> None:
        if block_hash in self.missing:
            del self.missing[block_hash]
            self.found[block_hash] = encoded
            if not self.missing:
                self.finish(True)

    def finish(self, complete: bool) -> None:
        if not self.done.done():
            self.done.set_result(complete)


class FilterSync:
    """client.height tells how far filters are known.

    on_progress: called when it grew, or a peer came that may give what others did not. on_rewind: what was
    known from a height on turned out to be false. on_disputed: a block's filter is of no use any more.
    """

    def __init__(self, context: Context, sync: BlockSync) -> None:
        self.context, self._sync = context, sync
        self.client = FilterClient(context.headers, self._knows)
        self.store: FilterStore | None = None
        self.on_progress: Callable[[], None] = lambda: None
        self.on_rewind: Callable[[int], None] = lambda height: None
        self.on_disputed: Callable[[int], None] = lambda height: None
        self._news = asyncio.Event()
        self._progress = asyncio.Event()
        self._fetching: dict[bytes, None] = {}
        self._answers: list[_Answer] = []
        self._liars: dict[NetAddress, None] = {}
        sync.on_learned = self.wake

    async def open(self, store: FilterStore) -> None:
        """From now on what is known is kept in store; takes up what it holds. The caller closes it."""
        self.store = store
        while rows := await store.hashes(self.client.height + 1, PAGE):
            if not self.client.restore(rows):
                break

    # Peers

    def add_peer(self, peer: Peer) -> None:
        """Its handshake is complete."""
        if not peer.features.services & ServiceFlags.COMPACT_FILTERS:
            self._without_filters(peer)
            return
        if peer.address in self._liars:
            peer.disconnect("gave false filters before", info=True)
            return
        self.client.add_peer(peer.id)
        self.wake()

    def _without_filters(self, peer: Peer) -> None:
        others = [
            other
            for other in self.context.complete_peers()
            if other.kind is peer.kind and not other.features.services & ServiceFlags.COMPACT_FILTERS
        ]
        if peer.kind is ConnectionType.OUTBOUND_FULL_RELAY and len(others) > MAX_WITHOUT_FILTERS:
            peer.disconnect("peer serves no compact filters", info=True)
        elif not peer.inbound:
            self.context.log.info(f"No compact filters from {peer.log_name}: it is used for headers only")

    def remove_peer(self, peer: Peer) -> None:
        self.client.remove_peer(peer.id)
        for answer in self._answers:
            if answer.peer == peer.id:
                answer.finish(False)
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
        for answer in self._answers:
            if answer.peer == peer.id:
                answer.take(message.block_hash, message.filter)

    # The chain of filter headers

    async def run(self, spawn: Spawn) -> None:
        """Follows the best header chain until it is cancelled."""
        clock = self.context.ports.clock
        while True:
            self._news.clear()
            height = self.client.height
            for action in self.client.poll(clock.monotonic()):
                self._act(action, spawn)
            await self._save()
            if self.client.height != height:
                self._progress.set()
                self._progress = asyncio.Event()
            self.on_progress()
            try:
                async with clock.timeout(WAITING_INTERVAL if self.client.waiting else LOOK_INTERVAL):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def _save(self) -> None:
        changes = self.client.changes()
        if changes is not None and self.store is not None:
            await self.store.put_hashes(*changes)

    def _act(self, action: Action, spawn: Spawn) -> None:
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
                self.context.log.warning(f"Filters from height {height} on were false, asking again")
                self.on_rewind(height)
            case Undecided(height):
                self.context.log.warning(
                    f"Peers disagree on the filter at height {height} and the block does not tell who is "
                    "right: the block itself is looked at"
                )
                self.on_disputed(height)

    def _send(self, peer_id: int, message: GetCFHeaders | GetCFilters) -> None:
        peer = self.context.peers.get(peer_id)
        if peer is not None:
            peer.send(message)

    def _drop(self, peer_id: int, reason: str) -> None:
        self.client.remove_peer(peer_id)
        peer = self.context.peers.get(peer_id)
        if peer is not None:
            if "did not come" not in reason:
                self._liars[peer.address] = None
            peer.disconnect(reason, info=True)

    async def _fetch(self, block_hash: bytes) -> None:
        try:
            block = await self._sync.fetcher.fetch_block(block_hash)
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

    async def judge(self, node: HeaderNode, block: Block, encoded: bytes) -> None:
        """A block was fetched as a whole: the filter that was known for it is judged by it."""
        fault = await self.context.ports.workers.run(find_fault, encoded, block)
        if fault is not None:
            self.client.refuted(node, encoded, fault)
            self.wake()

    # Filters

    async def filters(self, nodes: Sequence[HeaderNode]) -> dict[bytes, bytes | None] | None:
        """The encoded filters of consecutive blocks of the best chain, None for one that is disputed.

        From the store, or from peers and then kept. None if a hash is not known (any more), or nobody
        delivers now.
        """
        expected = self._expected(nodes)
        if expected is None:
            return None
        have = {} if self.store is None else await self.store.filters([node.hash for node in nodes])
        missing = [
            node
            for node in nodes
            if (hash_ := expected[node.hash]) is not None and sha256d(have.get(node.hash, b"")) != hash_
        ]
        while missing:
            run = missing[:1]
            for node in missing[1:FILTERS_AT_ONCE]:
                if node.prev is not run[-1]:
                    break
                run.append(node)
            got = await self._download(run)
            if got is None:
                return None
            have |= got
            missing = missing[len(run) :]
        if self._expected(nodes) != expected:
            return None
        return {
            block_hash: None if filter_hash is None else have[block_hash]
            for block_hash, filter_hash in expected.items()
        }

    def _expected(self, nodes: Sequence[HeaderNode]) -> dict[bytes, bytes | None] | None:
        """The filter hashes by block hash, None where it is disputed; None if not all are known."""
        top = self.client.top
        if top is None or not nodes or not top.descends_from(nodes[-1]):
            return None
        return {node.hash: self.client.filter_hash(node.height) for node in nodes}

    async def _download(self, run: Sequence[HeaderNode]) -> dict[bytes, bytes] | None:
        """From one peer after the other, until one gives all of them as they should be."""
        tried: list[int] = []
        while True:
            able = [
                peer
                for peer in self.client.agreeing_peers(run[-1].height)
                if peer not in tried and self._knows(peer, run[-1])
            ]
            if not able:
                return None
            peer_id = self.context.ports.random.choice(able)
            tried.append(peer_id)
            found = await self._ask_filters(peer_id, run)
            expected = self._expected(run)
            if expected is None:
                return None
            if found is None:
                self._drop(peer_id, "cfilter did not come")
                continue
            wrong = [
                node
                for node in run
                if (hash_ := expected[node.hash]) is not None and sha256d(found[node.hash]) != hash_
            ]
            if not wrong:
                if self.store is not None:
                    await self.store.put_filters(found.items())
                return found
            self._drop(peer_id, f"wrong filter of block {hash_hex(wrong[0].hash)}")

    async def _ask_filters(self, peer_id: int, run: Sequence[HeaderNode]) -> dict[bytes, bytes] | None:
        answer = _Answer(peer_id, run)
        self._answers.append(answer)
        self._send(peer_id, GetCFilters(BASIC_FILTER, run[0].height, run[-1].hash))
        try:
            while True:
                left = len(answer.missing)
                try:
                    async with self.context.ports.clock.timeout(FILTER_PATIENCE):
                        await asyncio.wait((answer.done,))
                    return answer.found if answer.done.result() else None
                except TimeoutError:
                    if len(answer.missing) == left:
                        return None
        finally:
            self._answers.remove(answer)
