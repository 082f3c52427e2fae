"""What the wallets of an SPV node are told: the bus of node/spv_chain.py, apart from that of the headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pybitcoind.chain.events import EventBus


async def _at_once() -> None:
    """Nothing to wait for."""


class SpvEvents(EventBus):
    """`drained` also waits, for a moment, until what the headers tell has reached the wallets.

    So a caller that sees a block by one RPC method and asks a wallet by the next is not told of yesterday.
    """

    def __init__(self) -> None:
        super().__init__()
        self.settle: Callable[[], Awaitable[None]] = _at_once

    async def drained(self) -> None:
        await self.settle()
        await super().drained()

    async def handled(self) -> None:
        """Waits until what was emitted before this call is handled, and for nothing else."""
        await super().drained()
