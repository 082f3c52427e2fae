"""Category "mining": what a miner asks and submits; getblocktemplate has its own file."""

from __future__ import annotations

from decimal import Decimal

from pybitcoind.chain.consensus.errors import BlockInvalid
from pybitcoind.chain.consensus.pow import next_work_required
from pybitcoind.chain.consensus.witness_commitment import complete_block
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.policy.standard import dust_outputs
from pybitcoind.chain.primitives.block import HEADER_SIZE, Block, BlockHeader
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.serialize import DecodeError, read_compact_size
from pybitcoind.chain.primitives.transaction import Transaction

from .amounts import Amount, Json, Real
from .arguments import HASH, HEX_TEXT, INT, NUM, REAL, STR, from_hex
from .context import RpcContext
from .errors import RpcCode, RpcError, invalid_parameter
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method
from .render import bits_hex, difficulty, target_hex

R = ResultType


def decode_block(text: str) -> Block | None:
    """A block from hex, None if it is none; bytes behind it are ignored, as in Core."""
    raw = from_hex(text)
    if raw is None:
        return None
    try:
        header = BlockHeader.decode(raw[:HEADER_SIZE])
        count, pos = read_compact_size(raw, HEADER_SIZE)
        vtx = []
        for _ in range(count):
            tx, pos = Transaction.parse(raw, pos)
            vtx.append(tx)
    except DecodeError:
        return None
    return Block(header, vtx, raw[:pos])


def network_hashps(ctx: RpcContext, lookup: int = 120, height: int = -1) -> Real:
    """Hashes per second that the work of lookup blocks up to height stands for.

    lookup -1: since the last change of difficulty. height -1: the tip.
    """
    chain = ctx.chain.headers.chain
    if lookup < -1 or lookup == 0:
        raise invalid_parameter("Invalid nblocks. Must be a positive number or -1.")
    if height < -1 or height >= len(chain):
        raise invalid_parameter("Block does not exist at specified height")
    last = chain[height] if height >= 0 else ctx.chain.tip
    if lookup == -1:
        lookup = last.height % ctx.params.difficulty_interval + 1
    first = last.height - min(lookup, last.height)
    times = [chain[at].time for at in range(first, last.height + 1)]
    span = max(times) - min(times)
    return Real((last.chainwork - chain[first].chainwork) / span) if span else Real(0.0)


@method(
    "mining",
    "Returns the estimated network hashes per second based on the last n blocks.\n"
    "Pass in [blocks] to override # of blocks, -1 specifies since last difficulty change.\n"
    "Pass in [height] to estimate the network speed at the time when a certain block was found.\n",
    args=(
        Arg(
            "nblocks",
            INT,
            "The number of previous blocks to calculate estimate from, or -1 for blocks since last "
            "difficulty change.",
            120,
        ),
        Arg("height", INT, "To estimate at the time of the given height.", -1),
    ),
    result=Result(R.NUM, "", "Hashes per second estimated"),
    examples=cli("getnetworkhashps") + curl("getnetworkhashps"),
)
async def getnetworkhashps(ctx: RpcContext, nblocks: int, height: int) -> Json:
    return network_hashps(ctx, nblocks, height)


@method(
    "mining",
    "Returns a json object containing mining-related information.",
    result=Result(
        R.OBJ,
        inner=(
            Result(R.NUM, "blocks", "The current block"),
            Result(
                R.NUM,
                "currentblockweight",
                "The block weight (including reserved weight for block header, txs count and coinbase tx) of "
                "the last assembled block (only present if a block was ever assembled)",
                optional=True,
            ),
            Result(
                R.NUM,
                "currentblocktx",
                "The number of block transactions (excluding coinbase) of the last assembled block (only "
                "present if a block was ever assembled)",
                optional=True,
            ),
            Result(
                R.STR_HEX, "bits", "The current nBits, compact representation of the block difficulty target"
            ),
            Result(R.NUM, "difficulty", "The current difficulty"),
            Result(R.STR_HEX, "target", "The current target"),
            Result(R.NUM, "networkhashps", "The network hashes per second"),
            Result(R.NUM, "pooledtx", "The size of the mempool"),
            Result(
                R.STR_AMOUNT,
                "blockmintxfee",
                "Minimum feerate of packages selected for block inclusion in BTC/kvB",
            ),
            Result(R.STR, "chain", "current network name (main, test, testnet4, signet, regtest)"),
            Result(
                R.STR_HEX,
                "signet_challenge",
                "The block challenge (aka. block script), in hexadecimal (only present if the current "
                "network is a signet)",
                optional=True,
            ),
            Result(
                R.OBJ,
                "next",
                "The next block",
                (
                    Result(R.NUM, "height", "The next height"),
                    Result(R.STR_HEX, "bits", "The next target nBits"),
                    Result(R.NUM, "difficulty", "The next difficulty"),
                    Result(R.STR_HEX, "target", "The next target"),
                ),
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
    examples=cli("getmininginfo") + curl("getmininginfo"),
    needs_chain=True,
)
async def getmininginfo(ctx: RpcContext) -> Json:
    tip, mempool = ctx.chain.tip, ctx.mempool
    out: dict[str, Json] = {"blocks": tip.height}
    if (assembled := ctx.chain.last_assembled) is not None:
        out["currentblockweight"], out["currentblocktx"] = assembled
    out |= {
        "bits": bits_hex(tip.bits),
        "difficulty": difficulty(tip.bits),
        "target": target_hex(tip.bits),
        "networkhashps": network_hashps(ctx),
        "pooledtx": len(mempool),
        "blockmintxfee": Amount(mempool.settings.block_min_feerate),
        "chain": ctx.params.name,
        "next": _next_json(ctx, tip),
    }
    if ctx.params.name == "signet":
        out["signet_challenge"] = ctx.params.signet_challenge.hex()
    out["warnings"] = ctx.warnings()
    return out


def _next_json(ctx: RpcContext, tip: HeaderNode) -> dict[str, Json]:
    """The block after tip, if it came now."""
    bits = next_work_required(tip, max(ctx.clock.time(), tip.mtp() + 1), ctx.params)
    return {
        "height": tip.height + 1,
        "bits": bits_hex(bits),
        "difficulty": difficulty(bits),
        "target": target_hex(bits),
    }


@method(
    "mining",
    "Accepts the transaction into mined blocks at a higher (or lower) priority\n",
    args=(
        Arg("txid", HASH, "The transaction id."),
        Arg(
            "dummy",
            REAL,
            "API-Compatibility for previous API. Must be zero or null.\n"
            "                  DEPRECATED. For forward compatibility use named arguments and omit this "
            "parameter.",
            OPTIONAL,
        ),
        Arg(
            "fee_delta",
            NUM,
            "The fee value (in satoshis) to add (or subtract, if negative).\n"
            "                  Note, that this value is not a fee rate. It is a value to modify absolute fee "
            "of the TX.\n"
            "                  The fee is not actually paid, only the algorithm for selecting transactions "
            "into a block\n"
            "                  considers the transaction as it would have paid a higher (or lower) fee.",
        ),
    ),
    result=Result(R.BOOL, "", "Returns true"),
    examples=cli("prioritisetransaction", '"txid" 0.0 10000')
    + curl("prioritisetransaction", '"txid", 0.0, 10000'),
    needs_chain=True,
)
async def prioritisetransaction(
    ctx: RpcContext, txid: bytes, dummy: int | Decimal | None, fee_delta: int
) -> Json:
    if dummy:
        raise invalid_parameter(
            "Priority is no longer supported, dummy argument to prioritisetransaction must be 0."
        )
    mempool = ctx.mempool
    entry, settings = mempool.get(txid), mempool.settings
    if (
        settings.require_standard
        and entry is not None
        and dust_outputs(entry.tx, settings.dust_relay_feerate)
    ):
        raise invalid_parameter("Priority is not supported for transactions with dust outputs.")

    async def prioritise() -> None:
        mempool.prioritise(txid, fee_delta)

    await ctx.chain.submit(prioritise)
    return True


@method(
    "mining",
    "Returns a map of all user-created (see prioritisetransaction) fee deltas by txid, and whether the tx is "
    "present in mempool.",
    result=Result(
        R.OBJ_DYN,
        "",
        "prioritisation keyed by txid",
        (
            Result(
                R.OBJ,
                "<transactionid>",
                "",
                (
                    Result(R.NUM, "fee_delta", "transaction fee delta in satoshis"),
                    Result(R.BOOL, "in_mempool", "whether this transaction is currently in mempool"),
                    Result(
                        R.NUM,
                        "modified_fee",
                        "modified fee in satoshis. Only returned if in_mempool=true",
                        optional=True,
                    ),
                ),
            ),
        ),
    ),
    examples=cli("getprioritisedtransactions") + curl("getprioritisedtransactions"),
    needs_chain=True,
)
async def getprioritisedtransactions(ctx: RpcContext) -> Json:
    mempool = ctx.mempool
    out: dict[str, Json] = {}
    for txid, delta in sorted(mempool.deltas.items()):
        entry = mempool.get(txid)
        row: dict[str, Json] = {"fee_delta": delta, "in_mempool": entry is not None}
        if entry is not None:
            row["modified_fee"] = entry.modified_fee
        out[hash_hex(txid)] = row
    return out


@method(
    "mining",
    "Attempts to submit new block to network.\n"
    "See https://en.bitcoin.it/wiki/BIP_0022 for full specification.\n",
    args=(
        Arg("hexdata", HEX_TEXT, "the hex-encoded block data to submit"),
        Arg(
            "dummy",
            STR,
            "dummy value, for compatibility with BIP22. This value is ignored.",
            hint="ignored",
        ),
    ),
    result=(
        Result(R.NONE, condition="If the block was accepted"),
        Result(R.STR, condition="Otherwise", description="According to BIP22"),
    ),
    examples=cli("submitblock", '"mydata"') + curl("submitblock", '"mydata"'),
    needs_chain=True,
)
async def submitblock(ctx: RpcContext, hexdata: str, dummy: str | None) -> Json:
    block = decode_block(hexdata)
    if block is None:
        raise RpcError(RpcCode.DESERIALIZATION_ERROR, "Block decode failed")
    prev = ctx.chain.headers.get(block.header.prev_hash)
    if prev is not None:
        block = complete_block(block, prev, ctx.params)
    result = await ctx.chain.process_block(block, requested=True)
    if result.error is not None and not result.checked:
        return result.error.reason
    if not result.new:
        return "duplicate"
    if not result.checked:
        return "inconclusive"
    return result.error.reason if result.error is not None else None


@method(
    "mining",
    "Decode the given hexdata as a header and submit it as a candidate chain tip if valid."
    "\nThrows when the header is invalid.\n",
    args=(Arg("hexdata", HEX_TEXT, "the hex-encoded block header data"),),
    result=Result(R.NONE, "", "None"),
    examples=cli("submitheader", '"aabbcc"') + curl("submitheader", '"aabbcc"'),
)
async def submitheader(ctx: RpcContext, hexdata: str) -> Json:
    raw = from_hex(hexdata) or b""
    if len(raw) < HEADER_SIZE:
        raise RpcError(RpcCode.DESERIALIZATION_ERROR, "Block header decode failed")
    header = BlockHeader.decode(raw[:HEADER_SIZE])
    if ctx.chain.headers.get(header.prev_hash) is None:
        raise RpcError(
            RpcCode.VERIFY_ERROR, f"Must submit previous header ({hash_hex(header.prev_hash)}) first"
        )
    try:
        await ctx.chain.accept_headers([header])
    except BlockInvalid as error:
        raise RpcError(RpcCode.VERIFY_ERROR, error.reason) from None
    return None
