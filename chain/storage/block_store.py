"""Blocks, their undo data and the header rows: blocks/index.sqlite and blocks/blkNNNNN.sqlite.

Writing is behind: `add_block` gives a position at once and keeps the bytes in memory, where reads find them,
like the undo data of `add_undo`, until `sync` commits it all in one durable transaction per file.
`write_headers` syncs first, so a header row never says "have data" about data that a power cut could take.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Container, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

from ..params import ChainParams
from ..ports import Storage
from ..primitives.hashes import sha256, sha256d
from .bulk import put_rows
from .coin_store import network_name
from .database import (
    SUFFIX,
    Connection,
    Damaged,
    Database,
    Query,
    StorageError,
    limit_pages,
    repair_advice,
    uninterrupted,
)
from .header_rows import (
    INDEX_SCHEMA,
    HeaderRow,
    Position,
    StoredHeaders,
    all_rows,
    load_headers,
    pack_row,
    put_headers,
)
from .migrations import Schema, get_meta, open_database, put_meta
from .records import BlockUndo, RecordError

T = TypeVar("T")

FOLDER = "blocks"
INDEX = f"{FOLDER}/index{SUFFIX}"
MAX_FILE_BYTES = 128 << 20
"""Bytes of blocks in one file (Core MAX_BLOCKFILE_SIZE)."""
FAST_PRUNE_FILE_BYTES = 64 << 10
"""The same with -fastprune."""
FRAMING = 8
"""Bytes before each block in Core's files; counted, so that the same blocks share a file here."""
OPEN_FILES = 4
SYNC_BYTES = 32 << 20
"""Bytes waiting in memory from which `sync_due` asks for a sync, where there is as much to spare."""
PAGES_BYTES = 2 << 20
"""Page cache of a block file: a body is written and read as a whole, and its pages are not needed again."""
UNDO_COIN_BYTES = 250
"""Memory of a coin in undo data that waits, about."""

_FILE_SCHEMA = Schema(
    2,
    [
        """CREATE TABLE bodies (
            id INTEGER PRIMARY KEY, hash BLOB NOT NULL, height INTEGER NOT NULL, body BLOB NOT NULL)""",
        "CREATE TABLE undo (id INTEGER PRIMARY KEY, record BLOB NOT NULL, checksum BLOB)",
    ],
    {1: ["ALTER TABLE undo ADD COLUMN checksum BLOB"]},
)
"""checksum: SHA256 of the record; NULL for those that version 1 wrote."""


class BlockUnreadable(StorageError):
    """A body or undo data that is said to be stored cannot be read: its file is missing or damaged.

    Who only wants to show the block says so and goes on; who needs it for the chain stops the node.
    """


class FilesMissing(StorageError):
    """Block files that header rows name are not there at the start."""


@dataclass(slots=True)
class FileInfo:
    """What one block file holds. Bytes are those of bodies and of undo records, without SQLite's own."""

    blocks: int = 0
    bytes: int = 0
    undo_bytes: int = 0
    min_height: int = 0
    max_height: int = 0

    def add(self, height: int, size: int) -> None:
        self.min_height = min(self.min_height, height) if self.blocks else height
        self.max_height = max(self.max_height, height)
        self.blocks += 1
        self.bytes += size


@dataclass(slots=True)
class _Cursor:
    """The file that the next block goes to, and its row there."""

    file: int
    row: int = 1


class StoredBlock(NamedTuple):
    """A body as `scan` finds it in the block files."""

    position: Position
    hash: bytes
    height: int
    raw: bytes


def file_name(number: int) -> str:
    return f"{FOLDER}/blk{number:05}{SUFFIX}"


def _file_numbers(storage: Storage) -> list[int]:
    names = (name.removesuffix(SUFFIX) for name in storage.names(FOLDER))
    return [int(name[3:]) for name in names if name.startswith("blk") and name[3:].isdigit()]


class BlockStore:
    """All blocks of one node. Opened with `BlockStore.open`; only the owner task writes."""

    def __init__(
        self, storage: Storage, params: ChainParams, index: Database, max_file_bytes: int | None = None
    ) -> None:
        self._storage, self._index = storage, index
        self._max_file_bytes = max_file_bytes or MAX_FILE_BYTES
        self._network = network_name(params)
        self._handles: OrderedDict[int, Database] = OrderedDict()
        self._users: dict[int, int] = {}
        self._opening = asyncio.Lock()
        self._syncing = asyncio.Lock()
        self.files: dict[int, FileInfo] = {}
        """By file number; pruned files are not among them."""
        self._on_disk: set[int] = set()
        """Those of them that were written; others begin with the next sync."""
        self._low = self._high = _Cursor(0)
        """Where blocks below and above `split_at` go."""
        self._split = 0
        self._cursors: dict[int, _Cursor] = {}
        """Of the last files, where blocks can be added; by number."""
        self._bodies: dict[Position, tuple[bytes, int, bytes]] = {}
        self._undos: dict[Position, BlockUndo] = {}
        self.pending_bytes = 0
        """Bytes of bodies that only memory holds yet."""
        self._pending_undo = 0
        self.sync_bytes = SYNC_BYTES
        """Bytes that may wait in memory."""
        self._dirty_files: set[int] = set()
        self.reindexing = False
        """The block files hold blocks that may not be in the index: -reindex has begun and not ended, also
        if that was in a process before. `reindexed` ends it."""

    @classmethod
    async def open(
        cls,
        storage: Storage,
        params: ChainParams,
        *,
        reindex: bool = False,
        pruning: bool = False,
        max_file_bytes: int | None = None,
    ) -> BlockStore:
        """reindex: begins with no header rows; `scan` then gives all blocks there are. pruning: but for those
        in files behind a missing one, which are deleted.

        StorageError for another network's directory, a damaged index, or block files without one.
        """
        if reindex:
            await _begin_anew(storage, network_name(params))
        elif not storage.exists(INDEX) and _file_numbers(storage):
            raise StorageError(f"There are block files, but {INDEX} is missing.", repair_advice(INDEX))
        index = await open_database(storage, INDEX, INDEX_SCHEMA, network_name(params), full_sync=True)
        store = cls(storage, params, index, max_file_bytes)
        try:
            store.reindexing = await index.read(_is_reindexing) and bool(_file_numbers(storage))
            if store.reindexing and pruning:
                _drop_files_behind_gap(storage)
            await store._load_files()
        except BaseException:
            await store.close()
            raise
        return store

    async def _load_files(self) -> None:
        rows = await self._index.read(lambda conn: conn.execute("SELECT * FROM files").fetchall())
        known = {number: FileInfo(*info) for number, *info in rows}
        numbers = _file_numbers(self._storage)
        self._on_disk.update(numbers)
        for number in numbers:
            if number in known and number not in numbers[-2:]:
                self.files[number] = known[number]
            else:  # blocks may have been committed after the index was
                async with self._open_file(number) as db:
                    self.files[number], row = await db.read(_measure)
                self._cursors[number] = _Cursor(number, row)
                self._dirty_files.add(number)
        last = numbers[-1] if numbers else max(known, default=-1) + 1
        self._low = self._high = self._cursors.get(last) or _Cursor(last)

    def split_at(self, height: int) -> None:
        """From now on blocks from height on, and those below, go to files of their own.

        With a snapshot loaded both come at the same time, and a file must have but one kind to be pruned.
        """
        self._split = height
        known = self._cursors | {self._low.file: self._low}
        self._high = self._low = _Cursor(-1)
        for number in sorted(known, reverse=True):
            cursor, info = known[number], self.files.get(number)
            if info is None:
                continue
            if info.blocks and info.min_height >= height and self._high.file < 0:
                self._high = cursor
            elif info.max_height < height and self._low.file < 0:
                self._low = cursor
        for cursor in (self._low, self._high):
            if cursor.file < 0:
                cursor.file = self._new_file()
        if self._low is self._high:
            self._high = _Cursor(self._new_file())

    def _new_file(self) -> int:
        return max(*self.files, self._low.file, self._high.file, -1) + 1

    async def reindexed(self) -> None:
        """All blocks of the files are in the header rows, which have been written."""
        await self._index.write(lambda conn: conn.execute("DELETE FROM meta WHERE key='reindexing'"))
        self.reindexing = False

    # Block files

    def has_file(self, number: int) -> bool:
        """The block file is on the disk, as far as the store knows."""
        return number in self._on_disk

    @asynccontextmanager
    async def _open_file(self, number: int) -> AsyncIterator[Database]:
        """A block file, kept open for the next user; beyond OPEN_FILES idle ones are closed.

        BlockUnreadable if it was there and is gone: neither is it made anew nor its lost self written to.
        """
        if number in self._on_disk and not self._storage.exists(file_name(number)):
            raise BlockUnreadable(f"{file_name(number)} is missing.", repair_advice(INDEX))
        self._users[number] = self._users.get(number, 0) + 1
        try:
            async with self._opening:
                db = self._handles.get(number)
                if db is None:
                    db = await open_database(
                        self._storage, file_name(number), _FILE_SCHEMA, self._network, full_sync=True
                    )
                    await db.read(lambda conn: limit_pages(conn, PAGES_BYTES))
                    self._handles[number] = db
                self._handles.move_to_end(number)
                idle = [n for n in self._handles if not self._users.get(n)]
                for n in idle[: max(0, len(self._handles) - OPEN_FILES)]:
                    await self._handles.pop(n).close()
            yield db
        finally:
            self._users[number] -= 1

    async def _read(self, number: int, query: Query[T]) -> T:
        """query of a block file; BlockUnreadable whatever is wrong with it."""
        if number not in self._on_disk:
            raise BlockUnreadable(f"{file_name(number)} is missing.", repair_advice(INDEX))
        try:
            async with self._open_file(number) as db:
                return await db.read(query)
        except StorageError as error:
            raise BlockUnreadable(error.what, error.advice) from error

    # Writing behind

    def add_block(self, block_hash: bytes, height: int, raw: bytes) -> Position:
        """The position block will have; its bytes are in memory until the next sync, and readable at once."""
        cursor = self._high if self._split and height >= self._split else self._low
        info = self.files.get(cursor.file)
        if info is not None and info.blocks and self._is_full(info, len(raw)):
            cursor.file, cursor.row, info = self._new_file(), 1, None
        if info is None:
            info = self.files[cursor.file] = FileInfo()
        position = Position(cursor.file, cursor.row)
        cursor.row += 1
        info.add(height, len(raw))
        self._dirty_files.add(cursor.file)
        self._bodies[position] = (block_hash, height, raw)
        self.pending_bytes += len(raw)
        return position

    def _is_full(self, info: FileInfo, size: int) -> bool:
        """Whether a block of size bytes begins a new file."""
        return info.bytes + size + FRAMING * (info.blocks + 1) >= self._max_file_bytes

    def add_undo(self, position: Position, undo: BlockUndo) -> None:
        """The undo data of the block at position, like add_block. It may replace an older one."""
        self._drop_undo(position)
        self._undos[position] = undo
        self._pending_undo += _memory(undo)

    def _drop_undo(self, position: Position) -> None:
        old = self._undos.pop(position, None)
        if old is not None:
            self._pending_undo -= _memory(old)

    @property
    def sync_due(self) -> bool:
        """So much is waiting that the caller should sync."""
        return self.pending_bytes + self._pending_undo >= self.sync_bytes or len(self._undos) > 2000

    async def sync(self) -> None:
        """Commits what was added before this call, durably: one transaction per file."""
        await uninterrupted(self._sync())

    async def _sync(self) -> None:
        async with self._syncing:
            bodies, undos = dict(self._bodies), dict(self._undos)
            for number in sorted({position.file for position in (*bodies, *undos)}):
                some_bodies = {at: body for at, body in bodies.items() if at.file == number}
                some_undos = {at: undo for at, undo in undos.items() if at.file == number}
                await self._write_file(number, some_bodies, some_undos)

    async def _write_file(
        self,
        number: int,
        bodies: dict[Position, tuple[bytes, int, bytes]],
        undos: dict[Position, BlockUndo],
    ) -> None:
        def write(conn: Connection) -> int:
            rows = [(at.row, *body) for at, body in bodies.items()]
            conn.executemany("INSERT OR REPLACE INTO bodies VALUES (?, ?, ?, ?)", rows)
            packed = [(at.row, undo.pack()) for at, undo in undos.items()]
            records = [(row, record, sha256(record)) for row, record in packed]
            conn.executemany("INSERT OR REPLACE INTO undo VALUES (?, ?, ?)", records)
            return sum(len(record) for _, record in packed)

        if (
            number not in self._on_disk
        ):  # what a file left that somebody deleted, its log, is not the new one's
            self._storage.delete(file_name(number))
        async with self._open_file(number) as db:
            undo_bytes = await db.write(write)
        self._on_disk.add(number)
        self.files[number].undo_bytes += undo_bytes
        self._dirty_files.add(number)
        for at, body in bodies.items():
            del self._bodies[at]
            self.pending_bytes -= len(body[2])
        for at, undo in undos.items():
            if self._undos.get(at) is undo:
                self._drop_undo(at)

    async def put_block(self, block_hash: bytes, height: int, raw: bytes) -> Position:
        """Stores one block durably. For many use put_blocks, or add_block and sync."""
        position = self.add_block(block_hash, height, raw)
        await self.sync()
        return position

    async def put_blocks(self, blocks: Iterable[tuple[bytes, int, bytes]]) -> list[Position]:
        """Stores blocks (hash, height, raw) durably in one transaction per file."""
        positions = [self.add_block(*block) for block in blocks]
        await self.sync()
        return positions

    async def put_undo(self, position: Position, undo: BlockUndo) -> None:
        self.add_undo(position, undo)
        await self.sync()

    async def put_undos(self, undos: Iterable[tuple[Position, BlockUndo]]) -> None:
        for position, undo in undos:
            self.add_undo(position, undo)
        await self.sync()

    # Reading

    async def get_block(self, position: Position) -> bytes:
        """The block as it came. BlockUnreadable if it is not there or its bytes are not it."""
        return (await self.get_blocks([position]))[0]

    async def get_blocks(self, positions: Sequence[Position]) -> list[bytes]:
        """The blocks at positions, in that order, with one trip per file."""
        found = {at: self._bodies[at][2] for at in positions if at in self._bodies}
        for number, rows in _rows_by_file(positions, found).items():
            bodies = await self._read(
                number, partial(_rows, "SELECT hash, body FROM bodies WHERE id=?", rows)
            )
            for row, body in zip(rows, bodies, strict=True):
                if body is None or sha256d(body[1][:80]) != body[0]:
                    raise _damaged(number, f"row {row} is {'damaged' if body else 'missing'}")
                found[Position(number, row)] = body[1]
        return [found[at] for at in positions]

    async def get_undo(self, position: Position) -> BlockUndo:
        """The undo data of the block at position. BlockUnreadable if there is none."""
        return (await self.get_undos([position]))[0]

    async def get_undos(self, positions: Sequence[Position]) -> list[BlockUndo]:
        """The undo data of the blocks at positions, in that order, with one trip per file."""
        found = {at: self._undos[at] for at in positions if at in self._undos}
        for number, rows in _rows_by_file(positions, found).items():
            query = "SELECT record, checksum FROM undo WHERE id=?"
            records = await self._read(number, partial(_rows, query, rows))
            for row, stored in zip(rows, records, strict=True):
                if stored is None:
                    raise _undo_damaged(number, f"the undo data of row {row} is missing")
                record, checksum = stored
                if checksum is not None and checksum != sha256(record):
                    raise _undo_damaged(number, f"the undo data of row {row} has a wrong checksum")
                try:
                    found[Position(number, row)] = BlockUndo.unpack(record)
                except RecordError as error:
                    raise _undo_damaged(number, f"row {row} has {error}") from error
        return [found[at] for at in positions]

    async def scan(self, batch_bytes: int = 16 << 20) -> AsyncIterator[list[StoredBlock]]:
        """All blocks in all files, in the order in which they came, for -reindex. Synced ones only."""
        for number in sorted(self.files):
            if number not in self._on_disk:
                continue  # what it is to hold is not yet synced
            last = 0
            while True:
                blocks = await self._read(number, partial(_scan, number, last, batch_bytes))
                if not blocks:
                    break
                yield blocks
                last = blocks[-1].position.row

    # Headers

    async def load_headers(self) -> list[HeaderRow]:
        """All header rows, lowest first: a parent always comes before its children."""
        return await self._index.read(all_rows)

    async def load_tree(self) -> StoredHeaders:
        """All headers, those of the highest chain as columns."""
        return await self._index.read(load_headers)

    async def write_headers(self, rows: Iterable[HeaderRow]) -> None:
        """Stores or replaces rows, in one durable transaction, after all that was added before."""
        values = [pack_row(row) for row in rows]
        await uninterrupted(self._write_headers(values))

    async def _write_headers(self, values: list[tuple[int, bytes, bytes]]) -> None:
        await self._sync()
        dirty = sorted(self._dirty_files)
        self._dirty_files.clear()
        files = [_file_row(number, info) for number in dirty if (info := self.files.get(number)) is not None]

        def write(conn: Connection) -> None:
            put_headers(conn, values)
            put_rows(conn, "files", files)
            conn.executemany("DELETE FROM files WHERE file=?", [(n,) for n in dirty if n not in self.files])

        await self._index.write(write)

    # Pruning and size

    async def delete_file(self, number: int) -> None:
        """Removes a block file with all its blocks. The header rows must say so first (write_headers).

        A file that is written to cannot be removed.
        """
        if number in self.current_files:
            raise ValueError("the last block file is in use")
        async with self._opening:
            db = self._handles.pop(number, None)
            if db is not None:
                await db.close()
            self.files.pop(number, None)
            self._on_disk.discard(number)
            self._dirty_files.add(number)
            self._storage.delete(file_name(number))

    @property
    def current_files(self) -> tuple[int, ...]:
        """The numbers of the files that new blocks go to."""
        return (self._low.file, self._high.file)

    def disk_size(self) -> int:
        """Bytes of bodies and undo records in all files (getblockchaininfo's size_on_disk; pruning)."""
        return sum(info.bytes + info.undo_bytes for info in self.files.values())

    async def close(self) -> None:
        """Closes all files. What was added and not synced is lost."""
        for number in list(self._handles):
            await self._handles.pop(number).close()
        await self._index.close()


def _memory(undo: BlockUndo) -> int:
    return UNDO_COIN_BYTES * sum(map(len, undo.txs))


async def _begin_anew(storage: Storage, network: str) -> None:
    """Leaves an index without rows that says that it is to be filled from the block files.

    A crash on the way leaves the old one or the new one; only what was damaged has to be deleted first.
    """
    if storage.exists(INDEX):
        try:
            async with await open_database(storage, INDEX, INDEX_SCHEMA, network, full_sync=True) as index:
                await index.write(_clear)
            return
        except Damaged:
            pass
        storage.delete(INDEX)
    async with await open_database(storage, INDEX, INDEX_SCHEMA, network, full_sync=True) as index:
        await index.write(_clear)


def _drop_files_behind_gap(storage: Storage) -> None:
    """What pruning left cannot be connected."""
    for at, number in enumerate(_file_numbers(storage)):
        if number != at:
            storage.delete(file_name(number))


def _clear(conn: Connection) -> None:
    conn.execute("DELETE FROM headers")
    conn.execute("DELETE FROM files")
    put_meta(conn, "reindexing", 1)


def _is_reindexing(conn: Connection) -> bool:
    """Also an index without rows beside block files is one that was just begun."""
    return get_meta(conn, "reindexing") == 1 or not conn.execute("SELECT 1 FROM headers LIMIT 1").fetchone()


def _damaged(number: int, what: str) -> BlockUnreadable:
    name = file_name(number)
    return BlockUnreadable(f"{name} is damaged ({what}).", repair_advice(name))


def _undo_damaged(number: int, what: str) -> BlockUnreadable:
    return BlockUnreadable(
        f"{file_name(number)} is damaged ({what}).", "Restart with -reindex: it is made anew from the blocks."
    )


def _rows_by_file(positions: Iterable[Position], found: Container[Position]) -> dict[int, list[int]]:
    rows: dict[int, list[int]] = {}
    for at in positions:
        if at not in found:
            rows.setdefault(at.file, []).append(at.row)
    return rows


def _rows(query: str, rows: Sequence[int], conn: Connection) -> list[Any]:
    return [conn.execute(query, (row,)).fetchone() for row in rows]


def _file_row(number: int, info: FileInfo) -> tuple[int, ...]:
    return (number, info.blocks, info.bytes, info.undo_bytes, info.min_height, info.max_height)


def _measure(conn: Connection) -> tuple[FileInfo, int]:
    """What a block file holds, and its next free row."""
    blocks, size, low, high, last = conn.execute(
        "SELECT count(*), sum(length(body)), min(height), max(height), max(id) FROM bodies"
    ).fetchone()
    (undo_size,) = conn.execute("SELECT sum(length(record)) FROM undo").fetchone()
    return FileInfo(blocks, size or 0, undo_size or 0, low or 0, high or 0), (last or 0) + 1


def _scan(number: int, last: int, limit: int, conn: Connection) -> list[StoredBlock]:
    blocks: list[StoredBlock] = []
    size = 0
    for row, block_hash, height, raw in conn.execute(
        "SELECT id, hash, height, body FROM bodies WHERE id > ? ORDER BY id", (last,)
    ):
        blocks.append(StoredBlock(Position(number, row), block_hash, height, raw))
        size += len(raw)
        if size >= limit:
            break
    return blocks


__all__ = [
    "BlockStore",
    "BlockUnreadable",
    "FileInfo",
    "FilesMissing",
    "HeaderRow",
    "Position",
    "StoredBlock",
    "file_name",
]
