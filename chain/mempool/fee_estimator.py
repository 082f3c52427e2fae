"""Which feerate is confirmed within how many blocks, learnt from what the mempool and the blocks show.

Source: Core 31.99 policy/fees/block_policy_estimator.cpp. Feerates are satoshis per 1000 vbytes. Who feeds it
and keeps its file is fee_recorder.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import floor, isfinite
from typing import Any

import msgpack

from ..policy.fee_calculation import Estimate, FeeCalculation, FeeReason
from ..policy.feerate import feerate_of
from ..ports import Log
from ..primitives.hashes import hash_hex
from .entry import MempoolEntry
from .fee_horizon import BUCKETS, LONG, MEDIUM, SHORT, Averages, Horizon, HorizonKind, bucket_of

VERSION = 1
"""Of the packed estimator; a change of the buckets or of a horizon asks for the next one."""
MAX_TARGET = LONG.max_target
HALF_SUCCESS, SUCCESS, DOUBLE_SUCCESS = 0.6, 0.85, 0.95
"""Shares that must be confirmed within half the target, the target, and twice the target."""
OLDEST_HISTORY = 6 * 1008
"""Blocks after which the history of a file no longer says for which targets there is an answer."""
_CATEGORY = "estimatefee"


class FeeFileError(ValueError):
    """The data is no packed estimator, or one of a later version."""


class OldFeeFile(FeeFileError):
    """It is one of an earlier version, which is of no use any more."""


def whole(feerate: float) -> int:
    """Rounded to the nearest int, halves up; 0 for no feerate."""
    low = floor(feerate)
    return max(0, low + (feerate - low >= 0.5))


class FeeEstimator:
    """Fed with what enters and leaves the mempool, and with blocks, in the order in which it happens."""

    max_target = MAX_TARGET

    def __init__(self, log: Log) -> None:
        self.log = log
        self.best_height = 0
        """Of the last block that was counted."""
        self.horizons = {kind: Horizon(kind) for kind in (SHORT, MEDIUM, LONG)}
        self._first_height = 0
        """Of the first block with a transaction that was counted, since the start."""
        self._history = (0, 0)
        """Heights of the first and the last block of what the file told."""
        self._tracked: dict[bytes, tuple[int, int]] = {}
        """By txid: height of the tip when it came, bucket."""
        self._came = self._came_uncounted = 0

    def __len__(self) -> int:
        """Transactions in the mempool that are followed."""
        return len(self._tracked)

    # learning

    def transaction_came(self, txid: bytes, height: int, feerate: int, *, telling: bool) -> None:
        """It entered the mempool when the tip was at height. telling: its wait will say something.

        That is so if it came by itself, needs no other unconfirmed one, and the node is not behind.
        """
        if txid in self._tracked:
            self.log.debug(_CATEGORY, f"Blockpolicy error mempool tx {hash_hex(txid)} already being tracked")
            return
        if height != self.best_height:
            return  # a reorganisation, or blocks that are still on their way to us
        if not telling:
            self._came_uncounted += 1
            return
        self._came += 1
        bucket = bucket_of(feerate)
        self._tracked[txid] = height, bucket
        for horizon in self.horizons.values():
            horizon.came(height, bucket)

    def transaction_went(self, txid: bytes, *, in_block: bool = False) -> int | None:
        """It left the mempool, without a block or in one. Its bucket, None if it was not followed."""
        tracked = self._tracked.pop(txid, None)
        if tracked is None:
            return None
        height, bucket = tracked
        for horizon in self.horizons.values():
            complaint = horizon.went(height, self.best_height, bucket, in_block=in_block)
            if complaint is not None:
                self.log.debug(_CATEGORY, complaint)
        return bucket

    def block_came(self, height: int, taken: Sequence[MempoolEntry]) -> None:
        """The block at height became the tip. taken: what the mempool had of it, in its order.

        A block that is not higher than any before belongs to a reorganisation and says nothing.
        """
        if height <= self.best_height:
            return
        self.best_height = height
        for horizon in self.horizons.values():
            horizon.next_block(height)
        counted = sum(self._count(height, entry) for entry in taken)
        if self._first_height == 0 and counted:
            self._first_height = height
            self.log.debug(_CATEGORY, f"Blockpolicy first recorded height {height}")
        if self.log.enabled(_CATEGORY):
            historical = self._historical_span() > self._span()
            self.log.debug(
                _CATEGORY,
                f"Blockpolicy estimates updated by {counted} of {len(taken)} block txs, since last block "
                f"{self._came} of {self._came + self._came_uncounted} tracked, mempool map size {len(self)}, "
                f"max target {self._max_usable()} from {'historical' if historical else 'current'}",
            )
        self._came = self._came_uncounted = 0

    def _count(self, height: int, entry: MempoolEntry) -> bool:
        bucket = self.transaction_went(entry.txid, in_block=True)
        if bucket is None:
            return False
        blocks = height - entry.height
        if blocks <= 0:
            self.log.debug(_CATEGORY, "Blockpolicy error Transaction had negative blocksToConfirm")
            return False
        feerate = feerate_of(entry.fee, entry.vsize)
        for horizon in self.horizons.values():
            horizon.confirmed(blocks, bucket, feerate)
        return True

    def give_up_waiting(self) -> int:
        """The node stops: what is still unconfirmed counts as gone. How many that is."""
        waiting = list(self._tracked)
        for txid in waiting:
            self.transaction_went(txid)
        return len(waiting)

    # answering

    def estimate_raw(self, target: int, threshold: float, kind: HorizonKind) -> tuple[int, Estimate]:
        """The feerate by one horizon, 0 if there is none, and how it was come by."""
        estimate = self._estimate(kind, target, threshold)
        return whole(estimate.feerate), estimate

    def estimate_smart(self, target: int, *, conservative: bool) -> FeeCalculation:
        """The feerate for target blocks, or for the nearest target that there is an answer for.

        The highest of three: 60% confirmed within half the target, 85% within it, 95% within twice of it;
        each by the shortest horizon that knows the target. conservative: longer horizons must agree.
        """
        if not 1 <= target <= MAX_TARGET:
            return FeeCalculation(desired=target, target=target)
        usable = min(max(target, 2), self._max_usable())  # for the very next block nobody can tell
        if usable <= 1:
            return FeeCalculation(desired=target, target=usable)
        best, reason = self._combined(usable // 2, HALF_SUCCESS, shorter=True), FeeReason.HALF_ESTIMATE
        full = self._combined(usable, SUCCESS, shorter=True)
        if full.feerate > best.feerate:
            best, reason = full, FeeReason.FULL_ESTIMATE
        double = self._combined(2 * usable, DOUBLE_SUCCESS, shorter=not conservative)
        if double.feerate > best.feerate:
            best, reason = double, FeeReason.DOUBLE_ESTIMATE
        if conservative or best.feerate == -1:
            longer = self._longer(2 * usable)
            if longer.feerate > best.feerate:
                best, reason = longer, FeeReason.CONSERVATIVE
        return FeeCalculation(whole(best.feerate), reason, target, usable, best)

    def _estimate(self, kind: HorizonKind, target: int, threshold: float) -> Estimate:
        estimate = self.horizons[kind].estimate(target, threshold, self.best_height)
        if self.log.enabled(_CATEGORY):
            self.log.debug(
                _CATEGORY,
                f"FeeEst: {target} > {100 * threshold:.0f}% decay {kind.decay:.5f}: {estimate.describe()}",
            )
        return estimate

    def _combined(self, target: int, threshold: float, *, shorter: bool) -> Estimate:
        """By the shortest horizon that knows target. shorter: a lower answer of an even shorter one, for
        the highest target that it knows, is as good."""
        if not 1 <= target <= MAX_TARGET:
            return Estimate()
        kind = next(kind for kind in self.horizons if target <= kind.max_target)
        estimate = self._estimate(kind, target, threshold)
        for other in (MEDIUM, SHORT) if shorter else ():
            if target > other.max_target:
                lower = self._estimate(other, other.max_target, threshold)
                if lower.feerate > 0 and (estimate.feerate == -1 or lower.feerate < estimate.feerate):
                    estimate = lower
        return estimate

    def _longer(self, target: int) -> Estimate:
        """The highest answer of the horizons longer than the one that would do."""
        estimate = Estimate()
        for shorter, kind in ((SHORT, MEDIUM), (MEDIUM, LONG)):
            if target <= shorter.max_target:
                longer = self._estimate(kind, target, DOUBLE_SUCCESS)
                if longer.feerate > estimate.feerate:
                    estimate = longer
        return estimate

    def _span(self) -> int:
        """Blocks that were counted since the start."""
        return self.best_height - self._first_height if self._first_height else 0

    def _historical_span(self) -> int:
        """Blocks that the file tells of."""
        first, last = self._history
        if first == 0 or self.best_height - last > OLDEST_HISTORY:
            return 0
        return last - first

    def _max_usable(self) -> int:
        """The highest target for which enough blocks were seen, half of which may have failed it."""
        return min(MAX_TARGET, max(self._span(), self._historical_span()) // 2)

    # the file

    def pack(self) -> bytes:
        """All that was learnt; who is waiting is left out."""
        history = self._history
        if self._span() > self._historical_span() // 2:
            history = self._first_height, self.best_height
        horizons = {
            kind.name: [
                [bucket, one.count, one.feerates, one.confirmed, one.failed]
                for bucket, one in sorted(horizon.averages.items())
            ]
            for kind, horizon in self.horizons.items()
        }
        record = {
            "version": VERSION,
            "best_height": self.best_height,
            "history": history,
            "horizons": horizons,
        }
        return bytes(msgpack.packb(record))

    def unpack(self, data: bytes) -> None:
        """Takes over what `pack` gave. FeeFileError, with everything as it was, if it cannot."""
        try:
            record: Any = msgpack.unpackb(data)
            version = _height(record["version"])
            if version > VERSION:
                raise FeeFileError(f"File version ({version}) too high to be read.")
            if version < VERSION:
                raise OldFeeFile(f"Version: {version}")
            best = _height(record["best_height"])
            first, last = map(_height, record["history"])
            if not first <= last <= best:
                raise _corrupt("Historical block range for estimates is invalid")
            averages = {kind: dict(_averages(record["horizons"][kind.name], kind)) for kind in self.horizons}
        except FeeFileError:
            raise
        except (msgpack.UnpackException, LookupError, TypeError, ValueError) as error:
            raise FeeFileError(str(error) or type(error).__name__) from error
        self.best_height, self._history = best, (first, last)
        for kind in (MEDIUM, SHORT, LONG):
            self.horizons[kind].averages = averages[kind]
            self.log.debug(
                _CATEGORY,
                f"Reading estimates: {len(BUCKETS)} buckets counting confirms up to {kind.max_target} blocks",
            )


def _corrupt(what: str) -> FeeFileError:
    return FeeFileError(f"Corrupt estimates file. {what}")


def _height(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**32:
        raise _corrupt("A height is out of range")
    return value


def _average(value: Any) -> float:
    if not isinstance(value, float) or not isfinite(value) or value < 0:
        raise _corrupt("An average is no number")
    return value


def _averages(rows: Any, kind: HorizonKind) -> Iterable[tuple[int, Averages]]:
    for bucket, count, feerates, confirmed, failed in rows:
        if not 0 <= _height(bucket) < len(BUCKETS):
            raise _corrupt("Mismatch in feerate average bucket count")
        if len(confirmed) != kind.periods or len(failed) != kind.periods:
            raise _corrupt("Mismatch in confirms tracked")
        parts = [_average(value) for value in confirmed], [_average(value) for value in failed]
        yield bucket, Averages(_average(count), _average(feerates), *parts)
