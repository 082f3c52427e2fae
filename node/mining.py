"""Mining: templates, the process that searches, and what makes the miner start anew."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from pybitcoind.chain.block_template import BlockTemplate, update_time, with_nonce
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.nonce_search import MAX_NONCE, grind
from pybitcoind.chain.params import ChainParams
from pybitcoind.chain.ports import Ports
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex

from .mining_worker import ANSWER_SIZE, EXHAUSTED, REST, Answer, Job

if TYPE_CHECKING:
    from pybitcoind.chain.manager import BlockAccept

REFRESH = 5.0
"""Seconds after which the template is looked at again."""
MAX_AGE = 30.0
"""Seconds after which it is replaced in any case, if only to roll the time on."""
BETTER = 1000
"""A template is clearly better if it brings one part in so many more."""
CATCH_UP = 20.0
"""Seconds to wait, at most, for blocks whose headers are known already, before mining beside them."""
RESTART_PAUSE = 1.0
PIECE = 2_000
"""Hashes on the loop between two looks at what else there is to do: some milliseconds."""


class Mineable(Protocol):
    """What the miner needs of the chain (ChainManager)."""

    @property
    def tip(self) -> HeaderNode: ...

    @property
    def best_header(self) -> HeaderNode: ...

    @property
    def is_ibd(self) -> bool: ...

    async def wait_for_tip(
        self, predicate: Callable[[HeaderNode], bool], timeout: float | None = None
    ) -> HeaderNode: ...

    async def create_template(
        self, script_pubkey: bytes, *, extra_nonce: bytes | None = None
    ) -> BlockTemplate: ...

    async def process_block(self, block: Block, *, requested: bool = False) -> BlockAccept: ...


class NonceSearch(Protocol):
    """Who hashes for the miner."""

    async def search(self, header: bytes, target: int) -> int | None:
        """The nonce, from the header's own on, that meets target; None if none does. Cancel to stop it."""

    async def close(self) -> None: ...


class InlineSearch:
    """Hashes on the loop, in pieces: for a miner that is a guest in a test's process, with easy targets."""

    def __init__(self, ports: Ports) -> None:
        self._clock = ports.clock

    async def search(self, header: bytes, target: int) -> int | None:
        start = int.from_bytes(header[76:], "little")
        while start < MAX_NONCE:
            nonce, tried = grind(header, target, start, PIECE)
            if nonce is not None:
                return nonce
            start += tried
            await self._clock.sleep(0)
        return None

    async def close(self) -> None:
        """There is nothing to end."""


class Worker:
    """The process that hashes. One job at a time; starts again if somebody kills it."""

    def __init__(self, ports: Ports) -> None:
        self.ports = ports
        self._process: asyncio.subprocess.Process | None = None
        self._number = 0

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            if self._process is not None:
                self.ports.log.warning(f"The mining worker ended with code {self._process.returncode}.")
                await self.ports.clock.sleep(RESTART_PAUSE)
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "pybitcoind.node.mining_worker",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._process

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def search(self, header: bytes, target: int) -> int | None:
        """The nonce, from the header's own on, that meets target; None if none does. Cancel to stop it."""
        self._number = self._number % MAX_NONCE + 1
        job = Job(self._number, header, target)
        while True:
            process = await self._started()
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(job.pack())
                await process.stdin.drain()
                while True:
                    answer = Answer.unpack(await process.stdout.readexactly(ANSWER_SIZE))
                    if answer.number == job.number:
                        return None if answer.nonce == EXHAUSTED else answer.nonce
            except asyncio.CancelledError:
                if process.returncode is None:
                    process.stdin.write(REST.pack())
                raise
            except (OSError, asyncio.IncompleteReadError):
                await process.wait()

    async def close(self) -> None:
        """Ends the process and waits for it."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        try:
            async with self.ports.clock.timeout(1.0):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


class Miner:
    """Mines on the tip of chain until cancelled.

    payout: the script that each block pays to. interval: seconds from one block of ours to the next; 0: none.
    """

    def __init__(
        self,
        chain: Mineable,
        params: ChainParams,
        ports: Ports,
        payout: Callable[[], Awaitable[bytes]],
        interval: float = 0.0,
        worker: NonceSearch | None = None,
    ) -> None:
        """worker: None for a process of its own."""
        self.chain, self.params, self.ports = chain, params, ports
        self.payout, self.interval = payout, interval
        self.worker = worker or Worker(ports)
        self.found = 0
        self._extra_nonce = int.from_bytes(ports.random.bytes(4), "little")

    async def run(self) -> None:
        """Runs until cancelled; the worker's process ends with it."""
        try:
            while True:
                if self.interval:
                    await self.ports.clock.sleep(self.interval)
                await self._catch_up()
                await self.mine()
        finally:
            await self.worker.close()

    async def mine(self) -> Block:
        """One block, on whatever is the tip when it is found, and accepted by our own chain."""
        while True:
            template = await self._template()
            block = await self._solve(template)
            if block is None:
                continue
            result = await self.chain.process_block(block, requested=True)
            if result.error is not None:
                self.ports.log.warning(f"Mined block {hash_hex(block.hash)} was refused: {result.error}")
                await self.ports.clock.sleep(RESTART_PAUSE)
                continue
            self.found += 1
            self.ports.log.info(
                f"Mined block {hash_hex(block.hash)} height={template.height}"
                f" txs={len(block.vtx)} fees={template.total_fees}"
            )
            return block

    async def _catch_up(self) -> None:
        """Mining beside blocks that are on their way would only make forks.

        On the main network, as for Core's getblocktemplate, initial block download must be over.
        """
        chain = self.chain
        while not self.params.is_test_chain and chain.is_ibd:
            await chain.wait_for_tip(lambda tip: not chain.is_ibd, REFRESH)
        if chain.best_header.chainwork > chain.tip.chainwork:
            await chain.wait_for_tip(lambda tip: tip.chainwork >= chain.best_header.chainwork, CATCH_UP)

    async def _template(self) -> BlockTemplate:
        self._extra_nonce = (self._extra_nonce + 1) & 0xFFFFFFFF
        script = await self.payout()
        return await self.chain.create_template(script, extra_nonce=self._extra_nonce.to_bytes(4, "little"))

    async def _solve(self, template: BlockTemplate) -> Block | None:
        """template's block with its proof of work; None when a new template is called for."""
        clock = self.ports.clock
        block = template.block
        born = clock.monotonic()
        search = asyncio.ensure_future(self.worker.search(block.header.raw, template.target))
        try:
            while True:
                tip = asyncio.ensure_future(
                    self.chain.wait_for_tip(lambda node: node is not template.prev, REFRESH)
                )
                try:
                    await asyncio.wait((search, tip), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    tip.cancel()
                    await asyncio.wait((tip,))
                if self.chain.tip is not template.prev:
                    return None
                if search.done():
                    nonce = search.result()
                    return None if nonce is None else with_nonce(block, nonce)
                if clock.monotonic() - born > MAX_AGE or await self._better(template):
                    return None
        finally:
            search.cancel()
            await asyncio.wait((search,))

    async def _better(self, template: BlockTemplate) -> bool:
        """Whether a template made now would clearly bring more, or needs less work (testnets)."""
        now = update_time(template.block.header, template.prev, self.params, self.ports.clock.time())
        if now.bits != template.block.header.bits:
            return True
        fresh = await self.chain.create_template(template.coinbase.vout[0].script_pubkey)
        if fresh.prev is not template.prev:
            return True
        reward = template.coinbase.vout[0].value
        return fresh.coinbase.vout[0].value > reward + reward // BETTER
