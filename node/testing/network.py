"""A network of nodes in a test's hands."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pybitcoind.node.localnet.shape import from_file
from pybitcoind.node.ports import SystemRandom
from pybitcoind.p2p.memory_network import MemoryHub

from . import blocks
from .clocks import FixedClock, NetworkClock, make_clock
from .errors import NodeFailed, NotPossible
from .faucet import Faucet
from .hosted import HostedEngine, Spec, Stored, World
from .links import PATIENCE, Link, MemoryWire, Topology, Wire, pairs_of
from .news import LIMIT, News
from .node import BitcoinNode, Engine

if TYPE_CHECKING:
    from .raw_peer import RawPeer
    from .snapshot import LinkState, Snapshot

T = TypeVar("T")
MODES = ("memory", "tcp", "process")
CHAINS = ("ready", "genesis")
STRANGERS = "10.200.0"
"""Where raw peers come from, in memory; on the loopback it is 127.0.0.2."""
FILTERS = ("-blockfilterindex", "-peerblockfilters")


class BitcoinNetwork:
    """Nodes, their links, one clock and one seed. Use it by `async with`, or by `start` and `close`.

    nodes: how many, or their names, or a Spec each. roles: by name, for those that are not full nodes.
    topology: see links.py. mode: "memory" (in this process, without a port), "tcp" (in this process, linked
    over the loopback) or "process". program: a bitcoind to run in place of our daemon ("process" then).
    clock: "virtual" (the default in memory), "real" (the default else), "fixed", "stepping", or one of
    clocks.py. chain: "ready", the 101 blocks of the package, or "genesis". seed: of all that is random.
    options: of every node's daemon. limit: seconds after which a wait fails. folder: for processes; else a
    temporary one.
    """

    def __init__(
        self,
        nodes: int | Sequence[str] | Sequence[Spec] = 2,
        *,
        roles: dict[str, str] | None = None,
        topology: Topology = "line",
        mode: str | None = None,
        program: str | Path | None = None,
        clock: str | NetworkClock | None = None,
        chain: str = "ready",
        seed: int = 0,
        options: Sequence[str] = (),
        limit: float = LIMIT,
        folder: str | Path | None = None,
        snapshot: Snapshot | None = None,
    ) -> None:
        self.mode = mode or ("process" if program else "memory")
        if self.mode not in MODES:
            raise ValueError(f"there is no mode {self.mode!r}; there are {', '.join(MODES)}")
        if program and self.mode != "process":
            raise NotPossible(f"{program} runs as a process only: mode='process'")
        if chain not in CHAINS:
            raise ValueError(f"there is no chain {chain!r}; there are {', '.join(CHAINS)}")
        self.seed, self.limit, self.chain = seed, limit, chain
        self._snapshot = snapshot
        begin = blocks.READY_END if snapshot is None else snapshot.time
        self.clock = make_clock(clock or ("virtual" if self.mode == "memory" else "real"), begin)
        self.faucet = Faucet(ready=chain == "ready")
        self.links: list[Link] = []
        self.first_height = blocks.READY_HEIGHT if chain == "ready" else 0
        self._topology = topology
        self._specs, self._pairs = _specs(nodes, roles or {}, topology)
        self._program, self._options = str(program) if program else None, tuple(options)
        chance = SystemRandom(int.from_bytes(seed.to_bytes(16, "big", signed=True), "big"))
        self.random = chance
        """Of links and topology, by the seed."""
        hub = MemoryHub(self.clock.node_clock(), chance)
        self.world = World(self.clock, seed, hub, News())
        self._nodes: dict[str, BitcoinNode] = {}
        self._peers: list[RawPeer] = []
        self._counter = 0
        self._folder = None if folder is None else Path(folder)
        self._temporary: Path | None = None
        if isinstance(self.clock, FixedClock):
            self.clock.on_set.append(self._tell_time)
        if hasattr(self.clock, "on_jump"):
            self.clock.on_jump.append(self._excuse)

    # Life

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Starts all nodes and links them; returns when they are linked and on one tip."""
        with_spv = any(spec.role == "spv" for spec in self._specs)
        for spec in self._specs:
            if self._snapshot is None:
                spec = replace(spec, options=(*self._options, *spec.options))
                spec = replace(spec, program=spec.program or self._program)
                if with_spv and spec.role != "spv":
                    spec = replace(spec, options=(*FILTERS, *spec.options))
            self._add(spec, await self._first_store(spec))
        await self._all(node.engine.start() for node in self.nodes)
        await self._all(self._load_chain(node) for node in self.nodes)
        if self._snapshot is not None:
            await self._recall(self._snapshot)
            return
        pairs = self._pairs
        if pairs is None:
            pairs = pairs_of(self._topology, len(self._specs), self.random)
        await self.link_all([(self.nodes[a], self.nodes[b]) for a, b in pairs])

    async def close(self) -> None:
        """Ends everything; a node that failed meanwhile is told of (NodeFailed)."""
        failures = [f"{node.name}: {why}" for node in self.nodes if (why := node.engine.failure())]
        try:
            for peer in self._peers:
                await peer.close()
            for node in self.nodes:
                if node.running:
                    try:
                        await node.engine.stop()
                    except NodeFailed as error:
                        failures.append(str(error))
            for link in self.links:
                await link.close()
        finally:
            self.clock.close()
            if self._temporary is not None:
                shutil.rmtree(self._temporary, ignore_errors=True)
        if failures:
            raise NodeFailed("; ".join(failures))

    @staticmethod
    async def _all(work: Iterable[Awaitable[object]]) -> None:
        """All at once for processes, which are waited for; the first failure is raised when all are done."""
        results = await asyncio.gather(*work, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    # Nodes

    @property
    def nodes(self) -> list[BitcoinNode]:
        return list(self._nodes.values())

    def __getitem__(self, which: int | str) -> BitcoinNode:
        """By number or name."""
        if isinstance(which, int):
            return self.nodes[which]
        if which not in self._nodes:
            raise KeyError(f"no node is named {which!r}; there are {', '.join(self._nodes)}")
        return self._nodes[which]

    def __len__(self) -> int:
        return len(self._nodes)

    async def add_node(
        self,
        name: str | None = None,
        *,
        role: str = "full",
        options: Sequence[str] = (),
        program: str | Path | None = None,
        chain: str | None = None,
        links: Iterable[BitcoinNode] = (),
    ) -> BitcoinNode:
        """One more node, started and linked to some of the others. program: a bitcoind, beside our nodes in
        any mode but memory."""
        name = name or f"node{len(self._nodes)}"
        spec = Spec(name, role, (*self._options, *options), str(program) if program else None)
        node = self._add(spec, await self._first_store(spec, chain))
        await node.engine.start()
        await self._load_chain(node, chain)
        await self.link_all([(node, other) for other in links])
        return node

    def _add(self, spec: Spec, stored: Stored) -> BitcoinNode:
        if spec.name in self._nodes:
            raise ValueError(f"there is a node {spec.name} already")
        node = BitcoinNode(self, self._engine(spec, stored))
        self._nodes[spec.name] = node
        return node

    def _engine(self, spec: Spec, stored: Stored) -> Engine:
        if self.mode == "process" or spec.program:
            from .process import ProcessEngine

            if self.mode == "memory":
                raise NotPossible(f"{spec.program} cannot join a network in memory: mode='tcp' or 'process'")
            return ProcessEngine(self.world, spec, stored, self._folder_of(spec.name))
        return HostedEngine(self.world, spec, stored, over_tcp=self.mode == "tcp")

    def _folder_of(self, name: str) -> Path:
        if self._folder is None:
            self._folder = self._temporary = Path(tempfile.mkdtemp(prefix="pybitcoind-testing-"))
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def _first_store(self, spec: Spec, chain: str | None = None) -> Stored:
        """What a node begins with: the ready chain, where it can be handed over as it is."""
        if self._snapshot is not None and spec.name in self._snapshot.stores:
            return self._snapshot.stores[spec.name]
        if (chain or self.chain) != "ready" or spec.role == "spv" or spec.program:
            return Stored()
        return Stored(await blocks.ready_images())

    async def _load_chain(self, node: BitcoinNode, chain: str | None = None) -> None:
        """The ready chain, block by block, into a program that is not ours."""
        if self._snapshot is not None and node.name in self._snapshot.stores:
            return
        if node.engine.spec.program and (chain or self.chain) == "ready":
            for block in blocks.ready_blocks()[await node.height() :]:
                await node.rpc.submitblock(block.raw.hex())

    def full_node(self, preferred: BitcoinNode | None = None) -> BitcoinNode:
        """preferred if it has the chain, else the first node that has."""
        if preferred is not None and preferred.role != "spv":
            return preferred
        for node in self.nodes:
            if node.role != "spv" and node.running:
                return node
        raise NotPossible("only a full node or a miner has the chain, and none runs")

    async def mine(self, n: int = 1, **options: Any) -> list[str]:
        """On the first full node, until all nodes have it."""
        hashes = await self.full_node().mine(n, **options)
        await self.wait_for_sync()
        return hashes

    async def fund(self, to: Any, amount: Any = 1, *, confirmations: int = 1) -> str:
        """As BitcoinNode.fund, on the first full node, until all nodes have it."""
        txid = await self.full_node().fund(to, amount, confirmations=confirmations)
        await self.wait_for_sync()
        return txid

    # Links

    def link(self, one: BitcoinNode, other: BitcoinNode) -> Link:
        """The link between two nodes, whoever dialled."""
        for link in self.links:
            if link.joins(one, other):
                return link
        raise KeyError(f"there is no link between {one.name} and {other.name}")

    async def connect(self, dialler: BitcoinNode, listener: BitcoinNode) -> Link:
        """A new link; returns when the handshake is done."""
        (link,) = await self.link_all([(dialler, listener)])
        return link

    async def link_all(self, pairs: Iterable[tuple[BitcoinNode, BitcoinNode]]) -> list[Link]:
        links = []
        for dialler, listener in pairs:
            if listener.role == "spv":
                dialler, listener = listener, dialler  # it serves nobody
            links.append(Link(dialler, listener, self._wire(dialler, listener)))
        self.links += links
        for link in links:
            await link.connect()
        await self._wait_up(links)
        return links

    async def _wait_up(self, links: Sequence[Link]) -> None:
        left = dict.fromkeys(links)

        async def probe() -> bool:
            for link in list(left):
                if await link.comes_up():
                    del left[link]
            return not left

        async def saw() -> str:
            link = next(iter(left))
            return f"{len(left)} down, {link!r} first; {link.dialler.name} said\n{link.dialler.last_words()}"

        await self.wait(f"{len(links)} links to be up", probe, saw)

    def _wire(self, dialler: BitcoinNode, listener: BitcoinNode) -> Wire:
        if self.mode == "memory":
            return MemoryWire(self.world.hub, dialler.name, listener.name, lambda: listener.engine.endpoint)
        from .proxy import ProxyWire

        return ProxyWire(self.clock, self.random, lambda: listener.engine.endpoint)

    def reached_from(self, node: BitcoinNode) -> list[BitcoinNode]:
        """The other nodes that run and to which links lead that let something through."""
        reached, edge = {node: None}, [node]
        while edge:
            one = edge.pop()
            for link in self.links:
                if one in link.ends:
                    other = link.listener if one is link.dialler else link.dialler
                    if other not in reached and link.carries(to=other):
                        reached[other] = None
                        edge.append(other)
        return list(reached)[1:]

    async def relink(self, node: BitcoinNode) -> None:
        """Has the links of a node that was started again dialled, unless they are cut."""
        links = [link for link in self.links if node in link.ends and not link.is_cut]
        links = [link for link in links if all(end.running for end in link.ends)]
        for link in links:
            await link.connect()
        await self._wait_up(links)

    async def partition(self, *groups: Sequence[BitcoinNode]) -> None:
        """Cuts every link between nodes of different groups; nodes in no group keep theirs."""
        side = {node: i for i, group in enumerate(groups) for node in group}
        for link in self.links:
            a, b = (side.get(end) for end in link.ends)
            if a is not None and b is not None and a != b and not link.is_cut:
                await link.cut()

    async def heal(self) -> None:
        """Every link is whole and connected again; nodes that do not run are left out."""
        links = [link for link in self.links if all(end.running for end in link.ends)]
        for link in links:
            await link.heal(wait=False)
        await self._wait_up(links)

    @asynccontextmanager
    async def _within(self, seconds: float) -> AsyncIterator[None]:
        with self.clock.flowing():
            async with self.clock.timeout(seconds):
                yield

    async def raw_peer(self, node: BitcoinNode) -> RawPeer:
        """A stranger's connection to node, without a handshake yet. See BitcoinNode.raw_peer."""
        from .raw_peer import RawPeer
        from .stranger import dial_from

        self._counter += 1
        name, host = f"peer{self._counter}", f"{STRANGERS}.{self._counter}"
        nonce = self.world.number(name, "nonce") & (1 << 64) - 1
        if self.mode == "memory":
            network = self.world.hub.network(name, host)
            peer = await RawPeer.connect(
                node.engine.endpoint, network=network, limit=self._within, nonce=nonce
            )
        else:
            stream = await dial_from(node.engine.endpoint)
            peer = RawPeer(stream, blocks.params().magic, self._within, nonce=nonce)
        self._peers.append(peer)
        return peer

    # Time

    async def _tell_time(self, when: int) -> None:
        """Processes have to be told; nodes in ours read the clock."""
        for node in self.nodes:
            if node.engine.kind == "process" and node.running:
                await node.rpc.setmocktime(when)

    async def tell_time(self) -> None:
        if self.clock.stands_at:
            await self._tell_time(self.clock.stands_at)

    def _excuse(self) -> None:
        for node in self.nodes:
            if isinstance(node.engine, HostedEngine) and node.running and node.engine.node.peers is not None:
                node.engine.node.peers.excuse_silence()

    async def advance(self, seconds: float) -> None:
        """Sets the network's clock forward (not a real one)."""
        await self.clock.advance(seconds)

    async def sleep(self, seconds: float) -> None:
        """Lets time pass; virtual time costs none."""
        await self.clock.sleep(seconds)

    # Waiting

    async def wait(
        self,
        what: str,
        probe: Callable[[], Awaitable[T | None]],
        saw: Callable[[], Awaitable[str]],
        limit: float | None = None,
    ) -> T:
        """The first true value of probe. WaitFailed, an AssertionError, says what was waited for and what was
        seen instead."""
        return await self.world.news.wait(
            what, probe, saw, self.clock, self.limit if limit is None else limit
        )

    async def wait_for_sync(self, *nodes: BitcoinNode, mempools: bool = False) -> str:
        """Until all nodes that run (or those named) have one tip, their wallets and indexes too: its hash.

        mempools: and the same transactions in their mempools. Links that should be up and are not, since a
        node has given up the other, are dialled again if it takes long.
        """
        begun = self.clock.monotonic()
        chosen = [node for node in nodes or self.nodes if node.running]
        ahead: dict[str, Any] = {}

        async def states() -> dict[str, Any]:
            return {node.name: await self._state(node, mempools) for node in chosen}

        async def probe() -> str | None:
            ahead.update(await states())
            tips = {state[0] for state in ahead.values()}
            pools = {state[1] for state in ahead.values() if state[1] is not None}
            if len(tips) == 1 and len(pools) <= 1 and all(state[2] for state in ahead.values()):
                return str(next(iter(tips)))
            if self.clock.monotonic() - begun > PATIENCE:
                await self._dial_lost()
            return None

        async def saw() -> str:
            rows = []
            for node in chosen:
                tip, pool, level = ahead[node.name]
                rows.append(f"{node.name} at {await node.height()} {tip[:16]}…")
                rows[-1] += "" if level else " (its wallets are behind)"
                rows[-1] += "" if pool is None else f" with {len(pool)} in its mempool"
            return ", ".join(rows)

        tip = await self.wait("one tip everywhere" + (" and one mempool" * mempools), probe, saw)
        for node in chosen:
            await node.rpc.syncwithvalidationinterfacequeue()
        return tip

    async def _dial_lost(self) -> None:
        for link in self.links:
            if link.carries():
                await link.comes_up()

    async def _state(self, node: BitcoinNode, mempools: bool) -> tuple[str, frozenset[str] | None, bool]:
        """Tip, mempool (None where it is not asked for), whether the wallets of an SPV node are level."""
        tip, level, pool = await node.tip(), True, None
        if node.role == "spv":
            for name in await node.rpc.listwallets():
                info = await node.rpc.for_wallet(name).getwalletinfo()
                level = level and info.get("lastprocessedblock", {}).get("hash") == tip
        elif mempools:
            pool = frozenset(await node.mempool())
        return tip, pool, level

    async def wait_for_tx(self, txid: str, *nodes: BitcoinNode, confirmations: int = 0) -> None:
        """Until all full nodes that run (or those named) have the transaction; as BitcoinNode.wait_for_tx."""
        for node in nodes or [node for node in self.nodes if node.running and node.role != "spv"]:
            await node.wait_for_tx(txid, confirmations=confirmations)

    # Snapshots

    async def snapshot(self) -> Snapshot:
        """All nodes, links and the time as they are now."""
        from .snapshot import take

        return await take(self)

    async def restore(self, snapshot: Snapshot) -> None:
        """Everything is again as it was: nodes, links, and time where it is not the machine's.

        Nodes that came since are stopped.
        """
        for node in self.nodes:
            if node.running:
                await node.engine.stop()
        self.clock.rewind(snapshot.time)
        for name, stored in snapshot.stores.items():
            self[name].engine.load(stored)
            self[name].forget()
            if name in snapshot.running:
                await self[name].engine.start()
        for link in self.links:
            await link.close()
        self.links.clear()
        await self._recall(snapshot)

    async def _recall(self, snapshot: Snapshot) -> None:
        """Links as they were, between nodes that run; and what the faucet has paid."""
        self.faucet = Faucet(ready=self.chain == "ready")
        self.faucet.payments.update(snapshot.payments)
        for state in snapshot.links:
            link = Link(self[state.dialler], self[state.listener], self._wire(*self._ends(state)))
            self.links.append(link)
            if state.is_cut:
                await link.cut()
            else:
                await link.connect()
        live = [link for link in self.links if not link.is_cut and all(end.running for end in link.ends)]
        await self._wait_up(live)
        for state, link in zip(snapshot.links, self.links, strict=True):
            state.apply(link)

    def _ends(self, state: LinkState) -> tuple[BitcoinNode, BitcoinNode]:
        return self[state.dialler], self[state.listener]

    def unique(self) -> bytes:
        """Four bytes that this network has not had yet."""
        self._counter += 1
        return self._counter.to_bytes(4, "little")


def _specs(
    nodes: int | Sequence[str] | Sequence[Spec], roles: dict[str, str], topology: Topology
) -> tuple[list[Spec], list[tuple[int, int]] | None]:
    """What the nodes are, and who dials whom where a file says so."""
    if isinstance(topology, Path) or (isinstance(topology, str) and topology.endswith(".toml")):
        shape = from_file(Path(topology))
        if shape.chain:
            raise NotPossible(
                f"{topology} is of a chain of its own ({shape.chain}); nodes in tests are on regtest"
            )
        names = [node.name for node in shape.nodes]
        specs = [Spec(node.name, node.role, tuple(node.options)) for node in shape.nodes]
        return specs, [(i, names.index(to)) for i, node in enumerate(shape.nodes) for to in node.links]
    if isinstance(nodes, int):
        nodes = [f"node{i}" for i in range(nodes)]
    specs = [node if isinstance(node, Spec) else Spec(node, roles.get(node, "full")) for node in nodes]
    if unknown := set(roles) - {spec.name for spec in specs}:
        raise ValueError(f"no node is named {', '.join(sorted(unknown))}")
    return specs, None
