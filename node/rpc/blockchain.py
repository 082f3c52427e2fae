"""Category "blockchain": the chain, its blocks and its branches, as they are or when they change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybitcoind.chain.header_tree import HeaderNode, fork_point
from pybitcoind.chain.primitives.hashes import hash_hex

from .amounts import Json, Real
from .arguments import BOOL, HASH, HEX_TEXT, INT, STR, VERBOSITY, hash_called, parse_hash
from .context import RpcContext
from .documents import RPC_WAIT_NOTE, elided, prevout, transaction_fields
from .errors import RpcCode, RpcError, invalid_parameter, misc_error
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method
from .render import bits_hex, block_json, difficulty, header_json, target_hex
from .stored_blocks import EXPECTED, require_body, stored_block, stored_bytes, unreadable_as

if TYPE_CHECKING:
    from pybitcoind.chain.storage.records import BlockUndo

R = ResultType
BLOCK_HASH = Arg("blockhash", HASH, "The block hash")


def find_block(ctx: RpcContext, block_hash: bytes) -> HeaderNode:
    """RpcError -5 if no such header is known."""
    node = ctx.chain.headers.get(block_hash)
    if node is None:
        raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, "Block not found")
    return node


@method(
    "blockchain",
    "Returns the height of the most-work fully-validated chain.\nThe genesis block has height 0.\n",
    result=Result(R.NUM, "", "The current block count"),
    examples=cli("getblockcount") + curl("getblockcount"),
)
async def getblockcount(ctx: RpcContext) -> Json:
    return ctx.chain.tip.height


@method(
    "blockchain",
    "Returns the hash of the best (tip) block in the most-work fully-validated chain.\n",
    result=Result(R.STR_HEX, "", "the block hash, hex-encoded"),
    examples=cli("getbestblockhash") + curl("getbestblockhash"),
)
async def getbestblockhash(ctx: RpcContext) -> Json:
    return hash_hex(ctx.chain.tip.hash)


@method(
    "blockchain",
    "Returns the proof-of-work difficulty as a multiple of the minimum difficulty.\n",
    result=Result(R.NUM, "", "the proof-of-work difficulty as a multiple of the minimum difficulty."),
    examples=cli("getdifficulty") + curl("getdifficulty"),
)
async def getdifficulty(ctx: RpcContext) -> Json:
    return difficulty(ctx.chain.tip.bits)


@method(
    "blockchain",
    "Returns hash of block in best-block-chain at height provided.\n",
    args=(Arg("height", INT, "The height index"),),
    result=Result(R.STR_HEX, "", "The block hash"),
    examples=cli("getblockhash", "1000") + curl("getblockhash", "1000"),
)
async def getblockhash(ctx: RpcContext, height: int) -> Json:
    chain = ctx.chain.headers.chain
    if not 0 <= height < len(chain):
        raise invalid_parameter("Block height out of range")
    return hash_hex(chain[height].hash)


_BLOCK_EXAMPLE = '"00000000c937983704a73af28acdec37b049d214adbda81d7e2a3dd146f6ed09"'
_HEADER_FIELDS = (
    Result(R.STR_HEX, "hash", "the block hash (same as provided)"),
    Result(
        R.NUM, "confirmations", "The number of confirmations, or -1 if the block is not on the main chain"
    ),
    Result(R.NUM, "height", "The block height or index"),
    Result(R.NUM, "version", "The block version"),
    Result(R.STR_HEX, "versionHex", "The block version formatted in hexadecimal"),
    Result(R.STR_HEX, "merkleroot", "The merkle root"),
    Result(R.NUM_TIME, "time", "The block time expressed in UNIX epoch time"),
    Result(R.NUM_TIME, "mediantime", "The median block time expressed in UNIX epoch time"),
    Result(R.NUM, "nonce", "The nonce"),
    Result(R.STR_HEX, "bits", "nBits: compact representation of the block difficulty target"),
    Result(R.STR_HEX, "target", "The difficulty target"),
    Result(R.NUM, "difficulty", "The difficulty"),
    Result(R.STR_HEX, "chainwork", "Expected number of hashes required to produce the current chain"),
    Result(R.NUM, "nTx", "The number of transactions in the block"),
    Result(R.STR_HEX, "previousblockhash", "The hash of the previous block (if available)", optional=True),
    Result(R.STR_HEX, "nextblockhash", "The hash of the next block (if available)", optional=True),
)


_BLOCK_FIELDS = (
    *_HEADER_FIELDS[:2],
    Result(R.NUM, "size", "The block size"),
    Result(R.NUM, "strippedsize", "The block size excluding witness data"),
    Result(R.NUM, "weight", "The block weight as defined in BIP 141"),
    Result(
        R.OBJ,
        "coinbase_tx",
        "Coinbase transaction metadata",
        (
            Result(R.NUM, "version", "The coinbase transaction version"),
            Result(R.NUM, "locktime", "The coinbase transaction's locktime (nLockTime)"),
            Result(R.NUM, "sequence", "The coinbase input's sequence number (nSequence)"),
            Result(R.STR_HEX, "coinbase", "The coinbase input's script"),
            Result(
                R.STR_HEX,
                "witness",
                "The coinbase input's first (and only) witness stack element, if present",
                optional=True,
            ),
        ),
    ),
    *_HEADER_FIELDS[2:6],
    Result(R.ARR, "tx", "The transaction ids", (Result(R.STR_HEX, "", "The transaction id"),)),
    *_HEADER_FIELDS[6:12],
    Result(
        R.STR_HEX,
        "chainwork",
        "Expected number of hashes required to produce the chain up to this block (in hex)",
    ),
    *_HEADER_FIELDS[13:],
)


@method(
    "blockchain",
    "If verbose is false, returns a string that is serialized, hex-encoded data for blockheader 'hash'.\n"
    "If verbose is true, returns an Object with information about blockheader <hash>.\n",
    args=(
        Arg("blockhash", hash_called("hash"), "The block hash"),
        Arg("verbose", BOOL, "true for a json object, false for the hex-encoded data", True),
    ),
    result=(
        Result(R.OBJ, condition="for verbose = true", inner=_HEADER_FIELDS),
        Result(
            R.STR_HEX,
            condition="for verbose=false",
            description="A string that is serialized, hex-encoded data for block 'hash'",
        ),
    ),
    examples=cli("getblockheader", _BLOCK_EXAMPLE) + curl("getblockheader", _BLOCK_EXAMPLE),
)
async def getblockheader(ctx: RpcContext, blockhash: bytes, verbose: bool) -> Json:
    node = find_block(ctx, blockhash)
    return header_json(node, ctx.chain.headers) if verbose else node.raw.hex()


@method(
    "blockchain",
    "If verbosity is 0, returns a string that is serialized, hex-encoded data for block 'hash'.\n"
    "If verbosity is 1, returns an Object with information about block <hash>.\n"
    "If verbosity is 2, returns an Object with information about block <hash> and information about each "
    "transaction.\n"
    "If verbosity is 3, returns an Object with information about block <hash> and information about each "
    "transaction, including prevout information for inputs (only for unpruned blocks in the current best "
    "chain).\n",
    args=(
        BLOCK_HASH,
        Arg(
            "verbosity",
            VERBOSITY,
            "0 for hex-encoded data, 1 for a JSON object, 2 for JSON object with transaction data, and 3 for "
            "JSON object with transaction data including prevout information for inputs",
            1,
            aliases=("verbose",),
        ),
    ),
    result=(
        Result(
            R.STR_HEX,
            condition="for verbosity = 0",
            description="A string that is serialized, hex-encoded data for block 'hash'",
        ),
        Result(R.OBJ, condition="for verbosity = 1", inner=_BLOCK_FIELDS),
        Result(
            R.OBJ,
            condition="for verbosity = 2",
            inner=(
                *elided(_BLOCK_FIELDS[:-1], "Same output as verbosity = 1"),
                Result(
                    R.ARR,
                    "tx",
                    "",
                    (
                        Result(
                            R.OBJ,
                            inner=(
                                *elided(
                                    (*transaction_fields(), Result(R.STR_HEX, "hex")),
                                    "The transactions in the format of the getrawtransaction RPC. Different "
                                    'from verbosity = 1 "tx" result',
                                ),
                                Result(
                                    R.STR_AMOUNT,
                                    "fee",
                                    "The transaction fee in BTC, omitted if block undo data is not available",
                                    optional=True,
                                ),
                            ),
                        ),
                    ),
                ),
            ),
        ),
        Result(
            R.OBJ,
            condition="for verbosity = 3",
            inner=(
                Result(R.ELISION, description="Same output as verbosity = 2"),
                Result(
                    R.ARR,
                    "tx",
                    "",
                    (
                        Result(
                            R.OBJ,
                            inner=(
                                Result(
                                    R.ARR,
                                    "vin",
                                    "",
                                    (
                                        Result(
                                            R.OBJ,
                                            inner=(
                                                Result(
                                                    R.ELISION, description="The same output as verbosity = 2"
                                                ),
                                                prevout(
                                                    "(Only if undo information is available)", optional=False
                                                ),
                                            ),
                                        ),
                                    ),
                                ),
                            ),
                        ),
                    ),
                ),
            ),
        ),
    ),
    examples=cli("getblock", _BLOCK_EXAMPLE) + curl("getblock", _BLOCK_EXAMPLE),
    needs_chain=True,
)
async def getblock(ctx: RpcContext, blockhash: bytes, verbosity: int) -> Json:
    node = find_block(ctx, blockhash)
    require_body(node)
    if verbosity <= 0:
        return (await stored_bytes(ctx, node)).hex()
    block = await stored_block(ctx, node)
    undo: BlockUndo | None = None
    if verbosity >= 2 and node.have_undo and node.prev is not None:
        with unreadable_as(ctx, EXPECTED.format("Undo"), RpcCode.INTERNAL_ERROR):
            undo = await ctx.chain.read_undo(node)
    return block_json(block, node, ctx.chain.headers, ctx.params, verbosity, undo.txs if undo else None)


@method(
    "blockchain",
    "Returns an object containing various state info regarding blockchain processing.\n",
    result=Result(
        R.OBJ,
        inner=(
            Result(R.STR, "chain", "current network name (main, test, testnet4, signet, regtest)"),
            Result(
                R.NUM,
                "blocks",
                "the height of the most-work fully-validated chain. The genesis block has height 0",
            ),
            Result(R.NUM, "headers", "the current number of headers we have validated"),
            Result(R.STR, "bestblockhash", "the hash of the currently best block"),
            Result(R.STR_HEX, "bits", "nBits: compact representation of the block difficulty target"),
            Result(R.STR_HEX, "target", "the difficulty target"),
            Result(R.NUM, "difficulty", "the current difficulty"),
            Result(R.NUM_TIME, "time", "the block time expressed in UNIX epoch time"),
            Result(R.NUM_TIME, "mediantime", "the median block time expressed in UNIX epoch time"),
            Result(R.NUM, "verificationprogress", "estimate of verification progress [0..1]"),
            Result(
                R.BOOL,
                "initialblockdownload",
                "(debug information) estimate of whether this node is in Initial Block Download mode",
            ),
            Result(
                R.OBJ,
                "backgroundvalidation",
                "state info regarding background validation process",
                (
                    Result(
                        R.NUM,
                        "snapshotheight",
                        "the height of the snapshot block. Background validation verifies the chain from "
                        "genesis up to this height",
                    ),
                    Result(
                        R.NUM,
                        "blocks",
                        "the height of the most-work background fully-validated chain. The genesis block has "
                        "height 0",
                    ),
                    Result(
                        R.STR,
                        "bestblockhash",
                        "the hash of the currently best block validated in the background",
                    ),
                    Result(R.NUM_TIME, "mediantime", "the median block time expressed in UNIX epoch time"),
                    Result(
                        R.NUM,
                        "verificationprogress",
                        "estimate of background verification progress [0..1]",
                    ),
                    Result(
                        R.STR_HEX,
                        "chainwork",
                        "total amount of work in background validated chain, in hexadecimal",
                    ),
                ),
                optional=True,
            ),
            Result(R.STR_HEX, "chainwork", "total amount of work in active chain, in hexadecimal"),
            Result(R.NUM, "size_on_disk", "the estimated size of the block and undo files on disk"),
            Result(R.BOOL, "pruned", "if the blocks are subject to pruning"),
            Result(
                R.NUM,
                "pruneheight",
                "the first block unpruned, all previous blocks were pruned (only present if pruning is "
                "enabled)",
                optional=True,
            ),
            Result(
                R.BOOL,
                "automatic_pruning",
                "whether automatic pruning is enabled (only present if pruning is enabled)",
                optional=True,
            ),
            Result(
                R.NUM,
                "prune_target_size",
                "the target size used by pruning (only present if automatic pruning is enabled)",
                optional=True,
            ),
            Result(
                R.STR_HEX,
                "signet_challenge",
                "the block challenge (aka. block script), in hexadecimal (only present if the current "
                "network is a signet)",
                optional=True,
            ),
            Result(
                R.ARR,
                "warnings",
                "any network and blockchain warnings (run with `-deprecatedrpc=warnings` to return the "
                "latest warning as a single string)",
                (Result(R.STR, "", "warning"),),
            ),
        ),
    ),
    examples=cli("getblockchaininfo") + curl("getblockchaininfo"),
)
async def getblockchaininfo(ctx: RpcContext) -> Json:
    chain, tip = ctx.chain, ctx.chain.tip
    best = chain.best_header or tip
    out: dict[str, Json] = {
        "chain": ctx.params.name,
        "blocks": tip.height,
        "headers": best.height,
        "bestblockhash": hash_hex(tip.hash),
        "bits": bits_hex(tip.bits),
        "target": target_hex(tip.bits),
        "difficulty": difficulty(tip.bits),
        "time": tip.time,
        "mediantime": tip.mtp(),
        "verificationprogress": Real(chain.progress()),
        "initialblockdownload": chain.is_ibd,
        "chainwork": f"{tip.chainwork:064x}",
        "size_on_disk": chain.index.blocks.disk_size(),
        "pruned": chain.pruning,
    }
    background = chain.background
    if background is not None:
        out["backgroundvalidation"] = {
            "snapshotheight": background.target.height,
            "blocks": background.tip.height,
            "bestblockhash": hash_hex(background.tip.hash),
            "mediantime": background.tip.mtp(),
            "chainwork": f"{background.tip.chainwork:064x}",
            "verificationprogress": Real(background.progress),
        }
    if chain.pruning:
        target = chain.options.prune_target or 0
        out["pruneheight"] = chain.pruned_height + 1
        out["automatic_pruning"] = target > 0
        if target:
            out["prune_target_size"] = target
    if ctx.params.name == "signet":
        out["signet_challenge"] = ctx.params.signet_challenge.hex()
    out["warnings"] = ctx.warnings()
    return out


@method(
    "blockchain",
    "Return information about all known tips in the block tree, including the main chain as well as "
    "orphaned branches.\n",
    result=Result(
        R.ARR,
        inner=(
            Result(
                R.OBJ,
                inner=(
                    Result(R.NUM, "height", "height of the chain tip"),
                    Result(R.STR_HEX, "hash", "block hash of the tip"),
                    Result(
                        R.NUM,
                        "branchlen",
                        "zero for main chain, otherwise length of branch connecting the tip to the main "
                        "chain",
                    ),
                    Result(
                        R.STR,
                        "status",
                        'status of the chain, "active" for the main chain\n'
                        "Possible values for status:\n"
                        '1.  "invalid"               This branch contains at least one invalid block\n'
                        '2.  "headers-only"          Not all blocks for this branch are available, but the '
                        "headers are valid\n"
                        '3.  "valid-headers"         All blocks are available for this branch, but they were '
                        "never fully validated\n"
                        '4.  "valid-fork"            This branch is not part of the active chain, but is '
                        "fully validated\n"
                        '5.  "active"                This is the tip of the active main chain, which is '
                        "certainly valid",
                    ),
                ),
            ),
        ),
    ),
    examples=cli("getchaintips") + curl("getchaintips"),
)
async def getchaintips(ctx: RpcContext) -> Json:
    headers, active = ctx.chain.headers, ctx.chain.tip
    tips = {node.hash: node for node in [*headers.tips(), active]}
    rows: list[Json] = []
    for node in sorted(tips.values(), key=lambda n: (-n.height, n.hash[::-1])):
        if headers.in_chain(node) and node is not active:
            continue
        rows.append(
            {
                "height": node.height,
                "hash": hash_hex(node.hash),
                "branchlen": node.height - fork_point(node, active).height,
                "status": _tip_status(node, active),
            }
        )
    return rows


def _tip_status(node: HeaderNode, active: HeaderNode) -> str:
    if node is active:
        return "active"
    if node.failed:
        return "invalid"
    if node.chain_tx_count == 0:
        return "headers-only"
    return "valid-fork" if node.scripts_valid else "valid-headers"


# Waiting

_TIMEOUT = Arg("timeout", INT, "Time in milliseconds to wait for a response. 0 indicates no timeout.", 0)
_WAIT_EXAMPLE = '"0000000000079f8ef3d2c688c244eb7a4570b24c9ed7b4a8c619eb02596f8862"'
_WAITED = Result(
    R.OBJ, inner=(Result(R.STR_HEX, "hash", "The blockhash"), Result(R.NUM, "height", "Block height"))
)


def _seconds(timeout: int) -> float | None:
    if timeout < 0:
        raise misc_error("Negative timeout")
    return timeout / 1000 if timeout else None


def _tip_json(ctx: RpcContext) -> Json:
    return {"hash": hash_hex(ctx.chain.tip.hash), "height": ctx.chain.tip.height}


@method(
    "blockchain",
    "Waits for any new block and returns useful info about it.\n\n"
    "Returns the current block on timeout or exit.\n" + RPC_WAIT_NOTE,
    args=(
        _TIMEOUT,
        Arg(
            "current_tip",
            HEX_TEXT,
            "Method waits for the chain tip to differ from this.",
            OPTIONAL,
        ),
    ),
    result=_WAITED,
    examples=cli("waitfornewblock", "1000") + curl("waitfornewblock", "1000"),
)
async def waitfornewblock(ctx: RpcContext, timeout: int, current_tip: str | None) -> Json:
    seconds = _seconds(timeout)
    old = ctx.chain.tip.hash if current_tip is None else parse_hash(current_tip, "current_tip")
    await ctx.node.until_stop(ctx.chain.wait_for_tip(lambda tip: tip.hash != old, seconds))
    return _tip_json(ctx)


@method(
    "blockchain",
    "Waits for a specific new block and returns useful info about it.\n\n"
    "Returns the current block on timeout or exit.\n" + RPC_WAIT_NOTE,
    args=(Arg("blockhash", HASH, "Block hash to wait for."), _TIMEOUT),
    result=_WAITED,
    examples=cli("waitforblock", f"{_WAIT_EXAMPLE} 1000") + curl("waitforblock", f"{_WAIT_EXAMPLE}, 1000"),
)
async def waitforblock(ctx: RpcContext, blockhash: bytes, timeout: int) -> Json:
    await ctx.node.until_stop(ctx.chain.wait_for_tip(lambda tip: tip.hash == blockhash, _seconds(timeout)))
    return _tip_json(ctx)


@method(
    "blockchain",
    "Waits for (at least) block height and returns the height and hash\nof the current tip.\n\n"
    "Returns the current block on timeout or exit.\n" + RPC_WAIT_NOTE,
    args=(Arg("height", INT, "Block height to wait for."), _TIMEOUT),
    result=_WAITED,
    examples=cli("waitforblockheight", "100 1000") + curl("waitforblockheight", "100, 1000"),
)
async def waitforblockheight(ctx: RpcContext, height: int, timeout: int) -> Json:
    await ctx.node.until_stop(ctx.chain.wait_for_tip(lambda tip: tip.height >= height, _seconds(timeout)))
    return _tip_json(ctx)


# Filters and indexes


@method(
    "blockchain",
    "Retrieve a BIP 157 content filter for a particular block.\n",
    args=(
        Arg("blockhash", HASH, "The hash of the block"),
        Arg("filtertype", STR, "The type name of the filter", "basic"),
    ),
    result=Result(
        R.OBJ,
        inner=(
            Result(R.STR_HEX, "filter", "the hex-encoded filter data"),
            Result(R.STR_HEX, "header", "the hex-encoded filter header"),
        ),
    ),
    examples=cli("getblockfilter", f'{_BLOCK_EXAMPLE} "basic"')
    + curl("getblockfilter", f'{_BLOCK_EXAMPLE}, "basic"'),
    needs_chain=True,
)
async def getblockfilter(ctx: RpcContext, blockhash: bytes, filtertype: str) -> Json:
    if filtertype != "basic":
        raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, "Unknown filtertype")
    index = ctx.filter_index
    if index is None:
        raise misc_error(f"Index is not enabled for filtertype {filtertype}")
    node = find_block(ctx, blockhash)
    await ctx.chain.events.drained()
    found, header = await index.filter(node.hash), await index.header(node.hash)
    if found is None or header is None:
        if not node.have_data and not node.scripts_valid:
            raise RpcError(
                RpcCode.INVALID_ADDRESS_OR_KEY, "Filter not found. Block was not connected to active chain."
            )
        if not index.synced:
            raise misc_error("Filter not found. Block filters are still in the process of being indexed.")
        raise RpcError(
            RpcCode.INVALID_ADDRESS_OR_KEY, "Filter not found. Block was not connected to active chain."
        )
    return {"filter": found.encoded.hex(), "header": hash_hex(header)}
