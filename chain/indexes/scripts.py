"""The script index: from a script to the outputs that pay to it and what spends them (-scriptindex; ours).

Blocks that were disconnected keep their rows and are marked as such: going back and forth costs one update.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from ..header_tree import HeaderNode
from ..primitives.block import Block
from ..primitives.hashes import sha256
from ..primitives.transaction import OutPoint
from ..script.script import is_unspendable
from ..storage.bulk import put_rows
from ..storage.database import Connection
from ..storage.migrations import Schema
from ..storage.records import BlockUndo
from .base import Index


class Spend(NamedTuple):
    """The transaction that spends an output, the number of its input, and the height of its block."""

    txid: bytes
    vin: int
    height: int


class ScriptOutput(NamedTuple):
    """An output on the chain. position: of its transaction in the block; spend: None while it is unspent."""

    outpoint: OutPoint
    value: int
    height: int
    position: int
    spend: Spend | None


class ScriptTotals(NamedTuple):
    """All outputs to a script: their number and satoshis, and those of them that are spent."""

    outputs: int
    received: int
    spent_outputs: int
    spent: int


class BlockScripts(NamedTuple):
    """Of one block. outputs: script hash, position, vout, txid, value. spends: txid, vout, txid, input."""

    outputs: list[tuple[bytes, int, int, bytes, int]]
    spends: list[tuple[bytes, int, bytes, int]]


def script_hash(script_pubkey: bytes) -> bytes:
    """What a script is known by: its SHA256, internal order."""
    return sha256(script_pubkey)


class ScriptIndex(Index[BlockScripts]):
    """All spendable outputs of the chain it follows, by script, in the order of the chain."""

    NAME = "scriptindex"
    FILE = "indexes/scriptindex.sqlite"
    NEEDS_UNDO = False
    ALLOW_PRUNE = True
    SCHEMA = Schema(
        1,
        [
            """CREATE TABLE blocks (
                id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, height INTEGER NOT NULL,
                active INTEGER NOT NULL)""",
            "CREATE INDEX blocks_height ON blocks (height)",
            """CREATE TABLE outputs (
                script BLOB, height INTEGER, position INTEGER, vout INTEGER, block INTEGER,
                txid BLOB NOT NULL, value INTEGER NOT NULL,
                PRIMARY KEY (script, height, position, vout, block)) WITHOUT ROWID""",
            """CREATE TABLE spends (
                txid BLOB, vout INTEGER, block INTEGER, spender BLOB NOT NULL, input INTEGER NOT NULL,
                PRIMARY KEY (txid, vout, block)) WITHOUT ROWID""",
        ],
    )

    def prepare(self, block: Block, undo: BlockUndo, height: int) -> BlockScripts:
        found = BlockScripts([], [])
        if height == 0:  # its output cannot be spent
            return found
        for position, tx in enumerate(block.vtx):
            for vout, (value, script) in enumerate(tx.vout):
                if not is_unspendable(script):
                    found.outputs.append((script_hash(script), position, vout, tx.txid, value))
            if position:
                for number, txin in enumerate(tx.vin):
                    found.spends.append((*txin.prevout, tx.txid, number))
        return found

    def store(self, conn: Connection, items: Sequence[tuple[HeaderNode, BlockScripts]]) -> None:
        outputs, spends = [], []
        for node, found in items:
            conn.execute(
                "INSERT INTO blocks (hash, height, active) VALUES (?, ?, 1) "
                "ON CONFLICT (hash) DO UPDATE SET active=1",
                (node.hash, node.height),
            )
            (block,) = conn.execute("SELECT id FROM blocks WHERE hash=?", (node.hash,)).fetchone()
            outputs += [
                (script, node.height, position, vout, block, txid, value)
                for script, position, vout, txid, value in found.outputs
            ]
            spends += [(txid, vout, block, spender, vin) for txid, vout, spender, vin in found.spends]
        put_rows(conn, "outputs", sorted(outputs))
        put_rows(conn, "spends", sorted(spends))

    def holds(self, conn: Connection, node: HeaderNode, item: BlockScripts) -> bool:
        row = conn.execute("SELECT id, height, active FROM blocks WHERE hash=?", (node.hash,)).fetchone()
        if row is None or row[1:] != (node.height, 1):
            return False
        block = row[0]
        output = (
            "SELECT 1 FROM outputs WHERE script=? AND height=? AND position=? AND vout=? AND block=? "
            "AND txid=? AND value=?"
        )
        spend = "SELECT 1 FROM spends WHERE txid=? AND vout=? AND block=? AND spender=? AND input=?"
        return all(
            conn.execute(output, (script, node.height, position, vout, block, txid, value)).fetchone()
            for script, position, vout, txid, value in item.outputs
        ) and all(
            conn.execute(spend, (txid, vout, block, spender, vin)).fetchone()
            for txid, vout, spender, vin in item.spends
        )

    def rewind(self, conn: Connection, node: HeaderNode | None) -> None:
        height = -1 if node is None else node.height
        conn.execute("UPDATE blocks SET active=0 WHERE height > ?", (height,))

    async def history(
        self, script_hash: bytes, *, skip: int = 0, count: int = 100, newest_first: bool = True
    ) -> list[ScriptOutput]:
        """At most count outputs to the script with that hash, after the first skip of them."""
        return await self.read(partial(_history, script_hash, skip, count, newest_first))

    async def totals(self, script_hash: bytes) -> ScriptTotals:
        """Goes through all outputs to the script with that hash."""
        return await self.read(partial(_totals, script_hash))


def _history(
    script: bytes, skip: int, count: int, newest_first: bool, conn: Connection
) -> list[ScriptOutput]:
    order = "DESC" if newest_first else "ASC"
    rows = conn.execute(
        "SELECT o.txid, o.vout, o.value, o.height, o.position FROM outputs o "
        "JOIN blocks b ON b.id = o.block AND b.active WHERE o.script = ? "
        f"ORDER BY o.height {order}, o.position {order}, o.vout {order} LIMIT ? OFFSET ?",
        (script, count, skip),
    ).fetchall()
    return [
        ScriptOutput(OutPoint(txid, vout), value, height, position, _spend(conn, txid, vout))
        for txid, vout, value, height, position in rows
    ]


def _spend(conn: Connection, txid: bytes, vout: int) -> Spend | None:
    row = conn.execute(
        "SELECT s.spender, s.input, b.height FROM spends s JOIN blocks b ON b.id = s.block AND b.active "
        "WHERE s.txid = ? AND s.vout = ?",
        (txid, vout),
    ).fetchone()
    return None if row is None else Spend(*row)


def _totals(script: bytes, conn: Connection) -> ScriptTotals:
    row = conn.execute(
        "SELECT count(*), ifnull(sum(value), 0), ifnull(sum(spent), 0), ifnull(sum(value * spent), 0) FROM ("
        "SELECT o.value AS value, EXISTS (SELECT 1 FROM spends s JOIN blocks c ON c.id = s.block "
        "AND c.active WHERE s.txid = o.txid AND s.vout = o.vout) AS spent "
        "FROM outputs o JOIN blocks b ON b.id = o.block AND b.active WHERE o.script = ?)",
        (script,),
    ).fetchone()
    return ScriptTotals(*row)
