"""Category "blockchain": searches for what descriptors stand for, in block filters and in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pybitcoind.chain.block_filter import BlockFilter
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.indexes.block_filters import BlockFilterIndex
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import Coin, OutPoint, Transaction, TxOut
from pybitcoind.wallet.signing import Keyring

from .amounts import Amount, Json
from .arguments import ARR, BOOL, HASH, INT, OBJ_NAMED_PARAMS, STR, parse_bool, parse_hash
from .blockchain import find_block
from .context import RpcContext
from .documents import (
    DESCRIPTORS,
    NO_SCAN,
    SCAN_ABORTED,
    SCAN_ACTION,
    SCAN_OBJECTS,
    SCRIPT_PUBKEY,
)
from .errors import RpcCode, RpcError, invalid_parameter, misc_error, type_error
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method
from .render import script_json
from .scan_objects import answer_about, check_may_start, scan_object_scripts
from .stored_blocks import stored_block_and_undo

R = ResultType
_ADDRESS = '["addr(bcrt1q4u4nsgk6ug0sqz7r3rj9tykjxrsl0yy4d0wwte)"]'


# Block filters


@dataclass(slots=True)
class FilterScan:
    """The scan of block filters that runs on a node, of which there is one at a time.

    first, last: heights. height: up to where it is done.
    """

    first: int
    last: int
    height: int
    aborted: bool = False
    found: list[bytes] = field(default_factory=list)
    """Hashes of blocks, in order."""

    @property
    def progress(self) -> int:
        """Percent."""
        if self.last == self.first:
            return 100
        return int(100.0 / (self.last - self.first) * (self.height - self.first))

    def status(self) -> dict[str, Json]:
        return {"progress": self.progress, "current_height": self.height}


FILTERS_AT_ONCE = 1000
"""Filters between two looks at whether to go on."""


@method(
    "blockchain",
    "Return relevant blockhashes for given descriptors (requires blockfilterindex).\n"
    "This call may take several minutes. Make sure to use no RPC timeout (bitcoin-cli -rpcclienttimeout=0)",
    args=(
        SCAN_ACTION,
        SCAN_OBJECTS,
        Arg("start_height", INT, "Height to start to scan from", 0),
        Arg("stop_height", INT, "Height to stop to scan", hint="chain tip"),
        Arg("filtertype", STR, "The type name of the filter", "basic"),
        Arg(
            "options",
            OBJ_NAMED_PARAMS,
            "",
            OPTIONAL,
            inner=(
                Arg(
                    "filter_false_positives",
                    BOOL,
                    "Filter false positives (slower and may fail on pruned nodes). Otherwise they may occur "
                    "at a rate of 1/M",
                    False,
                ),
            ),
            oneline="options",
        ),
    ),
    result=(
        NO_SCAN,
        Result(
            R.OBJ,
            condition="When action=='start'; only returns after scan completes",
            inner=(
                Result(R.NUM, "from_height", "The height we started the scan from"),
                Result(R.NUM, "to_height", "The height we ended the scan at"),
                Result(
                    R.ARR,
                    "relevant_blocks",
                    "Blocks that may have matched a scanobject.",
                    (Result(R.STR_HEX, "blockhash", "A relevant blockhash"),),
                ),
                Result(R.BOOL, "completed", "true if the scan process was not aborted"),
            ),
        ),
        Result(
            R.OBJ,
            condition="when action=='status' and a scan is currently in progress",
            inner=(
                Result(R.NUM, "progress", "Approximate percent complete"),
                Result(R.NUM, "current_height", "Height of the block currently being scanned"),
            ),
        ),
        SCAN_ABORTED,
    ),
    examples=cli("scanblocks", f"start '{_ADDRESS}' 300000")
    + cli("scanblocks", f"start '{_ADDRESS}' 100 150 basic")
    + cli("scanblocks", "status")
    + curl("scanblocks", f'"start", {_ADDRESS}, 300000')
    + curl("scanblocks", f'"start", {_ADDRESS}, 100, 150, "basic"')
    + curl("scanblocks", '"status"'),
    needs_chain=True,
)
async def scanblocks(
    ctx: RpcContext,
    action: str,
    scanobjects: Json,
    start_height: int,
    stop_height: int | None,
    filtertype: str,
    options: dict[str, Json] | None,
) -> Json:
    if action != "start":
        return answer_about(action, ctx.node.filter_scan)
    check_may_start(ctx.node.filter_scan)
    if filtertype != "basic":
        raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, "Unknown filtertype")
    exact = parse_bool((options or {}).get("filter_false_positives", False))
    index = ctx.filter_index
    if index is None:
        raise misc_error(f"Index is not enabled for filtertype {filtertype}")
    tip = ctx.chain.tip
    if not 0 <= start_height <= tip.height:
        raise misc_error("Invalid start_height")
    if stop_height is not None and not start_height <= stop_height <= tip.height:
        raise misc_error("Invalid stop_height")
    if scanobjects is None:
        raise type_error("JSON value of type null is not of expected type array")
    stop = tip if stop_height is None else tip.ancestor(stop_height)
    scan = ctx.node.filter_scan = FilterScan(start_height, stop.height, start_height)
    try:
        scripts = await _scripts(ctx, scanobjects)
        with ctx.ports.long_work("Scanning the block filters") as show:
            await _scan_filters(ctx, index, scan, stop, scripts, exact, show)
    finally:
        ctx.node.filter_scan = None
    return {
        "from_height": scan.first,
        "to_height": scan.height,
        "relevant_blocks": [hash_hex(block_hash) for block_hash in scan.found],
        "completed": not scan.aborted,
    }


async def _scripts(ctx: RpcContext, scanobjects: list[Json]) -> dict[bytes, None]:
    scripts: dict[bytes, None] = {}
    for value in scanobjects:
        scripts.update(dict.fromkeys(await scan_object_scripts(value, ctx.params, Keyring(), ctx.clock)))
    return scripts


async def _scan_filters(
    ctx: RpcContext,
    index: BlockFilterIndex,
    scan: FilterScan,
    stop: HeaderNode,
    scripts: Mapping[bytes, None],
    exact: bool,
    show: Callable[[float], None],
) -> None:
    """exact: blocks that only seem to match are left out. What is not indexed yet matches nothing."""

    def matching(filters: list[BlockFilter]) -> list[bytes]:
        return [found.block_hash for found in filters if found.match_any(scripts)]

    await ctx.chain.events.drained()
    for first in range(scan.first, stop.height + 1, FILTERS_AT_ONCE):
        if scan.aborted:
            return
        end = stop.ancestor(min(first + FILTERS_AT_ONCE - 1, stop.height))
        filters = await index.filters(first, end)
        for block_hash in await ctx.ports.workers.run(matching, filters or []):
            if not exact or await _touches(ctx, find_block(ctx, block_hash), scripts):
                scan.found.append(block_hash)
        scan.height = end.height
        show(scan.progress / 100)


async def _touches(ctx: RpcContext, node: HeaderNode, scripts: Mapping[bytes, None]) -> bool:
    """Whether the block of node pays to one of scripts, or spends from one."""
    block, undo = await stored_block_and_undo(ctx, node)
    return any(out.script_pubkey in scripts for tx in block.vtx for out in tx.vout) or any(
        coin.script_pubkey in scripts for spent in undo.txs for coin in spent
    )


# What happened in blocks

_SPEND = Result(
    R.OBJ,
    inner=(
        Result(R.STR, "type", "always 'spend'"),
        Result(R.STR_AMOUNT, "amount", "The total amount in BTC of the spent output"),
        Result(
            R.STR_HEX,
            "blockhash",
            "The blockhash this spend appears in (omitted if unconfirmed)",
            optional=True,
        ),
        Result(R.NUM, "height", "Height of the spend (omitted if unconfirmed)", optional=True),
        Result(R.STR_HEX, "spend_txid", "The txid of the spending transaction"),
        Result(R.NUM, "spend_vin", "The input index of the spend"),
        Result(R.STR_HEX, "prevout_txid", "The txid of the prevout"),
        Result(R.NUM, "prevout_vout", "The vout of the prevout"),
        Result(R.OBJ, "prevout_spk", "", SCRIPT_PUBKEY.inner),
    ),
)
_RECEIVE = Result(
    R.OBJ,
    inner=(
        Result(R.STR, "type", "always 'receive'"),
        Result(R.STR_AMOUNT, "amount", "The total amount in BTC of the new output"),
        Result(
            R.STR_HEX,
            "blockhash",
            "The block that this receive is in (omitted if unconfirmed)",
            optional=True,
        ),
        Result(R.NUM, "height", "The height of the receive (omitted if unconfirmed)", optional=True),
        Result(R.STR_HEX, "txid", "The txid of the receiving transaction"),
        Result(R.NUM, "vout", "The vout of the receiving output"),
        Result(R.OBJ, "output_spk", "", SCRIPT_PUBKEY.inner),
    ),
)


@method(
    "blockchain",
    "Get spend and receive activity associated with a set of descriptors for a set of blocks. "
    "This command pairs well with the `relevant_blocks` output of `scanblocks()`.\n"
    "This call may take several minutes. If you encounter timeouts, try specifying no RPC timeout "
    "(bitcoin-cli -rpcclienttimeout=0)",
    args=(
        Arg(
            "blockhashes",
            ARR,
            "The list of blockhashes to examine for activity. Order doesn't matter. Must be along main chain "
            "or an error is thrown.\n",
            inner=(Arg("blockhash", HASH, "A valid blockhash", OPTIONAL),),
        ),
        Arg(
            "scanobjects",
            ARR,
            "The list of descriptors (scan objects) to examine for activity. Every scan object is either a "
            "string descriptor or an object:",
            inner=DESCRIPTORS,
            oneline="[scanobjects,...]",
        ),
        Arg("include_mempool", BOOL, "Whether to include unconfirmed activity", True),
    ),
    result=Result(R.OBJ, inner=(Result(R.ARR, "activity", "events", (_SPEND, _RECEIVE), check=False),)),
    examples=cli(
        "getdescriptoractivity",
        "'[\"000000000000000000001347062c12fded7c528943c8ce133987e2e2f5a840ee\"]' "
        "'[\"addr(bc1qzl6nsgqzu89a66l50cvwapnkw5shh23zarqkw9)\"]'",
    ),
    needs_chain=True,
)
async def getdescriptoractivity(
    ctx: RpcContext, blockhashes: list[Json], scanobjects: list[Json], include_mempool: bool
) -> Json:
    nodes: dict[int, HeaderNode] = {}
    for value in blockhashes:
        node = find_block(ctx, parse_hash(value, "blockhash"))
        if not ctx.chain.headers.in_chain(node):
            raise invalid_parameter("Block is not in main chain")
        nodes[node.height] = node
    scripts = await _scripts(ctx, scanobjects)
    activity: list[Json] = []
    for _, node in sorted(nodes.items()):
        block, undo = await stored_block_and_undo(ctx, node)
        for tx, spent in zip(block.vtx, [[], *undo.txs], strict=True):
            activity += _events(ctx, tx, spent, scripts, node)
    if include_mempool:
        entries = {entry.txid: entry.tx for entry in ctx.mempool.in_mining_order()}
        confirmed = await ctx.chain.get_coins([txin.prevout for tx in entries.values() for txin in tx.vin])
        for tx in entries.values():
            coins = [confirmed.get(txin.prevout) or _unconfirmed(entries, txin.prevout) for txin in tx.vin]
            activity += _events(ctx, tx, coins, scripts, None)
    return {"activity": activity}


def _unconfirmed(entries: Mapping[bytes, Transaction], outpoint: OutPoint) -> TxOut | None:
    """None if a block that has just come took its transaction out of the mempool."""
    tx = entries.get(outpoint.txid)
    return None if tx is None else tx.vout[outpoint.vout]


def _events(
    ctx: RpcContext,
    tx: Transaction,
    spent: Sequence[Coin | TxOut | None],
    scripts: Mapping[bytes, None],
    node: HeaderNode | None,
) -> Iterator[Json]:
    """What tx spends from scripts, then what it pays to them. spent: its inputs' outputs; none: a coinbase.

    node: its block; None for one in the mempool.
    """
    where: dict[str, Json] = {} if node is None else {"blockhash": hash_hex(node.hash), "height": node.height}
    for index, out in enumerate(spent):
        if out is not None and out.script_pubkey in scripts:
            txid, vout = tx.vin[index].prevout
            yield {
                "type": "spend",
                "amount": Amount(out.value),
                **where,
                "spend_txid": hash_hex(tx.txid),
                "spend_vin": index,
                "prevout_txid": hash_hex(txid),
                "prevout_vout": vout,
                "prevout_spk": script_json(out.script_pubkey, ctx.params),
            }
    for vout, paid in enumerate(tx.vout):
        if paid.script_pubkey in scripts:
            yield {
                "type": "receive",
                "amount": Amount(paid.value),
                **where,
                "txid": hash_hex(tx.txid),
                "vout": vout,
                "output_spk": script_json(paid.script_pubkey, ctx.params),
            }
