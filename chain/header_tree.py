"""All headers we know, as a tree, and the active chain through it.

A node points to its parent and, by a jump pointer, to an ancestor further down, so that any ancestor is
found in O(log n) steps. `ChainManager.accept_headers` is the only writer of new nodes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from enum import IntFlag
from typing import TYPE_CHECKING

from .primitives.block import BlockHeader
from .primitives.hashes import ZERO_HASH

if TYPE_CHECKING:
    from .storage.block_store import Position

MEDIAN_TIME_SPAN = 11
"""Blocks whose median is the "median time past"."""

LOCATOR_DENSE = 10
"""Entries of a locator before its steps double."""

_VERSION, _NONCE = struct.Struct("<i"), struct.Struct("<I")


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
        "_rest",
        "bits",
        "chain_tx_count",
        "chainwork",
        "hash",
        "height",
        "jump",
        "position",
        "prev",
        "sequence",
        "status",
        "time",
        "time_max",
        "tx_count",
    )

    def __init__(self, header: BlockHeader, prev: HeaderNode | None, work: int) -> None:
        self.hash = header.hash
        self._rest = header.raw[:4] + header.raw[36:]  # there are a million of us: the parent has its hash
        self.time, self.bits = header.time, header.bits
        self.prev = prev
        self.status = int(HeaderStatus.VALID_TREE)
        self.sequence = self.tx_count = self.chain_tx_count = 0
        self.position: Position | None = None
        self.jump: HeaderNode | None
        if prev is None:
            self.height, self.chainwork, self.jump, self.time_max = 0, work, None, self.time
            return
        self.height, self.chainwork = prev.height + 1, prev.chainwork + work
        if self.bits == prev.bits:
            self.bits = prev.bits  # the same object
        self.time_max = prev.time_max if prev.time_max >= self.time else self.time
        # Two equal jumps in a row join into one (Myers 1983): where a jump leads depends on the height alone.
        jump = prev.jump
        if (
            jump is not None
            and jump.jump is not None
            and prev.height - jump.height == jump.height - jump.jump.height
        ):
            self.jump = jump.jump
        else:
            self.jump = prev

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


class HeaderTree:
    """Every header by its hash, the leaves, the best header, and the active chain by height.

    Parents come before their children in iteration.
    """

    def __init__(self) -> None:
        self._nodes: dict[bytes, HeaderNode] = {}
        self._leaves: dict[HeaderNode, None] = {}
        self.chain: list[HeaderNode] = []
        """The active chain: the blocks whose coins we have, by height."""
        self.best_header: HeaderNode | None = None
        """Most work, first seen, not known to be invalid; set by the manager."""

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[HeaderNode]:
        return iter(self._nodes.values())

    def __contains__(self, block_hash: object) -> bool:
        return block_hash in self._nodes

    def get(self, block_hash: bytes) -> HeaderNode | None:
        return self._nodes.get(block_hash)

    @property
    def genesis(self) -> HeaderNode:
        return next(iter(self._nodes.values()))

    def add(self, header: BlockHeader, work: int) -> HeaderNode:
        """The node of a header whose parent is known (or of the genesis block); the old one if there is one.

        work: expected hashes for this block alone. Checks no rule and does not move `best_header`.
        """
        known = self._nodes.get(header.hash)
        if known is not None:
            return known
        prev = self._nodes.get(header.prev_hash)
        if prev is None and self._nodes:
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
        if node is None:
            self.chain.clear()
            return
        chain = self.chain
        path = []
        step: HeaderNode | None = node
        while step is not None and not (step.height < len(chain) and chain[step.height] is step):
            path.append(step)
            step = step.prev
        del chain[0 if step is None else step.height + 1 :]
        chain.extend(reversed(path))

    def in_chain(self, node: HeaderNode) -> bool:
        """node is on the active chain."""
        return node.height < len(self.chain) and self.chain[node.height] is node

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
        """All nodes behind node, itself left out, parents first. Walks the whole tree."""
        found = {node: None}
        for other in self._nodes.values():
            if other.height > node.height and other.prev in found:
                found[other] = None
        del found[node]
        return list(found)

    def locator(self, node: HeaderNode | None = None) -> list[bytes]:
        """Hashes from node (default: the active tip) back to the genesis block, at doubling distances."""
        node = node or self.tip
        hashes: list[bytes] = []
        step = 1
        while node is not None:
            hashes.append(node.hash)
            if node.height == 0:
                break
            if len(hashes) > LOCATOR_DENSE:
                step *= 2
            node = node.ancestor(max(node.height - step, 0))
        return hashes

    def find_fork(self, locator: Iterable[bytes]) -> HeaderNode:
        """The last block of the active chain that a peer with this locator has; the genesis block if none."""
        for block_hash in locator:
            node = self._nodes.get(block_hash)
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
