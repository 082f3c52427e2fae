"""Category "blockchain": orders to the chain: which branch it takes, what is verified, what is pruned."""

from __future__ import annotations

from bisect import bisect_left

from pybitcoind.chain.consensus.errors import BlockInvalid
from pybitcoind.chain.intake import MIN_BLOCKS_TO_KEEP
from pybitcoind.chain.verify_chain import VerifyResult

from .amounts import Json
from .arguments import HASH, INT, REAL, parse_int
from .blockchain import find_block
from .context import RpcContext
from .errors import RpcCode, RpcError, invalid_parameter, misc_error
from .registry import Arg, Result, ResultType, cli, curl, method

R = ResultType
TIMESTAMP_WINDOW = 2 * 60 * 60
"""Seconds by which a block's time may be before that of the block below it."""
LEAST_TIMESTAMP = 1_000_000_000
"""A greater number is no height."""


async def _activate(ctx: RpcContext) -> None:
    """The best chain after an order; RpcError -20 where the chain could not be activated."""
    try:
        await ctx.chain.activate_best()
    except BlockInvalid as error:
        raise RpcError(RpcCode.DATABASE_ERROR, str(error)) from None


@method(
    "hidden",
    "Permanently marks a block as invalid, as if it violated a consensus rule.\n",
    args=(Arg("blockhash", HASH, "the hash of the block to mark as invalid"),),
    result=Result(R.NONE),
    examples=cli("invalidateblock", '"blockhash"') + curl("invalidateblock", '"blockhash"'),
    needs_chain=True,
)
async def invalidateblock(ctx: RpcContext, blockhash: bytes) -> Json:
    find_block(ctx, blockhash)
    try:
        await ctx.chain.invalidate_block(blockhash)
    except ValueError as error:
        raise misc_error(str(error)) from None
    await _activate(ctx)
    return None


@method(
    "hidden",
    "Removes invalidity status of a block, its ancestors and its descendants, reconsider them for "
    "activation.\n"
    "This can be used to undo the effects of invalidateblock.\n",
    args=(Arg("blockhash", HASH, "the hash of the block to reconsider"),),
    result=Result(R.NONE),
    examples=cli("reconsiderblock", '"blockhash"') + curl("reconsiderblock", '"blockhash"'),
    needs_chain=True,
)
async def reconsiderblock(ctx: RpcContext, blockhash: bytes) -> Json:
    find_block(ctx, blockhash)
    await ctx.chain.reconsider_block(blockhash)
    await _activate(ctx)
    return None


@method(
    "blockchain",
    "Treats a block as if it were received before others with the same work.\n\n"
    "A later preciousblock call can override the effect of an earlier one.\n\n"
    "The effects of preciousblock are not retained across restarts.\n",
    args=(Arg("blockhash", HASH, "the hash of the block to mark as precious"),),
    result=Result(R.NONE),
    examples=cli("preciousblock", '"blockhash"') + curl("preciousblock", '"blockhash"'),
    needs_chain=True,
)
async def preciousblock(ctx: RpcContext, blockhash: bytes) -> Json:
    find_block(ctx, blockhash)
    await ctx.chain.precious_block(blockhash)
    return None


@method(
    "blockchain",
    "Verifies blockchain database.\n",
    args=(
        Arg(
            "checklevel",
            INT,
            "How thorough the block verification is:\n"
            "- level 0 reads the blocks from disk\n"
            "- level 1 verifies block validity\n"
            "- level 2 verifies undo data\n"
            "- level 3 checks disconnection of tip blocks\n"
            "- level 4 tries to reconnect the blocks\n"
            "- each level includes the checks of the previous levels",
            3,
            hint="3, range=0-4",
        ),
        Arg("nblocks", INT, "The number of blocks to check.", 6, hint="6, 0=all"),
    ),
    result=Result(R.BOOL, "", "Verification finished successfully. If false, check debug log for reason."),
    examples=cli("verifychain") + curl("verifychain"),
    needs_chain=True,
)
async def verifychain(ctx: RpcContext, checklevel: int, nblocks: int) -> Json:
    return await ctx.chain.verify_chain(checklevel, nblocks) is VerifyResult.SUCCESS


@method(
    "blockchain",
    "Attempts to delete block and undo data up to a specified height or timestamp, if eligible for pruning.\n"
    "Requires `-prune` to be enabled at startup. While pruned data may be re-fetched in some cases (e.g., "
    "via `getblockfrompeer`), local deletion is irreversible.\n",
    args=(
        Arg(
            "height",
            REAL,
            "The block height to prune up to. May be set to a discrete height, or to a UNIX epoch time\n"
            "                  to prune blocks whose block time is at least 2 hours older than the provided "
            "timestamp.",
        ),
    ),
    result=Result(R.NUM, "", "Height of the last block pruned"),
    examples=cli("pruneblockchain", "1000") + curl("pruneblockchain", "1000"),
    needs_chain=True,
)
async def pruneblockchain(ctx: RpcContext, height: Json) -> Json:
    chain = ctx.chain
    if not chain.pruning:
        raise misc_error("Cannot prune blocks because node is not in prune mode.")
    height = parse_int(height, -(2**31), 2**31 - 1)
    if height < 0:
        raise invalid_parameter("Negative block height.")
    if height > LEAST_TIMESTAMP:
        nodes = chain.headers.chain
        height = bisect_left(nodes, height - TIMESTAMP_WINDOW, key=lambda node: node.time_max)
        if height == len(nodes):
            raise invalid_parameter("Could not find block with at least the specified timestamp.")
    if chain.tip.height < ctx.params.prune_after_height:
        raise misc_error("Blockchain is too short for pruning.")
    if height > chain.tip.height:
        raise invalid_parameter("Blockchain is shorter than the attempted prune height.")
    if height > chain.tip.height - MIN_BLOCKS_TO_KEEP:
        ctx.ports.log.debug(
            "rpc",
            "Attempt to prune blocks close to the tip.  Retaining the minimum number of blocks.",
        )
        height = chain.tip.height - MIN_BLOCKS_TO_KEEP
    return await chain.prune(height)
