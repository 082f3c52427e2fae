"""From stored blocks to their connections; scripts of one block are checked while the next is begun.

The coins of a tip are the same however it was come by. So a block that was begun on top of one whose scripts
were still being checked is as good as any once that one is the tip, and of no use if it never becomes it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from .block_index import BlockIndex
from .chainstate import Chainstate, Connection, PendingConnection
from .consensus.blocks import check_block
from .consensus.connect import BIP30_EXCEPTIONS
from .consensus.errors import BlockInvalid
from .header_tree import HeaderNode
from .ports import Ports
from .script_checks import ChecksDropped
from .storage.database import StorageError


class BlockConnector:
    """Of one chainstate, on the owner task. scripts_matter: whether the scripts of a block are to be run."""

    def __init__(
        self,
        ports: Ports,
        index: BlockIndex,
        chainstate: Chainstate,
        scripts_matter: Callable[[HeaderNode], bool],
    ) -> None:
        self._ports, self._index, self._chainstate = ports, index, chainstate
        self._scripts_matter = scripts_matter
        self._in_hand: PendingConnection | None = None
        self._begun: PendingConnection | None = None
        """On top of the one in hand, or of the tip."""
        self._stopped = False

    async def prepare(self, node: HeaderNode, following: HeaderNode | None = None) -> Connection:
        """The connection of node, whose body is stored, to the tip; BlockInvalid if it breaks a rule.

        following: the block that will most likely be asked for next, if it is known. ChecksDropped after
        `stop`.
        """
        begun, self._begun = self._begun, None
        if begun is not None and not self._still_good(begun, node):
            begun.drop()
            begun = None
        try:
            self._in_hand = begun or await self._begin(node)
            if following is not None and following.have_data and not self._stopped:
                await self._begin_next(following, self._in_hand)
            if self._stopped:
                raise ChecksDropped
            return await self._in_hand.finish()
        except BaseException:
            self._drop()
            raise
        finally:
            self._in_hand = None

    def _still_good(self, begun: PendingConnection, node: HeaderNode) -> bool:
        """It stands for node on top of the tip, and scripts that it left out need not be run now either."""
        return (
            begun.node is node
            and node.prev is self._chainstate.tip
            and (begun.scripts is not None or not self._scripts_matter(node))
        )

    async def _begin(self, node: HeaderNode, after: PendingConnection | None = None) -> PendingConnection:
        block = self._index.take_recent(node)
        checked = block is not None
        if block is None:
            block = await self._index.read_block(node)
        if not checked:
            await self._ports.workers.run(check_block, block, self._index.params)
        return await self._chainstate.begin_connect(
            block, node, check_scripts=self._scripts_matter(node), after=after
        )

    async def _begin_next(self, node: HeaderNode, after: PendingConnection) -> None:
        if node.height in BIP30_EXCEPTIONS:
            return  # what it overwrites has to be in the cache, and a flush may come in between
        with suppress(BlockInvalid, StorageError):  # when its turn has come it fails again, and is told of
            self._begun = await self._begin(node, after)

    def stop(self) -> None:
        """The node is shutting down: who waits for scripts need not wait for their end."""
        self._stopped = True
        self._drop()

    def _drop(self) -> None:
        for pending in (self._in_hand, self._begun):
            if pending is not None:
                pending.drop()
        self._begun = None
