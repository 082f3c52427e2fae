"""All headers we know, as a tree, and the active chain through it.

A node points to its parent and, by a jump pointer, to an ancestor further down, so that any ancestor is
found in O(log n) steps. Of the longest chain that was loaded at start (the trunk, see trunk.py) nodes are
made when they are asked for. `ChainManager.accept_headers` is the only writer of new headers.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterable, Iterator, Sequence
from enum import IntFlag
from typing import TYPE_CHECKING, overload

from .primitives.block import BlockHeader
from .primitives.hashes import ZERO_HASH
from .storage.header_rows import HeaderColumns
from .trunk import Trunk

if TYPE_CHECKING:
    from .storage.block_store import Position

MEDIAN_TIME_SPAN = 11
"""Blocks whose median is the "median time past"."""

LOCATOR_DENSE = 10
"""Entries of a locator before its steps double."""

_VERSION, _NONCE, _TIME_BITS = struct.Struct("<i"), struct.Struct("<I"), struct.Struct("<II")


class HeaderStatus(IntFlag):
    """What is known of a block; stored with its header.

    As in Core since 30.0 there is one flag for failed blocks: descendants of a failed block carry it too.
    """

    VALID_TREE = 1
    """The header follows the rules and so do its ancestors'."""
    VALID_SCRIPTS = 2
    """The block was connected once: all rules hold, scripts too (or assumed valid)."""
    HAVE_DATA = 4
    HAVE_UNDO = 8
    FAILED = 16
    OPT_WITNESS = 32
    """The body was checked with its witness commitment."""


_VALID_SCRIPTS, _HAVE_DATA = int(HeaderStatus.VALID_SCRIPTS), int(HeaderStatus.HAVE_DATA)
_HAVE_UNDO, _FAILED = int(HeaderStatus.HAVE_UNDO), int(HeaderStatus.FAILED)


class HeaderNode:
    """One header in the tree. Nodes are compared by identity; there is one per hash.

    chainwork: work of this block and all before it. status: bits of HeaderStatus, as a plain int (flag
    arithmetic on enums is slow; use the properties). sequence: the lower the earlier its body was seen; 0 if
    it was on the active chain when the node started, negative if made precious. tx_count: 0 until the body
    is known; chain_tx_count: 0 until the bodies of all ancestors are known too. time_max: latest time of it
    and its ancestors.
    """

    __slots__ = (
        "_jump",
        "_prev",
        "_rest",
        "_tree",
        "bits",
        "chain_tx_count",
        "chainwork",
        "hash",
        "height",
        "position",
        "sequence",
        "status",
        "time",
        "time_max",
        "tx_count",
    )

    def __init__(self, header: BlockHeader, prev: HeaderNode | None, work: int) -> None:
        self.hash = header.hash
        self._rest = _without_parent(header.raw)
        self.time, self.bits = header.time, header.bits
        self._tree: HeaderTree | None = None  # that of the trunk which the node belongs to
        self._prev = prev
        self.status = int(HeaderStatus.VALID_TREE)
        self.sequence = self.tx_count = self.chain_tx_count = 0
        self.position: Position | None = None
        self._jump: HeaderNode | None
        if prev is None:
            self.height, self.chainwork, self._jump, self.time_max = 0, work, None, self.time
            return
        self.height, self.chainwork = prev.height + 1, prev.chainwork + work
        if self.bits == prev.bits:
            self.bits = prev.bits  # the same object
        self.time_max = prev.time_max if prev.time_max >= self.time else self.time
        self._jump = prev.ancestor(jump_height(self.height))

    @classmethod
    def of_trunk(cls, tree: HeaderTree, trunk: Trunk, height: int) -> HeaderNode:
        """The node of a header of the trunk of tree; `HeaderTree.on_trunk` keeps it."""
        row, node = trunk.row(height), cls.__new__(cls)
        node.hash, node.height, node._tree = row.hash, height, tree
        node._prev = node._jump = None
        node._rest = _without_parent(row.header)
        node.time, node.bits = _TIME_BITS.unpack_from(row.header, 68)
        node.status, node.position, node.tx_count = row.status, row.position, row.tx_count
        node.sequence, node.chain_tx_count = trunk.sequence(height), trunk.chain_tx_count(height)
        node.chainwork, node.time_max = trunk.chainwork(height), trunk.time_max(height)
        return node

    @property
    def prev(self) -> HeaderNode | None:
        """The parent; None for the genesis block."""
        if self._prev is None and self._tree is not None and self.height:
            self._prev = self._tree.on_trunk(self.height - 1)
        return self._prev

    @property
    def jump(self) -> HeaderNode | None:
        """The ancestor at `jump_height`; None for the genesis block."""
        if self._jump is None and self._tree is not None and self.height:
            self._jump = self._tree.on_trunk(jump_height(self.height))
        return self._jump

    @property
    def version(self) -> int:
        return int(_VERSION.unpack_from(self._rest)[0])

    @property
    def merkle_root(self) -> bytes:
        return self._rest[4:36]

    @property
    def nonce(self) -> int:
        return int(_NONCE.unpack_from(self._rest, 44)[0])

    @property
    def raw(self) -> bytes:
        """The 80 bytes of the header."""
        return self._rest[:4] + self.prev_hash + self._rest[4:]

    @property
    def header(self) -> BlockHeader:
        header = BlockHeader.decode(self.raw)
        header._hash = self.hash
        return header

    @property
    def prev_hash(self) -> bytes:
        return ZERO_HASH if self.prev is None else self.prev.hash

    @property
    def have_data(self) -> bool:
        """The body is stored (and not pruned)."""
        return bool(self.status & _HAVE_DATA)

    @property
    def have_undo(self) -> bool:
        return bool(self.status & _HAVE_UNDO)

    @property
    def failed(self) -> bool:
        """It, or a block before it, broke a rule (or invalidateblock said so)."""
        return bool(self.status & _FAILED)

    @property
    def scripts_valid(self) -> bool:
        """It was connected once and has not failed."""
        return self.status & (_VALID_SCRIPTS | _FAILED) == _VALID_SCRIPTS

    def ancestor(self, height: int) -> HeaderNode:
        """The ancestor (or itself) at height; ValueError outside [0, self.height]."""
        if not 0 <= height <= self.height:
            raise ValueError(f"no ancestor at height {height} of a block at {self.height}")
        node = self
        while node.height > height:
            if node._tree is not None:
                return node._tree.on_trunk(height)
            jump = node.jump
            assert jump is not None and node.prev is not None
            node = jump if jump.height >= height else node.prev
        return node

    def descends_from(self, other: HeaderNode) -> bool:
        """other is this node or an ancestor of it."""
        return other.height <= self.height and self.ancestor(other.height) is other

    def mtp(self) -> int:
        """Median of the times of this block and the ten before it (BIP 113), seconds."""
        times: list[int] = []
        node: HeaderNode | None = self
        while node is not None and len(times) < MEDIAN_TIME_SPAN:
            times.append(node.time)
            node = node.prev
        times.sort()
        return times[len(times) // 2]

    def __repr__(self) -> str:
        return f"HeaderNode({self.height}, {self.hash[::-1].hex()})"


def _without_parent(header: bytes) -> bytes:
    """What a node keeps of its 80 bytes: the parent has its hash."""
    return header[:4] + header[36:]


def jump_height(height: int) -> int:
    """Where the jump of a block at height leads; it depends on the height alone (Myers 1983).

    height as a sum of numbers 2^k - 1, the greatest first: the jump goes over the last of them.
    """
    rest = height
    while True:
        step = (1 << (rest + 1).bit_length() - 1) - 1
        if step == rest:
            return height - step
        rest -= step


def fork_point(a: HeaderNode, b: HeaderNode) -> HeaderNode:
    """The last block that the chains ending in a and in b share."""
    if a.height > b.height:
        a = a.ancestor(b.height)
    elif b.height > a.height:
        b = b.ancestor(a.height)
    while a is not b:
        # Equal heights have jumps of equal length, so both stay at one height.
        if a.jump is not b.jump and a.jump is not None and b.jump is not None:
            a, b = a.jump, b.jump
        else:
            assert a.prev is not None and b.prev is not None, "two trees"
            a, b = a.prev, b.prev
    return a


class ActiveChain(Sequence[HeaderNode]):
    """Blocks by height from the genesis block up: some of the trunk, and nodes on top of them."""

    def __init__(self, tree: HeaderTree) -> None:
        self._tree = tree
        self._low = 0
        self._rest: list[HeaderNode] = []

    def __len__(self) -> int:
        return self._low + len(self._rest)

    @overload
    def __getitem__(self, at: int) -> HeaderNode: ...
    @overload
    def __getitem__(self, at: slice) -> list[HeaderNode]: ...
    def __getitem__(self, at: int | slice) -> HeaderNode | list[HeaderNode]:
        if isinstance(at, slice):
            return [self[height] for height in range(*at.indices(len(self)))]
        height = at if at >= 0 else at + len(self)
        if not 0 <= height < self._low:
            if height < 0:
                raise IndexError("no block below the genesis block")
            return self._rest[height - self._low]
        return self._tree.on_trunk(height)

    @property
    def on_trunk(self) -> int:
        """So many blocks from the genesis block on are the trunk's."""
        return self._low

    def holds(self, node: HeaderNode) -> bool:
        if node.height < self._low:
            return node._tree is self._tree
        above = node.height - self._low
        return above < len(self._rest) and self._rest[above] is node

    def end_with(self, node: HeaderNode | None) -> None:
        """The chain becomes the one that ends in node; empty for None."""
        path = []
        step = node
        while step is not None and step._tree is None and not self.holds(step):
            path.append(step)
            step = step.prev
        count = 0 if step is None else step.height + 1
        if step is None or step._tree is not None:
            self._low, self._rest = count, []
        else:
            del self._rest[count - self._low :]
        self._rest += reversed(path)


class HeaderTree:
    """Every header by its hash, the leaves, the best header, and the active chain by height.

    Parents come before their children in iteration.
    """

    def __init__(self, columns: HeaderColumns | None = None) -> None:
        self.trunk = Trunk(columns or HeaderColumns())
        """Begins with the headers of columns."""
        self._made: dict[int, HeaderNode] = {}
        self._nodes: dict[bytes, HeaderNode] = {}
        self._leaves: dict[HeaderNode, None] = {}
        if self.trunk:
            self._leaves[self.on_trunk(len(self.trunk) - 1)] = None
        self.chain = ActiveChain(self)
        """The active chain: the blocks whose coins we have, by height."""
        self.best_header: HeaderNode | None = None
        """Most work, first seen, not known to be invalid; set by the manager."""

    def __len__(self) -> int:
        return len(self.trunk) + len(self._nodes)

    def __iter__(self) -> Iterator[HeaderNode]:
        """All nodes; makes those of the whole trunk, so it is for small trees only."""
        yield from map(self.on_trunk, range(len(self.trunk)))
        yield from self._nodes.values()

    def __contains__(self, block_hash: object) -> bool:
        return isinstance(block_hash, bytes) and (
            block_hash in self._nodes or self.trunk.find(block_hash) is not None
        )

    def get(self, block_hash: bytes) -> HeaderNode | None:
        node = self._nodes.get(block_hash)
        if node is None:
            height = self.trunk.find(block_hash)
            return None if height is None else self.on_trunk(height)
        return node

    def on_trunk(self, height: int) -> HeaderNode:
        """The node at height of the trunk, always the same one."""
        node = self._made.get(height)
        if node is None:
            node = self._made[height] = HeaderNode.of_trunk(self, self.trunk, height)
        return node

    def assume(self, node: HeaderNode, chain_tx_count: int) -> None:
        """The coins at node were loaded: its chain_tx_count is known, and so are those of what follows."""
        node.chain_tx_count = chain_tx_count
        if node._tree is self:
            self.trunk.assume(node.height, chain_tx_count)
            for made in self._made.values():
                if made.height > node.height and not made.chain_tx_count:
                    made.chain_tx_count = self.trunk.chain_tx_count(made.height)

    def beside_trunk(self) -> Iterable[HeaderNode]:
        """All other nodes, parents first."""
        return self._nodes.values()

    @property
    def genesis(self) -> HeaderNode:
        return self.on_trunk(0) if self.trunk else next(iter(self._nodes.values()))

    def add(self, header: BlockHeader, work: int) -> HeaderNode:
        """The node of a header whose parent is known (or of the genesis block); the old one if there is one.

        work: expected hashes for this block alone. Checks no rule and does not move `best_header`.
        """
        known = self.get(header.hash)
        if known is not None:
            return known
        prev = self.get(header.prev_hash)
        if prev is None and len(self):
            raise KeyError(header.prev_hash)
        node = HeaderNode(header, prev, work)
        self._nodes[node.hash] = node
        if prev is not None:
            self._leaves.pop(prev, None)
        self._leaves[node] = None
        return node

    @property
    def tip(self) -> HeaderNode | None:
        """The last block of the active chain; None before the genesis block is connected."""
        return self.chain[-1] if self.chain else None

    def set_tip(self, node: HeaderNode | None) -> None:
        """Makes the chain that ends in node the active one."""
        self.chain.end_with(node)

    def in_chain(self, node: HeaderNode) -> bool:
        """node is on the active chain."""
        return self.chain.holds(node)

    def next_in_chain(self, node: HeaderNode) -> HeaderNode | None:
        """The block behind node on the active chain; None if node is its tip or not on it."""
        if not self.in_chain(node) or node.height + 1 >= len(self.chain):
            return None
        return self.chain[node.height + 1]

    def leaves(self) -> list[HeaderNode]:
        """Nodes without children, in the order in which they came."""
        return list(self._leaves)

    def tips(self) -> list[HeaderNode]:
        """The leaves and the active tip, highest first, then by hash (getchaintips)."""
        tips = dict(self._leaves)
        if self.chain:
            tips[self.chain[-1]] = None
        return sorted(tips, key=lambda node: (-node.height, node.hash[::-1]))

    def descendants(self, node: HeaderNode) -> list[HeaderNode]:
        """All nodes behind node, itself left out, parents first."""
        found: dict[HeaderNode, None] = {}
        for leaf in self._leaves:
            if leaf.descends_from(node):
                step: HeaderNode | None = leaf
                while step is not None and step is not node and step not in found:
                    found[step] = None
                    step = step.prev
        return sorted(found, key=lambda other: other.height)

    def stored_in(self, files: Container[int]) -> list[HeaderNode]:
        """The nodes whose bodies are in the block files of those numbers."""
        nodes = dict.fromkeys(map(self.on_trunk, self.trunk.in_files(files)))
        nodes |= dict.fromkeys(self._made.values()) | dict.fromkeys(self._nodes.values())
        return [node for node in nodes if node.position is not None and node.position.file in files]

    def load_sequences(self) -> int:
        """After a restart: what was active comes first, whatever came before it (Core's rule).

        Returns the highest number of arrival there is.
        """
        trunk = self.trunk
        trunk.activate(self.chain.on_trunk)
        for node in self._made.values():
            node.sequence = trunk.sequence(node.height)
        for node in self._nodes.values():
            node.sequence = 0 if self.in_chain(node) else max(node.sequence, 1)
        return max(1, trunk.highest_sequence(), *(node.sequence for node in self._nodes.values()))

    def locator(self, node: HeaderNode | None = None) -> list[bytes]:
        """Hashes from node (default: the active tip) back to the genesis block, at doubling distances."""
        node = node or self.tip
        hashes: list[bytes] = []
        step = 1
        while node is not None:
            hashes.append(node.hash)
            if node.height == 0:
                break
            node = node.ancestor(max(node.height - step, 0))
            if len(hashes) > LOCATOR_DENSE:
                step *= 2
        return hashes

    def find_fork(self, locator: Iterable[bytes]) -> HeaderNode:
        """The last block of the active chain that a peer with this locator has; the genesis block if none."""
        for block_hash in locator:
            node = self.get(block_hash)
            if node is None:
                continue
            if self.in_chain(node):
                return node
            tip = self.tip
            if tip is not None and node.descends_from(tip):
                return tip
        return self.genesis

    def fork_with_chain(self, node: HeaderNode) -> HeaderNode | None:
        """The last block of the active chain that is node or before it; None if no chain is active yet."""
        if not self.chain:
            return None
        return fork_point(node, self.chain[-1])

    def earliest_at_least(self, time: int, height: int = 0) -> HeaderNode | None:
        """First block of the active chain at height or above by which some block's time reached time."""
        low, high = max(height, 0), len(self.chain)
        while low < high:
            middle = (low + high) // 2
            if self.chain[middle].time_max < time:
                low = middle + 1
            else:
                high = middle
        return self.chain[low] if low < len(self.chain) else None
