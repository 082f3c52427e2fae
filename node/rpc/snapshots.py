"""Category "blockchain": UTXO snapshots, written, loaded and validated (assumeutxo)."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.snapshot import MetadataError, SnapshotError, SnapshotReader
from pybitcoind.chain.snapshot_dump import Dump, dump_earlier, dump_tip
from pybitcoind.chain.snapshot_load import load

from .amounts import Json, Real
from .arguments import ANY_NUM, BOOL, OBJ_NAMED_PARAMS, STR
from .block_stats import parse_hash_or_height
from .context import RpcContext
from .errors import RpcCode, RpcError, invalid_parameter, misc_error
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method
from .render import bits_hex, difficulty, target_hex

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from pybitcoind.chain.chainstate import Chainstate
    from pybitcoind.chain.header_tree import HeaderNode

R = ResultType
T = TypeVar("T")
PRUNE_LOCK = "dumptxoutset-rollback"
PIPE_POLL = 0.1
"""Seconds between looks whether somebody reads from a named pipe."""


def _absolute(ctx: RpcContext, path: str) -> Path:
    return Path(os.path.normpath(ctx.node.net_dir.absolute() / path))


@method(
    "blockchain",
    "Write the serialized UTXO set to a file. This can be used in loadtxoutset afterwards if this snapshot "
    "height is supported in the chainparams as well.\n"
    "This creates a temporary UTXO database when rolling back, keeping the main chain intact. Should the "
    "node experience an unclean shutdown the temporary database may need to be removed from the datadir "
    "manually.\n"
    "For deep rollbacks, make sure to use no RPC timeout (bitcoin-cli -rpcclienttimeout=0) as it may take "
    "several minutes.",
    args=(
        Arg("path", STR, "Path to the output file. If relative, will be prefixed by datadir."),
        Arg(
            "type",
            STR,
            'The type of snapshot to create. Can be "latest" to create a snapshot of the current UTXO set or '
            '"rollback" to temporarily roll back the state of the node to a historical block before creating '
            'the snapshot of a historical UTXO set. This parameter can be omitted if a separate "rollback" '
            "named parameter is specified indicating the height or hash of a specific historical block. If "
            '"rollback" is specified and separate "rollback" named parameter is not specified, this will '
            "roll back to the latest valid snapshot block that can currently be loaded with loadtxoutset.",
            "",
        ),
        Arg(
            "options",
            OBJ_NAMED_PARAMS,
            "",
            OPTIONAL,
            inner=(
                Arg(
                    "rollback",
                    ANY_NUM,
                    "Height or hash of the block to roll back to before creating the snapshot. Note: The "
                    "further this number is from the tip, the longer this process will take. Consider "
                    "setting a higher -rpcclienttimeout value in this case.",
                    OPTIONAL,
                    type_words=("", "string or numeric"),
                ),
                Arg(
                    "in_memory",
                    BOOL,
                    "If true, the temporary UTXO-set database used during rollback is kept entirely in "
                    "memory. This can significantly speed up the process but requires sufficient free RAM "
                    "(over 10 GB on mainnet).",
                    False,
                ),
            ),
        ),
    ),
    result=Result(
        R.OBJ,
        inner=(
            Result(R.NUM, "coins_written", "the number of coins written in the snapshot"),
            Result(R.STR_HEX, "base_hash", "the hash of the base of the snapshot"),
            Result(R.NUM, "base_height", "the height of the base of the snapshot"),
            Result(R.STR, "path", "the absolute path that the snapshot was written to"),
            Result(R.STR_HEX, "txoutset_hash", "the hash of the UTXO set contents"),
            Result(
                R.NUM,
                "nchaintx",
                "the number of transactions in the chain up to and including the base block",
            ),
        ),
    ),
    examples=cli("-rpcclienttimeout=0 dumptxoutset", "utxo.dat latest")
    + cli("-rpcclienttimeout=0 dumptxoutset", "utxo.dat rollback")
    + cli("-rpcclienttimeout=0 -named dumptxoutset", "utxo.dat rollback=853456")
    + cli("-rpcclienttimeout=0 -named dumptxoutset", "utxo.dat rollback=853456 in_memory=true"),
    needs_chain=True,
)
async def dumptxoutset(ctx: RpcContext, path: str, type: str, options: dict[str, Json] | None) -> Json:
    options = options or {}
    target = _dump_target(ctx, type, options)
    final = _absolute(ctx, path)
    pipe = final.is_fifo()
    if final.exists() and not pipe:
        raise invalid_parameter(
            f"{final} already exists. If you are sure this is what you want, move it out of the way first"
        )
    beside = final if pipe else final.with_name(final.name + ".incomplete")
    done = False
    try:
        file = await _open_to_write(ctx, beside, pipe)
        dump = await _or_stop(ctx, _dump(ctx, file, target, options))
        if not pipe:
            beside.replace(final)
        done = True
    finally:
        if not done and not pipe:
            beside.unlink(missing_ok=True)
    return {
        "coins_written": dump.coins,
        "base_hash": hash_hex(dump.base.hash),
        "base_height": dump.base.height,
        "path": str(final),
        "txoutset_hash": hash_hex(dump.utxo_hash),
        "nchaintx": dump.base.chain_tx_count,
    }


def _dump_target(ctx: RpcContext, kind: str, options: dict[str, Json]) -> HeaderNode:
    if "rollback" in options:
        if kind not in ("", "rollback"):
            raise invalid_parameter(f'Invalid snapshot type "{kind}" specified with rollback option')
        return parse_hash_or_height(ctx, options["rollback"])
    if kind == "rollback":
        known = ctx.params.assume_utxo
        if not known:
            raise misc_error("This network has no snapshots to roll back to")
        return parse_hash_or_height(ctx, max(one.height for one in known))
    if kind == "latest":
        return ctx.chain.tip
    raise invalid_parameter(
        f'Invalid snapshot type "{kind}" specified. Please specify "rollback" or "latest"'
    )


def _open(path: Path, mode: str) -> BinaryIO | None:
    """None if it cannot be opened; a named pipe if nobody reads from it."""

    def opener(name: str, flags: int) -> int:
        descriptor = os.open(name, flags | os.O_NONBLOCK, 0o666)
        os.set_blocking(descriptor, True)
        return descriptor

    try:
        return cast(BinaryIO, open(path, mode, opener=opener))
    except OSError:
        return None


async def _open_to_write(ctx: RpcContext, path: Path, pipe: bool) -> BinaryIO:
    """A named pipe is waited for until somebody reads from it."""
    while (file := _open(path, "wb")) is None:
        if not pipe or ctx.node.stopping.is_set():
            raise invalid_parameter(f"Couldn't open file {path} for writing.")
        await ctx.clock.sleep(PIPE_POLL)
    return file


async def _dump(ctx: RpcContext, file: BinaryIO, target: HeaderNode, options: dict[str, Json]) -> Dump:
    chain = ctx.chain
    try:
        if target is chain.tip:
            return await dump_tip(chain, file)
        if not chain.headers.in_chain(target):
            raise misc_error("Could not roll back to a block that is not in the active chain.")
        if chain.pruning and chain.pruned_height >= target.height:
            raise misc_error(
                "Could not roll back to requested height since necessary block data is already pruned."
            )
        if PRUNE_LOCK in chain.prune_locks:
            raise misc_error("Another rollback is in progress.")
        chain.prune_locks[PRUNE_LOCK] = target.height
        try:
            return await dump_earlier(chain, target, file, in_memory=options.get("in_memory") is True)
        except LookupError as error:
            raise RpcError(RpcCode.INTERNAL_ERROR, str(error)) from None
        finally:
            chain.prune_locks.pop(PRUNE_LOCK, None)
    finally:
        with suppress(OSError):
            file.close()


async def _or_stop(ctx: RpcContext, work: Coroutine[Any, Any, T]) -> T:
    """The result of work, which ends when the node stops."""
    result = await ctx.node.until_stop(work)
    if result is None:
        raise RpcError(RpcCode.CLIENT_NOT_CONNECTED, "Shutting down")
    return result


@method(
    "blockchain",
    "Load the serialized UTXO set from a file.\n"
    "Once this snapshot is loaded, its contents will be deserialized into a second chainstate data "
    "structure, which is then used to sync to the network's tip. Meanwhile, the original chainstate will "
    "complete the initial block download process in the background, eventually validating up to the block "
    "that the snapshot is based upon.\n\n"
    "The result is a usable bitcoind instance that is current with the network tip in a matter of minutes "
    "rather than hours. UTXO snapshot are typically obtained from third-party sources (HTTP, torrent, etc.) "
    "which is reasonable since their contents are always checked by hash.\n\n"
    "You can find more information on this process in the `assumeutxo` design document "
    "(<https://github.com/bitcoin/bitcoin/blob/master/doc/design/assumeutxo.md>).",
    args=(Arg("path", STR, "path to the snapshot file. If relative, will be prefixed by datadir."),),
    result=Result(
        R.OBJ,
        inner=(
            Result(R.NUM, "coins_loaded", "the number of coins loaded from the snapshot"),
            Result(R.STR_HEX, "tip_hash", "the hash of the base of the snapshot"),
            Result(R.NUM, "base_height", "the height of the base of the snapshot"),
            Result(R.STR, "path", "the absolute path that the snapshot was loaded from"),
        ),
    ),
    examples=cli("-rpcclienttimeout=0 loadtxoutset", "utxo.dat"),
    needs_chain=True,
)
async def loadtxoutset(ctx: RpcContext, path: str) -> Json:
    where = _absolute(ctx, path) if path else None
    if where is not None and where.is_dir():
        raise RpcError(
            RpcCode.DESERIALIZATION_ERROR,
            "Unable to parse metadata: AutoFile::read: fread failed: iostream error",
        )
    file = None if where is None else _open(where, "rb")
    if where is None or file is None:
        raise invalid_parameter(f"Couldn't open file {where or ''} for reading.")
    with file:
        try:
            reader = await ctx.ports.workers.run(SnapshotReader, file, ctx.params)
        except MetadataError as error:
            raise RpcError(RpcCode.DESERIALIZATION_ERROR, f"Unable to parse metadata: {error}") from None
        try:
            base = await ctx.node.until_stop(load(ctx.chain, reader))
            if base is None:
                raise SnapshotError("Population failed: Aborting after an interrupt was requested")
        except SnapshotError as error:
            raise RpcError(
                RpcCode.INTERNAL_ERROR, f"Unable to load UTXO snapshot: {error}. ({where})"
            ) from None
    return {
        "coins_loaded": reader.metadata.coins_count,
        "tip_hash": hash_hex(base.hash),
        "base_height": base.height,
        "path": str(where),
    }


_CHAINSTATE = Result(
    R.OBJ,
    inner=(
        Result(R.NUM, "blocks", "number of blocks in this chainstate"),
        Result(R.STR_HEX, "bestblockhash", "blockhash of the tip"),
        Result(R.STR_HEX, "bits", "nBits: compact representation of the block difficulty target"),
        Result(R.STR_HEX, "target", "The difficulty target"),
        Result(R.NUM, "difficulty", "difficulty of the tip"),
        Result(R.NUM, "verificationprogress", "progress towards the network tip"),
        Result(
            R.STR_HEX,
            "snapshot_blockhash",
            "the base block of the snapshot this chainstate is based on, if any",
            optional=True,
        ),
        Result(R.NUM, "coins_db_cache_bytes", "size of the coinsdb cache"),
        Result(R.NUM, "coins_tip_cache_bytes", "size of the coinstip cache"),
        Result(
            R.BOOL,
            "validated",
            "whether the chainstate is fully validated. True if all blocks in the chainstate were validated, "
            "false if the chain is based on a snapshot and the snapshot has not yet been validated.",
        ),
    ),
)


@method(
    "blockchain",
    "Return information about chainstates.\n",
    result=Result(
        R.OBJ,
        inner=(
            Result(R.NUM, "headers", "the number of headers seen so far"),
            Result(
                R.ARR,
                "chainstates",
                "list of the chainstates ordered by work, with the most-work (active) chainstate last",
                (_CHAINSTATE,),
            ),
        ),
    ),
    examples=cli("getchainstates") + curl("getchainstates"),
    needs_chain=True,
)
async def getchainstates(ctx: RpcContext) -> Json:
    """SQLite's own cache is no part of the budget."""
    chain, loaded = ctx.chain, ctx.chain.loaded_snapshot
    states: list[Json] = []
    if chain.background is not None:
        states.append(_chainstate_json(ctx, chain.background.chainstate))
    active = _chainstate_json(ctx, chain.chainstate)
    if loaded is not None:
        del active["validated"]  # which comes last
        active |= {"snapshot_blockhash": hash_hex(loaded.base.hash), "validated": loaded.validated}
    states.append(active)
    return {"headers": chain.best_header.height, "chainstates": states}


def _chainstate_json(ctx: RpcContext, chainstate: Chainstate) -> dict[str, Json]:
    tip = chainstate.tip or ctx.chain.tip
    return {
        "blocks": tip.height,
        "bestblockhash": hash_hex(tip.hash),
        "bits": bits_hex(tip.bits),
        "target": target_hex(tip.bits),
        "difficulty": difficulty(tip.bits),
        "verificationprogress": Real(ctx.chain.progress(tip)),
        "coins_db_cache_bytes": 0,
        "coins_tip_cache_bytes": chainstate.coins.budget,
        "validated": True,
    }
