"""Category "blockchain": the mempool's file."""

from __future__ import annotations

from pathlib import Path

from pybitcoind.chain.mempool import persistence
from pybitcoind.chain.mempool.acceptance import Acceptance

from .amounts import Json
from .arguments import BOOL, OBJ_NAMED_PARAMS, STR
from .context import RpcContext
from .errors import RpcCode, RpcError
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method

R = ResultType


def _acceptance(ctx: RpcContext) -> Acceptance:
    fast = ctx.chain.options.fast_scripts
    return Acceptance(ctx.mempool, ctx.chain, ctx.params, ctx.ports, fast_scripts=fast)


@method(
    "blockchain",
    "Dumps the mempool to disk. It will fail until the previous dump is fully loaded.\n",
    result=Result(
        R.OBJ, inner=(Result(R.STR, "filename", "the directory and file where the mempool was saved"),)
    ),
    examples=cli("savemempool") + curl("savemempool"),
)
async def savemempool(ctx: RpcContext) -> Json:
    if not ctx.mempool.loaded:
        raise RpcError(RpcCode.MISC_ERROR, "The mempool was not loaded yet")
    path = ctx.node.net_dir / "mempool.dat"
    if not await persistence.dump(_acceptance(ctx), path):
        raise RpcError(RpcCode.MISC_ERROR, "Unable to dump mempool to disk")
    return {"filename": str(path)}


@method(
    "blockchain",
    "Import a mempool.dat file and attempt to add its contents to the mempool.\n"
    "Warning: Importing untrusted files is dangerous, especially if metadata from the file is taken over.",
    args=(
        Arg("filepath", STR, "The mempool file"),
        Arg(
            "options",
            OBJ_NAMED_PARAMS,
            default=OPTIONAL,
            oneline="options",
            inner=(
                Arg(
                    "use_current_time",
                    BOOL,
                    "Whether to use the current system time or use the entry time metadata from the mempool "
                    "file.\n"
                    "Warning: Importing untrusted metadata may lead to unexpected issues and undesirable "
                    "behavior.",
                    True,
                ),
                Arg(
                    "apply_fee_delta_priority",
                    BOOL,
                    "Whether to apply the fee delta metadata from the mempool file.\n"
                    "It will be added to any existing fee deltas.\n"
                    "The fee delta can be set by the prioritisetransaction RPC.\n"
                    "Warning: Importing untrusted metadata may lead to unexpected issues and undesirable "
                    "behavior.\n"
                    "Only set this bool if you understand what it does.",
                    False,
                ),
                Arg(
                    "apply_unbroadcast_set",
                    BOOL,
                    "Whether to apply the unbroadcast set metadata from the mempool file.\n"
                    "Warning: Importing untrusted metadata may lead to unexpected issues and undesirable "
                    "behavior.",
                    False,
                ),
            ),
        ),
    ),
    result=Result(R.OBJ),
    examples=cli("importmempool", "/path/to/mempool.dat") + curl("importmempool", "/path/to/mempool.dat"),
    needs_chain=True,
)
async def importmempool(ctx: RpcContext, filepath: str, options: Json) -> Json:
    if ctx.chain.is_ibd:
        raise RpcError(
            RpcCode.CLIENT_IN_INITIAL_DOWNLOAD,
            "Can only import the mempool after the block download and sync is done.",
        )
    given = options or {}

    async def load() -> persistence.LoadCounts | None:
        return await persistence.load(
            _acceptance(ctx),
            Path(filepath),
            use_current_time=bool(given.get("use_current_time", True)),
            apply_fee_delta_priority=bool(given.get("apply_fee_delta_priority", False)),
            apply_unbroadcast_set=bool(given.get("apply_unbroadcast_set", False)),
        )

    if await ctx.chain.submit(load) is None:
        raise RpcError(RpcCode.MISC_ERROR, "Unable to import mempool file, see debug log for details.")
    return {}
