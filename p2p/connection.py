"""One connection: a stream, a codec, and bounded buffers in both directions.

Reading and handling are apart, as in Core: a task (`run`) takes bytes off the stream, checks them and counts
them; the peer takes whole messages by `receive`, one at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from pybitcoind.chain.ports import Clock, Log, Stream

from .codec_v1 import BadFrame, Frame, ProtocolError
from .messages import KNOWN_COMMANDS, Message, encode_payload, sanitize

DEFAULT_MAX_RECEIVE_BUFFER = 5_000_000
"""Bytes of messages that wait to be handled before reading pauses (-maxreceivebuffer=5000)."""
DEFAULT_MAX_SEND_BUFFER = 1_000_000
"""Bytes not yet sent before no more of the peer's messages are handled (-maxsendbuffer=1000)."""
OTHER = "*other*"
"""What messages of unknown or damaged commands are counted as."""

_READ_SIZE = 256 * 1024
_KNOWN = frozenset(KNOWN_COMMANDS)


class Codec(Protocol):
    """A transport: V1Codec, or BIP 324's."""

    TRANSPORT: str

    def feed(self, data: bytes) -> Iterable[Frame | BadFrame]: ...

    def encode_payload(self, command: str, payload: bytes) -> bytes: ...


class Traffic:
    """Bytes on the wire in one direction, in all and by command, and when the last ones moved."""

    __slots__ = ("by_command", "last", "total")

    def __init__(self) -> None:
        self.total = 0
        self.by_command: dict[str, int] = {}
        self.last = 0
        """Wall time, seconds; 0 is never."""

    def count(self, command: str, size: int) -> None:
        name = command if command in _KNOWN else OTHER
        self.by_command[name] = self.by_command.get(name, 0) + size


class Connection:
    """A peer's messages, in and out, until either side ends it.

    peer_id is for the log. `run` belongs to the peer's TaskGroup and ends with the connection; nothing here
    raises for what the peer or the network does: `receive` gives None and close_reason says why.
    """

    def __init__(
        self,
        stream: Stream,
        codec: Codec,
        clock: Clock,
        log: Log,
        *,
        peer_id: int = 0,
        max_send: int = DEFAULT_MAX_SEND_BUFFER,
        max_receive: int = DEFAULT_MAX_RECEIVE_BUFFER,
        capture: Callable[[bool, str, bytes], None] | None = None,
    ) -> None:
        self.stream, self.codec = stream, codec
        self.peer_id = peer_id
        self.sent, self.received = Traffic(), Traffic()
        self.close_reason: str | None = None
        """Why it ended; None while it is open."""
        self._clock, self._log = clock, log
        self._max_send, self._max_receive = max_send, max_receive
        self._capture = capture
        self._queue: deque[Frame] = deque()
        self._queued = 0
        self._news = asyncio.Event()
        """Set while there is something for `receive`: a message, or the end."""
        self._room = asyncio.Event()
        """Set while the queue may grow."""
        self._room.set()

    @property
    def transport(self) -> str:
        return self.codec.TRANSPORT

    @property
    def closed(self) -> bool:
        return self.close_reason is not None

    # -- out

    def send(self, message: Message) -> None:
        """Queues a message; never blocks. Ignored once closed."""
        self.send_payload(message.COMMAND, encode_payload(message))

    def send_payload(self, command: str, payload: bytes) -> None:
        """Like `send`, for a payload that is at hand already (a block from disk)."""
        if self.closed:
            return
        data = self.codec.encode_payload(command, payload)
        self._debug(f"sending {command} ({len(payload)} bytes)")
        if self._capture is not None:
            self._capture(False, command, payload)
        self.sent.total += len(data)
        self.sent.count(command, len(data))
        self.sent.last = self._clock.time()
        self.stream.write(data)

    @property
    def send_full(self) -> bool:
        """The peer does not read what it is sent. Then none of its messages are handled, so that it cannot
        make us store answers without end; long answers (getdata) pause too."""
        return self.stream.unsent > self._max_send

    async def send_room(self) -> bool:
        """Waits while `send_full`; False if the connection ended."""
        try:
            while self.send_full and not self.closed:
                await self.stream.drain()
        except OSError as error:
            self.close(f"socket send error: {error}")
        return not self.closed

    # -- in

    async def run(self) -> None:
        """Reads until the connection ends. Pauses while more than max_receive bytes wait to be handled."""
        try:
            while not self.closed:
                await self._room.wait()
                data = await self.stream.read(_READ_SIZE)
                if self.closed:
                    break
                if not data:
                    self._end("socket closed")
                    break
                self._take(data)
        except OSError as error:
            self._end(f"socket recv error: {error}")
        finally:
            self.close("cancelled")

    def _take(self, data: bytes) -> None:
        self.received.last = self._clock.time()
        self.received.total += len(data)
        try:
            for frame in self.codec.feed(data):
                if isinstance(frame, BadFrame):
                    self.received.count(OTHER, frame.raw_size)
                    self._debug(f"{frame.reason},")
                    continue
                self.received.count(frame.command, frame.raw_size)
                self._queue.append(frame)
                self._queued += frame.raw_size
        except ProtocolError as error:
            self._debug(f"{error},")
            self.close("receiving message bytes failed")
            return
        if self._queue:
            self._news.set()
        if self._queued > self._max_receive:
            self._room.clear()

    async def receive(self) -> Frame | None:
        """The next message; None when there will be no more. Waits while the send buffer is full.

        What had arrived before the peer hung up is still given; after `close` of our own nothing is. Every
        call lets other tasks run, so that no peer takes the whole loop.
        """
        await self._clock.sleep(0)
        await self._news.wait()
        if not self.closed:
            await self.send_room()
        if not self._queue:
            return None
        frame = self._queue.popleft()
        self._queued -= frame.raw_size
        if self._queued <= self._max_receive:
            self._room.set()
        if not self._queue and not self.closed:
            self._news.clear()
        self._debug(f"received: {sanitize(frame.command)} ({len(frame.payload)} bytes)")
        if self._capture is not None:
            self._capture(True, frame.command, frame.payload)
        return frame

    # -- end

    def close(self, reason: str, *, log: bool = True) -> None:
        """Ends the connection at once: what is neither sent nor handled is lost. The first reason stays.

        log: write "reason, disconnecting peer=N".
        """
        if not self.closed:
            self._queue.clear()
            self._end(reason, log=log)

    def _end(self, reason: str, *, log: bool = True) -> None:
        if self.closed:
            return
        self.close_reason = reason
        if log:
            self._debug(f"{reason}, disconnecting")
        self.stream.close()
        self._news.set()
        self._room.set()

    async def wait_closed(self) -> None:
        """Until the stream is gone; after `close`."""
        await self.stream.wait_closed()

    def _debug(self, text: str) -> None:
        if self._log.enabled("net"):
            self._log.debug("net", f"{text} peer={self.peer_id}")
