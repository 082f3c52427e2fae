"""The transaction index: from a txid to its block and its place in it (-txindex)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from ..header_tree import HeaderNode
from ..primitives.block import HEADER_SIZE, Block
from ..primitives.serialize import DecodeError, compact_size
from ..primitives.transaction import Transaction
from ..storage.bulk import put_rows
from ..storage.database import Connection
from ..storage.migrations import Schema
from ..storage.records import BlockUndo
from .base import Index

Places = list[tuple[bytes, int, int]]
"""txid, and where the transaction begins in the block and how long it is, in bytes."""


class TxIndex(Index[Places]):
    """Knows every transaction that was ever in a connected block, but the genesis block's.

    As in Core a transaction stays known when its block is disconnected; a later block with it replaces that.
    """

    NAME = "txindex"
    FILE = "indexes/txindex.sqlite"
    NEEDS_UNDO = False
    ALLOW_PRUNE = False
    SCHEMA = Schema(
        1,
        [
            "CREATE TABLE blocks (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE)",
            """CREATE TABLE txs (
                txid BLOB PRIMARY KEY, block INTEGER NOT NULL, start INTEGER NOT NULL, length INTEGER NOT NULL
            ) WITHOUT ROWID""",
        ],
    )

    def prepare(self, block: Block, undo: BlockUndo, height: int) -> Places:
        if height == 0:  # its output cannot be spent
            return []
        places = []
        start = HEADER_SIZE + len(compact_size(len(block.vtx)))
        for tx in block.vtx:
            places.append((tx.txid, start, len(tx.raw)))
            start += len(tx.raw)
        return places

    def store(self, conn: Connection, items: Sequence[tuple[HeaderNode, Places]]) -> None:
        rows: dict[bytes, tuple[bytes, int, int, int]] = {}
        for node, places in items:
            conn.execute("INSERT OR IGNORE INTO blocks (hash) VALUES (?)", (node.hash,))
            (block,) = conn.execute("SELECT id FROM blocks WHERE hash=?", (node.hash,)).fetchone()
            rows.update((txid, (txid, block, start, length)) for txid, start, length in places)
        put_rows(conn, "txs", sorted(rows.values()))

    def holds(self, conn: Connection, node: HeaderNode, item: Places) -> bool:
        rows = {txid: (start, length) for txid, start, length in item}
        for txid, place in rows.items():
            row = conn.execute(
                "SELECT hash, start, length FROM txs JOIN blocks ON blocks.id = txs.block WHERE txid=?",
                (txid,),
            ).fetchone()
            if row is None or (row[0] == node.hash and row[1:] != place):
                return False
        return True

    async def find(self, txid: bytes) -> tuple[bytes, Transaction] | None:
        """The hash of the block that has the transaction, and the transaction; None if it is not known."""
        db = self._db
        row = await self.read(
            lambda conn: conn.execute(
                "SELECT hash, start, length FROM txs JOIN blocks ON blocks.id = txs.block WHERE txid=?",
                (txid,),
            ).fetchone()
        )
        if row is None:
            return None
        block_hash, start, length = row
        node = self._chain.headers.get(block_hash)
        if node is None or not node.have_data:
            return None
        raw = await self._chain.read_block_bytes(node)
        with suppress(DecodeError):
            tx = Transaction.decode(raw[start : start + length])
            if tx.txid == txid:
                return block_hash, tx
        await self._contradicted(db, node, raw)
        return None
