"""The miner with a real worker process, on a chain in memory."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from mini_wallet import MemoryChain, MiniWallet, mine
from ports import ListLog, make_ports

from pybitcoind.chain.block_template import BlockTemplate, assemble, update_time, with_nonce
from pybitcoind.chain.consensus.blocks import check_block
from pybitcoind.chain.consensus.errors import BlockInvalid
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.nonce_search import grind
from pybitcoind.chain.ports import Ports
from pybitcoind.chain.primitives.block import Block
from pybitcoind.node import mining
from pybitcoind.node.mining import Miner, Worker
from pybitcoind.node.mining_worker import ANSWER_SIZE, Answer, Job
from pybitcoind.node.ports import SystemClock, SystemRandom

SCRIPT = b"\x51\x20" + bytes(32)
IMPOSSIBLE, EASY = 1, 1 << 255


def real_ports() -> Ports:
    return replace(make_ports(), clock=SystemClock(), random=SystemRandom())


@dataclass
class Accepted:
    error: BlockInvalid | None = None


class LiveChain:
    """A MemoryChain that is told of blocks; target: what templates ask for instead of the network's."""

    def __init__(self) -> None:
        self.memory = MemoryChain()
        self.moved = asyncio.Condition()
        self.target: int | None = None
        self.asked = asyncio.Event()
        self.templates: list[BlockTemplate] = []
        self.is_ibd = False

    @property
    def tip(self) -> HeaderNode:
        return self.memory.tip

    @property
    def best_header(self) -> HeaderNode:
        return self.memory.tip

    async def wait_for_tip(
        self, predicate: Callable[[HeaderNode], bool], timeout: float | None = None
    ) -> HeaderNode:
        try:
            async with asyncio.timeout(timeout), self.moved:
                await self.moved.wait_for(lambda: predicate(self.tip))
        except TimeoutError:
            pass
        return self.tip

    async def create_template(
        self, script_pubkey: bytes, *, extra_nonce: bytes | None = None
    ) -> BlockTemplate:
        made = assemble(
            self.tip, None, self.memory.params, script_pubkey, int(time.time()), extra_nonce=extra_nonce
        )
        if self.target is not None:
            made = HardTemplate(
                made.block, made.prev, made.fees, made.sigops, made.weight, made.chunk_feerates
            )
        self.templates.append(made)
        self.asked.set()
        return made

    async def process_block(self, block: Block, *, requested: bool = False) -> Accepted:
        assert requested
        try:
            check_block(block, self.memory.params)
        except BlockInvalid as error:
            return Accepted(error)
        if block.header.prev_hash == self.tip.hash:
            async with self.moved:
                self.memory.connect(block)
                self.moved.notify_all()
        return Accepted()


class HardTemplate(BlockTemplate):
    target = IMPOSSIBLE  # type: ignore[assignment]


async def payout() -> bytes:
    return SCRIPT


@asynccontextmanager
async def mining_on(chain: LiveChain, interval: float = 0.0) -> AsyncIterator[Miner]:
    miner = Miner(chain, chain.memory.params, real_ports(), payout, interval)
    task = asyncio.ensure_future(miner.run())
    try:
        yield miner
    finally:
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()
        assert miner.worker.pid is None


async def height_of(chain: LiveChain, height: int) -> None:
    async with asyncio.timeout(20):
        await chain.wait_for_tip(lambda tip: tip.height >= height)


async def test_mines_at_full_speed() -> None:
    chain = LiveChain()
    async with mining_on(chain):
        await height_of(chain, 20)
    coinbases = [block.vtx[0] for block in chain.memory.blocks[1:]]
    assert all(tx.vout[0].script_pubkey == SCRIPT for tx in coinbases)
    extra = [tx.vin[0].script_sig[-4:] for tx in coinbases]
    assert len(set(extra)) == len(extra)


async def test_keeps_its_pace() -> None:
    chain = LiveChain()
    start = time.monotonic()
    async with mining_on(chain, interval=0.2):
        await height_of(chain, 4)
        assert time.monotonic() - start >= 0.8
        before = chain.tip.height
    assert chain.tip.height == before


async def test_starts_anew_on_a_new_tip() -> None:
    chain = LiveChain()
    chain.target = IMPOSSIBLE
    async with mining_on(chain) as miner:
        await chain.asked.wait()
        stale = len(chain.templates)
        block = mine(chain.tip, chain.memory.params, MiniWallet().script_pubkey)
        chain.target = None
        await chain.process_block(block, requested=True)
        await height_of(chain, 3)
        assert chain.templates[stale].prev is not chain.templates[0].prev
        assert chain.memory.blocks[1] == block and miner.found >= 1


async def test_starts_anew_on_a_better_template(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mining, "REFRESH", 0.02)
    chain = LiveChain()
    chain.target = IMPOSSIBLE
    better = False

    async def is_better(template: BlockTemplate) -> bool:
        return better

    async with mining_on(chain) as miner:
        monkeypatch.setattr(miner, "_better", is_better)
        await chain.asked.wait()
        await asyncio.sleep(0.1)
        assert len(chain.templates) == 1
        better, chain.target = True, None
        await height_of(chain, 1)
        assert len(chain.templates) >= 2


async def test_what_is_better() -> None:
    chain = LiveChain()
    miner = Miner(chain, chain.memory.params, real_ports(), payout)
    template = await chain.create_template(SCRIPT)
    assert not await miner._better(template)
    poorer = replace(template, block=mine(chain.tip, chain.memory.params, SCRIPT))
    assert not await miner._better(poorer)
    chain.memory.connect(with_nonce(template.block, 0))
    assert await miner._better(template)


async def test_worker_searches_and_starts_again() -> None:
    ports = real_ports()
    worker = Worker(ports)
    ours = socket.create_server(("127.0.0.1", 0))
    header = update_time(MemoryChain().params.genesis.header, MemoryChain().tip, MemoryChain().params, 0).raw
    try:
        target = 1 << 243
        assert await worker.search(header[:76] + bytes(4), target) == grind(header, target)[0]
        assert await worker.search(header[:76] + b"\xf0\xff\xff\xff", IMPOSSIBLE) is None
        pid = worker.pid
        assert pid is not None
        assert open_files(pid) in (["0", "1", "2"], []), "it inherits nothing of the node"
        hard = asyncio.ensure_future(worker.search(header, IMPOSSIBLE))
        await asyncio.sleep(0.05)
        hard.cancel()
        await asyncio.wait((hard,))
        assert await worker.search(header, EASY) is not None
        assert worker.pid == pid
        os.kill(pid, signal.SIGKILL)
        assert await worker.search(header, EASY) is not None
        assert worker.pid != pid
        assert isinstance(ports.log, ListLog)
        assert ports.log.find("mining worker ended with code -9")
    finally:
        ours.close()
        await worker.close()


def open_files(pid: int) -> list[str]:
    """File descriptors of a process; none where /proc does not tell."""
    folder = f"/proc/{pid}/fd"
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def command() -> list[str]:
    return [sys.executable, "-m", "pybitcoind.node.mining_worker"]


def test_worker_ends_with_its_stdin() -> None:
    process = subprocess.Popen(command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(Job(7, bytes(80), EASY).pack())
    process.stdin.flush()
    assert Answer.unpack(process.stdout.read(ANSWER_SIZE)).number == 7
    process.stdin.write(Job(8, bytes(80), IMPOSSIBLE).pack())
    process.stdin.close()
    assert process.wait(10) == 0
    process.stdout.close()


def test_no_orphan_when_the_node_is_killed() -> None:
    parent = """
import asyncio, os, sys
sys.path.insert(0, {tests!r})
from test_mining import Worker, real_ports
async def main():
    worker = Worker(real_ports())
    search = asyncio.ensure_future(worker.search(bytes(80), 1))
    while worker.pid is None:
        await asyncio.sleep(0.01)
    print(worker.pid, flush=True)
    await search
asyncio.run(main())
"""
    here = os.path.dirname(__file__)
    paths = [here, os.path.dirname(os.path.dirname(here)), *sys.path]
    process = subprocess.Popen(
        [sys.executable, "-c", parent.format(tests=here)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    watched = os.pidfd_open(child)
    try:
        process.kill()
        process.wait(10)
        ended, _, _ = select.select([watched], [], [], 10)
        assert ended, "the worker outlived its node"
    finally:
        os.close(watched)
        process.stdout.close()
