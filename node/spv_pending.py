"""Transactions that wait for a block, as an SPV node sees them: those of its wallets, and what it sends.

Nothing here is validated as a full node would: there are no coins to check against. A stranger's transaction
is kept only if it concerns a wallet, and only if what it spends of ours is signed for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pybitcoind.chain.consensus.transactions import check_transaction
from pybitcoind.chain.events import EventBus, RemovalReason, TxAdded, TxRemoved
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxOut
from pybitcoind.chain.script.flags import STANDARD_FLAGS
from pybitcoind.chain.script.script import is_p2tr
from pybitcoind.chain.script.sighash import TxDigests
from pybitcoind.chain.script.verify import verify_input
from pybitcoind.p2p.filter_judge import revealed_scripts

MAX_WATCHED = 200
"""Scripts of strangers that are looked for; many, or busy ones, would have us fetch many blocks."""


@dataclass(frozen=True, slots=True)
class PendingTx:
    """since: wall time. own: we send it, so it is announced until a block has it."""

    tx: Transaction
    since: int
    own: bool


class Pending:
    """By txid, in order of arrival; every change is told on the bus."""

    def __init__(self, events: EventBus) -> None:
        self._events = events
        self._entries: dict[bytes, PendingTx] = {}
        self._spenders: dict[OutPoint, bytes] = {}
        self._sequence = 0

    def __contains__(self, txid: object) -> bool:
        return txid in self._entries

    def __iter__(self) -> Iterator[PendingTx]:
        return iter(list(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, txid: bytes) -> PendingTx | None:
        return self._entries.get(txid)

    def transactions(self) -> list[Transaction]:
        """Parents first: what spends something came after it, or was made after it."""
        done: dict[bytes, Transaction] = {}

        for entry in self._entries.values():
            todo = [entry.tx]
            while todo:
                above = [self._entries.get(txin.prevout.txid) for txin in todo[-1].vin]
                missing = [parent.tx for parent in above if parent and parent.tx.txid not in done]
                if missing:
                    todo += missing
                else:
                    tx = todo.pop()
                    done[tx.txid] = tx
        return list(done.values())

    def watched_scripts(self) -> list[bytes]:
        """Scripts whose blocks tell what becomes of these transactions: those that they spend, as far as they
        reveal them, and an output of those that we send for others."""
        scripts: list[bytes] = []
        for entry in self._entries.values():
            for index in range(len(entry.tx.vin)):
                scripts += revealed_scripts(entry.tx, index)
            if entry.own:
                scripts += [out.script_pubkey for out in entry.tx.vout[:1]]
        return scripts[-MAX_WATCHED:]

    def add(self, tx: Transaction, now: int, *, own: bool) -> list[Transaction]:
        """Takes tx; what it replaces leaves and is returned. Of two that spend the same the later counts: a
        full node announces a second one only where it took it in place of the first."""
        known = self._entries.get(tx.txid)
        if known is not None:
            if own and not known.own:
                self._entries[tx.txid] = PendingTx(known.tx, known.since, True)
            return []
        gone = []
        for txin in tx.vin:
            rival = self._spenders.get(txin.prevout)
            if rival is not None:
                gone += self.remove(rival, RemovalReason.REPLACED)
        self._entries[tx.txid] = PendingTx(tx, now, own)
        for txin in tx.vin:
            self._spenders[txin.prevout] = tx.txid
        self._sequence += 1
        self._events.emit(TxAdded(tx, 0, self._sequence))
        return gone

    def remove(self, txid: bytes, reason: RemovalReason) -> list[Transaction]:
        """Takes it out with all that spends from it, but for a confirmed one, which takes nobody along."""
        entry = self._entries.pop(txid, None)
        if entry is None:
            return []
        for txin in entry.tx.vin:
            if self._spenders.get(txin.prevout) == txid:
                del self._spenders[txin.prevout]
        gone = [entry.tx]
        self._sequence += 1
        self._events.emit(TxRemoved(entry.tx, reason, self._sequence))
        if reason is not RemovalReason.BLOCK:
            for n in range(len(entry.tx.vout)):
                child = self._spenders.get(OutPoint(txid, n))
                if child is not None:
                    gone += self.remove(child, reason)
        return gone

    def block_connected(self, block: Block) -> list[Transaction]:
        """What is in block, and what its transactions make impossible, leaves."""
        gone = []
        for tx in block.vtx:
            gone += self.remove(tx.txid, RemovalReason.BLOCK)
            for txin in tx.vin:
                rival = self._spenders.get(txin.prevout)
                if rival is not None:
                    gone += self.remove(rival, RemovalReason.CONFLICT)
        return gone

    def expire(self, before: int) -> list[Transaction]:
        """What came before that time leaves."""
        gone = []
        for entry in self:
            if entry.since < before:
                gone += self.remove(entry.tx.txid, RemovalReason.EXPIRY)
        return gone


def is_plausible(tx: Transaction, ours: Sequence[TxOut | None]) -> bool:
    """Whether tx, from a stranger, may be shown: what can be checked without coins holds.

    ours: for each input the output it spends, if it is a wallet's. Raises TxInvalid for a broken transaction.
    """
    check_transaction(tx)
    spent = [out for out in ours if out is not None]
    digests = TxDigests(tx, spent if len(spent) == len(ours) else None)
    for index, out in enumerate(ours):
        if out is None or (digests.spent is None and is_p2tr(out.script_pubkey)):
            continue  # not ours, or taproot, which signs what all inputs spend
        if verify_input(tx, index, out, STANDARD_FLAGS, digests) is not None:
            return False
    return True
