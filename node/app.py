"""The node: its parts, their life from start to stop, and what happens when one of them fails. Wiring only.

Start: directory and log (main.py), RPC in warm-up, databases and chain, indexes, wallets, peers; then RPC
answers.
Stop: RPC takes no more; peers; miner; the owner drains; flush; subscribers drain; databases; files; lock.
Every task belongs to the node's TaskGroup. A task or database that fails stops the node in order, with exit
code 1.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pybitcoind.chain.params import ChainParams
from pybitcoind.chain.ports import Clock, Network, Ports, show_nothing
from pybitcoind.chain.storage.database import StorageError
from pybitcoind.chain.storage.files import replace_file

from .checks import web_port
from .config import AND_ERROR, PORTS_FILE, Config, ConfigError, RebuildNeeded
from .interpreter import settle
from .log import DebugLog
from .notify import run_command
from .ports import PlacedStorage, SystemRandom, ThreadWorkers, daemon_workers
from .progress import ProgressBars, bars_wanted

if TYPE_CHECKING:
    from pybitcoind.chain.events import EventBus
    from pybitcoind.chain.indexes.base import Index
    from pybitcoind.chain.manager import ChainManager
    from pybitcoind.chain.mempool.fee_recorder import FeeRecorder
    from pybitcoind.chain.mempool.pool import Mempool
    from pybitcoind.p2p.peer_manager import PeerManager
    from pybitcoind.wallet.manager import WalletManager

    from .explorer.server import Explorer
    from .rpc.block_scans import FilterScan
    from .rpc.coin_scan import CoinScan
    from .rpc.getblocktemplate import TemplateCache
    from .rpc.registry import Registry
    from .rpc.server import RpcServer
    from .socks5 import Proxies
    from .spv_client import SpvClient
    from .wallet_side import WalletSide

T = TypeVar("T")

FATAL = "A fatal internal error occurred, see debug.log for details: "
_APART = ("indexes/", "wallets/", "peers", "filters/")
"""Databases after whose failure the chain can still be written."""
RPC_GRACE = 1.2
"""Seconds that running requests get at a stop; a stop takes less than two."""


class Role(Protocol):
    """What makes a node full, miner or spv (full.py, miner.py, spv.py)."""

    async def open(self, resources: AsyncExitStack) -> None:
        """Opens databases, loads the chain, and sets the node's parts. Raises ConfigError or StorageError."""

    async def start(self) -> None:
        """Starts what makes the node act: peers, wallets, the miner, imports."""

    async def stop(self) -> None:
        """The reverse, in the order above, up to the flush. Parts that were not started are skipped."""


class Node:
    """Parts that a role lacks, or has not opened yet, are None or empty.

    started_at: monotonic seconds. Where `stopping` is set, long waits of RPC methods end.
    """

    chain: ChainManager
    events: EventBus
    registry: Registry

    def __init__(
        self,
        config: Config,
        params: ChainParams,
        log: DebugLog,
        clock: Clock,
        role: Callable[[Node], Role] | None = None,
        *,
        ports: Ports | None = None,
    ) -> None:
        """ports: of a node that is a guest in somebody else's process (node/testing): it leaves signals,
        the garbage collector and the disk alone, and its RPC server is started when `open_rpc` asks for it.
        """
        from .tcp_network import TcpNetwork

        self.config, self.params, self.debug_log = config, params, log
        self.net_dir = config.net_dir
        self.role = config.text("role", "full")
        self.is_guest = ports is not None
        self.tcp = TcpNetwork()
        self.proxies: Proxies | None = None
        self.workers: ThreadWorkers | None = None
        self.bars: ProgressBars | None = None
        self.ports = self._own_ports(log, clock) if ports is None else ports
        self.new_seed: Callable[[], bytes] | None = None
        """Where the keys of new wallets come from; None: the operating system."""
        self.mempool: Mempool | None = None
        self.fees: FeeRecorder | None = None
        """None with -blocksonly and on an SPV node."""
        self.peers: PeerManager | None = None
        self.wallet_side: WalletSide | None = None
        self.spv: SpvClient | None = None
        self.indexes: dict[str, Index[Any]] = {}
        self.rpc: RpcServer | None = None
        self.web: Explorer | None = None
        self.started_at = clock.monotonic()
        self.stopping = asyncio.Event()
        self.coin_scan: CoinScan | None = None
        """scantxoutset's, of which one runs at a time."""
        self.filter_scan: FilterScan | None = None
        """scanblocks', of which one runs at a time."""
        self.template_cache: TemplateCache | None = None
        """getblocktemplate's."""
        self.error: str | None = None
        """Why the node failed, in one line."""
        self.error_prefix = "Error: "
        self.storage_failed = False
        self._tasks: asyncio.TaskGroup
        self._spawned: set[asyncio.Task[None]] = set()
        self._role = (role or _role_of(self.role))(self)

    def _own_ports(self, log: DebugLog, clock: Clock) -> Ports:
        config, random = self.config, SystemRandom()
        if bars_wanted():
            self.bars = ProgressBars()
            log.write_console = self.bars.write_line
        self.workers = daemon_workers(config.number("par"))
        network: Network = self.tcp
        if config.values("proxy") or config.text("onion"):
            from .socks5 import Proxies, ProxyNetwork

            self.proxies = Proxies.of(config)
            network = ProxyNetwork(self.tcp, self.proxies, random)
        return Ports(
            clock=clock,
            random=random,
            network=network,
            workers=self.workers,
            storage=PlacedStorage(self.net_dir, config.blocks_root, config.wallet_dir),
            log=log,
            progress=self.bars or show_nothing,
        )

    # For RPC

    @property
    def wallets(self) -> WalletManager | None:
        """None with -disablewallet, and outside of the role's life."""
        return None if self.wallet_side is None else self.wallet_side.manager

    @property
    def log_path(self) -> str:
        return str(self.debug_log.path or "")

    def active_commands(self) -> list[tuple[str, float]]:
        """Name and monotonic time of beginning of each running RPC command."""
        return list(self.rpc.active.values()) if self.rpc else []

    def warnings(self) -> list[str]:
        """What getblockchaininfo, getnetworkinfo and -alertnotify tell."""
        if self.role != "spv" and hasattr(self, "chain") and self.chain.activation.large_invalid_chain:
            from pybitcoind.chain.activation import INVALID_CHAIN_WARNING

            return [INVALID_CHAIN_WARNING]
        return []

    async def until_stop(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The result of work, or None if the node stops first (for methods that wait for something)."""
        task = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            for future in (task, stopping):
                future.cancel()
            await asyncio.gather(task, stopping, return_exceptions=True)

    # Life

    def request_stop(self) -> None:
        """Begins an orderly stop; idempotent, callable from everywhere on the loop."""
        self.stopping.set()

    def fail(self, error: BaseException | str) -> None:
        """A part failed: notes why and stops the node in order. The first failure counts."""
        while isinstance(error, BaseExceptionGroup):  # of a part that has tasks of its own
            error = error.exceptions[0]
        if isinstance(error, StorageError) and not error.name.startswith(_APART):
            self.storage_failed = True
        if self.error is None:
            self.error_prefix = "" if isinstance(error, RebuildNeeded) else "Error: "
            known = isinstance(error, (str, StorageError, ConfigError))
            self.error = str(error) if known else FATAL + _one_line(error)
            told = self.error if known else f"A fatal internal error occurred: {_one_line(error)}"
            for text in told.split(f"\n{AND_ERROR}"):
                self.debug_log.error(text)
            if isinstance(error, BaseException) and not known:
                self.debug_log.error("".join(traceback.format_exception(error)))
        self.stopping.set()

    def spawn(self, name: str, work: Awaitable[object]) -> asyncio.Task[None]:
        """Runs work as a task of the node; a failure of it stops the node."""

        async def supervised() -> None:
            try:
                await work
            except Exception as error:
                self.fail(error)

        task = self._tasks.create_task(supervised(), name=name)
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)
        return task

    def status(self, text: str) -> None:
        """A step of the start, for the log and for RPC callers meanwhile (code -28)."""
        self.debug_log.info(f"init message: {text}")
        if self.rpc and self.rpc.warm_up is not None:
            self.rpc.warm_up = text

    async def run(self, on_ready: Callable[[], None] = lambda: None) -> int:
        """Starts, serves until a stop is asked for, and stops. The exit code: 0, or 1 after a failure."""
        if not self.is_guest:
            self._take_signals()
        async with AsyncExitStack() as resources:
            if self.workers is not None:
                resources.callback(self.workers.close)
            if self.bars is not None:
                resources.callback(self.bars.close)
            async with asyncio.TaskGroup() as self._tasks:
                try:
                    await self._start_or_stop(resources, on_ready)
                    await self.stopping.wait()
                except Exception as error:
                    self.fail(error)
                self.stopping.set()
                await self._stop()
                for task in list(self._spawned):  # commands of the user's, and what is left after a failure
                    task.cancel()
        self.debug_log.info("Shutdown done")
        return 0 if self.error is None else 1

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._unhandled)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.request_stop)
        loop.add_signal_handler(signal.SIGHUP, self.debug_log.reopen)

    async def _start_or_stop(self, resources: AsyncExitStack, on_ready: Callable[[], None]) -> None:
        """Starts; a stop asked for meanwhile interrupts it."""
        starting = asyncio.ensure_future(self._start(resources))
        stopping = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not starting.done():
                starting.cancel()
            await asyncio.wait((starting, stopping))
        if not starting.cancelled():
            starting.result()
            on_ready()

    async def _start(self, resources: AsyncExitStack) -> None:
        if self.config.flag("server"):
            self._declare_methods()
            if not self.is_guest:
                await self.open_rpc()
        await self._role.open(resources)
        await self._role.start()
        await self._start_web()
        if not self.is_guest:
            self._write_ports()
        if self.rpc:
            self.rpc.warm_up = None
        self.status("Done loading")
        if not self.is_guest:
            settle()
        for command in self.config.values("startupnotify"):
            self.spawn("startupnotify", run_command(command, self.debug_log))

    def _declare_methods(self) -> None:
        from .rpc.methods import declared
        from .rpc.registry import Registry

        self.registry = Registry(declared(wallets=not self.config.flag("disablewallet")))

    async def open_rpc(self) -> RpcServer:
        """Starts the RPC server, if it does not run. ConfigError where it cannot."""
        from .rpc.server import RpcServer

        if self.rpc is None:
            self.rpc = RpcServer(self, self.config)
            if self.config.flag("rest"):
                from .rest import add_rest

                add_rest(self.rpc, self)
            await self.rpc.start()
        return self.rpc

    async def _start_web(self) -> None:
        """-web: the explorer, imported only here."""
        port = web_port(self.config, self.params)
        if port is None:
            return
        from .explorer.server import Explorer

        self.web = Explorer(self)
        await self.web.open(self.config.text("webbind") or "127.0.0.1", port)

    def _write_ports(self) -> None:
        """ports.json: where this node listens, for who gave -port=0 or -rpcport=0."""
        ports = {
            "rpc": self.rpc.port if self.rpc else None,
            "p2p": self.peers.endpoints[0][1] if self.peers and self.peers.endpoints else None,
            "web": self.web.port if self.web else None,
            "pid": os.getpid(),
        }
        try:
            replace_file(self.ports_file, (json.dumps(ports) + "\n").encode())
        except OSError as error:
            raise ConfigError(f"Unable to write {self.ports_file}: {error.strerror}") from None

    @property
    def ports_file(self) -> Path:
        return self.net_dir / PORTS_FILE

    async def _stop(self) -> None:
        for command in self.config.values("shutdownnotify"):
            await run_command(command, self.debug_log)
        self.debug_log.info("Shutdown in progress...")
        if self.rpc:
            self.rpc.stop_accepting()
            await self.in_order(partial(self.rpc.stop, RPC_GRACE))
        if self.web:
            await self.in_order(self.web.close)
        await self.in_order(self._role.stop)
        if not self.is_guest:
            self.ports_file.unlink(missing_ok=True)

    async def in_order(self, *steps: Callable[[], Awaitable[None]]) -> None:
        """Takes the steps of a stop; one that fails does not keep the next from being taken."""
        for step in steps:
            try:
                await step()
            except Exception as error:
                self.fail(error)

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What nobody awaited: never on stderr, and never silent."""
        error = context.get("exception")
        detail = "".join(traceback.format_exception(error)) if error else ""
        self.debug_log.error(f"{context.get('message', 'unhandled')}\n{detail}")


def _role_of(name: str) -> Callable[[Node], Role]:
    """Imported when it is chosen: a role's imports are most of a node's start."""
    module, role = {
        "full": (".full", "FullNode"),
        "miner": (".miner", "MinerNode"),
        "spv": (".spv", "SpvNode"),
    }[name]
    made: Callable[[Node], Role] = getattr(import_module(module, __package__), role)
    return made


def _one_line(error: BaseException | str) -> str:
    text = str(error).split("\n", 1)[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
