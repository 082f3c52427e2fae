"""A peer that does what a test says: sends any message or bytes, records what it gets, waits by event.

    peer = await RawPeer.connect(("127.0.0.1", port))
    await peer.handshake()
    peer.send(m.GetHeaders([genesis]))
    headers = await peer.wait_for(m.Headers)

Works over TCP or any ports.Network, by real or virtual time. Waits fail with what had arrived instead of
hanging. Messages are those of pybitcoind.p2p.messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

from pybitcoind.chain import params
from pybitcoind.chain.ports import Endpoint, Listener, Network, Stream
from pybitcoind.node.tcp_network import TcpNetwork
from pybitcoind.p2p import messages as m
from pybitcoind.p2p.codec_v1 import BadFrame, V1Codec

from .errors import WaitFailed

M = TypeVar("M")
TIMEOUT = 20.0
"""Seconds after which a wait fails: a limit for broken code, never a delay."""
NONCE = 0x5C417ED
Limit = Callable[[float], AbstractAsyncContextManager[Any]]
"""As asyncio.timeout, which it is for real time."""


class RawPeer:
    """One connection to the node under test. received: every message in order, decoded where it decodes."""

    def __init__(
        self, stream: Stream, magic: bytes, limit: Limit = asyncio.timeout, *, nonce: int = NONCE
    ) -> None:
        """nonce: of our version message."""
        self.stream, self._limit, self._own_nonce = stream, limit, nonce
        self.codec = V1Codec(magic)
        self.received: list[m.Message | m.Unknown] = []
        self.bad_frames: list[BadFrame] = []
        self.closed = False
        """The other side ended the connection."""
        self.auto_pong = True
        self.responders: dict[str, Callable[[Any], object]] = {}
        """By command: called with each such message as it arrives, to play a node that answers."""
        self._nonce = 0
        self._news = asyncio.Condition()
        self._task = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def connect(
        cls,
        endpoint: Endpoint,
        *,
        network: Network | None = None,
        magic: bytes | None = None,
        limit: Limit = asyncio.timeout,
        nonce: int = NONCE,
    ) -> RawPeer:
        stream = await (network or TcpNetwork()).dial(endpoint)
        return cls(stream, magic or params.regtest().magic, limit, nonce=nonce)

    async def __aenter__(self) -> RawPeer:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    # -- sending

    def send(self, *messages: m.Message) -> None:
        for message in messages:
            self.stream.write(self.codec.encode(message))

    def send_payload(self, command: str, payload: bytes) -> None:
        """A message with any payload, its header right."""
        self.stream.write(self.codec.encode_payload(command, payload))

    def send_bytes(self, data: bytes) -> None:
        """Anything at all."""
        self.stream.write(data)

    # -- waiting

    async def wait_until(
        self, condition: Callable[[], bool], timeout: float = TIMEOUT, what: str = "a condition of the test's"
    ) -> None:
        """Looks at condition after each message that arrives, and at the end of the connection. what: it is
        waited for, as WaitFailed says it."""
        with self._explained(timeout, what):
            async with self._limit(timeout), self._news:
                await self._news.wait_for(condition)

    async def wait_for(
        self,
        kind: type[M],
        where: Callable[[M], bool] = lambda message: True,
        *,
        since: int = 0,
        timeout: float = TIMEOUT,
    ) -> M:
        """The first message of a kind for which where is true, received or still to come. since: index into
        received to look from (`len(peer.received)` for new ones only)."""

        def found() -> M | None:
            for message in self.received[since:]:
                if isinstance(message, kind) and where(message):
                    return message
            return None

        what = f"{kind.__name__} after the first {since} messages" if since else kind.__name__
        await self.wait_until(lambda: found() is not None or self.closed, timeout, what)
        message = found()
        if message is None:
            raise WaitFailed(f"the connection ended before {what} came; saw {self._summary()}")
        return message

    async def wait_closed(self, timeout: float = TIMEOUT) -> None:
        """Until the other side ends the connection."""
        await self.wait_until(lambda: self.closed, timeout, "the node to end the connection")

    async def sync(self) -> None:
        """Until the node has handled everything sent so far: ping and its pong."""
        self._nonce += 1
        nonce = self._nonce
        self.send(m.Ping(nonce))
        await self.wait_for(m.Pong, lambda pong: pong.nonce == nonce)

    def of(self, kind: type[M]) -> list[M]:
        """All messages of a kind so far."""
        return [message for message in self.received if isinstance(message, kind)]

    # -- the handshake

    def version(self, **changes: Any) -> m.Version:
        values: dict[str, Any] = {
            "version": m.PROTOCOL_VERSION,
            "services": m.ServiceFlags.NETWORK | m.ServiceFlags.WITNESS,
            "time": 1_700_000_000,
            "nonce": self._own_nonce,
            "user_agent": b"/scripted:0.1/",
            "start_height": 0,
            "relay": True,
        }
        return m.Version(**(values | changes))

    async def handshake(self, *, features: tuple[m.Message, ...] | None = None, **changes: Any) -> m.Version:
        """Both sides' version and verack, from either side; returns the node's version. features: sent
        before verack; None means wtxidrelay and sendaddrv2. changes: of our version message."""
        self.send(self.version(**changes))
        theirs = await self.wait_for(m.Version)
        self.send(*((m.WtxidRelay(), m.SendAddrV2()) if features is None else features))
        self.send(m.Verack())
        await self.wait_for(m.Verack)
        return theirs

    # -- reading

    async def stop_reading(self) -> None:
        """Plays a peer that lets what it is sent pile up."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.closed = False

    def resume_reading(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        try:
            while data := await self.stream.read(1 << 18):
                for frame in self.codec.feed(data):
                    await self._take(frame)
        except OSError:
            pass
        finally:
            self.closed = True
            async with self._news:
                self._news.notify_all()

    async def _take(self, frame: Any) -> None:
        if isinstance(frame, BadFrame):
            self.bad_frames.append(frame)
            return
        message: Any
        try:
            message = m.decode_message(frame.command, frame.payload)
        except m.DecodeError:
            message = m.Unknown(frame.command, frame.payload)
        self.received.append(message)
        if isinstance(message, m.Ping) and self.auto_pong:
            self.send(m.Pong(message.nonce))
        if frame.command in self.responders:
            self.responders[frame.command](message)
        async with self._news:
            self._news.notify_all()

    async def close(self) -> None:
        """Ends the connection from our side, after what was sent has gone."""
        try:
            async with self._limit(TIMEOUT):
                await self.stream.drain()
        except (OSError, TimeoutError):
            pass
        self.stream.close()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.stream.wait_closed()

    # -- explaining

    def _summary(self) -> str:
        names = [getattr(message, "command", message.COMMAND) for message in self.received]
        ended = "ended" if self.closed else "open"
        return f"{', '.join(names) or 'no message'}; the connection is {ended}"

    @contextmanager
    def _explained(self, timeout: float, what: str) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise WaitFailed(f"waited {timeout:g} s for {what}; saw {self._summary()}") from None


class RawListener:
    """Lets the node under test dial in; each connection becomes a RawPeer."""

    def __init__(self, listener: Listener, arrivals: asyncio.Queue[RawPeer]) -> None:
        self._listener, self._arrivals = listener, arrivals
        self.peers: list[RawPeer] = []

    @classmethod
    async def open(
        cls,
        endpoint: Endpoint = ("127.0.0.1", 0),
        *,
        network: Network | None = None,
        magic: bytes | None = None,
        on_peer: Callable[[RawPeer], Awaitable[None]] | None = None,
    ) -> RawListener:
        """on_peer: runs for each arrival before `accept` gives it out."""
        arrivals: asyncio.Queue[RawPeer] = asyncio.Queue()

        async def arrive(stream: Stream) -> None:
            peer = RawPeer(stream, magic or params.regtest().magic)
            self.peers.append(peer)
            if on_peer:
                await on_peer(peer)
            arrivals.put_nowait(peer)

        self = cls(await (network or TcpNetwork()).listen(endpoint, arrive), arrivals)
        return self

    @property
    def endpoint(self) -> Endpoint:
        return self._listener.endpoint

    async def accept(self, timeout: float = TIMEOUT) -> RawPeer:
        """The next connection."""
        try:
            async with asyncio.timeout(timeout):
                return await self._arrivals.get()
        except TimeoutError:
            raise WaitFailed(
                f"waited {timeout:g} s for a node to dial {self.endpoint[0]}:{self.endpoint[1]}; "
                f"saw {len(self.peers)} connections before"
            ) from None

    async def __aenter__(self) -> RawListener:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._listener.close()
        for peer in self.peers:
            await peer.close()
