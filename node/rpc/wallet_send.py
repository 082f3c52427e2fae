"""Category "wallet": paying, signing, and giving up on a payment."""

from __future__ import annotations

from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.wallet.signing import sign_transaction
from pybitcoind.wallet.spending import Created, Recipient, SpendOptions, send
from pybitcoind.wallet.wallet import Wallet

from .amounts import Json, amount_from_value
from .arguments import (
    AMOUNT_TEXT,
    ARR,
    BOOL,
    HASH,
    INT,
    OBJ_USER_KEYS,
    STR,
    json_type,
    parse_int,
)
from .context import RpcContext
from .errors import RpcCode, RpcError, invalid_parameter
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method
from .tx_hex import tx_from_hex
from .tx_making import parse_outputs
from .tx_signing import SIGHASH_TYPES, find_spent, parse_prevtxs, parse_sighash, signed_json
from .wallet_coins import check_avoid_reuse
from .wallet_common import wallet_errors, wallet_of

R = ResultType
_UNLOCKED = "\nRequires wallet passphrase to be set with walletpassphrase call if wallet is encrypted.\n"
_MODES = ("unset", "economical", "conservative")
_ADDRESS = '"bc1q09vm5lfy0j5reeulh4x5752q25uqqvz34hufdl"'

_REPLACEABLE = Arg(
    "replaceable",
    BOOL,
    "Signal that this transaction can be replaced by a transaction (BIP 125)",
    hint="wallet default",
)
_CONF_TARGET = Arg("conf_target", INT, "Confirmation target in blocks", hint="wallet -txconfirmtarget")
_ESTIMATE_MODE = Arg(
    "estimate_mode",
    STR,
    "The fee estimate mode, must be one of (case insensitive): unset, economical, conservative",
    "unset",
)
_FEE_RATE = Arg(
    "fee_rate",
    AMOUNT_TEXT,
    "Specify a fee rate in sat/vB.",
    hint="not set, fall back to wallet fee estimation",
)
_VERBOSE = Arg("verbose", BOOL, "If true, return extra information about the transaction.", False)
_SENT = (
    Result(R.STR_HEX, "txid", "The transaction id.", condition="if verbose is not set or set to false"),
    Result(
        R.OBJ,
        inner=(
            Result(R.STR_HEX, "txid", "The transaction id."),
            Result(R.STR, "fee_reason", "The transaction fee reason."),
        ),
        condition="if verbose is set to true",
    ),
)


def spend_options(
    wallet: Wallet,
    replaceable: bool | None,
    conf_target: int | None,
    estimate_mode: str | None,
    fee_rate: Json,
) -> SpendOptions:
    """Core's SetFeeEstimateMode. fee_rate: in satoshis per vbyte."""
    if fee_rate is not None:
        if conf_target is not None:
            raise invalid_parameter(
                "Cannot specify both conf_target and fee_rate. Please provide either a confirmation target "
                "in blocks for automatic fee estimation, or an explicit fee rate."
            )
        if estimate_mode is not None and estimate_mode != "unset":
            raise invalid_parameter("Cannot specify both estimate_mode and fee_rate")
        feerate = amount_from_value(fee_rate, 3)
        return SpendOptions(feerate=feerate, replaceable=True if replaceable is None else replaceable)
    mode = (estimate_mode or "unset").lower()
    if mode not in _MODES:
        raise invalid_parameter(
            'Invalid estimate_mode parameter, must be one of: "unset", "economical", "conservative"'
        )
    highest = wallet.client.max_fee_target
    if conf_target is not None and not 1 <= conf_target <= highest:
        raise invalid_parameter(f"Invalid conf_target, must be between 1 and {highest}")
    conservative = None if mode == "unset" else mode == "conservative"
    return SpendOptions(target=conf_target, conservative=conservative, replaceable=replaceable)


def _comments(comment: str | None, to: str | None = None) -> dict[str, str]:
    extra = {}
    if comment:
        extra["comment"] = comment
    if to:
        extra["to"] = to
    return extra


async def _send(
    wallet: Wallet,
    recipients: list[Recipient],
    options: SpendOptions,
    extra: dict[str, str],
    verbose: bool,
) -> Json:
    with wallet_errors():
        created: Created = await send(wallet, recipients, options, extra)
    txid = hash_hex(created.tx.txid)
    return {"txid": txid, "fee_reason": created.reason} if verbose else txid


@method(
    "wallet",
    "Send an amount to a given address." + _UNLOCKED,
    args=(
        Arg("address", STR, "The bitcoin address to send to."),
        Arg("amount", AMOUNT_TEXT, "The amount in BTC to send. eg 0.1"),
        Arg(
            "comment",
            STR,
            "A comment used to store what the transaction is for.\n"
            "This is not part of the transaction, just kept in your wallet.",
            OPTIONAL,
        ),
        Arg(
            "comment_to",
            STR,
            "A comment to store the name of the person or organization\n"
            "to which you're sending the transaction. This is not part of the \n"
            "transaction, just kept in your wallet.",
            OPTIONAL,
        ),
        Arg(
            "subtractfeefromamount",
            BOOL,
            "The fee will be deducted from the amount being sent.\n"
            "The recipient will receive less bitcoins than you enter in the amount field.",
            False,
        ),
        _REPLACEABLE,
        _CONF_TARGET,
        _ESTIMATE_MODE,
        Arg("avoid_reuse", BOOL, "(only available if avoid_reuse wallet flag is set)", hint="true"),
        _FEE_RATE,
        _VERBOSE,
    ),
    result=_SENT,
    examples=cli("sendtoaddress", f"{_ADDRESS} 0.1") + curl("sendtoaddress", f"{_ADDRESS}, 0.1"),
)
async def sendtoaddress(
    ctx: RpcContext,
    address: str,
    amount: Json,
    comment: str | None,
    comment_to: str | None,
    subtractfeefromamount: bool,
    replaceable: bool | None,
    conf_target: int | None,
    estimate_mode: str | None,
    avoid_reuse: bool | None,
    fee_rate: Json,
    verbose: bool,
) -> Json:
    wallet = await wallet_of(ctx)
    check_avoid_reuse(avoid_reuse)
    options = spend_options(wallet, replaceable, conf_target, estimate_mode, fee_rate)
    (out,) = parse_outputs(ctx, {address: amount})
    recipients = [Recipient(out.script_pubkey, out.value, subtractfeefromamount)]
    return await _send(wallet, recipients, options, _comments(comment, comment_to), verbose)


@method(
    "wallet",
    "Send multiple times. Amounts are double-precision floating point numbers." + _UNLOCKED,
    args=(
        Arg("dummy", STR, 'Must be set to "" for backwards compatibility.', "", oneline='""'),
        Arg(
            "amounts",
            OBJ_USER_KEYS,
            "The addresses and amounts",
            inner=(
                Arg(
                    "address",
                    AMOUNT_TEXT,
                    "The bitcoin address is the key, the numeric amount (can be string) in BTC is the value",
                ),
            ),
        ),
        Arg("minconf", INT, "Ignored dummy value", OPTIONAL),
        Arg("comment", STR, "A comment", OPTIONAL),
        Arg(
            "subtractfeefrom",
            ARR,
            "The addresses.\n"
            "The fee will be equally deducted from the amount of each selected address.\n"
            "Those recipients will receive less bitcoins than you enter in their corresponding "
            "amount field.\n"
            "If no addresses are specified here, the sender pays the fee.",
            OPTIONAL,
            inner=(Arg("address", STR, "Subtract fee from this address", OPTIONAL),),
        ),
        _REPLACEABLE,
        _CONF_TARGET,
        _ESTIMATE_MODE,
        _FEE_RATE,
        _VERBOSE,
    ),
    result=_SENT,
    examples=cli("sendmany", f'"" "{{\\"{_ADDRESS}\\":0.01}}"'),
)
async def sendmany(
    ctx: RpcContext,
    dummy: str,
    amounts: Json,
    minconf: int | None,
    comment: str | None,
    subtractfeefrom: Json,
    replaceable: bool | None,
    conf_target: int | None,
    estimate_mode: str | None,
    fee_rate: Json,
    verbose: bool,
) -> Json:
    wallet = await wallet_of(ctx)
    if dummy:
        raise invalid_parameter('Dummy value must be set to ""')
    options = spend_options(wallet, replaceable, conf_target, estimate_mode, fee_rate)
    outputs = parse_outputs(ctx, amounts)
    paying = fee_payers(subtractfeefrom, list(amounts))
    recipients = [Recipient(out.script_pubkey, out.value, i in paying) for i, out in enumerate(outputs)]
    if not recipients:
        raise invalid_parameter("Transaction must have at least one recipient")
    return await _send(wallet, recipients, options, _comments(comment), verbose)


def fee_payers(values: Json, destinations: list[str]) -> set[int]:
    """The outputs that the fee is taken from, by address or by number."""
    start = "Invalid parameter 'subtract fee from output', "
    chosen: set[int] = set()
    for value in values or []:
        if isinstance(value, str):
            if value not in destinations:
                raise invalid_parameter(f"{start}destination {value} not found in tx outputs")
            position = destinations.index(value)
        elif json_type(value) == "number":
            position = parse_int(value, -(2**31), 2**31 - 1)
        else:
            raise invalid_parameter(f"{start}invalid value type: {json_type(value)}")
        if position in chosen:
            raise invalid_parameter(f"{start}duplicated position: {position}")
        if position < 0:
            raise invalid_parameter(f"{start}negative position: {position}")
        if position >= len(destinations):
            raise invalid_parameter(f"{start}position too large: {position}")
        chosen.add(position)
    return chosen


@method(
    "wallet",
    "Sign inputs for raw transaction (serialized, hex-encoded).\n"
    "The second optional argument (may be null) is an array of previous transaction outputs that\n"
    "this transaction depends on but may not yet be in the block chain." + _UNLOCKED,
    args=(
        Arg("hexstring", STR, "The transaction hex string"),
        Arg(
            "prevtxs",
            ARR,
            "The previous dependent transaction outputs: objects of txid, vout, scriptPubKey, and where they "
            "are needed redeemScript, witnessScript and amount",
            OPTIONAL,
        ),
        Arg(
            "sighashtype",
            STR,
            "The signature hash type. Must be one of\n"
            + "".join(f'       "{name}"\n' for name in SIGHASH_TYPES),
            hint="DEFAULT for Taproot, ALL otherwise",
        ),
    ),
    result=Result(
        R.OBJ,
        inner=(
            Result(R.STR_HEX, "hex", "The hex-encoded raw transaction with signature(s)"),
            Result(R.BOOL, "complete", "If the transaction has a complete set of signatures"),
            Result(
                R.ARR,
                "errors",
                "Script verification errors (if there are any)",
                (Result(R.OBJ, inner=(Result(R.ELISION),)),),
                optional=True,
            ),
        ),
    ),
    examples=cli("signrawtransactionwithwallet", '"myhex"') + curl("signrawtransactionwithwallet", '"myhex"'),
)
async def signrawtransactionwithwallet(
    ctx: RpcContext, hexstring: str, prevtxs: Json, sighashtype: str | None
) -> Json:
    wallet = await wallet_of(ctx)
    tx = tx_from_hex(hexstring)
    if wallet.client.has_blocks:
        spent = await find_spent(ctx, tx)
    else:
        spent = wallet.outputs_spent_by(tx)
    ring = wallet.keyring((), secrets=True)
    parse_prevtxs(prevtxs, ring, spent)
    ring.merge(wallet.keyring((out.script_pubkey for out in spent.values()), secrets=True))
    return signed_json(*sign_transaction(tx, spent, ring, parse_sighash(sighashtype)))


@method(
    "wallet",
    "Mark in-wallet transaction <txid> as abandoned\n"
    "This will mark this transaction and all its in-wallet descendants as abandoned which will allow\n"
    'for their inputs to be respent.  It can be used to replace "stuck" or evicted transactions.\n'
    "It only works on transactions which are not included in a block and are not currently in the mempool.\n"
    "It has no effect on transactions which are already abandoned.\n",
    args=(Arg("txid", HASH, "The transaction id"),),
    result=Result(R.NONE),
    examples=cli("abandontransaction", '"1075db55d416d3ca199f55b6084e2115b9345e16c5cf302fc80e9d5fbf5d48d"'),
)
async def abandontransaction(ctx: RpcContext, txid: bytes) -> Json:
    wallet = await wallet_of(ctx)
    wtx = wallet.ledger.txs.get(txid)
    if wtx is None:
        raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, "Invalid or non-wallet transaction id")
    with wallet_errors():
        await wallet.abandon(wtx)
    return None
