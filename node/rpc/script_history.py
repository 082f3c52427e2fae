"""Category "blockchain": what a script received and spent, from -scriptindex; ours, not Core's."""

from __future__ import annotations

from pybitcoind.chain.indexes.scripts import ScriptIndex, ScriptOutput, script_hash
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.script.address import AddressError, decode_address

from .amounts import Amount, Json
from .arguments import INT, STR, is_hex
from .context import RpcContext
from .errors import RpcCode, RpcError, invalid_parameter, misc_error
from .registry import Arg, Result, ResultType, cli, curl, method

R = ResultType
MAX_COUNT = 10_000
"""Outputs in one answer."""
_EXAMPLE = '"bcrt1q6rhpng9evdsfnn833a4f4vej0asu6dk5srld6x"'


@method(
    "blockchain",
    "Returns what paid to a script and what spent it, from the index of scripts (-scriptindex).\n"
    "Only outputs in blocks count, not those in the mempool; outputs that nobody can spend are left out.\n"
    "\nThis method is pybitcoind's own.\n",
    args=(
        Arg("script", STR, "An address, or an output script in hex"),
        Arg("skip", INT, "The number of outputs to skip", 0),
        Arg("count", INT, f"The number of outputs to return, at most {MAX_COUNT}", 100),
        Arg("order", STR, 'Which ones come first: "newest" or "oldest"', "newest"),
    ),
    result=Result(
        R.OBJ,
        inner=(
            Result(R.STR_HEX, "scriptPubKey", "The output script"),
            Result(R.NUM, "height", "The height up to which the index knows the chain"),
            Result(R.NUM, "outputs", "The number of all outputs to the script"),
            Result(R.NUM, "unspent", "The number of those that are not spent"),
            Result(R.STR_AMOUNT, "received", "The sum of all outputs in BTC"),
            Result(R.STR_AMOUNT, "balance", "The sum of those that are not spent in BTC"),
            Result(
                R.ARR,
                "history",
                "The outputs asked for",
                (
                    Result(
                        R.OBJ,
                        inner=(
                            Result(R.STR_HEX, "txid", "The transaction id"),
                            Result(R.NUM, "vout", "The output number"),
                            Result(R.STR_AMOUNT, "value", "The value in BTC"),
                            Result(R.NUM, "height", "The height of the block"),
                            Result(R.NUM, "position", "The transaction's place in the block, from 0 on"),
                            Result(
                                R.OBJ,
                                "spent",
                                "What spends it (only present if it is spent)",
                                (
                                    Result(R.STR_HEX, "txid", "The id of the spending transaction"),
                                    Result(R.NUM, "vin", "The number of its input"),
                                    Result(R.NUM, "height", "The height of its block"),
                                ),
                                optional=True,
                            ),
                        ),
                    ),
                ),
            ),
        ),
    ),
    examples=cli("getscripthistory", _EXAMPLE)
    + cli("getscripthistory", f"{_EXAMPLE} 100 50 oldest")
    + curl("getscripthistory", f'{_EXAMPLE}, 100, 50, "oldest"'),
    needs_chain=True,
)
async def getscripthistory(ctx: RpcContext, script: str, skip: int, count: int, order: str) -> Json:
    index = ctx.script_index
    if index is None:
        raise misc_error("The history of scripts needs an index. Restart with -scriptindex.")
    if order not in ("newest", "oldest"):
        raise invalid_parameter(f"'{order}' is not a valid order")
    if skip < 0:
        raise invalid_parameter("Negative skip")
    if not 0 <= count <= MAX_COUNT:
        raise invalid_parameter(f"Count is not between 0 and {MAX_COUNT}")
    wanted = _script(ctx, script)
    _refuse_unsynced(index)
    await ctx.chain.events.drained()
    key = script_hash(wanted)
    totals = await index.totals(key)
    found = await index.history(key, skip=skip, count=count, newest_first=order == "newest")
    _refuse_unsynced(index)  # it may have been found to be damaged, and know nothing now
    return {
        "scriptPubKey": wanted.hex(),
        "height": index.best_height,
        "outputs": totals.outputs,
        "unspent": totals.outputs - totals.spent_outputs,
        "received": Amount(totals.received),
        "balance": Amount(totals.received - totals.spent),
        "history": [_as_json(output) for output in found],
    }


def _script(ctx: RpcContext, text: str) -> bytes:
    if is_hex(text):
        return bytes.fromhex(text)
    try:
        return decode_address(text, ctx.params).script_pubkey
    except AddressError as error:
        raise RpcError(
            RpcCode.INVALID_ADDRESS_OR_KEY, f"Neither address nor script in hex: {error}"
        ) from None


def _refuse_unsynced(index: ScriptIndex) -> None:
    if not index.synced:
        raise misc_error(f"The index of scripts is still syncing. Current height: {index.best_height}")


def _as_json(output: ScriptOutput) -> dict[str, Json]:
    out: dict[str, Json] = {
        "txid": hash_hex(output.outpoint.txid),
        "vout": output.outpoint.vout,
        "value": Amount(output.value),
        "height": output.height,
        "position": output.position,
    }
    if output.spend is not None:
        spend = output.spend
        out["spent"] = {"txid": hash_hex(spend.txid), "vin": spend.vin, "height": spend.height}
    return out
