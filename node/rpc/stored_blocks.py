"""Blocks and undo data for RPC methods: what cannot be read is told in Core's words, and the node goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.storage.block_store import BlockUnreadable
from pybitcoind.chain.storage.records import BlockUndo

from .context import RpcContext
from .errors import RpcCode, RpcError, misc_error

NOT_ON_DISK = "Block not found on disk"
UNDO_NOT_ON_DISK = "Can't read undo data from disk"
EXPECTED = (
    "{} data expected but can't be read. This could be due to disk corruption or a conflict with a pruning "
    "event."
)


@contextmanager
def unreadable_as(ctx: RpcContext, message: str, code: RpcCode = RpcCode.MISC_ERROR) -> Iterator[None]:
    """What cannot be read inside, also for want of a body that has just been pruned, is an RPC error."""
    try:
        yield
    except (BlockUnreadable, LookupError) as error:
        ctx.node.ports.log.error(f"{error}")
        raise RpcError(code, message) from None


def require_body(node: HeaderNode) -> None:
    """RpcError -1 unless the block's transactions are stored."""
    if not node.have_data:
        if node.tx_count > 0:
            raise misc_error("Block not available (pruned data)")
        raise misc_error("Block not available (not fully downloaded)")


async def stored_bytes(ctx: RpcContext, node: HeaderNode) -> bytes:
    with unreadable_as(ctx, NOT_ON_DISK):
        return await ctx.chain.read_block_bytes(node)


async def stored_block(ctx: RpcContext, node: HeaderNode) -> Block:
    with unreadable_as(ctx, NOT_ON_DISK):
        return await ctx.chain.read_block(node)


async def stored_undo(ctx: RpcContext, node: HeaderNode) -> BlockUndo:
    with unreadable_as(ctx, UNDO_NOT_ON_DISK):
        return await ctx.chain.read_undo(node)


async def stored_block_and_undo(ctx: RpcContext, node: HeaderNode) -> tuple[Block, BlockUndo]:
    """Both of one block; the genesis block spends nothing. RpcError -1 if either is not there."""
    require_body(node)
    block = await stored_block(ctx, node)
    if node.height > 0 and not node.have_undo:
        raise misc_error("Undo data not available")
    return block, await stored_undo(ctx, node)
