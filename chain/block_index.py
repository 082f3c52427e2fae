"""The header tree with what is stored: bodies, undo data, status, and which block could be the next tip.

Nothing here decides whether a block is valid. Changes are written behind: `write` commits bodies and undo
data first, the header rows that speak of them second.
"""

from __future__ import annotations

from collections.abc import Sequence

from .candidates import Candidates
from .consensus.pow import block_work
from .header_tree import HeaderNode, HeaderStatus, HeaderTree
from .params import ChainParams
from .primitives.block import Block, BlockHeader
from .storage.block_store import SYNC_BYTES, BlockStore, FilesMissing, HeaderRow, Position, file_name
from .storage.database import StorageError
from .storage.header_rows import StoredHeaders, checked
from .storage.records import BlockUndo

RECENT_BYTES = 24 << 20
"""Parsed blocks that were accepted and not connected yet are kept up to this size, where there is as much to
spare: they take several times that."""

_HAVE_DATA, _HAVE_UNDO = int(HeaderStatus.HAVE_DATA), int(HeaderStatus.HAVE_UNDO)
_FAILED, _OPT_WITNESS = int(HeaderStatus.FAILED), int(HeaderStatus.OPT_WITNESS)
_VALID_SCRIPTS = int(HeaderStatus.VALID_SCRIPTS)


class BlockIndex:
    """One node's headers and blocks. Written to on the owner task only; anybody may read."""

    def __init__(self, params: ChainParams, blocks: BlockStore) -> None:
        self.params, self.blocks = params, blocks
        self.tree = HeaderTree()
        self.candidates = Candidates(self.tree)
        self.best_invalid: HeaderNode | None = None
        """The failed block with the most work."""
        self._dirty: dict[HeaderNode, None] = {}
        self._recent: dict[bytes, Block] = {}
        self._recent_bytes = 0
        self._most_recent_bytes = RECENT_BYTES

    def keep_within(self, budget: int) -> None:
        """Holds what waits in memory, to be connected or written, to that of a cache of budget bytes."""
        self._most_recent_bytes = min(RECENT_BYTES, budget // 4)
        self.blocks.sync_bytes = min(SYNC_BYTES, budget)

    @property
    def dirty(self) -> bool:
        """Something is not written yet."""
        return bool(self._dirty) or self.blocks.pending_bytes > 0

    # Loading and writing

    async def load(self, *, bodies: bool = True) -> None:
        """Takes the headers from the store, or begins with the genesis block. bodies: that one's is kept.

        FilesMissing if bodies are in a block file that is not there.
        """
        stored = await self.blocks.load_tree()
        if bodies:
            self._check_files(stored)
        tree = self.tree = HeaderTree(stored.trunk)
        self.candidates = Candidates(tree)
        for row in stored.beside:
            header = BlockHeader.decode(checked(row).header)
            header._hash = row.hash
            try:
                node = tree.add(header, block_work(header.bits))
            except KeyError:
                raise StorageError(
                    f"The index of blocks lacks a parent of {row.hash[::-1].hex()}.", "Restart with -reindex."
                ) from None
            node.status, node.sequence, node.tx_count = row.status, row.sequence, row.tx_count
            node.position = row.position
        self._find_best_invalid()
        if len(tree) and tree.genesis.hash != self.params.genesis.hash:
            raise StorageError("Incorrect or no genesis block found.", "Wrong datadir for network?")
        if not len(tree):
            genesis = self.add_header(self.params.genesis.header)
            if bodies:
                self.add_block(self.params.genesis, genesis)
        self.recalculate_best_header()

    def _check_files(self, stored: StoredHeaders) -> None:
        """FilesMissing if a body is in a block file that is not there."""
        trunk, beside = stored.trunk, [row for row in stored.beside if row.position is not None]
        files, others = trunk.files(), [row.position.file for row in beside if row.position is not None]
        missing = {file for file in {*files, *others} if file >= 0 and not self.blocks.has_file(file)}
        if not missing:
            return
        statuses = [*trunk.statuses(), *(row.status for row in beside)]
        lost = {
            file for file, status in set(zip((*files, *others), statuses, strict=True)) if status & _HAVE_DATA
        }
        if names := ", ".join(file_name(file) for file in sorted(lost & missing)):
            raise FilesMissing(f"{names}: missing.", "Restart with -reindex.")

    async def write(self) -> None:
        """Commits all that was added before: bodies and undo data, then header rows."""
        if not self.dirty:
            return
        dirty, self._dirty = self._dirty, {}
        try:
            await self.blocks.write_headers(
                [
                    HeaderRow(
                        node.hash,
                        node.raw,
                        node.height,
                        node.status,
                        node.sequence,
                        node.tx_count,
                        node.position,
                    )
                    for node in dirty
                ]
            )
        except BaseException:  # coins must never be written that these rows do not speak of
            self._dirty = {**dirty, **self._dirty}
            raise

    # Headers

    def add_header(self, header: BlockHeader) -> HeaderNode:
        """The node of a header that follows all rules; its parent is known."""
        tree = self.tree
        count = len(tree)
        node = tree.add(header, block_work(header.bits))
        if len(tree) != count:
            node.sequence = 1
            self._dirty[node] = None
            if tree.best_header is None or tree.best_header.chainwork < node.chainwork:
                tree.best_header = node
        return node

    def recalculate_best_header(self) -> None:
        """Most work among what has not failed; the active tip where there is no better."""
        best = self.tree.tip
        for node in self.tree.leaves():
            while node.failed and node.prev is not None:
                node = node.prev
            if best is None or best.chainwork < node.chainwork:
                best = node
        self.tree.best_header = best

    # Bodies and undo data

    def add_block(self, block: Block, node: HeaderNode, position: Position | None = None) -> None:
        """Stores the body of node. position: where it is already (-reindex)."""
        if position is None:
            position = self.blocks.add_block(node.hash, node.height, block.raw)
            self._remember(block, node)
        node.position = position
        node.tx_count = len(block.vtx)
        node.status = (node.status & ~_HAVE_UNDO) | _HAVE_DATA
        if node.height >= self.params.segwit_height:
            node.status |= _OPT_WITNESS
        self._dirty[node] = None
        for ready in self.candidates.received(node):
            self._dirty[ready] = None

    def connected(self, node: HeaderNode, undo: BlockUndo) -> None:
        """Stores the undo data of node, which passed all checks."""
        if not node.have_undo:
            assert node.position is not None, "connected without a body"
            self.blocks.add_undo(node.position, undo)
        if not node.have_undo or not node.status & _VALID_SCRIPTS:
            node.status |= _HAVE_UNDO | _VALID_SCRIPTS
            self._dirty[node] = None

    def forget_body(self, node: HeaderNode) -> None:
        """The body of node was pruned."""
        node.status &= ~(_HAVE_DATA | _HAVE_UNDO)
        node.position = None
        self._dirty[node] = None

    def _remember(self, block: Block, node: HeaderNode) -> None:
        tip = self.tree.tip
        if tip is not None and node.chainwork < tip.chainwork and not self.tree.in_chain(node):
            return  # of a branch that may never be ours; below a snapshot blocks of our own come late
        if not self._recent or self._recent_bytes + len(block.raw) <= self._most_recent_bytes:
            self._recent[block.hash] = block
            self._recent_bytes += len(block.raw)

    def take_recent(self, node: HeaderNode) -> Block | None:
        """The block of node as it was accepted, parsed and checked, if it is still at hand; only once."""
        block = self._recent.pop(node.hash, None)
        if block is not None:
            self._recent_bytes -= len(block.raw)
        return block

    async def read_bytes(self, node: HeaderNode) -> bytes:
        """The block as it came. LookupError where the body is not stored, pruned for instance."""
        recent = self._recent.get(node.hash)
        if recent is not None:
            return recent.raw
        if node.position is None:
            raise LookupError(f"no body of block {node.hash[::-1].hex()}")
        return await self.blocks.get_block(node.position)

    async def read_block(self, node: HeaderNode) -> Block:
        block = self._recent.get(node.hash) or Block.decode(await self.read_bytes(node))
        block.header._hash = node.hash
        return block

    async def read_undo(self, node: HeaderNode) -> BlockUndo:
        """The undo data of node; none for the genesis block. LookupError where it is not stored."""
        if node.prev is None:
            return BlockUndo()
        if node.position is None or not node.have_undo:
            raise LookupError(f"no undo data of block {node.hash[::-1].hex()}")
        return await self.blocks.get_undo(node.position)

    # Failure

    def mark_failed(self, node: HeaderNode) -> None:
        """node and all behind it are failed, for good."""
        for failed in (node, *self.tree.descendants(node)):
            if not failed.failed:
                failed.status |= _FAILED
                self._dirty[failed] = None
            self._note_invalid(failed)
            self.take_recent(failed)
        self.candidates.failed(node)
        best = self.tree.best_header
        if best is not None and best.failed:
            self.recalculate_best_header()

    def reset_failed(self, node: HeaderNode) -> None:
        """Takes the failure off node, all before it and all behind it."""
        before: HeaderNode | None = node
        while before is not None and before.failed:
            self._reset_failed(before)
            before = before.prev
        for behind in self.tree.descendants(node):
            self._reset_failed(behind)
        self._find_best_invalid()
        self.candidates.rebuild()
        self.recalculate_best_header()

    def _reset_failed(self, node: HeaderNode) -> None:
        node.status &= ~_FAILED
        self._dirty[node] = None

    def _find_best_invalid(self) -> None:
        """What builds on a failed block has failed too, so one of the leaves is it."""
        self.best_invalid = None
        for node in self.tree.leaves():
            if node.failed:
                self._note_invalid(node)

    def _note_invalid(self, node: HeaderNode) -> None:
        if self.best_invalid is None or node.chainwork > self.best_invalid.chainwork:
            self.best_invalid = node

    def set_sequence(self, node: HeaderNode, sequence: int) -> None:
        """Moves node before or behind others of the same work (preciousblock)."""
        node.sequence = sequence
        self._dirty[node] = None
        if node.chain_tx_count:
            self.candidates.add(node)

    def path(self, fork: HeaderNode | None, end: HeaderNode, limit: int) -> Sequence[HeaderNode]:
        """The blocks behind fork (None: from genesis on) towards end, at most limit, in order."""
        start = -1 if fork is None else fork.height
        nodes = []
        node: HeaderNode | None = end.ancestor(min(start + limit, end.height))
        while node is not None and node.height > start:
            nodes.append(node)
            node = node.prev
        nodes.reverse()
        return nodes
