"""Category "blockchain": looking into the mempool, at what spends, and at orphans."""

from __future__ import annotations

from pybitcoind.chain.mempool.entry import MempoolEntry
from pybitcoind.chain.mempool.pool import Mempool
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction
from pybitcoind.chain.storage.database import StorageError

from .amounts import Amount, Json
from .arguments import (
    ANY_NUM,
    ARR,
    BOOL,
    HASH,
    NUM,
    OBJ,
    OBJ_NAMED_PARAMS,
    check_object,
    expect_type,
    parse_bool,
    parse_hash,
    parse_int,
    parse_verbosity,
)
from .context import RpcContext
from .errors import RpcCode, RpcError, invalid_parameter, misc_error
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method

R = ResultType

_ENTRY_FIELDS = (
    Result(
        R.NUM,
        "vsize",
        "virtual transaction size as defined in BIP 141. This is different from actual "
        "serialized size for witness transactions as witness data is discounted.",
    ),
    Result(R.NUM, "weight", "transaction weight as defined in BIP 141."),
    Result(R.NUM_TIME, "time", "local time transaction entered pool in seconds since 1 Jan 1970 GMT"),
    Result(R.NUM, "height", "block height when transaction entered pool"),
    Result(R.NUM, "descendantcount", "number of in-mempool descendant transactions (including this one)"),
    Result(
        R.NUM, "descendantsize", "virtual transaction size of in-mempool descendants (including this one)"
    ),
    Result(R.NUM, "ancestorcount", "number of in-mempool ancestor transactions (including this one)"),
    Result(R.NUM, "ancestorsize", "virtual transaction size of in-mempool ancestors (including this one)"),
    Result(
        R.NUM,
        "chunkweight",
        "sigops-adjusted weight (as defined in BIP 141 and modified by '-bytespersigop') of this "
        "transaction's chunk",
    ),
    Result(R.STR_HEX, "wtxid", "hash of serialized transaction, including witness data"),
    Result(
        R.OBJ,
        "fees",
        inner=(
            Result(R.STR_AMOUNT, "base", "transaction fee, denominated in BTC"),
            Result(
                R.STR_AMOUNT,
                "modified",
                "transaction fee with fee deltas used for mining priority, denominated in BTC",
            ),
            Result(
                R.STR_AMOUNT,
                "ancestor",
                "transaction fees of in-mempool ancestors (including this one) with fee deltas "
                "used for mining priority, denominated in BTC",
            ),
            Result(
                R.STR_AMOUNT,
                "descendant",
                "transaction fees of in-mempool descendants (including this one) with fee "
                "deltas used for mining priority, denominated in BTC",
            ),
            Result(R.STR_AMOUNT, "chunk", "transaction fees of chunk, denominated in BTC"),
        ),
    ),
    Result(
        R.ARR,
        "depends",
        "unconfirmed transactions used as inputs for this transaction",
        (Result(R.STR_HEX, "transactionid", "parent transaction id"),),
    ),
    Result(
        R.ARR,
        "spentby",
        "unconfirmed transactions spending outputs from this transaction",
        (Result(R.STR_HEX, "transactionid", "child transaction id"),),
    ),
    Result(
        R.BOOL,
        "unbroadcast",
        "Whether this transaction is currently unbroadcast (initial broadcast not yet acknowledged by any "
        "peers)",
    ),
)


def entry_json(pool: Mempool, entry: MempoolEntry) -> dict[str, Json]:
    ancestors, descendants = pool.ancestors(entry.txid), pool.descendants(entry.txid)
    chunk = next(chunk for chunk in pool.cluster(entry.txid) if entry.txid in chunk.txids)
    return {
        "vsize": entry.vsize,
        "weight": entry.tx.weight,
        "time": entry.time,
        "height": entry.height,
        "descendantcount": len(descendants),
        "descendantsize": sum(other.vsize for other in descendants),
        "ancestorcount": len(ancestors),
        "ancestorsize": sum(other.vsize for other in ancestors),
        "wtxid": hash_hex(entry.tx.wtxid),
        "chunkweight": chunk.weight,
        "fees": {
            "base": Amount(entry.fee),
            "modified": Amount(entry.modified_fee),
            "ancestor": Amount(sum(other.modified_fee for other in ancestors)),
            "descendant": Amount(sum(other.modified_fee for other in descendants)),
            "chunk": Amount(chunk.fee),
        },
        "depends": sorted(hash_hex(txid) for txid in pool.parents(entry.txid)),
        "spentby": sorted(hash_hex(txid) for txid in pool.children(entry.txid)),
        "unbroadcast": entry.txid in pool.unbroadcast,
    }


def find_entry(ctx: RpcContext, txid: bytes) -> MempoolEntry:
    entry = ctx.mempool.get(txid)
    if entry is None:
        raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, "Transaction not in mempool")
    return entry


@method(
    "blockchain",
    "Returns details on the active state of the TX memory pool.",
    result=Result(
        R.OBJ,
        inner=(
            Result(R.BOOL, "loaded", "True if the initial load attempt of the persisted mempool finished"),
            Result(R.NUM, "size", "Current tx count"),
            Result(
                R.NUM,
                "bytes",
                "Sum of all virtual transaction sizes as defined in BIP 141. Differs from actual "
                "serialized size because witness data is discounted",
            ),
            Result(R.NUM, "usage", "Total memory usage for the mempool"),
            Result(
                R.STR_AMOUNT,
                "total_fee",
                "Total fees for the mempool in BTC, ignoring modified fees through prioritisetransaction",
            ),
            Result(R.NUM, "maxmempool", "Maximum memory usage for the mempool"),
            Result(
                R.STR_AMOUNT,
                "mempoolminfee",
                "Minimum fee rate in BTC/kvB for tx to be accepted. Is the maximum of minrelaytxfee and "
                "minimum mempool fee",
            ),
            Result(R.STR_AMOUNT, "minrelaytxfee", "Current minimum relay fee for transactions"),
            Result(
                R.NUM,
                "incrementalrelayfee",
                "minimum fee rate increment for mempool limiting or replacement in BTC/kvB",
            ),
            Result(
                R.NUM,
                "unbroadcastcount",
                "Current number of transactions that haven't passed initial broadcast yet",
            ),
            Result(
                R.BOOL,
                "permitbaremultisig",
                "True if the mempool accepts transactions with bare multisig outputs",
            ),
            Result(
                R.NUM,
                "maxdatacarriersize",
                "Maximum number of bytes that can be used by OP_RETURN outputs in the mempool",
            ),
            Result(
                R.NUM,
                "limitclustercount",
                "Maximum number of transactions that can be in a cluster (configured by -limitclustercount)",
            ),
            Result(
                R.NUM,
                "limitclustersize",
                "Maximum size of a cluster in virtual bytes (configured by -limitclustersize)",
            ),
            Result(R.BOOL, "optimal", "If the mempool is in a known-optimal transaction ordering"),
        ),
    ),
    examples=cli("getmempoolinfo") + curl("getmempoolinfo"),
)
async def getmempoolinfo(ctx: RpcContext) -> Json:
    pool, settings = ctx.mempool, ctx.mempool.settings
    return {
        "loaded": pool.loaded,
        "size": len(pool),
        "bytes": pool.total_vsize,
        "usage": pool.usage,
        "total_fee": Amount(pool.total_fee),
        "maxmempool": settings.max_size_bytes,
        "mempoolminfee": Amount(max(pool.min_feerate(), settings.min_relay_feerate)),
        "minrelaytxfee": Amount(settings.min_relay_feerate),
        "incrementalrelayfee": Amount(settings.incremental_relay_feerate),
        "unbroadcastcount": len(pool.unbroadcast),
        "permitbaremultisig": settings.permit_bare_multisig,
        "maxdatacarriersize": settings.max_datacarrier_bytes or 0,
        "limitclustercount": settings.cluster_count,
        "limitclustersize": settings.cluster_size_vbytes,
        "optimal": True,
    }


@method(
    "blockchain",
    "Returns all transaction ids in memory pool as a json array of string transaction ids.\n\n"
    "Hint: use getmempoolentry to fetch a specific transaction from the mempool.\n",
    args=(
        Arg("verbose", BOOL, "True for a json object, false for array of transaction ids", False),
        Arg(
            "mempool_sequence",
            BOOL,
            "If verbose=false, returns a json object with transaction list and mempool sequence number "
            "attached.",
            False,
        ),
    ),
    result=(
        Result(R.ARR, condition="for verbose = false", inner=(Result(R.STR_HEX, "", "The transaction id"),)),
        Result(
            R.OBJ_DYN,
            condition="for verbose = true",
            inner=(Result(R.OBJ, "transactionid", "", _ENTRY_FIELDS),),
        ),
        Result(
            R.OBJ,
            condition="for verbose = false and mempool_sequence = true",
            inner=(
                Result(R.ARR, "txids", "", (Result(R.STR_HEX, "", "The transaction id"),)),
                Result(R.NUM, "mempool_sequence", "The mempool sequence value."),
            ),
        ),
    ),
    examples=cli("getrawmempool", "true") + curl("getrawmempool", "true"),
)
async def getrawmempool(ctx: RpcContext, verbose: bool, mempool_sequence: bool) -> Json:
    pool = ctx.mempool
    if verbose:
        if mempool_sequence:
            raise invalid_parameter("Verbose results cannot contain mempool sequence values.")
        return {hash_hex(entry.txid): entry_json(pool, entry) for entry in pool.in_mining_order()}
    txids = [hash_hex(entry.txid) for entry in pool.in_mining_order()]
    return {"txids": txids, "mempool_sequence": pool.sequence} if mempool_sequence else txids


@method(
    "blockchain",
    "Returns mempool data for given transaction\n",
    args=(Arg("txid", HASH, "The transaction id (must be in mempool)"),),
    result=Result(R.OBJ, inner=_ENTRY_FIELDS),
    examples=cli("getmempoolentry", '"mytxid"') + curl("getmempoolentry", '"mytxid"'),
)
async def getmempoolentry(ctx: RpcContext, txid: bytes) -> Json:
    return entry_json(ctx.mempool, find_entry(ctx, txid))


def _relatives_doc(what: str) -> tuple[Result, ...]:
    described = f"The transaction id of an in-mempool {what} transaction"
    return (
        Result(R.ARR, condition="for verbose = false", inner=(Result(R.STR_HEX, "", described),)),
        Result(
            R.OBJ_DYN,
            condition="for verbose = true",
            inner=(Result(R.OBJ, "transactionid", "", _ENTRY_FIELDS),),
        ),
    )


_RELATIVE_ARGS = (
    Arg("txid", HASH, "The transaction id (must be in mempool)"),
    Arg("verbose", BOOL, "True for a json object, false for array of transaction ids", False),
)


def _relatives(pool: Mempool, entries: list[MempoolEntry], verbose: bool) -> Json:
    if verbose:
        return {hash_hex(entry.txid): entry_json(pool, entry) for entry in entries}
    return [hash_hex(entry.txid) for entry in entries]


@method(
    "blockchain",
    "If txid is in the mempool, returns all in-mempool ancestors.\n",
    args=_RELATIVE_ARGS,
    result=_relatives_doc("ancestor"),
    examples=cli("getmempoolancestors", '"mytxid"') + curl("getmempoolancestors", '"mytxid"'),
)
async def getmempoolancestors(ctx: RpcContext, txid: bytes, verbose: bool) -> Json:
    find_entry(ctx, txid)
    return _relatives(ctx.mempool, ctx.mempool.ancestors(txid)[1:], verbose)


@method(
    "blockchain",
    "If txid is in the mempool, returns all in-mempool descendants.\n",
    args=_RELATIVE_ARGS,
    result=_relatives_doc("descendant"),
    examples=cli("getmempooldescendants", '"mytxid"') + curl("getmempooldescendants", '"mytxid"'),
)
async def getmempooldescendants(ctx: RpcContext, txid: bytes, verbose: bool) -> Json:
    find_entry(ctx, txid)
    return _relatives(ctx.mempool, ctx.mempool.descendants(txid)[1:], verbose)


_SPEND_EXAMPLE = (
    '[{\\"txid\\":\\"a08e6907dbbd3d809776dbfc5d82e371b764ed838b5655e72f463568df1aadf0\\",\\"vout\\":3}]'
)


@method(
    "blockchain",
    "Scans the mempool (and the txospenderindex, if available) to find transactions spending any of the "
    "given outputs",
    args=(
        Arg(
            "outputs",
            ARR,
            "The transaction outputs that we want to check, and within each, the txid (string) vout "
            "(numeric).",
            inner=(
                Arg(
                    "",
                    OBJ,
                    "",
                    OPTIONAL,
                    inner=(
                        Arg("txid", HASH, "The transaction id"),
                        Arg("vout", NUM, "The output number"),
                    ),
                ),
            ),
        ),
        Arg(
            "options",
            OBJ_NAMED_PARAMS,
            "",
            OPTIONAL,
            inner=(
                Arg(
                    "mempool_only",
                    BOOL,
                    "If false and mempool lacks a relevant spend, use txospenderindex (throws an exception "
                    "if not available).",
                    hint="true if txospenderindex unavailable, otherwise false",
                ),
                Arg("return_spending_tx", BOOL, "If true, return the full spending tx.", hint="false"),
            ),
        ),
    ),
    result=Result(
        R.ARR,
        inner=(
            Result(
                R.OBJ,
                inner=(
                    Result(R.STR_HEX, "txid", "the transaction id of the checked output"),
                    Result(R.NUM, "vout", "the vout value of the checked output"),
                    Result(
                        R.STR_HEX,
                        "spendingtxid",
                        "the transaction id of the mempool transaction spending this output (omitted if "
                        "unspent)",
                        optional=True,
                    ),
                    Result(
                        R.STR_HEX,
                        "spendingtx",
                        "the transaction spending this output (only if return_spending_tx is set, omitted "
                        "if unspent)",
                        optional=True,
                    ),
                    Result(
                        R.STR_HEX,
                        "blockhash",
                        "the hash of the spending block (omitted if unspent or the spending tx is not "
                        "confirmed)",
                        optional=True,
                    ),
                ),
            ),
        ),
    ),
    examples=cli("gettxspendingprevout", f'"{_SPEND_EXAMPLE}"')
    + curl("gettxspendingprevout", f'"{_SPEND_EXAMPLE}"')
    + cli("-named gettxspendingprevout", f"outputs='{_SPEND_EXAMPLE}' return_spending_tx=true").replace(
        '\\"', '"'
    ),
)
async def gettxspendingprevout(ctx: RpcContext, outputs: list[Json], options: Json) -> Json:
    """Answers of the mempool come first, as in Core, then those of the index."""
    if not outputs:
        raise invalid_parameter("Invalid parameter, outputs are missing")
    options = options or {}
    check_object(
        options, {"mempool_only": "bool", "return_spending_tx": "bool"}, allow_null=True, strict=True
    )
    index = ctx.spender_index
    mempool_only = parse_bool(options.get("mempool_only", index is None))
    with_tx = parse_bool(options.get("return_spending_tx", False))
    wanted: list[tuple[OutPoint, dict[str, Json]]] = []
    for value in outputs:
        expect_type(value, "object")
        check_object(value, {"txid": "string", "vout": "number"}, strict=True)
        txid = parse_hash(value["txid"], "txid")
        vout = parse_int(value["vout"], -(2**31), 2**31 - 1)
        if vout < 0:
            raise invalid_parameter("Invalid parameter, vout cannot be negative")
        wanted.append((OutPoint(txid, vout), dict(value)))
    pool = ctx.mempool
    rows: list[Json] = []
    left = []
    for outpoint, row in wanted:
        tx = pool.spender_of(outpoint)
        if tx is None and not mempool_only:
            left.append((outpoint, row))
            continue
        rows.append(row | _spending(tx, with_tx))
    if not left:
        return rows
    unavailable = misc_error("Mempool lacks a relevant spend, and txospenderindex is unavailable.")
    if index is None or not index.synced:
        raise unavailable
    await ctx.chain.events.drained()
    for outpoint, row in left:
        try:
            spender = await index.find(outpoint)
        except StorageError:
            where = f"{hash_hex(outpoint.txid)}:{outpoint.vout}"
            raise misc_error(f"IO error finding spending tx for outpoint {where}.") from None
        if spender is not None:
            row |= _spending(spender.tx, with_tx) | {"blockhash": hash_hex(spender.block_hash)}
        elif not index.synced:  # it was found to be damaged, and knows nothing now
            raise unavailable
        rows.append(row)
    return rows


def _spending(tx: Transaction | None, with_tx: bool) -> dict[str, Json]:
    if tx is None:
        return {}
    return {"spendingtxid": hash_hex(tx.txid)} | ({"spendingtx": tx.raw.hex()} if with_tx else {})


_ORPHAN = (
    Result(R.STR_HEX, "txid", "The transaction hash in hex"),
    Result(R.STR_HEX, "wtxid", "The transaction witness hash in hex"),
    Result(R.NUM, "bytes", "The serialized transaction size in bytes"),
    Result(
        R.NUM,
        "vsize",
        "The virtual transaction size as defined in BIP 141. This is different from actual serialized size "
        "for witness transactions as witness data is discounted.",
    ),
    Result(R.NUM, "weight", "The transaction weight as defined in BIP 141."),
    Result(R.ARR, "from", "", (Result(R.NUM, "peer_id", "Peer ID"),)),
)


@method(
    "hidden",
    "Shows transactions in the tx orphanage.\n"
    "\nEXPERIMENTAL warning: this call may be changed in future releases.\n",
    args=(
        Arg(
            "verbosity",
            ANY_NUM,
            "0 for an array of txids (may contain duplicates), 1 for an array of objects with tx details, "
            "and 2 for details from (1) and tx hex",
            0,
        ),
    ),
    result=(
        Result(
            R.ARR,
            condition="for verbose = 0",
            inner=(Result(R.STR_HEX, "txid", "The transaction hash in hex"),),
        ),
        Result(R.ARR, condition="for verbose = 1", inner=(Result(R.OBJ, inner=_ORPHAN),)),
        Result(
            R.ARR,
            condition="for verbose = 2",
            inner=(
                Result(
                    R.OBJ,
                    inner=(
                        *_ORPHAN,
                        Result(R.STR_HEX, "hex", "The serialized, hex-encoded transaction data"),
                    ),
                ),
            ),
        ),
    ),
    examples=cli("getorphantxs", "2") + curl("getorphantxs", "2"),
)
async def getorphantxs(ctx: RpcContext, verbosity: Json) -> Json:
    orphans = sorted(ctx.peers.orphans(), key=lambda row: row[0].wtxid)
    level = parse_verbosity(verbosity, 0, allow_bool=False)
    if level == 0:
        return [hash_hex(tx.txid) for tx, _ in orphans]
    if level not in (1, 2):
        raise invalid_parameter(f"Invalid verbosity value {level}")
    return [
        {
            "txid": hash_hex(tx.txid),
            "wtxid": hash_hex(tx.wtxid),
            "bytes": tx.size,
            "vsize": tx.vsize,
            "weight": tx.weight,
            "from": peers,
        }
        | ({"hex": tx.raw.hex()} if level == 2 else {})
        for tx, peers in orphans
    ]
