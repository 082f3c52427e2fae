"""What all indexes share: catching up with the active chain, following it, starting again where they were.

An index takes blocks from the events as they are connected, and from the block store what it missed: all at
its first start, some after a crash. Both ways go through one lock and end in one transaction with its tip.
An index whose file is damaged is deleted and built anew. SQLite says so where its pages are; whether the rows
are what they should be is looked at at every start: their number, those of some blocks at once, and those of
all others by and by. A row that contradicts its block when somebody asks for it is damage too.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar, Generic, Protocol, TypeVar

from ..events import (
    BlockConnected,
    BlockDisconnected,
    ChainRole,
    Event,
    EventBus,
    SnapshotValidated,
    Subscription,
)
from ..header_tree import HeaderNode, HeaderTree, fork_point
from ..params import ChainParams
from ..ports import Ports
from ..primitives.block import Block
from ..primitives.merkle import merkle_root
from ..primitives.serialize import DecodeError
from ..storage.block_store import BlockUnreadable
from ..storage.coin_store import network_name
from ..storage.database import Connection, Damaged, Database, Query, repair_advice
from ..storage.migrations import Schema, get_meta, open_database, put_meta
from ..storage.records import BlockUndo

BATCH_BLOCKS = 200
BATCH_BYTES = 8 << 20
"""Blocks and bytes of blocks that catching up takes in one transaction, at most."""
CHECKED_BLOCKS = 60
"""Blocks that a start looks at, one in each stretch of the chain, and as many of the last: a table that has
lost a hundredth of its rows is found out."""
CHECK_SHARE = 0.02
"""Of the time, what the look at all other blocks takes."""
LOG_INTERVAL = 30
"""Seconds between progress lines (Core SYNC_LOG_INTERVAL)."""

_PRUNED = (
    "Blocks that it would be made anew from are pruned: restart with -reindex (which downloads the whole "
    "blockchain again), or without this index."
)

T = TypeVar("T")
R = TypeVar("R")


class IndexedChain(Protocol):
    """What an index needs of the chain manager."""

    @property
    def headers(self) -> HeaderTree:
        """All headers and the active chain."""

    @property
    def validated_tip(self) -> HeaderNode:
        """The last block up to which all blocks are validated: the tip, but behind it with a snapshot."""

    @property
    def pruning(self) -> bool:
        """Blocks are subject to pruning."""

    @property
    def prune_locks(self) -> dict[str, int]:
        """First heights that others still need, by name."""

    async def read_block(self, node: HeaderNode) -> Block: ...

    async def read_block_bytes(self, node: HeaderNode) -> bytes: ...

    async def read_undo(self, node: HeaderNode) -> BlockUndo: ...


class Index(ABC, Generic[T]):
    """One index. T: what it makes of one block before it is stored.

    Life: `open`; then `run` as a task, which ends after `stop` and the end of events; then `close`.
    """

    NAME: ClassVar[str]
    """As getindexinfo shows it."""
    FILE: ClassVar[str]
    SCHEMA: ClassVar[Schema]
    BLOCKS: ClassVar[str] = "blocks"
    """The table with a row for every block."""
    NEEDS_UNDO: ClassVar[bool]
    ALLOW_PRUNE: ClassVar[bool]
    """Whether it is of use when blocks it has indexed are pruned."""

    def __init__(self, chain: IndexedChain, events: EventBus, ports: Ports, params: ChainParams) -> None:
        self._chain, self._events, self._ports, self._params = chain, events, ports, params
        self._subscription: Subscription | None = None
        self._db: Database | None = None
        self._lock = asyncio.Lock()
        self._catching_up = True
        self._stopped = asyncio.Event()
        self._wanted = asyncio.Event()
        self._last_log = 0.0
        self.synced = False
        """It has reached the tip once; from then on it is at most some events behind."""
        self.checked = False
        """Its rows have been looked at since it was opened."""
        self.best: HeaderNode | None = None
        """The last block it holds; None before the genesis block."""
        self.followed: HeaderNode | None = None
        """The last block stored: as in Core, disconnected blocks count until another one is connected."""

    @property
    def best_height(self) -> int:
        return 0 if self.best is None else self.best.height

    @property
    def db(self) -> Database:
        assert self._db is not None, "the index is not open"
        return self._db

    # What a concrete index adds

    @abstractmethod
    def prepare(self, block: Block, undo: BlockUndo, height: int) -> T:
        """What is stored of a block. Pure: runs on the workers. undo is empty unless NEEDS_UNDO."""

    @abstractmethod
    def store(self, conn: Connection, items: Sequence[tuple[HeaderNode, T]]) -> None:
        """Stores consecutive blocks in an open transaction. Storing one again is no error."""

    @abstractmethod
    def holds(self, conn: Connection, node: HeaderNode, item: T) -> bool:
        """What `store` has made of a block of the chain is there, and is right."""

    def rewind(self, conn: Connection, node: HeaderNode | None) -> None:
        """Takes out what must not be there once node is the best block. By default all may stay."""

    # Life

    async def open(self) -> None:
        """Opens the database, finds where the index was, and subscribes. Call it once headers are loaded."""
        try:
            await self._open()
        except Damaged as error:
            await self._begin_anew(error)
        self._subscription = self._events.subscribe(self.NAME, self._handle)

    async def _open(self) -> None:
        self._db = await open_database(
            self._ports.storage,
            self.FILE,
            self.SCHEMA,
            network_name(self._params),
            full_sync=self._chain.pruning,  # it must never go back to where blocks are missing
        )
        stored = await self._db.read(lambda conn: get_meta(conn, "best_block"))
        self._best_is(None if stored is None else self._find(stored))
        (count,) = await self._db.read(
            lambda conn: conn.execute(f"SELECT count(*) FROM {self.BLOCKS}").fetchone()
        )
        if self.best is not None and count <= self.best_height:
            raise self._damage(f"{count} of {self.best_height + 1} blocks")
        self.followed = self.best
        await self.opened()
        self.synced = self.best is self._chain.validated_tip

    async def opened(self) -> None:
        """What a concrete index does with its database just opened, at first and when it was built anew."""

    async def _begin_anew(self, error: Damaged) -> None:
        """The file is lost: an empty one takes its place, and the chain is indexed from the start.

        Damaged where that cannot be, since blocks are pruned; the file stays then.
        """
        blocks = self._path(0, self._chain.validated_tip.height + 1)
        if not all(map(self._readable, blocks)):
            raise Damaged(error.what, _PRUNED, name=self.FILE)
        self._ports.log.warning(f"{self.NAME}: {error.what} It is deleted and built anew.")
        self.synced, self._catching_up = False, True
        harmed, self._db = self._db, None  # who reads meanwhile waits
        if harmed is not None:
            with suppress(Damaged):
                await harmed.close()
        self._ports.storage.delete(self.FILE)
        await self._open()
        self._wanted.set()

    def _damage(self, what: str) -> Damaged:
        return Damaged(f"{self.FILE} is damaged ({what}).", repair_advice(self.FILE))

    def _best_is(self, node: HeaderNode | None) -> None:
        self.best = node
        if self.ALLOW_PRUNE:
            self._chain.prune_locks[self.NAME] = self.best_height

    def _find(self, stored: object) -> HeaderNode | None:
        """The last known block of a stored locator.

        Not its first, if the node was killed: the index may know a block whose header was not yet written.
        """
        hashes = (stored[i : i + 32] for i in range(0, len(stored), 32)) if isinstance(stored, bytes) else ()
        for node in map(self._chain.headers.get, hashes):
            if node is not None:
                return node
        raise Damaged(f"The blocks of {self.FILE} are unknown here.", repair_advice(self.FILE))

    async def run(self) -> None:
        """Catches up, and handles events until the bus is finished. The first error ends it."""
        assert self._subscription is not None, "the index is not open"
        async with asyncio.TaskGroup() as group:
            group.create_task(self._subscription.run())
            db, last = self.db, self.best
            await self._check_some_blocks()
            self.checked = True
            group.create_task(self._check_all_blocks(db, last))
            while not self._stopped.is_set():
                self._wanted.clear()
                await self.catch_up()
                await self._wanted.wait()

    async def _check_some_blocks(self) -> None:
        """Makes some blocks' rows again, and compares.

        What is lost of a table that is sorted by hashes is lost of all blocks, so some are enough.
        """
        best = self.best_height if self.best is not None else -1
        seed = int.from_bytes(self._ports.random.bytes(8), "little")
        heights = set(range(max(0, best + 1 - CHECKED_BLOCKS), best + 1))
        for part in range(CHECKED_BLOCKS):
            start, end = part * best // CHECKED_BLOCKS, (part + 1) * best // CHECKED_BLOCKS
            if start < end:
                heights.add(start + seed % (end - start))
        for height in sorted(heights, reverse=True):
            if self._stopped.is_set() or not await self._look_at(height):
                break

    async def _check_all_blocks(self, db: Database, last: HeaderNode | None) -> None:
        """All that db had up to last, downwards, one after the other with long pauses.

        The rows of a single block may be lost, or not be what they were.
        """
        clock = self._ports.clock
        for height in range(-1 if last is None else last.height, -1, -1):
            begun = clock.monotonic()
            if self._db is not db or not await self._look_at(height):
                break
            with suppress(TimeoutError):
                async with clock.timeout((clock.monotonic() - begun) * (1 / CHECK_SHARE - 1)):
                    await self._stopped.wait()
            if self._stopped.is_set():
                break

    async def _look_at(self, height: int) -> bool:
        """Begins anew if the rows of the block at height are not right, and is False then."""
        async with self._lock:
            try:
                await self._check_block(height)
            except Damaged as error:
                await self._begin_anew(error)
                return False
        return True

    async def _check_block(self, height: int) -> None:
        """Damaged if the block at height has not the rows that it should have."""
        if self.best is None or height > self.best.height or not self._validated(self.best):
            return
        node = self.best.ancestor(height)
        if not self._readable(node):
            return
        try:
            block = await self._chain.read_block(node)
            undo = await self._chain.read_undo(node) if self.NEEDS_UNDO and height else BlockUndo()
        except (BlockUnreadable, LookupError, DecodeError):  # no matter of the index's
            return
        if not await self._ports.workers.run(_is_whole, block):
            return
        item = await self._ports.workers.run(self.prepare, block, undo, height)
        if not await self.db.read(lambda conn: self.holds(conn, node, item)):
            raise self._damage(f"block {height}")

    async def catch_up(self) -> None:
        """Indexes the validated chain up to its tip, or until `stop`, or as far as there are bodies."""
        while not self._stopped.is_set():
            async with self._lock:
                try:
                    more = await self._follow_some()
                except Damaged as error:
                    await self._begin_anew(error)
                    continue
            if not more:
                break
            await self._ports.clock.sleep(0)
        self._catching_up = False
        if self.synced:
            self._ports.log.info(f"{self.NAME} is enabled at height {self.best_height}")

    def stop(self) -> None:
        """No further batch when catching up."""
        self._stopped.set()
        self._wanted.set()

    async def close(self) -> None:
        """Closes the database; call it when `run` has ended. Idempotent."""
        if self._db is not None:
            await self._db.close()

    def missing_data(self) -> HeaderNode | None:
        """The first block that it still needs and whose body (or undo) is pruned away; None if all are there.

        Core refuses to start then: "... best block of the index goes beyond pruned data. ...".
        """
        tip = self._chain.validated_tip
        start = None if self.best is None else fork_point(self.best, tip)
        behind = self._path(0 if start is None else start.height + 1, tip.height + 1)
        return next((node for node in behind if not self._readable(node)), None)

    # Following the chain

    def _validated(self, node: HeaderNode) -> bool:
        """node is on the chain that is followed."""
        return self._chain.validated_tip.descends_from(node)

    def _path(self, start: int, end: int) -> Sequence[HeaderNode]:
        """The blocks of the chain that is followed, by height, end left out."""
        headers, tip = self._chain.headers, self._chain.validated_tip
        end = min(end, tip.height + 1)
        if headers.in_chain(tip):
            return headers.chain[start:end]
        return [tip.ancestor(height) for height in range(start, end)]

    def _readable(self, node: HeaderNode) -> bool:
        return node.have_data and (node.have_undo or not self.NEEDS_UNDO or node.height == 0)

    async def read(self, query: Query[R]) -> R:
        """query of the database. Where that is damaged, of the empty one that takes its place."""
        if self._db is None:
            async with self._lock:
                pass
        db = self.db
        try:
            return await db.read(query)
        except Damaged as error:
            await self._replace(db, error)
            return await self.db.read(query)

    async def _replace(self, db: Database | None, error: Damaged) -> None:
        """An empty database takes the place of db, which is damaged, unless that has happened already."""
        async with self._lock:
            if self._db is db:
                await self._begin_anew(error)

    async def _contradicted(self, db: Database | None, node: HeaderNode, raw: bytes) -> None:
        """A row of db says of node's block, raw, what is not so: one of the two is damaged."""
        with suppress(DecodeError):
            if _is_whole(Block.decode(raw)):
                await self._replace(db, self._damage(f"block {node.height}"))

    async def _handle(self, event: Event) -> None:
        if isinstance(event, SnapshotValidated):
            # Not here: it may take long, and whoever is behind with events holds up the owner.
            self._catching_up = True
            self._wanted.set()
        elif isinstance(event, (BlockConnected, BlockDisconnected)):
            async with self._lock:
                try:
                    if isinstance(event, BlockConnected):
                        await self._connected(event)
                    elif event.node is self.best:
                        await self._rewind(event.node.prev)
                except Damaged as error:
                    await self._begin_anew(error)

    async def _connected(self, event: BlockConnected) -> None:
        node = event.node
        behind = self._chain.validated_tip is not self._chain.headers.tip
        if event.role is ChainRole.ACTIVE and behind and not self._validated(node):
            return  # above a snapshot that is not validated yet
        if node.prev is self.best:
            undo = event.undo if self.NEEDS_UNDO else BlockUndo()
            await self._append([(node, event.block, undo)])
        elif not self._catching_up and self._validated(node):
            # An event older than what was caught up with, or newer than a gap; the active chain knows.
            while await self._follow_some():
                pass

    async def _follow_some(self) -> bool:
        """One batch towards the tip; False at the tip, or where a body is missing."""
        tip = self._chain.validated_tip
        if self.best is not None and not self._validated(self.best):
            await self._rewind(fork_point(self.best, tip))
            return True
        start = self.best_height + 1 if self.best is not None else 0
        wanted = self._path(start, start + BATCH_BLOCKS)
        batch: list[tuple[HeaderNode, Block, BlockUndo]] = []
        size = 0
        for node in wanted:
            if not self._readable(node) or size >= BATCH_BYTES:
                break
            block = await self._chain.read_block(node)
            undo = await self._chain.read_undo(node) if self.NEEDS_UNDO and node.height else BlockUndo()
            batch.append((node, block, undo))
            size += len(block.raw)
        if batch:
            await self._append(batch)
            self._report()
        self.synced = self.synced or self.best is self._chain.validated_tip
        return bool(batch) and self.best is not self._chain.validated_tip

    async def _append(self, batch: Sequence[tuple[HeaderNode, Block, BlockUndo]]) -> None:
        def prepare_all() -> list[tuple[HeaderNode, T]]:
            return [(node, self.prepare(block, undo, node.height)) for node, block, undo in batch]

        items = await self._ports.workers.run(prepare_all)
        last = batch[-1][0]
        locator = b"".join(self._chain.headers.locator(last))

        def write(conn: Connection) -> None:
            self.store(conn, items)
            put_meta(conn, "best_block", locator)

        await self.db.write(write)
        self._best_is(last)
        self.followed = last
        self.synced = self.synced or last is self._chain.validated_tip

    async def _rewind(self, node: HeaderNode | None) -> None:
        locator = b"" if node is None else b"".join(self._chain.headers.locator(node))

        def write(conn: Connection) -> None:
            self.rewind(conn, node)
            if locator:
                put_meta(conn, "best_block", locator)
            else:
                conn.execute("DELETE FROM meta WHERE key='best_block'")

        await self.db.write(write)
        self._best_is(node)

    def _report(self) -> None:
        tip = self._chain.validated_tip
        share = None if self.best is tip else self.best_height / max(1, tip.height)
        self._ports.progress(f"Building {self.NAME}", share)
        now = self._ports.clock.monotonic()
        if self._catching_up and now - self._last_log >= LOG_INTERVAL:
            self._last_log = now
            self._ports.log.info(f"Syncing {self.NAME} with block chain from height {self.best_height}")


def _is_whole(block: Block) -> bool:
    """The transactions are those that the header commits to: the block was not damaged where it is stored."""
    return merkle_root(block.txids())[0] == block.header.merkle_root
