"""What was paid to a script and spent from it, from the script index (-scriptindex) and the mempool."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pybitcoind.chain.indexes.scripts import ScriptIndex, script_hash
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import OutPoint

from .site import NotHere

if TYPE_CHECKING:
    from ..rpc.context import RpcContext

LISTED = 25


@dataclass(frozen=True, slots=True)
class OutputRow:
    """An output to the script. height: None while it is unconfirmed. spender: "" while it is unspent."""

    txid: str
    vout: int
    value: int
    height: int | None
    spender: str = ""
    spent_at: int | None = None


@dataclass(slots=True)
class HistoryView:
    """available: the index is on. synced: it has reached the tip; else it is at height `at`.

    pending: unconfirmed outputs, those of the mempool. Amounts in satoshis.
    """

    available: bool
    synced: bool = False
    at: int = 0
    outputs: int = 0
    received: int = 0
    spent: int = 0
    pending: list[OutputRow] = field(default_factory=list)
    rows: list[OutputRow] = field(default_factory=list)
    page: int = 1
    last_page: int = 1


class Histories:
    """Of one node."""

    def __init__(self, ctx: RpcContext) -> None:
        self._ctx = ctx

    async def of(self, script: bytes, page: int) -> HistoryView:
        """NotHere for a page behind the last. Without the index what is unconfirmed is told all the same."""
        index = self._ctx.script_index
        view = HistoryView(index is not None, page=page, pending=self._pending(script))
        if index is not None:
            await self._confirmed(view, index, script_hash(script))
        if page > view.last_page:
            raise NotHere("The history is not that long")
        return view

    async def _confirmed(self, view: HistoryView, index: ScriptIndex, key: bytes) -> None:
        if index.synced:
            await self._ctx.chain.events.drained()
        view.synced, view.at = index.synced, index.best_height
        totals = await index.totals(key)
        view.outputs, view.received, view.spent = totals.outputs, totals.received, totals.spent
        view.last_page = max(1, -(-totals.outputs // LISTED))
        pool = self._ctx.node.mempool
        for output in await index.history(key, skip=(view.page - 1) * LISTED, count=LISTED):
            spender, spent_at = "", None
            if output.spend is not None:
                spender, spent_at = hash_hex(output.spend.txid), output.spend.height
            elif pool is not None and (tx := pool.spender_of(output.outpoint)) is not None:
                spender = hash_hex(tx.txid)
            txid, vout = output.outpoint
            view.rows.append(OutputRow(hash_hex(txid), vout, output.value, output.height, spender, spent_at))

    def _pending(self, script: bytes) -> list[OutputRow]:
        """Newest first, up to a page of them."""
        pool = self._ctx.node.mempool
        if pool is None:
            return []
        found = []
        for txid, entry in reversed(pool.entries.items()):
            for vout, out in enumerate(entry.tx.vout):
                if out.script_pubkey == script:
                    tx = pool.spender_of(OutPoint(txid, vout))
                    spender = "" if tx is None else hash_hex(tx.txid)
                    found.append(OutputRow(hash_hex(txid), vout, out.value, None, spender))
                    if len(found) == LISTED:
                        return found
        return found
