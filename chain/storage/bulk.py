"""Many rows in few steps.

Each step of a statement gives up the interpreter's lock and takes it again, which can cost 5 ms while another
thread runs Python. 20,000 inserts of a row each took 45 ms alone, 111 ms beside two threads that check
signatures, and no end beside a busy one; with hundreds of rows a step 18 ms, 24 ms and 0.7 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from .database import Connection

STEP = 512
"""Rows in one step. SQLite takes at least 32,766 parameters in a statement."""


def put_rows(conn: Connection, table: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Stores rows, all columns of table in order; a row with the key of an older one replaces it."""
    if not rows:
        return
    one = f"({','.join('?' * len(rows[0]))})"
    for start in range(0, len(rows), STEP):
        some = rows[start : start + STEP]
        query = f"INSERT OR REPLACE INTO {table} VALUES {','.join([one] * len(some))}"
        conn.execute(query, list(chain.from_iterable(some)))


def delete_keys(conn: Connection, table: str, column: str, keys: Sequence[bytes]) -> None:
    """Deletes the rows whose column is one of keys."""
    for start in range(0, len(keys), STEP):
        some = keys[start : start + STEP]
        conn.execute(f"DELETE FROM {table} WHERE {column} IN ({','.join('?' * len(some))})", some)


def joined(table: str, key: str, value: str) -> str:
    """All rows of table as one text, SQL for `split`. table: a name with WHERE, or a query in brackets."""
    return f"SELECT group_concat(hex({key}) || hex({value})) FROM {table}"


def split(text: str | None, key_size: int) -> Iterable[tuple[bytes, bytes]]:
    """The rows in a text of `joined`, in no certain order; keys have key_size bytes."""
    if text is None:
        return
    from_hex = bytes.fromhex
    for row in text.split(","):
        data = from_hex(row)
        yield data[:key_size], data[key_size:]
