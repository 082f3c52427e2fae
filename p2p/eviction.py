"""Which inbound peer makes room for a new one when all slots are taken.

Peers with some merit that an attacker cannot easily have are protected; of the rest the youngest of the
largest network group goes (Bitcoin Core 31.99, node/eviction.cpp).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .messages import NetworkId


@dataclass(slots=True)
class Candidate:
    """connected: when; min_ping, last_block, last_tx: seconds. group: its network group, hashed."""

    id: int
    connected: float
    min_ping: float
    last_block: float
    last_tx: float
    relevant_services: bool
    relays_txs: bool
    bloom_filter: bool
    group: int
    prefer_evict: bool
    is_local: bool
    network: NetworkId
    noban: bool = False


def _protect(
    candidates: list[Candidate],
    key: Callable[[Candidate], Any],
    count: int,
    where: Callable[[Candidate], bool] = lambda _: True,
) -> None:
    """Takes out, of the last `count` by key, those where it holds."""
    candidates.sort(key=key)
    kept = [c for c in candidates[max(0, len(candidates) - count) :] if not where(c)]
    candidates[max(0, len(candidates) - count) :] = kept


def _protect_by_ratio(candidates: list[Candidate]) -> None:
    """The half that is connected longest, of it up to half for networks that are slower than others."""
    total = len(candidates) // 2
    belongs: list[Callable[[Candidate], bool]] = [
        lambda c: c.network is NetworkId.CJDNS,
        lambda c: c.network is NetworkId.I2P,
        lambda c: c.is_local,
        lambda c: c.network is NetworkId.TORV3,
    ]
    belongs.sort(key=lambda test: sum(map(test, candidates)))
    budget = total // 2
    protected = 0
    while protected < budget:
        present = sum(any(map(test, candidates)) for test in belongs)
        if not present:
            break
        share, before_round = max((budget - protected) // present, 1), protected
        for test in belongs:
            before = len(candidates)
            _protect(candidates, lambda c, test=test: (test(c), -c.connected), share, test)  # type: ignore[misc]
            protected += before - len(candidates)
            if protected >= budget:
                break
        if protected == before_round:
            break
    _protect(candidates, lambda c: -c.connected, total - protected)


def select_for_eviction(peers: list[Candidate]) -> int | None:
    """Id of the inbound peer to drop; None if every one deserves to stay. peers: inbound ones."""
    candidates = [peer for peer in peers if not peer.noban]
    _protect(candidates, lambda c: c.group, 4)
    _protect(candidates, lambda c: -c.min_ping, 8)
    _protect(candidates, lambda c: (c.last_tx, c.relays_txs, not c.bloom_filter, -c.connected), 4)
    _protect(
        candidates,
        lambda c: (not c.relays_txs, c.last_block, c.relevant_services, -c.connected),
        8,
        lambda c: not c.relays_txs and c.relevant_services,
    )
    _protect(candidates, lambda c: (c.last_block, c.relevant_services, -c.connected), 4)
    _protect_by_ratio(candidates)
    if any(c.prefer_evict for c in candidates):
        candidates = [c for c in candidates if c.prefer_evict]
    if not candidates:
        return None
    candidates.sort(key=lambda c: -c.connected)
    groups: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.group, []).append(candidate)
    return max(groups.values(), key=lambda group: (len(group), group[0].connected))[0].id
