"""Which version of its tables a database has: made new, brought up to date, or refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ..ports import Storage
from .database import Connection, Damaged, Database, StorageError, repair_advice

Upgrade = str | Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class Schema:
    """version: from 1 up, kept in the file's user_version. create: SQL for a new file of that version.

    upgrades: what leads from version n to n + 1, by n: SQL, or functions over the connection. Versions that
    are missing there cannot be upgraded.
    """

    version: int
    create: Sequence[str]
    upgrades: Mapping[int, Sequence[Upgrade]] = field(default_factory=lambda: MappingProxyType({}))


async def open_database(
    storage: Storage, name: str, schema: Schema, network: str = "", *, full_sync: bool = False
) -> Database:
    """The database called name, with its tables (see `prepare`); closed again if they are not to be had."""
    db = await storage.open(name, full_sync=full_sync)
    try:
        await prepare(db, schema, network)
    except BaseException:
        await db.close()
        raise
    return db


async def prepare(db: Database, schema: Schema, network: str = "") -> bool:
    """Leaves db with the tables of schema and says whether they are new.

    network: whose data this is ("regtest"; for a private signet more); "" where it is all the same.
    StorageError for a file of a newer version or of another network, Damaged for one without its tables.
    """
    version, tables = await db.read(_look)
    if version == 0 and not tables:
        await db.write(lambda conn: _create(conn, schema, network))
        return True
    if version == 0:
        raise Damaged(f"{db.name} is not a database of ours.", repair_advice(db.name), name=db.name)
    _refuse_newer(db, version, schema.version)
    if any(step not in schema.upgrades for step in range(version, schema.version)):
        raise Damaged(f"{db.name} has an old format ({version}).", repair_advice(db.name), name=db.name)
    if version == schema.version and (lost := await db.read(lambda conn: _missing(conn, schema))):
        raise Damaged(f"{db.name} is damaged (no {lost}).", repair_advice(db.name), name=db.name)
    found = await db.read(_network)
    if network and found != network:
        name, slash, _ = network.partition("/")
        why = f": another definition of {name}" if slash and found.startswith(name + slash) else ""
        raise StorageError(
            f"{db.name} holds data of network {found or 'unknown'}, not of {network}{why}.",
            "Use another data directory (-datadir).",
        )
    if version < schema.version:
        await db.write(lambda conn: _upgrade(conn, schema, version))
    return False


async def mark_version(db: Database, version: int) -> None:
    """For a database whose parts make their tables as they need them: StorageError for a newer one."""
    found, _ = await db.read(_look)
    _refuse_newer(db, found, version)
    if found < version:
        await db.write(lambda conn: conn.execute(f"PRAGMA user_version={version}"))


def _refuse_newer(db: Database, found: int, known: int) -> None:
    if found > known:
        raise StorageError(
            f"{db.name} was written by a newer version (format {found}, known are up to {known}).",
            "Use that version, or another data directory.",
            name=db.name,
        )


def _look(conn: Connection) -> tuple[int, int]:
    (version,) = conn.execute("PRAGMA user_version").fetchone()
    (tables,) = conn.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return version, tables


def _missing(conn: Connection, schema: Schema) -> str:
    """A table or an index of schema that is not there, as SQLite calls it; "" if all are."""
    found = {f"{kind} {name}" for kind, name in conn.execute("SELECT type, name FROM sqlite_master")}
    wanted = ["table meta"]
    for statement in schema.create:
        _, kind, name, *_ = statement.split(maxsplit=3)
        wanted.append(f"{kind.lower()} {name}")
    return next((thing for thing in wanted if thing not in found), "")


def _create(conn: Connection, schema: Schema, network: str) -> None:
    conn.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID")
    for statement in schema.create:
        conn.execute(statement)
    put_meta(conn, "network", network)
    conn.execute(f"PRAGMA user_version={schema.version}")


def _upgrade(conn: Connection, schema: Schema, version: int) -> None:
    for step in range(version, schema.version):
        for change in schema.upgrades[step]:
            if callable(change):
                change(conn)
            else:
                conn.execute(change)
    conn.execute(f"PRAGMA user_version={schema.version}")


def _network(conn: Connection) -> str:
    value = get_meta(conn, "network")
    return value if isinstance(value, str) else ""


def get_meta(conn: Connection, key: str) -> str | bytes | int | None:
    """The value of key in the table meta, which every database of ours has; None if there is none."""
    row = conn.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
    value: str | bytes | int | None = row[0] if row else None
    return value


def put_meta(conn: Connection, key: str, value: str | bytes | int) -> None:
    conn.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
