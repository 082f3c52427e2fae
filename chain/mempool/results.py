"""What acceptance answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from ..consensus.errors import TxInvalid
from ..primitives.transaction import Transaction


class TxAccept(NamedTuple):
    """A transaction that was taken in, or would be.

    fee: satoshis, without deltas. effective_feerate: satoshis per 1000 vbytes, with deltas, of the
    transactions effective_wtxids together: its package where that was judged as a whole. replaced: what it
    drove out, with descendants.
    """

    tx: Transaction
    fee: int
    vsize: int
    effective_feerate: int
    effective_wtxids: Sequence[bytes]
    replaced: Sequence[Transaction] = ()


class AlreadyInMempool(NamedTuple):
    """The same transaction was there before."""

    fee: int
    vsize: int


class OtherWitness(NamedTuple):
    """The same transaction with another witness is there: wtxid."""

    wtxid: bytes


class PackageFault(Enum):
    POLICY = auto()
    """The package itself is at fault."""
    TX = auto()
    """At least one of its transactions is."""


TxResult = TxAccept | AlreadyInMempool | OtherWitness | TxInvalid


@dataclass(slots=True)
class PackageResult:
    """fault: None if all is well. results by wtxid; a transaction not looked at to the end has none."""

    fault: PackageFault | None = None
    reason: str = ""
    detail: str = ""
    results: dict[bytes, TxResult] = field(default_factory=dict)

    def fail(self, fault: PackageFault, reason: str, detail: str = "") -> PackageResult:
        self.fault, self.reason, self.detail = fault, reason, detail
        return self

    def __str__(self) -> str:
        """As Core writes a state: token and detail."""
        return f"{self.reason}, {self.detail}" if self.detail else self.reason


Results = Mapping[bytes, TxResult]
