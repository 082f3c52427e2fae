"""How many blocks transactions of like feerates waited for theirs, over one span of time.

Source: Core 31.99 policy/fees/block_policy_estimator.cpp (TxConfirmStats). The answers are Core's to the last
bit, so averages are doubles which are summed up and decayed in its order. A feerate that nobody paid takes no
room and no time: a bucket is there once something was counted in it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from ..policy.fee_calculation import Estimate, FeerateRange

_LOWEST, _HIGHEST, _SPACING, _INFINITE = 100.0, 1e7, 1.05, 1e99
_WORD = 0xFFFFFFFF


def _bucket_ends() -> tuple[float, ...]:
    ends, end = [], _LOWEST
    while end <= _HIGHEST:
        ends.append(end)
        end *= _SPACING
    return (*ends, _INFINITE)


BUCKETS = _bucket_ends()
"""The highest feerate of each bucket, in satoshis per 1000 vbytes."""


def bucket_of(feerate: int) -> int:
    """The bucket that feerate falls in."""
    return bisect_left(BUCKETS, feerate)


class HorizonKind(NamedTuple):
    """periods of scale blocks each are told apart. sufficient: transactions a block that make an average."""

    name: str
    periods: int
    scale: int
    decay: float
    sufficient: float

    @property
    def max_target(self) -> int:
        return self.periods * self.scale


SHORT = HorizonKind("short", 12, 1, 0.962, 0.5)
"""Half of what was counted is forgotten in 18 blocks, three hours."""
MEDIUM = HorizonKind("medium", 24, 2, 0.9952, 0.1)
"""In 144 blocks, a day."""
LONG = HorizonKind("long", 42, 24, 0.99931, 0.1)
"""In 1008 blocks, a week."""


class Averages:
    """What became of the transactions of one bucket.

    count: confirmed; feerates: the sum of theirs; confirmed, failed: by period, those confirmed by its end,
    and those gone unconfirmed after it.
    """

    __slots__ = ("confirmed", "count", "failed", "feerates")

    def __init__(self, count: float, feerates: float, confirmed: list[float], failed: list[float]) -> None:
        self.count, self.feerates, self.confirmed, self.failed = count, feerates, confirmed, failed

    def decay(self, factor: float) -> None:
        self.count *= factor
        self.feerates *= factor
        self.confirmed = [value * factor for value in self.confirmed]
        self.failed = [value * factor for value in self.failed]


class Horizon:
    """The averages of one kind, and who is waiting since when."""

    def __init__(self, kind: HorizonKind) -> None:
        self.kind = kind
        self.averages: dict[int, Averages] = {}
        """By bucket."""
        self._waiting: dict[int, defaultdict[int, int]] = {}
        """Number by bucket, of those who came at a height that has this remainder by the highest target."""
        self._overdue = defaultdict[int, int](int)
        """Number by bucket, of those who wait longer than the highest target."""

    def _of(self, bucket: int) -> Averages:
        averages = self.averages.get(bucket)
        if averages is None:
            zeros = [0.0] * self.kind.periods
            averages = self.averages[bucket] = Averages(0.0, 0.0, zeros, list(zeros))
        return averages

    # counting

    def came(self, height: int, bucket: int) -> None:
        self._waiting.setdefault(height % self.kind.max_target, defaultdict(int))[bucket] += 1

    def went(self, entered: int, best: int, bucket: int, *, in_block: bool) -> str | None:
        """One that came at height entered has left the mempool. Core's complaint if it was not counted."""
        blocks = best - entered if best else 0
        if blocks < 0:
            return "Blockpolicy error, blocks ago is negative for mempool tx"
        complaint = None
        overdue = blocks >= self.kind.max_target
        index = entered % self.kind.max_target
        waiting = self._overdue if overdue else self._waiting.get(index)
        if waiting is not None and waiting.get(bucket, 0) > 0:
            waiting[bucket] -= 1
        else:
            where = ">25 blocks" if overdue else f"blockIndex={index}"
            complaint = f"Blockpolicy error, mempool tx removed from {where},bucketIndex={bucket} already"
        if not in_block and blocks >= self.kind.scale:
            failed = self._of(bucket).failed
            for period in range(min(blocks // self.kind.scale, len(failed))):
                failed[period] += 1.0
        return complaint

    def next_block(self, height: int) -> None:
        """Before the transactions of the block at height are counted."""
        for bucket, number in self._waiting.pop(height % self.kind.max_target, {}).items():
            self._overdue[bucket] += number
        for averages in self.averages.values():
            averages.decay(self.kind.decay)

    def confirmed(self, blocks: int, bucket: int, feerate: int) -> None:
        """One was confirmed by the blocks-th block, at least the first, after it came."""
        averages = self._of(bucket)
        confirmed = averages.confirmed
        period = (blocks + self.kind.scale - 1) // self.kind.scale - 1
        confirmed[period:] = [value + 1.0 for value in confirmed[period:]]
        averages.count += 1.0
        averages.feerates += feerate

    # estimating

    def estimate(self, target: int, threshold: float, best: int) -> Estimate:
        """The lowest feerate that was confirmed within target blocks in a share of at least threshold.

        best: height of the last block that was counted. From the highest feerates down, buckets are joined
        until they hold enough transactions to judge.
        """
        kind = self.kind
        enough = kind.sufficient / (1 - kind.decay)
        period = (target + kind.scale - 1) // kind.scale - 1
        waiting = self._waiting_for(target, best)
        near = low = high = len(BUCKETS) - 1  # low and high: of the last range that passed
        within = total = left = partial = 0.0
        pending = 0
        fresh = passing = True
        found = False
        passed, failed = FeerateRange(), FeerateRange()
        for bucket in range(len(BUCKETS) - 1, -1, -1):
            if fresh:
                near, fresh = bucket, False
            averages = self.averages.get(bucket)
            if averages is not None:
                within += averages.confirmed[period]
                partial += averages.count
                total += averages.count
                left += averages.failed[period]
            pending += waiting.get(bucket, 0)
            if partial < enough:
                continue
            partial = 0.0
            if within / (total + left + pending) < threshold:
                if passing:
                    failed = _range(bucket, near, within, total, pending, left)
                    passing = False
                continue
            failed = FeerateRange()
            found = passing = fresh = True
            low, high = bucket, near
            passed = FeerateRange(-1.0, -1.0, within, total, pending, left)
            within = total = left = 0.0
            pending = 0
        feerate = -1.0
        if found:
            median = self._median(range(low, high + 1))
            if median is not None:
                feerate = median
                passed = _range(low, high, *_numbers(passed))
        if passing and not fresh:
            failed = _range(0, near, within, total, pending, left)
        return Estimate(feerate, passed, failed, kind.decay, kind.scale)

    def _waiting_for(self, target: int, best: int) -> dict[int, int]:
        """Number by bucket, of those who wait for at least target blocks.

        Heights below zero wrap round at 32 bits, as in Core: on a chain shorter than the highest target
        some are counted twice.
        """
        waiting = dict(self._overdue)
        for blocks in range(target, self.kind.max_target):
            came = self._waiting.get(((best - blocks) & _WORD) % self.kind.max_target)
            for bucket, number in came.items() if came else ():
                waiting[bucket] = waiting.get(bucket, 0) + number
        return waiting

    def _median(self, buckets: Sequence[int]) -> float | None:
        """The average feerate of the bucket, one of buckets, that the median transaction is in."""
        there = [self.averages[bucket] for bucket in buckets if bucket in self.averages]
        half = 0.0
        for averages in there:
            half += averages.count
        if half == 0:
            return None
        half /= 2
        for averages in there:
            if averages.count >= half:
                return averages.feerates / averages.count
            half -= averages.count
        return -1.0


def _numbers(one: FeerateRange) -> tuple[float, float, float, float]:
    return one.within_target, one.total_confirmed, one.in_mempool, one.left_mempool


def _range(low: int, high: int, within: float, total: float, pending: float, left: float) -> FeerateRange:
    start = BUCKETS[low - 1] if low else 0.0
    return FeerateRange(start, BUCKETS[high], within, total, float(pending), left)
