"""Category "wallet": what was sent and received."""

from __future__ import annotations

from collections.abc import Sequence

from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.wallet.history import HistoryEntry, entries
from pybitcoind.wallet.ledger import Confirmed, WalletTx
from pybitcoind.wallet.wallet import Wallet

from .amounts import Amount, Json
from .arguments import BOOL, HASH, INT, STR, parse_hash
from .context import RpcContext
from .errors import RpcCode, RpcError, invalid_parameter
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method
from .render import tx_json
from .wallet_common import LAST_PROCESSED, last_processed, parent_descriptors, parse_label, wallet_of

R = ResultType
MAX_BIP125_SEQUENCE = 0xFFFFFFFD
_TXID = '"1075db55d416d3ca199f55b6084e2115b9345e16c5cf302fc80e9d5fbf5d48d"'

_PARENT_DESCS = Result(
    R.ARR,
    "parent_descs",
    "Only if 'category' is 'received'. List of parent descriptors for the output script of this coin.",
    (Result(R.STR, "desc", "The descriptor string."),),
    optional=True,
)
_TX = (
    Result(
        R.NUM,
        "confirmations",
        "The number of confirmations for the transaction. Negative confirmations means the\n"
        "transaction conflicted that many blocks ago.",
    ),
    Result(
        R.BOOL, "generated", "Only present if the transaction's only input is a coinbase one.", optional=True
    ),
    Result(
        R.BOOL,
        "trusted",
        "Whether we consider the transaction to be trusted and safe to spend from.\n"
        "Only present when the transaction has 0 confirmations (or negative confirmations, if conflicted).",
        optional=True,
    ),
    Result(
        R.BOOL,
        "unvalidated",
        "Only present, and true, on an SPV node for an unconfirmed transaction of others: nobody has\n"
        "checked that it may spend what it spends.",
        optional=True,
    ),
    Result(R.STR_HEX, "blockhash", "The block hash containing the transaction.", optional=True),
    Result(R.NUM, "blockheight", "The block height containing the transaction.", optional=True),
    Result(R.NUM, "blockindex", "The index of the transaction in the block that includes it.", optional=True),
    Result(R.NUM_TIME, "blocktime", "The block time expressed in UNIX epoch time.", optional=True),
    Result(R.STR_HEX, "txid", "The transaction id."),
    Result(R.STR_HEX, "wtxid", "The hash of serialized transaction, including witness data."),
    Result(
        R.ARR,
        "walletconflicts",
        "Confirmed transactions that have been detected by the wallet to conflict with this transaction.",
        (Result(R.STR_HEX, "txid", "The transaction id."),),
    ),
    Result(R.STR_HEX, "replaced_by_txid", "The txid if this tx was replaced.", optional=True),
    Result(R.STR_HEX, "replaces_txid", "The txid if this tx replaces another.", optional=True),
    Result(
        R.ARR,
        "mempoolconflicts",
        "Transactions in the mempool that directly conflict with either this transaction or an ancestor "
        "transaction",
        (Result(R.STR_HEX, "txid", "The transaction id."),),
    ),
    Result(R.STR, "to", "If a comment to is associated with the transaction.", optional=True),
    Result(R.NUM_TIME, "time", "The transaction time expressed in UNIX epoch time."),
    Result(R.NUM_TIME, "timereceived", "The time received expressed in UNIX epoch time."),
    Result(
        R.STR,
        "comment",
        "If a comment is associated with the transaction, only present if not empty.",
        optional=True,
    ),
    Result(
        R.STR,
        "bip125-replaceable",
        '("yes|no|unknown") Whether this transaction signals BIP125 replaceability or has an unconfirmed '
        "ancestor signaling BIP125 replaceability.\n"
        "May be unknown for unconfirmed transactions not in the mempool because their unconfirmed ancestors "
        "are unknown.",
    ),
    _PARENT_DESCS,
)
_ENTRY = (
    Result(
        R.STR,
        "address",
        "The bitcoin address of the transaction (not returned if the output does not have an address, e.g. "
        "OP_RETURN null data).",
        optional=True,
    ),
    Result(
        R.STR,
        "category",
        "The transaction category.\n"
        '"send"                  Transactions sent.\n'
        '"receive"               Non-coinbase transactions received.\n'
        '"generate"              Coinbase transactions received with more than 100 confirmations.\n'
        '"immature"              Coinbase transactions received with 100 or fewer confirmations.\n'
        '"orphan"                Orphaned coinbase transactions received.',
    ),
    Result(
        R.STR_AMOUNT,
        "amount",
        "The amount in BTC. This is negative for the 'send' category, and is positive\nfor all "
        "other categories",
    ),
    Result(R.STR, "label", "A comment for the address/transaction, if any", optional=True),
    Result(R.NUM, "vout", "the vout value"),
    Result(
        R.STR_AMOUNT,
        "fee",
        "The amount of the fee in BTC. This is negative and only available for the\n"
        "'send' category of transactions.",
        optional=True,
    ),
)
_ABANDONED = Result(
    R.BOOL, "abandoned", "'true' if the transaction has been abandoned (inputs are respendable)."
)
_LISTED = Result(R.OBJ, inner=(*_ENTRY, *_TX, _ABANDONED))


def _tx_fields(wallet: Wallet, wtx: WalletTx) -> dict[str, Json]:
    """Core's WalletTxToJSON."""
    depth = wallet.ledger.depth(wtx)
    out: dict[str, Json] = {"confirmations": depth}
    if wtx.tx.is_coinbase:
        out["generated"] = True
    if isinstance(wtx.state, Confirmed):
        out["blockhash"] = hash_hex(wtx.state.block_hash)
        out["blockheight"] = wtx.state.height
        out["blockindex"] = wtx.state.index
        out["blocktime"] = wtx.state.time
    else:
        out["trusted"] = wallet.trust()(wtx)
        if not wallet.client.has_blocks and not wallet.ledger.from_me(wtx.tx):
            out["unvalidated"] = True
    out["txid"] = hash_hex(wtx.txid)
    out["wtxid"] = hash_hex(wtx.tx.wtxid)
    out["walletconflicts"] = sorted(hash_hex(txid) for txid in wallet.ledger.rivals(wtx.tx))
    out["mempoolconflicts"] = sorted(hash_hex(txid) for txid in wtx.mempool_conflicts)
    out["time"] = wtx.smart_time
    out["timereceived"] = wtx.received
    out["bip125-replaceable"] = _replaceable(wallet, wtx) if depth <= 0 else "no"
    return out | dict(sorted(wtx.extra.items()))


def _replaceable(wallet: Wallet, wtx: WalletTx) -> str:
    """Core's isRBFOptIn: by its own inputs, or by those of an ancestor in the mempool."""
    if _signals(wtx):
        return "yes"
    if not wtx.in_mempool:
        return "unknown"
    todo, seen = [wtx], {wtx.txid}
    while todo:
        for txin in todo.pop().tx.vin:
            parent = wallet.ledger.txs.get(txin.prevout.txid)
            if parent is not None and parent.in_mempool and parent.txid not in seen:
                if _signals(parent):
                    return "yes"
                seen.add(parent.txid)
                todo.append(parent)
    return "no"


def _signals(wtx: WalletTx) -> bool:
    return any(txin.sequence <= MAX_BIP125_SEQUENCE for txin in wtx.tx.vin)


def _entry_fields(wallet: Wallet, entry: HistoryEntry, details: dict[str, Json] | None) -> Json:
    """details: what _tx_fields gives, to be put into a list of its own right; None to leave it out."""
    out: dict[str, Json] = {}
    if entry.address is not None:
        out["address"] = entry.address
    sent = entry.category == "send"
    if not sent:
        script = entry.wtx.tx.vout[entry.vout].script_pubkey
        out["parent_descs"] = parent_descriptors(wallet, script)
    out["category"] = entry.category
    out["amount"] = Amount(entry.amount)
    if entry.label is not None:
        out["label"] = entry.label
    out["vout"] = entry.vout
    if sent:
        out["fee"] = Amount(entry.fee or 0)
        out |= details or {}
        out["abandoned"] = entry.wtx.abandoned
    else:
        out["abandoned"] = entry.wtx.abandoned
        out |= details or {}
    return out


def _listed(
    wallet: Wallet,
    wtx: WalletTx,
    *,
    label: str | None,
    min_depth: int = 0,
    include_change: bool = False,
) -> list[Json]:
    found = entries(wallet, wtx, min_depth=min_depth, label=label, include_change=include_change)
    if not found:
        return []
    details = _tx_fields(wallet, wtx)
    return [_entry_fields(wallet, entry, details) for entry in found]


@method(
    "wallet",
    "If a label name is provided, this will return only incoming transactions paying to addresses with the "
    "specified label.\n"
    "Returns up to 'count' most recent transactions ordered from oldest to newest while skipping the first "
    "number of \n"
    "transactions specified in the 'skip' argument. A transaction can have multiple entries in this RPC "
    "response. \n",
    args=(
        Arg(
            "label",
            STR,
            "If set, should be a valid label name to return only incoming transactions\n"
            'with the specified label, or "*" to disable filtering and return all transactions.',
            OPTIONAL,
        ),
        Arg("count", INT, "The number of transactions to return", 10),
        Arg("skip", INT, "The number of transactions to skip", 0),
        Arg("include_watchonly", BOOL, "(DEPRECATED) No longer used", False),
    ),
    result=Result(R.ARR, inner=(_LISTED,)),
    examples=cli("listtransactions") + cli("listtransactions", '"*" 20 100'),
)
async def listtransactions(
    ctx: RpcContext, label: str | None, count: int, skip: int, include_watchonly: bool
) -> Json:
    wallet = await wallet_of(ctx)
    wanted = None
    if label is not None and label != "*":
        wanted = parse_label(label)
        if not wanted:
            raise invalid_parameter('Label argument must be a valid label name or "*".')
    if count < 0:
        raise invalid_parameter("Negative count")
    if skip < 0:
        raise invalid_parameter("Negative from")
    newest_first: list[Json] = []
    for wtx in reversed(wallet.ledger.txs.values()):
        newest_first += _listed(wallet, wtx, label=wanted)
        if len(newest_first) >= count + skip:
            break
    return newest_first[skip : skip + count][::-1]


@method(
    "wallet",
    "Get all transactions in blocks since block [blockhash], or all transactions if omitted.\n"
    'If "blockhash" is no longer a part of the main chain, transactions from the fork point onward are '
    "included.\n"
    "Additionally, if include_removed is set, transactions affecting the wallet which were removed are "
    'returned in the "removed" array.\n',
    args=(
        Arg("blockhash", STR, "If set, the block hash to list transactions since.", OPTIONAL),
        Arg("target_confirmations", INT, "Return the nth block hash from the main chain.", 1),
        Arg("include_watchonly", BOOL, "(DEPRECATED) No longer used", False),
        Arg("include_removed", BOOL, "Show transactions that were removed due to a reorg", True),
        Arg("include_change", BOOL, "Also add entries for change outputs.\n", False),
        Arg("label", STR, "Return only incoming transactions paying to addresses with the label.", OPTIONAL),
    ),
    result=Result(
        R.OBJ,
        inner=(
            Result(R.ARR, "transactions", inner=(_LISTED,)),
            Result(
                R.ARR,
                "removed",
                '<structure is the same as "transactions" above, only present if include_removed=true>',
                (Result(R.ELISION),),
                optional=True,
            ),
            Result(
                R.STR_HEX,
                "lastblock",
                "The hash of the block (target_confirmations-1) from the best block on the main chain",
            ),
        ),
    ),
    examples=cli("listsinceblock"),
)
async def listsinceblock(
    ctx: RpcContext,
    blockhash: str | None,
    target_confirmations: int,
    include_watchonly: bool,
    include_removed: bool,
    include_change: bool,
    label: str | None,
) -> Json:
    wallet = await wallet_of(ctx)
    client, best = wallet.client, wallet.best
    assert best is not None
    fork: int | None = None
    gone: list[bytes] = []
    if blockhash:
        block_hash = parse_hash(blockhash, "blockhash")
        ref = client.find(block_hash)
        if ref is None:
            raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, "Block not found")
        fork = client.fork_height(block_hash)
        while include_removed and ref is not None and ref.height > fork:
            block = await client.read_block(ref.hash)
            gone += [tx.txid for tx in block.vtx]
            ref = client.find(block.header.prev_hash)
    if target_confirmations < 1:
        raise invalid_parameter("Invalid parameter")
    wanted = None if label is None else parse_label(label)
    depth = -1 if fork is None else best.height + 1 - fork
    listed: list[Json] = []
    for wtx in wallet.ledger:
        if depth == -1 or abs(wallet.ledger.depth(wtx)) < depth:
            listed += _listed(wallet, wtx, label=wanted, include_change=include_change)
    out: dict[str, Json] = {"transactions": listed}
    if include_removed:
        known = [wallet.ledger.txs[txid] for txid in gone if txid in wallet.ledger.txs]
        out["removed"] = _removed(wallet, known, wanted, include_change)
    last = client.at_height(max(0, best.height + 1 - target_confirmations))
    assert last is not None
    out["lastblock"] = hash_hex(last.hash)
    return out


def _removed(wallet: Wallet, txs: Sequence[WalletTx], label: str | None, include_change: bool) -> list[Json]:
    rows: list[Json] = []
    for wtx in txs:
        rows += _listed(wallet, wtx, label=label, min_depth=-100_000_000, include_change=include_change)
    return rows


@method(
    "wallet",
    "Get detailed information about in-wallet transaction <txid>\n",
    args=(
        Arg("txid", HASH, "The transaction id"),
        Arg("include_watchonly", BOOL, "(DEPRECATED) No longer used", False),
        Arg(
            "verbose",
            BOOL,
            "Whether to include a `decoded` field containing the decoded transaction (equivalent to RPC "
            "decoderawtransaction)",
            False,
        ),
    ),
    result=Result(
        R.OBJ,
        inner=(
            Result(R.STR_AMOUNT, "amount", "The amount in BTC"),
            Result(
                R.STR_AMOUNT,
                "fee",
                "The amount of the fee in BTC. This is negative and only available for the\n"
                "'send' category of transactions.",
                optional=True,
            ),
            *_TX,
            Result(
                R.ARR,
                "details",
                inner=(Result(R.OBJ, inner=(*_ENTRY, _ABANDONED, _PARENT_DESCS)),),
            ),
            Result(R.STR_HEX, "hex", "Raw data for transaction"),
            Result(
                R.OBJ,
                "decoded",
                "The decoded transaction (only present when `verbose` is passed)",
                (Result(R.ELISION),),
                optional=True,
            ),
            LAST_PROCESSED,
        ),
    ),
    examples=cli("gettransaction", _TXID) + curl("gettransaction", _TXID),
)
async def gettransaction(ctx: RpcContext, txid: bytes, include_watchonly: bool, verbose: bool) -> Json:
    wallet = await wallet_of(ctx)
    wtx = wallet.ledger.txs.get(txid)
    if wtx is None:
        raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, "Invalid or non-wallet transaction id")
    ledger, tx = wallet.ledger, wtx.tx
    debit = ledger.debit(tx)
    fee = sum(out.value for out in tx.vout) - debit if debit > 0 else 0
    answer: dict[str, Json] = {"amount": Amount(ledger.credit(tx) - debit - fee)}
    if debit > 0:
        answer["fee"] = Amount(fee)
    answer |= _tx_fields(wallet, wtx)
    answer["details"] = [_entry_fields(wallet, entry, None) for entry in entries(wallet, wtx)]
    answer["hex"] = tx.raw.hex()
    if verbose:
        decoded = tx_json(tx, ctx.params, with_hex=False)
        for out, txout in zip(decoded["vout"], tx.vout, strict=True):
            if wallet.is_change(txout.script_pubkey):
                out["ischange"] = True
        answer["decoded"] = decoded
    answer["lastprocessedblock"] = last_processed(wallet)
    return answer
