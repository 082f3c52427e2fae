"""ports.Network over asyncio's TCP sockets, IPv4 and IPv6."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

from pybitcoind.chain.ports import Endpoint, OnConnect

READ_HIGH = 256 * 1024
"""Bytes that arrived and were not read before the socket is left alone."""
READ_LOW = 64 * 1024


class TcpStream(asyncio.Protocol):
    """One TCP connection (ports.Stream)."""

    def __init__(self, on_open: Callable[[TcpStream], None] | None = None) -> None:
        self._on_open = on_open
        self._transport: asyncio.Transport | None = None
        self._local: Endpoint = ("", 0)
        self._remote: Endpoint = ("", 0)
        self._chunks: deque[bytes] = deque()
        self._unread = 0
        self._reading_paused = False
        self._closed = False
        """By us."""
        self._ended = False
        """The other side sends no more."""
        self._lost = False
        self._error: OSError | None = None
        self._readable = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._gone = asyncio.Event()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=0)
        local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        if not local or not remote:  # it is gone already
            self._transport.abort()
            return
        self._local, self._remote = tuple(local[:2]), tuple(remote[:2])
        if self._on_open:
            self._on_open(self)

    def data_received(self, data: bytes) -> None:
        self._chunks.append(bytes(data))
        self._unread += len(data)
        self._readable.set()
        if self._unread > READ_HIGH and self._transport and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._ended = True
        self._readable.set()
        return False  # nobody in this protocol closes one direction only: close the whole

    def pause_writing(self) -> None:
        self._drained.clear()

    def resume_writing(self) -> None:
        self._drained.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if isinstance(exc, OSError):
            self._error = exc
        self._readable.set()
        self._drained.set()
        self._gone.set()

    # -- ports.Stream

    @property
    def local(self) -> Endpoint:
        return self._local

    @property
    def remote(self) -> Endpoint:
        return self._remote

    @property
    def unsent(self) -> int:
        return 0 if self._transport is None or self._lost else self._transport.get_write_buffer_size()

    async def read(self, limit: int) -> bytes:
        while not (self._chunks or self._ended or self._lost or self._closed):
            self._readable.clear()
            await self._readable.wait()
        if self._closed:
            return b""
        if not self._chunks:
            if self._error:
                raise self._error
            return b""
        data = self._chunks.popleft()
        if len(data) > limit:
            self._chunks.appendleft(data[limit:])
            data = data[:limit]
        self._unread -= len(data)
        if self._reading_paused and self._unread <= READ_LOW and self._transport and not self._lost:
            self._reading_paused = False
            self._transport.resume_reading()
        return data

    def write(self, data: bytes) -> None:
        if self._transport and not (self._closed or self._lost):
            self._transport.write(data)

    async def drain(self) -> None:
        """Waits until the system has taken everything."""
        await self._drained.wait()
        if self._lost and not self._closed:
            raise self._error or ConnectionResetError("connection closed")

    def close(self) -> None:
        """What the system has not taken yet is lost; so a peer that does not read cannot hold us up."""
        if self._closed:
            return
        self._closed = True
        self._chunks.clear()
        self._readable.set()
        if self._transport is None:
            self._gone.set()
        elif self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()

    async def wait_closed(self) -> None:
        await self._gone.wait()


class TcpListener:
    """ports.Listener."""

    def __init__(self, on_connect: OnConnect) -> None:
        self._on_connect = on_connect
        self._server: asyncio.Server | None = None
        self._tasks: dict[asyncio.Task[None], None] = {}

    async def open(self, endpoint: Endpoint) -> None:
        host, port = endpoint
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: TcpStream(self._accept), host, port, backlog=128)

    @property
    def endpoint(self) -> Endpoint:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    def _accept(self, stream: TcpStream) -> None:
        task = asyncio.get_running_loop().create_task(self._handle(stream))
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _handle(self, stream: TcpStream) -> None:
        try:
            await self._on_connect(stream)
        except BaseException:
            stream.close()
            raise

    async def close(self) -> None:
        """Accepts no more. Streams that were handed out live on."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class TcpNetwork:
    """The real network. Needs a running loop, holds nothing."""

    async def dial(self, endpoint: Endpoint) -> TcpStream:
        loop = asyncio.get_running_loop()
        try:
            _, stream = await loop.create_connection(TcpStream, *endpoint)
        except ValueError as error:  # what cannot be a host's name ("a..b") is not even looked up
            raise OSError(f"{endpoint[0]!r} is no host: {error}") from None
        return stream

    async def listen(self, endpoint: Endpoint, on_connect: OnConnect) -> TcpListener:
        """host "::" takes IPv6 only; for both listen on "0.0.0.0" too."""
        listener = TcpListener(on_connect)
        await listener.open(endpoint)
        return listener

    async def resolve(self, name: str) -> list[str]:
        """Numeric addresses of a host name, in the system's order; [] if it has none."""
        if name == "localhost":
            return ["127.0.0.1", "::1"]
        try:
            found = await asyncio.get_running_loop().getaddrinfo(name, None)
        except (OSError, ValueError):
            return []
        return list(dict.fromkeys(str(row[4][0]) for row in found))
