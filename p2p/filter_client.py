"""Filter headers from several peers: compared, and where they differ, judged by the block (BIP 157).

Without sockets. One chain of filter hashes, the trunk, is kept for the best header chain; each peer is led
along it and asked for what is new. Where a peer says otherwise, the filters of both sides and the block are
fetched: a filter that lacks a script of the block is false, and its peers are dropped. What the block cannot
decide stays disputed: its filter is of no use, so whoever needs the block fetches it whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pybitcoind.chain.block_filter import filter_header
from pybitcoind.chain.header_tree import HeaderNode, HeaderTree, fork_point
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import ZERO_HASH, hash_hex, sha256d

from .filter_judge import find_fault
from .filter_store import HashRow

RANGE = 2000
"""Blocks one getcfheaders is about."""
TIMEOUT = 30.0
"""Seconds a peer has for an answer."""
ASK_AGAIN = 2.0
"""Seconds until a question is repeated: a node's filter index may be a moment behind its chain, and then it
does not answer at all."""
GRACE = 4.0
"""Seconds for which those who answered wait for the others."""


# What the machine asks for


@dataclass(frozen=True, slots=True)
class AskHeaders:
    """Send getcfheaders."""

    peer: int
    start_height: int
    stop_hash: bytes


@dataclass(frozen=True, slots=True)
class AskFilter:
    """Send getcfilters for this one block."""

    peer: int
    height: int
    block_hash: bytes


@dataclass(frozen=True, slots=True)
class FetchBlock:
    """Fetch the block from anybody and hand it to `on_block`."""

    block_hash: bytes


@dataclass(frozen=True, slots=True)
class Drop:
    """Disconnect the peer: it lied, or does not answer."""

    peer: int
    reason: str


@dataclass(frozen=True, slots=True)
class Rewound:
    """The trunk was false from height on: what was concluded from it is to be looked at again."""

    height: int


@dataclass(frozen=True, slots=True)
class Undecided:
    """The trunk's filter of this block is disputed now: it is to be looked at whole."""

    height: int


Action = AskHeaders | AskFilter | FetchBlock | Drop | Rewound | Undecided


@dataclass(slots=True)
class _Asked:
    """A request under way: heights from start on, up to the block stop; asked `since`, and `again` then."""

    start: int
    stop: HeaderNode
    since: float
    again: float

    @property
    def key(self) -> tuple[bytes, int]:
        """What an answer shows of it: the hash of stop, and how many hashes there must be."""
        return self.stop.hash, self.stop.height - self.start + 1


@dataclass(slots=True)
class _Peer:
    """How far one peer's chain of filter headers is known, and agrees."""

    agreed: int | None = None
    """Height up to which its chain is the trunk's (disputed blocks apart); None: not found out yet."""
    header: bytes = ZERO_HASH
    """Its own filter header at that height."""
    back: int = RANGE
    """How far to go back next in search of common ground."""
    asked: _Asked | None = None
    owed: list[tuple[bytes, int]] = field(default_factory=list)
    """Answers that may still come, in order: stop hash and number of hashes. That of a request that was sent
    twice, or that a reorganisation has made pointless, comes when another one is under way."""
    claims: list[bytes] = field(default_factory=list)
    """Filter hashes behind `agreed` that are not on the trunk yet."""
    claimed: HeaderNode | None = None
    """The block of the last of them."""


@dataclass(slots=True)
class _Dispute:
    """One block on whose filter hash peers differ. sides: by filter hash, who claims it."""

    node: HeaderNode
    sides: dict[bytes, list[int]]
    trunk: bytes | None
    """The trunk's hash, if the block is on it."""
    filters: dict[bytes, bytes] = field(default_factory=dict)
    block: Block | None = None
    block_asked: bool = False
    asked: dict[bytes, tuple[int, float]] = field(default_factory=dict)
    """By filter hash: the peer that was asked for the filter, and its deadline."""


class FilterClient:
    """knows: whether a peer (by id) has a block, so that it may be asked about it."""

    def __init__(self, tree: HeaderTree, knows: Callable[[int, HeaderNode], bool]) -> None:
        self._tree, self._knows = tree, knows
        self._hashes, self._headers = bytearray(), bytearray()
        self._top: HeaderNode | None = None
        self.disputed: dict[int, list[bytes]] = {}
        """Undecided: height to the filter hashes that are claimed."""
        self.unsaved: int | None = None
        """The lowest height at which something changed since `changes` was called."""
        self._peers: dict[int, _Peer] = {}
        self._dispute: _Dispute | None = None
        self._actions: list[Action] = []

    # Looking

    @property
    def height(self) -> int:
        """Of the last block whose filter hash is known; -1 before genesis."""
        return len(self._hashes) // 32 - 1

    @property
    def top(self) -> HeaderNode | None:
        return self._top

    def filter_hash(self, height: int) -> bytes | None:
        """Of the block at height on the best chain; None while it is disputed. IndexError above `height`."""
        if not 0 <= height <= self.height:
            raise IndexError(height)
        return None if height in self.disputed else self._hash_at(height)

    def filter_header(self, height: int) -> bytes:
        """The trunk's filter header; zeros at -1."""
        return bytes(self._headers[32 * height : 32 * height + 32]) if height >= 0 else ZERO_HASH

    def agreeing_peers(self, height: int) -> list[int]:
        """Peers whose chain of filters is the trunk's up to height."""
        return [
            peer for peer, state in self._peers.items() if state.agreed is not None and state.agreed >= height
        ]

    def _hash_at(self, height: int) -> bytes:
        return bytes(self._hashes[32 * height : 32 * height + 32])

    @property
    def waiting(self) -> bool:
        """An answer is owed to us."""
        return self._dispute is not None or any(state.asked is not None for state in self._peers.values())

    # Keeping

    def changes(self) -> tuple[int, list[HashRow]] | None:
        """(a height, what holds from there on) since the last call; None if nothing changed."""
        if self.unsaved is None:
            return None
        start, self.unsaved = self.unsaved, None
        rows = []
        for height in range(start, self.height + 1):
            assert self._top is not None
            claimed = b"".join(self.disputed.get(height, ()))
            rows.append(HashRow(height, self._top.ancestor(height).hash, self._hash_at(height), claimed))
        return start, rows

    def restore(self, rows: Sequence[HashRow]) -> bool:
        """Takes up what was kept, the next rows from genesis on; False at the first block that is not known
        any more: the rest is of no use."""
        for row in rows:
            node = self._tree.get(row.block_hash)
            if node is None or node.height != self.height + 1 or node.prev is not self._top:
                self._touch(self.height + 1)
                return False
            self._headers += filter_header(row.filter_hash, self.filter_header(self.height))
            self._hashes += row.filter_hash
            self._top = node
            if row.disputed:
                claimed = row.disputed
                self.disputed[node.height] = [claimed[i : i + 32] for i in range(0, len(claimed), 32)]
        return True

    def _touch(self, height: int) -> None:
        self.unsaved = height if self.unsaved is None else min(self.unsaved, height)

    # Peers and answers

    def add_peer(self, peer: int) -> None:
        """A peer that serves filters."""
        self._peers[peer] = _Peer(-1 if self.height < 0 else None)

    def remove_peer(self, peer: int) -> None:
        self._peers.pop(peer, None)
        dispute = self._dispute
        if dispute is None:
            return
        for side in dispute.sides.values():
            if peer in side:
                side.remove(peer)
        dispute.asked = {h: a for h, a in dispute.asked.items() if a[0] != peer}

    def on_cfheaders(self, peer: int, stop_hash: bytes, previous: bytes, hashes: Sequence[bytes]) -> None:
        """An answer to AskHeaders."""
        state = self._peers.get(peer)
        if state is None or stop_hash not in dict(state.owed):
            return None
        if (stop_hash, len(hashes)) not in state.owed:
            return self._drop(peer, "cfheaders of the wrong length")
        del state.owed[: state.owed.index((stop_hash, len(hashes))) + 1]
        asked = state.asked
        if asked is None or asked.key != (stop_hash, len(hashes)):
            return None
        state.asked = None
        if not self._is_best(asked.stop) or asked.start > self.height + 1:
            return None  # the chain moved on meanwhile; it is asked again
        if state.agreed is None:
            if previous != self.filter_header(asked.start - 1):
                state.back *= 2
                if asked.start == 0:
                    self._drop(peer, "cfheaders do not start with zeros")
                return None
            state.agreed, state.header = asked.start - 1, previous
        elif state.agreed != asked.start - 1 or previous != state.header:
            return self._drop(peer, "cfheaders contradict what it said before")
        state.claims, state.claimed = list(hashes), asked.stop
        return None

    def on_cfilter(self, peer: int, block_hash: bytes, encoded: bytes) -> bool:
        """An answer to AskFilter; False if it was not asked for here."""
        dispute = self._dispute
        if dispute is None or dispute.node.hash != block_hash:
            return False
        for filter_hash, (asked, _) in list(dispute.asked.items()):
            if asked == peer:
                del dispute.asked[filter_hash]
                if sha256d(encoded) == filter_hash:
                    dispute.filters[filter_hash] = encoded
                else:
                    self._drop(peer, "cfilter is not the one it announced")
                return True
        return False

    def on_block(self, block: Block | None, block_hash: bytes) -> None:
        """An answer to FetchBlock, checked against its header; None: it could not be had (yet)."""
        if self._dispute is not None and self._dispute.node.hash == block_hash:
            self._dispute.block, self._dispute.block_asked = block, block is not None

    # Deciding

    def poll(self, now: float) -> list[Action]:
        """What is to be done now; called after each answer, header, change of peers, and at times."""
        self._follow_best()
        self._time_out(now)
        for _ in range(10_000):  # each round takes up one claim of each peer at least
            if not (self._settle(now) if self._dispute is not None else self._take_claims(now)):
                break
        if self._dispute is None:
            self._ask(now)
        actions, self._actions = self._actions, []
        return actions

    def _is_best(self, node: HeaderNode) -> bool:
        return self._tree.best_header is not None and self._tree.best_header.descends_from(node)

    def _follow_best(self) -> None:
        """Cuts the trunk where the best header chain left it; forgets what was claimed of other chains."""
        best, top = self._tree.best_header, self._top
        if best is None:
            return
        if top is not None and not best.descends_from(top):
            self._cut(fork_point(best, top))
        if self._dispute is not None and not best.descends_from(self._dispute.node):
            self._dispute = None
        for state in self._peers.values():
            if state.claims and state.claimed is not None and not best.descends_from(state.claimed):
                state.claims = []

    def _cut(self, top: HeaderNode | None) -> None:
        height = -1 if top is None else top.height
        self._touch(height + 1)
        self._top, self._dispute = top, None
        del self._hashes[32 * (height + 1) :], self._headers[32 * (height + 1) :]
        self.disputed = {h: hashes for h, hashes in self.disputed.items() if h <= height}
        for state in self._peers.values():
            state.claims, state.asked = [], None
            if state.agreed is not None and state.agreed > height:
                state.agreed = None if self.disputed else height
                state.header = self.filter_header(height)
                state.back = RANGE

    def _time_out(self, now: float) -> None:
        for peer, state in list(self._peers.items()):
            if state.asked is None:
                continue
            if now > state.asked.since + TIMEOUT:
                self._drop(peer, "cfheaders did not come")
            elif now >= state.asked.again:
                state.asked.again = now + 2 * (now - state.asked.since)
                self._send(peer, state, state.asked)
        if self._dispute is not None:
            for peer, deadline in list(self._dispute.asked.values()):
                if now > deadline:
                    self._drop(peer, "cfilter did not come")

    def _drop(self, peer: int, reason: str) -> None:
        self._actions.append(Drop(peer, reason))
        self.remove_peer(peer)

    def _ask(self, now: float) -> None:
        best = self._tree.best_header
        if best is None:
            return
        for peer, state in self._peers.items():
            if state.asked is not None or state.claims:
                continue
            if state.agreed is None:  # its header before the range shows whether it is on the trunk
                start = max(0, min(self.height + 1, best.height) - (state.back - RANGE))
            else:
                start = state.agreed + 1
            # Behind the trunk's end all are asked for the same range, so that their claims meet.
            last = self.height if start <= self.height else best.height
            stop_height = min(start + RANGE - 1, last)
            if stop_height < start:
                continue
            stop = best.ancestor(stop_height)
            if self._knows(peer, stop):
                state.asked = _Asked(start, stop, now, now + ASK_AGAIN)
                self._send(peer, state, state.asked)

    def _send(self, peer: int, state: _Peer, asked: _Asked) -> None:
        state.owed.append(asked.key)
        self._actions.append(AskHeaders(peer, asked.start, asked.stop.hash))

    def _take_claims(self, now: float) -> bool:
        """Compares claims with the trunk, then lengthens it by what all agree on; True if something moved."""
        moved = False
        for peer, state in list(self._peers.items()):
            while state.claims and state.agreed is not None and state.agreed < self.height:
                height, claim = state.agreed + 1, state.claims[0]
                ours = self._hash_at(height)
                if claim != ours and claim not in self.disputed.get(height, ()):
                    trunk = [p for p in self.agreeing_peers(height) if p != peer]
                    self._open(height, {ours: trunk, claim: [peer]}, ours)
                    return True
                self._advance(state)
                moved = True
        if any(
            state.asked is not None and state.agreed == self.height and now < state.asked.since + GRACE
            for state in self._peers.values()
        ):
            return moved  # wait for all answers, so that nobody's word counts by being first
        while True:
            ready = {
                peer: state
                for peer, state in self._peers.items()
                if state.claims and state.agreed == self.height
            }
            if not ready:
                return moved
            sides: dict[bytes, list[int]] = {}
            for peer, state in ready.items():
                sides.setdefault(state.claims[0], []).append(peer)
            if len(sides) > 1:
                self._open(self.height + 1, sides, None)
                return True
            self._append(next(iter(sides)))
            for state in ready.values():
                self._advance(state)
            moved = True

    @staticmethod
    def _advance(state: _Peer) -> None:
        assert state.agreed is not None
        state.header = filter_header(state.claims.pop(0), state.header)
        state.agreed += 1

    def _append(self, filter_hash: bytes) -> None:
        best = self._tree.best_header
        assert best is not None
        height = self.height + 1
        header = filter_header(filter_hash, self.filter_header(height - 1))
        self._touch(height)
        self._hashes += filter_hash
        self._headers += header
        self._top = best.ancestor(height)

    # Disputes

    def _open(self, height: int, sides: dict[bytes, list[int]], trunk: bytes | None) -> None:
        best = self._tree.best_header
        assert best is not None
        self._dispute = _Dispute(best.ancestor(height), sides, trunk)

    def _settle(self, now: float) -> bool:
        """Asks for what the judgement needs, and judges when it is all there; True when that is done."""
        dispute = self._dispute
        assert dispute is not None
        node = dispute.node
        for filter_hash in [h for h, side in dispute.sides.items() if not side]:
            if filter_hash != dispute.trunk:
                del dispute.sides[filter_hash]
        if len(dispute.sides) < 2:
            self._dispute = None
            return True
        if dispute.block is None and not dispute.block_asked:
            dispute.block_asked = True
            self._actions.append(FetchBlock(node.hash))
        waiting = False
        for filter_hash, side in dispute.sides.items():
            if filter_hash in dispute.filters or not side:
                continue
            waiting = True
            if filter_hash not in dispute.asked:
                dispute.asked[filter_hash] = side[0], now + TIMEOUT
                self._actions.append(AskFilter(side[0], node.height, node.hash))
        if waiting or dispute.block is None:
            return False
        self._judge(dispute, dispute.block)
        return True

    def refuted(self, node: HeaderNode, encoded: bytes, fault: str) -> None:
        """A block that was fetched for other reasons shows that encoded is not its filter: if that is the one
        we went by, the trunk is cut there and the peers that stand behind it are dropped."""
        height = node.height
        known = self._top is not None and self._top.descends_from(node) and height not in self.disputed
        if known and self._hash_at(height) == sha256d(encoded):
            for peer in self.agreeing_peers(height):
                self._drop(peer, f"false filter of block {hash_hex(node.hash)}: {fault}")
            self._cut(node.prev)
            self._actions.append(Rewound(height))

    def _judge(self, dispute: _Dispute, block: Block) -> None:
        height, name = dispute.node.height, hash_hex(dispute.node.hash)
        for filter_hash, encoded in dispute.filters.items():
            if filter_hash in dispute.sides and (fault := find_fault(encoded, block)):
                if filter_hash == dispute.trunk:
                    self._cut(dispute.node.prev)
                    self._actions.append(Rewound(height))
                for peer in dispute.sides.pop(filter_hash):
                    self._drop(peer, f"false filter of block {name}: {fault}")
        self._dispute = None
        if len(dispute.sides) > 1 and (dispute.trunk is None or dispute.trunk in dispute.sides):
            known = self.disputed.setdefault(height, [])
            known += [h for h in dispute.sides if h not in known]
            self._touch(height)
            if dispute.trunk is not None:
                self._actions.append(Undecided(height))
            if dispute.trunk is None:  # the side with more peers goes on as the trunk
                largest = max(dispute.sides.values(), key=len)
                self._append(next(h for h, side in dispute.sides.items() if side is largest))
                for peer, state in self._peers.items():
                    if any(peer in side for side in dispute.sides.values()):
                        self._advance(state)
