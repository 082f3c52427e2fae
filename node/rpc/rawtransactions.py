"""Category "rawtransactions": fetch, decode, make and sign transactions."""

from __future__ import annotations

from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.primitives.hashes import hash160, hash_hex, sha256
from pybitcoind.chain.primitives.transaction import (
    MAX_MONEY,
    SEQUENCE_FINAL,
    Coin,
    OutPoint,
    Transaction,
    TxIn,
    TxOut,
)
from pybitcoind.chain.script.address import (
    AddressError,
    ScriptHash,
    WitnessV0KeyHash,
    WitnessV0ScriptHash,
    decode_address,
    encode_address,
)
from pybitcoind.chain.script.opcodes import OP_CHECKSIGADD, OP_RETURN, is_op_success
from pybitcoind.chain.script.script import (
    has_valid_ops,
    is_p2sh,
    is_p2wsh,
    is_unspendable,
    iter_ops,
    push_data,
    to_asm,
)
from pybitcoind.chain.script.solver import solve
from pybitcoind.chain.storage.block_store import BlockUnreadable
from pybitcoind.wallet.hd import decode_wif
from pybitcoind.wallet.signing import Keyring, sign_transaction

from .amounts import Json, amount_from_value
from .arguments import (
    AMOUNT_TEXT,
    ARR,
    BOOL,
    HEX_TEXT,
    NUM,
    OBJ,
    OBJ_USER_KEYS,
    STR,
    UINT,
    VERBOSITY,
    check_object,
    expect_type,
    hash_called,
    json_type,
    parse_hash,
    parse_hex,
    parse_int,
    parse_str,
)
from .context import RpcContext
from .documents import SCRIPT_TYPES, prevout, transaction_fields
from .errors import RpcCode, RpcError, invalid_parameter, misc_error
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method
from .render import script_json, tx_json
from .stored_blocks import EXPECTED, unreadable_as
from .tx_hex import decode_tx, tx_from_hex

R = ResultType
MAX_BIP125_SEQUENCE = 0xFFFFFFFD
SIGHASH_NAMES = (
    "DEFAULT",
    "ALL",
    "NONE",
    "SINGLE",
    "ALL|ANYONECANPAY",
    "NONE|ANYONECANPAY",
    "SINGLE|ANYONECANPAY",
)
"""In the order of the help."""
SIGHASH_TYPES = {
    "DEFAULT": 0,
    "ALL": 1,
    "ALL|ANYONECANPAY": 0x81,
    "NONE": 2,
    "NONE|ANYONECANPAY": 0x82,
    "SINGLE": 3,
    "SINGLE|ANYONECANPAY": 0x83,
}


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


# Making

_MY_INPUT = '"[{\\"txid\\":\\"myid\\",\\"vout\\":0}]"'
_MY_OUTPUT = '"[{\\"address\\":0.01}]"'
_MY_DATA = '"[{\\"data\\":\\"00010203\\"}]"'


@method(
    "rawtransactions",
    "Create a transaction spending the given inputs and creating new outputs.\n"
    "Outputs can be addresses or data.\n"
    "Returns hex-encoded raw transaction.\n"
    "Note that the transaction's inputs are not signed, and\n"
    "it is not stored in the wallet or transmitted to the network.\n",
    args=(
        Arg(
            "inputs",
            ARR,
            "The inputs",
            inner=(
                Arg(
                    "",
                    OBJ,
                    "",
                    OPTIONAL,
                    inner=(
                        Arg("txid", HEX_TEXT, "The transaction id"),
                        Arg("vout", NUM, "The output number"),
                        Arg(
                            "sequence",
                            NUM,
                            "The sequence number",
                            hint="depends on the value of the 'replaceable' and 'locktime' arguments",
                        ),
                    ),
                ),
            ),
        ),
        Arg(
            "outputs",
            ARR,
            "The outputs specified as key-value pairs.\n"
            "Each key may only appear once, i.e. there can only be one 'data' output, and no address may be "
            "duplicated.\n"
            "At least one output of either type must be specified.\n"
            "For compatibility reasons, a dictionary, which holds the key-value pairs directly, is also\n"
            "                             accepted as second parameter.",
            check=False,
            inner=(
                Arg(
                    "",
                    OBJ_USER_KEYS,
                    "",
                    OPTIONAL,
                    inner=(
                        Arg(
                            "address",
                            AMOUNT_TEXT,
                            "A key-value pair. The key (string) is the bitcoin address, the value (float or "
                            "string) is the amount in BTC",
                        ),
                    ),
                ),
                Arg(
                    "",
                    OBJ,
                    "",
                    OPTIONAL,
                    inner=(
                        Arg(
                            "data",
                            HEX_TEXT,
                            'A key-value pair. The key must be "data", the value is hex-encoded data that '
                            "becomes a part of an OP_RETURN output",
                        ),
                    ),
                ),
            ),
        ),
        Arg("locktime", NUM, "Raw locktime. Non-0 value also locktime-activates inputs", 0),
        Arg(
            "replaceable",
            BOOL,
            "Marks this transaction as BIP125-replaceable.\n"
            "Allows this transaction to be replaced by a transaction with higher fees. If provided, it is an "
            "error if explicit sequence numbers are incompatible.",
            hint="true",
        ),
        Arg("version", UINT, "Transaction version", 2),
    ),
    result=Result(R.STR_HEX, "transaction", "hex string of the transaction"),
    examples=cli("createrawtransaction", f"{_MY_INPUT} {_MY_OUTPUT}")
    + cli("createrawtransaction", f"{_MY_INPUT} {_MY_DATA}")
    + curl("createrawtransaction", f"{_MY_INPUT}, {_MY_OUTPUT}")
    + curl("createrawtransaction", f"{_MY_INPUT}, {_MY_DATA}"),
)
async def createrawtransaction(
    ctx: RpcContext, inputs: Json, outputs: Json, locktime: int, replaceable: bool | None, version: int
) -> Json:
    return construct_transaction(ctx, inputs, outputs, locktime, replaceable, version).raw.hex()


def construct_transaction(
    ctx: RpcContext, inputs: Json, outputs: Json, locktime: int, replaceable: bool | None, version: int = 2
) -> Transaction:
    """An unsigned transaction from RPC's inputs and outputs. RpcError in Core's words."""
    if not 0 <= locktime <= 0xFFFFFFFF:
        raise invalid_parameter("Invalid parameter, locktime out of range")
    if not 1 <= version <= 3:
        raise invalid_parameter("Invalid parameter, version out of range(1~3)")
    if replaceable is None or replaceable:
        sequence = MAX_BIP125_SEQUENCE
    else:
        sequence = SEQUENCE_FINAL - 1 if locktime else SEQUENCE_FINAL
    vin = [_input(value, sequence) for value in inputs or []]
    tx = Transaction.make(vin, parse_outputs(ctx, outputs), version=version, locktime=locktime)
    if replaceable and vin and all(txin.sequence > MAX_BIP125_SEQUENCE for txin in vin):
        raise invalid_parameter(
            "Invalid parameter combination: Sequence number(s) contradict replaceable option"
        )
    return tx


def _input(value: Json, default_sequence: int) -> TxIn:
    expect_type(value, "object")
    txid = parse_hash(value.get("txid"), "txid")
    vout = value.get("vout")
    if json_type(vout) != "number":
        raise invalid_parameter("Invalid parameter, missing vout key")
    vout = parse_int(vout, -(2**31), 2**31 - 1)
    if vout < 0:
        raise invalid_parameter("Invalid parameter, vout cannot be negative")
    sequence = value.get("sequence")
    sequence = parse_int(sequence) if json_type(sequence) == "number" else default_sequence
    if not 0 <= sequence <= SEQUENCE_FINAL:
        raise invalid_parameter("Invalid parameter, sequence number is out of range")
    return TxIn(OutPoint(txid, vout), b"", sequence)


def parse_outputs(ctx: RpcContext, outputs: Json) -> list[TxOut]:
    """Outputs from an object, or from an array of objects with one key each."""
    if outputs is None:
        raise invalid_parameter("Invalid parameter, output argument must be non-null")
    pairs: list[tuple[str, Json]] = []
    if isinstance(outputs, dict):
        pairs = list(outputs.items())
        pairs += [(name, outputs[name]) for name in getattr(outputs, "repeated", ())]
    else:
        expect_type(outputs, "array")
        for value in outputs:
            if not isinstance(value, dict):
                raise invalid_parameter("Invalid parameter, key-value pair not an object as expected")
            if len(value) != 1:
                raise invalid_parameter("Invalid parameter, key-value pair must contain exactly one key")
            pairs += value.items()
    result: list[TxOut] = []
    seen: set[bytes] = set()
    has_data = False
    for name, value in pairs:
        if name == "data":
            if has_data:
                raise invalid_parameter("Invalid parameter, duplicate key: data")
            has_data = True
            data = parse_hex(value, "Data")
            result.append(TxOut(0, bytes((OP_RETURN,)) + push_data(data)))
            continue
        amount = amount_from_value(value)
        try:
            script = decode_address(name, ctx.params).script_pubkey
        except AddressError:
            raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, f"Invalid Bitcoin address: {name}") from None
        if script in seen:
            raise invalid_parameter(f"Invalid parameter, duplicated address: {name}")
        seen.add(script)
        result.append(TxOut(amount, script))
    return result


# Signing


@method(
    "rawtransactions",
    "Sign inputs for raw transaction (serialized, hex-encoded).\n"
    "The second argument is an array of base58-encoded private\n"
    "keys that will be the only keys used to sign the transaction.\n"
    "The third optional argument (may be null) is an array of previous transaction outputs that\n"
    "this transaction depends on but may not yet be in the block chain.\n",
    args=(
        Arg("hexstring", STR, "The transaction hex string"),
        Arg(
            "privkeys",
            ARR,
            "The base58-encoded private keys for signing",
            inner=(Arg("privatekey", HEX_TEXT, "private key in base58-encoding", OPTIONAL),),
        ),
        Arg(
            "prevtxs",
            ARR,
            "The previous dependent transaction outputs",
            OPTIONAL,
            inner=(
                Arg(
                    "",
                    OBJ,
                    "",
                    OPTIONAL,
                    inner=(
                        Arg("txid", HEX_TEXT, "The transaction id"),
                        Arg("vout", NUM, "The output number"),
                        Arg("scriptPubKey", HEX_TEXT, "output script"),
                        Arg("redeemScript", HEX_TEXT, "(required for P2SH) redeem script", OPTIONAL),
                        Arg(
                            "witnessScript",
                            HEX_TEXT,
                            "(required for P2WSH or P2SH-P2WSH) witness script",
                            OPTIONAL,
                        ),
                        Arg("amount", AMOUNT_TEXT, "(required for Segwit inputs) the amount spent", OPTIONAL),
                    ),
                ),
            ),
        ),
        Arg(
            "sighashtype",
            STR,
            "The signature hash type. Must be one of:\n"
            + "".join(f'       "{name}"\n' for name in SIGHASH_NAMES),
            hint='"DEFAULT for Taproot, ALL otherwise"',
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
                (
                    Result(
                        R.OBJ,
                        inner=(
                            Result(R.STR_HEX, "txid", "The hash of the referenced, previous transaction"),
                            Result(R.NUM, "vout", "The index of the output to spent and used as input"),
                            Result(R.ARR, "witness", "", (Result(R.STR_HEX, "witness", ""),)),
                            Result(R.STR_HEX, "scriptSig", "The hex-encoded signature script"),
                            Result(R.NUM, "sequence", "Script sequence number"),
                            Result(R.STR, "error", "Verification or signing error related to the input"),
                        ),
                    ),
                ),
                optional=True,
            ),
        ),
    ),
    examples=cli("signrawtransactionwithkey", '"myhex" "[\\"key1\\",\\"key2\\"]"')
    + curl("signrawtransactionwithkey", '"myhex", "[\\"key1\\",\\"key2\\"]"'),
)
async def signrawtransactionwithkey(
    ctx: RpcContext, hexstring: str, privkeys: Json, prevtxs: Json, sighashtype: str | None
) -> Json:
    tx = tx_from_hex(hexstring, True)
    keyring = Keyring()
    for value in privkeys:
        found = decode_wif(parse_str(value), ctx.params)
        if found is None:
            raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, "Invalid private key")
        keyring.add_secret(*found)
    spent = await find_spent(ctx, tx)
    parse_prevtxs(prevtxs, keyring, spent)
    return signed_json(*sign_transaction(tx, spent, keyring, parse_sighash(sighashtype)))


def parse_sighash(text: str | None) -> int:
    if text is None:
        return 0
    if text not in SIGHASH_TYPES:
        raise invalid_parameter(f"'{text}' is not a valid sighash parameter.")
    return SIGHASH_TYPES[text]


async def find_spent(ctx: RpcContext, tx: Transaction) -> dict[OutPoint, TxOut]:
    """The outputs that tx spends, from the UTXO set and the mempool, as far as they are known."""
    outpoints = [txin.prevout for txin in tx.vin]
    spent: dict[OutPoint, TxOut] = {}
    if ctx.node.spv is not None:
        return spent
    for outpoint, coin in (await ctx.chain.get_coins(outpoints)).items():
        if coin is not None:
            spent[outpoint] = coin.txout
    if ctx.node.mempool is not None:
        for outpoint in outpoints:
            coin = ctx.node.mempool.coin(outpoint)
            if coin is not None:
                spent[outpoint] = coin.txout
    return spent


def parse_prevtxs(prevtxs: Json, keyring: Keyring, spent: dict[OutPoint, TxOut]) -> None:
    """Puts outputs and scripts that the caller knows into spent and keyring."""
    for value in prevtxs or []:
        if not isinstance(value, dict):
            raise RpcError(
                RpcCode.DESERIALIZATION_ERROR, 'expected object with {"txid\'","vout","scriptPubKey"}'
            )
        check_object(value, {"txid": "string", "vout": "number", "scriptPubKey": "string"})
        txid, vout = parse_hash(value["txid"], "txid"), parse_int(value["vout"], -(2**31), 2**31 - 1)
        if vout < 0:
            raise RpcError(RpcCode.DESERIALIZATION_ERROR, "vout cannot be negative")
        script = parse_hex(value["scriptPubKey"], "scriptPubKey")
        outpoint = OutPoint(txid, vout)
        known = spent.get(outpoint)
        if known is not None and known.script_pubkey != script:
            raise RpcError(
                RpcCode.DESERIALIZATION_ERROR,
                "Previous output scriptPubKey mismatch:\n"
                f"{to_asm(known.script_pubkey)}\nvs:\n{to_asm(script)}",
            )
        amount = amount_from_value(value["amount"]) if "amount" in value else MAX_MONEY
        spent[outpoint] = TxOut(amount, script)
        if is_p2sh(script) or is_p2wsh(script):
            _add_prevtx_scripts(value, script, keyring)


def _add_prevtx_scripts(value: dict[str, Json], script_pubkey: bytes, keyring: Keyring) -> None:
    check_object(value, {"redeemScript": "string", "witnessScript": "string"}, allow_null=True)
    redeem_text, witness_text = value.get("redeemScript"), value.get("witnessScript")
    if redeem_text is None and witness_text is None:
        raise invalid_parameter("Missing redeemScript/witnessScript")
    if witness_text is not None:
        script = parse_hex(witness_text, "witnessScript")
    else:
        script = parse_hex(redeem_text, "redeemScript")
    wrapped = WitnessV0ScriptHash(sha256(script)).script_pubkey
    keyring.add_script(script)
    keyring.add_script(wrapped)
    differ = None not in (witness_text, redeem_text) and witness_text != redeem_text
    if differ and parse_hex(redeem_text, "redeemScript") != wrapped:
        raise invalid_parameter("redeemScript does not correspond to witnessScript")
    if is_p2sh(script_pubkey):
        fits = script_pubkey in (
            ScriptHash(hash160(script)).script_pubkey,
            ScriptHash(hash160(wrapped)).script_pubkey,
        )
    else:
        fits = script_pubkey == wrapped
    if not fits:
        raise invalid_parameter("redeemScript/witnessScript does not match scriptPubKey")


def signed_json(tx: Transaction, errors: dict[int, str]) -> Json:
    out: dict[str, Json] = {"hex": tx.raw.hex(), "complete": not errors}
    if errors:
        out["errors"] = [
            {
                "txid": hash_hex(tx.vin[index].prevout.txid),
                "vout": tx.vin[index].prevout.vout,
                "witness": [item.hex() for item in tx.witness_of(index)],
                "scriptSig": tx.vin[index].script_sig.hex(),
                "sequence": tx.vin[index].sequence,
                "error": error,
            }
            for index, error in sorted(errors.items())
        ]
    return out
