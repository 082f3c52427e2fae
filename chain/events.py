"""What happened on the chain and in the mempool, told to every subscriber in one order.

Each subscriber has its own queue and task, so a slow one delays nobody but, past its limit, the owner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from .primitives.block import Block
from .primitives.transaction import Transaction

if TYPE_CHECKING:
    from .consensus.errors import BlockInvalid
    from .header_tree import HeaderNode
    from .mempool.entry import MempoolEntry
    from .storage.records import BlockUndo


class ChainRole(Enum):
    """Which chainstate connected a block: the one that moves the tip, or assumeutxo's background one."""

    ACTIVE = "active"
    BACKGROUND = "background"


class RemovalReason(Enum):
    """Why a transaction left the mempool; values are Core's words."""

    EXPIRY = "expiry"
    SIZELIMIT = "sizelimit"
    REORG = "reorg"
    BLOCK = "block"
    CONFLICT = "conflict"
    REPLACED = "replaced"


class HeaderTip(NamedTuple):
    """The header with the most work that is not known to be invalid changed."""

    node: HeaderNode
    ibd: bool


class BlockConnected(NamedTuple):
    """The block became the tip of its chain; undo: the coins that it spent."""

    block: Block
    undo: BlockUndo
    node: HeaderNode
    role: ChainRole = ChainRole.ACTIVE


class BlockDisconnected(NamedTuple):
    """The block, the tip until then, was taken off again; undo: the coins that came back."""

    block: Block
    undo: BlockUndo
    node: HeaderNode
    role: ChainRole = ChainRole.ACTIVE


class SnapshotValidated(NamedTuple):
    """All blocks up to base, the block of a loaded snapshot, are validated: the active chain has no gap."""

    base: HeaderNode


class TipChanged(NamedTuple):
    """One activation step is done. fork: the last block that old and new chain share."""

    tip: HeaderNode
    fork: HeaderNode | None
    ibd: bool


class BlockChecked(NamedTuple):
    """A block was tried on top of the tip, or refused before: error is None if it is valid.

    Whoever sent it is to be judged by that, even if it could be connected only much later.
    """

    block_hash: bytes
    error: BlockInvalid | None


class NewPowValidBlock(NamedTuple):
    """A block on top of the tip with work and the right transactions, not connected yet: relay it."""

    block: Block
    node: HeaderNode


class TxAdded(NamedTuple):
    """sequence: the mempool's, one up for each addition and removal (Core's ZMQ sequence).

    vsize: as policy counts it; height: of the tip then. telling: how long it will wait says something about
    its feerate, see `Acceptance.accept_one`. An SPV node knows none of the three.
    """

    tx: Transaction
    fee: int
    sequence: int
    vsize: int = 0
    height: int = 0
    telling: bool = False


class TxRemoved(NamedTuple):
    """It left the mempool. sequence: as of TxAdded."""

    tx: Transaction
    reason: RemovalReason
    sequence: int


class RemovedForBlock(NamedTuple):
    """A block became the tip, at height; entries: what the mempool had of it, in its order.

    It follows their TxRemoved at once, while BlockConnected may be held back.
    """

    entries: Sequence[MempoolEntry]
    height: int


Event = (
    HeaderTip
    | BlockConnected
    | BlockDisconnected
    | TipChanged
    | BlockChecked
    | NewPowValidBlock
    | SnapshotValidated
    | TxAdded
    | TxRemoved
    | RemovedForBlock
)
Handler = Callable[[Event], Awaitable[None]]

MAX_BEHIND = 10
"""Blocks a subscriber may be behind before the owner waits for it."""


class Subscription:
    """One subscriber's queue. Made by `EventBus.subscribe`."""

    def __init__(self, name: str, handler: Handler) -> None:
        self.name = name
        self._handler = handler
        self._queue: asyncio.Queue[Event | asyncio.Future[None] | None] = asyncio.Queue()
        self.blocks_behind = 0
        self._caught_up = asyncio.Event()
        self._caught_up.set()
        self._ended = False

    def put(self, event: Event) -> None:
        if self._ended:
            return
        if isinstance(event, (BlockConnected, BlockDisconnected)):
            self.blocks_behind += 1
            if self.blocks_behind > MAX_BEHIND:
                self._caught_up.clear()
        self._queue.put_nowait(event)

    def mark(self) -> asyncio.Future[None]:
        """A future done when everything put before it is handled."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._ended:
            future.set_result(None)
        else:
            self._queue.put_nowait(future)
        return future

    def finish(self) -> None:
        """The task ends once all that is queued is handled."""
        self._queue.put_nowait(None)

    async def room(self) -> None:
        await self._caught_up.wait()

    async def run(self) -> None:
        """Handles events in order until `finish`. An exception of the handler goes up: fatal to the node.

        Nobody waits for a subscriber that has ended: a node whose index failed must still be able to stop.
        """
        try:
            await self._handle_all()
        finally:
            self._ended = True
            self._caught_up.set()
            while not self._queue.empty():
                item = self._queue.get_nowait()
                if isinstance(item, asyncio.Future) and not item.done():
                    item.set_result(None)

    async def _handle_all(self) -> None:
        while (item := await self._queue.get()) is not None:
            if isinstance(item, asyncio.Future):
                if not item.done():
                    item.set_result(None)
                continue
            await self._handler(item)
            if isinstance(item, (BlockConnected, BlockDisconnected)):
                self.blocks_behind -= 1
                if self.blocks_behind <= MAX_BEHIND:
                    self._caught_up.set()


class EventBus:
    """Emits on the owner task; nothing is lost between `subscribe` and `finish`."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []
        self._finished = False

    def subscribe(self, name: str, handler: Handler) -> Subscription:
        """A new subscriber; the caller runs `subscription.run()` in the node's TaskGroup."""
        subscription = Subscription(name, handler)
        self._subscriptions.append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """No more events; what is queued is still handled, then its task ends."""
        self._subscriptions.remove(subscription)
        subscription.finish()

    def emit(self, event: Event) -> None:
        for subscription in self._subscriptions:
            subscription.put(event)

    async def room(self) -> None:
        """Waits until what was emitted so far is handled (syncwithvalidationinterfacequeue)."""
        for subscription in list(self._subscriptions):
            await subscription.room()

    async def drained(self) -> None:
        """Waits until what was emitted before this call is handled (syncwithvalidationinterfacequeue)."""
        if not self._finished:
            marks = [subscription.mark() for subscription in self._subscriptions]
            for mark in marks:
                await mark

    def finish(self) -> None:
        """Lets every subscriber's task end after what is queued."""
        self._finished = True
        for subscription in self._subscriptions:
            subscription.finish()
