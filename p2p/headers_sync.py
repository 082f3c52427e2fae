"""Headers from peers, decided without sockets: whom to ask, what to make of the answer, what to keep.

Facts follow Bitcoin Core 31.99 (net_processing.cpp, headerssync.cpp). Heights and work are ints, times
are seconds (float; the caller's clock), hashes are bytes in internal order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import pairwise
from typing import TYPE_CHECKING

from pybitcoind.chain.consensus.pow import block_work, permitted_difficulty_transition
from pybitcoind.chain.primitives.block import BlockHeader

from .rolling_filter import siphash

if TYPE_CHECKING:
    from pybitcoind.chain.header_tree import HeaderNode
    from pybitcoind.chain.params import ChainParams
    from pybitcoind.chain.ports import Random

MAX_HEADERS_RESULTS = 2000
"""Headers in one headers message; a message with that many means that there are more."""
HEADERS_RESPONSE_TIME = 120.0
"""Seconds in which no second getheaders goes to a peer that owes an answer."""
HEADERS_DOWNLOAD_TIMEOUT_BASE = 15 * 60.0
HEADERS_DOWNLOAD_TIMEOUT_PER_HEADER = 0.001
CHAIN_SYNC_TIMEOUT = 20 * 60.0
"""Seconds an outbound peer may have less work than our tip before it is asked a last time."""
NEAR_TODAY = 24 * 60 * 60
"""Headers are asked of all peers at once when the best header is younger than this (seconds)."""
MAX_FUTURE_BLOCK_TIME = 2 * 60 * 60
ANTI_DOS_BLOCKS = 144
"""Headers that fork off less than this much of the tip's work below the tip are taken as they come."""


def claimed_work(headers: Sequence[BlockHeader]) -> int:
    """Work that the headers claim by their bits."""
    return sum(block_work(header.bits) for header in headers)


def are_continuous(headers: Sequence[BlockHeader]) -> bool:
    """Whether each header builds on the one before it."""
    return all(b.prev_hash == a.hash for a, b in pairwise(headers))


def anti_dos_threshold(tip: HeaderNode, minimum_chainwork: int) -> int:
    """Chainwork below which headers are not stored before their chain is seen to reach it."""
    near_tip = tip.chainwork - min(ANTI_DOS_BLOCKS * block_work(tip.bits), tip.chainwork)
    return max(near_tip, minimum_chainwork)


class Phase(Enum):
    PRESYNC = auto()
    """Work is added up; of the headers only one bit in COMMITMENT_PERIOD is remembered."""
    REDOWNLOAD = auto()
    """The same headers come again, are compared with the bits, and handed on behind a buffer."""
    FINAL = auto()


@dataclass(slots=True)
class Progress:
    """What one headers message did. headers: ready to be accepted; their chain has enough work."""

    success: bool = False
    request_more: bool = False
    headers: list[BlockHeader] = field(default_factory=list)


class LowWorkSync:
    """A headers chain that has yet to show enough work, downloaded twice so that it costs no memory.

    An attacker can make low-work headers for nothing. First the chain is only added up (one header is kept,
    and a secret bit of every COMMITMENT_PERIOD-th); once it reaches minimum_work it is asked for again and
    each header is handed on when REDOWNLOAD_BUFFER more have come that agree with the bits. To slip in a
    header of another chain a peer must guess REDOWNLOAD_BUFFER / COMMITMENT_PERIOD bits (as in Core, with a
    smaller buffer paid for by more bits). Bound: 2,000 headers and about 10 kB of bits for a peer.
    """

    COMMITMENT_PERIOD = 84
    REDOWNLOAD_BUFFER = 2000 - 1

    def __init__(
        self, params: ChainParams, start: HeaderNode, minimum_work: int, now: float, random: Random
    ) -> None:
        """start: the known header that the peer's headers build on. now: seconds since 1970."""
        self.phase = Phase.PRESYNC
        self._params, self._start, self._minimum_work = params, start, minimum_work
        self._offset = random.below(self.COMMITMENT_PERIOD)
        self._salt = random.bytes(16)
        self._bits: deque[bool] = deque()
        # Median time past must grow every block, by at most one block in 6 a second: so many can there be.
        seconds = max(0, int(now) - start.mtp() + MAX_FUTURE_BLOCK_TIME)
        self._max_bits = 6 * seconds // self.COMMITMENT_PERIOD
        self.work, self.height = start.chainwork, start.height
        self._reached = start.height
        self._last_hash, self._last_bits = start.hash, start.bits
        self.last_time = start.time
        self._buffer: deque[BlockHeader] = deque()
        self._release_all = False

    @property
    def asked_from(self) -> bytes:
        """The hash a getheaders goes on from, to be put before the locator of `start`."""
        return self._last_hash

    @property
    def start(self) -> HeaderNode:
        return self._start

    @property
    def presync_height(self) -> int:
        """How far its work is added up (getpeerinfo's presynced_headers)."""
        return self._reached

    @property
    def buffered(self) -> int:
        return len(self._buffer)

    def process(self, headers: Sequence[BlockHeader], *, full: bool) -> Progress:
        """Takes the next headers (at least one, continuous, with valid proof of work).

        full: the message had the most headers it can have. success is False for headers that break the
        sync; the phase is FINAL when nothing more will come of it.
        """
        if self.phase is Phase.PRESYNC:
            result = self._presync(headers, full)
        else:
            result = self._redownload(headers, full)
        if not (result.success and result.request_more):
            self.phase = Phase.FINAL
            self._buffer.clear()
            self._bits.clear()
        return result

    def _presync(self, headers: Sequence[BlockHeader], full: bool) -> Progress:
        if headers[0].prev_hash != self._last_hash:
            return Progress()  # a new tip the peer announced, perhaps; not an answer
        for header in headers:
            if not self._permitted(header):
                return Progress()
            if self._is_committed(self.height + 1):
                self._bits.append(self._bit(header))
                if len(self._bits) > self._max_bits:
                    return Progress()
            self._advance(header)
        self._reached = self.height
        if self.work >= self._minimum_work:
            self.phase = Phase.REDOWNLOAD
            start = self._start
            self.work, self.height = start.chainwork, start.height
            self._last_hash, self._last_bits = start.hash, start.bits
            return Progress(True, True)
        return Progress(True, full)

    def _redownload(self, headers: Sequence[BlockHeader], full: bool) -> Progress:
        ready: list[BlockHeader] = []
        for header in headers:
            if header.prev_hash != self._last_hash or not self._permitted(header):
                return Progress()
            committed = self._is_committed(self.height + 1)
            self._advance(header)
            if self.work >= self._minimum_work:
                self._release_all = True
            compare = committed and not self._release_all
            if compare and (not self._bits or self._bits.popleft() != self._bit(header)):
                return Progress()
            self._buffer.append(header)
            while self._buffer and (self._release_all or len(self._buffer) > self.REDOWNLOAD_BUFFER):
                ready.append(self._buffer.popleft())
        done = self._release_all and not self._buffer
        return Progress(True, full and not done, ready)

    def _is_committed(self, height: int) -> bool:
        return height % self.COMMITMENT_PERIOD == self._offset

    def _bit(self, header: BlockHeader) -> bool:
        return bool(siphash(self._salt, header.hash) & 1)

    def _permitted(self, header: BlockHeader) -> bool:
        return permitted_difficulty_transition(self.height + 1, self._last_bits, header.bits, self._params)

    def _advance(self, header: BlockHeader) -> None:
        self.work += block_work(header.bits)
        self.height += 1
        self._last_hash, self._last_bits, self.last_time = header.hash, header.bits, header.time


@dataclass(slots=True)
class PeerHeaders:
    """What is remembered of one peer about headers."""

    sync_started: bool = False
    sync_timeout: float | None = None
    """When to give up on it as the only sync peer; None once that has no more meaning."""
    last_getheaders: float | None = None
    """When it was last asked, if it has not answered."""
    inv_triggered_getheaders: bool = False
    unconnecting: int = 0
    """headers messages in a row that did not connect to anything known."""
    low_work: LowWorkSync | None = None
    # An outbound peer behind our tip is given CHAIN_SYNC_TIMEOUT (Core's ChainSyncTimeoutState).
    lag_timeout: float | None = None
    lag_header: HeaderNode | None = None
    lag_asked: bool = False
    protected: bool = False


class LagVerdict(Enum):
    FINE = auto()
    ASK = auto()
    DISCONNECT = auto()


class HeadersSync:
    """Decides for the whole node. Peers are ints; the caller sends and disconnects."""

    def __init__(self, params: ChainParams, random: Random) -> None:
        self._params, self._random = params, random
        self.peers: dict[int, PeerHeaders] = {}
        self.started = 0
        """Peers with which the initial sync was started."""
        self._last_inv_block: bytes | None = None

    def add_peer(self, peer: int) -> PeerHeaders:
        state = self.peers[peer] = PeerHeaders()
        return state

    def remove_peer(self, peer: int) -> None:
        state = self.peers.pop(peer, None)
        if state is not None and state.sync_started:
            self.started -= 1

    # Asking

    def may_ask(self, peer: int, now: float) -> bool:
        """Whether a getheaders may go out; if so it counts as sent."""
        state = self.peers[peer]
        if state.last_getheaders is not None and now - state.last_getheaders <= HEADERS_RESPONSE_TIME:
            return False
        state.last_getheaders = now
        return True

    def should_start(self, peer: int, *, preferred: bool, best_header_time: int, now: float) -> bool:
        """Whether the initial sync with a peer that serves blocks begins now: with one peer at first, with
        all when our best header is of the last day. preferred: it may be the one."""
        if self.peers[peer].sync_started:
            return False
        return (self.started == 0 and preferred) or best_header_time > now - NEAR_TODAY

    def start(self, peer: int, *, best_header_time: int, now: float) -> None:
        """The initial getheaders went to the peer."""
        state = self.peers[peer]
        state.sync_started = True
        self.started += 1
        expected = max(0.0, now - best_header_time) / self._params.pow_target_spacing
        state.sync_timeout = (
            now + HEADERS_DOWNLOAD_TIMEOUT_BASE + HEADERS_DOWNLOAD_TIMEOUT_PER_HEADER * expected
        )

    def restart(self, peer: int) -> None:
        """Takes the initial sync back from a peer that we may not disconnect."""
        state = self.peers[peer]
        state.sync_started, state.sync_timeout = False, None
        self.started -= 1

    def timed_out(self, peer: int, *, best_header_time: int, other_preferred: int, now: float) -> bool:
        """Whether our only sync peer took too long while other_preferred peers wait to be asked."""
        state = self.peers[peer]
        if not state.sync_started or state.sync_timeout is None:
            return False
        if best_header_time > now - NEAR_TODAY:
            state.sync_timeout = None  # caught up once: never again
            return False
        return now > state.sync_timeout and self.started == 1 and other_preferred >= 1

    def block_inv(self, peer: int, block_hash: bytes) -> bool:
        """An unknown block was announced by inv; whether to ask the peer for headers. Before its initial
        sync has started, each new block adds at most one peer."""
        state = self.peers[peer]
        if state.sync_started:
            return True
        if state.inv_triggered_getheaders or block_hash == self._last_inv_block:
            return False
        state.inv_triggered_getheaders = True
        self._last_inv_block = block_hash
        return True

    # Answers

    def answered(self, peer: int) -> None:
        """The outstanding getheaders, if any, has its answer."""
        self.peers[peer].last_getheaders = None

    def unconnecting(self, peer: int) -> int:
        """Headers came that build on nothing known; how many such messages in a row."""
        state = self.peers[peer]
        state.unconnecting += 1
        return state.unconnecting

    def connected(self, peer: int) -> None:
        state = self.peers[peer]
        state.last_getheaders, state.unconnecting = None, 0

    def begin_low_work(self, peer: int, start: HeaderNode, threshold: int, now: float) -> None:
        self.peers[peer].low_work = LowWorkSync(self._params, start, threshold, now, self._random)

    def continue_low_work(self, peer: int, headers: Sequence[BlockHeader], *, full: bool) -> Progress | None:
        """Gives headers to the peer's low-work sync. None: there is none, or they do not belong to it, and
        the headers are to be judged like any others."""
        state = self.peers[peer]
        if state.low_work is None:
            return None
        progress = state.low_work.process(headers, full=full)
        if progress.success:
            state.last_getheaders = None
        if state.low_work.phase is Phase.FINAL:
            state.low_work = None
        return progress if progress.success else None

    # Outbound peers that lag behind

    def check_lag(self, peer: int, best_known: HeaderNode | None, tip: HeaderNode, now: float) -> LagVerdict:
        """Whether an outbound peer shows at least our tip's work in time.

        ASK: send one getheaders from below `lag_header`, it has HEADERS_RESPONSE_TIME left.
        """
        state = self.peers[peer]
        if state.protected or not state.sync_started:
            return LagVerdict.FINE
        known_work = -1 if best_known is None else best_known.chainwork
        if known_work >= tip.chainwork:
            state.lag_timeout, state.lag_header, state.lag_asked = None, None, False
        elif state.lag_timeout is None or (
            state.lag_header is not None and known_work >= state.lag_header.chainwork
        ):
            state.lag_timeout, state.lag_header, state.lag_asked = now + CHAIN_SYNC_TIMEOUT, tip, False
        elif now > state.lag_timeout:
            if state.lag_asked:
                return LagVerdict.DISCONNECT
            state.lag_asked, state.lag_timeout = True, now + HEADERS_RESPONSE_TIME
            return LagVerdict.ASK
        return LagVerdict.FINE
