"""What becomes of announced and received transactions: requests, orphans, and what we will not ask for again.

Ties TxRequestTracker and Orphanage together, without sockets (Bitcoin Core 31.99, node/txdownloadman).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from pybitcoind.chain.consensus.errors import TxFault
from pybitcoind.chain.ports import Random
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import sha256
from pybitcoind.chain.primitives.transaction import Transaction

from .orphanage import Orphanage
from .rolling_filter import RollingFilter
from .tx_request import (
    MAX_ANNOUNCEMENTS,
    MAX_REQUESTS_IN_FLIGHT,
    NONPREFERRED_DELAY,
    OVERLOADED_DELAY,
    REQUEST_TIMEOUT,
    TXID_RELAY_DELAY,
    GenTxid,
    TxRequestTracker,
)


class Pool(Protocol):
    def contains(self, txid: bytes) -> bool: ...

    def contains_wtxid(self, wtxid: bytes) -> bool: ...


@dataclass(slots=True)
class TxPeer:
    """A peer as one to ask for transactions."""

    preferred: bool
    """Outbound, or noban."""
    relay_permission: bool
    wtxid_relay: bool


@dataclass(slots=True)
class Package:
    """A parent that pays too little by itself, and a child that may pay for it; with their senders."""

    parent: Transaction
    child: Transaction
    sender: int

    @property
    def hash(self) -> bytes:
        """Of the wtxids in display order, as Core has it."""
        wtxids = sorted((self.parent.wtxid, self.child.wtxid), key=lambda wtxid: wtxid[::-1])
        return sha256(b"".join(wtxids))


@dataclass(slots=True)
class Rejection:
    """What follows from a refused transaction. parents: txids the sender must know, as it has the child.
    hopeless: an orphan that is not kept, because parents of it were refused."""

    parents: list[bytes] = field(default_factory=list)
    hopeless: bool = False
    package: Package | None = None


def unique_parents(tx: Transaction) -> list[bytes]:
    return sorted({txin.prevout.txid for txin in tx.vin})


class TxDownload:
    def __init__(self, pool: Pool, random: Random) -> None:
        self._pool, self._random = pool, random
        self.requests = TxRequestTracker(random.bytes(16))
        self.orphanage = Orphanage()
        self.peers: dict[int, TxPeer] = {}
        self._rejects = RollingFilter(120_000, 0.000_001, random.bytes(16))
        self._reconsiderable = RollingFilter(120_000, 0.000_001, random.bytes(16))
        """Refused for their feerate alone: not asked for again alone, but tried in a package."""
        self._in_hand: dict[bytes, None] = {}
        """Txids and wtxids of transactions that are being judged: neither asked for nor tried meanwhile."""
        self._confirmed = RollingFilter(48_000, 0.000_001, random.bytes(16))

    # Chain and peers

    def tip_changed(self) -> None:
        """What was refused may be valid now (locktimes)."""
        self._rejects.reset()
        self._reconsiderable.reset()

    def block_connected(self, block: Block) -> int:
        """Forgets what the block confirms or conflicts with; how many orphans that is."""
        erased = self.orphanage.erase_for_block(block)
        for tx in block.vtx:
            self._confirmed.insert(tx.txid)
            self.requests.forget(tx.txid)
            if tx.has_witness:
                self._confirmed.insert(tx.wtxid)
                self.requests.forget(tx.wtxid)
        return erased

    def block_disconnected(self) -> None:
        """Confirmed ones may be unconfirmed again, and relayed."""
        self._confirmed.reset()

    def add_peer(self, peer: int, info: TxPeer) -> None:
        self.peers[peer] = info

    def remove_peer(self, peer: int) -> None:
        self.orphanage.erase_for_peer(peer)
        self.requests.disconnected(peer)
        self.peers.pop(peer, None)

    # Announcements and requests

    def already_have(self, gtxid: GenTxid, *, include_reconsiderable: bool) -> bool:
        """Whether there is no need to ask for it.

        The orphanage is asked by wtxid only: a malleated witness must not keep the right one away.
        """
        tx_hash = gtxid.hash
        if tx_hash in self.orphanage:
            return True
        if include_reconsiderable and tx_hash in self._reconsiderable:
            return True
        if tx_hash in self._confirmed or tx_hash in self._rejects:
            return True
        return self._pool.contains_wtxid(tx_hash) if gtxid.is_wtxid else self._pool.contains(tx_hash)

    def announced(self, peer: int, gtxid: GenTxid, now: float) -> bool:
        """The peer announced it by inv; True if we have it already."""
        if gtxid.is_wtxid and (orphan := self.orphanage.get(gtxid.hash)) is not None:
            parents = self._missing(unique_parents(orphan))
            if parents and self._resolve_with(parents, gtxid.hash, peer, now):
                self.orphanage.add_announcer(gtxid.hash, peer)
            return True
        if self.already_have(gtxid, include_reconsiderable=True):
            return True
        info = self.peers.get(peer)
        if info is None:
            return False
        if not info.relay_permission and self.requests.count(peer) >= MAX_ANNOUNCEMENTS:
            return False
        delay = self._delay(peer, info, by_txid=not gtxid.is_wtxid)
        self.requests.received_inv(peer, gtxid, preferred=info.preferred, when=now + delay)
        return False

    def to_request(self, peer: int, now: float) -> tuple[list[GenTxid], list[tuple[int, GenTxid]]]:
        """What to ask of the peer now (it counts as asked), and the requests that expired."""
        requests: list[GenTxid] = []
        candidates, expired = self.requests.requestable(peer, now)
        for gtxid in candidates:
            if gtxid.hash in self._in_hand:
                continue
            if self.already_have(gtxid, include_reconsiderable=False):
                self.requests.forget(gtxid.hash)
            else:
                requests.append(gtxid)
                self.requests.requested(peer, gtxid.hash, now + REQUEST_TIMEOUT)
        return requests, expired

    def not_found(self, peer: int, hashes: Iterable[bytes]) -> None:
        for tx_hash in hashes:
            self.requests.received_response(peer, tx_hash)

    # Transactions

    def received(self, peer: int, tx: Transaction) -> tuple[bool, Package | None]:
        """A tx message. (True, None): try it; (False, package): try that; (False, None): nothing to do."""
        self.requests.received_response(peer, tx.txid)
        if tx.has_witness:
            self.requests.received_response(peer, tx.wtxid)
        if tx.wtxid in self._in_hand or self.already_have(
            GenTxid(tx.wtxid, True), include_reconsiderable=False
        ):
            return False, None
        if tx.wtxid in self._reconsiderable:
            return False, self._find_package(tx, peer)
        return True, None

    @contextmanager
    def in_hand(self, *txs: Transaction) -> Iterator[None]:
        """While the mempool judges them."""
        hashes = [tx_hash for tx in txs for tx_hash in (tx.txid, tx.wtxid)]
        self._in_hand.update(dict.fromkeys(hashes))
        try:
            yield
        finally:
            for tx_hash in hashes:
                self._in_hand.pop(tx_hash, None)

    def accepted(self, tx: Transaction) -> None:
        """It is in the mempool; orphans that spend it get their turn."""
        self.requests.forget(tx.txid)
        self.requests.forget(tx.wtxid)
        self.orphanage.parent_accepted(tx, self._random.below)
        self.orphanage.erase(tx.wtxid)

    def rejected(
        self, tx: Transaction, fault: TxFault, peer: int, now: float, *, first_time: bool
    ) -> Rejection:
        """It was refused. first_time: neither an orphan tried again nor part of a package."""
        result = Rejection()
        if fault is TxFault.MISSING_INPUTS:
            if first_time and tx.wtxid not in self._rejects:
                parents = self._keep_orphan(tx, peer, now)
                result.parents, result.hopeless = parents or [], parents is None
            return result
        if fault is not TxFault.WITNESS_STRIPPED:  # a stripped one says nothing of the wtxid's validity
            if fault is TxFault.RECONSIDERABLE:
                self._reconsiderable.insert(tx.wtxid)
                if first_time:
                    result.package = self._find_package(tx, peer)
            else:
                self._rejects.insert(tx.wtxid)
            self.requests.forget(tx.wtxid)
            if fault is TxFault.INPUTS_NOT_STANDARD and tx.has_witness:
                # The scripts it spends are fixed by the txid: no other witness will help.
                self._rejects.insert(tx.txid)
                self.requests.forget(tx.txid)
        self.orphanage.erase(tx.wtxid)
        return result

    def package_rejected(self, package: Package) -> None:
        self._reconsiderable.insert(package.hash)

    def next_orphan(self, peer: int) -> Transaction | None:
        """An orphan whose parent came, to be tried in this peer's turn."""
        return self.orphanage.next_to_reconsider(peer)

    def has_orphan_work(self, peer: int) -> bool:
        return self.orphanage.has_work(peer)

    def _missing(self, parents: list[bytes]) -> list[bytes]:
        return [
            txid
            for txid in parents
            if not self.already_have(GenTxid(txid, False), include_reconsiderable=False)
        ]

    def _delay(self, peer: int, info: TxPeer, *, by_txid: bool) -> float:
        delay = 0.0 if info.preferred else NONPREFERRED_DELAY
        if by_txid and any(other.wtxid_relay for other in self.peers.values()):
            delay += TXID_RELAY_DELAY
        if not info.relay_permission and self.requests.count_in_flight(peer) >= MAX_REQUESTS_IN_FLIGHT:
            delay += OVERLOADED_DELAY
        return delay

    def _resolve_with(self, parents: list[bytes], wtxid: bytes, peer: int, now: float) -> bool:
        """Lets the peer be asked for the parents of an orphan it announced, if it may be."""
        info = self.peers.get(peer)
        if info is None or self.orphanage.has_from(wtxid, peer):
            return False
        if not info.relay_permission and self.requests.count(peer) + len(parents) > MAX_ANNOUNCEMENTS:
            return False
        when = now + self._delay(peer, info, by_txid=True)
        for txid in parents:
            self.requests.received_inv(peer, GenTxid(txid, False), preferred=info.preferred, when=when)
        return True

    def _keep_orphan(self, tx: Transaction, peer: int, now: float) -> list[bytes] | None:
        """Stores an orphan and has its missing parents asked for; their txids. None for a hopeless one."""
        parents = unique_parents(tx)
        reconsiderable = 0
        for txid in parents:
            if txid in self._reconsiderable and not self._pool.contains(txid):
                reconsiderable += 1  # one such parent may come in with this child, two cannot
            if txid in self._rejects or reconsiderable > 1:
                for tx_hash in (tx.txid, tx.wtxid):
                    self._rejects.insert(tx_hash)
                    self.requests.forget(tx_hash)
                return None
        parents = self._missing(parents)
        candidates = {peer: None}
        for tx_hash in dict.fromkeys((tx.txid, tx.wtxid)):
            candidates.update(dict.fromkeys(self.requests.candidates(tx_hash)))
        for candidate in candidates:
            if self._resolve_with(parents, tx.wtxid, candidate, now):
                self.orphanage.add(tx, candidate)
        self.requests.forget(tx.txid)
        self.requests.forget(tx.wtxid)
        return parents

    def _find_package(self, parent: Transaction, peer: int) -> Package | None:
        """An orphan child of the same peer that might pay for the parent, not tried before."""
        for child in self.orphanage.children_from(parent, peer):
            package = Package(parent, child, peer)
            if package.hash not in self._reconsiderable and child.txid not in self._rejects:
                return package
        return None
