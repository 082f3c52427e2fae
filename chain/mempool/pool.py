"""The mempool: entries by txid and wtxid, who spends what, deltas, limits and the minimum feerate.

Source: Core 31.99 txmempool.cpp. Changed on the owner task only; nothing here awaits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from heapq import heappop, heappush

from ..events import EventBus, RemovalReason, TxAdded, TxRemoved
from ..policy.feerate import feerate_of, format_feerate, format_money
from ..policy.settings import PolicySettings
from ..policy.truc import Family
from ..ports import Clock, Log
from ..primitives.block import Block
from ..primitives.hashes import hash_hex
from ..primitives.transaction import WITNESS_SCALE_FACTOR, Coin, OutPoint, Transaction
from .clusters import Candidate, Chunk, ClusterGraph
from .disconnected import DisconnectedTransactions
from .entry import MEMPOOL_HEIGHT, MempoolEntry
from .linearize import feerate_key
from .usage import DELTA_USAGE, entry_usage

ROLLING_FEE_HALFLIFE = 12 * 60 * 60
"""Seconds in which the minimum feerate halves after an eviction; faster when the pool has emptied."""
_FEE_UPDATE_INTERVAL = 10
_MAX_DELTA = 2**63 - 1


class Mempool:
    """See the module. sequence: number of the next addition or removal."""

    def __init__(self, settings: PolicySettings, clock: Clock, log: Log, events: EventBus) -> None:
        least = settings.cluster_size_vbytes * 40
        if 0 < settings.max_size_bytes < least or settings.max_size_bytes < 0:
            raise ValueError(f"-maxmempool must be at least {-(-least // 1_000_000)} MB")
        self.settings, self.clock, self.log, self.events = settings, clock, log, events
        self.graph = ClusterGraph(settings.cluster_count, settings.cluster_size_vbytes * WITNESS_SCALE_FACTOR)
        self.entries: dict[bytes, MempoolEntry] = {}
        self.deltas: dict[bytes, int] = {}
        self.sequence = 1
        self.total_vsize = 0
        self.total_fee = 0
        self.updates = 0
        """Counts changes; getblocktemplate's long poll watches it."""
        self.loaded = False
        """Loading mempool.dat was tried; getmempoolinfo says so."""
        self.unbroadcast: dict[bytes, None] = {}
        """Txids of our own transactions that no peer has asked for yet."""
        self.disconnected = DisconnectedTransactions()
        self._by_wtxid: dict[bytes, MempoolEntry] = {}
        self._spender: dict[OutPoint, bytes] = {}
        self._by_time: list[tuple[int, bytes]] = []
        self._usage = 0
        self._rolling_feerate = 0.0
        self._rolling_updated = clock.time()
        self._block_since_bump = False

    # looking

    def __len__(self) -> int:
        return len(self.entries)

    def get(self, txid: bytes) -> MempoolEntry | None:
        return self.entries.get(txid)

    def get_by_wtxid(self, wtxid: bytes) -> MempoolEntry | None:
        return self._by_wtxid.get(wtxid)

    def contains(self, txid: bytes) -> bool:
        return txid in self.entries

    def spender_of(self, outpoint: OutPoint) -> Transaction | None:
        """The transaction in the mempool that spends outpoint."""
        txid = self._spender.get(outpoint)
        return None if txid is None else self.entries[txid].tx

    def transactions(self) -> Iterator[tuple[bytes, Transaction]]:
        """All, with their wtxids."""
        return ((wtxid, entry.tx) for wtxid, entry in self._by_wtxid.items())

    def coin(self, outpoint: OutPoint) -> Coin | None:
        """The output of an unconfirmed transaction, spent by another one or not; height MEMPOOL_HEIGHT."""
        entry = self.entries.get(outpoint.txid)
        if entry is None or outpoint.vout >= len(entry.tx.vout):
            return None
        out = entry.tx.vout[outpoint.vout]
        return Coin(out.value, out.script_pubkey, MEMPOOL_HEIGHT, False)

    @property
    def usage(self) -> int:
        """Bytes of memory, counted as Core does."""
        return self._usage + len(self.deltas) * DELTA_USAGE

    def parents_of(self, tx: Transaction) -> list[bytes]:
        """Txids in the mempool that tx spends from, sorted."""
        return sorted({txin.prevout.txid for txin in tx.vin if txin.prevout.txid in self.entries})

    def parents(self, txid: bytes) -> list[bytes]:
        return sorted(self.graph.parents(txid))

    def children(self, txid: bytes) -> list[bytes]:
        return sorted(self.graph.children(txid))

    def ancestors(self, txid: bytes) -> list[MempoolEntry]:
        """The entry of txid, then what it depends on."""
        return [self.entries[other] for other in self.graph.ancestors([txid])]

    def descendants(self, txid: bytes) -> list[MempoolEntry]:
        """The entry of txid, then what depends on it."""
        return [self.entries[other] for other in self.graph.descendants([txid])]

    def chunks(self) -> list[Chunk]:
        """All chunks in the order of mining."""
        return self.graph.chunks()

    def worst_chunk(self) -> Chunk | None:
        return self.graph.worst_chunk() if self.entries else None

    def cluster(self, txid: bytes) -> list[Chunk]:
        return self.graph.cluster_chunks(txid)

    def in_mining_order(self) -> list[MempoolEntry]:
        return [self.entries[txid] for chunk in self.chunks() for txid in chunk.txids]

    def mining_key(self, txid: bytes) -> tuple[int, int, bytes, int]:
        """Sorts transactions as they would be mined, best first; relay announces in this order."""
        prefix, last = 0, None
        for chunk in self.graph.cluster_chunks(txid):
            key = feerate_key(chunk.fee, chunk.weight)
            prefix = prefix + chunk.weight if key == last else chunk.weight
            last = key
            if txid in chunk.txids:
                return -key, prefix, max(chunk.txids), chunk.txids.index(txid)
        raise KeyError(txid)

    def family(self, txid: bytes) -> Family:
        """What the rules for version 3 need to know of a parent."""
        children = sorted(self.graph.descendants([txid])[1:])
        child_ancestors = len(self.graph.ancestors(children[:1])) if children else 0
        return Family(self.entries[txid].tx, len(self.graph.ancestors([txid])), children, child_ancestors)

    def candidate(self, entry: MempoolEntry, also: Collection[bytes] = ()) -> Candidate:
        """entry as the graph takes it; also: txids of the other transactions that are to come with it."""
        spent = {txin.prevout.txid for txin in entry.tx.vin}
        parents = sorted(txid for txid in spent if txid in self.entries or txid in also)
        return Candidate(entry.txid, entry.modified_fee, entry.adjusted_weight, parents)

    # changing

    def add(self, entry: MempoolEntry) -> None:
        """Takes entry in; `announce` tells of it once it is sure to stay.

        Its children, which only one that comes back from a block has, are linked by `link_children`.
        """
        tx, txid = entry.tx, entry.txid
        entry.usage = entry_usage(tx)
        self.entries[txid] = entry
        self._by_wtxid[tx.wtxid] = entry
        for txin in tx.vin:
            self._spender[txin.prevout] = txid
        self.graph.add(txid, entry.modified_fee, entry.adjusted_weight, self.parents_of(tx))
        heappush(self._by_time, (entry.time, txid))
        self._usage += entry.usage
        self.total_vsize += entry.vsize
        self.total_fee += entry.fee
        self.updates += 1

    def announce(self, entry: MempoolEntry, *, telling: bool = False) -> None:
        """telling: see `TxAdded`."""
        sequence = self._next_sequence()
        self.events.emit(TxAdded(entry.tx, entry.fee, sequence, entry.vsize, entry.height, telling))

    def remove(self, txids: Iterable[bytes], reason: RemovalReason) -> None:
        """Takes out exactly these; the caller sees to what depends on them."""
        gone = [txid for txid in dict.fromkeys(txids) if txid in self.entries]
        self.graph.remove(gone)
        for txid in gone:
            entry = self.entries.pop(txid)
            self._by_wtxid.pop(entry.tx.wtxid, None)
            for txin in entry.tx.vin:
                self._spender.pop(txin.prevout, None)
            if txid in self.unbroadcast:
                del self.unbroadcast[txid]
                self.log.debug(
                    "mempool",
                    f"Removed {hash_hex(txid)} from set of unbroadcast txns before confirmation that txn was"
                    " sent out",
                )
            self._usage -= entry.usage
            self.total_vsize -= entry.vsize
            self.total_fee -= entry.fee
            self.updates += 1
            self.events.emit(TxRemoved(entry.tx, reason, self._next_sequence()))
        if len(self._by_time) > 64 + 2 * len(self.entries):
            self._by_time = sorted((entry.time, txid) for txid, entry in self.entries.items())

    def remove_recursive(self, tx: Transaction, reason: RemovalReason) -> None:
        """Takes out tx and what depends on it; if tx itself is not here, still what spends its outputs."""
        if tx.txid in self.entries:
            roots = [tx.txid]
        else:
            spenders = (self._spender.get(OutPoint(tx.txid, i)) for i in range(len(tx.vout)))
            roots = list(dict.fromkeys(txid for txid in spenders if txid is not None))
        self.remove(self.graph.descendants(roots), reason)

    def _next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence - 1

    def prioritise(self, txid: bytes, delta: int) -> None:
        """Counts delta satoshis more, for mining and eviction, to txid now or when it comes; adds up."""
        total = max(-_MAX_DELTA - 1, min(_MAX_DELTA, self.deltas.get(txid, 0) + delta))
        self.deltas[txid] = total
        entry = self.entries.get(txid)
        where = "not " if entry is None else ""
        if entry is not None:
            entry.modified_fee = entry.fee + total
            self.graph.set_fee(txid, entry.modified_fee)
            self.updates += 1
        if total == 0:
            del self.deltas[txid]
            self.log.info(f"PrioritiseTransaction: {hash_hex(txid)} ({where}in mempool) delta cleared")
        else:
            self.log.info(
                f"PrioritiseTransaction: {hash_hex(txid)} ({where}in mempool) fee += {format_money(delta)},"
                f" new delta={format_money(total)}"
            )

    def add_unbroadcast(self, txid: bytes) -> None:
        if txid in self.entries:
            self.unbroadcast[txid] = None

    def remove_unbroadcast(self, txid: bytes) -> None:
        """A peer has asked for it."""
        if txid in self.unbroadcast:
            del self.unbroadcast[txid]
            self.log.debug("mempool", f"Removed {hash_hex(txid)} from set of unbroadcast txns")

    # following the chain

    def block_connected(self, block: Block) -> list[MempoolEntry]:
        """Takes out what block confirms and what conflicts with it, in the same step that moves the tip.

        Returns the entries that it confirms.
        """
        taken: list[MempoolEntry] = []
        self.disconnected.remove_block(block)
        if self.entries or self.deltas:
            for tx in block.vtx:
                entry = self.entries.get(tx.txid)
                if entry is not None:
                    taken.append(entry)
                    self.remove([tx.txid], RemovalReason.BLOCK)
                for txin in tx.vin:
                    conflict = self.spender_of(txin.prevout)
                    if conflict is not None:
                        self.deltas.pop(conflict.txid, None)
                        self.remove_recursive(conflict, RemovalReason.CONFLICT)
                self.deltas.pop(tx.txid, None)
        self._rolling_updated = self.clock.time()
        self._block_since_bump = True
        self.updates += 1
        return taken

    def block_disconnected(self, block: Block) -> None:
        """Remembers what block held; `Acceptance.mend_after_reorg` must follow before the pool is read."""
        for tx in self.disconnected.add_block(block):
            self.remove_recursive(tx, RemovalReason.REORG)
        self.updates += 1

    def link_children(self, txids: Sequence[bytes]) -> None:
        """Links transactions that came back from blocks to those that spend from them, within the limits."""
        for txid in txids:
            entry = self.entries.get(txid)
            if entry is None:
                continue
            for i in range(len(entry.tx.vout)):
                child = self._spender.get(OutPoint(txid, i))
                if child is not None:
                    self.graph.add_dependency(txid, child)
        self.remove(self.graph.trim_oversized(), RemovalReason.SIZELIMIT)

    def remove_for_reorg(self, invalid: Callable[[MempoolEntry], bool]) -> None:
        """Takes out, with what depends on them, the entries that could not be in the next block."""
        gone = [entry.txid for entry in self.entries.values() if invalid(entry)]
        self.remove(self.graph.descendants(gone), RemovalReason.REORG)

    # limits

    def limit(self) -> None:
        """Drops what is too old, then the worst chunks as long as the pool is too large."""
        expired = self.expire(self.clock.time() - self.settings.expiry)
        if expired:
            self.log.debug("mempool", f"Expired {expired} transactions from the memory pool")
        self.trim(self.settings.max_size_bytes)

    def expire(self, before: int) -> int:
        """Drops what came before that time, with what depends on it; how many that is."""
        old = []
        while self._by_time and self._by_time[0][0] < before:
            time, txid = heappop(self._by_time)
            entry = self.entries.get(txid)
            if entry is not None and entry.time == time:
                old.append(txid)
        gone = self.graph.descendants(old)
        self.remove(gone, RemovalReason.EXPIRY)
        return len(gone)

    def trim(self, limit: int) -> None:
        """Drops the worst chunks until usage is at most limit, and then asks for more than they paid."""
        removed = highest = 0
        while self.entries and self.usage > limit:
            chunk = self.graph.worst_chunk()
            vsize = (chunk.weight + WITNESS_SCALE_FACTOR - 1) // WITNESS_SCALE_FACTOR
            feerate = feerate_of(chunk.fee, vsize) + self.settings.incremental_relay_feerate
            if feerate > self._rolling_feerate:
                self._rolling_feerate = float(feerate)
                self._block_since_bump = False
            highest = max(highest, feerate)
            removed += len(chunk.txids)
            self.remove(chunk.txids, RemovalReason.SIZELIMIT)
        if highest > 0:
            self.log.debug(
                "mempool",
                f"Removed {removed} txn, rolling minimum fee bumped to {format_feerate(highest)}",
            )

    def min_feerate(self) -> int:
        """Satoshis per 1000 vbytes that a transaction must pay because the pool was full; 0 mostly.

        Decays, once a block has come, by half in 12 hours, faster the emptier the pool.
        """
        if not self._block_since_bump or self._rolling_feerate == 0:
            return int(self._rolling_feerate + 0.5)
        now = self.clock.time()
        step = self.settings.incremental_relay_feerate
        if now > self._rolling_updated + _FEE_UPDATE_INTERVAL:
            halflife = float(ROLLING_FEE_HALFLIFE)
            if self.usage < self.settings.max_size_bytes // 4:
                halflife /= 4
            elif self.usage < self.settings.max_size_bytes // 2:
                halflife /= 2
            self._rolling_feerate /= 2.0 ** ((now - self._rolling_updated) / halflife)
            self._rolling_updated = now
            if self._rolling_feerate < step / 2:
                self._rolling_feerate = 0.0
                return 0
        return max(int(self._rolling_feerate + 0.5), step)
