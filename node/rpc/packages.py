"""Categories "rawtransactions" and "blockchain": packages, clusters and the mempool's file."""

from __future__ import annotations

from pathlib import Path

from pybitcoind.chain.consensus.errors import TxInvalid
from pybitcoind.chain.mempool import persistence
from pybitcoind.chain.mempool.acceptance import Acceptance
from pybitcoind.chain.mempool.results import AlreadyInMempool, OtherWitness, TxAccept, TxResult
from pybitcoind.chain.policy.packages import is_child_with_parents
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import Transaction
from pybitcoind.chain.script.script import has_valid_ops, is_unspendable

from ..broadcast import BroadcastError, broadcast_transaction
from .amounts import Amount, Json, amount_from_value, feerate_from_value
from .arguments import AMOUNT_TEXT, ARR, BOOL, HASH, HEX_TEXT, OBJ_NAMED_PARAMS, STR, parse_str
from .context import RpcContext
from .errors import RpcCode, RpcError, invalid_parameter
from .mempool import DEFAULT_MAX_RAW_FEERATE, MAX_PACKAGE_COUNT, decode_tx, find_entry
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method

R = ResultType


@method(
    "rawtransactions",
    "Submit a package of raw transactions (serialized, hex-encoded) to local node.\n"
    "The package will be validated according to consensus and mempool policy rules. If any transaction "
    "passes, it will be accepted to mempool.\n"
    "This RPC is experimental and the interface may be unstable. Refer to doc/policy/packages.md for "
    "documentation on package policies.\n"
    "Warning: successful submission does not mean the transactions will propagate throughout "
    "the network.\n",
    args=(
        Arg(
            "package",
            ARR,
            "An array of raw transactions.\n"
            "The package must consist of a transaction with (some, all, or none of) its "
            "unconfirmed parents. "
            "A single transaction is permitted.\n"
            "None of the parents may depend on each other. Parents that are already in mempool do not need "
            "to be present in the package.\n"
            "The package must be topologically sorted, with the child being the last element "
            "in the array if "
            "there are multiple elements.",
            inner=(Arg("rawtx", HEX_TEXT, default=OPTIONAL),),
        ),
        Arg(
            "maxfeerate",
            AMOUNT_TEXT,
            "Reject transactions whose fee rate is higher than the specified value, expressed in BTC/kvB.\n"
            "Fee rates larger than 1BTC/kvB are rejected.\nSet to 0 to accept any fee rate.",
            DEFAULT_MAX_RAW_FEERATE,
        ),
        Arg(
            "maxburnamount",
            AMOUNT_TEXT,
            "Reject transactions with provably unspendable outputs (e.g. 'datacarrier' "
            "outputs that use the "
            "OP_RETURN opcode) greater than the specified value, expressed in BTC.\n"
            "If burning funds through unspendable outputs is desired, increase this value.\n"
            "This check is based on heuristics and does not guarantee spendability of outputs.\n",
            "0.00",
        ),
    ),
    result=Result(
        R.OBJ,
        inner=(
            Result(
                R.STR,
                "package_msg",
                'The transaction package result message. "success" indicates all transactions were accepted '
                "into or are already in the mempool.",
            ),
            Result(
                R.OBJ_DYN,
                "tx-results",
                "The transaction results keyed by wtxid. An entry is returned for every submitted wtxid.",
                (
                    Result(
                        R.OBJ,
                        "wtxid",
                        "transaction wtxid",
                        (
                            Result(R.STR_HEX, "txid", "The transaction hash in hex"),
                            Result(
                                R.STR_HEX,
                                "other-wtxid",
                                "The wtxid of a different transaction with the same txid but different "
                                "witness found in the mempool. This means the submitted transaction was "
                                "ignored.",
                                optional=True,
                            ),
                            Result(
                                R.NUM, "vsize", "Sigops-adjusted virtual transaction size.", optional=True
                            ),
                            Result(
                                R.OBJ,
                                "fees",
                                "Transaction fees",
                                (
                                    Result(R.STR_AMOUNT, "base", "transaction fee in BTC"),
                                    Result(
                                        R.STR_AMOUNT,
                                        "effective-feerate",
                                        "if the transaction was not already in the mempool, the effective "
                                        "feerate in BTC per KvB. For example, the package feerate and/or "
                                        "feerate with modified fees from prioritisetransaction.",
                                        optional=True,
                                    ),
                                    Result(
                                        R.ARR,
                                        "effective-includes",
                                        "if effective-feerate is provided, the wtxids of the transactions "
                                        "whose fees and vsizes are included in effective-feerate.",
                                        (Result(R.STR_HEX, "", "transaction wtxid in hex"),),
                                        optional=True,
                                    ),
                                ),
                                optional=True,
                            ),
                            Result(
                                R.STR,
                                "error",
                                'Error string if rejected from mempool, or "package-not-validated" when the '
                                "package aborts before any per-tx processing.",
                                optional=True,
                            ),
                        ),
                    ),
                ),
            ),
            Result(
                R.ARR,
                "replaced-transactions",
                "List of txids of replaced transactions",
                (Result(R.STR_HEX, "", "The transaction id"),),
                optional=True,
            ),
        ),
    ),
    examples=curl("submitpackage", '["raw-parent-tx-1", "raw-parent-tx-2", "raw-child-tx"]')
    + cli("submitpackage", "'[\"raw-tx-without-unconfirmed-parents\"]'"),
    needs_chain=True,
)
async def submitpackage(ctx: RpcContext, package: Json, maxfeerate: Json, maxburnamount: Json) -> Json:
    if not 1 <= len(package) <= MAX_PACKAGE_COUNT:
        raise invalid_parameter(f"Array must contain between 1 and {MAX_PACKAGE_COUNT} transactions.")
    max_feerate = feerate_from_value(maxfeerate)
    max_burn = amount_from_value(maxburnamount)
    txs = [_decoded(parse_str(value), max_burn) for value in package]
    if len(txs) > 1 and not _is_tree(txs):
        raise RpcError(
            RpcCode.TRANSACTION_ERROR,
            "package topology disallowed. not child-with-parents or parents depend on each other.",
        )
    result = await ctx.chain.accept_package(txs, max_feerate or None)
    for sent, tx in enumerate(tx for tx in txs if ctx.mempool.contains(tx.txid)):
        try:
            await broadcast_transaction(ctx.node, tx)
        except BroadcastError as error:
            raise RpcError(
                error.code,
                f"transaction broadcast failed: {error} ({sent} transactions were broadcast successfully)",
            ) from None
    replaced = [
        tx.txid for one in result.results.values() if isinstance(one, TxAccept) for tx in one.replaced
    ]
    return {
        "package_msg": str(result) or "success",
        "tx-results": {hash_hex(tx.wtxid): _result_row(tx, result.results.get(tx.wtxid)) for tx in txs},
        "replaced-transactions": [hash_hex(txid) for txid in sorted(set(replaced))],
    }


def _decoded(text: str, max_burn: int) -> Transaction:
    tx = decode_tx(text)
    if tx is None:
        raise RpcError(
            RpcCode.DESERIALIZATION_ERROR,
            f"TX decode failed: {text} Make sure the tx has at least one input.",
        )
    for out in tx.vout:
        burns = is_unspendable(out.script_pubkey) or not has_valid_ops(out.script_pubkey)
        if burns and out.value > max_burn:
            raise RpcError(
                RpcCode.TRANSACTION_ERROR,
                "Unspendable output exceeds maximum configured by user (maxburnamount)",
            )
    return tx


def _is_tree(txs: list[Transaction]) -> bool:
    """A child and its parents, none of which spends from another."""
    parents = {tx.txid for tx in txs[:-1]}
    return is_child_with_parents(txs) and not any(
        txin.prevout.txid in parents for tx in txs[:-1] for txin in tx.vin
    )


def _result_row(tx: Transaction, found: TxResult | None) -> dict[str, Json]:
    row: dict[str, Json] = {"txid": hash_hex(tx.txid)}
    if found is None:
        row["error"] = "package-not-validated"
    elif isinstance(found, TxInvalid):
        row["error"] = str(found)
    elif isinstance(found, OtherWitness):
        row["other-wtxid"] = hash_hex(found.wtxid)
    else:
        row["vsize"] = found.vsize
        fees: dict[str, Json] = {"base": Amount(found.fee)}
        row["fees"] = fees
        if not isinstance(found, AlreadyInMempool):
            fees["effective-feerate"] = Amount(found.effective_feerate)
            fees["effective-includes"] = [hash_hex(wtxid) for wtxid in found.effective_wtxids]
    return row


@method(
    "blockchain",
    "Returns mempool data for given cluster\n",
    args=(Arg("txid", HASH, "The txid of a transaction in the cluster"),),
    result=Result(
        R.OBJ,
        inner=(
            Result(
                R.NUM,
                "clusterweight",
                "total sigops-adjusted weight (as defined in BIP 141 and modified by '-bytespersigop')",
            ),
            Result(R.NUM, "txcount", "number of transactions"),
            Result(
                R.ARR,
                "chunks",
                "chunks in this cluster (in mining order)",
                (
                    Result(
                        R.OBJ,
                        "chunk",
                        inner=(
                            Result(R.NUM, "chunkfee", "fees of the transactions in this chunk"),
                            Result(
                                R.NUM,
                                "chunkweight",
                                "sigops-adjusted weight of all transactions in this chunk",
                            ),
                            Result(
                                R.ARR,
                                "txs",
                                "transactions in this chunk in mining order",
                                (Result(R.STR_HEX, "txid", "transaction id"),),
                            ),
                        ),
                    ),
                ),
            ),
        ),
    ),
    examples=cli("getmempoolcluster", "txid") + curl("getmempoolcluster", "txid"),
)
async def getmempoolcluster(ctx: RpcContext, txid: bytes) -> Json:
    chunks = ctx.mempool.cluster(find_entry(ctx, txid).txid)
    return {
        "clusterweight": sum(chunk.weight for chunk in chunks),
        "txcount": sum(len(chunk.txids) for chunk in chunks),
        "chunks": [
            {
                "chunkfee": Amount(chunk.fee),
                "chunkweight": chunk.weight,
                "txs": [hash_hex(other) for other in chunk.txids],
            }
            for chunk in chunks
        ],
    }


@method(
    "hidden",
    "Returns the feerate diagram for the whole mempool.",
    result=Result(
        R.ARR,
        condition="mempool chunks",
        inner=(
            Result(
                R.OBJ,
                inner=(
                    Result(R.NUM, "weight", "cumulative sigops-adjusted weight"),
                    Result(R.NUM, "fee", "cumulative fee"),
                ),
            ),
        ),
    ),
    examples=cli("getmempoolfeeratediagram") + curl("getmempoolfeeratediagram"),
)
async def getmempoolfeeratediagram(ctx: RpcContext) -> Json:
    weight = fee = 0
    points: list[Json] = [{"weight": 0, "fee": Amount(0)}]
    for chunk in ctx.mempool.chunks():
        weight += chunk.weight
        fee += chunk.fee
        points.append({"weight": weight, "fee": Amount(fee)})
    return points


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
                    "Whether to use the current system time or use the entry time metadata "
                    "from the mempool "
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
