"""Category "blockchain": the coins. One of them, all of them."""

from __future__ import annotations

from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.indexes.coin_stats import CoinStatsIndex
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import Coin, OutPoint
from pybitcoind.chain.utxo_set_hash import UtxoHashType, utxo_set_stats

from .amounts import Amount, Json
from .arguments import ANY_NUM, BOOL, HASH, STR, UINT
from .block_stats import parse_hash_or_height
from .context import RpcContext
from .documents import SCRIPT_PUBKEY
from .errors import RpcCode, RpcError, invalid_parameter
from .registry import Arg, Result, ResultType, cli, curl, method
from .render import script_json

R = ResultType
_BLOCK = '"00000000c937983704a73af28acdec37b049d214adbda81d7e2a3dd146f6ed09"'
_SCAN = '["raw(76a91411b366edfc0a8b66feebae5c2e25a7b6a5d1cf3188ac)#fm24fxxy"]'


_SCRIPT_PUBKEY = Result(
    R.OBJ,
    "scriptPubKey",
    inner=(
        *SCRIPT_PUBKEY.inner[:3],
        Result(R.STR, "type", "The type, eg pubkeyhash"),
        SCRIPT_PUBKEY.inner[3],
    ),
)


@method(
    "blockchain",
    "Returns details about an unspent transaction output.\n",
    args=(
        Arg("txid", HASH, "The transaction id"),
        Arg("n", UINT, "vout number"),
        Arg(
            "include_mempool",
            BOOL,
            "Whether to include the mempool. Note that an unspent output that is spent in the mempool won't "
            "appear.",
            True,
        ),
    ),
    result=(
        Result(R.NONE, condition="If the UTXO was not found"),
        Result(
            R.OBJ,
            condition="Otherwise",
            inner=(
                Result(R.STR_HEX, "bestblock", "The hash of the block at the tip of the chain"),
                Result(R.NUM, "confirmations", "The number of confirmations"),
                Result(R.STR_AMOUNT, "value", "The transaction value in BTC"),
                _SCRIPT_PUBKEY,
                Result(R.BOOL, "coinbase", "Coinbase or not"),
            ),
        ),
    ),
    examples="\nGet unspent transactions\n"
    + cli("listunspent")
    + "\nView the details\n"
    + cli("gettxout", '"txid" 1')
    + "\nAs a JSON-RPC call\n"
    + curl("gettxout", '"txid", 1'),
    needs_chain=True,
)
async def gettxout(ctx: RpcContext, txid: bytes, n: int, include_mempool: bool) -> Json:
    outpoint = OutPoint(txid, n)
    coin: Coin | None = None
    unconfirmed = False
    if include_mempool and ctx.node.mempool is not None:
        if ctx.node.mempool.spender_of(outpoint) is not None:
            return None
        coin = ctx.node.mempool.coin(outpoint)
        unconfirmed = coin is not None
    if coin is None:
        coin = (await ctx.chain.get_coins([outpoint])).get(outpoint)
    if coin is None:
        return None
    tip = ctx.chain.tip
    return {
        "bestblock": hash_hex(tip.hash),
        "confirmations": 0 if unconfirmed else tip.height - coin.height + 1,
        "value": Amount(coin.value),
        "scriptPubKey": script_json(coin.script_pubkey, ctx.params),
        "coinbase": coin.coinbase,
    }


@method(
    "blockchain",
    "Returns statistics about the unspent transaction output set.\n"
    "Note this call may take some time if you are not using coinstatsindex.\n",
    args=(
        Arg(
            "hash_type",
            STR,
            "Which UTXO set hash should be calculated. Options: 'hash_serialized_3' (the legacy algorithm), "
            "'muhash', 'none'.",
            "hash_serialized_3",
        ),
        Arg(
            "hash_or_height",
            ANY_NUM,
            "The block hash or height of the target height (only available with coinstatsindex).",
            hint="the current best block",
            type_words=("", "string or numeric"),
        ),
        Arg("use_index", BOOL, "Use coinstatsindex, if available.", True),
    ),
    result=Result(
        R.OBJ,
        inner=(
            Result(R.NUM, "height", "The block height (index) of the returned statistics"),
            Result(R.STR_HEX, "bestblock", "The hash of the block at which these statistics are calculated"),
            Result(R.NUM, "txouts", "The number of unspent transaction outputs"),
            Result(
                R.NUM, "bogosize", "Database-independent, meaningless metric indicating the UTXO set size"
            ),
            Result(
                R.STR_HEX,
                "hash_serialized_3",
                "The serialized hash (only present if 'hash_serialized_3' hash_type is chosen)",
                optional=True,
            ),
            Result(
                R.STR_HEX,
                "muhash",
                "The serialized hash (only present if 'muhash' hash_type is chosen)",
                optional=True,
            ),
            Result(
                R.NUM,
                "transactions",
                "The number of transactions with unspent outputs (not available when coinstatsindex is used)",
                optional=True,
            ),
            Result(
                R.NUM,
                "disk_size",
                "The estimated size of the chainstate on disk (not available when coinstatsindex is used)",
                optional=True,
            ),
            Result(R.STR_AMOUNT, "total_amount", "The total amount of coins in the UTXO set"),
            Result(
                R.STR_AMOUNT,
                "total_unspendable_amount",
                "The total amount of coins permanently excluded from the UTXO set (only available if "
                "coinstatsindex is used)",
                optional=True,
            ),
            Result(
                R.OBJ,
                "block_info",
                "Info on amounts in the block at this block height (only available if "
                "coinstatsindex is used)",
                (
                    Result(R.STR_AMOUNT, "prevout_spent", "Total amount of all prevouts spent in this block"),
                    Result(R.STR_AMOUNT, "coinbase", "Coinbase subsidy amount of this block"),
                    Result(
                        R.STR_AMOUNT,
                        "new_outputs_ex_coinbase",
                        "Total amount of new outputs created by this block",
                    ),
                    Result(
                        R.STR_AMOUNT,
                        "unspendable",
                        "Total amount of unspendable outputs created in this block",
                    ),
                    Result(
                        R.OBJ,
                        "unspendables",
                        "Detailed view of the unspendable categories",
                        (
                            Result(
                                R.STR_AMOUNT,
                                "genesis_block",
                                "The unspendable amount of the Genesis block subsidy",
                            ),
                            Result(
                                R.STR_AMOUNT,
                                "bip30",
                                "Transactions overridden by duplicates (no longer possible with BIP30)",
                            ),
                            Result(
                                R.STR_AMOUNT,
                                "scripts",
                                "Amounts sent to scripts that are unspendable (for example "
                                "OP_RETURN outputs)",
                            ),
                            Result(
                                R.STR_AMOUNT,
                                "unclaimed_rewards",
                                "Fee rewards that miners did not claim in their coinbase transaction",
                            ),
                        ),
                    ),
                ),
                optional=True,
            ),
        ),
    ),
    examples=cli("gettxoutsetinfo")
    + cli("gettxoutsetinfo", '"none"')
    + cli("gettxoutsetinfo", '"none" 1000')
    + cli("gettxoutsetinfo", f"\"none\" '{_BLOCK}'")
    + cli("-named gettxoutsetinfo", "hash_type='muhash' use_index='false'")
    + curl("gettxoutsetinfo")
    + curl("gettxoutsetinfo", '"none"')
    + curl("gettxoutsetinfo", '"none", 1000')
    + curl("gettxoutsetinfo", f'"none", {_BLOCK}'),
    needs_chain=True,
)
async def gettxoutsetinfo(ctx: RpcContext, hash_type: str, hash_or_height: Json, use_index: bool) -> Json:
    try:
        kind = UtxoHashType(hash_type)
    except ValueError:
        raise invalid_parameter(f"'{hash_type}' is not a valid hash_type") from None
    await ctx.chain.flush()
    index, wanted = ctx.coin_stats_index, None
    if hash_or_height is not None:
        if index is None:
            raise invalid_parameter("Querying specific block heights requires coinstatsindex")
        if kind is UtxoHashType.HASH_SERIALIZED_3:
            raise invalid_parameter("hash_serialized_3 hash type cannot be queried for a specific block")
        if not use_index:
            raise invalid_parameter("Cannot set use_index to false when querying for a specific block")
        wanted = parse_hash_or_height(ctx, hash_or_height)
    if index is not None and use_index:
        tip = ctx.chain.tip
        await _sync(ctx, index, wanted)
        if kind is not UtxoHashType.HASH_SERIALIZED_3:
            return await _stats_of_index(index, wanted or tip, kind)
    stats = await utxo_set_stats(ctx.chain.chainstate.store, kind, ctx.ports.workers)
    node = ctx.chain.headers.get(stats.best_block or b"")
    if node is None:
        raise RpcError(RpcCode.INTERNAL_ERROR, "Unable to read UTXO set")
    out: dict[str, Json] = {
        "height": node.height,
        "bestblock": hash_hex(node.hash),
        "txouts": stats.txouts,
        "bogosize": stats.bogosize,
    }
    if stats.hash is not None:
        out[hash_type] = hash_hex(stats.hash)
    out["total_amount"] = Amount(stats.total_amount)
    out["transactions"] = stats.transactions
    out["disk_size"] = stats.disk_size
    return out


async def _sync(ctx: RpcContext, index: CoinStatsIndex, wanted: HeaderNode | None) -> None:
    """Has the index handle what happened; RpcError -32603 if it is not as far as the wanted block."""
    if index.synced:
        await ctx.chain.events.drained()
    elif wanted is not None and wanted.height > index.best_height:
        raise RpcError(
            RpcCode.INTERNAL_ERROR,
            "Unable to get data because coinstatsindex is still syncing. "
            f"Current height: {index.best_height}",
        )


async def _stats_of_index(index: CoinStatsIndex, node: HeaderNode, kind: UtxoHashType) -> Json:
    stats = await index.find(node.hash)
    if stats is None:
        raise RpcError(RpcCode.INTERNAL_ERROR, "Unable to read UTXO set")
    moved = stats.block
    out: dict[str, Json] = {
        "height": node.height,
        "bestblock": hash_hex(node.hash),
        "txouts": stats.txouts,
        "bogosize": stats.bogosize,
    }
    if kind is UtxoHashType.MUHASH:
        out["muhash"] = hash_hex(stats.muhash)
    out["total_amount"] = Amount(stats.total_amount)
    out["total_unspendable_amount"] = Amount(stats.total_unspendable_amount)
    out["block_info"] = {
        "prevout_spent": Amount(moved.prevout_spent),
        "coinbase": Amount(moved.coinbase),
        "new_outputs_ex_coinbase": Amount(moved.new_outputs_ex_coinbase),
        "unspendable": Amount(moved.unspendable),
        "unspendables": {
            "genesis_block": Amount(moved.genesis_block),
            "bip30": Amount(moved.bip30),
            "scripts": Amount(moved.scripts),
            "unclaimed_rewards": Amount(moved.unclaimed_rewards),
        },
    }
    return out
