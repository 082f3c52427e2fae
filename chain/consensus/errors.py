"""How a rule failure is told: what to do with the sender, Core's token, and detail.

Source: Bitcoin Core 31.99 src/consensus/validation.h; tokens stand where they are raised.
"""

from __future__ import annotations

from enum import Enum, auto


class BlockFault(Enum):
    """Why a block or header was refused, as far as it matters for its sender (Core BlockValidationResult)."""

    CONSENSUS = auto()
    """Breaks a rule; the block is failed for good."""
    CACHED_INVALID = auto()
    """Known as failed from before; the reason was not kept."""
    INVALID_HEADER = auto()
    """Bad proof of work, time or version in the header itself."""
    MUTATED = auto()
    """The body is not the one that the proof of work commits to: the header may still be good."""
    MISSING_PREV = auto()
    """The block below it is not known."""
    INVALID_PREV = auto()
    """A block below it is failed."""
    TIME_FUTURE = auto()
    """Timestamp too far ahead: may be fine later."""
    HEADER_LOW_WORK = auto()
    """May be on a chain with too little work to store its headers."""


class TxFault(Enum):
    """Why a transaction was refused, as far as it matters for its sender (Core TxValidationResult)."""

    CONSENSUS = auto()
    INPUTS_NOT_STANDARD = auto()
    """Inputs, as far as the txid covers them, fail policy."""
    NOT_STANDARD = auto()
    MISSING_INPUTS = auto()
    PREMATURE_SPEND = auto()
    """Spends a coinbase too early, or is still locked."""
    WITNESS_MUTATED = auto()
    """Fails in a way that another witness may not; says nothing about the txid."""
    WITNESS_STRIPPED = auto()
    CONFLICT = auto()
    """Already in the mempool or the chain."""
    MEMPOOL_POLICY = auto()
    """Fee, size, replacement and other limits of the mempool."""
    NO_MEMPOOL = auto()
    RECONSIDERABLE = auto()
    """Fails policy now, may pass in another package."""
    UNKNOWN = auto()
    """Not looked at, because its package failed."""


class BlockInvalid(Exception):
    """A block or header breaks a rule. reason: Core's token; detail: Core's debug message, may be empty."""

    def __init__(self, fault: BlockFault, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}, {detail}" if detail else reason)
        self.fault, self.reason, self.detail = fault, reason, detail


class TxInvalid(Exception):
    """A transaction breaks a rule or policy. reason: Core's token; detail: Core's debug text, if any."""

    def __init__(self, fault: TxFault, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}, {detail}" if detail else reason)
        self.fault, self.reason, self.detail = fault, reason, detail
