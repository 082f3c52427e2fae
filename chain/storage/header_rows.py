"""The header rows of blocks/index.sqlite: a header, and in the same blob what is known of its block.

A row is one blob because every column of a million rows costs a tenth of a second. What is read of the
longest chain stays in such blobs (`HeaderColumns`): as objects a million headers would take a gigabyte.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from typing import Literal, NamedTuple

from ..primitives.block import HEADER_SIZE
from ..primitives.hashes import sha256d
from .bulk import put_rows
from .database import LEAST_CACHE_BYTES, Connection, StorageError, limit_pages
from .migrations import Schema

PART = 256
"""Heights that are read at once: few, since all of them are read apart where the chain forks."""
HASH_SIZE = 32

_RECORD = struct.Struct(f"<{HEADER_SIZE}sqIIii")
_ROW_SIZE = HASH_SIZE + _RECORD.size
"""Of hash and record, joined."""
_PARENT = HASH_SIZE + 4
"""The byte of a row at which the parent's hash begins."""
_TIME, _BITS, _TX_COUNT, _STATUS, _FILE = 25, 26, 30, 31, 32
_SEQUENCE = 14
"""Which number of its size it is in a row."""
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
    """The rows of one chain, joined, from the genesis block up: number n is the header at height n."""

    def __init__(self, rows: bytes | bytearray = b"") -> None:
        self.count = len(rows) // _ROW_SIZE
        self._rows = rows

    def hash(self, height: int) -> bytes:
        start = height * _ROW_SIZE
        return bytes(self._rows[start : start + HASH_SIZE])

    def row(self, height: int) -> HeaderRow:
        start = height * _ROW_SIZE + HASH_SIZE
        return unpack_row(height, self.hash(height), self._rows[start : start + _RECORD.size])

    def _column(self, kind: Literal["I", "i", "q"], size: int, first: int) -> array[int]:
        """What stands in every row at one place, first as a multiple of size: a number of so many bytes."""
        numbers = array(kind)
        numbers.frombytes(memoryview(self._rows).cast(kind)[first :: _ROW_SIZE // size].tobytes())
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers

    def hash_words(self) -> array[int]:
        """The first four bytes of each hash."""
        return self._column("I", 4, 0)

    def times(self) -> array[int]:
        return self._column("I", 4, _TIME)

    def bits(self) -> array[int]:
        return self._column("I", 4, _BITS)

    def tx_counts(self) -> array[int]:
        return self._column("I", 4, _TX_COUNT)

    def statuses(self) -> bytes:
        """One byte each: no higher bit is in use."""
        return bytes(self._rows[4 * _STATUS :: _ROW_SIZE])

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
    """StorageError if that is no record."""
    try:
        header, sequence, tx_count, status, file, number = _RECORD.unpack(record)
    except struct.error:
        raise _damaged("row", height) from None
    position = None if file == _NOWHERE else Position(file, number)
    return HeaderRow(block_hash, header, height, status, sequence, tx_count, position)


def checked(row: HeaderRow) -> HeaderRow:
    """The row; StorageError if its header has another hash."""
    if sha256d(row.header) != row.hash:
        raise _damaged("header", row.height)
    return row


def _damaged(what: str, height: int) -> StorageError:
    return StorageError(
        f"The index of blocks has a damaged {what} at height {height}.", "Restart with -reindex."
    )


def put_headers(conn: Connection, rows: Sequence[tuple[int, bytes, bytes]]) -> None:
    """Stores rows of pack_row, or replaces older ones."""
    put_rows(conn, "headers", rows)


def all_rows(conn: Connection) -> list[HeaderRow]:
    """Lowest first, so a parent always comes before its children."""
    return [unpack_row(*row) for row in conn.execute("SELECT * FROM headers ORDER BY height, hash")]


def load_headers(conn: Connection) -> StoredHeaders:
    """Reads from the top, where it is known already which branch is the highest chain."""
    conn.execute("PRAGMA mmap_size=0")  # what is read once is not to count as memory ever after
    limit_pages(conn, LEAST_CACHE_BYTES)
    bottom, top = conn.execute(
        "SELECT (SELECT min(height) FROM headers), (SELECT max(height) FROM headers)"
    ).fetchone()
    high = 0 if top is None else top + 1
    trunk = bytearray()
    beside: list[HeaderRow] = []
    wanted = None
    while high > 0:
        low = max(0, high - PART)
        rows = _rows_joined(conn, low, high)
        if not _is_chain(rows, high - low) or wanted not in (None, _last_hash(rows)):
            rows, others = _rows_apart(conn, low, high, wanted)
            beside += others
        if len(rows) != (high - low) * _ROW_SIZE:
            break
        trunk = trunk or bytearray(high * _ROW_SIZE)  # not before: a damaged height could be anything
        trunk[low * _ROW_SIZE : high * _ROW_SIZE] = rows
        high, wanted = low, rows[_PARENT : _PARENT + HASH_SIZE]
    if high or bottom:
        return StoredHeaders(HeaderColumns(), all_rows(conn))
    beside.reverse()
    return StoredHeaders(HeaderColumns(trunk), beside)


def _rows_joined(conn: Connection, low: int, high: int) -> bytes:
    """All rows of heights from low up to high, lowest first.

    As one value of SQLite, since each that it hands over costs more than to read it. Text is not looked at
    there, so bytes come through it as they are.
    """
    query = (
        "SELECT CAST(group_concat(hash || record, '') AS BLOB) FROM headers WHERE height >= ? AND height < ?"
    )
    (rows,) = conn.execute(query, (low, high)).fetchone()
    return rows or b""


def _is_chain(rows: bytes, count: int) -> bool:
    """These are count rows, and each has the hash of the one before it as its parent."""
    if len(rows) != count * _ROW_SIZE:
        return False
    hashes = memoryview(rows).cast("Q")
    parents = memoryview(rows)[_PARENT:-4].cast("Q")  # but for the last bytes, to be whole words
    step = _ROW_SIZE // 8
    return all(hashes[word::step][:-1] == parents[word::step][1:] for word in range(HASH_SIZE // 8))


def _last_hash(rows: bytes) -> bytes:
    return rows[-_ROW_SIZE:][:HASH_SIZE]


def _rows_apart(conn: Connection, low: int, high: int, wanted: bytes | None) -> tuple[bytes, list[HeaderRow]]:
    """The rows from low up to high that end in the hash wanted (None: in any), joined; and the others."""
    query = (
        "SELECT height, hash, record FROM headers WHERE height >= ? AND height < ? ORDER BY 1 DESC, 2 DESC"
    )
    chain: list[bytes] = []
    others: list[HeaderRow] = []
    for height, block_hash, record in conn.execute(query, (low, high)):
        if height == high - 1 - len(chain) and wanted in (None, block_hash):
            chain.append(block_hash + record)
            wanted = record[4:36]
        else:
            others.append(unpack_row(height, block_hash, record))
    chain.reverse()
    return b"".join(chain), others


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
