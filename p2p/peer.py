"""One peer: its connection, handshake and state, and the task that hands its messages to their handlers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pybitcoind.chain.owner import OwnerStopped
from pybitcoind.chain.primitives.serialize import DecodeError

from .codec_v1 import Frame
from .connection import Connection
from .handshake import ConnectionType, Features, Handshake, Step
from .messages import (
    Disconnect,
    Message,
    Misbehaviour,
    NetAddress,
    Ping,
    Pong,
    ServiceFlags,
    Unknown,
    decode_message,
    sanitize,
)
from .messages.message import BIP31_VERSION
from .permissions import Permission

if TYPE_CHECKING:
    from .address_relay import PeerAddresses
    from .block_download import PeerBlocks
    from .context import Context
    from .headers_sync import PeerHeaders
    from .relay import OurFeeFilter, PeerTransactions

PING_INTERVAL = 120.0
CLOSE_TIMEOUT = 1.0
TIMEOUT_INTERVAL = 20 * 60.0
"""Seconds of silence, or without an answer to a ping, after which a peer is given up."""

SETTLE_LIMIT = 10.0
"""Seconds a pong waits at most for blocks to be connected that the peer sent before the ping."""

Handler = Callable[["Peer", Any], Awaitable[None]]


class Peer:
    """State that belongs to no other file, and slots for what does (set once the version is known).

    Times are seconds since 1970 by Context.now().
    """

    headers: PeerHeaders
    blocks: PeerBlocks
    transactions: PeerTransactions | None = None
    """None: no transactions are announced to it (block-relay-only, feeler, or it asked for none)."""
    fee_filter: OurFeeFilter | None = None
    """None: it sends no transactions either."""
    addresses: PeerAddresses

    def __init__(
        self,
        context: Context,
        peer_id: int,
        connection: Connection,
        handshake: Handshake,
        address: NetAddress,
        *,
        name: str = "",
        bind: NetAddress,
        permissions: Permission = Permission.NONE,
        handlers: Mapping[str, Handler],
        on_misbehaving: Callable[[Peer], None],
        prefer_evict: bool = False,
    ) -> None:
        """name: as it was asked for (addnode), if it was. prefer_evict: it was discouraged before."""
        self.context, self.id, self.connection, self.handshake = context, peer_id, connection, handshake
        self.address, self.bind, self.permissions = address, bind, permissions
        self.name = name or str(address)
        self.prefer_evict = prefer_evict
        self.preferred = False
        """It is downloaded from before others."""
        self.announces_compact = False
        """We asked it to announce blocks as compact blocks."""
        self.unsettled = False
        """It sent a block that was stored, and what the chain makes of it was not waited for."""
        self.connected_at = context.now()
        self.disconnecting = False
        self.last_block_time = 0
        self.last_tx_time = 0
        self.our_services = context.services
        if permissions & Permission.BLOOMFILTER:
            self.our_services |= ServiceFlags.BLOOM
        self.misbehaved = False
        self._handlers, self._on_misbehaving = handlers, on_misbehaving
        self._group: asyncio.TaskGroup | None = None
        self._settling: asyncio.Task[None] | None = None
        self._late_pongs: list[int] = []
        self.on_version: Callable[[Peer], None] = lambda peer: None
        self.on_complete: Callable[[Peer], None] = lambda peer: None
        self.on_handled: Callable[[Peer], None] = lambda peer: None
        """Called after each message: what it made due is sent before the next one is looked at."""
        self.before_next: Callable[[Peer], Awaitable[None]] | None = None
        """Awaited before each message."""
        self.ping_nonce = 0
        self.ping_started = 0.0
        self.ping_queued = False
        self.last_ping: float | None = None
        self.min_ping: float | None = None

    # What it is

    @property
    def kind(self) -> ConnectionType:
        return self.handshake.kind

    @property
    def inbound(self) -> bool:
        return self.handshake.inbound

    @property
    def outbound_or_block_relay(self) -> bool:
        """One of the outbound connections that we chose ourselves."""
        return self.kind in (ConnectionType.OUTBOUND_FULL_RELAY, ConnectionType.BLOCK_RELAY)

    @property
    def features(self) -> Features:
        return self.handshake.features

    @property
    def complete(self) -> bool:
        return self.handshake.complete and not self.disconnecting

    @property
    def serves_blocks(self) -> bool:
        return bool(self.features.services & (ServiceFlags.NETWORK | ServiceFlags.NETWORK_LIMITED))

    @property
    def limited(self) -> bool:
        """It has only the last blocks."""
        services = self.features.services
        return not services & ServiceFlags.NETWORK and bool(services & ServiceFlags.NETWORK_LIMITED)

    @property
    def serves_witnesses(self) -> bool:
        return bool(self.features.services & ServiceFlags.WITNESS)

    def has(self, permission: Permission) -> bool:
        return self.permissions & permission == permission

    @property
    def wtxid_relay(self) -> bool:
        return self.features.wtxid_relay

    # Sending and ending

    def send(self, message: Message) -> None:
        if not self.disconnecting:
            self.connection.send(message)

    def debug(self, text: str) -> None:
        """A line of category net that ends with whom it is about."""
        self.context.log.debug("net", f"{text} peer={self.id}")

    @property
    def log_name(self) -> str:
        return f"peer={self.id}" + (f", peeraddr={self.address}" if self.context.options.log_ips else "")

    def disconnect(self, reason: str, *, info: bool = False) -> None:
        """Ends the connection; idempotent. info: the reason is logged always, not only with -debug=net."""
        if self.disconnecting:
            return
        text = f"{reason}, disconnecting {self.log_name}" if reason else f"disconnecting {self.log_name}"
        if info:
            self.context.log.info(text)
        else:
            self.context.log.debug("net", text)
        self.close()

    def close(self) -> None:
        """As disconnect, without a word."""
        self.disconnecting = True
        self.connection.close("closed", log=False)

    def misbehaving(self, reason: str) -> None:
        """It broke the protocol: it is disconnected and its address discouraged, unless it may not be."""
        self.context.log.debug("net", f"Misbehaving: peer={self.id}{': ' if reason else ''}{reason}")
        if not self.misbehaved and not self.disconnecting:
            self.misbehaved = True
            self._on_misbehaving(self)
            self.misbehaved = False

    # Receiving

    async def run(self) -> None:
        """Talks until one side ends the connection. A fault of the connection ends this peer only."""
        connection = self.connection
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(connection.run())
                for message in self.handshake.start(self.context.ports.clock.time()):
                    self.send(message)
                while (frame := await connection.receive()) is not None:
                    if self.before_next is not None:
                        await self.before_next(self)
                    await self.handle(frame)
                    self.on_handled(self)
                self.close()
                if self._settling is not None:
                    self._settling.cancel()
        finally:
            self.close()
            try:
                async with self.context.ports.clock.timeout(CLOSE_TIMEOUT):
                    await connection.wait_closed()
            except TimeoutError:
                pass

    async def handle(self, frame: Frame) -> None:
        """One message, to its end."""
        log = self.context.log
        command, payload = frame.command, frame.payload
        try:
            if self.handshake.wants(command):
                self._step(self.handshake.receive(command, payload, self.context.ports.clock.time()))
                return
            message = decode_message(command, payload)
            if isinstance(message, Unknown):
                self.debug(f'Unknown message type "{sanitize(command)}" from')
                return
            handler = self._handlers.get(command)
            if handler is not None:
                await handler(self, message)
        except Misbehaviour as error:
            self.misbehaving(str(error))
        except Disconnect as error:
            self.disconnect(str(error))
        except DecodeError as error:
            log.debug(
                "net",
                f"ProcessMessages({sanitize(command)}, {len(payload)} bytes): Exception '{error}' "
                f"({type(error).__name__}) caught",
            )

    def _step(self, step: Step) -> None:
        for category, text in (("net", step.log), ("txreconciliation", step.reconciliation_log)):
            if text:
                self.context.log.debug(category, text.replace("{peer}", f"peer={self.id}"))
        for message in step.send:
            self.send(message)
        if step.disconnect:
            self.disconnect(step.disconnect, info=step.info)
        elif step.version_received:
            self.on_version(self)
        elif step.completed:
            self.on_complete(self)
            self.context.wake()

    # Keeping alive

    def check_timeouts(self, now: float) -> None:
        """Gives up a peer that is silent (Core InactivityCheck)."""
        patience = self.context.options.peer_timeout
        if self.disconnecting or self.connected_at + patience >= now:
            return
        received, sent = self.connection.received.last, self.connection.sent.last
        if not received or not sent:
            never = ("" if received else ", never received from peer") + (
                "" if sent else ", never sent to peer"
            )
            self.disconnect(f"socket no message in first {patience} seconds{never}")
        elif now > sent + TIMEOUT_INTERVAL:
            self.disconnect(f"socket sending timeout: {int(now - sent)}s")
        elif now > received + TIMEOUT_INTERVAL:
            self.disconnect(f"socket receive timeout: {int(now - received)}s")
        elif not self.handshake.complete:
            self.disconnect("version handshake timeout")

    def excuse_silence(self, now: float) -> None:
        """As if it had been heard just now, and as if a ping that is under way had just been sent."""
        for traffic in (self.connection.received, self.connection.sent):
            if traffic.last:
                traffic.last = int(now)
        self.ping_started = now

    def maybe_ping(self, now: float) -> None:
        """Pings when it is time; gives the peer up when the last one was not answered."""
        if (
            self.ping_nonce
            and self.connected_at + self.context.options.peer_timeout < now
            and now > self.ping_started + TIMEOUT_INTERVAL
        ):
            self.disconnect(f"ping timeout: {now - self.ping_started:f}s")
            return
        if not self.ping_queued and (self.ping_nonce or now <= self.ping_started + PING_INTERVAL):
            return
        self.ping_queued, self.ping_started = False, now
        if self.features.common_version > BIP31_VERSION:
            nonce = 0
            while nonce == 0:
                nonce = self.context.ports.random.u64()
            self.ping_nonce = nonce
            self.send(Ping(nonce))
        else:
            self.ping_nonce = 0
            self.send(Ping(None))

    def rests_until(self, now: float) -> float:
        """Until then there is neither a ping to send nor silence to judge. Unix time, seconds."""
        judged = self.connected_at + self.context.options.peer_timeout
        if not self.complete:
            return judged
        if self.ping_queued:
            return now
        silent = min(self.connection.received.last, self.connection.sent.last) + TIMEOUT_INTERVAL
        if self.ping_nonce:
            return max(judged, min(silent, self.ping_started + TIMEOUT_INTERVAL))
        return min(max(judged, silent), self.ping_started + PING_INTERVAL)

    async def on_ping(self, message: Ping) -> None:
        if self.features.common_version > BIP31_VERSION:
            if message.nonce is None:
                raise DecodeError("end of data")
            if self._group is None or not (self.unsettled or self._settling):
                self.send(Pong(message.nonce))
                return
            self._late_pongs.append(message.nonce)  # in their order
            if self._settling is None:
                self._settling = self._group.create_task(self._settle())

    async def _settle(self) -> None:
        """A pong tells that what was sent before the ping is done with; but it may not come too late."""
        self.unsettled = False
        with suppress(TimeoutError, OwnerStopped):
            async with self.context.ports.clock.timeout(SETTLE_LIMIT):
                await self.context.chain.activate_best()
        nonces, self._late_pongs, self._settling = self._late_pongs, [], None
        for nonce in nonces:
            self.send(Pong(nonce))

    async def on_pong(self, message: Pong) -> None:
        problem, expected, nonce = "", self.ping_nonce, message.nonce
        if nonce is None:
            problem, self.ping_nonce = "Short payload", 0
        elif not expected:
            problem = "Unsolicited pong without ping"
        elif nonce == expected:
            self.ping_nonce = 0
            taken = self.context.now() - self.ping_started
            if taken >= 0:
                self.last_ping = taken
                self.min_ping = taken if self.min_ping is None else min(self.min_ping, taken)
            else:
                problem = "Timing mishap"
        elif nonce == 0:
            problem, self.ping_nonce = "Nonce zero", 0
        else:
            problem = "Nonce mismatch"
        if problem:
            size, received = (0, 0) if nonce is None else (8, nonce)
            numbers = f"{expected:x} expected, {received:x} received, {size} bytes"
            self.context.log.debug("net", f"pong peer={self.id}: {problem}, {numbers}")
