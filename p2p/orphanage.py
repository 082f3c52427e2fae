"""Transactions whose parents are missing, kept for a while and within bounds.

Anybody can send orphans for nothing, so what one peer may occupy is limited, and no peer can push out what
another one keeps within its share (Bitcoin Core 31.99, node/txorphanage).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction

MAX_STANDARD_TX_WEIGHT = 400_000
RESERVED_WEIGHT_PER_PEER = 404_000
MAX_LATENCY_SCORE = 3000
"""Bound on announcements plus a tenth of the inputs of all orphans: it limits the time an erasure takes."""


def _latency(tx: Transaction) -> int:
    return 1 + len(tx.vin) // 10


@dataclass(slots=True)
class _Orphan:
    """A transaction whose parents are missing; announcers: the peers that have it, in order."""

    tx: Transaction
    announcers: dict[int, None] = field(default_factory=dict)
    reconsider_by: int | None = None
    """The peer in whose turn it is tried again."""


@dataclass(slots=True)
class _Share:
    """What one peer occupies. orphans: wtxids, oldest first."""

    orphans: dict[bytes, None] = field(default_factory=dict)
    weight: int = 0
    latency: int = 0


class Orphanage:
    def __init__(
        self, *, max_latency: int = MAX_LATENCY_SCORE, reserved_weight: int = RESERVED_WEIGHT_PER_PEER
    ) -> None:
        self._max_latency, self._reserved_weight = max_latency, reserved_weight
        self._orphans: dict[bytes, _Orphan] = {}
        self._spenders: dict[OutPoint, dict[bytes, None]] = {}
        self._shares: dict[int, _Share] = {}
        self.announcements = 0
        self.weight = 0
        self._input_latency = 0

    def __len__(self) -> int:
        """Number of orphans, each counted once."""
        return len(self._orphans)

    def __contains__(self, wtxid: bytes) -> bool:
        return wtxid in self._orphans

    def get(self, wtxid: bytes) -> Transaction | None:
        orphan = self._orphans.get(wtxid)
        return orphan.tx if orphan else None

    def has_from(self, wtxid: bytes, peer: int) -> bool:
        orphan = self._orphans.get(wtxid)
        return orphan is not None and peer in orphan.announcers

    def all(self) -> list[tuple[Transaction, list[int]]]:
        """Every orphan with its announcers."""
        return [(orphan.tx, sorted(orphan.announcers)) for orphan in self._orphans.values()]

    def add(self, tx: Transaction, peer: int) -> bool:
        """Keeps tx, announced by peer; True if it is new. Too large a transaction is ignored."""
        if tx.weight > MAX_STANDARD_TX_WEIGHT:
            return False
        orphan = self._orphans.get(tx.wtxid)
        new = orphan is None
        if orphan is None:
            orphan = self._orphans[tx.wtxid] = _Orphan(tx)
            for txin in tx.vin:
                self._spenders.setdefault(txin.prevout, {})[tx.wtxid] = None
            self.weight += tx.weight
            self._input_latency += _latency(tx) - 1
        if peer not in orphan.announcers:
            self._announce(orphan, peer)
        self._limit()
        return new

    def add_announcer(self, wtxid: bytes, peer: int) -> bool:
        """Another peer announced an orphan that is here."""
        orphan = self._orphans.get(wtxid)
        if orphan is None or peer in orphan.announcers:
            return False
        self._announce(orphan, peer)
        self._limit()
        return True

    def erase(self, wtxid: bytes) -> bool:
        orphan = self._orphans.get(wtxid)
        if orphan is None:
            return False
        for peer in list(orphan.announcers):
            self._retract(orphan, peer)
        self._limit()
        return True

    def erase_for_peer(self, peer: int) -> None:
        """The peer is gone: so is what only it announced."""
        share = self._shares.get(peer)
        for wtxid in list(share.orphans) if share else ():
            self._retract(self._orphans[wtxid], peer)
        self._limit()

    def erase_for_block(self, block: Block) -> int:
        """Erases what the block contains or conflicts with; how many."""
        if not self._orphans:
            return 0
        gone: dict[bytes, None] = {}
        for tx in block.vtx:
            for txin in tx.vin:
                gone.update(self._spenders.get(txin.prevout, {}))
        for wtxid in gone:
            self.erase(wtxid)
        return len(gone)

    def parent_accepted(self, tx: Transaction, below: Callable[[int], int]) -> None:
        """Orphans that spend tx are to be tried again, each in the turn of one of its announcers.

        below: a random number under its argument, so that no peer can choose to be the one.
        """
        for vout in range(len(tx.vout)):
            for wtxid in self._spenders.get(OutPoint(tx.txid, vout), ()):
                orphan = self._orphans[wtxid]
                if orphan.reconsider_by is None:
                    peers = list(orphan.announcers)
                    orphan.reconsider_by = peers[below(len(peers))]

    def next_to_reconsider(self, peer: int) -> Transaction | None:
        """The next orphan to be tried again in this peer's turn; it stays here until it is erased."""
        share = self._shares.get(peer)
        for wtxid in share.orphans if share else ():
            orphan = self._orphans[wtxid]
            if orphan.reconsider_by == peer:
                orphan.reconsider_by = None
                return orphan.tx
        return None

    def has_work(self, peer: int) -> bool:
        share = self._shares.get(peer)
        return any(self._orphans[w].reconsider_by == peer for w in (share.orphans if share else ()))

    def children_from(self, parent: Transaction, peer: int) -> list[Transaction]:
        """Orphans of this peer that spend parent: those due for another try first, then newest first."""
        share = self._shares.get(peer)
        if share is None:
            return []
        spenders: dict[bytes, None] = {}
        for vout in range(len(parent.vout)):
            spenders.update(self._spenders.get(OutPoint(parent.txid, vout), {}))
        newest_first = [wtxid for wtxid in reversed(share.orphans) if wtxid in spenders]
        newest_first.sort(key=lambda wtxid: self._orphans[wtxid].reconsider_by != peer)
        return [self._orphans[wtxid].tx for wtxid in newest_first]

    def _announce(self, orphan: _Orphan, peer: int) -> None:
        orphan.announcers[peer] = None
        share = self._shares.setdefault(peer, _Share())
        share.orphans[orphan.tx.wtxid] = None
        share.weight += orphan.tx.weight
        share.latency += _latency(orphan.tx)
        self.announcements += 1

    def _retract(self, orphan: _Orphan, peer: int) -> None:
        """Takes one announcement away, and the orphan with its last one."""
        tx, share = orphan.tx, self._shares[peer]
        del orphan.announcers[peer], share.orphans[tx.wtxid]
        share.weight -= tx.weight
        share.latency -= _latency(tx)
        self.announcements -= 1
        if not share.orphans:
            del self._shares[peer]
        if orphan.reconsider_by == peer:  # somebody else's turn, so that nobody stops it by leaving
            orphan.reconsider_by = next(iter(orphan.announcers), None)
        if orphan.announcers:
            return
        del self._orphans[tx.wtxid]
        self.weight -= tx.weight
        self._input_latency -= _latency(tx) - 1
        for txin in tx.vin:
            spenders = self._spenders.get(txin.prevout)
            if spenders is not None:
                spenders.pop(tx.wtxid, None)
                if not spenders:
                    del self._spenders[txin.prevout]

    def _too_full(self) -> bool:
        allowed = self._reserved_weight * max(1, len(self._shares))
        return self.announcements + self._input_latency > self._max_latency or self.weight > allowed

    def _limit(self) -> None:
        """Evicts the oldest of the peer furthest above its share until all is within the global bounds."""
        if not self._too_full():
            return
        latency = max(1, self._max_latency // max(1, len(self._shares)))
        weight = self._reserved_weight
        while self._too_full() and self._shares:
            worst = max(
                self._shares,
                # the larger of its parts of the latency and of the weight allowed, over one denominator
                key=lambda p: (max(self._shares[p].latency * weight, self._shares[p].weight * latency), p),
            )
            orphans = self._shares[worst].orphans
            victim = next((w for w in orphans if self._orphans[w].reconsider_by != worst), None)
            self._retract(self._orphans[victim or next(iter(orphans))], worst)
