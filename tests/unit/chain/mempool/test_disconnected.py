"""What a reorganisation took off: which transactions are kept, in which order, and in how much memory."""

from __future__ import annotations

import gc
import tracemalloc

from long_chains import trunk

from pybitcoind.chain.mempool.disconnected import DisconnectedTransactions
from pybitcoind.chain.mempool.usage import transaction_usage
from pybitcoind.chain.primitives.block import Block


def made(count: int, lanes: int = 10) -> list[Block]:
    start, _ = trunk(lanes)
    return list(start.blocks(count))


def test_parents_come_back_before_children_and_the_last_confirmed_go_first() -> None:
    blocks = made(4)
    kept = DisconnectedTransactions(sum(transaction_usage(tx) for block in blocks[:3] for tx in block.vtx))
    dropped = [tx for block in reversed(blocks) for tx in kept.add_block(block)]
    assert dropped == list(reversed(blocks[3].vtx))
    kept.remove_block(blocks[1])
    assert len(kept) == 22
    back = [tx for part in kept.take() for tx in part]
    assert back == [*blocks[0].vtx, *blocks[2].vtx]
    assert len(kept) == 0 and kept._usage == 0 and list(kept.take()) == []


def test_they_take_no_more_memory_than_is_counted() -> None:
    blocks = made(60, 40)
    raws = [block.raw for block in reversed(blocks)]
    del blocks
    kept = DisconnectedTransactions()
    tracemalloc.start()
    for raw in raws:
        kept.add_block(Block.decode(raw))
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    parts = kept.take()
    first = next(parts)
    assert len(kept) == 0 and len(first) == 500
    tracemalloc.reset_peak()
    del first
    for _ in parts:
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    counted = sum(transaction_usage(tx) for raw in raws for tx in Block.decode(raw).vtx)
    assert taken < counted * 0.8, (taken, counted)
    assert peak < counted + 1_500_000  # parsed only some at a time
