"""Category "rawtransactions": fetch and decode transactions and scripts."""

from __future__ import annotations

from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.primitives.hashes import hash160, hash_hex, sha256
from pybitcoind.chain.primitives.transaction import Coin, Transaction
from pybitcoind.chain.script.address import ScriptHash, WitnessV0KeyHash, WitnessV0ScriptHash, encode_address
from pybitcoind.chain.script.opcodes import OP_CHECKSIGADD, is_op_success
from pybitcoind.chain.script.script import has_valid_ops, is_unspendable, iter_ops
from pybitcoind.chain.script.solver import solve
from pybitcoind.chain.storage.block_store import BlockUnreadable
from pybitcoind.wallet.signing import Keyring

from .amounts import Json
from .arguments import BOOL, HEX_TEXT, VERBOSITY, hash_called, parse_hex
from .context import RpcContext
from .documents import SCRIPT_TYPES, prevout, transaction_fields
from .errors import RpcCode, RpcError, misc_error
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method
from .render import script_json, tx_json
from .stored_blocks import EXPECTED, unreadable_as
from .tx_hex import decode_tx

R = ResultType


_RAW_FIELDS = (
    Result(
        R.BOOL,
        "in_active_chain",
        'Whether specified block is in the active chain or not (only present with explicit "blockhash" '
        "argument)",
        optional=True,
    ),
    Result(R.STR_HEX, "blockhash", "the block hash", optional=True),
    Result(R.NUM, "confirmations", "The confirmations", optional=True),
    Result(R.NUM_TIME, "blocktime", "The block time expressed in UNIX epoch time", optional=True),
    Result(R.NUM, "time", 'Same as "blocktime"', optional=True),
    Result(R.STR_HEX, "hex", "The serialized, hex-encoded data for 'txid'"),
    *transaction_fields("The transaction id (same as provided)"),
)


@method(
    "rawtransactions",
    "By default, this call only returns a transaction if it is in the mempool. If -txindex is enabled\n"
    "and no blockhash argument is passed, it will return the transaction if it is in the mempool or any "
    "block.\n"
    "If a blockhash argument is passed, it will return the transaction if\n"
    "the specified block is available and the transaction is in that block.\n\n"
    "Hint: Use gettransaction for wallet transactions.\n\n"
    "If verbosity is 0 or omitted, returns the serialized transaction as a hex-encoded string.\n"
    "If verbosity is 1, returns a JSON Object with information about the transaction.\n"
    "If verbosity is 2, returns a JSON Object with information about the transaction, including fee and "
    "prevout information.",
    args=(
        Arg("txid", hash_called("parameter 1"), "The transaction id"),
        Arg(
            "verbosity",
            VERBOSITY,
            "0 for hex-encoded data, 1 for a JSON object, and 2 for JSON object with fee and prevout",
            0,
            aliases=("verbose",),
        ),
        Arg(
            "blockhash",
            hash_called("parameter 3"),
            "The block in which to look for the transaction",
            OPTIONAL,
        ),
    ),
    result=(
        Result(
            R.STR,
            condition="if verbosity is not set or set to 0",
            description="The serialized transaction as a hex-encoded string for 'txid'",
        ),
        Result(R.OBJ, condition="if verbosity is set to 1", inner=_RAW_FIELDS),
        Result(
            R.OBJ,
            condition="for verbosity = 2",
            inner=(
                Result(R.ELISION, description="Same output as verbosity = 1"),
                Result(
                    R.NUM,
                    "fee",
                    "transaction fee in BTC, omitted if block undo data is not available",
                    optional=True,
                ),
                Result(
                    R.ARR,
                    "vin",
                    "",
                    (
                        Result(
                            R.OBJ,
                            description="utxo being spent",
                            inner=(
                                Result(R.ELISION, description="Same output as verbosity = 1"),
                                prevout(
                                    "The previous output, omitted if block undo data is not available",
                                    optional=True,
                                ),
                            ),
                        ),
                    ),
                ),
            ),
        ),
    ),
    examples=cli("getrawtransaction", '"mytxid"')
    + cli("getrawtransaction", '"mytxid" 1')
    + curl("getrawtransaction", '"mytxid", 1')
    + cli("getrawtransaction", '"mytxid" 0 "myblockhash"')
    + cli("getrawtransaction", '"mytxid" 1 "myblockhash"')
    + cli("getrawtransaction", '"mytxid" 2 "myblockhash"'),
)
async def getrawtransaction(ctx: RpcContext, txid: bytes, verbosity: int, blockhash: bytes | None) -> Json:
    if txid == ctx.params.genesis.vtx[0].txid:
        raise RpcError(
            RpcCode.INVALID_ADDRESS_OR_KEY,
            "The genesis block coinbase is not considered an ordinary transaction and cannot be retrieved",
        )
    where: HeaderNode | None = None
    if blockhash is not None:
        where = ctx.chain.headers.get(blockhash)
        if where is None:
            raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, "Block hash not found")
    tx, node = await find_transaction(ctx, txid, where)
    if tx is None:
        raise RpcError(
            RpcCode.INVALID_ADDRESS_OR_KEY,
            _why_not_found(ctx, where) + ". Use gettransaction for wallet transactions.",
        )
    if verbosity <= 0:
        return tx.raw.hex()
    out: dict[str, Json] = {}
    headers = ctx.chain.headers
    if where is not None:
        out["in_active_chain"] = headers.in_chain(where)
    coins = await _spent_coins(ctx, tx, node) if verbosity >= 2 and ctx.node.spv is None else None
    out |= tx_json(tx, ctx.params, coins=coins, prevouts=True)
    if node is not None:
        raw = out.pop("hex")
        out["hex"] = raw
        out["blockhash"] = hash_hex(node.hash)
        if headers.in_chain(node):
            out["confirmations"] = ctx.chain.tip.height - node.height + 1
            out["time"] = out["blocktime"] = node.time
        else:
            out["confirmations"] = 0
    return out


async def find_transaction(
    ctx: RpcContext, txid: bytes, where: HeaderNode | None = None
) -> tuple[Transaction | None, HeaderNode | None]:
    """The transaction and its block: from where alone if given, else from the mempool or the index."""
    if ctx.node.spv is not None:
        return await ctx.node.spv.find_transaction(txid, where), where
    if where is not None:
        if not where.have_data:
            raise misc_error("Block not available")
        try:
            block = await ctx.chain.read_block(where)
        except (BlockUnreadable, LookupError) as error:  # as if it were not in there, as with Core
            ctx.node.ports.log.error(f"{error}")
            return None, where
        return next((tx for tx in block.vtx if tx.txid == txid), None), where
    mempool = ctx.node.mempool
    entry = mempool.get(txid) if mempool is not None else None
    if entry is not None:
        return entry.tx, None
    index = ctx.tx_index
    if index is not None:
        await ctx.chain.events.drained()
        try:
            found = await index.find(txid)
        except (BlockUnreadable, LookupError) as error:
            ctx.node.ports.log.error(f"{error}")
            found = None
        if found is not None:
            return found[1], ctx.chain.headers.get(found[0])
    return None, None


def _why_not_found(ctx: RpcContext, where: HeaderNode | None) -> str:
    if where is not None:
        return "No such transaction found in the provided block"
    if ctx.node.spv is not None:
        return "This node runs as SPV: it keeps no blocks. Provide a block hash, or ask a full node"
    index = ctx.tx_index
    if index is None:
        return (
            "No such mempool transaction. Use -txindex or provide a block hash to enable blockchain "
            "transaction queries"
        )
    if not index.synced:
        return (
            "No such mempool transaction. Blockchain transactions are still in the process of being indexed"
        )
    return "No such mempool or blockchain transaction"


async def _spent_coins(ctx: RpcContext, tx: Transaction, node: HeaderNode | None) -> list[Coin] | None:
    """What a confirmed transaction spent, from its block's undo record; None where there is none."""
    if node is None or tx.is_coinbase or not node.have_undo:
        return None
    with unreadable_as(ctx, EXPECTED.format("Undo"), RpcCode.INTERNAL_ERROR):
        undo = await ctx.chain.read_undo(node)
    with unreadable_as(ctx, EXPECTED.format("Block"), RpcCode.INTERNAL_ERROR):
        block = await ctx.chain.read_block(node)
    for other, coins in zip(block.vtx[1:], undo.txs, strict=True):
        if other.txid == tx.txid:
            return list(coins)
    return None


@method(
    "rawtransactions",
    "Return a JSON object representing the serialized, hex-encoded transaction.",
    args=(
        Arg("hexstring", HEX_TEXT, "The transaction hex string"),
        Arg(
            "iswitness",
            BOOL,
            "Whether the transaction hex is a serialized witness transaction.\n"
            "If iswitness is not present, heuristic tests will be used in decoding.\n"
            "If true, only witness deserialization will be tried.\n"
            "If false, only non-witness deserialization will be tried.\n"
            "This boolean should reflect whether the transaction has inputs\n"
            "(e.g. fully valid, or on-chain transactions), if known by the caller.",
            hint="depends on heuristic tests",
        ),
    ),
    result=Result(R.OBJ, inner=transaction_fields()),
    examples=cli("decoderawtransaction", '"hexstring"') + curl("decoderawtransaction", '"hexstring"'),
)
async def decoderawtransaction(ctx: RpcContext, hexstring: str, iswitness: bool | None) -> Json:
    tx = decode_tx(hexstring, iswitness)
    if tx is None:
        raise RpcError(RpcCode.DESERIALIZATION_ERROR, "TX decode failed")
    return tx_json(tx, ctx.params, with_hex=False)


@method(
    "rawtransactions",
    "Decode a hex-encoded script.\n",
    args=(Arg("hexstring", HEX_TEXT, "the hex-encoded script"),),
    result=Result(
        R.OBJ,
        inner=(
            Result(R.STR, "asm", "Disassembly of the script"),
            Result(R.STR, "desc", "Inferred descriptor for the script"),
            Result(R.STR, "type", f"The output type (e.g. {SCRIPT_TYPES})"),
            Result(
                R.STR,
                "address",
                "The Bitcoin address (only if a well-defined address exists)",
                optional=True,
            ),
            Result(
                R.STR,
                "p2sh",
                "address of P2SH script wrapping this redeem script (not returned for types that should not "
                "be wrapped)",
                optional=True,
            ),
            Result(
                R.OBJ,
                "segwit",
                "Result of a witness output script wrapping this redeem script (not returned for types that "
                "should not be wrapped)",
                (
                    Result(R.STR, "asm", "Disassembly of the output script"),
                    Result(R.STR_HEX, "hex", "The raw output script bytes, hex-encoded"),
                    Result(
                        R.STR,
                        "type",
                        "The type of the output script (e.g. witness_v0_keyhash or witness_v0_scripthash)",
                    ),
                    Result(
                        R.STR,
                        "address",
                        "The Bitcoin address (only if a well-defined address exists)",
                        optional=True,
                    ),
                    Result(R.STR, "desc", "Inferred descriptor for the script"),
                    Result(
                        R.STR,
                        "p2sh-segwit",
                        "address of the P2SH script wrapping this witness redeem script",
                    ),
                ),
                optional=True,
            ),
        ),
    ),
    examples=cli("decodescript", '"hexstring"') + curl("decodescript", '"hexstring"'),
)
async def decodescript(ctx: RpcContext, hexstring: str) -> Json:
    script = parse_hex(hexstring, "argument") if hexstring else b""
    out = script_json(script, ctx.params, with_hex=False)
    kind, solutions = solve(script)
    if not _can_wrap(script, kind):
        return out
    out["p2sh"] = encode_address(ScriptHash(hash160(script)), ctx.params)
    if not _can_wrap_in_witness(kind, solutions):
        return out
    keyring = Keyring()
    if kind == "pubkey":
        witness_script = WitnessV0KeyHash(hash160(solutions[0])).script_pubkey
    elif kind == "pubkeyhash":
        witness_script = WitnessV0KeyHash(solutions[0]).script_pubkey
    else:
        keyring.add_script(script)
        witness_script = WitnessV0ScriptHash(sha256(script)).script_pubkey
    wrapped = script_json(witness_script, ctx.params, provider=keyring)
    wrapped["p2sh-segwit"] = encode_address(ScriptHash(hash160(witness_script)), ctx.params)
    out["segwit"] = wrapped
    return out


def _can_wrap(script: bytes, kind: str) -> bool:
    """The script could be one's redeem script."""
    if not has_valid_ops(script) or is_unspendable(script):
        return False
    if any(op == OP_CHECKSIGADD or is_op_success(op) for op, _, _ in iter_ops(script)):
        return False
    unwrapped = ("multisig", "nonstandard", "pubkey", "pubkeyhash")
    return kind in (*unwrapped, "witness_v0_keyhash", "witness_v0_scripthash")


def _can_wrap_in_witness(kind: str, solutions: list[bytes]) -> bool:
    if kind in ("multisig", "pubkey"):  # no uncompressed keys in witnesses
        return all(len(item) in (1, 33) for item in solutions)
    return kind in ("nonstandard", "pubkeyhash")
