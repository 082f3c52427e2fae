"""mempool.dat: what was there is there again; damaged, old and strange files do no harm."""

from __future__ import annotations

import os
from pathlib import Path

import msgpack
import pytest
from mini_wallet import outputs_of
from ports import ListLog, make_ports
from refused_transactions import Stage

from pybitcoind.chain.events import EventBus
from pybitcoind.chain.mempool.acceptance import Acceptance
from pybitcoind.chain.mempool.persistence import dump, load
from pybitcoind.chain.mempool.pool import Mempool
from pybitcoind.chain.policy.settings import PolicySettings

START = 1_700_000_000


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage()


def acceptance_on(stage: Stage, now: int = START) -> Acceptance:
    ports = make_ports(now=now)
    pool = Mempool(PolicySettings(), ports.clock, ports.log, EventBus())
    return Acceptance(pool, stage.chain, stage.chain.params, ports)


def lines(acceptance: Acceptance) -> list[str]:
    log = acceptance.ports.log
    assert isinstance(log, ListLog)
    return log.lines


async def test_round_trip(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "mempool.dat"
    before = acceptance_on(stage)
    parent = stage.pay(fee=500)
    child = stage.wallet.spend(outputs_of(parent, stage.wallet.script_pubkey)[0], fee=9000)
    other = stage.pay()
    for tx in (parent, child, other):
        await before.accept(tx, time=START - 7)
    before.pool.prioritise(other.txid, 321)
    before.pool.prioritise(b"\x09" * 32, -5)
    before.pool.add_unbroadcast(child.txid)
    assert await dump(before, path)
    assert os.listdir(tmp_path) == ["mempool.dat"]

    after = acceptance_on(stage, START + 3600)
    counts = await load(after, path)
    assert counts is not None
    assert (counts.succeeded, counts.failed, counts.expired, counts.unbroadcast) == (3, 0, 0, 1)
    assert {e.txid: (e.time, e.modified_fee) for e in after.pool.entries.values()} == {
        e.txid: (e.time, e.modified_fee) for e in before.pool.entries.values()
    }
    assert after.pool.deltas == before.pool.deltas
    assert after.pool.unbroadcast == before.pool.unbroadcast
    assert any("3 succeeded, 0 failed, 0 expired, 0 already there" in line for line in lines(after))
    again = await load(after, path)
    assert again is not None and (again.succeeded, again.already_there) == (0, 3)


async def test_options_of_an_import(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "mempool.dat"
    before = acceptance_on(stage)
    tx = stage.pay()
    await before.accept(tx, time=START - 7)
    before.pool.prioritise(tx.txid, 321)
    before.pool.add_unbroadcast(tx.txid)
    assert await dump(before, path)
    after = acceptance_on(stage)
    await load(
        after, path, use_current_time=True, apply_fee_delta_priority=False, apply_unbroadcast_set=False
    )
    assert after.pool.entries[tx.txid].time == START
    assert not after.pool.deltas and not after.pool.unbroadcast


async def test_what_no_longer_stands_is_left_out(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "mempool.dat"
    before = acceptance_on(stage)
    old, twin = stage.pay(), stage.coin()
    rivals = [stage.wallet.spend(twin, fee=fee) for fee in (1000, 900)]
    await before.accept(old, time=START - 336 * 3600)
    await before.accept(rivals[0])
    assert await dump(before, path)
    after = acceptance_on(stage)
    await after.accept(stage.wallet.spend(twin, fee=5000))
    counts = await load(after, path)
    assert counts is not None
    assert (counts.succeeded, counts.failed, counts.expired) == (0, 1, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x02\x00\x00\x00\x00\x00\x00\x00",
        msgpack.packb({"version": 2, "txs": [], "deltas": [], "unbroadcast": []}),
        msgpack.packb({"version": 1, "txs": [[b"\x01", 0, 0]], "deltas": [], "unbroadcast": []}),
        msgpack.packb({"version": 1, "txs": [7], "deltas": [], "unbroadcast": []}),
        msgpack.packb({"version": 1, "txs": []}),
        msgpack.packb([1, 2, 3]),
    ],
)
async def test_damaged_files(data: bytes, stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "mempool.dat"
    path.write_bytes(data)
    acceptance = acceptance_on(stage)
    assert await load(acceptance, path) is None
    assert any("Failed to deserialize mempool data on file" in line for line in lines(acceptance))


async def test_no_file(stage: Stage, tmp_path: Path) -> None:
    acceptance = acceptance_on(stage)
    assert await load(acceptance, tmp_path / "mempool.dat") is None
    assert lines(acceptance) == ["Failed to open mempool file. Continuing anyway."]
    assert not await dump(acceptance, tmp_path / "missing" / "mempool.dat")
    assert any("Failed to dump mempool" in line for line in lines(acceptance))
