"""All connections of one node: listening, dialling, dropping, and what is asked about them.

`PeerManager.run` is a task of the node's; every peer is a task of its TaskGroup.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from pybitcoind.chain.events import (
    BlockChecked,
    BlockConnected,
    BlockDisconnected,
    ChainRole,
    Event,
    NewPowValidBlock,
    RemovalReason,
    Subscription,
    TipChanged,
    TxRemoved,
)
from pybitcoind.chain.owner import OwnerStopped
from pybitcoind.chain.params import ChainParams
from pybitcoind.chain.ports import Endpoint, Listener, Ports, Stream
from pybitcoind.chain.primitives.transaction import Transaction

from .address_relay import AddressRelay
from .codec_v1 import V1Codec
from .connection import Connection
from .context import Bind, Context, FilterIndex, P2POptions
from .eviction import Candidate, select_for_eviction
from .handshake import ConnectionType, Handshake, LocalVersion, desirable_services
from .messages import InvMessage, NetAddress, ServiceFlags
from .messages.netaddress import split_host_port
from .outbound import OutboundLoop
from .peer import Handler, Peer
from .peer_info import peer_info
from .permissions import Permission, resolve_implicit
from .relay import TxRelay
from .rolling_filter import siphash
from .serving import Serving
from .sync import BlockSync

if TYPE_CHECKING:
    from pybitcoind.chain.manager import ChainManager

    from .address_book import AddressBook
    from .ban_list import BanList, Subnet
    from .filter_sync import FilterSync

TICK = 0.1
"""Seconds between looks at what is due for peers while there is something under way with one of them."""
INVS_A_TURN = 500
"""Announced transactions looked at before others get their turn."""
PRUNED_PEERS_DEPTH = 144
"""A tip that is at most so many block intervals old makes pruned peers good enough."""
MAX_OUTBOUND_FULL_RELAY = 8
MAX_OUTBOUND_BLOCK_RELAY = 2
MAX_FEELERS = 1


class PeerManager:
    """Build, `await listen()`, run `run()`; `stop()` ends it."""

    def __init__(
        self,
        ports: Ports,
        params: ChainParams,
        chain: ChainManager,
        options: P2POptions,
        *,
        address_book: AddressBook | None = None,
        ban_list: BanList | None = None,
        filter_index: FilterIndex | None = None,
    ) -> None:
        """chain: with its mempool attached, but for the SPV role. The rest: None where a node has none."""
        self.context = Context(ports, params, chain, options)
        self.context.sent_total = lambda: self.totals[1]
        self.context.filter_index = filter_index
        self.context.wake = self._wake
        self.ports, self.params, self.options = ports, params, options
        self.book, self.bans = address_book, ban_list
        self.peers = self.context.peers
        self.sync = BlockSync(self.context)
        self.relay = TxRelay(self.context)
        self.relay.on_refused = self.sync.compact.add_extra
        self.serving = Serving(self.context, self.sync, self.relay)
        self.addresses = AddressRelay(self.context, address_book, ban_list)
        self.addresses.local = [NetAddress.parse(a, params.port) for a in options.external_addresses]
        self.outbound = OutboundLoop(self)
        self.filters: FilterSync | None = None
        """SPV: the chain of filter headers, and filters."""
        if options.headers_only:
            from .filter_sync import FilterSync  # a full node starts without it

            self.filters = FilterSync(self.context, self.sync)
        self.handlers = self._handler_table()
        self.listeners: list[Listener] = []
        self.network_active = options.network_active
        self._next_id = 0
        self._dialling: set[Endpoint] = set()
        self._group_key = ports.random.bytes(16)
        self._due = asyncio.Event()
        self._resting = False
        """The pump waits for longer than a TICK."""
        self._stopped = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._subscription: Subscription | None = None
        self._closed_sent = self._closed_received = 0
        self.on_change: Callable[[], None] = lambda: None
        """Called when the handshake with a peer is complete, and when one is gone."""
        self.started_at = self.context.now()

    def _handler_table(self) -> dict[str, Handler]:
        async def on_ping(peer: Peer, message: Any) -> None:
            await peer.on_ping(message)

        async def on_pong(peer: Peer, message: Any) -> None:
            await peer.on_pong(message)

        sync, relay, serving, addresses = self.sync, self.relay, self.serving, self.addresses
        table: dict[str, Handler] = {
            "ping": on_ping,
            "pong": on_pong,
            "inv": self._on_inv,
            "headers": sync.on_headers,
            "block": sync.on_block,
            "cmpctblock": sync.compact.on_cmpctblock,
            "blocktxn": sync.compact.on_blocktxn,
            "getblocktxn": serving.on_getblocktxn,
            "tx": relay.on_tx,
            "notfound": relay.on_notfound,
            "feefilter": relay.on_feefilter,
            "mempool": relay.on_mempool,
            "getheaders": serving.on_getheaders,
            "getblocks": serving.on_getblocks,
            "getdata": serving.on_getdata,
            "getcfilters": serving.on_getcfilters,
            "getcfheaders": serving.on_getcfheaders,
            "getcfcheckpt": serving.on_getcfcheckpt,
            "addr": addresses.on_addr,
            "addrv2": addresses.on_addr,
            "getaddr": addresses.on_getaddr,
            "filterload": relay.on_filterload,
            "filteradd": relay.on_filteradd,
            "filterclear": relay.on_filterclear,
        }
        if self.filters is not None:
            table |= {"cfheaders": self.filters.on_cfheaders, "cfilter": self.filters.on_cfilter}
        return table

    async def _on_inv(self, peer: Peer, message: InvMessage) -> None:
        blocks = [item.hash for item in message.items if item.type == 2]
        transactions = [item for item in message.items if item.is_tx]
        for item in message.items:
            if not item.is_tx and item.type != 2:
                peer.debug(f'Unknown inv type "{item}" received from')
        for start in range(0, len(transactions), INVS_A_TURN):
            if not peer.disconnecting:
                self.relay.on_tx_invs(peer, transactions[start : start + INVS_A_TURN])
                await self.ports.clock.sleep(0)
        if blocks and not peer.disconnecting:
            self.sync.on_block_invs(peer, blocks)

    # Life

    async def listen(self) -> None:
        """Listens where the options say; OSError if an endpoint is taken."""
        for bind in self.options.binds:
            self.listeners.append(await self.ports.network.listen(bind.endpoint, self._acceptor(bind)))

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where we listen, with the real ports."""
        return [listener.endpoint for listener in self.listeners]

    async def run(self) -> None:
        """Runs all peers until `stop`."""
        events = self.context.chain.events
        self._subscription = events.subscribe("p2p", self._on_event)
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._subscription.run())
                self.spawn(self._pump())
                self.spawn(self.relay.run_orphans())
                self.spawn(self.outbound.run())
                if self.filters is not None:
                    self.spawn(self.filters.run(self.spawn))
                await self._stopped.wait()
                for listener in self.listeners:
                    await listener.close()
                for peer in list(self.peers.values()):
                    peer.close()
                for task in list(self._tasks):
                    task.cancel()
                self._unsubscribe()
        finally:
            self._group = None
            self._unsubscribe()
            for listener in self.listeners:
                await listener.close()
            self.listeners.clear()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs work until it ends or `stop` cancels it; nothing once we stop."""
        if self._group is None or self._stopped.is_set():
            work.close()
            return
        task = self._group.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            self.context.chain.events.unsubscribe(self._subscription)
            self._subscription = None

    def stop(self) -> None:
        """No more connections; `run` ends when all are closed."""
        self._stopped.set()

    @property
    def running(self) -> bool:
        return self._group is not None and not self._stopped.is_set()

    def _wake(self) -> None:
        self._due.set()

    async def _pump(self) -> None:
        """Sends each peer what is due: at once when woken, and whenever something may be due."""
        clock, pause = self.ports.clock, TICK
        while True:
            self._resting = pause > TICK
            try:
                async with clock.timeout(None if pause == inf else pause):
                    await self._due.wait()
                quiet = False
            except TimeoutError:
                quiet = True
            self._due.clear()
            self.tick()
            pause = self._pause() if quiet else TICK
            await clock.sleep(0)

    def _pause(self) -> float:
        """Seconds until something may be due for a peer, if nothing comes before; TICK at least."""
        if self.ports.clock.mocked:  # that time moves by leaps
            return TICK
        now, until = self.context.now(), self.relay.next_rebroadcast or inf
        for peer in self.peers.values():
            until = min(until, self._rests_until(peer, now))
            if until <= now:
                return TICK
        return max(TICK, until - now)

    def _rests_until(self, peer: Peer, now: float) -> float:
        if peer.disconnecting:
            return inf
        until = peer.rests_until(now)
        if peer.complete:
            for part in (self.addresses, self.sync, self.relay):
                until = min(until, part.rests_until(peer, now))
        return until

    def stir(self) -> None:
        """Something happened that may make something due: who rests looks anew."""
        if self._resting:
            self._wake()

    def tick(self) -> None:
        now = self.context.now()
        self.relay.rebroadcast(now)
        for peer in list(self.peers.values()):
            try:
                peer.check_timeouts(now)
                if peer.complete:
                    self._tick_peer(peer, now)
            except Exception:  # a peer's failure ends the peer
                self._failed(peer)

    def _on_handled(self, peer: Peer) -> None:
        if peer.complete:
            self._tick_peer(peer, self.context.now())
            self.stir()  # what it sent may be for others

    def _tick_peer(self, peer: Peer, now: float) -> None:
        peer.maybe_ping(now)
        for part in (self.addresses, self.sync, self.relay):
            if peer.complete:
                part.tick(peer, now)

    async def _on_event(self, event: Event) -> None:
        match event:
            case NewPowValidBlock():
                self.sync.announcer.recent_block = event.block
                self.sync.compact.new_block(event.block, event.node)
            case BlockConnected(role=ChainRole.ACTIVE):
                self.sync.block_connected()
                self.sync.announcer.recent_block = event.block
                self.relay.block_connected(event.block, ibd=self.context.is_ibd)
                self.stir()
            case BlockConnected():
                self.sync.block_connected()
                self.stir()
            case BlockChecked():
                self.sync.block_checked(event.block_hash, event.error)
            case BlockDisconnected(role=ChainRole.ACTIVE):
                self.relay.block_disconnected()
                self.stir()
            case TxRemoved(reason=RemovalReason.REPLACED):
                self.sync.compact.add_extra(event.tx)
            case TxRemoved(reason=RemovalReason.SIZELIMIT):
                self.stir()  # the lowest feerate that we take has changed
            case TipChanged(ibd=False):
                self.relay.tip_changed()
                if not self.options.headers_only:
                    self.sync.announcer.tip_changed(event.tip, event.fork)
            case _:
                pass
        if self.filters is not None:
            self.filters.wake()

    def excuse_silence(self) -> None:
        """The clock was set forward: peers are judged by what they do from now on."""
        now = self.context.now()
        for peer in self.peers.values():
            peer.excuse_silence(now)

    # Peers come

    def _acceptor(self, bind: Bind) -> Callable[[Stream], Any]:
        async def accept(stream: Stream) -> None:
            if not self.running or not self._accept(stream, bind):
                stream.close()
                await stream.wait_closed()

        return accept

    def _accept(self, stream: Stream, bind: Bind) -> bool:
        """Whether the inbound connection becomes a peer."""
        address = self._address_of(stream.remote)
        permissions = bind.permissions | self._whitelisted(address, inbound=True)
        permissions = resolve_implicit(
            permissions,
            relay=self.options.whitelist_relay,
            force_relay=self.options.whitelist_force_relay,
        )
        noban = permissions & Permission.NOBAN == Permission.NOBAN
        log = self.context.log
        if not self.network_active:
            log.debug("net", f"connection from {address} dropped: not accepting new connections")
            return False
        banned = self.bans is not None and self.bans.is_banned(address)
        if banned and not noban:
            log.debug("net", f"connection from {address} dropped (banned)")
            return False
        inbound, limit = sum(peer.inbound for peer in self.peers.values()), self.max_inbound
        discouraged = self.bans is not None and self.bans.is_discouraged(address)
        if discouraged and not noban and inbound + 1 >= limit:
            log.debug("net", f"connection from {address} dropped (discouraged)")
            return False
        if inbound >= limit and not self._evict():
            log.debug("net", "failed to find an eviction candidate - connection dropped (full)")
            return False
        self._add_peer(
            stream,
            ConnectionType.INBOUND,
            address,
            permissions=permissions,
            bind=self._address_of(stream.local),
            prefer_evict=discouraged,
        )
        log.debug("net", f"connection from {address} accepted")
        return True

    @property
    def max_inbound(self) -> int:
        """What is left of -maxconnections after the outbound ones."""
        total = self.options.max_connections
        full = min(MAX_OUTBOUND_FULL_RELAY, total)
        blocks = min(MAX_OUTBOUND_BLOCK_RELAY, max(0, total - full))
        return max(0, total - full - blocks - MAX_FEELERS)

    def _whitelisted(self, address: NetAddress, *, inbound: bool) -> Permission:
        permissions = Permission.NONE
        for entry in self.options.whitelist:
            if (entry.inbound if inbound else entry.outbound) and entry.subnet.matches(address):
                permissions |= entry.permissions
        return permissions

    def _address_of(self, endpoint: Endpoint) -> NetAddress:
        try:
            return NetAddress.from_host(*endpoint[:2])
        except ValueError:
            return NetAddress.internal(endpoint[0]).with_port(endpoint[1])

    def _add_peer(
        self,
        stream: Stream,
        kind: ConnectionType,
        address: NetAddress,
        *,
        permissions: Permission,
        bind: NetAddress,
        name: str = "",
        services: int = 0,
        prefer_evict: bool = False,
    ) -> Peer:
        peer_id, self._next_id = self._next_id, self._next_id + 1
        our_services = self.context.services
        if permissions & Permission.BLOOMFILTER:
            our_services |= ServiceFlags.BLOOM
        relay = kind not in (ConnectionType.BLOCK_RELAY, ConnectionType.FEELER) and (
            not self.options.blocks_only or permissions & Permission.RELAY == Permission.RELAY
        )
        local = LocalVersion(
            services=our_services,
            nonce=self.ports.random.u64(),
            user_agent=self.options.user_agent,
            start_height=self.context.tip.height,
            relay=relay,
        )
        handshake = Handshake(
            kind,
            local,
            address,
            remote_services=services,
            is_own_nonce=self._is_own_nonce,
            desirable=self._desirable,
            salt=self.ports.random.u64 if self.options.tx_reconciliation else None,
            offer_reconciliation=not self.options.blocks_only,
        )
        connection = Connection(
            stream,
            V1Codec(self.params.magic),
            self.ports.clock,
            self.context.log,
            peer_id=peer_id,
            capture=partial(self.options.capture, str(address)) if self.options.capture else None,
        )
        peer = Peer(
            self.context,
            peer_id,
            connection,
            handshake,
            address,
            name=name,
            bind=bind,
            permissions=permissions,
            handlers=self.handlers,
            on_misbehaving=self._on_misbehaving,
            prefer_evict=prefer_evict,
        )
        peer.on_version, peer.on_complete = self._on_version, self._on_complete
        peer.on_handled = self._on_handled
        peer.before_next = self.relay.orphans_tried
        self.peers[peer_id] = peer
        where = f" to {peer.name}" if self.options.log_ips else ""
        self.context.log.debug("net", f"Added connection{where} peer={peer_id}")
        self.spawn(self._run_peer(peer))
        return peer

    def _is_own_nonce(self, nonce: int) -> bool:
        return any(
            not peer.inbound and not peer.handshake.complete and peer.handshake.local.nonce == nonce
            for peer in self.peers.values()
        )

    def _desirable(self, services: int) -> int:
        age = self.context.now() - self.context.tip.time
        near = age // self.params.pow_target_spacing < PRUNED_PEERS_DEPTH
        return desirable_services(services, near_tip=near)

    def _on_version(self, peer: Peer) -> None:
        self.sync.add_peer(peer)
        self.relay.add_peer(peer)
        self.addresses.add_peer(peer)
        if not peer.inbound and self.book is not None:
            self.book.good(peer.address, self.ports.clock.time())
            self.book.set_services(peer.address, peer.features.services)
        if peer.kind is ConnectionType.FEELER:
            peer.disconnect("feeler connection completed")

    def _on_complete(self, peer: Peer) -> None:
        self.on_change()
        self.relay.complete_peer(peer)
        self.sync.compact.complete_peer(peer)
        if self.filters is not None:
            self.filters.add_peer(peer)
        text = (
            f"New {peer.kind.value} peer connected: transport: {peer.connection.transport}, "
            f"version: {peer.features.version}, {peer.log_name}"
        )
        if peer.inbound:
            self.context.log.debug("net", text)
        else:
            self.context.log.info(text)

    async def _run_peer(self, peer: Peer) -> None:
        try:
            await peer.run()
        except* OwnerStopped:
            pass
        except* Exception:  # a peer's failure ends the peer, and nothing else
            self._failed(peer)
        finally:
            self._remove(peer)

    def _failed(self, peer: Peer) -> None:
        self.context.log.error(f"peer={peer.id} failed:\n{traceback.format_exc()}")
        peer.close()

    def _remove(self, peer: Peer) -> None:
        self.peers.pop(peer.id, None)
        self.sync.remove_peer(peer)
        self.relay.remove_peer(peer)
        if self.filters is not None:
            self.filters.remove_peer(peer)
        self._closed_sent += peer.connection.sent.total
        self._closed_received += peer.connection.received.total
        full = peer.handshake.complete and not peer.inbound and peer.kind is not ConnectionType.BLOCK_RELAY
        if full and self.book is not None:
            self.book.connected(peer.address, self.ports.clock.time())
        self.context.log.debug("net", f"Cleared nodestate for peer={peer.id}")
        self.outbound.peer_gone(peer)
        self.on_change()
        self._wake()

    # Peers go

    def _on_misbehaving(self, peer: Peer) -> None:
        log = self.context.log
        if peer.has(Permission.NOBAN):
            log.warning(f"Not punishing noban peer {peer.id}!")
        elif peer.kind is ConnectionType.MANUAL:
            log.warning(f"Not punishing manually connected peer {peer.id}!")
        elif peer.address.is_local:
            log.debug("net", f"Warning: disconnecting but not discouraging local peer {peer.id}!")
            peer.close()
        else:
            log.debug("net", f"Disconnecting and discouraging peer {peer.id}!")
            if self.bans is not None:
                self.bans.discourage(peer.address)
            for other in list(self.peers.values()):
                if other.address.with_port(0) == peer.address.with_port(0):
                    other.close()

    def _evict(self) -> bool:
        """Makes room for an inbound peer, if one deserves to go."""
        candidates = [
            Candidate(
                id=peer.id,
                connected=peer.connected_at,
                min_ping=peer.min_ping if peer.min_ping is not None else float("inf"),
                last_block=peer.last_block_time,
                last_tx=peer.last_tx_time,
                relevant_services=self._is_useful(peer),
                relays_txs=peer.transactions is not None and peer.transactions.wants,
                bloom_filter=peer.transactions is not None and peer.transactions.bloom is not None,
                group=siphash(self._group_key, peer.address.group),
                prefer_evict=peer.prefer_evict,
                is_local=peer.address.is_local,
                network=peer.address.network,
                noban=peer.has(Permission.NOBAN),
            )
            for peer in self.peers.values()
            if peer.inbound and not peer.disconnecting
        ]
        chosen = select_for_eviction(candidates)
        if chosen is None:
            return False
        self.peers[chosen].disconnect("selected inbound connection for eviction")
        return True

    def _is_useful(self, peer: Peer) -> bool:
        wanted = self._desirable(peer.features.services)
        return peer.features.services & wanted == wanted

    def disconnect(self, *, address: str = "", subnet: Subnet | None = None, peer_id: int = -1) -> bool:
        """disconnectnode: by getpeerinfo's addr, by subnet, or by id; whether there was such a peer."""
        found = False
        for peer in list(self.peers.values()):
            if (
                (address and peer.name == address)
                or (subnet is not None and subnet.matches(peer.address))
                or peer.id == peer_id
            ):
                why = (
                    ""
                    if not address
                    else f"disconnect by address{f'={address}' if self.options.log_ips else ''} match"
                )
                if peer.id == peer_id:
                    why = "disconnect by id"
                elif subnet is not None:
                    why = "disconnect by subnet match"
                peer.disconnect(why)
                found = True
        return found

    def set_network_active(self, active: bool) -> None:
        """setnetworkactive: off ends all connections and allows no new ones."""
        self.context.log.info(f"SetNetworkActive: {'true' if active else 'false'}")
        self.network_active = active
        if not active:
            for peer in list(self.peers.values()):
                peer.disconnect("Network not active")

    # Dialling

    async def connect(
        self,
        target: str | NetAddress,
        kind: ConnectionType,
        *,
        services: int = 0,
    ) -> Peer | None:
        """Connects to a peer; None if that fails or makes no sense. target: an address, or a name that is
        looked up by the network."""
        log = self.context.log
        name = target if isinstance(target, str) else ""
        if not self.running or not self.network_active:
            return None
        endpoint: Endpoint
        address: NetAddress | None
        try:
            address = NetAddress.parse(target, self.params.port) if isinstance(target, str) else target
            endpoint = address.endpoint
        except ValueError:
            assert isinstance(target, str)
            try:
                address, endpoint = None, split_host_port(target, self.params.port)
            except ValueError:
                endpoint = ("", 0)
            if not endpoint[0] or not self.options.look_up_names:
                log.debug("net", f"Cannot resolve {target}")
                return None
        if name and any(peer.name == name for peer in self.peers.values()):
            log.debug("net", f"Not opening a connection to {name}, already connected")
            return None
        if address is not None and any(peer.address == address for peer in self.peers.values()):
            log.debug("net", f"Not opening a connection to {name or address}, already connected to {address}")
            return None
        if not name and address is not None and self._is_barred(address):
            return None
        if endpoint in self._dialling:  # asked for twice at once: an added node that is also tried by hand
            log.debug("net", f"Not opening a connection to {name or address}, one is on its way")
            return None
        log.debug("net", f"trying v1 connection ({kind.value}) to {name or address}, lastseen=0.0hrs")
        self._dialling.add(endpoint)
        try:
            async with self.ports.clock.timeout(self.options.connect_timeout):
                stream = await self.ports.network.dial(endpoint)
        except (OSError, TimeoutError) as error:
            log.debug("net", f"connect() to {name or address} failed: {error or 'timeout'}")
            return None
        finally:
            self._dialling.discard(endpoint)
        if address is None:
            address = self._address_of(stream.remote)
        if not self.running or not self.network_active:
            stream.close()
            return None
        permissions = resolve_implicit(self._whitelisted(address, inbound=False))
        return self._add_peer(
            stream,
            kind,
            address,
            permissions=permissions,
            bind=self._address_of(stream.local),
            name=name,
            services=services,
        )

    def _is_barred(self, address: NetAddress) -> bool:
        """Discouraged or banned; also ourselves."""
        if self.bans is not None and (self.bans.is_discouraged(address) or self.bans.is_banned(address)):
            return True
        return address in self.addresses.local

    def add_node(self, target: str) -> bool:
        """addnode add: keeps a manual connection up. False if it is on the list already."""
        return self.outbound.add(target)

    def remove_node(self, target: str) -> bool:
        """addnode remove: no more tries; the connection stays. False if it is not on the list."""
        return self.outbound.remove(target)

    @property
    def added_nodes(self) -> list[str]:
        return self.outbound.added

    def try_node(self, target: str) -> None:
        """addnode onetry: one try, in the background."""
        self.spawn(self.outbound.try_once(target, ConnectionType.MANUAL))

    def has_slot(self, kind: ConnectionType) -> bool:
        """Whether one more automatic outbound connection of this kind is allowed."""
        kinds = [peer.kind for peer in self.peers.values()]
        limits = {
            ConnectionType.OUTBOUND_FULL_RELAY: MAX_OUTBOUND_FULL_RELAY,
            ConnectionType.BLOCK_RELAY: MAX_OUTBOUND_BLOCK_RELAY,
        }
        if kind in limits and kinds.count(kind) >= limits[kind]:
            return False
        automatic = [k for k in kinds if k not in (ConnectionType.INBOUND, ConnectionType.MANUAL)]
        most = MAX_OUTBOUND_FULL_RELAY + MAX_OUTBOUND_BLOCK_RELAY + MAX_FEELERS
        return len(automatic) < min(most, self.options.max_connections)

    def add_connection(self, target: str, kind: ConnectionType) -> bool:
        """addconnection: a test's outbound connection of any kind; False where the slots are taken."""
        if not self.running or not self.has_slot(kind):
            return False
        self.spawn(self.outbound.try_once(target, kind))
        return True

    # Asked by the node

    def announce_transaction(self, tx: Transaction) -> None:
        """Announces a transaction of the mempool (or, SPV, of the wallet) to all peers."""
        self.relay.broadcast(tx)

    def mock_forward(self, seconds: float) -> None:
        """mockscheduler: what is due at intervals comes so much sooner."""
        self.relay.mock_forward(seconds)
        self._wake()

    def send_ping(self) -> None:
        """RPC ping: to every peer, with the next tick."""
        for peer in self.peers.values():
            peer.ping_queued = True
        self._wake()

    def orphans(self) -> list[tuple[Transaction, list[int]]]:
        """Transactions that wait for their parents, with the ids of the peers that sent them."""
        return self.relay.download.orphanage.all()

    def fetch_block_from(self, peer_id: int, block_hash: bytes) -> str | None:
        """getblockfrompeer: asks one peer for a block. Core's complaint, or None."""
        peer = self.peers.get(peer_id)
        node = self.context.headers.get(block_hash)
        if peer is None or not peer.complete or node is None:
            return "Peer does not exist"
        if not peer.serves_witnesses:
            return "Pre-SegWit peer"
        download = self.sync.download
        if peer_id in download.in_flight.get(block_hash, ()):
            return "Already requested from this peer"
        self.sync.ask_blocks(peer, [node])
        self.stir()
        return None

    @property
    def totals(self) -> tuple[int, int]:
        """(bytes received, bytes sent) since the start."""
        received = self._closed_received + sum(p.connection.received.total for p in self.peers.values())
        sent = self._closed_sent + sum(p.connection.sent.total for p in self.peers.values())
        return received, sent

    def counts(self) -> tuple[int, int]:
        """(inbound, outbound) peers."""
        inbound = sum(peer.inbound for peer in self.peers.values())
        return inbound, len(self.peers) - inbound

    def peer_infos(self) -> list[dict[str, Any]]:
        """getpeerinfo, by id. minfeefilter is in satoshis."""
        return [peer_info(peer, self.sync) for _, peer in sorted(self.peers.items())]
