"""What an estimate of feerates answers, and how it was come by (estimaterawfee, a wallet's fee_reason).

Source: Core 31.99 policy/fees and common/messages.cpp.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import NamedTuple


class FeeReason(Enum):
    """Where a feerate comes from; values are Core's words (fee_reason)."""

    NONE = "None"
    HALF_ESTIMATE = "Half Target 60% Threshold"
    FULL_ESTIMATE = "Target 85% Threshold"
    DOUBLE_ESTIMATE = "Double Target 95% Threshold"
    CONSERVATIVE = "Conservative Double Target longer horizon"
    MEMPOOL_MIN = "Mempool Min Fee"
    FALLBACK = "Fallback fee"
    REQUIRED = "Minimum Required Fee"


class FeerateRange(NamedTuple):
    """What became of the transactions that paid more than start and at most end satoshis per 1000 vbytes.

    Numbers are averages that decay with the blocks: confirmed within the target; confirmed at any time; still
    waiting after target blocks; gone unconfirmed after target blocks. start is -1 where there is no range.
    """

    start: float = -1.0
    end: float = -1.0
    within_target: float = 0.0
    total_confirmed: float = 0.0
    in_mempool: float = 0.0
    left_mempool: float = 0.0

    @property
    def percent(self) -> float:
        """Confirmed within the target, of all."""
        total = self.total_confirmed + self.in_mempool + self.left_mempool
        return 100 * self.within_target / total if total else 0.0

    def describe(self, percent: float) -> str:
        return (
            f"({self.start:g} - {self.end:g}) {percent:.2f}% {self.within_target:.1f}/"
            f"({self.total_confirmed:.1f} {self.in_mempool:g} mem {self.left_mempool:.1f} out)"
        )


class Estimate(NamedTuple):
    """One horizon's answer. feerate: satoshis per 1000 vbytes, -1 if there is none.

    passed: the lowest feerates that suffice; failed: the highest that do not. scale: blocks of a period.
    """

    feerate: float = -1.0
    passed: FeerateRange = FeerateRange()
    failed: FeerateRange = FeerateRange()
    decay: float = 0.0
    scale: int = 0

    def describe(self) -> str:
        """As Core's log has it, in single precision."""
        percents = (self.passed.percent, self.failed.percent)
        passed, failed = struct.unpack("2f", struct.pack("2f", *percents))
        return (
            f"feerate: {self.feerate:g} from {self.passed.describe(passed)}"
            f" Fail: {self.failed.describe(failed)}"
        )


class FeeCalculation(NamedTuple):
    """A feerate (satoshis per 1000 vbytes, 0 if it is not known) to be confirmed within target blocks.

    desired: the target that was asked for; target: the one that could be answered. estimate: the one of
    several that decided.
    """

    feerate: int = 0
    reason: FeeReason = FeeReason.NONE
    desired: int = 0
    target: int = 0
    estimate: Estimate = Estimate()

    def describe(self) -> str:
        """As a wallet's log has it, after the fee and the size."""
        passed, failed = self.estimate.passed, self.estimate.failed
        return (
            f'Tgt:{self.target} (requested {self.desired}) Reason:"{self.reason.value}"'
            f" Decay {self.estimate.decay:.5f}: Estimation: {passed.describe(passed.percent)}"
            f" Fail: {failed.describe(failed.percent)}"
        )
