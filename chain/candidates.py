"""Blocks that could be the next tip: bodies known down to the genesis block, none failed.

Only the last block of each such branch is kept; it has the most work of its branch.
"""

from __future__ import annotations

from .header_tree import HeaderNode, HeaderStatus, HeaderTree

_HAVE_DATA = int(HeaderStatus.HAVE_DATA)


def rank(node: HeaderNode) -> tuple[int, int, bytes]:
    """Sorts candidates, best last: most work, then first seen, then (after a restart only) by hash."""
    return node.chainwork, -node.sequence, node.hash


class Candidates:
    """Ends of branches that are worth connecting, and bodies that wait for the body of their parent."""

    def __init__(self, tree: HeaderTree) -> None:
        self._tree = tree
        self._ends: dict[HeaderNode, None] = {}
        self._waiting: dict[HeaderNode, list[HeaderNode]] = {}
        self._next_sequence = 2
        self._assumed: HeaderNode | None = None

    def __len__(self) -> int:
        return len(self._ends)

    def received(self, node: HeaderNode) -> list[HeaderNode]:
        """The body of node came (tx_count is set): what is connectable because of it, parents first.

        Those get their place in the order of arrival now: who has shown a header only has no claim yet.
        """
        if node.prev is not None and not node.prev.chain_tx_count:
            self._waits(node)
            return []
        queue = [node]
        for ready in queue:
            before = 0 if ready.prev is None else ready.prev.chain_tx_count
            ready.chain_tx_count = before + ready.tx_count
            ready.sequence = self._next_sequence
            self._next_sequence += 1
            self.add(ready)
            queue += self._waiting.pop(ready, ())
        return queue

    def add(self, node: HeaderNode) -> None:
        """node is connectable and not failed."""
        tip = self._tree.tip
        if node.failed or (tip is not None and rank(node) < rank(tip)):
            return
        if node.prev is not None:
            self._ends.pop(node.prev, None)
        self._ends[node] = None

    def best(self) -> HeaderNode | None:
        """The best candidate; None if nothing is better than the tip. Forgets those that are worse."""
        tip = self._tree.tip
        if tip is not None:
            least = rank(tip)
            self._ends = {node: None for node in self._ends if rank(node) > least}
        return max(self._ends, key=rank, default=None)

    def failed(self, node: HeaderNode) -> None:
        """node cannot be connected: its branch now ends before it."""
        gone = [end for end in self._ends if end.descends_from(node)]
        for end in gone:
            del self._ends[end]
        if gone and node.prev is not None:
            self.add(node.prev)

    def missing(self, node: HeaderNode, end: HeaderNode) -> None:
        """The body of node, on the way to end, was pruned: what is behind it waits until it comes again."""
        self.failed(node)
        step = end
        while step is not node:
            assert step.prev is not None
            waiting = self._waiting.setdefault(step.prev, [])
            if step not in waiting:
                waiting.append(step)
            step = step.prev

    def set_aside(self, node: HeaderNode) -> None:
        """node is no candidate before the next rebuild."""
        self._ends.pop(node, None)

    def assume(self, node: HeaderNode, chain_tx_count: int) -> None:
        """The coins at node were loaded: what builds on it can be connected without the blocks below."""
        self._assumed = node
        self._tree.assume(node, chain_tx_count)
        for child in self._waiting.pop(node, ()):
            self.received(child)

    def rebuild(self) -> None:
        """Looks through the whole tree: after flags or the tip were changed by hand."""
        self._ends.clear()
        for leaf in self._tree.leaves():
            end: HeaderNode | None = self._last_connectable(leaf)
            while end is not None and end.failed:
                end = end.prev
            if end is not None:
                self.add(end)

    def _last_connectable(self, leaf: HeaderNode) -> HeaderNode | None:
        """The last block on the way to leaf up to which all bodies came; None if not even the first has.

        Those below a block whose coins were loaded do not count.
        """
        loaded = self._assumed is not None and leaf.descends_from(self._assumed)
        low, high = self._assumed.height if loaded and self._assumed else -1, leaf.height
        while low < high:
            middle = (low + high + 1) // 2
            if leaf.ancestor(middle).chain_tx_count:
                low = middle
            else:
                high = middle - 1
        return None if low < 0 else leaf.ancestor(low)

    def load(self, assumed: tuple[HeaderNode, int] | None = None) -> None:
        """After a restart: counts transactions, and takes the order of arrival up again.

        assumed: see `assume`.
        """
        tree = self._tree
        if assumed is not None:
            self._assumed = assumed[0]
            tree.assume(*assumed)
        for height in tree.trunk.waiting(_HAVE_DATA):
            self._waits(tree.on_trunk(height))
        for node in tree.beside_trunk():
            before = 0 if node.prev is None else node.prev.chain_tx_count
            if node is self._assumed:
                continue
            if node.tx_count and (node.prev is None or before):
                node.chain_tx_count = before + node.tx_count
            elif node.have_data:
                self._waits(node)
        self._next_sequence = tree.load_sequences() + 1
        self.rebuild()

    def _waits(self, node: HeaderNode) -> None:
        if node.prev is not None:
            self._waiting.setdefault(node.prev, []).append(node)
