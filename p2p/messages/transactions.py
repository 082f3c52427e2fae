"""One transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from pybitcoind.chain.primitives.serialize import Reader, Writer
from pybitcoind.chain.primitives.transaction import Transaction


@dataclass(slots=True)
class TxMessage:
    """A transaction, as an answer to getdata. witness: write it with its witness (not for MSG_TX)."""

    COMMAND: ClassVar[str] = "tx"
    V2_ID: ClassVar[int | None] = 21
    tx: Transaction
    witness: bool = True

    def encode(self, w: Writer) -> None:
        w.bytes(self.tx.raw if self.witness else self.tx.stripped)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        tx, r.pos = Transaction.parse(r.buf, r.pos)
        return cls(tx)
