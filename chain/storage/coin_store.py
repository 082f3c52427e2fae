"""The UTXO set on disk: chainstate/chainstate.sqlite, and one from a snapshot until it is validated.

Coins and the hash of the block they stand for change in one transaction. The order of the keys is that of
hash_serialized_3: txid in internal order, then output number.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from ..params import ChainParams
from ..ports import Storage
from ..primitives.transaction import Coin, OutPoint
from .bulk import STEP, delete_keys, joined, put_rows, split
from .database import Connection, Database, StorageError, limit_pages, repair_advice
from .migrations import Schema, get_meta, open_database, put_meta
from .records import RecordError, coin_rows, unpack_coin

NAME = "chainstate/chainstate.sqlite"
BATCH = STEP
"""Coins read by one statement; less go in statements of 1, 2, 4, ..., so that few are ever prepared."""
PAGE = 5000
KEY_SIZE = 36
PART = 1 << 14
"""Coins that a flush packs at once, about."""

_SCHEMA = Schema(1, ["CREATE TABLE coins (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"])
_SELECT = {
    size: joined(f"coins WHERE key IN ({','.join('?' * size)})", "key", "value")
    for size in (1, 2, 4, 8, 16, 32, 64, 128, 256, BATCH)
}
_PAGE = joined("(SELECT * FROM coins WHERE key > ? ORDER BY key LIMIT ?)", "key", "value")

CoinRow = tuple[bytes, bytes]
"""Key and packed coin, as they are stored."""


def network_name(params: ChainParams) -> str:
    """What a data directory is marked with: own chains are told by their definition, signets by magic."""
    if params.definition:
        return f"{params.name}/{params.definition}"
    return f"{params.name}/{params.magic.hex()}" if params.signet_challenge else params.name


class CoinView:
    """Reading of coins: the store itself, or a snapshot of it."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def best_block(self) -> bytes | None:
        """Hash of the block the coins stand for; None before the first flush."""
        value = await self.db.read(lambda conn: get_meta(conn, "best_block"))
        return value if isinstance(value, bytes) else None

    async def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Coin]:
        """The coins of those keys (see coin_key) that exist, in one trip."""
        if not keys:
            return {}
        try:
            return await self.db.read(lambda conn: _get_many(conn, keys))
        except RecordError as error:
            raise StorageError(
                f"{self.db.name} is damaged ({error}).", repair_advice(self.db.name)
            ) from error

    async def page(self, after: bytes = b"", limit: int = PAGE) -> list[CoinRow]:
        """The first limit rows with a key greater than after, in the order of keys. [] at the end."""
        return await self.db.read(lambda conn: _page(conn, after, limit))

    async def scan(self, limit: int = PAGE) -> AsyncIterator[list[CoinRow]]:
        """All rows, page by page in the order of keys. Steady only on a snapshot or while nobody flushes."""
        after = b""
        while rows := await self.page(after, limit):
            yield rows
            after = rows[-1][0]

    async def count(self) -> int:
        """How many coins there are; reads the whole table."""
        return await self.db.read(lambda conn: int(conn.execute("SELECT count(*) FROM coins").fetchone()[0]))


class CoinStore(CoinView):
    """The UTXO set of one chainstate. Opened with `CoinStore.open`."""

    def __init__(self, db: Database, storage: Storage) -> None:
        super().__init__(db)
        self._storage = storage
        self.show_flush: Callable[[float], None] = lambda share: None
        """Told the share of a flush that is done, on the event loop while the flush goes on."""

    @classmethod
    async def open(
        cls, storage: Storage, params: ChainParams, *, name: str = NAME, wipe: bool = False
    ) -> CoinStore:
        """wipe: begins with no coins (-reindex-chainstate)."""
        if wipe:
            storage.delete(name)
        # durable, for blocks are pruned that only a flush has made dispensable
        db = await open_database(storage, name, _SCHEMA, network_name(params), full_sync=True)
        return cls(db, storage)

    async def flush(
        self, changes: Mapping[OutPoint, Coin | None], best_block: bytes, *more: Mapping[OutPoint, Coin]
    ) -> None:
        """Stores the coins of changes, deletes those that are None, and moves the best block: all or nothing.

        more: further coins to store. All must stay as they are until the flush returns.
        """
        loop, going_on = asyncio.get_running_loop(), True

        def show(share: float) -> None:
            if going_on:
                self.show_flush(share)

        def tell(share: float) -> None:
            loop.call_soon_threadsafe(show, share)

        try:
            await self.db.write(lambda conn: _flush(conn, [changes, *more], best_block, tell))
        finally:
            going_on = False

    async def add_rows(self, rows: Sequence[CoinRow]) -> None:
        """Stores rows of a snapshot file, which stand for no block before all are there."""
        await self.db.write(lambda conn: put_rows(conn, "coins", rows))

    async def mark(self, marks: Mapping[str, bytes | str]) -> None:
        """Sets values that go with the coins, all in one transaction; see `marks`."""

        def write(conn: Connection) -> None:
            for key, value in marks.items():
                put_meta(conn, key, value)

        await self.db.write(write)

    async def marks(self, *keys: str) -> list[str | bytes | int | None]:
        """The values of keys, None for those that were never set."""
        return await self.db.read(lambda conn: [get_meta(conn, key) for key in keys])

    async def clear(self) -> None:
        """Forgets all coins, and the block they stand for."""

        def clear(conn: Connection) -> None:
            conn.execute("DELETE FROM coins")
            conn.execute("DELETE FROM meta WHERE key='best_block'")

        await self.db.write(clear)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[CoinView]:
        """The coins as of the last flush, steady while the store is flushed again: for long scans."""
        async with self.db.snapshot() as db:
            yield CoinView(db)

    async def limit_pages(self, most: int) -> None:
        """Holds the database's own cache of pages to most bytes."""
        await self.db.read(lambda conn: limit_pages(conn, most))

    def disk_size(self) -> int:
        """Bytes on disk."""
        return self._storage.size(self.db.name)

    async def close(self) -> None:
        await self.db.close()


def _get_many(conn: Connection, keys: Sequence[bytes]) -> dict[bytes, Coin]:
    coins: dict[bytes, Coin] = {}
    for start in range(0, len(keys), BATCH):
        batch = keys[start : start + BATCH]
        size = 1 << (len(batch) - 1).bit_length()
        (text,) = conn.execute(_SELECT[size], [*batch, *[batch[-1]] * (size - len(batch))]).fetchone()
        coins.update((key, unpack_coin(value)) for key, value in split(text, KEY_SIZE))
    return coins


def _page(conn: Connection, after: bytes, limit: int) -> list[CoinRow]:
    (text,) = conn.execute(_PAGE, (after, limit)).fetchone()
    return sorted(split(text, KEY_SIZE))


def _flush(
    conn: Connection,
    changes: Sequence[Mapping[OutPoint, Coin | None]],
    best_block: bytes,
    tell: Callable[[float], None],
) -> None:
    """In the order of keys, and a part at a time: all coins as rows would take their memory once more."""
    bits = min(8, (sum(map(len, changes)) // PART).bit_length())
    parts = [_by_first_bits(cache, bits) for cache in changes]
    for number in range(1 << bits):
        put: list[CoinRow] = []
        gone: list[bytes] = []
        for cache, outpoints in zip(changes, parts, strict=True):
            some_put, some_gone = coin_rows(cache, outpoints[number])
            put += some_put
            gone += some_gone
        put.sort()
        gone.sort()
        delete_keys(conn, "coins", "key", gone)
        put_rows(conn, "coins", put)
        tell((number + 1) / (1 << bits))
    put_meta(conn, "best_block", best_block)


def _by_first_bits(outpoints: Iterable[OutPoint], bits: int) -> list[list[OutPoint]]:
    """By the first bits of their txids, up to 8 of them."""
    parts: list[list[OutPoint]] = [[] for _ in range(1 << bits)]
    shift = 8 - bits
    for outpoint in outpoints:
        parts[outpoint[0][0] >> shift].append(outpoint)
    return parts
