"""-maxuploadtarget: how much of what may be sent in a day is left, and what is no longer served for it.

Source: Core src/net.cpp (OutboundTargetReached and its kin), net_processing.cpp.
"""

from __future__ import annotations

from collections.abc import Callable

TIMEFRAME = 24 * 60 * 60
"""Seconds of a cycle."""
HISTORICAL_AGE = 7 * 24 * 60 * 60
"""A block that is so much older than the best header is historical: it is the first not to be served."""
BLOCK_SIZE, BLOCK_INTERVAL = 4_000_000, 600
"""What is kept back for new blocks: one of the greatest size each ten minutes."""


class UploadBudget:
    """limit: bytes a cycle, 0 for no limit. now: seconds. sent: bytes that were sent since the start."""

    def __init__(self, limit: int, now: Callable[[], float], sent: Callable[[], int]) -> None:
        self.limit, self._now, self._sent = limit, now, sent
        self._start: float | None = None
        """Of the cycle: when it is first seen that something was sent."""
        self._before = 0

    def _used(self) -> int:
        """Bytes of this cycle; a new one begins when the last is over."""
        sent = self._sent()
        if self._start is None:
            self._start = self._now() if sent else None
        elif self._start + TIMEFRAME < self._now():
            self._start, self._before = self._now(), sent
        return sent - self._before

    @property
    def seconds_left(self) -> int:
        """Of the cycle; 0 without a limit."""
        if not self.limit:
            return 0
        self._used()
        end = (self._now() if self._start is None else self._start) + TIMEFRAME
        return max(0, int(end - self._now()))

    @property
    def bytes_left(self) -> int:
        return max(0, self.limit - self._used())

    @property
    def reached(self) -> bool:
        return bool(self.limit) and self._used() >= self.limit

    @property
    def serves_historical(self) -> bool:
        """What is left is more than the new blocks of the cycle's rest may take."""
        if not self.limit:
            return True
        reserve = self.seconds_left // BLOCK_INTERVAL * BLOCK_SIZE
        return reserve < self.limit and self._used() < self.limit - reserve


__all__ = ["HISTORICAL_AGE", "TIMEFRAME", "UploadBudget"]
