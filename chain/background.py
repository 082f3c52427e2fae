"""The chainstate behind a loaded snapshot: it connects all blocks up to the snapshot's and checks its hash.

It moves no tip and knows no mempool; only the indexes hear of its blocks. Runs on the owner task, one block
or one page of coins a step, whenever there is nothing more urgent to do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .block_connector import BlockConnector
from .block_index import BlockIndex
from .chainstate import Chainstate
from .consensus.errors import BlockFault, BlockInvalid
from .events import BlockChecked, BlockConnected, BlockDisconnected, EventBus
from .header_tree import HeaderNode, fork_point
from .params import AssumeUtxo
from .ports import Ports
from .script_checks import ChecksDropped
from .storage.database import StorageError
from .utxo_set_hash import UtxoHashType, UtxoSetHasher

LOG_INTERVAL = 30
"""Seconds between two lines on how far it is."""


class BackgroundSync:
    """The way of one chainstate to target, the snapshot's block.

    scripts_matter: whether the scripts of a block are to be run. flush: writes all blocks, then all coins.
    on_checked: called with the verdict on each block that is tried. on_verdict: called once at the end, with
    None if the snapshot is right, else with what is wrong.
    """

    def __init__(
        self,
        ports: Ports,
        index: BlockIndex,
        chainstate: Chainstate,
        events: EventBus,
        target: HeaderNode,
        known: AssumeUtxo,
        *,
        scripts_matter: Callable[[HeaderNode], bool],
        flush: Callable[[], Awaitable[None]],
        on_checked: Callable[[HeaderNode, BlockInvalid | None], None],
        on_verdict: Callable[[str | None], Awaitable[None]],
    ) -> None:
        self.ports, self.index, self.chainstate, self.events = ports, index, chainstate, events
        self.target, self.known = target, known
        self._flush = flush
        self._connector = BlockConnector(ports, index, chainstate, scripts_matter)
        self._on_checked, self._on_verdict = on_checked, on_verdict
        self._hasher: UtxoSetHasher | None = None
        self._hashed = b""
        self._next_log = ports.clock.monotonic() + LOG_INTERVAL

    @property
    def tip(self) -> HeaderNode:
        """The last block that it has connected."""
        tip = self.chainstate.tip
        assert tip is not None, "the genesis block is connected by open"
        return tip

    @property
    def progress(self) -> float:
        """Share of the transactions up to the target; 0 to 1."""
        return self.tip.chain_tx_count / self.known.chain_tx_count

    async def step(self) -> bool:
        """Makes progress; False where a body is missing, and at the end. StorageError if storage fails."""
        tip = self.tip
        if tip is self.target:
            return await self._hash_some()
        await self.events.room()
        fork = fork_point(tip, self.target)
        node = self.target.ancestor(fork.height + 1)
        if not node.have_data:
            return False
        if fork is not tip:
            await self._disconnect(tip)
            return True
        return await self._connect(node)

    def comes_next(self, node: HeaderNode) -> bool:
        """node, whose body is there, is what the next step connects."""
        tip = self.tip
        return node.prev is tip and tip is not self.target and self.target.descends_from(node)

    async def _connect(self, node: HeaderNode) -> bool:
        following = None if node is self.target else self.target.ancestor(node.height + 1)
        try:
            connection = await self._connector.prepare(node, following)
        except BlockInvalid as error:
            return await self._failed(node, error)
        except ChecksDropped:
            return False
        self.index.connected(node, connection.undo)
        self.chainstate.apply(connection)
        self._checked(node, None)
        self.events.emit(BlockConnected(connection.block, connection.undo, node, self.chainstate.role))
        self._report()
        return True

    async def _failed(self, node: HeaderNode, error: BlockInvalid) -> bool:
        """A block below the snapshot is invalid: so is the snapshot."""
        self.ports.log.error(f"[background] ConnectBlock {node.hash[::-1].hex()} failed, {error}")
        self._checked(node, error)
        if error.fault is BlockFault.MUTATED:
            raise StorageError("Corrupt block found indicating potential hardware failure.", "")
        self.index.mark_failed(node)
        await self._flush()
        await self._on_verdict(f"block {node.height} below it is invalid: {error}")
        return False

    def _checked(self, node: HeaderNode, error: BlockInvalid | None) -> None:
        self.events.emit(BlockChecked(node.hash, error))
        self._on_checked(node, error)

    def stop(self) -> None:
        """The node is shutting down: the block in hand is given up."""
        self._connector.stop()

    async def _disconnect(self, node: HeaderNode) -> None:
        """Takes off a block of another branch than the snapshot's."""
        block, undo = await self.index.read_block(node), await self.index.read_undo(node)
        self.chainstate.apply(await self.chainstate.prepare_disconnect(block, node, undo))
        self.events.emit(BlockDisconnected(block, undo, node, self.chainstate.role))

    def _report(self) -> None:
        tip, now = self.tip, self.ports.clock.monotonic()
        if now >= self._next_log or tip is self.target:
            self._next_log = now + LOG_INTERVAL
            self.ports.log.info(
                f"[background] validated up to block {tip.height} of {self.target.height} "
                f"({100 * self.progress:.2f}%)"
            )

    # At the target

    async def _hash_some(self) -> bool:
        """One page of coins; after the last the hash is compared. Nobody else changes these coins now."""
        if self._hasher is None:
            self.ports.log.info(
                "[snapshot] computing UTXO stats for background chainstate to validate snapshot - this could "
                "take a few minutes"
            )
            await self._flush()
            self._hasher = UtxoSetHasher(UtxoHashType.HASH_SERIALIZED_3)
        rows = await self.chainstate.store.page(self._hashed)
        if rows:
            await self.ports.workers.run(self._hasher.add, rows)
            self._hashed = rows[-1][0]
            return True
        actual, expected = self._hasher.digest() or b"", self.known.hash_serialized
        self._hasher, self._hashed = None, b""
        if actual == expected:
            await self._on_verdict(None)
        else:
            text = f"hash mismatch: actual={actual[::-1].hex()}, expected={expected[::-1].hex()}"
            await self._on_verdict(text)
        return False
