"""A network without sockets: streams between nodes of one process, with links that can be cut.

All nodes share one space of endpoints, like processes of one machine: what one listens on at 127.0.0.1 or ::1
others can dial there. Each node has a name and an address of its own as well. Nothing here is random or
timed, unless a line is told to be (line.py); so a run repeats itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from pybitcoind.chain.ports import Clock, Endpoint, OnConnect, Random

from .line import Line

WINDOW = 256 * 1024
"""Bytes a reader may be behind before its writer's data stays with the writer."""
FIRST_PORT = 49152
"""Of those handed out for port 0 and for dialling."""
_ANY = ("0.0.0.0", "::")
_LOOPBACK = ("127.0.0.1", "::1")


class MemoryStream:
    """One end of a connection (ports.Stream)."""

    def __init__(self, hub: MemoryHub, owner: str, local: Endpoint, remote: Endpoint) -> None:
        self._hub, self.owner = hub, owner
        self._local, self._remote = local, remote
        self.other: MemoryStream
        self._outbox: deque[bytes] = deque()
        self._unsent = 0
        self._inbox: deque[bytes] = deque()
        self._unread = 0
        """Bytes in the inbox and on the way to it."""
        self._ended = False
        """The other end is closed; what is in the inbox may still be read."""
        self._error: OSError | None = None
        self._closed = False
        self._readable = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._gone = asyncio.Event()

    @property
    def local(self) -> Endpoint:
        return self._local

    @property
    def remote(self) -> Endpoint:
        return self._remote

    @property
    def unsent(self) -> int:
        return self._unsent

    async def read(self, limit: int) -> bytes:
        while not (self._inbox or self._ended or self._error or self._closed):
            self._readable.clear()
            await self._readable.wait()
        if self._closed:
            return b""
        if self._inbox:
            data = self._inbox.popleft()
            if len(data) > limit:
                self._inbox.appendleft(data[limit:])
                data = data[:limit]
            self._unread -= len(data)
            self.other._pump()
            return data
        if self._error:
            raise self._error
        return b""

    def write(self, data: bytes) -> None:
        if self._closed or self._error or self._ended or not data:
            return
        self._outbox.append(bytes(data))
        self._unsent += len(data)
        self._drained.clear()
        self._pump()

    def _pump(self) -> None:
        """Moves what fits from our outbox towards the other's inbox."""
        other = self.other
        while self._outbox and other._unread < WINDOW:
            data = self._outbox.popleft()
            room = WINDOW - other._unread
            if len(data) > room:
                self._outbox.appendleft(data[room:])
                data = data[:room]
            self._unsent -= len(data)
            other._unread += len(data)
            self._carry(other._arrive, data)
        if not self._outbox:
            self._drained.set()

    def _carry(self, deliver: Callable[[bytes], None], data: bytes) -> None:
        """Delivers now, or when the line does; never out of order."""
        line = self._hub.line(self.owner, self.other.owner)
        if line is None:
            deliver(data)
        else:
            line.send(len(data), lambda: deliver(data))

    def _arrive(self, data: bytes) -> None:
        if self._closed or self._error:
            return
        if data:
            self._inbox.append(data)
        else:
            self._ended = True
            self._drop_outbox()
            self._hub._forget(self)
        self._readable.set()

    def _drop_outbox(self) -> None:
        self._outbox.clear()
        self._unsent = 0
        self._drained.set()

    async def drain(self) -> None:
        """Waits until nothing is left with the writer."""
        await self._drained.wait()
        if self._error:
            raise self._error

    def close(self) -> None:
        """What the other end has not got room for is lost; the rest still reaches it."""
        if self._closed:
            return
        self._closed = True
        self._inbox.clear()
        self._drop_outbox()
        self._readable.set()
        self._gone.set()
        self._hub._forget(self)
        if not self._error:
            self._carry(self.other._arrive, b"")

    def fail(self, error: OSError) -> None:
        """The link broke: what is on the way is lost."""
        if self._closed or self._error:
            return
        self._error = error
        self._inbox.clear()
        self._drop_outbox()
        self._readable.set()
        self._hub._forget(self)

    async def wait_closed(self) -> None:
        await self._gone.wait()


class MemoryListener:
    """ports.Listener."""

    def __init__(self, hub: MemoryHub, owner: str, endpoint: Endpoint, on_connect: OnConnect) -> None:
        self._hub, self.owner = hub, owner
        self._endpoint = endpoint
        self._on_connect = on_connect
        self._tasks: dict[asyncio.Task[None], None] = {}

    @property
    def endpoint(self) -> Endpoint:
        return self._endpoint

    def accept(self, stream: MemoryStream) -> None:
        task = asyncio.get_running_loop().create_task(self._accept(stream))
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _accept(self, stream: MemoryStream) -> None:
        try:
            await self._on_connect(stream)
        except BaseException:
            stream.close()
            raise

    async def close(self) -> None:
        self._hub._listeners.pop(self._endpoint, None)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class MemoryNetwork:
    """One node's view of the hub (ports.Network)."""

    def __init__(self, hub: MemoryHub, name: str, host: str) -> None:
        self._hub, self.name, self.host = hub, name, host

    async def dial(self, endpoint: Endpoint) -> MemoryStream:
        """Connects by a node's name or address, or by where it listens on the loopback."""
        hub = self._hub
        listener = hub._find(endpoint)
        if listener is None:
            raise ConnectionRefusedError(f"nobody listens at {endpoint[0]} port {endpoint[1]}")
        if not hub.linked(self.name, listener.owner):
            raise ConnectionRefusedError(f"no way from {self.name} to {listener.owner}")
        await hub.round_trip(self.name, listener.owner)
        if not hub.linked(self.name, listener.owner):
            raise ConnectionResetError(f"link between {self.name} and {listener.owner} cut")
        there, port = endpoint
        if there in hub.nodes:
            there = hub.nodes[there].host
        here = there if there in _LOOPBACK else self.host
        near, far = (here, hub._next_port()), (there, port)
        ours = MemoryStream(hub, self.name, near, far)
        theirs = MemoryStream(hub, listener.owner, far, near)
        ours.other, theirs.other = theirs, ours
        hub._streams[ours] = hub._streams[theirs] = None
        listener.accept(theirs)
        return ours

    async def listen(self, endpoint: Endpoint, on_connect: OnConnect) -> MemoryListener:
        """host: the node's name or address, the loopback, or 0.0.0.0 or :: for all of them."""
        hub, (host, port) = self._hub, endpoint
        if host == self.name:
            host = self.host
        if host not in (*_ANY, *_LOOPBACK, self.host):
            raise OSError(f"cannot assign requested address {host}")
        port = port or hub._next_port()
        if (host, port) in hub._listeners:
            raise OSError(f"address already in use: {host} port {port}")
        listener = MemoryListener(hub, self.name, (host, port), on_connect)
        hub._listeners[host, port] = listener
        return listener


class MemoryHub:
    """What connects the nodes of one process. Without a clock everything is delivered at once.

    random: for lines with jitter or loss. latency: seconds, of every line that is not told otherwise.
    """

    def __init__(
        self, clock: Clock | None = None, random: Random | None = None, *, latency: float = 0.0
    ) -> None:
        self.clock, self.random, self.latency = clock, random, latency
        self._lines: dict[tuple[str, str], Line] = {}
        self.nodes: dict[str, MemoryNetwork] = {}
        self._listeners: dict[Endpoint, MemoryListener] = {}
        self._streams: dict[MemoryStream, None] = {}
        self._cut: dict[frozenset[str], None] = {}
        self._port = FIRST_PORT - 1

    def network(self, name: str, host: str | None = None) -> MemoryNetwork:
        """The network of the node name. host: its numeric address; None gives 10.0.0.1, 10.0.0.2, ..."""
        if name in self.nodes:
            raise ValueError(f"there is a node {name} already")
        number = len(self.nodes) + 1
        node = MemoryNetwork(self, name, host or f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        self.nodes[name] = node
        return node

    def line(self, a: str, b: str) -> Line | None:
        """The line from a to b; None without a clock."""
        line = self._lines.get((a, b))
        if line is None and self.clock is not None:
            line = self._lines[a, b] = Line(self.clock, self.random, delay=self.latency)
        return line

    async def round_trip(self, a: str, b: str) -> None:
        """As long as it takes to knock at b's door and to hear that it opens."""
        there, back = self.line(a, b), self.line(b, a)
        if there is None or back is None:
            return
        heard = asyncio.Event()
        there.send(0, lambda: back.send(0, heard.set))
        await heard.wait()

    def linked(self, a: str, b: str) -> bool:
        return frozenset((a, b)) not in self._cut

    def cut(self, a: str, b: str) -> None:
        """Breaks the streams between two nodes; until `heal` none can be made."""
        self._cut[frozenset((a, b))] = None
        for stream in list(self._streams):
            if {stream.owner, stream.other.owner} == {a, b}:
                stream.fail(ConnectionResetError(f"link between {a} and {b} cut"))
        for ends in ((a, b), (b, a)):
            if ends in self._lines:
                self._lines[ends].end()

    def heal(self, a: str, b: str) -> None:
        self._cut.pop(frozenset((a, b)), None)

    def split(self, *groups: Iterable[str]) -> None:
        """Cuts every link between nodes of different groups."""
        sides = [list(group) for group in groups]
        for i, side in enumerate(sides):
            for other in sides[i + 1 :]:
                for a in side:
                    for b in other:
                        self.cut(a, b)

    def heal_all(self) -> None:
        self._cut.clear()

    def _next_port(self) -> int:
        self._port += 1
        return self._port

    def _find(self, endpoint: Endpoint) -> MemoryListener | None:
        host, port = endpoint
        for name, node in self.nodes.items():
            if host in (name, node.host):
                for own in (node.host, *_ANY):
                    listener = self._listeners.get((own, port))
                    if listener is not None and listener.owner == name:
                        return listener
        if host in _LOOPBACK:
            any_host = _ANY[_LOOPBACK.index(host)]
            return self._listeners.get((host, port)) or self._listeners.get((any_host, port))
        return None

    def _forget(self, stream: MemoryStream) -> None:
        self._streams.pop(stream, None)
