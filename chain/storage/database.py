"""SQLite behind two calls: `await db.read(fn)` and `await db.write(fn)`. The only file that imports it.

fn is a plain function over a connection and one trip: to the database's own thread for files (aiosqlite),
inline for memory, where a node then runs without any thread. A trip costs 100 to 300 us, so never make one
per coin or header.
"""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from os import lstat, statvfs
from pathlib import Path
from sqlite3 import Connection as Connection
from stat import S_ISREG
from typing import Any, TypeVar
from urllib.parse import quote

import aiosqlite

from ..ports import PathKind
from .files import make_folders, sync_folder

T = TypeVar("T")
Query = Callable[[Connection], T]

SUFFIX = ".sqlite"
PAGE_SIZE = 4096
CACHE_BYTES = 32 << 20
"""Page cache of one file; the coins cache above it does most of the work."""
LEAST_CACHE_BYTES = 1 << 20
MMAP_BYTES = 1 << 30
LOCK_WAIT = 5.0
"""Seconds until a file locked by another program is an error."""
WALLET_IN_USE = (
    "SQLiteDatabase: Unable to obtain an exclusive lock on the database, is it being used by another "
    "instance of Bitcoin Core?"
)
_WALLETS = "wallets/"
"""Two nodes that share a -walletdir could have the same file: so a wallet's is locked while it is open."""


class StorageError(Exception):
    """The storage failed; fatal to the node. what: the failure in one line. advice: what the user can do.

    name: of the database, where it is one's.
    """

    def __init__(self, what: str, advice: str = "", *, name: str = "") -> None:
        super().__init__(f"{what} {advice}" if advice else what)
        self.what, self.advice, self.name = what, advice, name


class Damaged(StorageError):
    """The content of a file is of no use: what can be made of other files is made anew."""


_REPAIR = (
    ("blocks/blk", "Delete this file and restart with -reindex: its blocks are fetched anew."),
    ("blocks/", "Restart with -reindex to rebuild it from the block files."),
    ("chainstate", "Restart with -reindex-chainstate to rebuild it from the blocks."),
    ("indexes/", "Delete this file and restart: the index is built anew."),
    ("wallets/", "Restore the wallet from a backup."),
    ("peers", "Delete this file and restart: addresses are learnt anew."),
)


def repair_advice(name: str) -> str:
    """What to do about the database called name when its content is damaged."""
    return next((advice for start, advice in _REPAIR if name.startswith(start)), "Restore it from a backup.")


def _storage_error(name: str, error: sqlite3.Error) -> StorageError | None:
    """The failure of the disk or the file behind a SQLite error; None if it is a bug of ours."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else -1
    if code is None and "decode to UTF-8" in str(error):  # bytes have become what is said to be text
        primary = sqlite3.SQLITE_CORRUPT
    if primary == sqlite3.SQLITE_FULL:
        what, advice = f"Disk full: cannot write {name}.", "Free some disk space and restart."
    elif primary == sqlite3.SQLITE_NOTADB:
        what, advice = f"{name} is not a database.", repair_advice(name)
    elif primary == sqlite3.SQLITE_CORRUPT:
        what, advice = f"{name} is damaged ({error}).", repair_advice(name)
    elif primary == sqlite3.SQLITE_BUSY and name.startswith(_WALLETS):
        return StorageError(WALLET_IN_USE, name=name)
    elif primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        what, advice = f"{name} is locked by another program.", "Close that program and restart."
    elif primary in (sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        what, advice = f"Cannot write {name} ({error}).", "Check the permissions of the files."
    elif primary == sqlite3.SQLITE_IOERR:
        what, advice = f"Cannot read or write {name} ({error}).", _disk_advice()
    else:
        return None
    kind = Damaged if primary in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT) else StorageError
    return kind(what, advice, name=name)


def _disk_advice() -> str:
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit == resource.RLIM_INFINITY:
        return "Check the disk and restart."
    return f"No file may be larger than {limit} bytes (ulimit -f): raise that limit and restart."


def limit_pages(conn: Connection, most: int) -> None:
    """Holds the page cache of the database to most bytes, but for the least and the most there is."""
    conn.execute(f"PRAGMA cache_size=-{max(LEAST_CACHE_BYTES, min(most, CACHE_BYTES)) >> 10}")


def _transact(conn: Connection, fn: Query[T]) -> T:
    """fn inside one transaction: committed if it returns, rolled back whatever it raises."""
    conn.execute("BEGIN IMMEDIATE")
    try:
        result = fn(conn)
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:  # SQLite itself rolls back after some errors, a full disk for one
            with suppress(sqlite3.Error):
                conn.execute("ROLLBACK")
        raise
    return result


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """The result of work, which runs to its end even if the caller is cancelled meanwhile.

    Then the cancellation goes on, unless work failed: a failure is never lost.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result


class Database:
    """One open database. Calls run one after the other, in the order in which they were made."""

    name: str

    async def read(self, fn: Query[T]) -> T:
        """fn(connection) in one trip. StorageError if the storage fails; fn's own exceptions come through."""
        raise NotImplementedError

    async def write(self, fn: Query[T]) -> T:
        """fn(connection) in one transaction: all of it or nothing. fn must not commit or roll back itself.

        A cancelled caller gets its CancelledError after the transaction is over; the write is done then.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Ends the connection after what was asked for before; idempotent."""
        raise NotImplementedError

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Database]:
        """A second, read-only view of the content as it is now, whatever is written meanwhile."""
        raise NotImplementedError
        yield self

    async def __aenter__(self) -> Database:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class FileDatabase(Database):
    """A file, in WAL mode, on a thread of its own."""

    def __init__(self, name: str, path: Path, connection: aiosqlite.Connection) -> None:
        self.name = name
        self._path = path
        self._connection = connection
        self._closed = False

    @classmethod
    async def open(cls, name: str, path: Path, *, full_sync: bool, read_only: bool = False) -> FileDatabase:
        try:
            make_folders(path.parent)
        except OSError as error:
            raise StorageError(
                f"Cannot make {path.parent} ({error.strerror}).", "Check its permissions."
            ) from error
        uri = f"file:{quote(str(path))}" + ("?mode=ro" if read_only else "")
        wait = 0.0 if name.startswith(_WALLETS) else LOCK_WAIT  # who has a wallet keeps it
        opened: list[FileDatabase] = []

        async def connect() -> None:
            try:
                connection = await aiosqlite.connect(uri, uri=True, isolation_level=None, timeout=wait)
            except sqlite3.Error as error:
                raise _storage_error(name, error) or error from error
            opened.append(cls(name, path, connection))

        def configure(conn: Connection) -> None:
            if name.startswith(_WALLETS):
                conn.execute("PRAGMA locking_mode=EXCLUSIVE")
            if not read_only:
                conn.execute(f"PRAGMA page_size={PAGE_SIZE}")
                conn.execute("PRAGMA journal_mode=WAL")
                conn.execute(f"PRAGMA synchronous={'FULL' if full_sync else 'NORMAL'}")
            conn.execute(f"PRAGMA cache_size=-{CACHE_BYTES >> 10}")
            conn.execute(f"PRAGMA mmap_size={MMAP_BYTES}")
            conn.execute("PRAGMA temp_store=MEMORY")

        try:
            await uninterrupted(connect())
            await opened[0].read(configure)
        except BaseException:
            for database in opened:
                await database.close()
            raise
        return opened[0]

    async def _run(self, fn: Callable[..., T], *args: Any) -> T:
        """fn(connection, *args) on the thread: all we use of aiosqlite besides connect and close."""
        if self._closed:
            raise RuntimeError(f"{self.name} is closed")
        try:
            connection = self._connection
            result: T = await connection._execute(fn, connection._conn, *args)  # type: ignore[no-untyped-call]
            return result
        except sqlite3.Error as error:
            raise _storage_error(self.name, error) or error from error

    async def read(self, fn: Query[T]) -> T:
        return await self._run(fn)

    async def write(self, fn: Query[T]) -> T:
        return await uninterrupted(self._run(_transact, fn))

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            try:
                await uninterrupted(self._connection.close())
            except sqlite3.Error as error:
                raise _storage_error(self.name, error) or error from error

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Database]:
        view = await FileDatabase.open(self.name, self._path, full_sync=False, read_only=True)

        def begin(conn: Connection) -> None:
            conn.execute("BEGIN")
            conn.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the first read fixes what is seen

        try:
            await view.read(begin)
            yield view
        finally:
            await view.close()


class _MemoryConnection(Connection):
    """Closes itself when nobody holds it any more: there is nothing to lose."""

    def __del__(self) -> None:
        self.close()


class MemoryDatabase(Database):
    """A database in memory. read and write happen at once, on the caller's thread, and never wait."""

    def __init__(self, name: str, connection: Connection | None = None) -> None:
        self.name = name
        self._closed = False
        self.connection = connection or sqlite3.connect(
            ":memory:", isolation_level=None, check_same_thread=False, factory=_MemoryConnection
        )

    def read_now(self, fn: Query[T]) -> T:
        return self._run(fn, self.connection)

    def write_now(self, fn: Query[T]) -> T:
        result: T = self._run(_transact, self.connection, fn)
        return result

    def _run(self, fn: Callable[..., T], *args: Any) -> T:
        if self._closed:
            raise RuntimeError(f"{self.name} is closed")
        try:
            result: T = fn(*args)
            return result
        except sqlite3.Error as error:
            raise _storage_error(self.name, error) or error from error

    async def read(self, fn: Query[T]) -> T:
        return self.read_now(fn)

    async def write(self, fn: Query[T]) -> T:
        return self.write_now(fn)

    async def close(self) -> None:
        self._closed = True  # the content lives on in MemoryStorage

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Database]:
        view = MemoryDatabase(self.name)
        self.read_now(lambda conn: conn.backup(view.connection))
        yield view


class FileStorage:
    """ports.Storage: databases as files below root, which is the network's data directory.

    stands_for: names begin with this folder, and root is what it is called on the disk.
    """

    def __init__(self, root: Path, *, stands_for: str = "") -> None:
        self.root, self._stands_for = Path(root), stands_for

    def _path(self, name: str) -> Path:
        if self._stands_for:  # what follows may be an absolute path: wallets//elsewhere/wallet.sqlite
            name = name.removeprefix(self._stands_for).removeprefix("/")
        return self.root / name

    async def open(self, name: str, *, full_sync: bool = False) -> Database:
        return await FileDatabase.open(name, self._path(name), full_sync=full_sync)

    def exists(self, name: str) -> bool:
        return (self._path(name)).is_file()

    def what_is(self, path: str) -> PathKind:
        place = self._path(path)
        try:
            mode = lstat(place).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return PathKind.NOTHING
        if place.is_dir():
            return PathKind.FOLDER
        return PathKind.FILE if S_ISREG(mode) else PathKind.OTHER

    def delete(self, name: str, *, folder: bool = False) -> None:
        try:
            path = self._path(name)
            for tail in ("", "-wal", "-shm", "-journal"):
                Path(f"{path}{tail}").unlink(missing_ok=True)
                if not tail and path.parent.is_dir():
                    sync_folder(path.parent)  # a database without its log might be a damaged one
        except OSError as error:
            raise StorageError(
                f"Cannot delete {name} ({error.strerror}).", "Check its permissions."
            ) from error
        if folder:
            self._remove_if_empty(self._path(name).parent)

    def _remove_if_empty(self, folder: Path) -> None:
        with suppress(OSError):
            if folder != self.root:
                folder.rmdir()

    def move(self, name: str, new_name: str) -> None:
        old, new = self._path(name), self._path(new_name)
        try:
            make_folders(new.parent)
            self.delete(new_name)  # with its journals, which would be taken for those of the new one
            old.replace(new)
            for folder in (new.parent, old.parent):
                sync_folder(folder)
        except OSError as error:
            raise StorageError(
                f"Rename of '{name}' -> '{new_name}' failed ({error.strerror}).", "Check the permissions."
            ) from error
        self._remove_if_empty(old.parent)

    def names(self, folder: str) -> list[str]:
        return sorted(path.name for path in (self._path(folder)).glob("*" + SUFFIX))

    def folders(self, folder: str, name: str) -> list[str]:
        start = self._path(folder)
        return sorted(path.parent.relative_to(start).as_posix() for path in start.rglob(name))

    def size(self, name: str) -> int:
        path = self._path(name)
        return sum(part.stat().st_size for part in (path, Path(f"{path}-wal")) if part.is_file())

    def free_space(self, folder: str) -> int:
        path = self._path(folder)
        room = statvfs(path if path.is_dir() else self.root)
        return room.f_bavail * room.f_frsize


class MemoryStorage:
    """ports.Storage: databases in memory, whose content lives as long as this object, closed or open.

    images: the content to begin with, as `images` gives it.
    """

    def __init__(self, images: Mapping[str, bytes] | None = None) -> None:
        self._connections: dict[str, Connection] = {}
        for name, image in (images or {}).items():
            database = MemoryDatabase(name)
            database.connection.deserialize(image)
            self._connections[name] = database.connection

    def images(self) -> dict[str, bytes]:
        """Each database as the bytes of its file, by name."""
        return {name: connection.serialize() for name, connection in self._connections.items()}

    async def open(self, name: str, *, full_sync: bool = False) -> Database:
        database = MemoryDatabase(name, self._connections.get(name))
        self._connections[name] = database.connection
        return database

    def exists(self, name: str) -> bool:
        return name in self._connections

    def what_is(self, path: str) -> PathKind:
        inside = any(name.startswith(path.rstrip("/") + "/") for name in self._connections)
        return PathKind.FOLDER if inside else PathKind.FILE if self.exists(path) else PathKind.NOTHING

    def delete(self, name: str, *, folder: bool = False) -> None:
        self._connections.pop(name, None)

    def move(self, name: str, new_name: str) -> None:
        self._connections[new_name] = self._connections.pop(name)

    def names(self, folder: str) -> list[str]:
        start = folder.rstrip("/") + "/"
        inside = [name[len(start) :] for name in self._connections if name.startswith(start)]
        return sorted(name for name in inside if "/" not in name and name.endswith(SUFFIX))

    def folders(self, folder: str, name: str) -> list[str]:
        start, end = folder.rstrip("/") + "/", "/" + name
        inside = [known for known in self._connections if known.startswith(start) and known.endswith(end)]
        return sorted(known[len(start) : -len(end)] for known in inside)

    def size(self, name: str) -> int:
        if name not in self._connections:
            return 0
        conn = self._connections[name]
        (pages,), (page_size,) = (
            conn.execute(f"PRAGMA {what}").fetchone() for what in ("page_count", "page_size")
        )
        return int(pages * page_size)

    def free_space(self, folder: str) -> int:
        return 1 << 62
