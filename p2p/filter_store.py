"""What a light client keeps of compact filters: the hash of each block's filter, and filters it has fetched.

Tables: `hashes` by height along the chain that was the best one when it was written (block hash, filter hash,
and where peers dispute it all hashes that were claimed, else an empty blob); `filters` by block hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple, Self

from pybitcoind.chain.params import ChainParams
from pybitcoind.chain.ports import Storage
from pybitcoind.chain.storage.coin_store import network_name
from pybitcoind.chain.storage.database import Connection, Database
from pybitcoind.chain.storage.migrations import Schema, get_meta, open_database, put_meta

FILE = "filters/basic.sqlite"
_SCHEMA = Schema(
    1,
    [
        """CREATE TABLE hashes (
            height INTEGER PRIMARY KEY, block_hash BLOB NOT NULL, filter_hash BLOB NOT NULL,
            disputed BLOB NOT NULL)""",
        """CREATE TABLE filters (
            id INTEGER PRIMARY KEY, block_hash BLOB NOT NULL UNIQUE, encoded BLOB NOT NULL)""",
    ],
)
_AGAIN = "match_again_from"
_IN_ONE = 500
"""Values in one statement."""


class HashRow(NamedTuple):
    """disputed: the filter hashes claimed for the block, 32 bytes each; empty if all agree."""

    height: int
    block_hash: bytes
    filter_hash: bytes
    disputed: bytes


class FilterStore:
    def __init__(self, db: Database) -> None:
        self._db = db

    @classmethod
    async def open(cls, storage: Storage, params: ChainParams) -> Self:
        return cls(await open_database(storage, FILE, _SCHEMA, network_name(params)))

    async def close(self) -> None:
        await self._db.close()

    async def hashes(self, start: int, limit: int) -> list[HashRow]:
        """The rows from height start on, at most limit."""
        query = "SELECT * FROM hashes WHERE height>=? ORDER BY height LIMIT ?"
        return await self._db.read(
            lambda conn: [HashRow(*row) for row in conn.execute(query, (start, limit))]
        )

    async def put_hashes(self, start: int, rows: Sequence[HashRow]) -> None:
        """rows take the place of everything from height start on."""

        def put(conn: Connection) -> None:
            conn.execute("DELETE FROM hashes WHERE height>=?", (start,))
            conn.executemany("INSERT INTO hashes VALUES (?, ?, ?, ?)", rows)

        await self._db.write(put)

    async def again_from(self) -> int | None:
        """The height from which on filters were still to be matched again when the node stopped."""
        height = await self._db.read(lambda conn: get_meta(conn, _AGAIN))
        return height if isinstance(height, int) and height >= 0 else None

    async def put_again_from(self, height: int | None) -> None:
        await self._db.write(lambda conn: put_meta(conn, _AGAIN, -1 if height is None else height))

    async def filters(self, block_hashes: Sequence[bytes]) -> dict[bytes, bytes]:
        """Of those blocks the filters that are kept, by block hash."""
        return await self._db.read(partial(_filters, block_hashes))

    async def put_filters(self, filters: Iterable[tuple[bytes, bytes]]) -> None:
        """filters: block hash, filter as in a cfilter message."""
        rows = list(filters)
        await self._db.write(
            lambda conn: conn.executemany(
                "INSERT OR REPLACE INTO filters (block_hash, encoded) VALUES (?, ?)", rows
            )
        )


def _filters(block_hashes: Sequence[bytes], conn: Connection) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for start in range(0, len(block_hashes), _IN_ONE):
        part = block_hashes[start : start + _IN_ONE]
        marks = ",".join("?" * len(part))
        query = f"SELECT block_hash, encoded FROM filters WHERE block_hash IN ({marks})"
        found.update(conn.execute(query, part))
    return found
