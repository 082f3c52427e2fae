"""What a million headers cost: loading them, in time and memory, and finding one's way among them.

Makes a regtest chain without proof of work, as index.sqlite has it, and opens a chain manager on it in
processes of their own.

Usage: scripts/bench/header_tree.py [HEADERS [FOLDER]]      (FOLDER: where the files go)
"""

from __future__ import annotations

import asyncio
import gc
import random
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _bench import Figures, arguments
from ports import make_ports

from pybitcoind.chain.header_tree import HeaderNode, HeaderStatus, fork_point
from pybitcoind.chain.manager import ChainManager, ChainOptions
from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import BlockHeader
from pybitcoind.chain.primitives.hashes import sha256d
from pybitcoind.chain.storage.block_store import BlockStore, HeaderRow
from pybitcoind.chain.storage.database import FileStorage
from pybitcoind.node.interpreter import prepare_start

MILLION = 1_000_000
SECONDS, MEGABYTES = 3.0, 300.0
"""Wanted of a million."""
BRANCH = 1000
"""Headers added on another branch after the load."""
RUNS = 3


async def make_chain(folder: Path, count: int) -> None:
    store = await BlockStore.open(FileStorage(folder), regtest())
    genesis, body = regtest().genesis.header, regtest().genesis.raw
    at = await store.put_block(genesis.hash, 0, body)
    pack, prev, rows = struct.Struct("<i32s32sIII").pack, genesis.hash, []
    with_body = int(HeaderStatus.VALID_TREE | HeaderStatus.HAVE_DATA)
    rows.append(HeaderRow(prev, genesis.raw, 0, with_body, 1, 1, at))
    for height in range(1, count):
        raw = pack(0x20000000, prev, prev, genesis.time + height, genesis.bits, height)
        prev = sha256d(raw)
        rows.append(HeaderRow(prev, raw, height, 1, 1, 0, None))
        if len(rows) == 20_000:
            await store.write_headers(rows)
            rows.clear()
    await store.write_headers(rows)
    await store.close()


def resident() -> float:
    """Megabytes of memory, the peak so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit("no VmHWM in /proc/self/status")


def microseconds(work: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - start) / times * 1e6


async def measure(folder: Path, headers_only: bool) -> None:
    """In a process of its own; prints seconds, megabytes, and microseconds of the ways about."""
    prepare_start()
    before, start = resident(), time.perf_counter()
    chain = await ChainManager.open(make_ports(folder), regtest(), ChainOptions(headers_only=headers_only))
    taken, grown = time.perf_counter() - start, resident() - before
    gc.collect()
    tree, rng = chain.headers, random.Random(1)
    tip = chain.best_header
    near = tip.ancestor(tip.height - BRANCH)
    branch: HeaderNode = near
    for nonce in range(BRANCH):
        branch = tree.add(BlockHeader(4, branch.hash, bytes(32), branch.time + 1, tip.bits, nonce), 2)
    fork = fork_point(tip, branch)
    assert fork is near
    figures = (
        taken,
        grown,
        microseconds(lambda: branch.ancestor(rng.randrange(tip.height)), 2000),
        microseconds(lambda: tip.ancestor(rng.randrange(tip.height)), 2000),
        microseconds(lambda: tree.get(tip.hash), 2000),
        microseconds(lambda: tree.get(b"?" * 32), 2000),
        microseconds(lambda: tree.locator(tip), 200),
        microseconds(lambda: fork_point(tip, branch), 2000),
        microseconds(tip.mtp, 2000),
    )
    print(*figures)
    await chain.abandon()


def main(count: int, folder: str) -> None:
    share = count / MILLION
    figures = Figures()
    with tempfile.TemporaryDirectory(dir=folder or None) as name:
        asyncio.run(make_chain(Path(name), count))
        for kind, what in (("headers", "an SPV node"), ("full", "a full node")):
            runs = []
            for _ in range(RUNS):
                command = [sys.executable, __file__, "--measure", name, kind]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                runs.append([float(figure) for figure in output.split()])
            load, memory, ancestor, direct, known, unknown, locator, fork, mtp = map(
                list, zip(*runs, strict=True)
            )
            print(f"{count} headers, {what}:")
            figures.at_most("  load", load, SECONDS * share, "s")
            figures.at_most("  memory, at its peak", memory, MEGABYTES * share, "MB")
            figures.tell("  any ancestor, from a branch of 1,000", ancestor, "us")
            figures.tell("  any ancestor, from the tip", direct, "us")
            figures.tell("  header by its hash", known, "us")
            figures.tell("  hash that is not known", unknown, "us")
            figures.tell("  locator", locator, "us")
            figures.tell("  fork point of two tips", fork, "us")
            figures.tell("  median time past", mtp, "us")
    figures.exit()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        asyncio.run(measure(Path(sys.argv[2]), sys.argv[3] == "headers"))
    else:
        main(*arguments(MILLION, ""))
