"""Every index is built anew where its file is of no use, goes on after a kill, and holds back pruning."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from test_indexes import Chain, Quiet, running, spend, until_synced

from pybitcoind.chain.events import EventBus
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.indexes import base
from pybitcoind.chain.indexes.base import Index
from pybitcoind.chain.indexes.block_filters import BlockFilterIndex
from pybitcoind.chain.indexes.coin_stats import CoinStatsIndex
from pybitcoind.chain.indexes.scripts import ScriptIndex
from pybitcoind.chain.indexes.spenders import SpenderIndex
from pybitcoind.chain.indexes.transactions import TxIndex
from pybitcoind.chain.params import regtest
from pybitcoind.chain.ports import Ports
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.storage.database import Damaged, FileStorage
from pybitcoind.chain.storage.migrations import put_meta

KINDS: list[type[Index[Any]]] = [TxIndex, BlockFilterIndex, CoinStatsIndex, SpenderIndex, ScriptIndex]
TABLES = {
    TxIndex: ("txs",),
    BlockFilterIndex: ("filters",),
    CoinStatsIndex: ("stats",),
    SpenderIndex: ("spends",),
    ScriptIndex: ("outputs", "spends"),
}


@pytest.fixture
def chain() -> Chain:
    chain = Chain()
    for n in range(24):
        chain.connect(chain.extend(None, spend(2 * n), spend(2 * n + 1)))
    return chain


@pytest.fixture(params=KINDS, ids=lambda kind: kind.NAME)
def kind(request: pytest.FixtureRequest) -> type[Index[Any]]:
    chosen: type[Index[Any]] = request.param
    return chosen


def ports_of(folder: Path) -> Ports:
    quiet: Any = Quiet()
    return Ports(quiet, quiet, quiet, quiet, FileStorage(folder), quiet)


async def content(index: Index[Any]) -> list[Any]:
    """All rows but the numbers of blocks, which depend on the order of building."""
    rows: list[Any] = []
    for table in TABLES[type(index)]:
        join = (
            " JOIN blocks b ON b.id = t.block" if type(index) in (TxIndex, SpenderIndex, ScriptIndex) else ""
        )
        rows += await index.db.read(
            lambda conn, table=table, join=join: conn.execute(f"SELECT * FROM {table} t{join}").fetchall()  # type: ignore[misc]
        )
    by_id = type(index) in (BlockFilterIndex, CoinStatsIndex)
    return sorted((row[1:] if by_id else row for row in rows), key=repr)


async def built(kind: type[Index[Any]], chain: Chain, folder: Path) -> list[Any]:
    async with running(kind, chain, ports_of(folder)) as index:
        return await content(index)


def overwrite(path: Path, start: int) -> None:
    path.write_bytes(path.read_bytes()[:start] + b"\x5a" * 9000)


async def not_a_database(path: Path) -> None:
    overwrite(path, 0)


async def pages_lost(path: Path) -> None:
    overwrite(path, 4096)


async def old_format(path: Path) -> None:
    db = await FileStorage(path.parent).open(path.name)
    await db.write(lambda conn: conn.execute("PRAGMA user_version=0"))
    await db.close()


async def blocks_unknown(path: Path) -> None:
    db = await FileStorage(path.parent).open(path.name)
    await db.write(lambda conn: put_meta(conn, "best_block", b"x" * 64))
    await db.close()


async def change(path: Path, *statements: str) -> None:
    db = await FileStorage(path.parent).open(path.name)
    for statement in statements:
        await db.write(lambda conn, statement=statement: conn.execute(statement))  # type: ignore[misc]
    await db.close()


def tables_of(path: Path) -> tuple[str, ...]:
    return next(tables for kind, tables in TABLES.items() if path.name in kind.FILE)


async def table_dropped(path: Path) -> None:
    await change(path, f"DROP TABLE {tables_of(path)[-1]}")


async def meta_dropped(path: Path) -> None:
    await change(path, "DROP TABLE meta")


async def rows_lost(path: Path) -> None:
    """Some that lie beside each other, of one table."""
    table = tables_of(path)[-1]
    db = await FileStorage(path.parent).open(path.name)
    columns = await db.read(lambda conn: conn.execute(f"PRAGMA table_info({table})").fetchall())
    await db.close()
    first = columns[0][1]
    some = f"SELECT {first} FROM {table} ORDER BY 1 LIMIT 5 OFFSET 8"
    await change(path, f"DELETE FROM {table} WHERE {first} IN ({some})")


async def row_changed(path: Path) -> None:
    what = {
        "txs": "start = start + 1",
        "filters": "filter_hash = zeroblob(32)",
        "stats": "total_amount = total_amount + 1",
        "spends": "block = block + 1" if "spender" in path.name else "input = input + 1",
    }
    table = tables_of(path)[-1]
    await change(
        path,
        f"UPDATE OR REPLACE {table} SET {what[table]} WHERE block = 20"
        if table not in ("filters", "stats")
        else f"UPDATE {table} SET {what[table]} WHERE id = 20",
    )


async def further_than_it_is(path: Path) -> None:
    """Its best block is one that it does not hold."""
    by_hash = tables_of(path)[0] if tables_of(path)[0] in ("filters", "stats") else "blocks"
    await change(path, f"DELETE FROM {by_hash} WHERE id > 15")


HARMS = [
    not_a_database,
    pages_lost,
    old_format,
    blocks_unknown,
    table_dropped,
    meta_dropped,
    rows_lost,
    row_changed,
    further_than_it_is,
]


@pytest.mark.parametrize("harm", HARMS)
async def test_a_damaged_index_is_built_anew(
    kind: type[Index[Any]], harm: Callable[[Path], Awaitable[None]], chain: Chain, tmp_path: Path
) -> None:
    expected = await built(kind, chain, tmp_path)
    assert len(expected) > 20
    await harm(tmp_path / kind.FILE)
    ports = ports_of(tmp_path)
    async with running(kind, chain, ports) as index:
        assert index.best is chain.tip
        assert await content(index) == expected
    lines: list[str] = ports.log.lines  # type: ignore[attr-defined]
    told = [line for line in lines if line.startswith("[warning]")]
    assert len(told) == 1 and told[0].endswith("It is deleted and built anew."), lines
    assert told[0].startswith(f"[warning] {kind.NAME}: {kind.FILE}") or "are unknown here" in told[0]


async def until_built_anew(index: Index[Any], ports: Ports) -> None:
    """Whoever reads meanwhile waits, and sees the old rows or the new ones."""
    for _ in range(10_000):
        await index.read(lambda conn: conn.execute("SELECT * FROM meta").fetchall())
        if index.synced and any("built anew" in line for line in ports.log.lines):  # type: ignore[attr-defined]
            return
        await asyncio.sleep(0.0005)
    raise AssertionError("the damage is not found")


@pytest.mark.parametrize("harm", [rows_lost, row_changed])
async def test_damage_of_any_block_is_found_by_and_by(
    kind: type[Index[Any]],
    harm: Callable[[Path], Awaitable[None]],
    chain: Chain,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also of one that the look at the start leaves out."""
    expected = await built(kind, chain, tmp_path)
    await harm(tmp_path / kind.FILE)
    monkeypatch.setattr(base, "CHECKED_BLOCKS", 0)
    ports = ports_of(tmp_path)
    async with running(kind, chain, ports, look_at_all=True) as index:
        await until_built_anew(index, ports)
        assert await content(index) == expected


async def test_a_damaged_block_is_not_the_indexes_fault(
    kind: type[Index[Any]], chain: Chain, tmp_path: Path
) -> None:
    expected = await built(kind, chain, tmp_path)
    node = chain.headers.chain[20]
    block, undo = chain.blocks[node]
    chain.blocks[node] = (Block(block.header, [*block.vtx[:-1], spend(999), spend(998)]), undo)
    ports = ports_of(tmp_path)
    async with running(kind, chain, ports, look_at_all=True) as index:
        assert await content(index) == expected
    assert not any("built anew" in line for line in ports.log.lines)  # type: ignore[attr-defined]


ASKED: dict[type[Index[Any]], Callable[[Any, HeaderNode], Awaitable[Any]]] = {
    TxIndex: lambda index, node: index.find(spend(2 * node.height - 2).txid),
    SpenderIndex: lambda index, node: index.find(spend(2 * node.height - 2).vin[0].prevout),
    BlockFilterIndex: lambda index, node: index.filter(node.hash),
}
ROWS = [
    (TxIndex, "UPDATE txs SET start = start + 1"),
    (TxIndex, "UPDATE txs SET start = start + length"),
    (TxIndex, "UPDATE txs SET length = 1"),
    (TxIndex, "UPDATE txs SET block = 1 + block % 23"),
    (SpenderIndex, "UPDATE spends SET start = start + 1"),
    (SpenderIndex, "UPDATE spends SET start = 1000000"),
    (SpenderIndex, "UPDATE spends SET start = 81"),
    (BlockFilterIndex, "UPDATE filters SET encoded = encoded || x'00'"),
    (BlockFilterIndex, "UPDATE filters SET filter_hash = zeroblob(32)"),
    (BlockFilterIndex, "UPDATE filters SET header = zeroblob(32) WHERE id = 12"),
]


@pytest.mark.parametrize(("kind", "statement"), ROWS)
async def test_a_row_that_contradicts_its_block_when_it_is_read(
    kind: type[Index[Any]],
    statement: str,
    chain: Chain,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody gets another transaction or a filter that is none; the index is built anew, and then answers."""
    ask, node = ASKED[kind], chain.headers.chain[11]
    expected = await built(kind, chain, tmp_path)
    await change(tmp_path / kind.FILE, statement)
    monkeypatch.setattr(base, "CHECKED_BLOCKS", 0)
    ports = ports_of(tmp_path)
    async with running(kind, chain, ports) as index:
        assert await ask(index, node) is None
        await until_built_anew(index, ports)
        assert await ask(index, node) is not None
        assert await content(index) == expected


async def test_damaged_filter_hashes_are_not_sent(chain: Chain, tmp_path: Path) -> None:
    await built(BlockFilterIndex, chain, tmp_path)
    await change(tmp_path / BlockFilterIndex.FILE, "UPDATE filters SET filter_hash=zeroblob(32) WHERE id=12")
    index = BlockFilterIndex(chain, chain.events, ports_of(tmp_path), regtest())
    await index.open()
    assert await index.filter_hashes(13, chain.tip) is not None
    assert await index.filter_hashes(3, chain.tip) is None
    await index.close()


async def test_where_blocks_are_pruned_nothing_is_deleted(
    kind: type[Index[Any]], chain: Chain, tmp_path: Path
) -> None:
    """What cannot be made anew is kept, and the node says what can be done."""
    expected = await built(kind, chain, tmp_path)
    await row_changed(tmp_path / kind.FILE)
    chain.headers.chain[3].status = 1
    index = kind(chain, chain.events, ports_of(tmp_path), regtest())
    await index.open()
    with pytest.raises(Damaged, match=r"is damaged \(block .*\)\. Blocks .* are pruned"):
        await index._check_some_blocks()
    assert len(await content(index)) == len(expected)
    await index.close()


async def test_less_than_it_has_is_no_damage(kind: type[Index[Any]], chain: Chain, tmp_path: Path) -> None:
    """As after a crash: it goes on from there, and nothing is deleted."""
    expected = await built(kind, chain, tmp_path)
    for harm in ("DELETE FROM meta WHERE key='best_block'", "UPDATE meta SET value=? WHERE key='best_block'"):
        db = await FileStorage(tmp_path).open(kind.FILE)
        values = [b"".join(chain.headers.locator(chain.headers.chain[10]))] if "?" in harm else []
        await db.write(lambda conn, harm=harm, values=values: conn.execute(harm, values))  # type: ignore[misc]
        await db.close()
        ports = ports_of(tmp_path)
        async with running(kind, chain, ports) as index:
            assert index.best is chain.tip
            assert await content(index) == expected
        assert not any("built anew" in line for line in ports.log.lines)  # type: ignore[attr-defined]


async def test_damage_met_while_it_runs(kind: type[Index[Any]], chain: Chain, tmp_path: Path) -> None:
    expected = await built(kind, chain, tmp_path / "other")
    ports = ports_of(tmp_path)
    async with running(kind, chain, ports) as index:
        harmed = index.db
        write = harmed.write

        async def fails(fn: Any) -> Any:
            harmed.write = write  # type: ignore[method-assign]
            raise base.Damaged(f"{kind.FILE} is damaged (database disk image is malformed).")

        harmed.write = fails  # type: ignore[method-assign]
        chain.connect(chain.extend(None, spend(500)))
        await chain.events.drained()
        await until_synced(index, asyncio.current_task())  # type: ignore[arg-type]
        assert index.db is not harmed and index.best is chain.tip
        again = await content(index)
    assert len(again) > len(expected)
    assert await built(kind, chain, tmp_path / "third") == again


async def test_killed_amid_the_build_it_goes_on(
    kind: type[Index[Any]], chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files as they are after some batches, the journal not yet written back, are what a kill leaves."""
    monkeypatch.setattr(base, "BATCH_BLOCKS", 7)
    monkeypatch.setattr(base, "CHECKED_BLOCKS", 0)
    expected = await built(kind, chain, tmp_path / "whole")
    index = kind(chain, EventBus(), ports_of(tmp_path / "first"), regtest())
    await index.open()
    for batch in range(3):
        await index._follow_some()
        copy = tmp_path / f"copy{batch}"
        shutil.copytree(tmp_path / "first", copy)
        chain.reads = 0
        async with running(kind, chain, ports_of(copy)) as again:
            assert await content(again) == expected
        assert chain.reads == 25 - 7 * (batch + 1)
    await index.close()


async def test_pruning_waits_for_it(kind: type[Index[Any]], chain: Chain, tmp_path: Path) -> None:
    """The lock is at the last block it has; an index that is of no use on a pruned node has none."""
    index = kind(chain, chain.events, ports_of(tmp_path), regtest())
    await index.open()
    locks = chain.prune_locks
    assert locks == ({kind.NAME: 0} if kind.ALLOW_PRUNE else {})
    await index.catch_up()
    assert locks == ({kind.NAME: 24} if kind.ALLOW_PRUNE else {})
    await index.close()


async def test_blocks_it_lacks_are_told(kind: type[Index[Any]], chain: Chain, tmp_path: Path) -> None:
    gone: HeaderNode = chain.headers.chain[3]
    gone.status = 1
    index = kind(chain, chain.events, ports_of(tmp_path), regtest())
    await index.open()
    assert index.missing_data() is gone
    await index.close()
