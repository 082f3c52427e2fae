"""A node in the test's own process: the daemon's own parts, on ports that the test gives it.

It takes no signals, writes no file and starts no thread: databases are in memory, work is done inline. Its
network is in memory too, or TCP; its RPC server starts when somebody asks for its URL.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from pybitcoind.chain.ports import Endpoint, Listener, Network, OnConnect, Ports, Stream
from pybitcoind.chain.primitives.hashes import sha256
from pybitcoind.chain.storage.database import MemoryStorage
from pybitcoind.node.app import Node
from pybitcoind.node.checks import check, check_connections
from pybitcoind.node.config import Config, ConfigError
from pybitcoind.node.log import DebugLog
from pybitcoind.node.ports import InlineWorkers, SystemClock, SystemRandom
from pybitcoind.p2p.memory_network import MemoryHub

from .errors import NodeFailed
from .news import News
from .rpc import DirectTransport, Rpc

if TYPE_CHECKING:
    from pybitcoind.chain.events import Event
    from pybitcoind.chain.mempool.pool import Mempool

    from .clocks import NetworkClock

KEPT_LINES = 2000
USER = "test"
NODES_NET = "10.0.0.0/9"
"""Addresses of nodes in memory, who trust each other (noban: transactions go on at once); raw peers are
strangers from elsewhere."""
P2P_PORT = 18444


@dataclass(frozen=True, slots=True)
class Spec:
    """What a node is. options: of the daemon, with or without the dash."""

    name: str
    role: str = "full"
    options: tuple[str, ...] = ()
    program: str | None = None
    """A bitcoind to run in place of our daemon."""


@dataclass(slots=True)
class Stored:
    """All that a node keeps over a restart. databases: by name, as the bytes of their files."""

    databases: dict[str, bytes] = field(default_factory=dict)
    mempool: bytes = b""
    wallets: tuple[str, ...] = ()
    """Loaded ones."""


@dataclass(slots=True)
class World:
    """What the nodes of a network share."""

    clock: NetworkClock
    seed: int
    hub: MemoryHub
    news: News

    def number(self, *what: object) -> int:
        """A number for what, the same for the same seed."""
        text = "/".join(str(part) for part in (self.seed, *what))
        return int.from_bytes(sha256(text.encode()), "big")


class MemoryLog(DebugLog):
    """debug.log as a list: the last lines, without times."""

    def __init__(self) -> None:
        super().__init__()
        self.times = False
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)

    def _put(self, line: str) -> None:
        self.lines.append(line.rstrip("\n"))


class _NoNetwork:
    async def dial(self, endpoint: Endpoint) -> Stream:
        raise OSError("no network")

    async def listen(self, endpoint: Endpoint, on_connect: OnConnect) -> Listener:
        raise OSError("no network")


def bare_ports(storage: MemoryStorage, now: int) -> Ports:
    """For a chain without a network."""
    return Ports(SystemClock(now), SystemRandom(0), _NoNetwork(), InlineWorkers(), storage, MemoryLog())


def common_options(spec: Spec, clock: NetworkClock) -> list[str]:
    """Options of every node, wherever it runs."""
    options = ["-regtest", f"-role={spec.role}", "-dnsseed=0", "-fallbackfee=0.0001"]
    options += ["-keypool=2"]  # keys to watch for ahead: to make a thousand takes longer than most tests
    options += ["-maxtipage=1000000000"]  # a chain that was made long ago is no reason to hold back
    if spec.role == "miner":
        options.append("-minerinterval=600" if clock.kind == "virtual" else "-minerinterval=1")
    if clock.stands_at:  # such a clock jumps, and nobody is to be blamed for his silence meanwhile
        options.append("-peertimeout=2000000000")
    return options


def as_options(options: Sequence[str]) -> list[str]:
    return [option if option.startswith("-") else f"-{option}" for option in options]


class HostedEngine:
    """Runs one node in this process. over_tcp: its peers are reached over TCP on the loopback."""

    kind = "memory"
    _left_mempool: Callable[[], bytes]
    """Gives what a node that does not run had in its mempool."""

    def __init__(self, world: World, spec: Spec, stored: Stored, *, over_tcp: bool = False) -> None:
        self.world, self.spec, self.over_tcp = world, spec, over_tcp
        self.log = MemoryLog()
        self.load(stored)
        self._node: Node | None = None
        self._task: asyncio.Task[int] | None = None
        self._starts = self._seeds = 0
        self._network: Network
        if over_tcp:
            from pybitcoind.node.tcp_network import TcpNetwork

            self._network, self.endpoint = TcpNetwork(), ("127.0.0.1", 0)
            world.clock.meets_sockets()
        else:
            known = world.hub.nodes.get(spec.name)
            memory = known or world.hub.network(spec.name)
            self._network, self.endpoint = memory, (memory.host, P2P_PORT)

    @property
    def node(self) -> Node:
        """The daemon's own object, for whoever looks behind the curtain. NodeFailed where it does not run."""
        if self._node is None:
            raise NodeFailed(f"{self.spec.name} does not run")
        return self._node

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    # Life

    async def start(self) -> None:
        self._starts += 1
        node = self._make_node()
        ready = asyncio.Event()
        task = asyncio.get_running_loop().create_task(node.run(ready.set), name=f"node {self.spec.name}")
        self._node, self._task = node, task
        started = asyncio.ensure_future(ready.wait())
        try:
            await asyncio.wait((task, started), return_when=asyncio.FIRST_COMPLETED)
        finally:
            started.cancel()
        if not ready.is_set():
            self._node = None
            raise NodeFailed(f"{self.spec.name} did not start: {node.error}")
        for events in dict.fromkeys((node.events, node.chain.events)):
            node.spawn("test kit", events.subscribe("test kit", self._tell).run())
        if node.peers is not None:
            node.peers.on_change = self.world.news.tell
            if node.peers.endpoints:
                self.endpoint = node.peers.endpoints[0]
        if mempool := self._left_mempool():
            await self._take_in(mempool)

    def _make_node(self) -> Node:
        config = self._config()
        try:
            params = check(config)
            check_connections(config)
        except ConfigError as error:
            raise NodeFailed(f"{self.spec.name}: {error}") from None
        clock = self.world.clock.node_clock()
        ports = Ports(
            clock=clock,
            random=SystemRandom(self.world.number(self.spec.name, self._starts)),
            network=self._network,
            workers=InlineWorkers(),
            storage=self.storage,
            log=self.log,
        )
        node = Node(config, params, self.log, clock, ports=ports)
        node.new_seed = self._new_seed
        return node

    def _config(self) -> Config:
        host, port = self.endpoint
        config = Config()
        options = [
            *common_options(self.spec, self.world.clock),
            f"-datadir=/dev/null/{self.spec.name}",  # so that nothing can be written there
            "-nosettings",
            "-persistmempool=0",
            "-checklevel=0",
            "-checkblocks=1",
            "-dbcache=4",
            f"-bind={host}:{port}",
            f"-whitelist=in,out,noban@{'127.0.0.1' if self.over_tcp else NODES_NET}",
            "-rpcport=0",
            f"-rpcuser={USER}",
            f"-rpcpassword={self.password}",
            *(f"-wallet={name}" for name in self._wallets),
            *as_options(self.spec.options),
        ]
        try:
            config.parse_command_line(options)
            config.network = config.select_chain()
        except ConfigError as error:
            raise NodeFailed(f"{self.spec.name}: {error}") from None
        config.apply_interactions()
        self.log.configure(config)
        self.log.console, self.log.path, self.log.times = False, None, False
        return config

    @property
    def password(self) -> str:
        return f"{self.world.number(self.spec.name, 'password') & (1 << 128) - 1:032x}"

    def _new_seed(self) -> bytes:
        self._seeds += 1
        return self.world.number(self.spec.name, "wallet", self._seeds).to_bytes(32, "big")

    async def _tell(self, event: Event) -> None:
        self.world.news.tell()

    async def stop(self) -> None:
        """In order; what is stored can be started again."""
        if self._node is None or self._task is None:
            return
        node, task = self._node, self._task
        if self.running:
            self._left_mempool, self._wallets = partial(_packed, node.mempool), self._loaded_wallets()
            node.request_stop()
        code = await task
        self._node = self._task = None
        self.world.news.tell()
        if code:
            raise NodeFailed(f"{self.spec.name} failed: {node.error}")

    async def kill(self) -> None:
        """As kill -9: nothing more is written, and whoever was connected notices."""
        if self._node is None or self._task is None:
            return
        node, task = self._node, self._task
        self._left_mempool, self._wallets = bytes, self._loaded_wallets()
        if node.rpc is not None:
            await node.rpc.stop(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        self._node = self._task = None
        self.world.news.tell()

    def failure(self) -> str | None:
        """Why the node ended by itself; None if it did not."""
        if self._node is not None and self._task is not None and self._task.done():
            return self._node.error or "it stopped"
        return None

    # What it has

    def _loaded_wallets(self) -> tuple[str, ...]:
        side = self.node.wallet_side
        return () if side is None else tuple(wallet.name for wallet in side.loaded)

    async def _take_in(self, mempool: bytes) -> None:
        from pybitcoind.chain.mempool import persistence

        async def take() -> None:
            await persistence.take_in(self.node.chain.need_mempool(), mempool)

        await self.node.chain.submit(take)

    def load(self, stored: Stored) -> None:
        """Puts what is stored in the place of all that there is; the node does not run."""
        self.storage = MemoryStorage(stored.databases)
        self._left_mempool, self._wallets = lambda: stored.mempool, stored.wallets

    async def store(self) -> Stored:
        """What it would find at a next start, taken while it runs."""
        if self._node is None:
            return Stored(self.storage.images(), self._left_mempool(), self._wallets)
        for events in dict.fromkeys((self._node.chain.events, self._node.events)):
            await events.drained()
        await self._node.chain.flush()
        return Stored(self.storage.images(), _packed(self.node.mempool), self._loaded_wallets())

    # Ways in

    def rpc(self) -> Rpc:
        return Rpc(_Direct(lambda: self.node, self.world.clock))

    async def rpc_endpoint(self) -> tuple[str, int]:
        """ "user:password" and port of the RPC server, which runs from now on."""
        server = await self.node.open_rpc()
        server.warm_up, server.around_answer = None, self.world.clock.flowing
        self.world.clock.meets_sockets()
        return f"{USER}:{self.password}", server.port

    def last_words(self) -> str:
        return "\n".join(list(self.log.lines)[-10:])

    def log_lines(self) -> list[str]:
        return list(self.log.lines)


def _packed(pool: Mempool | None) -> bytes:
    from pybitcoind.chain.mempool import persistence

    return b"" if pool is None or not len(pool) else persistence.pack(pool)


class _Direct:
    """The transport of a node that may be stopped and started."""

    def __init__(self, node: Callable[[], Node], clock: NetworkClock) -> None:
        self._node, self._clock = node, clock

    async def call(self, method: str, params: Any, wallet: str | None) -> Any:
        return await DirectTransport(self._node(), self._clock).call(method, params, wallet)
