"""Category "blockchain": the clusters of the mempool and their chunks."""

from __future__ import annotations

from pybitcoind.chain.primitives.hashes import hash_hex

from .amounts import Amount, Json
from .arguments import HASH
from .context import RpcContext
from .mempool import find_entry
from .registry import Arg, Result, ResultType, cli, curl, method

R = ResultType


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
