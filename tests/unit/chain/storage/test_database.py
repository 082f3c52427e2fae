"""The two drivers do the same; a write is all or nothing, whoever is cancelled or fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pybitcoind.chain.ports import Storage
from pybitcoind.chain.storage.database import Connection, FileStorage, MemoryStorage, StorageError
from pybitcoind.chain.storage.migrations import Schema, get_meta, open_database, prepare, put_meta

SCHEMA = Schema(1, ["CREATE TABLE things (id INTEGER PRIMARY KEY, thing BLOB)"])


@pytest.fixture(params=["files", "memory"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    yield FileStorage(tmp_path) if request.param == "files" else MemoryStorage()


def count(conn: Connection) -> int:
    return int(conn.execute("SELECT count(*) FROM things").fetchone()[0])


def add(conn: Connection, n: int = 1) -> None:
    conn.executemany("INSERT INTO things (thing) VALUES (?)", [(bytes(100),)] * n)


async def test_contents_survive_closing(storage: Storage) -> None:
    async with await open_database(storage, "a/things.sqlite", SCHEMA) as db:
        await db.write(add)
        assert await db.read(count) == 1
    async with await open_database(storage, "a/things.sqlite", SCHEMA) as db:
        assert await db.read(count) == 1
        await db.close()  # idempotent
    assert storage.names("a") == ["things.sqlite"] and storage.exists("a/things.sqlite")
    assert storage.size("a/things.sqlite") > 0 and storage.size("a/other.sqlite") == 0
    storage.delete("a/things.sqlite")
    storage.delete("a/things.sqlite")
    assert storage.names("a") == [] and not storage.exists("a/things.sqlite")
    assert storage.names("nowhere") == []


async def test_a_database_takes_the_place_of_another(storage: Storage) -> None:
    """In one step, with what it had in its journal; the folder that it leaves empty goes."""
    async with await open_database(storage, "a/things.sqlite", SCHEMA) as db:
        for _ in range(3):
            await db.write(add)
    async with await open_database(storage, "b/things.sqlite", SCHEMA) as db:
        await db.write(add)
    storage.move("b/things.sqlite", "a/things.sqlite")
    assert not storage.exists("b/things.sqlite")
    if isinstance(storage, FileStorage):
        assert not (storage.root / "b").exists()
        assert [path.name for path in (storage.root / "a").iterdir()] == ["things.sqlite"]
        with pytest.raises(StorageError, match="Rename of 'nothing"):
            storage.move("nothing.sqlite", "c/things.sqlite")
    async with await open_database(storage, "a/things.sqlite", SCHEMA) as db:
        assert await db.read(count) == 1
    storage.delete("a/things.sqlite", folder=True)
    assert not storage.exists("a/things.sqlite")
    if isinstance(storage, FileStorage):
        assert not (storage.root / "a").exists()
        storage.delete("nothing.sqlite", folder=True)
        assert storage.root.is_dir()


async def test_rollback_on_any_exception(storage: Storage) -> None:
    class Stop(BaseException):
        pass

    def fails(conn: Connection) -> None:
        add(conn, 5)
        raise Stop

    async with await open_database(storage, "things.sqlite", SCHEMA) as db:
        await db.write(add)
        for _ in range(2):
            with pytest.raises(Stop):
                await db.write(fails)
        assert await db.read(count) == 1
        await db.write(add)
        assert await db.read(count) == 2


async def test_results_and_order(storage: Storage) -> None:
    async with await open_database(storage, "things.sqlite", SCHEMA) as db:

        def add_and_count(conn: Connection) -> int:
            add(conn)
            return count(conn)

        assert await asyncio.gather(*(db.write(add_and_count) for _ in range(20))) == list(range(1, 21))


async def test_snapshot_is_steady(storage: Storage) -> None:
    async with await open_database(storage, "things.sqlite", SCHEMA) as db:
        await db.write(add)
        async with db.snapshot() as view:
            await db.write(add)
            assert await view.read(count) == 1
            assert await db.read(count) == 2


async def test_closed_is_a_bug(storage: Storage) -> None:
    db = await open_database(storage, "things.sqlite", SCHEMA)
    await db.close()
    with pytest.raises(RuntimeError):
        await db.read(count)


async def test_bad_sql_is_a_bug_not_a_storage_error(storage: Storage) -> None:
    async with await open_database(storage, "things.sqlite", SCHEMA) as db:
        with pytest.raises(Exception, match="no such table") as caught:
            await db.read(lambda conn: conn.execute("SELECT * FROM nowhere"))
        assert not isinstance(caught.value, StorageError)


async def test_disk_full(storage: Storage) -> None:
    async with await open_database(storage, "things.sqlite", SCHEMA) as db:
        await db.write(add)
        await db.read(lambda conn: conn.execute("PRAGMA max_page_count=10").fetchone())
        with pytest.raises(StorageError, match="Disk full: cannot write things") as caught:
            await db.write(lambda conn: add(conn, 1000))
        assert caught.value.advice and "\n" not in str(caught.value)
        assert await db.read(count) == 1


async def test_an_upgrade_that_fails_leaves_the_old_version(tmp_path: Path) -> None:
    """So it can be tried again, after a crash too: all steps are one transaction."""
    old = Schema(1, ["CREATE TABLE things (id INTEGER)"])
    bad = Schema(3, [], {1: ["ALTER TABLE things ADD x"], 2: ["UPDATE missing SET x=7"]})
    files = FileStorage(tmp_path)
    async with await open_database(files, "a.sqlite", old):
        pass
    for _ in range(2):
        with pytest.raises(Exception, match="no such table: missing"):
            await open_database(files, "a.sqlite", bad)
    async with await open_database(files, "a.sqlite", old) as db:
        assert await db.read(
            lambda conn: conn.execute("SELECT * FROM pragma_table_info('things')").fetchall()
        )
        assert (
            len(await db.read(lambda c: c.execute("SELECT * FROM pragma_table_info('things')").fetchall()))
            == 1
        )


async def test_schema_versions(storage: Storage) -> None:
    newer = Schema(3, [], {1: ["ALTER TABLE things ADD x"], 2: ["UPDATE things SET x=7"]})
    async with await open_database(storage, "things.sqlite", SCHEMA, "regtest") as db:
        await db.write(add)
        with pytest.raises(StorageError, match="holds data of network regtest, not of main"):
            await prepare(db, SCHEMA, "main")
        assert not await prepare(db, newer, "regtest")
        assert await db.read(lambda conn: conn.execute("SELECT x FROM things").fetchall()) == [(7,)]
        with pytest.raises(StorageError, match="newer version"):
            await prepare(db, SCHEMA, "regtest")
        await db.write(lambda conn: put_meta(conn, "best", b"x"))
        assert await db.read(lambda conn: get_meta(conn, "best")) == b"x"
        with pytest.raises(StorageError, match="old format"):
            await prepare(db, Schema(9, []), "regtest")


async def test_a_database_of_somebody_else(storage: Storage) -> None:
    async with await storage.open("theirs.sqlite") as db:
        await db.write(lambda conn: conn.execute("CREATE TABLE x (y)"))
    with pytest.raises(StorageError, match="not a database of ours"):
        await open_database(storage, "theirs.sqlite", SCHEMA)


async def test_memory_starts_no_thread() -> None:
    before = threading.active_count()
    async with await open_database(MemoryStorage(), "things.sqlite", SCHEMA) as db:
        await db.write(add)
        assert threading.active_count() == before


async def test_cancelled_writer_finishes_its_write(tmp_path: Path) -> None:
    """Also when cancelled again and again while it waits; the next one does not find an open transaction."""
    entered, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(conn: Connection) -> None:
        add(conn, 3)
        loop.call_soon_threadsafe(entered.set)
        assert go.wait(10)

    async with await open_database(FileStorage(tmp_path), "things.sqlite", SCHEMA) as db:
        task = asyncio.create_task(db.write(slow))
        await entered.wait()
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert await db.read(lambda conn: conn.in_transaction) is False
        assert await db.read(count) == 3
        await db.write(add)
        assert await db.read(count) == 4


async def test_cancelled_writer_does_not_lose_a_failure(tmp_path: Path) -> None:
    entered, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def fails(conn: Connection) -> None:
        add(conn)
        loop.call_soon_threadsafe(entered.set)
        assert go.wait(10)
        raise ValueError("failed")

    async with await open_database(FileStorage(tmp_path), "things.sqlite", SCHEMA) as db:
        task = asyncio.create_task(db.write(fails))
        await entered.wait()
        task.cancel()
        await asyncio.sleep(0)
        go.set()
        with pytest.raises(ValueError, match="failed"):
            await task
        assert await db.read(count) == 0


async def test_cancelled_while_opening(tmp_path: Path) -> None:
    """Nothing stays open (conftest looks for threads)."""
    storage = FileStorage(tmp_path)
    for steps in range(4):
        task = asyncio.create_task(open_database(storage, "things.sqlite", SCHEMA))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("blocks/index.sqlite", "-reindex"),
        ("blocks/blk00000.sqlite", "-reindex"),
        ("chainstate/chainstate.sqlite", "-reindex-chainstate"),
        ("indexes/txindex.sqlite", "Delete"),
        ("wallets/w/wallet.sqlite", "backup"),
    ],
)
async def test_not_a_database(tmp_path: Path, name: str, advice: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_bytes(b"something else " * 1000)
    with pytest.raises(StorageError, match="is not a database") as caught:
        await FileStorage(tmp_path).open(name)
    assert advice in caught.value.advice and "\n" not in str(caught.value)


async def test_damaged_file(tmp_path: Path) -> None:
    async with await open_database(FileStorage(tmp_path), "things.sqlite", SCHEMA) as db:
        await db.write(lambda conn: add(conn, 2000))
    path = tmp_path / "things.sqlite"
    data = bytearray(path.read_bytes())
    data[4096 * 2 :] = b"\xff" * (len(data) - 4096 * 2)
    path.write_bytes(data)
    async with await open_database(FileStorage(tmp_path), "things.sqlite", SCHEMA) as db:
        with pytest.raises(StorageError, match=r"things\.sqlite is damaged"):
            await db.read(lambda conn: conn.execute("SELECT sum(length(thing)) FROM things").fetchall())


async def test_no_directory_to_write_in(tmp_path: Path) -> None:
    (tmp_path / "blocks").write_bytes(b"")  # a file where a directory must be
    with pytest.raises(StorageError, match="Cannot make"):
        await FileStorage(tmp_path).open("blocks/index.sqlite")
    (tmp_path / "things.sqlite").mkdir()
    with pytest.raises(StorageError, match="Cannot write things"):
        await FileStorage(tmp_path).open("things.sqlite")


async def test_locked_by_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pybitcoind.chain.storage.database.LOCK_WAIT", 0.01)
    async with (
        await open_database(FileStorage(tmp_path), "things.sqlite", SCHEMA) as db,
        await FileStorage(tmp_path).open("things.sqlite") as other,
    ):
        await other.read(lambda conn: conn.execute("BEGIN IMMEDIATE"))
        with pytest.raises(StorageError, match="locked by another program"):
            await db.write(add)
        await other.read(lambda conn: conn.execute("ROLLBACK"))
        await db.write(add)
