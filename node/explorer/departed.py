"""Transactions that left the mempool for another reason than a block: remembered for a while, with why.

So that who looks for a payment that was replaced or double spent learns what became of it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from pybitcoind.chain.events import BlockConnected, Event, RemovalReason, TxAdded, TxRemoved
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction

KEPT = 2000
KEPT_BYTES = 8 << 20


@dataclass(slots=True)
class Departed:
    """successor: txid of the transaction that spends the same coin and came instead, if it is known."""

    tx: Transaction
    reason: RemovalReason
    successor: bytes | None = None


class DepartedTransactions:
    """Follows the events; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._by_txid: OrderedDict[bytes, Departed] = OrderedDict()
        self._spent: dict[OutPoint, list[bytes]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._by_txid)

    def get(self, txid: bytes) -> Departed | None:
        return self._by_txid.get(txid)

    def handle(self, event: Event) -> None:
        if isinstance(event, TxRemoved):
            if event.reason is not RemovalReason.BLOCK:
                self._add(event.tx, event.reason)
        elif isinstance(event, TxAdded):
            self._came(event.tx)
        elif isinstance(event, BlockConnected) and self._by_txid:
            for tx in event.block.vtx:
                self._came(tx)

    def _add(self, tx: Transaction, reason: RemovalReason) -> None:
        self._forget(tx.txid)
        self._by_txid[tx.txid] = Departed(tx, reason)
        self._bytes += tx.size
        for txin in tx.vin:
            self._spent.setdefault(txin.prevout, []).append(tx.txid)
        while len(self._by_txid) > KEPT or (self._bytes > KEPT_BYTES and len(self._by_txid) > 1):
            self._forget(next(iter(self._by_txid)))

    def _came(self, tx: Transaction) -> None:
        """tx is in the mempool or in a block: it has not departed, and others that spend the same have."""
        self._forget(tx.txid)
        if not self._spent:
            return
        for txin in tx.vin:
            for txid in self._spent.get(txin.prevout, ()):
                self._by_txid[txid].successor = tx.txid

    def _forget(self, txid: bytes) -> None:
        gone = self._by_txid.pop(txid, None)
        if gone is None:
            return
        self._bytes -= gone.tx.size
        for txin in gone.tx.vin:
            rest = [other for other in self._spent[txin.prevout] if other != txid]
            if rest:
                self._spent[txin.prevout] = rest
            else:
                del self._spent[txin.prevout]
