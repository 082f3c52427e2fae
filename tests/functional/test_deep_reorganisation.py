"""A deep reorganisation stays within the cache's budget, lets others live, can be stopped at any block."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from block_files import write_blocks
from long_chains import trunk
from node_process import Daemon, running
from ports import make_ports, thread_workers
from running import running_chain

from pybitcoind.chain.events import MAX_BEHIND, BlockConnected, BlockDisconnected, Event
from pybitcoind.chain.manager import ChainManager, ChainOptions
from pybitcoind.chain.mempool.pool import Mempool
from pybitcoind.chain.policy.settings import PolicySettings
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.utxo_set_hash import UtxoHashType, utxo_set_stats
from pybitcoind.node.ports import ThreadWorkers

BUDGET = 2 << 20
STOP_LIMIT = 2.0
LONGEST_SILENCE = 2.0
"""Seconds in which nobody else would be served; some tens of ms on a machine of its own."""


@dataclass
class Branches:
    """base: from height 1 on. old and new lead on from it, new by one block further."""

    base: list[Block]
    old: list[Block]
    new: list[Block]


def make_branches(depth: int, lanes: int) -> Branches:
    start, base = trunk(lanes)
    return Branches(base, list(start.fork(1).blocks(depth)), list(start.fork(2).blocks(depth + 1)))


@pytest.fixture(scope="module")
def branches() -> Branches:
    return make_branches(120, 20)


async def utxo_hash(chain: ChainManager) -> bytes:
    await chain.flush()
    stats = await utxo_set_stats(chain.chainstate.store, UtxoHashType.MUHASH, chain.ports.workers)
    assert stats.hash is not None
    return stats.hash


async def connect(chain: ChainManager, blocks: list[Block]) -> None:
    """By hand: activation is asked for only when all are stored."""
    for block in blocks:
        result = await chain.accept_block(block, requested=True)
        assert result.error is None
    await chain.activate_best()


async def straight(branches: Branches, workers: ThreadWorkers) -> bytes:
    """The UTXO set hash of a node that never saw the old branch."""
    async with running_chain(make_ports(workers=workers)) as chain:
        await connect(chain, [*branches.base, *branches.new])
        return await utxo_hash(chain)


async def store_unconnected(chain: ChainManager, blocks: list[Block]) -> None:
    """All but the last by rights: of equal work is no better, so nothing moves."""
    tip = chain.tip
    for block in blocks[:-1]:
        assert (await chain.accept_block(block, requested=True)).error is None
    await chain.activate_best()
    assert chain.tip is tip


async def watch_the_loop(gaps: list[float]) -> None:
    last = time.monotonic()
    while True:
        await asyncio.sleep(0)
        now = time.monotonic()
        gaps.append(now - last)
        last = now


async def reorganise(branches: Branches, folder: Path, workers: ThreadWorkers) -> None:
    expected = await straight(branches, workers)
    ports = make_ports(folder, workers=workers)
    options = ChainOptions(db_cache=BUDGET)
    async with running_chain(ports, options) as chain:
        await connect(chain, [*branches.base, *branches.old])
        pool = Mempool(PolicySettings(), ports.clock, ports.log, chain.events)
        chain.attach_mempool(pool)
        await store_unconnected(chain, branches.new)
        behind, told, usage, disconnected = [0], [], [0], [0]

        async def slow(event: Event) -> None:
            if isinstance(event, (BlockConnected, BlockDisconnected)):
                told.append(type(event))
                await asyncio.sleep(0)

        subscription = chain.events.subscribe("slow", slow)

        def look() -> None:
            behind.append(subscription.blocks_behind)
            usage.append(chain.chainstate.coins.usage)
            disconnected.append(pool.disconnected._usage)

        every_block(chain, look)
        gaps: list[float] = []
        gc.freeze()  # as the node does: what is there is there to stay
        async with asyncio.TaskGroup() as group:
            group.create_task(subscription.run())
            watcher = group.create_task(watch_the_loop(gaps))
            assert (await chain.accept_block(branches.new[-1], requested=True)).error is None
            await chain.activate_best()
            await chain.events.drained()
            watcher.cancel()
            chain.events.unsubscribe(subscription)
        assert chain.tip.hash == branches.new[-1].hash
        assert await utxo_hash(chain) == expected
        assert told == [BlockDisconnected] * len(branches.old) + [BlockConnected] * len(branches.new)
        assert max(behind) <= 2 * MAX_BEHIND + 1  # ten behind, and those told of at the end of the step
        assert max(usage) <= BUDGET * 1.1, f"{max(usage)} bytes of coins for a budget of {BUDGET}"
        assert max(disconnected) <= pool.disconnected.limit
        assert max(gaps) < LONGEST_SILENCE


def every_block(chain: ChainManager, call: Callable[[], None]) -> None:
    """call after every block that comes or goes."""
    move = chain.activation._set_tip

    def moved(*args: object) -> None:
        move(*args)  # type: ignore[arg-type]
        call()

    chain.activation._set_tip = moved  # type: ignore[method-assign]


async def test_a_deep_reorganisation(branches: Branches, tmp_path: Path) -> None:
    with thread_workers(2) as workers:
        await reorganise(branches, tmp_path, workers)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_thousand_blocks_deep(tmp_path: Path) -> None:
    with thread_workers(2) as workers:
        await reorganise(make_branches(1000, 30), tmp_path, workers)


async def test_stopped_at_any_block_it_goes_on(branches: Branches, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    with thread_workers(2) as workers:
        expected = await straight(branches, workers)
        async with running_chain(make_ports(tmp_path, workers=workers)) as chain:
            await connect(chain, [*branches.base, *branches.old])
            await store_unconnected(chain, branches.new)
        last = branches.new[-1]
        for _ in range(12):
            steps = rng.randrange(1, 60)
            async with AsyncExitStack() as stack:
                ports = make_ports(tmp_path, workers=workers)
                chain = await stack.enter_async_context(running_chain(ports, ChainOptions(db_cache=BUDGET)))
                stopped_at: list[float] = []

                def step(chain: ChainManager = chain, stopped_at: list[float] = stopped_at) -> None:
                    nonlocal steps
                    steps -= 1
                    if not steps:
                        stopped_at.append(time.monotonic())
                        chain.stop_owner()

                every_block(chain, step)
                if chain.headers.get(last.hash) is None:
                    await chain.accept_block(last, requested=True)
                await chain.activate_best()
            if stopped_at:
                assert time.monotonic() - stopped_at[0] < STOP_LIMIT
        async with running_chain(make_ports(tmp_path, workers=workers)) as chain:
            await chain.activate_best()
            assert chain.tip.hash == last.hash
            assert await utxo_hash(chain) == expected


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_the_daemon_needs_little_memory_for_it(tmp_path: Path) -> None:
    """-dbcache=4: the coins' 4 MB, up to 20 MB of disconnected transactions, as in Core, and little more."""
    branches = make_branches(1000, 30)
    old = write_blocks(tmp_path / "old.dat", [*branches.base, *branches.old])
    new = write_blocks(tmp_path / "new.dat", branches.new[:-1])
    datadir, options = tmp_path / "node", ("-dbcache=4", "-checkblocks=1")
    with running(datadir, *options, f"-loadblock={old}", f"-loadblock={new}") as daemon:
        daemon.until("both branches", lambda: side_branch(daemon.call("getchaintips")) == 1000, 120, 0.1)
    with running(datadir, *options) as daemon:
        idle = peak = memory_of(daemon.process.pid)
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(daemon.call, "submitblock", branches.new[-1].raw.hex())
            while not done.done():
                peak = max(peak, memory_of(daemon.process.pid))
                time.sleep(0.01)
        assert done.result() is None
        assert daemon.call("getbestblockhash") == branches.new[-1].hash[::-1].hex()
    print(f"{(peak - idle) / 1e6:.1f} MB above {idle / 1e6:.1f}")
    assert peak - idle < 40_000_000


def side_branch(tips: list[dict[str, Any]]) -> int:
    """Blocks of the longest branch that is stored and was not connected."""
    return max((tip["branchlen"] for tip in tips if tip["status"] == "valid-headers"), default=0)


def memory_of(pid: int) -> int:
    """Bytes of memory of a process without those of mapped files."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_daemon_answers_and_stops_amid_it(tmp_path: Path) -> None:
    branches = make_branches(1000, 30)
    old = write_blocks(tmp_path / "old.dat", [*branches.base, *branches.old])
    new = write_blocks(tmp_path / "new.dat", branches.new)
    height, goal = len(branches.base) + 1000, branches.new[-1].hash[::-1].hex()
    datadir, options = tmp_path / "node", ("-dbcache=4", "-checkblocks=1")
    with running(datadir, *options, f"-loadblock={old}") as daemon:
        daemon.until("the old branch", lambda: daemon.call("getblockcount") == height, 120)
    slowest, stops = 0.0, 0
    for turn in range(6):
        load = (f"-loadblock={new}",) if turn == 0 else ()
        with Daemon(datadir, *options, *load) as daemon:
            daemon.wait_ready()
            start = count = daemon.call("getblockcount")
            while daemon.call("getbestblockhash") != goal and count >= start - 150 and count <= start + 150:
                asked = time.monotonic()
                count = daemon.call("getblockcount")
                slowest = max(slowest, time.monotonic() - asked)
            if daemon.call("getbestblockhash") == goal:
                break
            busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # others may use the machine too
            code, seconds = daemon.stop()
            assert (code, daemon.stderr) == (0, "")
            assert seconds < STOP_LIMIT * busy
            stops += 1
    assert stops >= 3 and slowest < LONGEST_SILENCE * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    print(f"{stops} stops; slowest answer {slowest:.3f} s")
    with running(datadir, *options) as daemon:
        daemon.until("the new branch", lambda: daemon.call("getbestblockhash") == goal, 120)
        ours = daemon.call("gettxoutsetinfo", "muhash")["muhash"]
    with running(tmp_path / "other", *options, f"-loadblock={old}", f"-loadblock={new}") as daemon:
        daemon.until("the new branch", lambda: daemon.call("getbestblockhash") == goal, 120)
        assert daemon.call("gettxoutsetinfo", "muhash")["muhash"] == ours
