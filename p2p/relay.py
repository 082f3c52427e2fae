"""Transactions between peers: announced in trickles, asked for, taken in, passed on.

Behaviour is that of Bitcoin Core 31.99 (net_processing.cpp). When a node announces tells where a transaction
came from, so announcements wait for random moments, shared by all inbound peers of a kind.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from pybitcoind.chain.consensus.errors import TxFault, TxInvalid
from pybitcoind.chain.mempool.results import TxAccept
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import MAX_MONEY, Transaction

from .bloom import BloomFilter
from .handshake import ConnectionType
from .messages import (
    FeeFilter,
    FilterAdd,
    FilterClear,
    FilterLoad,
    GetData,
    Inv,
    InvMessage,
    InvType,
    MempoolRequest,
    NotFound,
    ServiceFlags,
    TxMessage,
)
from .messages.inventory import MAX_GETDATA_SZ, MAX_INV_SZ
from .messages.message import FEEFILTER_VERSION
from .permissions import Permission
from .rolling_filter import RollingFilter
from .tx_download import Package, TxDownload, TxPeer
from .tx_request import MAX_ANNOUNCEMENTS, GenTxid

if TYPE_CHECKING:
    from pybitcoind.chain.mempool.entry import MempoolEntry
    from pybitcoind.chain.mempool.pool import Mempool
    from pybitcoind.chain.primitives.block import Block

    from .context import Context
    from .peer import Peer

INBOUND_INTERVAL = 5.0
OUTBOUND_INTERVAL = 2.0
"""Mean seconds between announcements to a peer; outbound ones are less of a risk to privacy."""
ANNOUNCE_TARGET = 70
ANNOUNCE_MAX = 1000
"""Transactions of one announcement: usually, and when very many wait."""
FEEFILTER_INTERVAL = 10 * 60.0
FEEFILTER_CHANGE_DELAY = 5 * 60.0
REBROADCAST_DELAY = 10 * 60.0
REBROADCAST_SPREAD = 5 * 60.0
DEFAULT_MIN_RELAY_FEERATE = 100
"""Satoshis per 1000 vbytes."""


def _fee_steps() -> tuple[int, ...]:
    """Feerates a fee filter is rounded to, 10% apart, so that it does not tell our mempool's size."""
    steps, step = [0], max(1.0, DEFAULT_MIN_RELAY_FEERATE / 2)
    while step <= 10_000_000:
        steps.append(int(step))
        step *= 1.1
    return tuple(steps)


_FEE_STEPS = _fee_steps()
MAX_FEE_FILTER = _FEE_STEPS[-1]
"""What is asked for while we take no transactions at all."""


def round_fee_filter(feerate: int, below: Callable[[int], int]) -> int:
    """A step near feerate: the one above it or, two times in three, the one below."""
    index = bisect_left(_FEE_STEPS, feerate)
    if index == len(_FEE_STEPS) or (index > 0 and below(3) != 0):
        index -= 1
    return _FEE_STEPS[index]


@dataclass(slots=True)
class PeerTransactions:
    """What is announced to one peer. Times are seconds, 0 is the first tick after the handshake."""

    wants: bool
    """It has not asked for no transactions (BIP 37)."""
    bloom: BloomFilter | None = field(default=None, init=False)
    """Only what matches is announced."""
    known: RollingFilter
    """Hashes, by which it was or would be announced, that the peer has."""
    to_send: dict[bytes, None] = field(default_factory=dict)
    """Wtxids, to be announced with the next trickle."""
    next_send: float = 0.0
    idle: bool = False
    """Nothing waits for next_send."""
    last_sequence: int = 1
    """Of the mempool at the last announcement: what came later is not given to the peer."""
    send_mempool: bool = False
    fee_filter_received: int = 0


@dataclass(slots=True)
class OurFeeFilter:
    """What a peer was told of our lowest feerate: it may send transactions though it wants none (BIP 133)."""

    sent: int = 0
    next: float = 0.0


class _Pool:
    """tx_download's view of the mempool."""

    def __init__(self, pool: Mempool | None) -> None:
        self._pool = pool

    def contains(self, txid: bytes) -> bool:
        return self._pool is not None and self._pool.contains(txid)

    def contains_wtxid(self, wtxid: bytes) -> bool:
        return self._pool is not None and self._pool.get_by_wtxid(wtxid) is not None


class TxRelay:
    """on_transaction, wants_transaction: the SPV role's hooks. Without a mempool, an announced transaction is
    asked for if wants_transaction says so, and what comes is handed to on_transaction."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.pool: Mempool | None = context.chain.mempool
        self.on_refused: Callable[[Transaction], None] = lambda tx: None
        """Called with transactions that the mempool did not take."""
        self.download = TxDownload(_Pool(self.pool), context.ports.random)
        self.own: dict[bytes, Transaction] = {}
        """SPV: our own transactions by txid and wtxid, announced and served until they are confirmed."""
        self.wants_transaction: Callable[[GenTxid], bool] = lambda gtxid: True
        self.on_transaction: Callable[[Transaction, int], Awaitable[None]] | None = None
        self._recent_block: Block | None = None
        self._recent: dict[bytes, Transaction] = {}
        self._next_to_inbound: dict[bytes, float] = {}
        self.next_rebroadcast: float | None = None
        self._orphan_work = asyncio.Event()
        self._orphan_tried = asyncio.Event()
        self._trying: int | None = None
        """The peer one of whose orphans is being tried."""

    # Peers come and go

    def add_peer(self, peer: Peer) -> None:
        """Its version message came."""
        silent = peer.kind in (ConnectionType.BLOCK_RELAY, ConnectionType.FEELER)
        if not silent:
            peer.fee_filter = OurFeeFilter()
        if not silent and (peer.features.relay or peer.our_services & ServiceFlags.BLOOM):
            key = self.context.ports.random.bytes(16)
            peer.transactions = PeerTransactions(peer.features.relay, RollingFilter(50_000, 0.000_001, key))

    def complete_peer(self, peer: Peer) -> None:
        """Its handshake is complete."""
        relay = peer.has(Permission.RELAY)
        self.download.add_peer(peer.id, TxPeer(peer.preferred, relay, peer.wtxid_relay))
        if peer.transactions is not None:
            peer.transactions.to_send |= {tx.wtxid: None for tx in self.own.values()}

    def remove_peer(self, peer: Peer) -> None:
        self.download.remove_peer(peer.id)

    def refuses_from(self, peer: Peer) -> bool:
        """Whether the peer was told not to send transactions."""
        if peer.kind in (ConnectionType.BLOCK_RELAY, ConnectionType.FEELER):
            return True
        return self.context.options.blocks_only and not peer.has(Permission.RELAY)

    # Announced to us

    def on_tx_invs(self, peer: Peer, items: Sequence[Inv]) -> None:
        context, now = self.context, self.context.now()
        verbose = context.log.enabled("net")
        for item in items:
            if peer.wtxid_relay is (item.type == InvType.TX):
                continue  # not the kind we agreed on
            if self.refuses_from(peer):
                name = hash_hex(item.hash)
                peer.disconnect(f"transaction ({name}) inv sent in violation of protocol")
                return
            self._add_known(peer, item.hash)
            gtxid = GenTxid(item.hash, item.type == InvType.WTX)
            if self.pool is None and not self.wants_transaction(gtxid):
                continue
            if not context.is_ibd or self.pool is None:
                have = self.download.announced(peer.id, gtxid, now)
                if verbose:
                    peer.debug(f"got inv: {item} {'have' if have else 'new'}")
        context.wake()

    async def on_tx(self, peer: Peer, message: TxMessage) -> None:
        if self.refuses_from(peer):
            peer.disconnect("transaction sent in violation of protocol")
            return
        context, tx = self.context, message.tx
        if context.is_ibd and self.pool is not None:
            return
        self._add_known(peer, tx.wtxid if peer.wtxid_relay else tx.txid)
        should_try, package = self.download.received(peer.id, tx)
        if self.pool is None:
            self.download.requests.forget(tx.txid)
            self.download.requests.forget(tx.wtxid)
            if should_try and self.on_transaction is not None:
                await self.on_transaction(tx, peer.id)
            return
        if should_try:
            package = await self._try(peer.id, tx, first_time=True)
        elif peer.has(Permission.FORCERELAY):
            self._force_relay(peer, tx)
        if package is not None:
            await self._try_package(package)

    def _force_relay(self, peer: Peer, tx: Transaction) -> None:
        assert self.pool is not None
        names = f"{hash_hex(tx.txid)} (wtxid={hash_hex(tx.wtxid)}) from"
        if self.pool.contains(tx.txid):
            self.context.log.info(f"Force relaying tx {names} peer={peer.id}")
            self.broadcast(tx)
        else:
            self.context.log.info(f"Not relaying non-mempool transaction {names} forcerelay peer={peer.id}")

    async def _try(self, peer_id: int, tx: Transaction, *, first_time: bool) -> Package | None:
        """Offers tx to the mempool and draws the consequences; perhaps a package to try instead."""
        try:
            with self.download.in_hand(tx):
                await self.context.chain.accept_transaction(tx)
        except TxInvalid as error:
            return self._refused(peer_id, tx, error, first_time=first_time)
        self._taken(peer_id, tx)
        return None

    def _taken(self, peer_id: int, tx: Transaction) -> None:
        context, pool = self.context, self.pool
        assert pool is not None
        self.download.accepted(tx)
        context.log.debug(
            "mempool",
            f"AcceptToMemoryPool: peer={peer_id}: accepted {hash_hex(tx.txid)} "
            f"(wtxid={hash_hex(tx.wtxid)}) (poolsz {len(pool.entries)} txn, {pool.usage // 1000} kB)",
        )
        if (peer := context.peers.get(peer_id)) is not None:
            peer.last_tx_time = context.ports.clock.time()
        self.broadcast(tx)
        self._orphan_work.set()

    def _refused(
        self, peer_id: int, tx: Transaction, error: TxInvalid, *, first_time: bool
    ) -> Package | None:
        context = self.context
        context.log.debug(
            "mempoolrej",
            f"{hash_hex(tx.txid)} (wtxid={hash_hex(tx.wtxid)}) from peer={peer_id} was not accepted: {error}",
        )
        result = self.download.rejected(tx, error.fault, peer_id, context.now(), first_time=first_time)
        if tx.wtxid in self.download.orphanage and first_time:
            self.context.log.debug(
                "txpackages",
                f"stored orphan tx {hash_hex(tx.txid)} (wtxid={hash_hex(tx.wtxid)}), weight: {tx.weight}",
            )
        self.on_refused(tx)
        if result.hopeless:
            names = f"{hash_hex(tx.txid)} (wtxid={hash_hex(tx.wtxid)})"
            context.log.debug("mempool", f"not keeping orphan with rejected parents {names}")
        if (peer := context.peers.get(peer_id)) is not None:
            for txid in result.parents:
                self._add_known(peer, txid)
        context.wake()
        return result.package

    async def _try_package(self, package: Package) -> None:
        """A parent that pays too little, with an orphan child that pays for it."""
        context = self.context
        names = ", ".join(
            f"txid={hash_hex(tx.txid)} (wtxid={hash_hex(tx.wtxid)}, peer={package.sender})"
            for tx in (package.parent, package.child)
        )
        with self.download.in_hand(package.parent, package.child):
            answer = await context.chain.accept_package([package.parent, package.child])
        verdict = "package accepted" if answer.fault is None else "package rejected"
        context.log.debug("txpackages", f"package evaluation for parent, child: {names}: {verdict}")
        if answer.fault is not None:
            self.download.package_rejected(package)
        for tx in (package.child, package.parent):  # the child leaves the orphanage before it gets its turn
            result = answer.results.get(tx.wtxid)
            if isinstance(result, TxInvalid):
                self._refused(package.sender, tx, result, first_time=False)
            elif isinstance(result, TxAccept):
                self._taken(package.sender, tx)

    async def run_orphans(self) -> None:
        """Tries orphans again whose parents came, one peer after the other, one at a time."""
        while True:
            await self._orphan_work.wait()
            self._orphan_work.clear()
            for peer_id in list(self.context.peers):
                if not self.download.has_orphan_work(peer_id):
                    continue
                tx = self.download.next_orphan(peer_id)
                if tx is not None and self.pool is not None and not self.pool.contains(tx.txid):
                    self._trying = peer_id
                    await self._try_orphan(peer_id, tx)
                    self._trying = None
                self._orphan_tried.set()
                if self.download.has_orphan_work(peer_id):
                    self._orphan_work.set()

    async def orphans_tried(self, peer: Peer) -> None:
        """Until none of its orphans waits to be tried again: a peer's next message comes then, as in Core."""
        while self.download.has_orphan_work(peer.id) or self._trying == peer.id:
            self._orphan_tried.clear()
            await self._orphan_tried.wait()

    async def _try_orphan(self, peer_id: int, tx: Transaction) -> None:
        names = f"{hash_hex(tx.txid)} (wtxid={hash_hex(tx.wtxid)})"
        try:
            with self.download.in_hand(tx):
                await self.context.chain.accept_transaction(tx)
        except TxInvalid as error:
            if error.fault is not TxFault.MISSING_INPUTS:
                self.context.log.debug(
                    "txpackages", f"   invalid orphan tx {names} from peer={peer_id}. {error}"
                )
                self._refused(peer_id, tx, error, first_time=False)
        else:
            self.context.log.debug("txpackages", f"   accepted orphan tx {names}")
            self._taken(peer_id, tx)

    async def on_notfound(self, peer: Peer, message: NotFound) -> None:
        if len(message.items) <= MAX_ANNOUNCEMENTS + 16:
            self.download.not_found(peer.id, (item.hash for item in message.items if item.is_tx))
            self.context.wake()

    async def on_feefilter(self, peer: Peer, message: FeeFilter) -> None:
        if 0 <= message.feerate <= MAX_MONEY and peer.transactions is not None:
            peer.transactions.fee_filter_received = message.feerate
            whole, rest = divmod(message.feerate, 100_000_000)
            peer.debug(f"received: feefilter of {whole}.{rest:08d} BTC/kvB from")

    async def on_mempool(self, peer: Peer, message: MempoolRequest) -> None:
        if not peer.our_services & ServiceFlags.BLOOM and not peer.has(Permission.MEMPOOL):
            if not peer.has(Permission.NOBAN):
                peer.disconnect("mempool request with bloom filters disabled")
        elif self.context.upload.reached and not peer.has(Permission.MEMPOOL):
            if not peer.has(Permission.NOBAN):
                peer.disconnect("mempool request with bandwidth limit reached")
        elif peer.transactions is not None:
            peer.transactions.send_mempool = True

    # Bloom filters (BIP 37)

    def _offers_bloom(self, peer: Peer, command: str) -> bool:
        if peer.our_services & ServiceFlags.BLOOM:
            return True
        peer.disconnect(f"{command} received despite not offering bloom services")
        return False

    async def on_filterload(self, peer: Peer, message: FilterLoad) -> None:
        if self._offers_bloom(peer, message.COMMAND) and peer.transactions is not None:
            peer.transactions.bloom, peer.transactions.wants = BloomFilter.of(message), True

    async def on_filteradd(self, peer: Peer, message: FilterAdd) -> None:
        if not self._offers_bloom(peer, message.COMMAND) or peer.transactions is None:
            return
        if peer.transactions.bloom is None:
            peer.misbehaving("bad filteradd message")
        else:
            peer.transactions.bloom.insert(message.data)

    async def on_filterclear(self, peer: Peer, message: FilterClear) -> None:
        if self._offers_bloom(peer, message.COMMAND) and peer.transactions is not None:
            peer.transactions.bloom, peer.transactions.wants = None, True

    def _add_known(self, peer: Peer, tx_hash: bytes) -> None:
        if peer.transactions is not None:
            peer.transactions.known.insert(tx_hash)

    # Announced by us

    def broadcast(self, tx: Transaction) -> None:
        """Queues tx, which is in the mempool (or of our own, SPV), for all peers that may not have it."""
        if self.pool is None:
            self.own[tx.txid] = self.own[tx.wtxid] = tx
        for peer in self.context.peers.values():
            state = peer.transactions
            if state is None or not peer.complete:
                continue
            if (tx.wtxid if peer.wtxid_relay else tx.txid) not in state.known:
                state.to_send[tx.wtxid] = None
        self.context.wake()

    def forget_own(self, tx: Transaction) -> None:
        """SPV: it is confirmed or given up."""
        self.own.pop(tx.txid, None)
        self.own.pop(tx.wtxid, None)

    def find_for(self, peer: Peer, item: Inv) -> Transaction | None:
        """The transaction a getdata asks for, if the peer may have it: one that was announced to it or could
        have been, or one of the last block."""
        by_wtxid = item.type == InvType.WTX
        if self.pool is None:
            return self.own.get(item.hash)
        entry = self.pool.get_by_wtxid(item.hash) if by_wtxid else self.pool.get(item.hash)
        state = peer.transactions
        if entry is not None and state is not None and entry.sequence < state.last_sequence:
            return entry.tx
        return self._recent_transactions().get(item.hash)

    def _recent_transactions(self) -> dict[bytes, Transaction]:
        """Those of the last block by both hashes; made when somebody asks."""
        if self._recent_block is not None:
            for tx in self._recent_block.vtx:
                self._recent[tx.txid] = self._recent[tx.wtxid] = tx
            self._recent_block = None
        return self._recent

    def served(self, tx: Transaction) -> None:
        """A peer took it: it is out."""
        if self.pool is not None:
            self.pool.remove_unbroadcast(tx.txid)

    def tick(self, peer: Peer, now: float) -> None:
        """Sends what is due: announcements, requests, the fee filter."""
        if peer.transactions is not None:
            self._trickle(peer, peer.transactions, now)
        self._request(peer, now)
        self._maybe_fee_filter(peer, now)

    def _trickle(self, peer: Peer, state: PeerTransactions, now: float) -> None:
        send = peer.has(Permission.NOBAN)
        if state.next_send < now:
            # Nothing waited while it ran out; a Poisson process has no memory, so the wait starts anew.
            send = send or not state.idle
            if peer.inbound:
                state.next_send = self._next_inbound(peer, now)
            else:
                state.next_send = now + self.context.exponential(OUTBOUND_INTERVAL)
        if send:
            self._announce(peer, state)
        behind = self.pool is not None and state.last_sequence != self.pool.sequence
        state.idle = not (state.to_send or state.send_mempool or behind)

    def _announce(self, peer: Peer, state: PeerTransactions) -> None:
        if not state.wants:
            state.to_send.clear()
        items: list[Inv] = []
        if self.pool is None:
            items = self._own_invs(peer, state)
        else:
            if state.send_mempool:
                state.send_mempool = False
                items += self._mempool_invs(peer, state)
            items += self._new_invs(peer, state)
            state.last_sequence = self.pool.sequence
        for start in range(0, len(items), MAX_INV_SZ):
            peer.send(InvMessage(items[start : start + MAX_INV_SZ]))

    def _next_inbound(self, peer: Peer, now: float) -> float:
        """One timer for all inbound peers of a listening address, so that many connections learn no more
        than one."""
        key = peer.bind.key
        when = self._next_to_inbound.get(key, 0.0)
        if when < now:
            when = self._next_to_inbound[key] = now + self.context.exponential(INBOUND_INTERVAL)
        return when

    def _inv(self, peer: Peer, tx: Transaction) -> Inv:
        return Inv(InvType.WTX, tx.wtxid) if peer.wtxid_relay else Inv(InvType.TX, tx.txid)

    @staticmethod
    def _pays(entry: MempoolEntry, feerate: int) -> bool:
        return entry.fee * 1000 >= feerate * entry.vsize

    @staticmethod
    def _matches(state: PeerTransactions, tx: Transaction) -> bool:
        return state.bloom is None or state.bloom.matches(tx)

    def _mempool_invs(self, peer: Peer, state: PeerTransactions) -> list[Inv]:
        assert self.pool is not None
        items = []
        for entry in self.pool.in_mining_order():
            state.to_send.pop(entry.tx.wtxid, None)
            if self._pays(entry, state.fee_filter_received) and self._matches(state, entry.tx):
                item = self._inv(peer, entry.tx)
                state.known.insert(item.hash)
                items.append(item)
        return items

    def _new_invs(self, peer: Peer, state: PeerTransactions) -> list[Inv]:
        """The best of what waits, parents first; how many depends on how many wait."""
        pool = self.pool
        assert pool is not None
        if not state.to_send:
            return []
        waiting = [entry for w in state.to_send if (entry := pool.get_by_wtxid(w)) is not None]
        limit = min(ANNOUNCE_MAX, ANNOUNCE_TARGET + len(state.to_send) // 1000 * 5)
        waiting.sort(key=lambda entry: pool.mining_key(entry.txid))
        items: list[Inv] = []
        left: dict[bytes, None] = {}
        for entry in waiting:
            if len(items) >= limit:
                left[entry.tx.wtxid] = None
                continue
            item = self._inv(peer, entry.tx)
            if item.hash in state.known or not self._pays(entry, state.fee_filter_received):
                continue
            if self._matches(state, entry.tx):
                state.known.insert(item.hash)
                items.append(item)
        state.to_send = left
        return items

    def _own_invs(self, peer: Peer, state: PeerTransactions) -> list[Inv]:
        items = []
        for wtxid in state.to_send:
            tx = self.own.get(wtxid)
            if tx is not None and (item := self._inv(peer, tx)).hash not in state.known:
                state.known.insert(item.hash)
                items.append(item)
        state.to_send = {}
        return items

    def _request(self, peer: Peer, now: float) -> None:
        requests, expired = self.download.to_request(peer.id, now)
        for late, gtxid in expired:
            kind = "wtx" if gtxid.is_wtxid else "tx"
            self.context.log.debug(
                "net", f"timeout of inflight {kind} {hash_hex(gtxid.hash)} from peer={late}"
            )
        items = []
        for gtxid in requests:
            peer.debug(f"Requesting {'wtx' if gtxid.is_wtxid else 'tx'} {hash_hex(gtxid.hash)}")
            by_txid = InvType.WITNESS_TX if peer.serves_witnesses else InvType.TX
            items.append(Inv(InvType.WTX if gtxid.is_wtxid else by_txid, gtxid.hash))
        for start in range(0, len(items), MAX_GETDATA_SZ):
            peer.send(GetData(items[start : start + MAX_GETDATA_SZ]))

    def _fee_filter(self, peer: Peer) -> OurFeeFilter | None:
        """None: the peer is told of none."""
        if self.context.options.blocks_only or self.pool is None:
            return None
        if peer.features.common_version < FEEFILTER_VERSION or peer.has(Permission.FORCERELAY):
            return None
        return peer.fee_filter

    def _maybe_fee_filter(self, peer: Peer, now: float) -> None:
        context, pool, state = self.context, self.pool, self._fee_filter(peer)
        if pool is None or state is None:
            return
        current = pool.min_feerate()
        if context.is_ibd:
            current = MAX_MONEY
        elif state.sent == MAX_FEE_FILTER:
            state.next = 0.0
        if now > state.next:
            rounded = round_fee_filter(current, context.ports.random.below)
            feerate = max(rounded, pool.settings.min_relay_feerate)
            if feerate != state.sent:
                peer.send(FeeFilter(feerate))
                state.sent = feerate
            state.next = now + context.exponential(FEEFILTER_INTERVAL)
        elif now + FEEFILTER_CHANGE_DELAY < state.next and not (
            3 * state.sent // 4 <= current <= 4 * state.sent // 3
        ):
            delay = context.ports.random.uniform() * FEEFILTER_CHANGE_DELAY
            state.next = now + delay

    def rests_until(self, peer: Peer, now: float) -> float:
        """Until then `tick` has nothing to do, unless something comes."""
        state, pool = peer.transactions, self.pool
        if pool is not None and pool.min_feerate():
            return now  # it decays, and the fee filter with it
        times = [self.download.requests.next_time()]
        if state is not None and not state.idle:
            times.append(now if peer.has(Permission.NOBAN) else state.next_send)
        if (told := self._fee_filter(peer)) is not None:
            times.append(told.next)
        return min((when for when in times if when is not None), default=inf)

    def rebroadcast(self, now: float) -> None:
        """Every 10 to 15 minutes announces again what nobody has asked us for."""
        if self.next_rebroadcast is not None and now >= self.next_rebroadcast:
            if self.pool is None:
                for tx in dict.fromkeys(self.own.values()):
                    self.broadcast(tx)
            else:
                for txid in list(self.pool.unbroadcast):
                    entry = self.pool.get(txid)
                    if entry is not None:
                        self.broadcast(entry.tx)
            self.next_rebroadcast = None
        if self.next_rebroadcast is None:
            spread = self.context.ports.random.uniform() * REBROADCAST_SPREAD
            self.next_rebroadcast = now + REBROADCAST_DELAY + spread

    def mock_forward(self, seconds: float) -> None:
        """The next rebroadcast comes so much sooner."""
        if self.next_rebroadcast is not None:
            self.next_rebroadcast -= seconds

    # The chain moves

    def block_connected(self, block: Block, *, ibd: bool) -> None:
        self._recent_block, self._recent = block, {}
        if ibd:
            return
        erased = self.download.block_connected(block)
        if erased:
            self.context.log.debug(
                "txpackages", f"Erased {erased} orphan transaction(s) included or conflicted by block"
            )

    def block_disconnected(self) -> None:
        self.download.block_disconnected()

    def tip_changed(self) -> None:
        self.download.tip_changed()
