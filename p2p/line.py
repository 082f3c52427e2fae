"""One direction of a link: how late, how slowly and how surely what is sent arrives.

Used by the in-memory network and by the proxies of node/testing. Bytes keep their order, and none is ever
lost for good while the line works, as over TCP: what is lost on the way is sent again, and so comes late.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from pybitcoind.chain.ports import Clock, Random, Timer

FIRST_RETRY = 0.2
"""Seconds until a lost piece is sent again, beyond the way there and back; doubled each time (RFC 6298)."""
LAST_RETRY = 60.0

Deliver = Callable[[], object]


@dataclass(slots=True)
class _Piece:
    """leaves, arrives: monotonic. travels: seconds from the one to the other, if nothing is in its way."""

    size: int
    deliver: Deliver
    travels: float
    leaves: float = 0.0
    arrives: float = 0.0


class Line:
    """A perfect line at first: what is sent arrives at once.

    delay: seconds on the way. jitter: up to so many seconds more, at random. bandwidth: bytes a second; 0 for
    no limit. loss: chance of a piece to be lost and sent again; with 1 nothing arrives any more, and nobody
    is told, until it is less than 1 again. A change holds for what has not left yet.
    """

    def __init__(self, clock: Clock, random: Random | None = None, *, delay: float = 0.0) -> None:
        self._clock, self._random = clock, random
        self.delay, self.jitter = delay, 0.0
        self._bandwidth = self._loss = 0.0
        self._pieces: deque[_Piece] = deque()
        """What was sent and has not arrived, in order."""
        self._timer: Timer | None = None
        self._free = 0.0
        """When the last piece has left, monotonic."""
        self._held: deque[tuple[int, Deliver]] = deque()
        """What was sent while nothing gets through: size and delivery."""

    @property
    def bandwidth(self) -> float:
        return self._bandwidth

    @bandwidth.setter
    def bandwidth(self, bytes_per_second: float) -> None:
        self._bandwidth = bytes_per_second
        self._reschedule()

    @property
    def loss(self) -> float:
        return self._loss

    @loss.setter
    def loss(self, chance: float) -> None:
        if chance > 0 and self._random is None:
            raise ValueError("a line without a source of chance cannot lose anything")
        self._loss = chance
        if chance < 1:
            self._reschedule()
            held, self._held = self._held, deque()
            for size, deliver in held:
                self.send(size, deliver)

    @property
    def is_dead(self) -> bool:
        """Nothing gets through."""
        return self._loss >= 1

    def send(self, size: int, deliver: Deliver) -> None:
        """Has deliver called when size bytes sent now arrive; never before what was sent earlier."""
        if self.is_dead:
            self._held.append((size, deliver))
            return
        if not (self._pieces or self.delay or self.jitter or self._bandwidth or self._loss):
            deliver()
            return
        travels = self.delay
        if self.jitter and self._random is not None:
            travels += self.jitter * self._random.uniform()
        before = self._pieces[-1] if self._pieces else None
        piece = _Piece(size, deliver, travels)
        self._schedule(piece, before)
        self._pieces.append(piece)
        if before is None:
            self._wait()

    def end(self) -> None:
        """Whatever was under way is of a connection that is no more: it is in nobody's way, and who waits for
        an arrival hears of it now."""
        pieces, self._pieces = self._pieces, deque()
        held, self._held = self._held, deque()
        self._free = 0.0
        self._wait()
        for piece in pieces:
            piece.deliver()
        for _, deliver in held:
            deliver()

    def _schedule(self, piece: _Piece, before: _Piece | None) -> None:
        self._free = max(self._free, self._clock.monotonic())
        if self._bandwidth:
            self._free += piece.size / self._bandwidth
        piece.leaves = self._free + self._again(piece.travels)
        self._queue(piece, before)

    def _queue(self, piece: _Piece, before: _Piece | None) -> None:
        piece.arrives = piece.leaves + piece.travels
        if before is not None:
            piece.arrives = max(piece.arrives, before.arrives)

    def _reschedule(self) -> None:
        """What has not left goes by the bandwidth and loss of now."""
        now = self._clock.monotonic()
        self._free, before = now, None
        for piece in self._pieces:
            if piece.leaves > now:
                self._schedule(piece, before)
            else:
                self._queue(piece, before)
            before = piece
        self._wait()

    def _again(self, travels: float) -> float:
        """Seconds that sending again costs this time."""
        lost, wait = 0.0, FIRST_RETRY + 2 * travels
        while self._random is not None and 0 < self._loss < 1 and self._random.uniform() < self._loss:
            lost += wait
            wait = min(2 * wait, LAST_RETRY)
        return lost

    def _wait(self) -> None:
        """For the first piece on the way."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pieces:
            self._timer = self._clock.call_at(self._pieces[0].arrives, self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        now = self._pieces[0].arrives
        while self._pieces and self._pieces[0].arrives <= now:
            self._pieces.popleft().deliver()
        self._wait()
