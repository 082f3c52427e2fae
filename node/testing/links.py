"""Links between nodes as objects, and the shapes that networks have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pybitcoind.chain.ports import Endpoint, Random
from pybitcoind.p2p.line import Line
from pybitcoind.p2p.memory_network import MemoryHub

if TYPE_CHECKING:
    from .node import BitcoinNode

PATIENCE = 5.0
"""Seconds, beyond what the lines take, from dialling until it is tried again."""

Pair = tuple[int, int]


class Wire(Protocol):
    """What carries a link: the in-memory network, or a proxy on the loopback."""

    async def open(self) -> Endpoint:
        """Where the dialler has to dial to reach the other end."""

    def line(self, forward: bool) -> Line:
        """The line from the dialler (forward) or to it."""

    async def cut(self) -> None:
        """Ends what goes over it and lets nothing new through."""

    async def heal(self) -> None: ...

    async def close(self) -> None: ...


class MemoryWire:
    def __init__(self, hub: MemoryHub, dialler: str, listener: str, endpoint: Callable[[], Endpoint]) -> None:
        self._hub, self._ends, self._endpoint = hub, (dialler, listener), endpoint

    async def open(self) -> Endpoint:
        return self._endpoint()

    def line(self, forward: bool) -> Line:
        line = self._hub.line(*(self._ends if forward else reversed(self._ends)))
        assert line is not None, "the hub has a clock"
        return line

    async def cut(self) -> None:
        self._hub.cut(*self._ends)

    async def heal(self) -> None:
        self._hub.heal(*self._ends)

    async def close(self) -> None:
        """Nothing to close."""


class Link:
    """A connection from one node (who dials) to another, which can be cut, slowed and spoiled.

    Every setting is for both directions, or with `to` for the one that leads to that node.
    """

    def __init__(self, dialler: BitcoinNode, listener: BitcoinNode, wire: Wire) -> None:
        self.dialler, self.listener, self._wire = dialler, listener, wire
        self._cut_ways: dict[bool, float] = {}
        self.is_cut = False
        self.address = ""
        self._dialled = 0.0

    def __repr__(self) -> str:
        return f"<link {self.dialler.name} -> {self.listener.name}{', cut' if self.is_cut else ''}>"

    @property
    def ends(self) -> tuple[BitcoinNode, BitcoinNode]:
        return self.dialler, self.listener

    def joins(self, one: BitcoinNode, other: BitcoinNode) -> bool:
        return {one.name, other.name} == {self.dialler.name, self.listener.name}

    # Up and down

    def carries(self, *, to: BitcoinNode | None = None) -> bool:
        """Both nodes run, and what is sent (to one of them; None: both ways) arrives some time."""
        running = all(end.running for end in self.ends)
        return running and not self.is_cut and not any(line.is_dead for line in self._lines(to))

    async def connect(self) -> None:
        """Has the dialler dial, without waiting for what comes of it."""
        host, port = await self._wire.open()
        self.address = f"{host}:{port}"
        if self.dialler.running and self.listener.running and not await self.is_up():
            self._dialled = self.dialler.network.clock.monotonic()
            await self.dialler.rpc.addnode(self.address, "onetry")

    async def is_up(self) -> bool:
        """Both ends have finished the handshake."""
        if not (self.address and self.dialler.running):
            return False
        for peer in await self.dialler.rpc.getpeerinfo():
            if peer["addr"] == self.address and not peer["inbound"]:
                return "pong" in peer["bytesrecv_per_msg"]
        return False

    async def comes_up(self) -> bool:
        """Whether it is up. Dials again where the last time came to nothing: the node at the other end may
        have been killed while nothing got through, and the connection has ended since."""
        if await self.is_up():
            return True
        patience = PATIENCE + 4 * sum(line.delay + line.jitter for line in self.lines())
        if self.dialler.network.clock.monotonic() - self._dialled >= patience:
            await self.connect()
        return False

    async def wait_up(self) -> None:
        await self.dialler.network.wait(f"{self!r} to be up", self.comes_up, self._state)

    async def _state(self) -> str:
        return "it up" if await self.is_up() else f"it down, {self.dialler.last_words()}"

    async def cut(self, *, to: BitcoinNode | None = None) -> None:
        """Ends the connection, as a cable that is pulled out and both notice; nothing goes until `heal`.

        to: what is sent to this node no longer arrives, and nobody is told: the connection stays, silent.
        """
        if to is not None:
            way = self._forward(to)
            self._cut_ways.setdefault(way, self._wire.line(way).loss)
            self._wire.line(way).loss = 1.0
            return
        self.is_cut = True
        await self._wire.cut()
        await self.dialler.network.wait(f"{self!r} to be down", self._is_down, self._state)

    async def _is_down(self) -> bool:
        return not await self.is_up()

    async def heal(self, *, to: BitcoinNode | None = None, wait: bool = True) -> None:
        """Undoes `cut`, and waits until the nodes are connected again. to: undoes that of one direction."""
        ways = list(self._cut_ways) if to is None else [self._forward(to)]
        for way in ways:
            self._wire.line(way).loss = self._cut_ways.pop(way, 0.0)
        if to is None and self.is_cut:
            self.is_cut = False
            await self._wire.heal()
            await self.connect()
        if wait and not self.is_cut and not self._cut_ways:
            await self.connect()
            await self.wait_up()

    async def close(self) -> None:
        await self._wire.close()

    # How good it is

    def delay(self, seconds: float, *, to: BitcoinNode | None = None) -> None:
        """What is sent arrives so much later."""
        for line in self._lines(to):
            line.delay = seconds

    def jitter(self, seconds: float, *, to: BitcoinNode | None = None) -> None:
        """Up to so much later still, at random; nothing overtakes."""
        for line in self._lines(to):
            line.jitter = seconds

    def loss(self, chance: float, *, to: BitcoinNode | None = None) -> None:
        """This part of what is sent is lost and sent again, as by TCP, and so arrives late; with 1 nothing
        arrives."""
        for line in self._lines(to):
            line.loss = chance

    def bandwidth(self, bytes_per_second: float, *, to: BitcoinNode | None = None) -> None:
        """0: without limit."""
        for line in self._lines(to):
            line.bandwidth = bytes_per_second

    def _forward(self, to: BitcoinNode) -> bool:
        if to.name not in (self.dialler.name, self.listener.name):
            raise ValueError(f"{to.name} is at neither end of {self!r}")
        return to.name == self.listener.name

    def lines(self) -> list[Line]:
        """From the dialler, and to it."""
        return self._lines(None)

    def line_to(self, node: BitcoinNode) -> Line:
        """What is sent to this end goes over it."""
        return self._wire.line(self._forward(node))

    def _lines(self, to: BitcoinNode | None) -> list[Line]:
        ways = (True, False) if to is None else (self._forward(to),)
        return [self._wire.line(way) for way in ways]


# Shapes: who dials whom among nodes 0 to n - 1


def line(n: int) -> list[Pair]:
    return [(i + 1, i) for i in range(n - 1)]


def ring(n: int) -> list[Pair]:
    return line(n) + ([(0, n - 1)] if n > 2 else [])


def star(n: int) -> list[Pair]:
    """All dial the first."""
    return [(i, 0) for i in range(1, n)]


def mesh(n: int) -> list[Pair]:
    """Everybody with everybody."""
    return [(i, j) for i in range(n) for j in range(i)]


def random(n: int, chance: Random, degree: int = 3) -> list[Pair]:
    """Connected, each node dialling up to degree of those before it."""
    return [(i, j) for i in range(1, n) for j in sorted(chance.shuffled(range(i))[:degree])]


SHAPES: dict[str, Callable[[int], list[Pair]]] = {"line": line, "ring": ring, "star": star, "mesh": mesh}
Topology = str | Path | Sequence[Pair]
"""line, ring, star, mesh, random, none; a TOML file as `pybitcoin-localnet --shape` takes it; or the pairs
(dialler, listener) by number."""


def pairs_of(topology: Topology, n: int, chance: Random) -> list[Pair]:
    """ValueError where there is no such shape."""
    if not isinstance(topology, (str, Path)):
        return list(topology)
    if topology == "none":
        return []
    if topology == "random":
        return random(n, chance)
    if str(topology) not in SHAPES:
        known = ", ".join((*SHAPES, "random", "none"))
        raise ValueError(f"there is no topology {topology!r}; there are {known}, a TOML file, or pairs")
    return SHAPES[str(topology)](n)
