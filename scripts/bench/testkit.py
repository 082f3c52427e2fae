#!/usr/bin/env python3
"""The test kit: what one more node costs, a hundred of them, and a small test beside Core's daemon.

Usage: [BITCOIND=/path/to/bitcoind] scripts/bench/testkit.py [RUNS]

The small test: two nodes on a chain of 101 blocks, linked; fund a wallet, pay, confirm, reorganise. Imports
and the first node of the process, which makes the ready chain's databases, are left out: a run of tests has
them once.
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from _bench import ROOT, Figures, arguments

from pybitcoind.node.testing import BitcoinNetwork

HUNDRED = 100
IDLERS = 30
TIMES_FASTER = 10


def megabytes() -> float:
    """Resident memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


async def small_test(program: str | None = None) -> None:
    async with BitcoinNetwork(2, program=program) as network:
        alice, bob = network.nodes
        wallet = await bob.wallet()
        await network.fund(wallet, 2)
        txid = await wallet.pay(await alice.wallet(), 1)
        await alice.wait_for_tx(txid)
        await alice.mine()
        await network.wait_for_sync()
        await bob.reorg(1)
        await network.wait_for_sync()
        assert await alice.mempool() == [txid]


async def one_more(network: BitcoinNetwork, count: int) -> tuple[list[float], float]:
    """Seconds until each of count more nodes answers, and megabytes of one."""
    gc.collect()
    before, seconds = megabytes(), []
    for _ in range(count):
        began = time.perf_counter()
        node = await network.add_node()
        await node.rpc.getblockcount()
        seconds.append(time.perf_counter() - began)
    return seconds, (megabytes() - before) / count


async def hundred() -> tuple[float, float]:
    """Seconds until a hundred nodes are up, linked and on one tip; megabytes of the whole process then."""
    began = time.perf_counter()
    async with BitcoinNetwork(HUNDRED, topology="random") as network:
        await network.wait_for_sync()
        return time.perf_counter() - began, megabytes()


async def process() -> float:
    """Seconds until a daemon on an empty chain answers, its start counted."""
    began = time.perf_counter()
    async with BitcoinNetwork(1, mode="process", chain="genesis"):
        return time.perf_counter() - began


async def idle(seconds: float = 3) -> float:
    """Milliseconds of processor time a second of a linked node that has nothing to do."""
    async with BitcoinNetwork(IDLERS, clock="real", topology="random") as network:
        await network.wait_for_sync()
        await asyncio.sleep(1)
        began = time.process_time()
        await asyncio.sleep(seconds)
        return 1000 * (time.process_time() - began) / seconds / IDLERS


async def waits() -> tuple[float, float, float]:
    """Milliseconds that a peer's time-out takes, an hour in which all happens that is timed, and a week that
    is set forward."""
    async with BitcoinNetwork(2) as network:
        await network[0].raw_peer(handshake=False)
        began = time.perf_counter()
        await network.advance(61)
        await network[0].wait_for_peers(1)
        timed_out = time.perf_counter() - began
        began = time.perf_counter()
        await network.sleep(60 * 60)
        slept = time.perf_counter() - began
        began = time.perf_counter()
        await network.advance(7 * 24 * 60 * 60)
        return 1000 * timed_out, 1000 * slept, 1000 * (time.perf_counter() - began)


def examples() -> dict[str, float]:
    """Milliseconds of each example of docs/testing.md, set-up and end included, when what a test uses for the
    first time is imported: they are run twice."""
    file = "tests/functional/test_testing_examples.py"
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "--durations=0", "-vv", "--keep-duplicates"]
    done = subprocess.run([*command, file, file], cwd=ROOT, capture_output=True, text=True, check=True)
    rounds: dict[tuple[str, str], list[float]] = {}
    for seconds, phase, name in re.findall(r"([\d.]+)s (\w+) +\S+::(\w+)", done.stdout):
        rounds.setdefault((name, phase), []).append(1000 * float(seconds))
    found: dict[str, float] = {}
    for (name, _), each in rounds.items():
        found[name] = found.get(name, 0.0) + min(each)
    return found


def timed(work: Callable[[], Coroutine[Any, Any, object]]) -> float:
    began = time.perf_counter()
    asyncio.run(work())
    return time.perf_counter() - began


async def measure_nodes(figures: Figures) -> None:
    async with BitcoinNetwork(1) as network:
        seconds, memory = await one_more(network, 50)
    figures.at_most("one more node: ready for RPC", [1000 * each for each in seconds], 15, "ms")
    figures.at_most("one more node: memory", [memory], 4, "MB")


def main(runs: int) -> None:
    if sys.dont_write_bytecode:
        sys.exit("without PYTHONDONTWRITEBYTECODE: every process would compile everything anew")
    figures = Figures()
    asyncio.run(small_test())  # imports, and the ready chain
    asyncio.run(measure_nodes(figures))
    pauses = [asyncio.run(waits()) for _ in range(runs)]
    figures.at_most("a peer that is silent times out", [each[0] for each in pauses], 5, "ms")
    figures.at_most("an hour passes", [each[1] for each in pauses], 200, "ms")
    figures.at_most("a week is set forward", [each[2] for each in pauses], 20, "ms")
    figures.at_most("a linked node that idles: a second of it", [asyncio.run(idle())], 0.5, "ms")
    rounds = [asyncio.run(hundred()) for _ in range(max(1, runs // 3))]
    figures.at_most(f"{HUNDRED} nodes: up, linked, on one tip", [each[0] for each in rounds], 3, "s")
    figures.at_most(f"{HUNDRED} nodes: memory of the process", [each[1] for each in rounds], 500, "MB")
    figures.at_most("as a process: ready for RPC", [asyncio.run(process()) for _ in range(runs)], 0.35, "s")
    ours = [timed(small_test) for _ in range(runs)]
    figures.at_most("small test, ours", [1000 * each for each in ours], 100, "ms")
    for name, milliseconds in sorted(examples().items()):
        figures.at_most(f"example {name}", [milliseconds], 100, "ms")
    program = os.environ.get("BITCOIND")
    if not program:
        print("BITCOIND names no bitcoind to compare with")
        figures.exit()
    core = [timed(lambda: small_test(program)) for _ in range(runs)]
    figures.tell("small test, Core's daemon as processes", [1000 * each for each in core], "ms")
    shares = [one / (other / TIMES_FASTER) for one, other in zip(sorted(ours), sorted(core), strict=True)]
    figures.at_most(f"ours as a share of Core's time / {TIMES_FASTER}", shares, 1, "")
    figures.exit()


if __name__ == "__main__":
    main(*arguments(9))
