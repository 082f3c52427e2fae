"""Which block is asked of which peer, decided without sockets.

Blocks are fetched in parallel, each from one peer at a time, inside a window that moves on with the last
block a peer and we have in common (Bitcoin Core 31.99, net_processing.cpp). Times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pybitcoind.chain.header_tree import HeaderNode, HeaderStatus, HeaderTree, fork_point

if TYPE_CHECKING:
    from .compact_blocks import PartialBlock

MAX_BLOCKS_IN_TRANSIT_PER_PEER = 16
BLOCK_DOWNLOAD_WINDOW = 1024
"""Blocks ahead of the last common one that are fetched: it bounds how disordered blocks are on disk."""
STALLING_TIMEOUT = 2.0
STALLING_TIMEOUT_MAX = 64.0
"""Seconds a peer may hold up the window; doubled for the next peer each time one is dropped for it."""
BLOCK_TIMEOUT_BASE = 1.0
BLOCK_TIMEOUT_PER_PEER = 0.5
"""In block intervals: how long the first block in flight of a peer may take, and what each other peer we
download from adds to it (our own line may be what is slow)."""
NODE_NETWORK_LIMITED_MIN_BLOCKS = 288
_FAILED, _HAVE_DATA = int(HeaderStatus.FAILED), int(HeaderStatus.HAVE_DATA)


@dataclass(slots=True)
class PeerBlocks:
    """What is known of one peer's chain, and what was asked of it."""

    serves: bool = False
    """NODE_NETWORK or NODE_NETWORK_LIMITED."""
    limited: bool = False
    """It has only the last NODE_NETWORK_LIMITED_MIN_BLOCKS blocks."""
    witness: bool = False
    inbound: bool = False
    best_known: HeaderNode | None = None
    """The block with the most work that it announced."""
    last_unknown: bytes | None = None
    """The last block it announced whose header we lack."""
    last_common: HeaderNode | None = None
    best_sent: HeaderNode | None = None
    """The best header we sent it."""
    in_flight: dict[bytes, HeaderNode] = field(default_factory=dict)
    """Asked and not yet received, in the order of asking."""
    partial: dict[bytes, PartialBlock | None] = field(default_factory=dict)
    """Of those in flight the ones it sent as compact blocks; None where they could not be put together."""
    downloading_since: float = 0.0
    """When the first block in flight became the first."""
    stalling_since: float | None = None
    last_announcement: float = 0.0
    """When it first announced a block that is better than our tip."""


class BlockDownload:
    def __init__(self, tree: HeaderTree, *, segwit_height: int) -> None:
        """segwit_height: from here on only peers that serve witnesses are asked."""
        self._tree, self._segwit_height = tree, segwit_height
        self.peers: dict[int, PeerBlocks] = {}
        self.in_flight: dict[bytes, dict[int, None]] = {}
        """Block hash to the peers that were asked, the first first: more than one for compact blocks only."""
        self.stalling_timeout = STALLING_TIMEOUT
        self._processing: dict[bytes, int] = {}
        """Received, and not yet through the chain: not asked for again, and nobody is late with them."""

    def add_peer(self, peer: int, *, serves: bool, limited: bool, witness: bool, inbound: bool) -> PeerBlocks:
        state = self.peers[peer] = PeerBlocks(serves, limited, witness, inbound)
        return state

    def remove_peer(self, peer: int) -> None:
        """What was asked of it may be asked of others."""
        state = self.peers.pop(peer, None)
        for block_hash in state.in_flight if state else ():
            self._forget(peer, block_hash)

    def _forget(self, peer: int, block_hash: bytes) -> None:
        asked = self.in_flight[block_hash]
        del asked[peer]
        if not asked:
            del self.in_flight[block_hash]

    @property
    def downloading_peers(self) -> int:
        return sum(bool(state.in_flight) for state in self.peers.values())

    # What peers have

    def announced(self, peer: int, block_hash: bytes) -> None:
        """The peer claims to have this block."""
        state = self.peers[peer]
        self.resolve(peer)
        node = self._tree.get(block_hash)
        if node is None:
            state.last_unknown = block_hash
        elif state.best_known is None or node.chainwork >= state.best_known.chainwork:
            state.best_known = node

    def resolve(self, peer: int) -> None:
        """Looks again for the header of the last unknown block it announced."""
        state = self.peers[peer]
        if state.last_unknown is None:
            return
        node = self._tree.get(state.last_unknown)
        if node is not None:
            state.last_unknown = None
            if state.best_known is None or node.chainwork >= state.best_known.chainwork:
                state.best_known = node

    def has_header(self, peer: int, node: HeaderNode) -> bool:
        """Whether the peer announced or was sent this header or one above it."""
        state = self.peers[peer]
        return any(
            best is not None and best.descends_from(node) for best in (state.best_known, state.best_sent)
        )

    # Asking

    def room(self, peer: int) -> int:
        return max(0, MAX_BLOCKS_IN_TRANSIT_PER_PEER - len(self.peers[peer].in_flight))

    def is_elsewhere(self, peer: int, node: HeaderNode, tip: HeaderNode) -> bool:
        """The peer's chain is as good as ours and does not go through node."""
        best = self.peers[peer].best_known
        return best is not None and best.chainwork >= tip.chainwork and not best.descends_from(node)

    def next_blocks(
        self, peer: int, tip: HeaderNode, minimum_chainwork: int
    ) -> tuple[list[HeaderNode], int | None]:
        """Blocks to ask the peer for now, lowest first, and the peer that holds up the window, if any."""
        state, wanted = self.peers[peer], self.room(peer)
        if not wanted:
            return [], None
        self.resolve(peer)
        best = state.best_known
        if best is None or best.chainwork < tip.chainwork or best.chainwork < minimum_chainwork:
            return [], None
        fork, common = fork_point(best, tip), state.last_common
        if common is None or fork.chainwork > common.chainwork or not best.descends_from(common):
            state.last_common = common = fork
        if common is best:
            return [], None
        return self._walk(peer, state, common, best, wanted, common.height + BLOCK_DOWNLOAD_WINDOW)

    def historical_blocks(
        self, peer: int, tip: HeaderNode, target: HeaderNode, wanted: int
    ) -> list[HeaderNode]:
        """Blocks below a snapshot, whose block is target, to ask the peer for, lowest first, at most wanted.

        tip: of the chainstate that connects them. Nobody is blamed for holding these up.
        """
        state = self.peers[peer]
        best = state.best_known
        if wanted <= 0 or best is None or not best.descends_from(target):
            return []
        start = fork_point(tip, target)
        window_end = min(start.height + BLOCK_DOWNLOAD_WINDOW, target.height)
        return self._walk(peer, state, start, best, wanted, window_end, historical=True)[0]

    def _walk(
        self,
        peer: int,
        state: PeerBlocks,
        common: HeaderNode,
        best: HeaderNode,
        wanted: int,
        window_end: int,
        *,
        historical: bool = False,
    ) -> tuple[list[HeaderNode], int | None]:
        """historical: the active chain, which is based on a snapshot, lacks bodies too."""
        tree, waiting_for = self._tree, None
        found: list[HeaderNode] = []
        limit = min(best.height, window_end + 1)  # one more, to see whether the window is what stops us
        walk = common
        while walk.height < limit:
            step = min(limit - walk.height, max(wanted - len(found), 128))
            top = best.ancestor(walk.height + step)
            for node in _path(walk, top):
                status = node.status  # not by its properties: most of the time is spent here
                if status & _FAILED:
                    return found, None  # the peer is on a chain that we know to be invalid
                if not state.witness and node.height >= self._segwit_height:
                    return found, None
                if status & _HAVE_DATA or (not historical and tree.in_chain(node)):
                    if not historical and node.chain_tx_count:
                        state.last_common = node
                    continue
                if node.hash in self._processing:
                    continue
                if (asked := self.in_flight.get(node.hash)) is not None:
                    if waiting_for is None:
                        waiting_for = next(iter(asked))
                    continue
                if node.height > window_end:
                    staller = waiting_for if not found and waiting_for != peer else None
                    return found, staller
                if state.limited and best.height - node.height >= NODE_NETWORK_LIMITED_MIN_BLOCKS - 2:
                    continue
                found.append(node)
                if len(found) == wanted:
                    return found, None
            walk = top
        return found, None

    def direct_fetch(self, peer: int, last: HeaderNode, tip: HeaderNode) -> list[HeaderNode]:
        """Blocks to ask for at once when the peer announced headers up to `last` near the tip, lowest first.

        Empty for a reorganisation of more than 16 blocks: the parallel download does that.
        """
        tree, state = self._tree, self.peers[peer]
        if last.failed or tip.chainwork > last.chainwork:
            return []
        missing: list[HeaderNode] = []
        walk: HeaderNode | None = last
        while walk is not None and not tree.in_chain(walk):
            if len(missing) > MAX_BLOCKS_IN_TRANSIT_PER_PEER:
                return []
            wanted = not (walk.have_data or walk.hash in self.in_flight or walk.hash in self._processing)
            if wanted and (state.witness or walk.height < self._segwit_height):
                missing.append(walk)
            walk = walk.prev
        return missing[::-1][: self.room(peer)]

    def is_processed(self, block_hash: bytes) -> bool:
        """It was received, and is on its way through the chain."""
        return block_hash in self._processing

    def requested(self, peer: int, node: HeaderNode, now: float, *, parallel: bool = False) -> bool:
        """The block is being asked of the peer; False if it was.

        parallel: others that were asked may still deliver it; else their requests are forgotten.
        """
        asked = self.in_flight.get(node.hash, {})
        if peer in asked:
            return False
        if not parallel:
            self.done(node.hash, now)
        state = self.peers[peer]
        state.in_flight[node.hash] = node
        self.in_flight.setdefault(node.hash, {})[peer] = None
        if len(state.in_flight) == 1:
            state.downloading_since = now
        return True

    def done(self, block_hash: bytes, now: float, *, only_from: int | None = None) -> None:
        """The block came, or is no longer wanted. only_from: of this peer, others may still deliver it."""
        for peer in list(self.in_flight.get(block_hash, ())):
            if only_from is not None and peer != only_from:
                continue
            self._forget(peer, block_hash)
            state = self.peers[peer]
            if next(iter(state.in_flight)) == block_hash:
                state.downloading_since = max(state.downloading_since, now)
            del state.in_flight[block_hash]
            state.partial.pop(block_hash, None)
            state.stalling_since = None

    def begin_processing(self, block_hash: bytes, peer: int, now: float) -> None:
        """The peer sent the block; until `end_processing` it is neither in flight from it nor missing."""
        self.done(block_hash, now, only_from=peer)
        self._processing[block_hash] = self._processing.get(block_hash, 0) + 1

    def end_processing(self, block_hash: bytes) -> None:
        self._processing[block_hash] -= 1
        if not self._processing[block_hash]:
            del self._processing[block_hash]

    # Peers that do not deliver

    def stalls(self, staller: int, now: float) -> bool:
        """The window is held up by this peer; True if that is new."""
        state = self.peers[staller]
        if state.stalling_since is not None:
            return False
        state.stalling_since = now
        return True

    def stalled_too_long(self, peer: int, now: float) -> bool:
        """Whether the peer is to be dropped for holding up the window; the next one then gets more time."""
        since = self.peers[peer].stalling_since
        if since is None or since >= now - self.stalling_timeout:
            return False
        self.stalling_timeout = min(2 * self.stalling_timeout, STALLING_TIMEOUT_MAX)
        return True

    def block_connected(self) -> None:
        """The stalling time goes slowly back to its default."""
        if self.stalling_timeout != STALLING_TIMEOUT:
            self.stalling_timeout = max(float(int(self.stalling_timeout * 0.85)), STALLING_TIMEOUT)

    def overdue(self, peer: int, spacing: float, now: float) -> HeaderNode | None:
        """The block that has been first in flight for too long, if any. spacing: the block interval."""
        state = self.peers[peer]
        if not state.in_flight:
            return None
        others = self.downloading_peers - 1
        allowed = spacing * (BLOCK_TIMEOUT_BASE + BLOCK_TIMEOUT_PER_PEER * others)
        return next(iter(state.in_flight.values())) if now > state.downloading_since + allowed else None


def _path(below: HeaderNode, top: HeaderNode) -> list[HeaderNode]:
    """The nodes above `below` up to top, lowest first."""
    nodes, node = [], top
    while node is not below:
        nodes.append(node)
        if node.prev is None:
            break
        node = node.prev
    return nodes[::-1]
