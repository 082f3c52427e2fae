"""The totals of the UTXO set: a walk over all coins, so counted when somebody asks, once a tip."""

from __future__ import annotations

import asyncio
from typing import Any

from ..rpc.amounts import Json
from ..rpc.coins import gettxoutsetinfo
from ..rpc.context import RpcContext
from ..rpc.errors import RpcError

PATIENCE = 0.5
"""Seconds that the page waits for a count before it comes without."""


class UtxoTotals:
    """last: the newest answer of gettxoutsetinfo, for the block it names. error: why there is none."""

    def __init__(self, ctx: RpcContext) -> None:
        self._ctx = ctx
        self.last: dict[str, Any] | None = None
        self.error = ""
        self._running: asyncio.Task[None] | None = None

    @property
    def counting(self) -> bool:
        return self._running is not None and not self._running.done()

    @property
    def current(self) -> bool:
        """last is of the tip."""
        return (
            self.last is not None
            and self.last["height"] == self._ctx.chain.tip.height
            and (self.last["bestblock"] == self._ctx.chain.tip.hash[::-1].hex())
        )

    async def count(self) -> None:
        """Has the coins counted, unless they are for this tip; waits for it a little."""
        if not self.current and not self.counting:
            self._running = self._ctx.node.spawn("web count", self._count())
        if self._running is not None:
            await asyncio.wait((self._running,), timeout=PATIENCE)

    async def _count(self) -> None:
        try:
            answer: Json = await gettxoutsetinfo(self._ctx, "hash_serialized_3", None, False)
        except RpcError as error:
            self.error = error.message
            return
        self.last, self.error = answer, ""

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
