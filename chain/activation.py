"""Moving the tip to the best candidate, block by block, and back off failed blocks.

Everything here runs on the owner task. Connecting a block, taking its transactions out of the mempool and
moving the tip happen with no await between them; a reorganisation ends with the mempool mended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .assume_valid import script_check_reason
from .block_connector import BlockConnector
from .block_index import BlockIndex
from .chainstate import Chainstate
from .consensus.errors import BlockFault, BlockInvalid
from .events import (
    BlockChecked,
    BlockConnected,
    BlockDisconnected,
    EventBus,
    RemovedForBlock,
    TipChanged,
)
from .header_tree import HeaderNode
from .ibd import IbdLatch
from .log_lines import block_checked, describe, update_tip, verification_progress
from .ports import Ports
from .primitives.block import Block
from .primitives.hashes import ZERO_HASH
from .script_checks import ChecksDropped
from .storage.database import StorageError

if TYPE_CHECKING:
    from .mempool.entry import MempoolEntry

PATH_PIECE = 32
"""Blocks of a branch looked at in one go."""
DEEP_INVALIDATION = 10
"""Blocks of an invalidation whose transactions still come back to the mempool."""
FAR = 20
"""Blocks to the best header from which on the way there is shown as long work."""
HELD_BACK = 10
"""Blocks of a step that are told of only when it is done, after the mempool was mended, as in Core. Of more
the first ones are told of while it goes on, so that the length of a step costs no memory."""


class MempoolHooks(Protocol):
    """What the mempool is told while blocks come and go; it never waits."""

    def block_connected(self, block: Block, /) -> Sequence[MempoolEntry]:
        """Returns what it had of block, in its order."""

    def block_disconnected(self, block: Block, /) -> None: ...


MendMempool = Callable[[Callable[[], bool]], Awaitable[None]]
"""Mends the mempool after blocks were disconnected; while True the transactions they held come back."""


@dataclass(slots=True)
class ActivationOptions:
    """assume_valid: hash, zero for none. stop_at_height: 0 for never."""

    assume_valid: bytes = ZERO_HASH
    minimum_chainwork: int = 0
    stop_at_height: int = 0


class Activation:
    """The loop around one chainstate. `step` is the owner's background work."""

    def __init__(
        self,
        ports: Ports,
        index: BlockIndex,
        chainstate: Chainstate,
        events: EventBus,
        ibd: IbdLatch,
        options: ActivationOptions,
        interrupted: Callable[[], bool],
    ) -> None:
        self.ports, self.index, self.events = ports, index, events
        self.ibd, self.options = ibd, options
        self.use(chainstate)
        self.floor: HeaderNode | None = None
        """The block of a snapshot that is not validated yet: nothing below it can be taken off."""
        self.mempool: MempoolHooks | None = None
        self.mend_mempool: MendMempool | None = None
        self.on_tip: Callable[[HeaderNode], None] = lambda tip: None
        self.on_checked: Callable[[HeaderNode, BlockInvalid | None], None] = lambda node, error: None
        """Called with the verdict on each block that is tried."""
        self.on_stop_height: Callable[[], None] | None = None
        """Called once the tip is at stop_at_height."""
        self.write_due: Callable[[], Awaitable[None]] | None = None
        """Writes what is due; called after every block, so that a step of any length stays in the budget."""
        self.stopped = False
        """stop_at_height was reached: no more blocks are connected."""
        self._interrupted = interrupted
        self._connected: deque[BlockConnected] = deque()
        self._disconnected = 0
        self._far = False
        self._script_reason: str | None = ""
        self._precious_sequence, self._precious_work = -1, 0

    def use(self, chainstate: Chainstate) -> None:
        """From here on the tip is that of chainstate."""
        self.chainstate = chainstate
        self._connector = BlockConnector(self.ports, self.index, chainstate, self._scripts_matter)

    def stop(self) -> None:
        """The node is shutting down: no block is connected any more, not even the one in hand."""
        self._connector.stop()

    @property
    def tip(self) -> HeaderNode | None:
        return self.index.tree.tip

    # Towards the best candidate

    async def step(self) -> bool:
        """Makes progress: a better tip than before, if there is one. False when nothing is left to do.

        A reorganisation is one step, unless it is interrupted.
        """
        if self.stopped:
            return False
        await self.events.room()
        start = self.tip
        while (target := self.index.candidates.best()) is not None:
            if self.floor is not None and not target.descends_from(self.floor):
                self.index.candidates.set_aside(target)
                continue
            if not await self._approach(target, start):
                continue  # the candidate was no good; another may be
            if self._interrupted() or self._regained(start):
                break
        await self._finish(start)
        return not self.stopped and self.index.candidates.best() is not None

    def _regained(self, start: HeaderNode | None) -> bool:
        """The tip is no worse than at the start of the step."""
        tip = self.tip
        return tip is not None and (start is None or tip is start or tip.chainwork >= start.chainwork)

    async def _approach(self, target: HeaderNode, start: HeaderNode | None) -> bool:
        """Disconnects what target does not build on, then connects towards it until it is better than start.

        False if a block on the way cannot be had or failed.
        """
        tree = self.index.tree
        fork = tree.fork_with_chain(target)
        if fork is not self.tip and not self._all_stored(fork, target):
            return False
        leaving = self.tip
        while self.tip is not None and self.tip is not fork:
            if self._interrupted() and self._disconnected:
                return True
            await self._disconnect_tip(leaving)
            await self._between_blocks()
        while self.tip is not target:
            for node in self.index.path(self.tip, target, PATH_PIECE):
                if not node.have_data:
                    self.index.candidates.missing(node, target)
                    return False
                if not await self._connect(node, target):
                    return False
                if start is None or node.chainwork > start.chainwork or self._interrupted():
                    return True
                await self._between_blocks()
        return True

    async def _between_blocks(self) -> None:
        """Within a step: waits for who is behind, and writes what is due."""
        await self.events.room()
        if self.write_due is not None:
            await self.write_due()

    def _all_stored(self, fork: HeaderNode | None, target: HeaderNode) -> bool:
        """No body between fork and target is missing; the candidate goes if one is."""
        for node in self.index.path(fork, target, target.height + 1):
            if not node.have_data:
                self.index.candidates.missing(node, target)
                return False
        return True

    async def _finish(self, start: HeaderNode | None) -> None:
        """Ends a step or an invalidation: mempool, events, waiting callers, files."""
        await self._mend(True)
        while self._connected:
            self.events.emit(self._connected.popleft())
        tip = self.tip
        if tip is not None and tip is not start:
            fork = None if start is None else self.index.tree.fork_with_chain(start)
            self.events.emit(TipChanged(tip, fork, self.ibd.active))
            self.on_tip(tip)
            self.look_at_stop_height()
        self._warn_of_invalid_chain()
        if self.write_due is not None:
            await self.write_due()

    def look_at_stop_height(self) -> None:
        """No more blocks once the tip is as high as that, as it may be from the start."""
        tip, limit = self.tip, self.options.stop_at_height
        if tip is not None and limit and limit <= tip.height:
            self.stopped = True
            if self.on_stop_height is not None:
                self.on_stop_height()

    async def _mend(self, bring_back: bool) -> None:
        if self._disconnected and self.mend_mempool is not None:
            await self.mend_mempool(lambda: bring_back and not self._interrupted())
        self._disconnected = 0

    # One block

    async def _connect(self, node: HeaderNode, target: HeaderNode) -> bool:
        """Connects the block after the tip, on the way to target; False if it failed, and is marked now.

        When the node stops in the middle of it nothing has changed.
        """
        following = None if node is target else target.ancestor(node.height + 1)
        try:
            connection = await self._connector.prepare(node, following)
        except BlockInvalid as error:
            self._connect_failed(node, error)
            return False
        except ChecksDropped:
            return True  # the node is shutting down; the block is as it was
        self.index.connected(node, connection.undo)
        # No await from here on: tip, coins and mempool change together.
        self.chainstate.apply(connection)
        if self.mempool is not None:
            taken = self.mempool.block_connected(connection.block)
            self.events.emit(RemovedForBlock(taken, node.height))
        self._set_tip(node)
        self._connected.append(BlockConnected(connection.block, connection.undo, node, self.chainstate.role))
        if len(self._connected) > HELD_BACK:
            self.events.emit(self._connected.popleft())
        self._report(node, None)
        return True

    def _connect_failed(self, node: HeaderNode, error: BlockInvalid) -> None:
        log = self.ports.log
        log.info(f"Block validation error: {error}")
        self._report(node, error)
        if error.fault is BlockFault.MUTATED:
            raise StorageError("Corrupt block found indicating potential hardware failure.", "")
        self.mark_failed(node)
        log.error(f"ConnectTip: ConnectBlock {node.hash[::-1].hex()} failed, {error}")

    def _report(self, node: HeaderNode, error: BlockInvalid | None) -> None:
        self.ports.log.debug("validation", block_checked(node.hash, error))
        self.events.emit(BlockChecked(node.hash, error))
        self.on_checked(node, error)

    async def _disconnect_tip(self, leaving: HeaderNode | None) -> None:
        """leaving: the tip before the first of these, where to go back to if the new branch fails."""
        node = self.tip
        assert node is not None and node.prev is not None, "nothing to disconnect"
        try:
            block, undo = await self.index.read_block(node), await self.index.read_undo(node)
        except LookupError as error:
            raise StorageError(f"Failed to disconnect block: {error}.", "Restart with -reindex.") from None
        step = await self.chainstate.prepare_disconnect(block, node, undo)
        if not step.clean:
            raise StorageError("Failed to disconnect block.", "Restart with -reindex-chainstate.")
        self.chainstate.apply(step)
        if self.mempool is not None:
            self.mempool.block_disconnected(block)
        self._set_tip(node.prev)
        if leaving is not None:
            self.index.candidates.add(leaving)
        self._disconnected += 1
        if self._connected and self._connected[-1].node is node:
            self._connected.pop()  # connected in this very step, and nobody was told
        else:
            self.events.emit(BlockDisconnected(block, undo, node))

    def _set_tip(self, node: HeaderNode) -> None:
        log, now = self.ports.log, self.ports.clock.time()
        self.index.tree.set_tip(node)
        if self.ibd.update(node, now):
            log.info("Leaving InitialBlockDownload (latching to false)")
        progress = verification_progress(node, self.index.tree.best_header, now, self.index.params)
        log.info(update_tip(node, self.chainstate.coins, progress))
        self._show_way(node)

    def _show_way(self, tip: HeaderNode) -> None:
        """How far it is to the best header, where that is far."""
        best = self.index.tree.best_header
        far = best is not None and best.height - tip.height > FAR
        if best is not None and (far or self._far):
            self.ports.progress("Connecting blocks", tip.height / best.height if far else None)
        self._far = far

    def scripts_matter(self, node: HeaderNode) -> bool:
        """Whether the scripts of a block are run, or a block behind it vouches for them (-assumevalid)."""
        return self._why_scripts_matter(node) is not None

    def _why_scripts_matter(self, node: HeaderNode) -> str | None:
        options = self.options
        return script_check_reason(
            node, self.index.tree, options.assume_valid, options.minimum_chainwork, self.index.params
        )

    def _scripts_matter(self, node: HeaderNode) -> bool:
        reason = self._why_scripts_matter(node)
        if reason != self._script_reason and node.height > 0:
            where = f"script verification at block #{node.height} ({node.hash[::-1].hex()})"
            self.ports.log.info(f"Disabling {where}." if reason is None else f"Enabling {where}: {reason}.")
            self._script_reason = reason
        return reason is not None

    # Failure, by rule or by hand

    def mark_failed(self, node: HeaderNode) -> None:
        """node broke a rule, or somebody says it is invalid: it and all behind it fail for good."""
        self.index.mark_failed(node)
        log = self.ports.log
        log.info(f"InvalidChainFound: invalid block={describe(node)}")
        if self.tip is not None:
            log.info(f"InvalidChainFound:  current best={describe(self.tip)}")

    def _warn_of_invalid_chain(self) -> None:
        if self.large_invalid_chain:
            self.ports.log.warning(INVALID_CHAIN_WARNING)

    @property
    def large_invalid_chain(self) -> bool:
        """A chain that we think invalid has over six blocks more work than ours (getblockchaininfo warns)."""
        tip, worst = self.tip, self.index.best_invalid
        if tip is None or worst is None:
            return False
        work = tip.chainwork - (0 if tip.prev is None else tip.prev.chainwork)
        return worst.chainwork > tip.chainwork + 6 * work

    async def invalidate(self, node: HeaderNode) -> None:
        """Marks node and all behind it failed, and takes them off the active chain."""
        start = self.tip
        tree = self.index.tree
        if self.floor is not None and node.height <= self.floor.height and tree.in_chain(node):
            raise ValueError(f"block {node.height} is not above the snapshot, which is not validated yet")
        count = 0
        while tree.in_chain(node):
            await self.events.room()
            if self._interrupted():
                break
            await self._disconnect_tip(start)
            count += 1
            await self._mend(count <= DEEP_INVALIDATION)
            if self.write_due is not None:
                await self.write_due()
        if not tree.in_chain(node):
            self.mark_failed(node)
            self.index.candidates.rebuild()
        await self._finish(start)

    def reconsider(self, node: HeaderNode) -> None:
        """Takes the failure off node, what it builds on and what builds on it."""
        self.index.reset_failed(node)

    def make_precious(self, node: HeaderNode) -> None:
        """node comes before all others of the same work, until the next restart."""
        tip = self.tip
        assert tip is not None
        if node.chainwork < tip.chainwork:
            return
        if tip.chainwork > self._precious_work:
            self._precious_sequence = -1
        self._precious_work = tip.chainwork
        self.index.set_sequence(node, self._precious_sequence)
        self._precious_sequence -= 1


INVALID_CHAIN_WARNING = (
    "Found invalid chain more than 6 blocks longer than our best chain. "
    "This could be due to database corruption or consensus incompatibility with peers."
)
