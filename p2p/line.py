"""One direction of a link: how late, how slowly and how surely what is sent arrives.

Used by the in-memory network and by the proxies of node/testing. Bytes keep their order, and none is ever
lost for good while the line works, as over TCP: what is lost on the way is sent again, and so comes late.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pybitcoind.chain.ports import Clock, Random

FIRST_RETRY = 0.2
"""Seconds until a lost piece is sent again, beyond the way there and back; doubled each time (RFC 6298)."""
LAST_RETRY = 60.0

Deliver = Callable[[], object]


class Line:
    """A perfect line at first: what is sent arrives at once.

    delay: seconds on the way. jitter: up to so many seconds more, at random. bandwidth: bytes a second; 0 for
    no limit. loss: chance of a piece to be lost and sent again; with 1 nothing arrives any more, and nobody
    is told, until it is less than 1 again.
    """

    def __init__(self, clock: Clock, random: Random | None = None, *, delay: float = 0.0) -> None:
        self._clock, self._random = clock, random
        self.delay, self.jitter, self.bandwidth = delay, 0.0, 0.0
        self._loss = 0.0
        self._free = 0.0
        """When the last piece has left, monotonic."""
        self._arrival = 0.0
        """When the last piece on the way arrives."""
        self._on_the_way = 0
        self._held: deque[tuple[int, Deliver]] = deque()
        """What was sent while nothing gets through: size and delivery."""

    @property
    def loss(self) -> float:
        return self._loss

    @loss.setter
    def loss(self, chance: float) -> None:
        if chance > 0 and self._random is None:
            raise ValueError("a line without a source of chance cannot lose anything")
        self._loss = chance
        if chance < 1:
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
        if not (self._on_the_way or self.delay or self.jitter or self.bandwidth or self._loss):
            deliver()
            return
        now = self._clock.monotonic()
        self._free = max(self._free, now)
        if self.bandwidth:
            self._free += size / self.bandwidth
        arrival = self._free + self.delay + self._again()
        if self.jitter and self._random is not None:
            arrival += self.jitter * self._random.uniform()
        self._arrival = max(self._arrival, arrival)
        self._on_the_way += 1
        self._clock.call_at(self._arrival, lambda: self._arrive(deliver))

    def _again(self) -> float:
        """Seconds that sending again costs this time."""
        lost, wait = 0.0, FIRST_RETRY + 2 * self.delay
        while self._random is not None and self._loss and self._random.uniform() < self._loss:
            lost += wait
            wait = min(2 * wait, LAST_RETRY)
        return lost

    def _arrive(self, deliver: Deliver) -> None:
        self._on_the_way -= 1
        deliver()
