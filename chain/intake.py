"""Taking in headers and blocks: the rules that need no coins. Runs on the owner task and never waits."""

from __future__ import annotations

from dataclasses import dataclass

from .block_index import BlockIndex
from .consensus.blocks import check_block, contextual_check_block
from .consensus.errors import BlockFault, BlockInvalid
from .consensus.headers import check_header, contextual_check_header
from .header_tree import HeaderNode
from .ports import Ports
from .primitives.block import Block, BlockHeader

MIN_BLOCKS_TO_KEEP = 288
"""Blocks below the tip that are never pruned; unrequested ones further above it are not taken."""


@dataclass(slots=True)
class BlockAccept:
    """What became of a block.

    new: its body was not stored before. node: None if even the header was refused. error: why it, or the
    block when it was connected, was refused. checked: it was tried on top of its chain, error says how that
    went.
    """

    new: bool = False
    node: HeaderNode | None = None
    error: BlockInvalid | None = None
    checked: bool = False


class Intake:
    """Adds to the block index what follows the rules. minimum_chainwork: of chains worth storing unasked."""

    def __init__(self, ports: Ports, index: BlockIndex, minimum_chainwork: int) -> None:
        self._ports, self.index, self.minimum_chainwork = ports, index, minimum_chainwork

    def accept_header(self, header: BlockHeader, min_pow_checked: bool) -> HeaderNode:
        """The node of header, new or old. Raises BlockInvalid.

        min_pow_checked: the chain it is on has shown enough work; without it no new header is kept, lest
        somebody fill our memory with cheap ones.
        """
        tree, params, debug = self.index.tree, self.index.params, self._ports.log.debug
        node = tree.get(header.hash)
        if node is not None:
            if node.failed:
                text = f"block {_hex(header)} is marked invalid"
                debug("validation", f"AcceptBlockHeader: {text}")
                raise BlockInvalid(
                    BlockFault.CACHED_INVALID,
                    "duplicate-invalid",
                    f"block {_hex(header)} was previously marked invalid",
                )
            return node
        try:
            check_header(header, params)
        except BlockInvalid as error:
            debug("validation", f"AcceptBlockHeader: Consensus::CheckBlockHeader: {_hex(header)}, {error}")
            raise
        prev = tree.get(header.prev_hash)
        below = header.prev_hash[::-1].hex()
        if prev is None:
            debug("validation", f"header {_hex(header)} has prev block not found: {below}")
            raise BlockInvalid(BlockFault.MISSING_PREV, "prev-blk-not-found")
        if prev.failed:
            debug("validation", f"header {_hex(header)} has prev block invalid: {below}")
            raise BlockInvalid(BlockFault.INVALID_PREV, "bad-prevblk")
        try:
            contextual_check_header(header, prev, self._ports.clock.time(), params)
        except BlockInvalid as error:
            debug(
                "validation",
                f"AcceptBlockHeader: Consensus::ContextualCheckBlockHeader: {_hex(header)}, {error}",
            )
            raise
        if not min_pow_checked:
            debug(
                "validation",
                f"AcceptBlockHeader: not adding new block header {_hex(header)}, "
                "missing anti-dos proof-of-work validation",
            )
            raise BlockInvalid(BlockFault.HEADER_LOW_WORK, "too-little-chainwork")
        return self.index.add_header(header)

    def accept_block(
        self, block: Block, *, requested: bool, min_pow_checked: bool, checked: bool = False
    ) -> BlockAccept:
        """Stores block if it is wanted and follows the rules that need no coins; the error is in the answer.

        requested: we asked for it, so it is wanted whatever its work. checked: check_block has passed. A
        block that fails check_block leaves no trace: its body may be a damaged one of a good header.
        """
        result = BlockAccept()
        try:
            if not checked:
                check_block(block, self.index.params)
            result.node = self.accept_header(block.header, min_pow_checked)
            if self._wanted(result.node, requested):
                self._check_in_context(block, result.node)
                result.new = True
        except BlockInvalid as error:
            result.error = error
        return result

    def _wanted(self, node: HeaderNode, requested: bool) -> bool:
        if node.have_data:
            return False
        if requested:
            return True
        tip = self.index.tree.tip
        if node.tx_count or node.chainwork < self.minimum_chainwork:
            return False  # pruned before; or a chain with too little work that somebody forces on us
        return tip is None or (
            node.chainwork >= tip.chainwork and node.height <= tip.height + MIN_BLOCKS_TO_KEEP
        )

    def _check_in_context(self, block: Block, node: HeaderNode) -> None:
        try:
            contextual_check_block(block, node.prev, self.index.params)
        except BlockInvalid as error:
            if error.fault is not BlockFault.MUTATED:
                self.index.mark_failed(node)
            self._ports.log.error(f"AcceptBlock: {error}")
            raise


def _hex(header: BlockHeader) -> str:
    return header.hash[::-1].hex()
