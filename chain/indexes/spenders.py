"""The spender index: from an output to the confirmed transaction that spends it (-txospenderindex).

Source: Bitcoin Core src/index/txospenderindex.cpp (31.99).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from siphashc import siphash

from ..header_tree import HeaderNode
from ..primitives.block import HEADER_SIZE, Block
from ..primitives.serialize import DecodeError, compact_size
from ..primitives.transaction import OutPoint, Transaction
from ..storage.bulk import put_rows
from ..storage.database import Connection, Damaged, repair_advice
from ..storage.migrations import Schema, get_meta, put_meta
from ..storage.records import BlockUndo, coin_key
from .base import Index

Spends = list[tuple[int, int]]
"""A spent output's salted hash, and where the spending transaction begins in the block, in bytes."""


class Spender(NamedTuple):
    """A transaction that spends an output, and the hash of its block."""

    block_hash: bytes
    tx: Transaction


class SpenderIndex(Index[Spends]):
    """Knows the spends of every block ever connected, and answers with those of the chain it follows.

    Outputs are stored as hashes of 8 bytes, salted so that nobody can make many that are alike; the
    transactions found decide. Spends off the chain stay, and do not count.
    """

    NAME = "txospenderindex"
    FILE = "indexes/txospenderindex.sqlite"
    NEEDS_UNDO = False
    ALLOW_PRUNE = False
    SCHEMA = Schema(
        1,
        [
            "CREATE TABLE blocks (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE)",
            """CREATE TABLE spends (
                output INTEGER, block INTEGER, start INTEGER, PRIMARY KEY (output, block, start)
            ) WITHOUT ROWID""",
        ],
    )

    _salt = b""

    async def opened(self) -> None:
        fresh = self._ports.random.bytes(16)

        def salt(conn: Connection) -> str | bytes | int | None:
            if get_meta(conn, "salt") is None:
                put_meta(conn, "salt", fresh)
            return get_meta(conn, "salt")

        stored = await self.db.write(salt)
        if not isinstance(stored, bytes) or len(stored) != 16:
            raise Damaged(f"{self.FILE} has no salt.", repair_advice(self.FILE))
        self._salt = stored

    def _output(self, outpoint: OutPoint) -> int:
        """As SQLite has integers: 64 bits with a sign."""
        value: int = siphash(self._salt, coin_key(outpoint))
        return value - (1 << 64) if value >> 63 else value

    def prepare(self, block: Block, undo: BlockUndo, height: int) -> Spends:
        spends = []
        start = HEADER_SIZE + len(compact_size(len(block.vtx)))
        for index, tx in enumerate(block.vtx):
            if index > 0:
                spends += [(self._output(txin.prevout), start) for txin in tx.vin]
            start += len(tx.raw)
        return spends

    def store(self, conn: Connection, items: Sequence[tuple[HeaderNode, Spends]]) -> None:
        rows = []
        for node, spends in items:
            conn.execute("INSERT OR IGNORE INTO blocks (hash) VALUES (?)", (node.hash,))
            (block,) = conn.execute("SELECT id FROM blocks WHERE hash=?", (node.hash,)).fetchone()
            rows += [(output, block, start) for output, start in spends]
        put_rows(conn, "spends", sorted(rows))

    def holds(self, conn: Connection, node: HeaderNode, item: Spends) -> bool:
        block = conn.execute("SELECT id FROM blocks WHERE hash=?", (node.hash,)).fetchone()
        query = "SELECT 1 FROM spends WHERE output=? AND block=? AND start=?"
        return block is not None and all(
            conn.execute(query, (output, block[0], start)).fetchone() for output, start in item
        )

    async def find(self, outpoint: OutPoint) -> Spender | None:
        """Who spends an output; None if nobody is known to. StorageError if the block cannot be read."""
        db, output, last = self._db, self._output(outpoint), self.followed
        rows = await self.read(
            lambda conn: conn.execute(
                "SELECT hash, start FROM spends JOIN blocks ON blocks.id = spends.block WHERE output=?",
                (output,),
            ).fetchall()
        )
        for block_hash, start in rows:
            node = self._chain.headers.get(block_hash)
            if node is None or last is None or node.height > last.height:
                continue
            if last.ancestor(node.height) is node:
                raw = await self._chain.read_block_bytes(node)
                with suppress(DecodeError):
                    tx, _ = Transaction.parse(raw, start)
                    if any(txin.prevout == outpoint for txin in tx.vin):
                        return Spender(block_hash, tx)
                    if any(self._output(txin.prevout) == output for txin in tx.vin):
                        continue
                await self._contradicted(db, node, raw)
        return None
