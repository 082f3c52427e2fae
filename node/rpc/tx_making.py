"""Category "rawtransactions": transactions made of inputs and outputs."""

from __future__ import annotations

from pybitcoind.chain.primitives.transaction import SEQUENCE_FINAL, OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script.address import AddressError, decode_address
from pybitcoind.chain.script.opcodes import OP_RETURN
from pybitcoind.chain.script.script import push_data

from .amounts import Json, amount_from_value
from .arguments import (
    AMOUNT_TEXT,
    ARR,
    BOOL,
    HEX_TEXT,
    NUM,
    OBJ,
    OBJ_USER_KEYS,
    UINT,
    expect_type,
    json_type,
    parse_hash,
    parse_hex,
    parse_int,
)
from .context import RpcContext
from .errors import RpcCode, RpcError, invalid_parameter
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method

R = ResultType
MAX_BIP125_SEQUENCE = 0xFFFFFFFD

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
