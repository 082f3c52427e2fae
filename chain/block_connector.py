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
        self._begun: PendingConnection | None = None

    async def prepare(self, node: HeaderNode, following: HeaderNode | None = None) -> Connection:
        """The connection of node, whose body is stored, to the tip; BlockInvalid if it breaks a rule.

        following: the block that will most likely be asked for next, if it is known.
        """
        pending, self._begun = self._begun, None
        if pending is not None and (pending.node is not node or node.prev is not self._chainstate.tip):
            pending.drop()
            pending = None
        if pending is None:
            pending = await self._begin(node)
        try:
            if following is not None and following.prev is node and following.have_data:
                await self._begin_next(following, pending)
            return await pending.finish()
        except BaseException:
            pending.drop()
            self.drop()
            raise

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
        with suppress(BlockInvalid):  # when its turn has come it fails again, and is told of
            self._begun = await self._begin(node, after)

    def drop(self) -> None:
        """Forgets what was begun."""
        if self._begun is not None:
            self._begun.drop()
            self._begun = None
