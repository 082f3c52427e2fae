"""The header rows of blocks/index.sqlite: a header, and in the same blob what is known of its block.

A row is one blob because every column of a million rows costs a tenth of a second. What is read of the
longest chain stays in such blobs (`HeaderColumns`): as objects a million headers would take a gigabyte.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from itertools import islice
from operator import eq
from typing import Literal, NamedTuple

from ..primitives.block import HEADER_SIZE
from .bulk import put_rows
from .database import Connection
from .migrations import Schema

FETCH = 500
"""Rows fetched at once: so few stay in the processor's cache."""
HASH_SIZE = 32

_RECORD = struct.Struct(f"<{HEADER_SIZE}sqIIii")
_TIME, _BITS = 17, 18
_SEQUENCE = HEADER_SIZE // 8
_TX_COUNT, _STATUS, _FILE = 22, 23, 24
_NOWHERE = -1


class Position(NamedTuple):
    """Where a block's body is, and its undo record once there is one: blkNNNNN.sqlite and the row in it."""

    file: int
    row: int


class HeaderRow(NamedTuple):
    """What is stored of a header. tx_count: 0 while the body is unknown; position: None without a body.

    status and sequence mean what the header tree says.
    """

    hash: bytes
    header: bytes
    height: int
    status: int
    sequence: int
    tx_count: int
    position: Position | None


class HeaderColumns:
    """The rows of one chain, from the genesis block up: number n is the header at height n.

    hashes and records hold them one after the other; a column over all of them comes from `column`.
    """

    def __init__(self, hashes: bytes = b"", records: bytes | bytearray = b"") -> None:
        self.count = len(hashes) // HASH_SIZE
        self.hashes, self.records = hashes, records

    def hash(self, height: int) -> bytes:
        return self.hashes[height * HASH_SIZE : (height + 1) * HASH_SIZE]

    def row(self, height: int) -> HeaderRow:
        start = height * _RECORD.size
        return unpack_row(height, self.hash(height), self.records[start : start + _RECORD.size])

    def _column(self, kind: Literal["I", "i", "q"], size: int, offset: int) -> array[int]:
        return _every(self.records, kind, offset, _RECORD.size // size)

    def hash_words(self) -> array[int]:
        """The first four bytes of each hash."""
        return _every(self.hashes, "I", 0, HASH_SIZE // 4)

    def times(self) -> array[int]:
        return self._column("I", 4, _TIME)

    def bits(self) -> array[int]:
        return self._column("I", 4, _BITS)

    def tx_counts(self) -> array[int]:
        return self._column("I", 4, _TX_COUNT)

    def statuses(self) -> array[int]:
        return self._column("I", 4, _STATUS)

    def files(self) -> array[int]:
        """The number of the block file of each body, -1 without one."""
        return self._column("i", 4, _FILE)

    def sequences(self) -> array[int]:
        return self._column("q", 8, _SEQUENCE)


class StoredHeaders(NamedTuple):
    """All headers: the highest chain down to the genesis block, and the rows beside it, parents first.

    Where the chain is broken, for want of a row, all rows are beside it.
    """

    trunk: HeaderColumns
    beside: list[HeaderRow]


def pack_row(row: HeaderRow) -> tuple[int, bytes, bytes]:
    """As the table has it: height, hash, record."""
    file, number = row.position or (_NOWHERE, _NOWHERE)
    record = _RECORD.pack(row.header, row.sequence, row.tx_count, row.status, file, number)
    return row.height, row.hash, record


def unpack_row(height: int, block_hash: bytes, record: bytes | bytearray) -> HeaderRow:
    header, sequence, tx_count, status, file, number = _RECORD.unpack(record)
    position = None if file == _NOWHERE else Position(file, number)
    return HeaderRow(block_hash, header, height, status, sequence, tx_count, position)


def put_headers(conn: Connection, rows: Sequence[tuple[int, bytes, bytes]]) -> None:
    """Stores rows of pack_row, or replaces older ones."""
    put_rows(conn, "headers", rows)


def all_rows(conn: Connection) -> list[HeaderRow]:
    """Lowest first, so a parent always comes before its children."""
    return [unpack_row(*row) for row in conn.execute("SELECT * FROM headers ORDER BY height, hash")]


def load_headers(conn: Connection) -> StoredHeaders:
    """Reads from the top, where it is known already which branch is the highest chain."""
    conn.execute("PRAGMA mmap_size=0")  # what is read once is not to count as memory ever after
    (top,) = conn.execute("SELECT max(height) FROM headers").fetchone()
    height = 0 if top is None else top + 1
    hashes, records = bytearray(height * HASH_SIZE), bytearray(height * _RECORD.size)
    beside: list[HeaderRow] = []
    wanted: bytes | None = None
    rows = conn.execute("SELECT hash, record, height FROM headers ORDER BY height DESC, hash DESC")
    while some := rows.fetchmany(FETCH):
        if wanted is not None and _is_chain(some, wanted):
            chain = some
        else:
            chain = []
            for row in some:
                if wanted is None or row[0] == wanted:
                    chain.append(row)
                    wanted = _parent(row[1])
                else:
                    beside.append(unpack_row(row[2], row[0], row[1]))
        if chain:
            wanted = _parent(chain[-1][1])
            height -= len(chain)
            if height != chain[-1][2]:
                break
            chain.reverse()
            stop = height + len(chain)
            hashes[height * HASH_SIZE : stop * HASH_SIZE] = b"".join([row[0] for row in chain])
            records[height * _RECORD.size : stop * _RECORD.size] = b"".join([row[1] for row in chain])
    if height:
        return StoredHeaders(HeaderColumns(), all_rows(conn))
    beside.reverse()
    return StoredHeaders(HeaderColumns(bytes(hashes), records), beside)


def _every(table: bytes | bytearray, kind: Literal["I", "i", "q"], first: int, step: int) -> array[int]:
    """Of the little-endian numbers of one kind that a table is made of, the first and every step after it."""
    numbers = array(kind)
    numbers.frombytes(memoryview(table).cast(kind)[first::step].tobytes())
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _parent(record: bytes) -> bytes:
    return record[4:36]


def _is_chain(rows: Sequence[tuple[bytes, bytes, int]], first: bytes) -> bool:
    """Each row is the parent of the one before it, and the first has the hash first."""
    parents = (row[1][4:36] for row in rows)
    return rows[0][0] == first and all(map(eq, (row[0] for row in islice(rows, 1, None)), parents))


def _position(file: int | None, row: int) -> Position | None:
    return None if file is None else Position(file, row)


def _repack(conn: Connection) -> None:
    """From version 1, which had a column for each value, and the chainwork."""
    conn.execute("ALTER TABLE headers RENAME TO old_headers")
    conn.execute(_HEADERS)
    old = conn.execute(
        "SELECT height, hash, header, status, sequence, tx_count, file, row FROM old_headers ORDER BY 1, 2"
    )
    while some := old.fetchmany(10_000):
        put_headers(
            conn,
            [
                pack_row(HeaderRow(block_hash, header, height, status, sequence, count, _position(file, row)))
                for height, block_hash, header, status, sequence, count, file, row in some
            ],
        )
    conn.execute("DROP TABLE old_headers")


_HEADERS = (
    "CREATE TABLE headers (height INTEGER, hash BLOB, record BLOB NOT NULL, "
    "PRIMARY KEY (height, hash)) WITHOUT ROWID"
)
INDEX_SCHEMA = Schema(
    2,
    [
        _HEADERS,
        """CREATE TABLE files (
            file INTEGER PRIMARY KEY, blocks INTEGER NOT NULL, bytes INTEGER NOT NULL,
            undo_bytes INTEGER NOT NULL, min_height INTEGER NOT NULL, max_height INTEGER NOT NULL)""",
    ],
    {1: [_repack]},
)
