"""Whole nodes but for RPC and wallet, several in one process, for tests of p2p; and virtual time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import ports as test_ports

from pybitcoind.chain.events import EventBus
from pybitcoind.chain.indexes.block_filters import BlockFilterIndex
from pybitcoind.chain.manager import ChainManager, ChainOptions
from pybitcoind.chain.mempool.pool import Mempool
from pybitcoind.chain.params import ChainParams, regtest
from pybitcoind.chain.policy.settings import PolicySettings
from pybitcoind.chain.ports import Endpoint, Network, Ports
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.transaction import Transaction
from pybitcoind.chain.storage.database import MemoryStorage
from pybitcoind.p2p.context import Bind, P2POptions
from pybitcoind.p2p.handshake import ConnectionType
from pybitcoind.p2p.messages import ServiceFlags
from pybitcoind.p2p.peer_manager import PeerManager

T = TypeVar("T")
PORT = 18444


class RunningClock(test_ports.TestClock):
    """Wall time that starts where a test says and runs on with the loop's; a mock time stops it."""

    __test__ = False

    def __init__(self, start: float) -> None:
        super().__init__()
        self._start = start - asyncio.get_running_loop().time()

    def time(self) -> int:
        return self.mock_time or int(self._start + self.monotonic())

    def monotonic(self) -> float:
        """The loop's time, which may be virtual."""
        return asyncio.get_running_loop().time()

    def call_at(self, when: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_at(when, callback)


class P2PNode:
    """chain, mempool and peers, as the node wires them."""

    def __init__(self, name: str, ports: Ports, chain: ChainManager, options: P2POptions) -> None:
        self.name, self.ports, self.chain = name, ports, chain
        if not options.headers_only:
            chain.attach_mempool(Mempool(PolicySettings(), ports.clock, ports.log, chain.events))
        self.peers = PeerManager(ports, chain.params, chain, options)

    @property
    def mempool(self) -> Mempool:
        assert self.chain.mempool is not None
        return self.chain.mempool

    @property
    def log(self) -> test_ports.ListLog:
        log = self.ports.log
        assert isinstance(log, test_ports.ListLog)
        return log

    @property
    def endpoint(self) -> Endpoint:
        return self.peers.endpoints[0]

    @property
    def height(self) -> int:
        return self.chain.tip.height

    async def feed(self, blocks: Sequence[Block]) -> None:
        """Takes blocks as if it had mined them."""
        for block in blocks:
            result = await self.chain.process_block(block, requested=True)
            assert result.error is None, result.error

    async def send(self, tx: Transaction) -> None:
        """Takes tx into the mempool and announces it."""
        await self.chain.accept_transaction(tx)
        self.peers.announce_transaction(tx)

    async def dial(self, other: P2PNode | Endpoint) -> None:
        host, port = other.endpoint if isinstance(other, P2PNode) else other
        name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        peer = await self.peers.connect(name, ConnectionType.MANUAL)
        assert peer is not None
        await until(lambda: peer.complete or peer.disconnecting)

    def advance_mock_time(self, seconds: int) -> None:
        self.ports.clock.set_mock_time(self.ports.clock.time() + seconds)


async def until(condition: Callable[[], object], timeout: float = 30.0) -> None:
    """Looks at condition every 10 ms of the loop's time (less often if it may take long); fails after timeout
    seconds of it."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(max(0.01, timeout / 1000))


class World:
    """Nodes that share one start of wall time; each ends with the world."""

    def __init__(self, stack: AsyncExitStack, start: float, network: Callable[[str], Network]) -> None:
        self._stack, self._start, self._network = stack, start, network
        self.nodes: list[P2PNode] = []

    @staticmethod
    async def sleep(seconds: float) -> None:
        """Lets so much of the loop's time pass: for virtual time."""
        await asyncio.sleep(seconds)

    async def node(
        self,
        name: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        blocks: Sequence[Block] = (),
        params: ChainParams | None = None,
        chain_options: ChainOptions | None = None,
        storage: MemoryStorage | None = None,
        filters: bool = False,
        **options: Any,
    ) -> P2PNode:
        """A running node. options: of P2POptions; it listens on host unless binds are given. filters: it
        serves compact filters."""
        ports = Ports(
            clock=RunningClock(self._start),
            random=test_ports.TestRandom(len(self.nodes)),
            network=self._network(name),
            workers=test_ports.InlineWorkers(),
            storage=storage or MemoryStorage(),
            log=test_ports.ListLog(),
        )
        values: dict[str, Any] = {"binds": [Bind((host, port))], "automatic_outbound": False} | options
        if filters:
            values["services"] = P2POptions().services | ServiceFlags.COMPACT_FILTERS
        if values.get("headers_only"):
            chain_options = ChainOptions(headers_only=True)
        node = await self._stack.enter_async_context(
            _running(name, ports, params or regtest(), chain_options, P2POptions(**values), filters)
        )
        self.nodes.append(node)
        await node.feed(blocks)
        await node.chain.events.drained()
        return node


@asynccontextmanager
async def _running(
    name: str,
    ports: Ports,
    params: ChainParams,
    chain_options: ChainOptions | None,
    options: P2POptions,
    filters: bool,
) -> AsyncIterator[P2PNode]:
    chain = await ChainManager.open(ports, params, chain_options, EventBus())
    node = P2PNode(name, ports, chain, options)
    owner = asyncio.create_task(chain.run_owner())
    index = BlockFilterIndex(chain, chain.events, ports, params) if filters else None
    indexing = None
    if index is not None:
        await index.open()
        indexing = asyncio.create_task(index.run())
        node.peers.context.filter_index = index
    await node.peers.listen()
    peers = asyncio.create_task(node.peers.run())
    await asyncio.sleep(0)
    try:
        yield node
    finally:
        node.peers.stop()
        await asyncio.gather(peers, return_exceptions=True)
        chain.stop_owner()
        chain.events.finish()
        await asyncio.gather(owner, return_exceptions=True)
        if index is not None and indexing is not None:
            index.stop()
            await indexing
            await index.close()
        await chain.close()
        for task in (peers, owner):
            if (error := task.exception()) is not None:
                raise error


@asynccontextmanager
async def world(start: float, network: Callable[[str], Network]) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(stack, start, network)


class _Jump(selectors.SelectSelector):
    """Instead of waiting for the next timer it moves the clock there."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is not None and timeout > 0:
            self.now += timeout
        if not ready and timeout is None:
            raise RuntimeError("nothing is left that could happen: a deadlock")
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in which time passes only while everybody waits for it, and then at once."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
