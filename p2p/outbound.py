"""Outbound connections: those asked for (-connect, addnode), kept up with back-off, and from the book."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .handshake import ConnectionType
from .messages import NetAddress, ServiceFlags

if TYPE_CHECKING:
    from .peer import Peer
    from .peer_manager import PeerManager

MAX_ADDNODE = 8
"""Manual connections that are kept up at one time."""
FIRST_RETRY = 0.5
LAST_RETRY = 60.0
"""Seconds before a lost or refused connection is tried again; doubled each time in vain."""
STEADY_AFTER = 60.0
"""A connection that lasted so many seconds starts again with FIRST_RETRY."""
FEELER_INTERVAL = 120.0
LOOK_INTERVAL = 0.5
NEXT_SEED_AFTER = 10.0
ENOUGH_PEERS = 2
"""Full outbound peers with which no more seeds are asked."""
MAX_TRIES_A_LOOK = 100
RETRY_ADDRESS_AFTER = 600


@dataclass(slots=True)
class _Target:
    """A peer by name that is to be connected to; next_try, retry, since: seconds, monotonic."""

    name: str
    listed: bool
    """By addnode (it can be removed), not by -connect."""
    next_try: float = 0.0
    retry: float = FIRST_RETRY
    since: float = 0.0
    peer: int | None = None
    busy: bool = False


class OutboundLoop:
    def __init__(self, manager: PeerManager) -> None:
        self.manager = manager
        options = manager.options
        self._targets = {name: _Target(name, False) for name in options.connect or ()}
        for name in options.addnodes:
            self._targets.setdefault(name, _Target(name, True))
        self._seeds = manager.ports.random.shuffled(options.seednodes)
        self._seed_time = 0.0
        self._news = asyncio.Event()
        self._next_feeler = 0.0
        if manager.book is not None:
            manager.book.on_first = self._news.set

    @property
    def added(self) -> list[str]:
        return [target.name for target in self._targets.values() if target.listed]

    def add(self, name: str) -> bool:
        if name in self._targets:
            return False
        self._targets[name] = _Target(name, True)
        self._news.set()
        return True

    def remove(self, name: str) -> bool:
        target = self._targets.get(name)
        if target is None or not target.listed:
            return False
        del self._targets[name]
        return True

    def peer_gone(self, peer: Peer) -> None:
        """One of ours is tried again after a while: short if it had lasted."""
        now = self.manager.ports.clock.monotonic()
        for target in self._targets.values():
            if target.peer == peer.id:
                target.peer = None
                if now - target.since >= STEADY_AFTER:
                    target.retry = FIRST_RETRY
                self._postpone(target)
                self._news.set()

    def _postpone(self, target: _Target) -> None:
        jitter = 1 + self.manager.ports.random.uniform() / 4
        target.next_try = self.manager.ports.clock.monotonic() + target.retry * jitter
        target.retry = min(2 * target.retry, LAST_RETRY)

    async def run(self) -> None:
        """Keeps connections up until it is cancelled."""
        clock = self.manager.ports.clock
        self._seed_time = self.manager.context.now()
        if self._automatic and self.manager.book is not None and not len(self.manager.book):
            self._next_seed()
        while True:
            now = clock.monotonic()
            for target in list(self._targets.values()):
                if target.peer is None and not target.busy and target.next_try <= now:
                    target.busy = True
                    self.manager.spawn(self._keep(target))
            if self._automatic:
                self._maybe_seed()
                await self._fill()
            try:
                async with clock.timeout(self._wait(clock.monotonic())):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()

    def _wait(self, now: float) -> float | None:
        """Seconds until something may have to be done; None: until there is news."""
        times = [t.next_try - now for t in self._targets.values() if t.peer is None and not t.busy]
        if self._automatic and (self._seeds or self.manager.book):
            times.append(LOOK_INTERVAL)
        return max(0.01, min(times)) if times else None

    async def _keep(self, target: _Target) -> None:
        manager = self.manager
        try:
            known = next((p for p in manager.peers.values() if p.name == target.name), None)
            peer = known or await manager.connect(target.name, ConnectionType.MANUAL)
            if peer is not None and peer.id in manager.peers:
                target.peer, target.since = peer.id, manager.ports.clock.monotonic()
            else:
                self._postpone(target)
        finally:
            target.busy = False
            self._news.set()

    async def try_once(self, name: str, kind: ConnectionType) -> None:
        await self.manager.connect(name, kind)

    # Somebody to ask for addresses

    def _maybe_seed(self) -> None:
        """Every 10 seconds one more seed, while there are fewer than two full outbound peers."""
        now = self.manager.context.now()
        if now <= self._seed_time + NEXT_SEED_AFTER:
            return
        kinds = [peer.kind for peer in self.manager.peers.values()]
        if kinds.count(ConnectionType.OUTBOUND_FULL_RELAY) < ENOUGH_PEERS:
            self._seed_time = now
            self._next_seed()

    def _next_seed(self) -> None:
        """The next -seednode is asked for addresses."""
        manager, log = self.manager, self.manager.context.log
        empty = manager.book is None or not len(manager.book)
        if self._seeds:
            seed = self._seeds.pop()
            if empty:
                log.info(f"Empty addrman, adding seednode ({seed}) to addrfetch")
            else:
                log.info(
                    f"Couldn't connect to peers from addrman after {int(NEXT_SEED_AFTER)} seconds. "
                    f"Adding seednode ({seed}) to addrfetch"
                )
            manager.spawn(self.try_once(seed, ConnectionType.ADDR_FETCH))

    # From the address book

    @property
    def _automatic(self) -> bool:
        options = self.manager.options
        return options.automatic_outbound and options.connect is None and self.manager.book is not None

    async def _fill(self) -> None:
        """One more connection to an address from the book, if one is missing."""
        from .peer_manager import MAX_OUTBOUND_BLOCK_RELAY, MAX_OUTBOUND_FULL_RELAY

        manager, clock = self.manager, self.manager.ports.clock
        assert manager.book is not None
        if not manager.network_active or not len(manager.book):
            return
        kinds = [peer.kind for peer in manager.peers.values()]
        full = min(MAX_OUTBOUND_FULL_RELAY, manager.options.max_connections)
        blocks = min(MAX_OUTBOUND_BLOCK_RELAY, max(0, manager.options.max_connections - full))
        if kinds.count(ConnectionType.OUTBOUND_FULL_RELAY) < full:
            kind = ConnectionType.OUTBOUND_FULL_RELAY
        elif kinds.count(ConnectionType.BLOCK_RELAY) < blocks:
            kind = ConnectionType.BLOCK_RELAY
        elif clock.monotonic() >= self._next_feeler:
            self._next_feeler = clock.monotonic() + manager.context.exponential(FEELER_INTERVAL)
            kind = ConnectionType.FEELER
        else:
            return
        chosen = self._choose(kind)
        if chosen is not None:
            address, services = chosen
            manager.book.attempt(address, clock.time(), count_failure=len(manager.peers) > 1)
            await manager.connect(address, kind, services=services)

    def _choose(self, kind: ConnectionType) -> tuple[NetAddress, int] | None:
        """An address of a group we have no outbound connection to, not tried of late."""
        manager = self.manager
        assert manager.book is not None
        now = manager.ports.clock.time()
        groups = {peer.address.group for peer in manager.peers.values() if not peer.inbound}
        for tries in range(MAX_TRIES_A_LOOK):
            entry = manager.book.select(now, new_only=kind is ConnectionType.FEELER)
            if entry is None:
                return None
            address = entry.address
            if address.group in groups or not address.is_valid or address.is_local:
                continue
            if tries < 30 and now - entry.last_try < RETRY_ADDRESS_AFTER:
                continue
            wanted = ServiceFlags.NETWORK | ServiceFlags.WITNESS
            if kind is not ConnectionType.FEELER and entry.services & wanted != wanted:
                continue
            filters = entry.services & ServiceFlags.COMPACT_FILTERS
            if manager.options.headers_only and not filters and tries < MAX_TRIES_A_LOOK // 2:
                continue
            return address, entry.services
        return None
