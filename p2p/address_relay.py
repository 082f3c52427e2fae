"""Gossip about addresses: what peers tell us, whom we tell it, and what a getaddr is answered.

Behaviour and limits are those of Bitcoin Core 31.99 (net_processing.cpp, net.cpp).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from .handshake import ConnectionType, desirable_services
from .messages import Addr, AddrV2, GetAddr, NetAddress, NetworkId, PeerAddress, ServiceFlags
from .messages.addresses import MAX_ADDR_TO_SEND
from .permissions import Permission
from .rolling_filter import RollingFilter, siphash

if TYPE_CHECKING:
    from .address_book import AddressBook
    from .ban_list import BanList
    from .context import Context
    from .peer import Peer

BROADCAST_INTERVAL = 30.0
LOCAL_BROADCAST_INTERVAL = 24 * 60 * 60.0
ROTATE_INTERVAL = 24 * 60 * 60
MAX_RATE = 0.1
"""Addresses of a peer that are processed a second, on average; up to MAX_ADDR_TO_SEND at once."""
ADDR_FETCH_TIMEOUT = 10 * BROADCAST_INTERVAL
CACHE_LIFETIME = 21 * 60 * 60.0
CACHE_SPREAD = 6 * 60 * 60.0
REACHABLE = (NetworkId.IPV4, NetworkId.IPV6)
"""Networks that we can connect to; only their addresses are kept."""
_USEFUL = ServiceFlags.NETWORK | ServiceFlags.NETWORK_LIMITED


@dataclass(slots=True)
class PeerAddresses:
    """What address gossip remembers of one peer."""

    known: RollingFilter
    enabled: bool = False
    to_send: list[PeerAddress] = field(default_factory=list)
    next_send: float = 0.0
    next_local: float = 0.0
    tokens: float = 1.0
    refilled: float = 0.0
    processed: int = 0
    rate_limited: int = 0
    getaddr_sent: bool = False
    getaddr_answered: bool = False


class AddressRelay:
    """book, bans: None where a node keeps none."""

    def __init__(self, context: Context, book: AddressBook | None, bans: BanList | None) -> None:
        self.context, self.book, self.bans = context, book, bans
        self.local: list[NetAddress] = []
        """Where others can reach us (-externalip)."""
        self._key = context.ports.random.bytes(16)
        self._cache: dict[bytes, tuple[float, list[PeerAddress]]] = {}

    def add_peer(self, peer: Peer) -> None:
        """Its version message came; an outbound peer is asked for addresses."""
        key = self.context.ports.random.bytes(16)
        state = peer.addresses = PeerAddresses(RollingFilter(5000, 0.001, key), refilled=self.context.now())
        if not peer.inbound and self._enable(peer):
            peer.send(GetAddr())
            state.getaddr_sent = True
            state.tokens += MAX_ADDR_TO_SEND

    def _enable(self, peer: Peer) -> bool:
        """Gossip starts with the first message about addresses; never with block-relay-only peers."""
        if peer.kind is ConnectionType.BLOCK_RELAY:
            return False
        peer.addresses.enabled = True
        return True

    # Told to us

    async def on_addr(self, peer: Peer, message: Addr | AddrV2) -> None:
        context, state = self.context, peer.addresses
        if not self._enable(peer):
            peer.debug(f"ignoring {message.COMMAND} message from {peer.kind.value}")
            return
        now = context.now()
        if state.tokens < MAX_ADDR_TO_SEND:
            gained = max(0.0, now - state.refilled) * MAX_RATE
            state.tokens = min(state.tokens + gained, float(MAX_ADDR_TO_SEND))
        state.refilled = now
        limited = not peer.has(Permission.ADDR)
        processed = dropped = 0
        kept: list[PeerAddress] = []
        for item in context.ports.random.shuffled(message.addresses):
            if state.tokens < 1.0:
                if limited:
                    dropped += 1
                    continue
            else:
                state.tokens -= 1.0
            if not item.services & _USEFUL and not self._desirable(item.services):
                continue
            when = item.time
            if when <= 100_000_000 or when > now + 600:
                when = int(now) - 5 * 24 * 60 * 60
            item = PeerAddress(when, item.services, item.address)
            state.known.insert(item.address.key)
            if self.bans is not None and self._unwanted(item.address):
                continue
            processed += 1
            fresh = when > now - 600 and not state.getaddr_sent and len(message.addresses) <= 10
            if fresh and item.address.is_routable:
                self.relay(item, peer.id)
            if item.address.network in REACHABLE:
                kept.append(item)
        state.processed += processed
        state.rate_limited += dropped
        peer.debug(
            f"Received addr: {len(message.addresses)} addresses ({processed} processed, {dropped} "
            "rate-limited) from"
        )
        if self.book is not None:
            self.book.add(kept, peer.address, int(now), penalty=2 * 60 * 60)
        if len(message.addresses) < MAX_ADDR_TO_SEND:
            state.getaddr_sent = False
        if peer.kind is ConnectionType.ADDR_FETCH and len(message.addresses) > 1:
            peer.disconnect("addrfetch connection completed")

    def _desirable(self, services: int) -> bool:
        wanted = desirable_services(services)
        return services & wanted == wanted

    def _unwanted(self, address: NetAddress) -> bool:
        bans = self.bans
        return bans is not None and (bans.is_discouraged(address) or bans.is_banned(address))

    def relay(self, item: PeerAddress, source: int) -> None:
        """Queues the address for two peers, the same ones all day, so that repeating it gains nothing; for
        one or two if it is of a network we cannot reach ourselves."""
        address = item.address
        hashed = siphash(self._key, address.key)
        day = (int(self.context.now()) + hashed) // ROTATE_INTERVAL
        able = [
            (siphash(self._key, b"%d %d %d" % (hashed, day, peer.id)), peer)
            for peer in self.context.complete_peers()
            if peer.addresses.enabled and peer.id != source and self._fits(peer, address)
        ]
        able.sort(key=lambda pair: -pair[0])
        count = 2 if address.network in REACHABLE else 1 + (hashed + day) % 2
        for _, peer in able[:count]:
            self.push(peer, item)

    @staticmethod
    def _fits(peer: Peer, address: NetAddress) -> bool:
        return peer.features.addrv2 or address.is_v1_compatible

    def push(self, peer: Peer, item: PeerAddress) -> None:
        """Queues one address for one peer that may not know it."""
        state, now = peer.addresses, self.context.now()
        if not state.to_send and 0 < state.next_send < now:
            # It ran out with nothing to send; a Poisson process has no memory, so the wait starts anew.
            state.next_send = now + self.context.exponential(BROADCAST_INTERVAL)
        self._queue(peer, item)

    def _queue(self, peer: Peer, item: PeerAddress) -> None:
        state = peer.addresses
        if not item.address.is_valid or item.address.key in state.known or not self._fits(peer, item.address):
            return
        if len(state.to_send) >= MAX_ADDR_TO_SEND:
            state.to_send[self.context.ports.random.below(len(state.to_send))] = item
        else:
            state.to_send.append(item)

    async def on_getaddr(self, peer: Peer, message: GetAddr) -> None:
        """Answered once, to inbound peers only: asked through an outbound one it could tell two of our
        connections to be of one node."""
        if not peer.inbound:
            peer.debug(f'Ignoring "getaddr" from {peer.kind.value} connection.')
            return
        self._enable(peer)
        state = peer.addresses
        if state.getaddr_answered:
            peer.debug('Ignoring repeated "getaddr".')
            return
        state.getaddr_answered = True
        state.to_send.clear()
        for item in self._answer(peer):
            self.push(peer, item)
        self.context.wake()

    def _answer(self, peer: Peer) -> Sequence[PeerAddress]:
        """The same for a day to all who connect to one of our addresses: asking often shows no more."""
        if self.book is None:
            return []
        if peer.has(Permission.ADDR):
            return self._choose()
        now, key = self.context.now(), peer.bind.key
        until, answer = self._cache.get(key, (0.0, []))
        if now >= until:
            answer = self._choose()
            spread = self.context.ports.random.uniform() * CACHE_SPREAD
            self._cache[key] = now + CACHE_LIFETIME + spread, answer
        return answer

    def _choose(self) -> list[PeerAddress]:
        assert self.book is not None
        chosen = self.book.get_addresses(int(self.context.now()))
        return [item for item in chosen if not self._unwanted(item.address)]

    # Told by us

    def tick(self, peer: Peer, now: float) -> None:
        state = peer.addresses
        if peer.kind is ConnectionType.ADDR_FETCH and now - peer.connected_at > ADDR_FETCH_TIMEOUT:
            peer.disconnect("addrfetch connection timeout")
            return
        if not state.enabled:
            return
        if self.context.options.binds and not self.context.is_ibd and state.next_local < now:
            self._tell_own(peer, state, now)
        if now <= state.next_send:
            return
        state.next_send = now + self.context.exponential(BROADCAST_INTERVAL)
        fresh = []
        for item in state.to_send:
            if item.address.key not in state.known:
                state.known.insert(item.address.key)
                fresh.append(item)
        state.to_send = []
        if fresh:
            self._send(peer, fresh)

    def rests_until(self, peer: Peer, now: float) -> float:
        """Until then `tick` has nothing to do, unless something comes."""
        state, times = peer.addresses, [inf]
        if peer.kind is ConnectionType.ADDR_FETCH:
            times.append(peer.connected_at + ADDR_FETCH_TIMEOUT)
        if state.enabled and self.context.options.binds and not self.context.is_ibd:
            times.append(state.next_local)
        if state.to_send:
            times.append(state.next_send)
        return min(times)

    def _tell_own(self, peer: Peer, state: PeerAddresses, now: float) -> None:
        first = state.next_local == 0.0
        if not first:
            state.known.reset()
        if self.local:
            address = self.context.ports.random.choice(self.local)
            item = PeerAddress(int(now), peer.our_services, address)
            self.context.log.debug("net", f"Advertising address {address} to peer={peer.id}")
            if not first:
                self._queue(peer, item)
            elif self._fits(peer, address):
                self._send(peer, [item])  # alone, so that the rate limit there does not drop it
        state.next_local = now + self.context.exponential(LOCAL_BROADCAST_INTERVAL)

    @staticmethod
    def _send(peer: Peer, items: list[PeerAddress]) -> None:
        peer.send(AddrV2(items) if peer.features.addrv2 else Addr(items))
