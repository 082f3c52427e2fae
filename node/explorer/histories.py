"""What was paid to a script and spent from it, from the script index (-scriptindex) and the mempool."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..rpc.context import RpcContext


@dataclass(slots=True)
class HistoryView:
    """available: the index is on. synced: it has reached the tip; else at is where it is."""

    available: bool
    synced: bool = False
    at: int = 0
    rows: list[object] = field(default_factory=list)
    page: int = 1
    last_page: int = 1


class Histories:
    def __init__(self, ctx: RpcContext) -> None:
        self._ctx = ctx

    async def of(self, script: bytes, page: int) -> HistoryView:
        return HistoryView(available=False)
