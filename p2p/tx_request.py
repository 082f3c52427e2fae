"""Which announced transaction is asked of which peer, and when (Bitcoin Core 31.99, txrequest.h).

No transaction is asked of two peers at once; none is asked twice of the same peer; preferred peers come
first; among equals chance decides, so that a peer that races the network gains nothing. Times are seconds.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from .rolling_filter import siphash

MAX_REQUESTS_IN_FLIGHT = 100
"""Requests to a peer above which what it announces is asked for later."""
MAX_ANNOUNCEMENTS = 5000
"""Announcements of one peer that are tracked; the rest is ignored."""
TXID_RELAY_DELAY = 2.0
NONPREFERRED_DELAY = 2.0
OVERLOADED_DELAY = 2.0
REQUEST_TIMEOUT = 60.0


class GenTxid(NamedTuple):
    """The hash a transaction was announced by: its wtxid, or its txid."""

    hash: bytes
    is_wtxid: bool


class _State(Enum):
    DELAYED = auto()
    """Announced; its time has not come."""
    READY = auto()
    REQUESTED = auto()
    COMPLETED = auto()
    """Asked and failed: remembered only so that it is not asked of this peer again."""


@dataclass(slots=True, eq=False)
class _Announcement:
    """A transaction that a peer says it has."""

    peer: int
    gtxid: GenTxid
    preferred: bool
    when: float
    """When it may be asked for; once it is, when the request expires."""
    sequence: int
    state: _State = _State.DELAYED


class TxRequestTracker:
    def __init__(self, key: bytes) -> None:
        """key: 16 secret bytes that decide among equal candidates."""
        self._key = key
        self._by_hash: dict[bytes, dict[int, _Announcement]] = {}
        self._by_peer: dict[int, dict[bytes, _Announcement]] = {}
        self._in_flight: dict[int, int] = {}
        self._due: list[tuple[float, int, _Announcement]] = []
        """Heap of times at which something is ready or expires; entries may be out of date."""
        self._sequence = 0

    def __len__(self) -> int:
        return sum(map(len, self._by_hash.values()))

    def count(self, peer: int) -> int:
        """Announcements of the peer that are tracked."""
        return len(self._by_peer.get(peer, ()))

    def count_in_flight(self, peer: int) -> int:
        return self._in_flight.get(peer, 0)

    def received_inv(self, peer: int, gtxid: GenTxid, *, preferred: bool, when: float) -> None:
        """The peer announced it; it may be asked for from `when` on. Nothing if that is known already."""
        announcements = self._by_hash.setdefault(gtxid.hash, {})
        if peer in announcements:
            return
        self._sequence += 1
        entry = _Announcement(peer, gtxid, preferred, when, self._sequence)
        announcements[peer] = entry
        self._by_peer.setdefault(peer, {})[gtxid.hash] = entry
        heapq.heappush(self._due, (when, entry.sequence, entry))

    def requestable(self, peer: int, now: float) -> tuple[list[GenTxid], list[tuple[int, GenTxid]]]:
        """What is to be asked of the peer now, in the order announced, and the requests (of all peers) that
        have just expired."""
        expired = self._advance(now)
        chosen = [
            entry
            for entry in self._by_peer.get(peer, {}).values()
            if entry.state is _State.READY and self._best(entry.gtxid.hash) is entry
        ]
        chosen.sort(key=lambda entry: entry.sequence)
        return [entry.gtxid for entry in chosen], expired

    def requested(self, peer: int, tx_hash: bytes, expiry: float) -> None:
        """The peer was asked; the request expires at that time."""
        entry = self._by_hash.get(tx_hash, {}).get(peer)
        if entry is None or entry.state not in (_State.DELAYED, _State.READY):
            return
        for other in self._by_hash[tx_hash].values():
            if other.state is _State.REQUESTED:  # the caller chose to ask two: the elder is given up
                self._set_state(other, _State.COMPLETED)
        self._set_state(entry, _State.REQUESTED)
        entry.when = expiry
        heapq.heappush(self._due, (expiry, entry.sequence, entry))

    def received_response(self, peer: int, tx_hash: bytes) -> None:
        """It sent the transaction, or that it has none."""
        entry = self._by_hash.get(tx_hash, {}).get(peer)
        if entry is not None:
            self._complete(entry)

    def forget(self, tx_hash: bytes) -> None:
        """No longer wanted from anybody."""
        for entry in list(self._by_hash.get(tx_hash, {}).values()):
            self._delete(entry)

    def disconnected(self, peer: int) -> None:
        for entry in list(self._by_peer.get(peer, {}).values()):
            if entry.state is not _State.COMPLETED:
                self._complete(entry)
            if self._by_hash.get(entry.gtxid.hash, {}).get(peer) is entry:
                self._delete(entry)

    def candidates(self, tx_hash: bytes) -> list[int]:
        """Peers that announced it and have not failed to deliver."""
        entries = self._by_hash.get(tx_hash, {}).values()
        return [entry.peer for entry in entries if entry.state is not _State.COMPLETED]

    def next_time(self) -> float | None:
        """When something is due next at the latest; None if nothing waits."""
        return self._due[0][0] if self._due else None

    def _advance(self, now: float) -> list[tuple[int, GenTxid]]:
        expired: list[tuple[int, GenTxid]] = []
        while self._due and self._due[0][0] <= now:
            _, _, entry = heapq.heappop(self._due)
            if self._by_hash.get(entry.gtxid.hash, {}).get(entry.peer) is not entry or entry.when > now:
                continue
            if entry.state is _State.DELAYED:
                self._set_state(entry, _State.READY)
            elif entry.state is _State.REQUESTED:
                expired.append((entry.peer, entry.gtxid))
                self._complete(entry)
        return expired

    def _best(self, tx_hash: bytes) -> _Announcement | None:
        """The candidate to be asked, unless a request is under way."""
        entries = self._by_hash[tx_hash].values()
        if any(entry.state is _State.REQUESTED for entry in entries):
            return None
        ready = [entry for entry in entries if entry.state is _State.READY]
        return max(ready, key=self._priority) if ready else None

    def _priority(self, entry: _Announcement) -> tuple[bool, int, int]:
        chance = siphash(self._key, entry.gtxid.hash + entry.peer.to_bytes(8, "little"))
        return entry.preferred, chance, -entry.sequence

    def _set_state(self, entry: _Announcement, state: _State) -> None:
        step = (state is _State.REQUESTED) - (entry.state is _State.REQUESTED)
        if step:
            self._in_flight[entry.peer] = self._in_flight.get(entry.peer, 0) + step
        entry.state = state

    def _complete(self, entry: _Announcement) -> None:
        """It failed; when only failures are left for the hash, all of them are forgotten."""
        self._set_state(entry, _State.COMPLETED)
        entries = self._by_hash[entry.gtxid.hash].values()
        if all(other.state is _State.COMPLETED for other in entries):
            self.forget(entry.gtxid.hash)

    def _delete(self, entry: _Announcement) -> None:
        self._set_state(entry, _State.COMPLETED)
        entries, of_peer = self._by_hash[entry.gtxid.hash], self._by_peer[entry.peer]
        del entries[entry.peer], of_peer[entry.gtxid.hash]
        if not entries:
            del self._by_hash[entry.gtxid.hash]
        if not of_peer:
            del self._by_peer[entry.peer]
            self._in_flight.pop(entry.peer, None)
