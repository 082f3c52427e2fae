"""Category "wallet": descriptors in and out, and looking through old blocks."""

from __future__ import annotations

from pybitcoind.wallet.importing import ImportRequest, import_descriptor
from pybitcoind.wallet.wallet import Wallet

from .amounts import Json
from .arguments import (
    ANY_TEXT,
    ARR,
    BOOL,
    INT,
    NUM,
    OBJ,
    RANGE,
    STR,
    json_type,
    parse_bool,
    parse_descriptor_range,
    parse_int,
    parse_str,
)
from .context import RpcContext
from .errors import RpcCode, RpcError, invalid_parameter, misc_error, type_error
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method
from .wallet_common import WARNINGS, follower_of, parse_label, wallet_errors, wallet_of

R = ResultType


@method(
    "wallet",
    "Import descriptors. This will trigger a rescan of the blockchain based on the earliest timestamp of all "
    "descriptors being imported. Requires a new wallet backup.\n"
    "When importing descriptors with multipath key expressions, if the multipath specifier contains exactly "
    "two elements, the descriptor produced from the second element will be imported as an internal "
    "descriptor.\n"
    "\nNote: This call can take over an hour to complete if using an early timestamp; during that time, "
    "other rpc calls\nmay report that the imported keys, addresses or scripts exist but related "
    "transactions are still missing.\n"
    "The rescan is significantly faster if block filters are available (using startup option "
    '"-blockfilterindex=1").\n',
    args=(
        Arg(
            "requests",
            ARR,
            "Data to be imported",
            oneline="requests",
            inner=(
                Arg(
                    "",
                    OBJ,
                    "",
                    OPTIONAL,
                    inner=(
                        Arg("desc", STR, "Descriptor to import."),
                        Arg(
                            "active",
                            BOOL,
                            "Set this descriptor to be the active descriptor for the corresponding output "
                            "type/externality",
                            False,
                        ),
                        Arg(
                            "range",
                            RANGE,
                            "The end or the range (in the form [begin,end]) to import",
                            OPTIONAL,
                        ),
                        Arg("next_index", NUM, "The next index to generate addresses from", OPTIONAL),
                        Arg(
                            "timestamp",
                            ANY_TEXT,
                            "Time from which to start rescanning the blockchain for this descriptor, in UNIX "
                            "epoch time\n"
                            'Use the string "now" to substitute the current synced blockchain time.',
                            type_words=('timestamp | "now"', "integer / string"),
                        ),
                        Arg(
                            "internal",
                            BOOL,
                            "Whether matching outputs should be treated as not incoming "
                            "payments (e.g. change)",
                            False,
                        ),
                        Arg("label", STR, "Label to assign to the address, only with internal=false.", ""),
                    ),
                ),
            ),
        ),
    ),
    result=Result(
        R.ARR,
        "",
        "Response is an array with the same size as the input that has the execution result",
        (
            Result(
                R.OBJ,
                inner=(
                    Result(R.BOOL, "success"),
                    WARNINGS,
                    Result(
                        R.OBJ,
                        "error",
                        inner=(
                            Result(R.NUM, "code", "JSONRPC error code"),
                            Result(R.STR, "message", "JSONRPC error message"),
                        ),
                        optional=True,
                    ),
                ),
            ),
        ),
    ),
    examples=cli("importdescriptors", '\'[{ "desc": "<my descriptor>", "timestamp":"now" }]\''),
)
async def importdescriptors(ctx: RpcContext, requests: Json) -> Json:
    wallet = await wallet_of(ctx)
    assert wallet.best is not None
    follower = follower_of(ctx, wallet)
    with wallet_errors():
        scan = follower.reserve()
    try:
        now = wallet.best.mtp
        lowest = wallet.best.time
        answers: list[Json] = []
        for request in requests:
            if not isinstance(request, dict):
                raise type_error(f"JSON value of type {json_type(request)} is not of expected type object")
            timestamp = max(_timestamp(request, now), 1)
            answers.append(await _import(wallet, request, timestamp))
            lowest = min(lowest, timestamp)
        wallet.ledger.refresh_outputs()
        if any(answer["success"] for answer in answers):
            with wallet_errors():
                await follower.rescan_from(scan, lowest)
            await follower.resubmit()
            if scan.aborted:
                raise misc_error("Rescan aborted by user.")
    finally:
        follower.release()
    return answers


def _timestamp(request: dict[str, Json], now: int) -> int:
    if "timestamp" not in request:
        raise type_error("Missing required timestamp field for key")
    value = request["timestamp"]
    if value == "now":
        return now
    if json_type(value) != "number":
        raise type_error(f'Expected number or "now" timestamp value for key. got type {json_type(value)}')
    return parse_int(value)


async def _import(wallet: Wallet, request: dict[str, Json], timestamp: int) -> dict[str, Json]:
    warnings: list[str] = []
    answer: dict[str, Json] = {"success": True}
    try:
        if "desc" not in request:
            raise invalid_parameter("Descriptor not found.")
        wanted = ImportRequest(
            parse_str(request["desc"]),
            timestamp,
            active=parse_bool(request["active"]) if "active" in request else False,
            label=parse_label(request["label"]) if "label" in request else None,
            internal=parse_bool(request["internal"]) if "internal" in request else None,
            range=parse_descriptor_range(request["range"]) if "range" in request else None,
            next_index=parse_int(request["next_index"]) if "next_index" in request else None,
        )
        with wallet_errors():
            await import_descriptor(wallet, wanted, warnings)
    except RpcError as error:
        answer = {"success": False, "error": error.as_json()}
    if warnings:
        answer["warnings"] = list(warnings)
    return answer


@method(
    "wallet",
    "List all descriptors present in a wallet.\n",
    args=(Arg("private", BOOL, "Show private descriptors.", False),),
    result=Result(
        R.OBJ,
        inner=(
            Result(R.STR, "wallet_name", "Name of wallet this operation was performed on"),
            Result(
                R.ARR,
                "descriptors",
                "Array of descriptor objects (sorted by descriptor string representation)",
                (
                    Result(
                        R.OBJ,
                        inner=(
                            Result(R.STR, "desc", "Descriptor string representation"),
                            Result(R.NUM, "timestamp", "The creation time of the descriptor"),
                            Result(
                                R.BOOL,
                                "active",
                                "Whether this descriptor is currently used to generate new addresses",
                            ),
                            Result(
                                R.BOOL,
                                "internal",
                                "True if this descriptor is used to generate change addresses. False if this "
                                "descriptor is used to generate receiving addresses; defined only for active "
                                "descriptors",
                                optional=True,
                            ),
                            Result(
                                R.ARR_FIXED,
                                "range",
                                "Defined only for ranged descriptors",
                                (
                                    Result(R.NUM, "", "Range start inclusive"),
                                    Result(R.NUM, "", "Range end inclusive"),
                                ),
                                optional=True,
                            ),
                            Result(R.NUM, "next", "Same as next_index field.", optional=True),
                            Result(
                                R.NUM,
                                "next_index",
                                "The next index to generate addresses from; defined only for "
                                "ranged descriptors",
                                optional=True,
                            ),
                        ),
                    ),
                ),
            ),
        ),
    ),
    examples=cli("listdescriptors") + curl("listdescriptors"),
)
async def listdescriptors(ctx: RpcContext, private: bool) -> Json:
    wallet = await wallet_of(ctx)
    if private and not wallet.private_keys_enabled:
        raise RpcError(RpcCode.WALLET_ERROR, "Can't get private descriptor string for watch-only wallets")
    rows: list[dict[str, Json]] = []
    for entry in wallet.book.descriptors.values():
        descriptor = entry.descriptor
        text = wallet.book.private_text(descriptor) if private else descriptor.normalized()
        row: dict[str, Json] = {"desc": text, "timestamp": entry.created, "active": entry.active}
        if entry.active:
            row["internal"] = bool(entry.internal)
        if entry.is_range:
            row["range"] = [entry.range_start, entry.range_end - 1]
            row["next"] = row["next_index"] = entry.next_index
        rows.append(row)
    return {"wallet_name": wallet.name, "descriptors": sorted(rows, key=lambda row: str(row["desc"]))}


@method(
    "wallet",
    "Rescan the local blockchain for wallet related transactions.\n"
    'Note: Use "getwalletinfo" to query the scanning progress.\n'
    "The rescan is significantly faster if block filters are available\n"
    '(using startup option "-blockfilterindex=1").\n',
    args=(
        Arg("start_height", INT, "block height where the rescan should start", 0),
        Arg(
            "stop_height",
            INT,
            "the last block height that should be scanned. If none is provided it will rescan up to the tip "
            "at return time of this call.",
            OPTIONAL,
        ),
    ),
    result=Result(
        R.OBJ,
        inner=(
            Result(
                R.NUM,
                "start_height",
                "The block height where the rescan started (the requested height or 0)",
            ),
            Result(R.NUM, "stop_height", "The height of the last rescanned block.", check=False),
        ),
    ),
    examples=cli("rescanblockchain", "100000 120000") + curl("rescanblockchain", "100000, 120000"),
)
async def rescanblockchain(ctx: RpcContext, start_height: int, stop_height: int | None) -> Json:
    wallet = await wallet_of(ctx)
    assert wallet.best is not None
    follower = follower_of(ctx, wallet)
    with wallet_errors():
        scan = follower.reserve()
        try:
            if not 0 <= start_height <= wallet.best.height:
                raise invalid_parameter("Invalid start_height")
            if stop_height is not None:
                if not 0 <= stop_height <= wallet.best.height:
                    raise invalid_parameter("Invalid stop_height")
                if stop_height < start_height:
                    raise invalid_parameter("stop_height must be greater than start_height")
            await follower.rescan(scan, start_height, stop_height)
        finally:
            follower.release()
    if scan.aborted:
        raise misc_error("Rescan aborted.")
    return {"start_height": start_height, "stop_height": scan.last_height}


@method(
    "wallet",
    "Stops current wallet rescan triggered by an RPC call, e.g. by a rescanblockchain call.\n"
    'Note: Use "getwalletinfo" to query the scanning progress.\n',
    result=Result(R.BOOL, "", "Whether the abort was successful"),
    examples=cli("abortrescan") + curl("abortrescan"),
)
async def abortrescan(ctx: RpcContext) -> Json:
    scan = follower_of(ctx, await wallet_of(ctx, wait=False)).scan
    if scan is None or scan.aborted:
        return False
    scan.aborted = True
    return True
