"""Which block files may go: -prune, automatic or by hand. Files go whole, and never the last one."""

from __future__ import annotations

from collections.abc import Mapping

from .block_index import BlockIndex
from .header_tree import HeaderNode
from .intake import MIN_BLOCKS_TO_KEEP

MIN_PRUNE_TARGET = 550 << 20
"""Least target, bytes: 288 blocks of 1 MB with undo data and some files half empty must find room."""
BUFFER_BYTES = 17 << 20
"""Kept free below the target for what comes before the next look (Core's chunks of block and undo files)."""
AVERAGE_BLOCK_BYTES = 1_000_000
"""Assumed of the blocks still to come, so that pruning, which flushes the coins, is rare during the sync."""
LOCK_BUFFER = 10
"""Blocks kept below a lock."""


def last_prunable_height(index: BlockIndex, wanted: int, locks: Mapping[str, int]) -> int:
    """The highest block that may go, at most wanted.

    The last 288 stay, and what a lock's owner (an index that follows) has not read yet. locks: first heights
    needed, by name.
    """
    tip = index.tree.tip
    if tip is None:
        return 0
    highest = min(wanted, max(0, tip.height - MIN_BLOCKS_TO_KEEP))
    for first in locks.values():
        highest = max(1, min(highest, first - LOCK_BUFFER - 1))
    return highest


Below = tuple[HeaderNode, HeaderNode]
"""With a snapshot: the tip of the chainstate in the background, and the snapshot's block."""


def prunable_ranges(
    index: BlockIndex, wanted: int, locks: Mapping[str, int], below: Below | None
) -> list[tuple[int, int]]:
    """Lowest and highest height of blocks that may go, at most wanted; those of the active chain come last.

    What lies between the background's tip and the snapshot is yet to be connected.
    """
    last = last_prunable_height(index, wanted, locks)
    if below is None:
        return [(0, last)]
    tip, base = below
    return [(0, min(last, tip.height - MIN_BLOCKS_TO_KEEP)), (base.height + 1, last)]


def files_between(index: BlockIndex, low: int, high: int) -> list[int]:
    """Files with blocks of these heights only."""
    blocks = index.blocks
    return [
        number
        for number, info in sorted(blocks.files.items())
        if number not in blocks.current_files
        and info.blocks
        and low <= info.min_height
        and info.max_height <= high
    ]


def files_over_target(
    index: BlockIndex, target: int, locks: Mapping[str, int], *, in_ibd: bool, below: Below | None = None
) -> list[int]:
    """The oldest files, as many as must go to come below target bytes."""
    tip, best, blocks = index.tree.tip, index.tree.best_header, index.blocks
    if tip is None or best is None or tip.height <= index.params.prune_after_height:
        return []
    usage, buffer = blocks.disk_size(), BUFFER_BYTES
    if usage + buffer < target:
        return []
    if in_ibd and best.height > tip.height:
        buffer += AVERAGE_BLOCK_BYTES * (best.height - tip.height)
    gone: list[int] = []
    ranges = prunable_ranges(index, tip.height, locks, below)
    for number in [number for low, high in ranges for number in files_between(index, low, high)]:
        if usage + buffer < target:
            break
        usage -= blocks.files[number].bytes + blocks.files[number].undo_bytes
        gone.append(number)
    return gone


async def delete_files(index: BlockIndex, numbers: list[int]) -> None:
    """Removes files. The coins must have been flushed: no pruned block can be connected again."""
    for node in index.tree.stored_in(set(numbers)):
        index.forget_body(node)
    await index.write()
    for number in numbers:
        await index.blocks.delete_file(number)


def first_stored(index: BlockIndex) -> HeaderNode | None:
    """The lowest block of the active chain from which on all bodies are there; None without a chain."""
    node = index.tree.tip
    while node is not None and node.prev is not None and node.prev.have_data:
        node = node.prev
    return node
