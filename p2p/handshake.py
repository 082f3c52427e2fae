"""The handshake: version and verack each way, and what is settled in between. Sans-I/O.

Source: Bitcoin Core src/net_processing.cpp, PeerManagerImpl::ProcessMessage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from pybitcoind.chain.primitives.serialize import Reader

from .messages import (
    PROTOCOL_VERSION,
    UNKNOWN_ADDRESS,
    Message,
    NetAddress,
    SendAddrV2,
    SendCmpct,
    SendTxRcncl,
    ServiceFlags,
    Verack,
    Version,
    WtxidRelay,
    sanitize,
)
from .messages.message import MIN_PEER_PROTO_VERSION, WTXID_RELAY_VERSION

CMPCTBLOCKS_VERSION = 2
"""Compact blocks with witnesses; other versions are not spoken."""

TXRECONCILIATION_VERSION = 1

HANDSHAKE_COMMANDS = frozenset(
    ("version", "verack", "wtxidrelay", "sendaddrv2", "sendtxrcncl", "sendheaders", "sendcmpct")
)
"""Commands the handshake answers even when it is complete."""


class ConnectionType(Enum):
    """Why a connection exists; values as in getpeerinfo's connection_type."""

    INBOUND = "inbound"
    OUTBOUND_FULL_RELAY = "outbound-full-relay"
    MANUAL = "manual"
    FEELER = "feeler"
    BLOCK_RELAY = "block-relay-only"
    ADDR_FETCH = "addr-fetch"

    @property
    def expects_services(self) -> bool:
        """Whether we chose the peer for what it serves."""
        return self in (self.OUTBOUND_FULL_RELAY, self.BLOCK_RELAY, self.ADDR_FETCH)


class State(Enum):
    AWAITING_VERSION = auto()
    AWAITING_VERACK = auto()
    COMPLETE = auto()
    FAILED = auto()


def desirable_services(services: int, *, near_tip: bool = False) -> ServiceFlags:
    """What a peer that offers services must offer to be worth an outbound connection.

    near_tip: we lack so few blocks that a pruned node (BIP 159) will do.
    """
    if services & ServiceFlags.NETWORK_LIMITED and near_tip:
        return ServiceFlags.NETWORK_LIMITED | ServiceFlags.WITNESS
    return ServiceFlags.NETWORK | ServiceFlags.WITNESS


@dataclass(slots=True)
class LocalVersion:
    """What we say of ourselves. start_height: of our tip. relay: send us transactions."""

    services: int
    nonce: int
    user_agent: bytes
    start_height: int
    relay: bool = True

    def message(self, now: int, receiver: NetAddress, receiver_services: int) -> Version:
        """To a peer at receiver; its address is told only where it says nothing of how we reach it."""
        told = receiver if receiver.is_routable and receiver.is_v1_compatible else UNKNOWN_ADDRESS
        return Version(
            version=PROTOCOL_VERSION,
            services=self.services,
            time=now,
            receiver_services=receiver_services,
            receiver=told,
            sender_services=self.services,
            nonce=self.nonce,
            user_agent=self.user_agent,
            start_height=self.start_height,
            relay=self.relay,
        )


@dataclass(slots=True)
class Features:
    """What the peer said of itself; complete with the handshake.

    version: its own. common_version: the lesser of both. time_offset: its clock less ours, seconds.
    relay: it wants transactions. local_address: where it sees us.
    """

    version: int = 0
    common_version: int = 0
    services: int = 0
    subver: str = ""
    start_height: int = -1
    relay: bool = True
    time_offset: int = 0
    local_address: NetAddress = UNKNOWN_ADDRESS
    wtxid_relay: bool = False
    addrv2: bool = False
    prefers_headers: bool = False
    provides_cmpctblocks: bool = False
    high_bandwidth: bool = False
    """It asked us to announce blocks as compact blocks."""
    reconciliation: bool = False
    """Both sides can reconcile transactions (BIP 330)."""


@dataclass(slots=True)
class Step:
    """What to do after one message: log, send, perhaps disconnect."""

    send: list[Message] = field(default_factory=list)
    log: str = ""
    """Category net; "{peer}" in it stands for "peer=N". Empty: nothing worth a line."""
    reconciliation_log: str = ""
    """Another line, of category txreconciliation."""
    disconnect: str = ""
    """Why to end the connection; the caller adds ", disconnecting peer=N"."""
    info: bool = False
    """The reason is logged always, not only with -debug=net."""
    version_received: bool = False
    """This was the peer's version message: features are set, send what must come before verack is back
    (getaddr)."""
    completed: bool = False
    """This was the verack: normal messages may flow."""


class Handshake:
    """One connection's handshake, from either side.

    is_own_nonce: tells whether a nonce is that of one of our own outbound connections whose handshake is
    not complete. desirable: services a chosen peer must offer, given those it offers.
    salt: makes our half of the salt of BIP 330; None: we do not reconcile transactions. offer_reconciliation:
    say so to a peer that wants transactions.
    """

    def __init__(
        self,
        kind: ConnectionType,
        local: LocalVersion,
        remote: NetAddress,
        *,
        remote_services: int = 0,
        is_own_nonce: Callable[[int], bool] = lambda nonce: False,
        desirable: Callable[[int], int] = desirable_services,
        salt: Callable[[], int] | None = None,
        offer_reconciliation: bool = True,
    ) -> None:
        self.kind, self.local, self.remote = kind, local, remote
        self._salt, self._offer_reconciliation = salt, offer_reconciliation
        self._reconciliation_offered = False
        self._remote_services = remote_services
        self._is_own_nonce, self._desirable = is_own_nonce, desirable
        self.state = State.AWAITING_VERSION
        self.features = Features()
        self.version: Version | None = None
        """The peer's version message."""
        self._handlers: dict[str, Callable[[bytes, int], Step]] = {
            "version": self._on_version,
            "verack": self._on_verack,
            "wtxidrelay": self._on_wtxidrelay,
            "sendaddrv2": self._on_sendaddrv2,
            "sendtxrcncl": self._on_sendtxrcncl,
            "sendheaders": self._on_sendheaders,
            "sendcmpct": self._on_sendcmpct,
        }

    @property
    def complete(self) -> bool:
        return self.state is State.COMPLETE

    @property
    def inbound(self) -> bool:
        return self.kind is ConnectionType.INBOUND

    def start(self, now: int) -> list[Message]:
        """What to send at once: whoever dialled speaks first. now: wall time, seconds."""
        return [] if self.inbound else [self._our_version(now)]

    def wants(self, command: str) -> bool:
        """Whether a message belongs to the handshake, or to nobody because the handshake is not complete."""
        return self.state is not State.COMPLETE or command in HANDSHAKE_COMMANDS

    def receive(self, command: str, payload: bytes, now: int) -> Step:
        """One message for which `wants` is true. DecodeError if it is malformed: drop it, as any other."""
        if self.state is State.FAILED:
            return Step()
        if command != "version" and self.state is State.AWAITING_VERSION:
            name = sanitize(command)
            return Step(log=f'non-version message before version handshake. Message "{name}" from {{peer}}')
        handler = self._handlers.get(command)
        if handler is None:
            return Step(log=f'Unsupported message "{sanitize(command)}" prior to verack from {{peer}}')
        return handler(payload, now)

    def _our_version(self, now: int) -> Version:
        return self.local.message(now, self.remote, self._remote_services)

    def _fail(self, reason: str, *, info: bool = False) -> Step:
        self.state = State.FAILED
        return Step(disconnect=reason, info=info)

    def _on_version(self, payload: bytes, now: int) -> Step:
        if self.state is not State.AWAITING_VERSION:
            return Step(log="redundant version message from {peer}")
        theirs = Version.decode(Reader(payload))
        wanted = self._desirable(theirs.services)
        if self.kind.expects_services and theirs.services & wanted != wanted:
            return self._fail(
                "peer does not offer the expected services "
                f"({theirs.services:08x} offered, {wanted:08x} expected)"
            )
        if theirs.version < MIN_PEER_PROTO_VERSION:
            return self._fail(f"peer using obsolete version {theirs.version}")
        if self.inbound and self._is_own_nonce(theirs.nonce):
            return self._fail(f"connected to self at {self.remote}", info=True)
        self.version = theirs
        self.state = State.AWAITING_VERACK
        common = min(theirs.version, PROTOCOL_VERSION)
        self.features = Features(
            version=theirs.version,
            common_version=common,
            services=theirs.services,
            subver=theirs.subver,
            start_height=theirs.start_height,
            relay=theirs.relay,
            time_offset=theirs.time - now,
            local_address=theirs.receiver,
        )
        send: list[Message] = [self._our_version(now)] if self.inbound else []
        if common >= WTXID_RELAY_VERSION:  # older software may reject what it does not know
            send += [WtxidRelay(), SendAddrV2()]
            if self._salt is not None and self._offer_reconciliation and self._announces_transactions():
                self._reconciliation_offered = True
                send.append(SendTxRcncl(TXRECONCILIATION_VERSION, self._salt()))
        send.append(Verack())
        log = (
            f"receive version message: {theirs.subver or '<no user agent>'}: version {theirs.version}, "
            f"blocks={theirs.start_height}, us={theirs.receiver}, txrelay={int(theirs.relay)}, {{peer}}"
        )
        registered = "Pre-register {peer}" if self._reconciliation_offered else ""
        return Step(send=send, log=log, reconciliation_log=registered, version_received=True)

    def _announces_transactions(self) -> bool:
        """It asked for transactions, on a connection that is there for them."""
        silent = (ConnectionType.BLOCK_RELAY, ConnectionType.FEELER, ConnectionType.ADDR_FETCH)
        return self.features.relay and self.kind not in silent

    def _on_verack(self, payload: bytes, now: int) -> Step:
        if self.complete:
            return Step(log="ignoring redundant verack message from {peer}")
        self.state = State.COMPLETE
        step = Step(completed=True)
        if self._reconciliation_offered and not (self.features.wtxid_relay and self.features.reconciliation):
            self.features.reconciliation = self._reconciliation_offered = False
            step.reconciliation_log = "Forget txreconciliation state of {peer}"
        return step

    def _on_wtxidrelay(self, payload: bytes, now: int) -> Step:
        if self.complete:
            return self._fail("wtxidrelay received after verack")
        common = self.features.common_version
        if common < WTXID_RELAY_VERSION:
            return Step(log=f"ignoring wtxidrelay due to old common version={common} from {{peer}}")
        if self.features.wtxid_relay:
            return Step(log="ignoring duplicate wtxidrelay from {peer}")
        self.features.wtxid_relay = True
        return Step()

    def _on_sendaddrv2(self, payload: bytes, now: int) -> Step:
        if self.complete:
            return self._fail("sendaddrv2 received after verack")
        self.features.addrv2 = True
        return Step()

    def _on_sendtxrcncl(self, payload: bytes, now: int) -> Step:
        if self._salt is None:
            return Step(
                log="sendtxrcncl from {peer} ignored, as our node does not have txreconciliation enabled"
            )
        if self.complete:
            return self._fail("sendtxrcncl received after verack")
        if not self.local.relay:
            return self._fail("sendtxrcncl received to which we indicated no tx relay")
        if not self.features.relay:
            return self._fail("sendtxrcncl received which indicated no tx relay to us")
        theirs = SendTxRcncl.decode(Reader(payload))
        if not self._reconciliation_offered:
            return Step(log="Ignore unexpected txreconciliation signal from {peer}")
        if self.features.reconciliation:
            return self._fail(
                "txreconciliation protocol violation (sendtxrcncl received from already registered peer)"
            )
        if theirs.version < 1:
            return self._fail("txreconciliation protocol violation")
        self.features.reconciliation = True
        return Step(reconciliation_log=f"Register {{peer}} (inbound={int(self.inbound)})")

    def _on_sendheaders(self, payload: bytes, now: int) -> Step:
        self.features.prefers_headers = True
        return Step()

    def _on_sendcmpct(self, payload: bytes, now: int) -> Step:
        message = SendCmpct.decode(Reader(payload))
        if message.version == CMPCTBLOCKS_VERSION:
            self.features.provides_cmpctblocks = True
            self.features.high_bandwidth = message.high_bandwidth
        return Step()
