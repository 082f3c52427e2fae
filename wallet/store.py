"""One wallet's file, wallets/NAME/wallet.sqlite. Private keys are in a table of their own.

Tables: meta (network, flags, best block locator), descriptors, scripts (what each descriptor gave so far),
secrets, transactions, addresses (labels), locked_coins.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pybitcoind.chain.descriptors import parse_descriptor
from pybitcoind.chain.params import ChainParams
from pybitcoind.chain.ports import Storage
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction
from pybitcoind.chain.storage.coin_store import network_name
from pybitcoind.chain.storage.database import Connection, Damaged, Database, repair_advice
from pybitcoind.chain.storage.migrations import Schema, get_meta, open_database, put_meta

from .hd import ExtKey, KeyStore
from .ledger import Confirmed, Conflicted, Inactive, TxState, WalletTx
from .scripts import DerivedScript, WalletDescriptor

FILE = "wallet.sqlite"

SCHEMA = Schema(
    1,
    [
        """CREATE TABLE descriptors (
            id INTEGER PRIMARY KEY, text TEXT NOT NULL, created INTEGER NOT NULL,
            range_start INTEGER NOT NULL, range_end INTEGER NOT NULL, next_index INTEGER NOT NULL,
            active INTEGER NOT NULL, internal INTEGER)""",
        """CREATE TABLE scripts (
            descriptor INTEGER NOT NULL, position INTEGER NOT NULL, script BLOB NOT NULL,
            PRIMARY KEY (descriptor, position, script)) WITHOUT ROWID""",
        "CREATE TABLE secrets (pubkey BLOB PRIMARY KEY, kind TEXT NOT NULL, secret BLOB NOT NULL)",
        """CREATE TABLE transactions (
            txid BLOB PRIMARY KEY, raw BLOB NOT NULL, arrival INTEGER NOT NULL, received INTEGER NOT NULL,
            smart_time INTEGER NOT NULL, state TEXT NOT NULL, block BLOB, height INTEGER, position INTEGER,
            block_time INTEGER, extra TEXT NOT NULL)""",
        "CREATE TABLE addresses (address TEXT PRIMARY KEY, label TEXT, purpose TEXT NOT NULL)",
        "CREATE TABLE locked_coins (txid BLOB, vout INTEGER, PRIMARY KEY (txid, vout))",
    ],
)


@dataclass(slots=True)
class AddressEntry:
    """label: None for a change address. purpose: "receive", "send" or "refund"."""

    label: str | None
    purpose: str


@dataclass(slots=True)
class Stored:
    """All that a wallet's file holds."""

    flags: list[str] = field(default_factory=list)
    locator: list[bytes] = field(default_factory=list)
    keys: KeyStore = field(default_factory=KeyStore)
    descriptors: list[WalletDescriptor] = field(default_factory=list)
    scripts: dict[int, list[DerivedScript]] = field(default_factory=dict)
    transactions: list[WalletTx] = field(default_factory=list)
    addresses: dict[str, AddressEntry] = field(default_factory=dict)
    locked: list[OutPoint] = field(default_factory=list)


@dataclass(slots=True)
class Changes:
    """What to write in one transaction; empty parts stay as they are."""

    transactions: Sequence[WalletTx] = ()
    descriptors: Sequence[WalletDescriptor] = ()
    scripts: Sequence[tuple[int, DerivedScript]] = ()
    addresses: dict[str, AddressEntry] = field(default_factory=dict)
    unlocked: Sequence[OutPoint] = ()
    locator: Sequence[bytes] | None = None
    flags: Sequence[str] | None = None
    keys: KeyStore | None = None

    def __bool__(self) -> bool:
        parts = (
            self.transactions,
            self.descriptors,
            self.scripts,
            self.addresses,
            self.unlocked,
            self.keys,
        )
        return any(parts) or self.locator is not None or self.flags is not None


class WalletStore:
    """Open with `open`."""

    def __init__(self, db: Database, params: ChainParams) -> None:
        self.db, self.params = db, params

    @classmethod
    async def open(
        cls, storage: Storage, folder: str, params: ChainParams, *, create: bool = True
    ) -> WalletStore:
        """The file in folder. create: it is made if there is none.

        StorageError if it is no wallet of this network.
        """
        name = f"{folder}/{FILE}"
        if not create and not storage.size(name):
            raise Damaged(f"{name} is empty.", repair_advice(name), name=name)
        db = await open_database(storage, name, SCHEMA, network_name(params), full_sync=True)
        return cls(db, params)

    async def close(self) -> None:
        await self.db.close()

    async def load(self) -> Stored:
        return await self.db.read(self._load)

    async def write(self, changes: Changes) -> None:
        if changes:
            rows = [_tx_row(wtx) for wtx in changes.transactions]  # now, before another event changes them
            descriptors = [_descriptor_row(entry) for entry in changes.descriptors]
            await self.db.write(lambda conn: _write(conn, changes, rows, descriptors, self.params))

    async def lock_coin(self, outpoint: OutPoint) -> None:
        await self.db.write(
            lambda conn: conn.execute("INSERT OR IGNORE INTO locked_coins VALUES (?, ?)", outpoint)
        )

    async def unlock_coins(self, outpoints: Iterable[OutPoint]) -> None:
        gone = list(outpoints)
        await self.db.write(
            lambda conn: conn.executemany("DELETE FROM locked_coins WHERE txid=? AND vout=?", gone)
        )

    def _load(self, conn: Connection) -> Stored:
        out = Stored()
        flags, locator = get_meta(conn, "flags"), get_meta(conn, "locator")
        out.flags = flags.split() if isinstance(flags, str) else []
        if isinstance(locator, bytes):
            out.locator = [locator[i : i + 32] for i in range(0, len(locator), 32)]
        for kind, secret in conn.execute("SELECT kind, secret FROM secrets ORDER BY rowid"):
            _add_secret(out.keys, kind, secret, self.params)
        columns = "id, text, created, range_start, range_end, next_index, active, internal"
        for row in conn.execute(f"SELECT {columns} FROM descriptors ORDER BY id"):
            number, text, created, start, end, following, active, internal = row
            descriptor = parse_descriptor(text, self.params, sink=out.keys)
            out.descriptors.append(
                WalletDescriptor(
                    number,
                    descriptor,
                    created,
                    start,
                    end,
                    following,
                    bool(active),
                    None if internal is None else bool(internal),
                )
            )
        for number, position, script in conn.execute("SELECT descriptor, position, script FROM scripts"):
            out.scripts.setdefault(number, []).append((script, position))
        columns = "raw, arrival, received, smart_time, state, block, height, position, block_time, extra"
        for row in conn.execute(f"SELECT {columns} FROM transactions ORDER BY arrival"):
            raw, arrival, received, smart_time, *state, extra = row
            out.transactions.append(
                WalletTx(
                    Transaction.decode(raw),
                    _state_of(*state),
                    received,
                    smart_time,
                    arrival,
                    json.loads(extra),
                )
            )
        for address, label, purpose in conn.execute("SELECT address, label, purpose FROM addresses"):
            out.addresses[address] = AddressEntry(label, purpose)
        out.locked = [OutPoint(*row) for row in conn.execute("SELECT txid, vout FROM locked_coins")]
        return out


def _write(
    conn: Connection,
    changes: Changes,
    transactions: list[tuple[Any, ...]],
    descriptors: list[tuple[Any, ...]],
    params: ChainParams,
) -> None:
    conn.executemany(
        "INSERT OR REPLACE INTO transactions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", transactions
    )
    conn.executemany("INSERT OR REPLACE INTO descriptors VALUES (?, ?, ?, ?, ?, ?, ?, ?)", descriptors)
    conn.executemany(
        "INSERT OR IGNORE INTO scripts VALUES (?, ?, ?)",
        [(number, position, script) for number, (script, position) in changes.scripts],
    )
    conn.executemany(
        "INSERT OR REPLACE INTO addresses VALUES (?, ?, ?)",
        [(address, entry.label, entry.purpose) for address, entry in changes.addresses.items()],
    )
    conn.executemany("DELETE FROM locked_coins WHERE txid=? AND vout=?", changes.unlocked)
    if changes.locator is not None:
        put_meta(conn, "locator", b"".join(changes.locator))
    if changes.flags is not None:
        put_meta(conn, "flags", " ".join(changes.flags))
    if changes.keys is not None:
        conn.executemany("INSERT OR IGNORE INTO secrets VALUES (?, ?, ?)", _secret_rows(changes.keys, params))


def _secret_rows(keys: KeyStore, params: ChainParams) -> list[tuple[bytes, str, bytes]]:
    rows = [(pubkey, "xprv", key.encode(params).encode()) for pubkey, key in keys.roots.items()]
    for pubkey, secret in keys.secrets.items():
        rows.append((pubkey, "compressed" if len(pubkey) == 33 else "uncompressed", secret))
    return rows


def _add_secret(keys: KeyStore, kind: str, secret: bytes, params: ChainParams) -> None:
    if kind == "xprv":
        root = ExtKey.decode(secret.decode(), params)
        assert root is not None, "written by us"
        keys.add_root(root)
    else:
        keys.add_secret(secret, kind == "compressed")


def _descriptor_row(entry: WalletDescriptor) -> tuple[Any, ...]:
    return (
        entry.id,
        str(entry.descriptor),
        entry.created,
        entry.range_start,
        entry.range_end,
        entry.next_index,
        int(entry.active),
        None if entry.internal is None else int(entry.internal),
    )


def _tx_row(wtx: WalletTx) -> tuple[Any, ...]:
    state = wtx.state
    place: tuple[Any, ...] = ("inactive", None, None, None, None)
    if isinstance(state, Confirmed):
        place = ("confirmed", state.block_hash, state.height, state.index, state.time)
    elif isinstance(state, Conflicted):
        place = ("conflicted", state.block_hash, state.height, None, None)
    elif isinstance(state, Inactive) and state.abandoned:
        place = ("abandoned", None, None, None, None)
    return (
        wtx.txid,
        wtx.tx.raw,
        wtx.order,
        wtx.received,
        wtx.smart_time,
        *place,
        json.dumps(wtx.extra),
    )


def _state_of(kind: str, block: bytes, height: int, position: int, block_time: int) -> TxState:
    """The mempool forgets: what was pending is inactive until the node says otherwise."""
    if kind == "confirmed":
        return Confirmed(block, height, position, block_time)
    if kind == "conflicted":
        return Conflicted(block, height)
    return Inactive(abandoned=kind == "abandoned")
