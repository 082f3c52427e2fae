"""What feeds the estimator, and its file: fresh, stale, damaged, of other versions; when it is written."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import msgpack
import pytest
from ports import ListLog, make_ports
from running import running_chain
from scene import make_scene

from pybitcoind.chain.mempool.fee_estimator import FeeEstimator
from pybitcoind.chain.mempool.fee_recorder import FeeRecorder
from pybitcoind.chain.mempool.pool import Mempool
from pybitcoind.chain.policy.settings import PolicySettings

HOUR = 3600


def recorder(path: Path) -> tuple[FeeRecorder, ListLog]:
    ports = make_ports()
    assert isinstance(ports.log, ListLog)
    return FeeRecorder(ports, path), ports.log


def some_data() -> bytes:
    estimator = FeeEstimator(ListLog())
    estimator.block_came(123, [])
    return estimator.pack()


async def test_no_file(tmp_path: Path) -> None:
    fees, log = recorder(tmp_path / "fee_estimates.dat")
    await fees.load()
    assert log.lines == [f"{fees.path} is not found. Continue anyway."]
    await fees.close()
    assert log.find("[estimatefee] Recorded 0 unconfirmed txs from mempool in 0.0")
    assert log.lines[-1] == f"[estimatefee] Flushed fee estimates to {fees.path}."
    again, _ = recorder(fees.path)
    await again.load()
    assert again.estimator.pack() == fees.estimator.pack()


@pytest.mark.parametrize(
    ("hours", "accept", "read"), [(60.9, False, True), (61.1, False, False), (99, True, True)]
)
async def test_stale_files(tmp_path: Path, hours: float, accept: bool, read: bool) -> None:
    path = tmp_path / "fee_estimates.dat"
    path.write_bytes(some_data())
    then = time.time() - hours * HOUR
    os.utime(path, (then, then))
    fees, log = recorder(path)
    await fees.load(accept_stale=accept)
    assert fees.estimator.best_height == (123 if read else 0)
    warnings = (
        []
        if read
        else [
            f"[warning] Fee estimation file {path} too old (age=61 > 60 hours) and will not be used to avoid "
            "serving stale estimates."
        ]
    )
    assert log.find("[warning]") == warnings


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (
            b"",
            ["Unable to read policy estimator data (non-fatal): ", "Failed to read fee estimates from"],
        ),
        (some_data()[:-9], ["Unable to read policy estimator data (non-fatal): ", "Failed to read fee"]),
        (
            msgpack.packb({"version": 7}),
            [
                "Unable to read policy estimator data (non-fatal): File version (7) too high to be read.",
                "Failed to read fee estimates from {}. Continue anyway.",
            ],
        ),
        (msgpack.packb({"version": 0}), ["Incompatible old fee estimation data (non-fatal). Version: 0"]),
    ],
)
async def test_files_that_cannot_be_used(tmp_path: Path, data: bytes, lines: list[str]) -> None:
    path = tmp_path / "fee_estimates.dat"
    path.write_bytes(data)
    fees, log = recorder(path)
    await fees.load()
    assert fees.estimator.best_height == 0
    assert len(log.lines) == len(lines)
    for line, start in zip(log.lines, lines, strict=True):
        assert line.startswith("[warning] " + start.format(path))
    await fees.close()
    fresh, log = recorder(path)
    await fresh.load()
    assert not log.find("[warning]")


async def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    fees, log = recorder(tmp_path / "missing" / "fee_estimates.dat")
    await fees.close()
    assert log.lines[-1] == f"[warning] Failed to write fee estimates to {fees.path}. Continue anyway."


async def test_it_is_written_every_hour(tmp_path: Path) -> None:
    fees, _ = recorder(tmp_path / "fee_estimates.dat")
    written = asyncio.Event()
    write = fees.write

    async def noted() -> None:
        await write()
        written.set()

    fees.write = noted  # type: ignore[method-assign]
    running = asyncio.create_task(fees.run())
    for _ in range(2):
        fees.mock_forward(HOUR - 60)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not written.is_set()
        fees.mock_forward(61)
        await asyncio.wait_for(written.wait(), 10)
        assert fees.path.exists()
        written.clear()
        fees.path.unlink()
    fees.stop()
    await asyncio.wait_for(running, 10)
    assert not fees.path.exists()


async def test_fed_by_the_chain_and_the_mempool(tmp_path: Path) -> None:
    """A child, a package, what came back from a block and what a node behind sees tell nothing."""
    base = make_scene(110)
    first, second, third = (base.spend(coin) for coin in base.mature[:3])
    child = base.spend(base.output(first))
    mined = base.extended(base.block(first))
    other = base.extended(base.block(coinbase=base.coinbase(script_sig=b"\x01\x6f\x00\x00")))
    other2 = other.extended(other.block())
    ports = make_ports(now=other2.now)
    fees = FeeRecorder(ports, tmp_path / "fee_estimates.dat")
    async with running_chain(ports) as chain:
        following = asyncio.create_task(chain.events.subscribe("fees", fees.handle).run())
        pool = Mempool(PolicySettings(), ports.clock, ports.log, chain.events)
        chain.attach_mempool(pool)
        for block in base.blocks:
            await chain.accept_block(block, requested=True)
        await chain.activate_best()

        async def followed() -> int:
            await chain.events.drained()
            return len(fees.estimator)

        assert await followed() == 0 and fees.estimator.best_height == base.tip.height
        assert chain.is_current
        await chain.accept_transaction(first)
        assert await followed() == 1
        await chain.accept_transaction(child)
        await chain.accept_package([second])
        assert len(pool) == 3 and await followed() == 1
        await chain.process_block(mined.blocks[-1])
        assert await followed() == 0
        for block in other2.blocks[-2:]:
            await chain.process_block(block)
        assert chain.tip.hash == other2.tip.hash and pool.contains(first.txid)
        assert await followed() == 0
        ports.clock.set_mock_time(chain.tip.time + 3 * HOUR)
        assert chain.is_current
        await chain.accept_transaction(third)
        assert await followed() == 1
        ports.clock.set_mock_time(chain.tip.time + 3 * HOUR + 1)
        assert not chain.is_current
        await chain.accept_transaction(base.spend(base.mature[3]))
        assert await followed() == 1
    await following
    assert "[estimatefee] Blockpolicy first recorded height 111" in ports.log.lines  # type: ignore[attr-defined]
