"""Category "rawtransactions": transactions for the mempool, sent, tried, or in a package."""

from __future__ import annotations

from pybitcoind.chain.consensus.errors import TxFault, TxInvalid
from pybitcoind.chain.mempool.results import (
    AlreadyInMempool,
    OtherWitness,
    PackageFault,
    PackageResult,
    TxAccept,
    TxResult,
)
from pybitcoind.chain.policy.feerate import fee_for
from pybitcoind.chain.policy.packages import is_child_with_parents
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import Transaction
from pybitcoind.chain.script.script import has_valid_ops, is_unspendable

from ..broadcast import BroadcastError, broadcast_transaction
from .amounts import Amount, Json, amount_from_value, feerate_from_value
from .arguments import AMOUNT_TEXT, ARR, HEX_TEXT, parse_str
from .context import RpcContext
from .documents import CREATE_AND_SIGN
from .errors import RpcCode, RpcError, invalid_parameter
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method
from .tx_hex import tx_from_hex

R = ResultType
MAX_PACKAGE_COUNT = 25

_MAX_FEERATE = Arg(
    "maxfeerate",
    AMOUNT_TEXT,
    "Reject transactions whose fee rate is higher than the specified value, expressed in BTC/kvB.\n"
    "Fee rates larger than 1BTC/kvB are rejected.\nSet to 0 to accept any fee rate.",
    "0.10",
)
_MAX_BURN_AMOUNT = Arg(
    "maxburnamount",
    AMOUNT_TEXT,
    "Reject transactions with provably unspendable outputs (e.g. 'datacarrier' outputs that use the "
    "OP_RETURN opcode) greater than the specified value, expressed in BTC.\n"
    "If burning funds through unspendable outputs is desired, increase this value.\n"
    "This check is based on heuristics and does not guarantee spendability of outputs.\n",
    "0.00",
)


@method(
    "rawtransactions",
    "Submit a raw transaction (serialized, hex-encoded) to the network.\n\n"
    "If -privatebroadcast is disabled, then the transaction will be put into the\n"
    "local mempool of the node and will be sent unconditionally to all currently\n"
    "connected peers, so using sendrawtransaction for manual rebroadcast will degrade\n"
    "privacy by leaking the transaction's origin, as nodes will normally not\n"
    "rebroadcast non-wallet transactions already in their mempool.\n\n"
    "If -privatebroadcast is enabled, then the transaction will be sent only via\n"
    "dedicated, short-lived connections to Tor or I2P peers or IPv4/IPv6 peers\n"
    "via the Tor network. This conceals the transaction's origin. The transaction\n"
    "will only enter the local mempool when it is received back from the network.\n"
    "\nA specific exception, RPC_TRANSACTION_ALREADY_IN_UTXO_SET, may throw if the transaction cannot be "
    "added to the mempool.\n"
    "\nRelated RPCs: createrawtransaction, signrawtransactionwithkey\n",
    args=(
        Arg("hexstring", HEX_TEXT, "The hex string of the raw transaction"),
        _MAX_FEERATE,
        _MAX_BURN_AMOUNT,
    ),
    result=Result(R.STR_HEX, "", "The transaction hash in hex"),
    examples=CREATE_AND_SIGN
    + "\nSend the transaction (signed hex)\n"
    + cli("sendrawtransaction", '"signedhex"')
    + "\nAs a JSON-RPC call\n"
    + curl("sendrawtransaction", '"signedhex"'),
)
async def sendrawtransaction(ctx: RpcContext, hexstring: str, maxfeerate: Json, maxburnamount: Json) -> Json:
    max_burn = amount_from_value(maxburnamount)
    tx = tx_from_hex(hexstring)
    _check_burnt(tx, max_burn)
    max_fee = fee_for(feerate_from_value(maxfeerate), tx.vsize)
    try:
        await broadcast_transaction(ctx.node, tx, max_fee)
    except BroadcastError as error:
        raise RpcError(error.code, str(error)) from None
    return hash_hex(tx.txid)


@method(
    "rawtransactions",
    "Returns result of mempool acceptance tests indicating if raw transaction(s) (serialized, hex-encoded) "
    "would be accepted by mempool.\n"
    "\nIf multiple transactions are passed in, parents must come before children and package policies "
    "apply: the transactions cannot conflict with any mempool transactions or each other.\n"
    "\nIf one transaction fails, other transactions may not be fully validated (the 'allowed' key will be "
    "blank).\n"
    f"\nThe maximum number of transactions allowed is {MAX_PACKAGE_COUNT}.\n"
    "\nThis checks if transactions violate the consensus or policy rules.\n"
    "\nSee sendrawtransaction call.\n",
    args=(
        Arg(
            "rawtxs",
            ARR,
            "An array of hex strings of raw transactions.",
            inner=(Arg("rawtx", HEX_TEXT, "", OPTIONAL),),
        ),
        _MAX_FEERATE,
    ),
    result=Result(
        R.ARR,
        description="The result of the mempool acceptance test for each raw transaction in the input "
        "array.\n"
        "Returns results for each transaction in the same order they were passed in.\n"
        "Transactions that cannot be fully validated due to failures in other transactions will not contain "
        "an 'allowed' result.\n",
        inner=(
            Result(
                R.OBJ,
                inner=(
                    Result(R.STR_HEX, "txid", "The transaction hash in hex"),
                    Result(R.STR_HEX, "wtxid", "The transaction witness hash in hex"),
                    Result(
                        R.STR,
                        "package-error",
                        "Package validation error, if any (only possible if rawtxs had more than "
                        "1 transaction).",
                        optional=True,
                    ),
                    Result(
                        R.BOOL,
                        "allowed",
                        "Whether this tx would be accepted to the mempool and pass "
                        "client-specified maxfeerate. If not present, the tx was not fully "
                        "validated due to a failure in another tx in the list.",
                        optional=True,
                    ),
                    Result(
                        R.NUM,
                        "vsize",
                        "Virtual transaction size as defined in BIP 141. This is different from actual "
                        "serialized size for witness transactions as witness data is discounted (only "
                        "present when 'allowed' is true)",
                        optional=True,
                    ),
                    Result(
                        R.OBJ,
                        "fees",
                        "Transaction fees (only present if 'allowed' is true)",
                        (
                            Result(R.STR_AMOUNT, "base", "transaction fee in BTC"),
                            Result(
                                R.STR_AMOUNT,
                                "effective-feerate",
                                "the effective feerate in BTC per KvB. May differ from the base "
                                "feerate if, for example, there are modified fees from "
                                "prioritisetransaction or a package feerate was used.",
                            ),
                            Result(
                                R.ARR,
                                "effective-includes",
                                "transactions whose fees and vsizes are included in effective-feerate.",
                                (Result(R.STR_HEX, "", "transaction wtxid in hex"),),
                            ),
                        ),
                        optional=True,
                    ),
                    Result(
                        R.STR,
                        "reject-reason",
                        "Rejection reason (only present when 'allowed' is false)",
                        optional=True,
                    ),
                    Result(
                        R.STR,
                        "reject-details",
                        "Rejection details (only present when 'allowed' is false and "
                        "rejection details exist)",
                        optional=True,
                    ),
                ),
            ),
        ),
    ),
    examples=CREATE_AND_SIGN
    + "\nTest acceptance of the transaction (signed hex)\n"
    + cli("testmempoolaccept", "'[\"signedhex\"]'")
    + "\nAs a JSON-RPC call\n"
    + curl("testmempoolaccept", '["signedhex"]'),
    needs_chain=True,
)
async def testmempoolaccept(ctx: RpcContext, rawtxs: Json, maxfeerate: Json) -> Json:
    if not 1 <= len(rawtxs) <= MAX_PACKAGE_COUNT:
        raise invalid_parameter(f"Array must contain between 1 and {MAX_PACKAGE_COUNT} transactions.")
    feerate = feerate_from_value(maxfeerate)
    txs = [_one_of_many(parse_str(value)) for value in rawtxs]
    result = await _test_accept(ctx, txs)
    rows: list[Json] = []
    stopped = False
    for tx in txs:
        row: dict[str, Json] = {"txid": hash_hex(tx.txid), "wtxid": hash_hex(tx.wtxid)}
        rows.append(row)
        if result.fault is PackageFault.POLICY:
            row["package-error"] = str(result)
        found = result.results.get(tx.wtxid)
        if stopped or found is None:
            continue
        if isinstance(found, TxAccept):
            max_fee = fee_for(feerate, found.vsize)
            if max_fee and found.fee > max_fee:
                row["allowed"], row["reject-reason"] = False, "max-fee-exceeded"
                stopped = True
                continue
            row["allowed"], row["vsize"] = True, found.vsize
            row["fees"] = {
                "base": Amount(found.fee),
                "effective-feerate": Amount(found.effective_feerate),
                "effective-includes": [hash_hex(wtxid) for wtxid in found.effective_wtxids],
            }
        elif isinstance(found, TxInvalid):
            row["allowed"] = False
            if found.fault is TxFault.MISSING_INPUTS:
                row["reject-reason"] = "missing-inputs"
            else:
                row["reject-reason"], row["reject-details"] = found.reason, str(found)
    return rows


async def _test_accept(ctx: RpcContext, txs: list[Transaction]) -> PackageResult:
    """One transaction is judged by itself; several by the rules for packages too."""
    if len(txs) > 1:
        return await ctx.chain.test_package(txs)
    result = PackageResult()
    try:
        result.results[txs[0].wtxid] = await ctx.chain.accept_transaction(txs[0], test_only=True)
    except TxInvalid as error:
        result.results[txs[0].wtxid] = error
    return result


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
            "The package must consist of a transaction with (some, all, or none of) its unconfirmed "
            "parents. A single transaction is permitted.\n"
            "None of the parents may depend on each other. Parents that are already in mempool do not need "
            "to be present in the package.\n"
            "The package must be topologically sorted, with the child being the last element in the array "
            "if there are multiple elements.",
            inner=(Arg("rawtx", HEX_TEXT, default=OPTIONAL),),
        ),
        _MAX_FEERATE,
        _MAX_BURN_AMOUNT,
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
    txs: list[Transaction] = []
    for value in package:
        txs.append(_one_of_many(parse_str(value)))
        _check_burnt(txs[-1], max_burn)
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


def _one_of_many(text: str) -> Transaction:
    return tx_from_hex(text, complaint=f"TX decode failed: {text}")


def _check_burnt(tx: Transaction, max_burn: int) -> None:
    for out in tx.vout:
        burns = is_unspendable(out.script_pubkey) or not has_valid_ops(out.script_pubkey)
        if burns and out.value > max_burn:
            raise RpcError(
                RpcCode.TRANSACTION_ERROR,
                "Unspendable output exceeds maximum configured by user (maxburnamount)",
            )


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
