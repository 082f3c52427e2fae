"""Category "wallet": balances, unspent outputs and their locks."""

from __future__ import annotations

from pybitcoind.chain.descriptors import infer_descriptor
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import MAX_MONEY, OutPoint
from pybitcoind.chain.script.address import AddressError, decode_address
from pybitcoind.chain.script.solver import solve
from pybitcoind.wallet.coin_selection import SpendableCoin
from pybitcoind.wallet.spending import CoinFilter, available_coins
from pybitcoind.wallet.wallet import Wallet

from .amounts import Amount, Json, amount_from_value
from .arguments import (
    AMOUNT_TEXT,
    ARR,
    BOOL,
    INT,
    NUM,
    OBJ,
    OBJ_NAMED_PARAMS,
    STR,
    check_object,
    expect_type,
    parse_hash,
    parse_int,
    parse_str,
)
from .context import RpcContext
from .errors import RpcCode, RpcError, invalid_parameter
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method
from .wallet_common import LAST_PROCESSED, last_processed, parent_descriptors, wallet_of

R = ResultType


@method(
    "wallet",
    "Returns the total available balance.\n"
    "The available balance is what the wallet considers currently spendable, and is\n"
    "thus affected by options which limit spendability such as -spendzeroconfchange.\n",
    args=(
        Arg(
            "dummy",
            STR,
            'Remains for backward compatibility. Must be excluded or set to "*".',
            OPTIONAL,
        ),
        Arg("minconf", INT, "Only include transactions confirmed at least this many times.", 0),
        Arg("include_watchonly", BOOL, "No longer used", False),
        Arg("avoid_reuse", BOOL, "(only available if avoid_reuse wallet flag is set)", hint="true"),
    ),
    result=Result(R.STR_AMOUNT, "amount", "The total amount in BTC received for this wallet."),
    examples=cli("getbalance") + cli("getbalance", '"*" 6') + curl("getbalance", '"*", 6'),
)
async def getbalance(
    ctx: RpcContext, dummy: str | None, minconf: int, include_watchonly: bool, avoid_reuse: bool | None
) -> Json:
    wallet = await wallet_of(ctx)
    if dummy is not None and dummy != "*":
        raise RpcError(RpcCode.METHOD_DEPRECATED, 'dummy first argument must be excluded or set to "*".')
    check_avoid_reuse(avoid_reuse)
    return Amount(wallet.balance(min_depth=minconf).trusted)


def check_avoid_reuse(value: bool | None) -> None:
    if value:
        raise RpcError(RpcCode.WALLET_ERROR, 'wallet does not have the "avoid reuse" feature enabled')


@method(
    "wallet",
    "Returns an object with all balances in BTC.\n",
    result=Result(
        R.OBJ,
        inner=(
            Result(
                R.OBJ,
                "mine",
                "balances from outputs that the wallet can sign",
                (
                    Result(
                        R.STR_AMOUNT,
                        "trusted",
                        "trusted balance (outputs created by the wallet or confirmed outputs)",
                    ),
                    Result(
                        R.STR_AMOUNT,
                        "untrusted_pending",
                        "untrusted pending balance (outputs created by others that are in the mempool)",
                    ),
                    Result(R.STR_AMOUNT, "immature", "balance from immature coinbase outputs"),
                    Result(
                        R.STR_AMOUNT,
                        "nonmempool",
                        "sum of coins that are spent by transactions not in the mempool (usually an "
                        "over-estimate due to not accounting for change or spends that conflict with each "
                        "other)",
                    ),
                ),
            ),
            LAST_PROCESSED,
        ),
    ),
    examples=cli("getbalances") + curl("getbalances"),
)
async def getbalances(ctx: RpcContext) -> Json:
    wallet = await wallet_of(ctx)
    balance = wallet.balance(include_nonmempool=True)
    return {
        "mine": {
            "trusted": Amount(balance.trusted),
            "untrusted_pending": Amount(balance.pending),
            "immature": Amount(balance.immature),
            "nonmempool": Amount(balance.nonmempool),
        },
        "lastprocessedblock": last_processed(wallet),
    }


@method(
    "wallet",
    "Returns array of unspent transaction outputs\n"
    "with between minconf and maxconf (inclusive) confirmations.\n"
    "Optionally filter to only include txouts paid to specified addresses.\n",
    args=(
        Arg("minconf", INT, "The minimum confirmations to filter", 1),
        Arg("maxconf", INT, "The maximum confirmations to filter", 9999999),
        Arg(
            "addresses",
            ARR,
            "The bitcoin addresses to filter",
            hint="[]",
            inner=(Arg("address", STR, "bitcoin address", OPTIONAL),),
        ),
        Arg(
            "include_unsafe",
            BOOL,
            'Include outputs that are not safe to spend\nSee description of "safe" attribute below.',
            True,
        ),
        Arg(
            "query_options",
            OBJ_NAMED_PARAMS,
            "",
            OPTIONAL,
            oneline="query_options",
            inner=(
                Arg("minimumAmount", AMOUNT_TEXT, "Minimum value of each UTXO in BTC", hint="0.00"),
                Arg("maximumAmount", AMOUNT_TEXT, "Maximum value of each UTXO in BTC", hint="unlimited"),
                Arg("maximumCount", NUM, "Maximum number of UTXOs", hint="unlimited"),
                Arg(
                    "minimumSumAmount", AMOUNT_TEXT, "Minimum sum value of all UTXOs in BTC", hint="unlimited"
                ),
                Arg("include_immature_coinbase", BOOL, "Include immature coinbase UTXOs", False),
            ),
        ),
    ),
    result=Result(
        R.ARR,
        inner=(
            Result(
                R.OBJ,
                inner=(
                    Result(R.STR_HEX, "txid", "the transaction id"),
                    Result(R.NUM, "vout", "the vout value"),
                    Result(R.STR, "address", "the bitcoin address", optional=True),
                    Result(R.STR, "label", "The associated label", optional=True),
                    Result(R.STR, "scriptPubKey", "the output script"),
                    Result(R.STR_AMOUNT, "amount", "the transaction output amount in BTC"),
                    Result(R.NUM, "confirmations", "The number of confirmations"),
                    Result(
                        R.NUM,
                        "ancestorcount",
                        "The number of in-mempool ancestor transactions, including this one",
                        optional=True,
                    ),
                    Result(
                        R.NUM,
                        "ancestorsize",
                        "The virtual transaction size of in-mempool ancestors, including this one",
                        optional=True,
                    ),
                    Result(
                        R.STR_AMOUNT,
                        "ancestorfees",
                        "The total fees of in-mempool ancestors (including this one) in satoshis",
                        optional=True,
                    ),
                    Result(R.STR_HEX, "redeemScript", "The redeem script if P2SH", optional=True),
                    Result(R.STR, "witnessScript", "witness script if P2WSH or P2SH-P2WSH", optional=True),
                    Result(R.BOOL, "spendable", "(DEPRECATED) Always true"),
                    Result(
                        R.BOOL,
                        "solvable",
                        "Whether we know how to spend this output, ignoring the lack of keys",
                    ),
                    Result(
                        R.STR,
                        "desc",
                        "(only when solvable) A descriptor for spending this output",
                        optional=True,
                    ),
                    Result(
                        R.ARR,
                        "parent_descs",
                        "List of parent descriptors for the output script of this coin.",
                        (Result(R.STR, "desc", "The descriptor string."),),
                    ),
                    Result(
                        R.BOOL,
                        "safe",
                        "Whether this output is considered safe to spend. Unconfirmed transactions\n"
                        "from outside keys and unconfirmed replacement transactions are considered unsafe\n"
                        "and are not eligible for spending by fundrawtransaction and sendtoaddress.",
                    ),
                ),
            ),
        ),
    ),
    examples=cli("listunspent") + cli("listunspent", '6 9999999 "[]"') + curl("listunspent", "6, 9999999"),
)
async def listunspent(
    ctx: RpcContext,
    minconf: int,
    maxconf: int,
    addresses: Json,
    include_unsafe: bool,
    query_options: Json,
) -> Json:
    wanted: set[bytes] = set()
    for value in addresses or []:
        text = parse_str(value)
        try:
            script = decode_address(text, ctx.params).script_pubkey
        except AddressError:
            raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, f"Invalid Bitcoin address: {text}") from None
        if script in wanted:
            raise invalid_parameter(f"Invalid parameter, duplicated address: {text}")
        wanted.add(script)
    options = query_options or {}
    kinds = {
        "minimumAmount": None,
        "maximumAmount": None,
        "minimumSumAmount": None,
        "maximumCount": "number",
        "include_immature_coinbase": "bool",
    }
    check_object(options, kinds, allow_null=True, strict=True)

    def amount(name: str, default: int) -> int:
        return amount_from_value(options[name]) if name in options else default

    wallet = await wallet_of(ctx)
    coins = available_coins(
        wallet,
        CoinFilter(
            min_depth=minconf,
            max_depth=maxconf,
            only_safe=not include_unsafe,
            include_immature=options.get("include_immature_coinbase") is True,
            min_amount=amount("minimumAmount", 0),
            max_amount=amount("maximumAmount", MAX_MONEY),
            min_sum=amount("minimumSumAmount", MAX_MONEY),
            max_count=parse_int(options["maximumCount"]) if "maximumCount" in options else 0,
            any_version=True,
        ),
    )
    return [_unspent(wallet, coin) for coin in coins if not wanted or coin.txout.script_pubkey in wanted]


def _unspent(wallet: Wallet, coin: SpendableCoin) -> Json:
    script = coin.txout.script_pubkey
    ring = wallet.keyring([script])
    out: dict[str, Json] = {"txid": hash_hex(coin.outpoint.txid), "vout": coin.outpoint.vout}
    address = wallet.address_of(script)
    if address is not None:
        out["address"] = address
        label = wallet.label_of(script)
        if label is not None:
            out["label"] = label
    kind, solutions = solve(script)
    redeem = ring.redeem_script(solutions[0]) if kind == "scripthash" else None
    if redeem is not None:
        out["redeemScript"] = redeem.hex()
        kind, solutions = solve(redeem)
    if kind == "witness_v0_scripthash":
        witness = ring.witness_script(solutions[0])
        if witness is not None:
            out["witnessScript"] = witness.hex()
    out["scriptPubKey"] = script.hex()
    out["amount"] = Amount(coin.value)
    out["confirmations"] = coin.depth
    if coin.depth == 0:
        family = wallet.client.mempool_family(coin.outpoint.txid)
        if family is not None:
            out["ancestorcount"] = family.ancestors
            out["ancestorsize"] = family.ancestor_vsize
            out["ancestorfees"] = family.ancestor_fees
    out["spendable"] = True
    out["solvable"] = coin.solvable
    if coin.solvable:
        out["desc"] = str(infer_descriptor(script, wallet.params, ring))
    out["parent_descs"] = parent_descriptors(wallet, script)
    out["safe"] = coin.safe
    return out


# Locks


@method(
    "wallet",
    "Updates list of temporarily unspendable outputs.\n"
    "Temporarily lock (unlock=false) or unlock (unlock=true) specified transaction outputs.\n"
    "If no transaction outputs are specified when unlocking then all current locked transaction outputs are "
    "unlocked.\n"
    "A locked transaction output will not be chosen by automatic coin selection, when spending bitcoins.\n"
    "Manually selected coins are automatically unlocked.\n"
    "Locks are stored in memory only, unless persistent=true, in which case they will be written to the\n"
    "wallet database and loaded on node start.\n"
    "Also see the listunspent call\n",
    args=(
        Arg("unlock", BOOL, "Whether to unlock (true) or lock (false) the specified transactions"),
        Arg(
            "transactions",
            ARR,
            "The transaction outputs and within each, the txid (string) vout (numeric).",
            hint="[]",
            inner=(
                Arg(
                    "",
                    OBJ,
                    "",
                    OPTIONAL,
                    inner=(
                        Arg("txid", STR, "The transaction id"),
                        Arg("vout", NUM, "The output number"),
                    ),
                ),
            ),
        ),
        Arg("persistent", BOOL, "Whether to write/erase this lock in the wallet database", False),
    ),
    result=Result(R.BOOL, "", "Whether the command was successful or not"),
    examples=cli("lockunspent", "false") + curl("lockunspent", "false"),
)
async def lockunspent(ctx: RpcContext, unlock: bool, transactions: Json, persistent: bool) -> Json:
    wallet = await wallet_of(ctx)
    if transactions is None:
        if unlock:
            await wallet.unlock_coins(list(wallet.locked))
        return True
    outpoints = [_lockable(wallet, value, unlock, persistent) for value in transactions]
    if unlock:
        await wallet.unlock_coins(outpoints)
    else:
        await wallet.lock_coins(outpoints, persistent=persistent)
    return True


def _lockable(wallet: Wallet, value: Json, unlock: bool, persistent: bool) -> OutPoint:
    expect_type(value, "object")
    check_object(value, {"txid": "string", "vout": "number"})
    txid, vout = parse_hash(value["txid"], "txid"), parse_int(value["vout"], -(2**31), 2**31 - 1)
    if vout < 0:
        raise invalid_parameter("Invalid parameter, vout cannot be negative")
    outpoint = OutPoint(txid, vout)
    wtx = wallet.ledger.txs.get(txid)
    if wtx is None:
        raise invalid_parameter("Invalid parameter, unknown transaction")
    if vout >= len(wtx.tx.vout):
        raise invalid_parameter("Invalid parameter, vout index out of bounds")
    if wallet.ledger.is_spent(outpoint):
        raise invalid_parameter("Invalid parameter, expected unspent output")
    if unlock and outpoint not in wallet.locked:
        raise invalid_parameter("Invalid parameter, expected locked output")
    if not unlock and outpoint in wallet.locked and not persistent:
        raise invalid_parameter("Invalid parameter, output already locked")
    return outpoint


@method(
    "wallet",
    "Returns list of temporarily unspendable outputs.\n"
    "See the lockunspent call to lock and unlock transactions for spending.\n",
    result=Result(
        R.ARR,
        inner=(
            Result(
                R.OBJ,
                inner=(
                    Result(R.STR_HEX, "txid", "The transaction id locked"),
                    Result(R.NUM, "vout", "The vout value"),
                ),
            ),
        ),
    ),
    examples=cli("listlockunspent") + curl("listlockunspent"),
)
async def listlockunspent(ctx: RpcContext) -> Json:
    wallet = await wallet_of(ctx)
    return [{"txid": hash_hex(point.txid), "vout": point.vout} for point in sorted(wallet.locked)]
