"""Blocks, undo data and headers come back as they went in, also after reopening, pruning and reindexing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pybitcoind.chain.params import ChainParams, main, regtest, signet
from pybitcoind.chain.ports import Storage
from pybitcoind.chain.primitives.hashes import sha256d
from pybitcoind.chain.primitives.transaction import Coin
from pybitcoind.chain.storage import block_store
from pybitcoind.chain.storage.block_store import BlockStore, HeaderRow, Position
from pybitcoind.chain.storage.database import FileStorage, MemoryStorage, StorageError
from pybitcoind.chain.storage.records import BlockUndo

PARAMS = regtest()


@pytest.fixture(params=["files", "memory"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    yield FileStorage(tmp_path) if request.param == "files" else MemoryStorage()


def body(n: int, size: int = 300) -> tuple[bytes, int, bytes]:
    """(hash, height, bytes) of something like a block."""
    raw = n.to_bytes(80, "big") + bytes([n % 251]) * size
    return sha256d(raw[:80]), n, raw


def undo(n: int) -> BlockUndo:
    return BlockUndo([[Coin(n, bytes([n % 251]) * 22, n, False), Coin(2**50, b"", 7, True)], []])


def row(n: int, position: Position | None = None, status: int = 1) -> HeaderRow:
    block_hash, height, raw = body(n)
    return HeaderRow(block_hash, raw[:80], height, status, n, 3, position)


async def test_blocks_and_undo(storage: Storage) -> None:
    store = await BlockStore.open(storage, PARAMS)
    at = await store.put_block(*body(0))
    more = await store.put_blocks(body(n) for n in range(1, 30))
    await store.put_undo(more[3], undo(4))
    await store.put_undos((position, undo(n)) for n, position in enumerate(more[:2], 1))
    await store.write_headers([row(0, at), *(row(n, position) for n, position in enumerate(more, 1))])
    await store.close()

    store = await BlockStore.open(storage, PARAMS)
    assert await store.get_block(at) == body(0)[2]
    assert await store.get_blocks([more[5], at, more[5]]) == [body(6)[2], body(0)[2], body(6)[2]]
    assert await store.get_undo(more[3]) == undo(4)
    assert await store.get_undos([more[1], more[0]]) == [undo(2), undo(1)]
    assert await store.load_headers() == [row(0, at), *(row(n, p) for n, p in enumerate(more, 1))]
    assert isinstance((await store.get_undo(more[3])).txs[0][0], Coin)
    another = await store.put_block(*body(40))
    assert another == (0, 31)
    with pytest.raises(StorageError, match="undo data of row 31 is missing"):
        await store.get_undo(another)
    await store.close()


async def test_written_behind(storage: Storage) -> None:
    """What is added can be read at once; it is on disk after the header rows are written, not before."""
    store = await BlockStore.open(storage, PARAMS)
    at = store.add_block(*body(1))
    store.add_undo(at, undo(1))
    assert await store.get_block(at) == body(1)[2] and await store.get_undo(at) == undo(1)
    assert store.pending_bytes == len(body(1)[2]) and not store.sync_due
    await store.close()

    store = await BlockStore.open(storage, PARAMS)
    at = store.add_block(*body(2))
    store.add_undo(at, undo(2))
    await store.write_headers([row(2, at)])
    assert store.pending_bytes == 0
    await store.close()
    store = await BlockStore.open(storage, PARAMS)
    assert await store.load_headers() == [row(2, at)]
    assert await store.get_block(at) == body(2)[2] and await store.get_undo(at) == undo(2)
    await store.put_undo(at, undo(3))  # a block connected again
    assert await store.get_undo(at) == undo(3)
    await store.close()


async def test_undo_data_that_waits_counts(storage: Storage) -> None:
    """Connecting blocks that are stored already holds no more in memory than taking in new ones."""
    store = await BlockStore.open(storage, PARAMS)
    store.sync_bytes = 10_000
    positions = await store.put_blocks(body(n) for n in range(20))
    for at in positions:
        store.add_undo(at, undo(1))
    assert store.sync_due
    await store.sync()
    assert not store.sync_due
    store.add_undo(positions[0], undo(1))
    store.add_undo(positions[0], undo(2))  # connected twice
    await store.sync()
    assert not store.sync_due and await store.get_undo(positions[0]) == undo(2)
    await store.close()


async def test_headers_are_replaced_and_sorted(storage: Storage) -> None:
    store = await BlockStore.open(storage, PARAMS)
    await store.write_headers([row(n) for n in (3, 1, 2, 200)])
    await store.write_headers([row(2, Position(0, 9), status=5)])
    assert await store.load_headers() == [row(1), row(2, Position(0, 9), status=5), row(3), row(200)]
    await store.close()


async def test_many_files(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are filled one after the other, few are open, old ones can be deleted, all survive a reindex."""
    monkeypatch.setattr(block_store, "MAX_FILE_BYTES", 2000)
    store = await BlockStore.open(storage, PARAMS)
    positions = await store.put_blocks(body(n) for n in range(50))
    await store.put_undos((at, undo(n)) for n, at in enumerate(positions))
    await store.write_headers(row(n, at) for n, at in enumerate(positions))
    assert [at.file for at in positions] == [n // 5 for n in range(50)]
    assert len(store._handles) <= block_store.OPEN_FILES + 1
    assert await store.get_blocks(positions) == [body(n)[2] for n in range(50)]
    some = await asyncio.gather(*(store.get_block(at) for at in positions))
    assert some == [body(n)[2] for n in range(50)]
    assert (store.files[3].blocks, store.files[3].min_height, store.files[3].max_height) == (5, 15, 19)
    assert store.files[3].bytes == 5 * 380 and store.files[3].undo_bytes > 0

    await store.delete_file(0)
    await store.delete_file(4)
    with pytest.raises(ValueError, match="in use"):
        await store.delete_file(store.current_files[0])
    with pytest.raises(StorageError, match=r"blk00004\.sqlite is missing"):
        await store.get_block(positions[20])
    size, files = store.disk_size(), dict(store.files)
    await store.write_headers([])
    await store.close()

    store = await BlockStore.open(storage, PARAMS)
    assert store.files == files and store.disk_size() == size and store.current_files == (9, 9)
    await store.close()

    store = await BlockStore.open(storage, PARAMS, reindex=True)
    assert await store.load_headers() == [] and store.files == files
    found = [block async for batch in store.scan(batch_bytes=800) for block in batch]
    kept = [n for n in range(50) if n // 5 not in (0, 4)]
    assert found == [(positions[n], *body(n)) for n in kept]
    assert await store.put_block(*body(60)) == (10, 1)
    await store.close()


async def test_blocks_whose_headers_were_never_written(storage: Storage) -> None:
    """As after a kill between the two: their rows are not used again."""
    store = await BlockStore.open(storage, PARAMS)
    await store.put_blocks(body(n) for n in range(3))
    await store.close()
    store = await BlockStore.open(storage, PARAMS)
    assert await store.load_headers() == [] and store.files[0].blocks == 3
    assert await store.put_block(*body(7)) == (0, 4)
    await store.close()


@pytest.mark.parametrize("other", [main(), signet(), signet(b"\x51")])
async def test_other_network(storage: Storage, other: ChainParams) -> None:
    store = await BlockStore.open(storage, signet(b"\x52"))
    await store.put_block(*body(1))
    await store.close()
    with pytest.raises(StorageError, match=r"blocks/index\.sqlite holds data of network signet") as caught:
        await BlockStore.open(storage, other)
    assert "-datadir" in caught.value.advice and "\n" not in str(caught.value)
    with pytest.raises(StorageError, match=r"blocks/index\.sqlite holds data of network signet"):
        await BlockStore.open(storage, other, reindex=True)  # and is not wiped


async def test_missing_index(storage: Storage) -> None:
    store = await BlockStore.open(storage, PARAMS)
    await store.put_block(*body(1))
    await store.close()
    storage.delete("blocks/index.sqlite")
    with pytest.raises(StorageError, match=r"blocks/index\.sqlite is missing") as caught:
        await BlockStore.open(storage, PARAMS)
    assert "-reindex" in caught.value.advice


async def test_damaged_block(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    store = await BlockStore.open(storage, PARAMS)
    at = await store.put_block(*body(1))
    await store.put_undo(at, undo(1))
    await store.close()
    path = tmp_path / "blocks/blk00000.sqlite"
    data = (
        path.read_bytes()
        .replace(body(1)[2][:80], bytes(80))
        .replace(undo(1).pack(), b"\xc1" * len(undo(1).pack()))
    )
    path.write_bytes(data)
    store = await BlockStore.open(storage, PARAMS)
    with pytest.raises(StorageError, match="row 1 is damaged"):
        await store.get_block(at)
    with pytest.raises(StorageError, match="the undo data of row 1 has a wrong checksum"):
        await store.get_undo(at)
    with pytest.raises(StorageError, match="row 2 is missing"):
        await store.get_block(Position(0, 2))
    await store.close()


async def test_undo_data_that_is_other_undo_data(tmp_path: Path) -> None:
    """An amount that changed on the disk must not come back into the coins."""
    storage = FileStorage(tmp_path)
    store = await BlockStore.open(storage, PARAMS)
    at, other = await store.put_blocks([body(1), body(2)])
    await store.put_undos([(at, undo(1)), (other, undo(2))])
    await store.close()
    changed = undo(3).pack()
    async with await storage.open("blocks/blk00000.sqlite") as db:
        await db.write(lambda conn: conn.execute("UPDATE undo SET record=? WHERE id=?", (changed, at.row)))
    store = await BlockStore.open(storage, PARAMS)
    with pytest.raises(StorageError, match="the undo data of row 1 has a wrong checksum") as caught:
        await store.get_undo(at)
    assert "Delete" not in caught.value.advice and "-reindex" in caught.value.advice  # the blocks are good
    assert await store.get_undo(other) == undo(2)
    await store.close()


async def test_undo_data_of_before_there_were_checksums(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    store = await BlockStore.open(storage, PARAMS)
    at, other = await store.put_blocks([body(1), body(2)])
    await store.put_undo(at, undo(1))
    await store.close()
    async with await storage.open("blocks/blk00000.sqlite") as db:
        for change in ("ALTER TABLE undo DROP COLUMN checksum", "PRAGMA user_version=1"):
            await db.write(lambda conn, change=change: conn.execute(change))  # type: ignore[misc]
    store = await BlockStore.open(storage, PARAMS)
    assert await store.get_undo(at) == undo(1)
    await store.put_undo(other, undo(2))
    assert await store.get_undos([at, other]) == [undo(1), undo(2)]
    await store.close()
    async with await storage.open("blocks/blk00000.sqlite") as db:
        (version,) = await db.read(lambda conn: conn.execute("PRAGMA user_version").fetchone())
    assert version == 2


async def test_cancelled_sync_is_done(tmp_path: Path) -> None:
    store = await BlockStore.open(FileStorage(tmp_path), PARAMS)
    positions = [store.add_block(*body(n)) for n in range(10)]
    task = asyncio.create_task(store.write_headers(row(n, at) for n, at in enumerate(positions)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.pending_bytes == 0 and len(await store.load_headers()) == 10
    await store.close()


async def test_a_limit_of_its_own(storage: Storage) -> None:
    """-fastprune. Each block counts with the 8 bytes that stand before it in Core's files."""
    size = len(body(0)[2])
    store = await BlockStore.open(storage, PARAMS, max_file_bytes=3 * (size + 8) + 1)
    assert [at.file for at in await store.put_blocks(body(n) for n in range(7))] == [0, 0, 0, 1, 1, 1, 2]
    await store.close()


async def test_blocks_above_and_below_a_height_go_to_files_of_their_own(
    storage: Storage,
) -> None:
    """Also when they come in turn, and after a restart."""
    store = await BlockStore.open(storage, PARAMS, max_file_bytes=2000)
    await store.put_blocks(body(n) for n in range(3))
    for start in (3, 11):
        store.split_at(30)
        heights = [
            n
            for pair in zip(range(start, start + 8), range(start + 30, start + 38), strict=True)
            for n in pair
        ]
        for n in heights:
            at = await store.put_block(*body(n))
            assert await store.get_block(at) == body(n)[2]
        for number, info in store.files.items():
            assert info.max_height < 30 or info.min_height >= 30, (number, info)
        await store.write_headers([])
        files = dict(store.files)
        await store.close()
        store = await BlockStore.open(storage, PARAMS, max_file_bytes=2000)
        assert store.files == files
    assert 8 <= len(store.files) <= 10
    for number in sorted(store.files)[:-1]:
        await store.delete_file(number)
    store.split_at(30)
    positions = [await store.put_block(*body(n)) for n in (29, 30, 28, 31)]
    assert [await store.get_block(at) for at in positions] == [body(n)[2] for n in (29, 30, 28, 31)]
    await store.close()
