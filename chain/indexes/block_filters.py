"""The block filter index: basic filters, their hashes and headers (-blockfilterindex, BIP 157 and 158)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

from ..block_filter import BlockFilter, filter_header
from ..header_tree import HeaderNode
from ..primitives.block import Block
from ..primitives.hashes import ZERO_HASH, sha256d
from ..storage.database import Connection
from ..storage.migrations import Schema
from ..storage.records import BlockUndo
from .base import Index


class FilterEntry(NamedTuple):
    """A block's filter as in a cfilter message, the hash of it, and its filter header."""

    encoded: bytes
    filter_hash: bytes
    header: bytes


class BlockFilterIndex(Index[BlockFilter]):
    """Keeps the filters of all blocks ever connected, by block hash: also of those off the active chain."""

    NAME = "basic block filter index"
    FILE = "indexes/blockfilter_basic.sqlite"
    NEEDS_UNDO = True
    ALLOW_PRUNE = True
    BLOCKS = "filters"
    SCHEMA = Schema(
        1,
        [
            """CREATE TABLE filters (
                id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, filter_hash BLOB NOT NULL,
                header BLOB NOT NULL, encoded BLOB NOT NULL)"""
        ],
    )

    def prepare(self, block: Block, undo: BlockUndo, height: int) -> BlockFilter:
        return BlockFilter.of_block(block, undo.txs)

    def store(self, conn: Connection, items: Sequence[tuple[HeaderNode, BlockFilter]]) -> None:
        prev = items[0][0].prev
        header = ZERO_HASH
        if prev is not None:
            row = conn.execute("SELECT header FROM filters WHERE hash=?", (prev.hash,)).fetchone()
            if row is None:
                raise self._damage(f"nothing of block {prev.height}")
            header = row[0]
        rows = []
        for node, block_filter in items:
            header = filter_header(block_filter.hash, header)
            rows.append((node.hash, block_filter.hash, header, block_filter.encoded))
        conn.executemany(
            "INSERT OR REPLACE INTO filters (hash, filter_hash, header, encoded) VALUES (?, ?, ?, ?)", rows
        )

    def holds(self, conn: Connection, node: HeaderNode, item: BlockFilter) -> bool:
        header = ZERO_HASH
        if node.prev is not None:
            before = conn.execute("SELECT header FROM filters WHERE hash=?", (node.prev.hash,)).fetchone()
            if before is None:
                return False
            header = before[0]
        expected = (item.hash, filter_header(item.hash, header), item.encoded)
        query = "SELECT filter_hash, header, encoded FROM filters WHERE hash=?"
        found: tuple[bytes, ...] | None = conn.execute(query, (node.hash,)).fetchone()
        return found == expected

    async def filter(self, block_hash: bytes) -> BlockFilter | None:
        """The filter of a block; None if it was not indexed (yet)."""
        entry = await self.entry(block_hash)
        return None if entry is None else BlockFilter.trusted(block_hash, entry.encoded)

    async def header(self, block_hash: bytes) -> bytes | None:
        """The filter header of a block; None if it was not indexed (yet)."""
        entry = await self.entry(block_hash)
        return None if entry is None else entry.header

    async def entry(self, block_hash: bytes) -> FilterEntry | None:
        """All there is about one block."""
        node = self._chain.headers.get(block_hash)
        before = [node.prev.hash] if node is not None and node.prev is not None else []
        rows = await self._entries([*before, block_hash])
        return rows[-1] if len(rows) > len(before) else None

    async def filters(self, start_height: int, stop: HeaderNode) -> list[BlockFilter] | None:
        """The filters from start_height to stop, on stop's chain; None if one is not indexed (yet)."""
        hashes = _hashes(start_height, stop)
        rows = await self._entries(hashes)
        if len(rows) < len(hashes):
            return None
        return [BlockFilter.trusted(key, row.encoded) for key, row in zip(hashes, rows, strict=True)]

    async def filter_hashes(self, start_height: int, stop: HeaderNode) -> list[bytes] | None:
        """The hashes of those filters (cfheaders); None if one is not indexed (yet)."""
        hashes = _hashes(start_height, stop)

        def select(conn: Connection) -> list[bytes]:
            rows = _select("filter_hash, header", hashes, conn)
            self._chained(rows)
            return [filter_hash for filter_hash, _ in rows]

        found = await self.read(select)
        return found if len(found) == len(hashes) else None

    async def headers_of(self, nodes: Sequence[HeaderNode]) -> list[bytes] | None:
        """The filter headers of nodes (cfcheckpt); None if one is not indexed (yet)."""
        rows = await self.read(partial(_select, "header", [node.hash for node in nodes]))
        return [row[0] for row in rows] if len(rows) == len(nodes) else None

    async def _entries(self, hashes: list[bytes]) -> list[FilterEntry]:
        """Those of consecutive blocks, as far as there are any. Damage is found."""

        def select(conn: Connection) -> list[FilterEntry]:
            rows = [FilterEntry(*row) for row in _select("encoded, filter_hash, header", hashes, conn)]
            if any(sha256d(row.encoded) != row.filter_hash for row in rows):
                raise self._damage("a filter is not what its hash says")
            self._chained([row[1:] for row in rows])
            return rows

        return await self.read(select)

    def _chained(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Damaged where a header does not follow from the one before. rows: filter hash and header."""
        for (_, before), (filter_hash, header) in pairwise(rows):
            if filter_header(filter_hash, before) != header:
                raise self._damage("a filter header does not follow from the one before")


def _hashes(start_height: int, stop: HeaderNode) -> list[bytes]:
    """Block hashes from start_height to stop, on stop's chain. ValueError if stop is below start_height."""
    if not 0 <= start_height <= stop.height:
        raise ValueError(f"start height {start_height} is not between 0 and {stop.height}")
    hashes = []
    node: HeaderNode | None = stop
    while node is not None and node.height >= start_height:
        hashes.append(node.hash)
        node = node.prev
    return hashes[::-1]


def _select(columns: str, hashes: Sequence[bytes], conn: Connection) -> list[Any]:
    query = f"SELECT {columns} FROM filters WHERE hash=?"
    found = (conn.execute(query, (block_hash,)).fetchone() for block_hash in hashes)
    return [row for row in found if row is not None]
