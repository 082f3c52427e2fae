"""Multisig addresses from public keys (category "util"), and signed copies combined ("rawtransactions")."""

from __future__ import annotations

from pybitcoind.chain.descriptors import infer_descriptor
from pybitcoind.chain.primitives.transaction import Transaction, TxIn
from pybitcoind.chain.script import secp
from pybitcoind.chain.script.address import Destination, ScriptHash, WitnessV0ScriptHash, encode_address
from pybitcoind.chain.script.combining import combine_input
from pybitcoind.chain.script.opcodes import OP_CHECKMULTISIG
from pybitcoind.chain.script.script import MAX_SCRIPT_ELEMENT_SIZE, push_data, push_int
from pybitcoind.wallet.settings import OUTPUT_TYPES
from pybitcoind.wallet.signing import Keyring

from .amounts import Json
from .arguments import ARR, HEX_TEXT, INT, STR, is_hex, parse_str
from .context import RpcContext
from .errors import RpcCode, RpcError, invalid_parameter
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method
from .tx_hex import tx_from_hex
from .tx_signing import find_spent

R = ResultType
MAX_KEYS = 20
"""Of one CHECKMULTISIG: consensus."""
_KEY_1 = "03789ed0bb717d88f7d321a368d905e7430207ebbd82bd342cf11ae157a7ace5fd"
_KEY_2 = "03dbc6764b8884a92e871274b87583e6d5c2a58819473e17e107ef3f6aa5a61626"


def parse_pubkey(value: Json) -> bytes:
    """A public key in any form from hex. RpcError -5."""
    text = parse_str(value)
    wrong = None
    if not is_hex(text):
        wrong = "must be a hex string"
    elif len(text) not in (66, 130):
        wrong = "must have a length of either 33 or 65 bytes"
    elif not secp.is_valid_pubkey(bytes.fromhex(text)):
        wrong = "must be cryptographically valid."
    if wrong:
        raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, f'Pubkey "{text}" {wrong}')
    return bytes.fromhex(text)


def multisig_script(required: int, pubkeys: list[bytes]) -> bytes:
    """RpcError -8 where no spend could satisfy it."""
    if required < 1:
        raise invalid_parameter("a multisignature address must require at least one key to redeem")
    if len(pubkeys) < required:
        raise invalid_parameter(
            f"not enough keys supplied (got {len(pubkeys)} keys, but need at least {required} to redeem)"
        )
    if len(pubkeys) > MAX_KEYS:
        raise invalid_parameter(
            f"Number of keys involved in the multisignature address creation > {MAX_KEYS}\nReduce the number"
        )
    keys = b"".join(push_data(pubkey) for pubkey in pubkeys)
    return push_int(required) + keys + push_int(len(pubkeys)) + bytes((OP_CHECKMULTISIG,))


def _destination(script: bytes, output_type: str, keyring: Keyring) -> Destination:
    """The address of this type; keyring learns the scripts behind it. RpcError -8."""
    keyring.add_script(script)
    if output_type == "legacy":
        if len(script) > MAX_SCRIPT_ELEMENT_SIZE:
            raise invalid_parameter(
                f"redeemScript exceeds size limit: {len(script)} > {MAX_SCRIPT_ELEMENT_SIZE}"
            )
        return ScriptHash.of(script)
    witness = WitnessV0ScriptHash.of(script)
    if output_type == "bech32":
        return witness
    keyring.add_script(witness.script_pubkey)
    return ScriptHash.of(witness.script_pubkey)


@method(
    "util",
    "Creates a multi-signature address with n signatures of m keys required.\n"
    "It returns a json object with the address and redeemScript.\n",
    args=(
        Arg("nrequired", INT, "The number of required signatures out of the m keys."),
        Arg(
            "keys",
            ARR,
            "The hex-encoded public keys.",
            inner=(Arg("key", HEX_TEXT, "The hex-encoded public key", OPTIONAL),),
        ),
        Arg(
            "address_type",
            STR,
            'The address type to use. Options are "legacy", "p2sh-segwit", and "bech32".',
            "legacy",
        ),
    ),
    result=Result(
        R.OBJ,
        inner=(
            Result(R.STR, "address", "The value of the new multisig address."),
            Result(R.STR_HEX, "redeemScript", "The string value of the hex-encoded redemption script."),
            Result(R.STR, "descriptor", "The descriptor for this multisig"),
            Result(
                R.ARR,
                "warnings",
                "Any warnings resulting from the creation of this multisig",
                (Result(R.STR),),
                optional=True,
            ),
        ),
    ),
    examples="\nCreate a multisig address from 2 public keys\n"
    + cli("createmultisig", f'2 "[\\"{_KEY_1}\\",\\"{_KEY_2}\\"]"')
    + "\nAs a JSON-RPC call\n"
    + curl("createmultisig", f'2, ["{_KEY_1}","{_KEY_2}"]'),
)
async def createmultisig(ctx: RpcContext, nrequired: int, keys: Json, address_type: str) -> Json:
    pubkeys = [parse_pubkey(key) for key in keys]
    if address_type not in OUTPUT_TYPES:
        raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, f"Unknown address type '{address_type}'")
    if address_type == "bech32m":
        raise RpcError(
            RpcCode.INVALID_ADDRESS_OR_KEY, "createmultisig cannot create bech32m multisig addresses"
        )
    script = multisig_script(nrequired, pubkeys)
    keyring = Keyring()
    # Segwit has no uncompressed keys: one of them makes the address a legacy one.
    possible = address_type if all(len(pubkey) == 33 for pubkey in pubkeys) else "legacy"
    destination = _destination(script, possible, keyring)
    descriptor = infer_descriptor(destination.script_pubkey, ctx.params, keyring)
    out: dict[str, Json] = {
        "address": encode_address(destination, ctx.params),
        "redeemScript": script.hex(),
        "descriptor": str(descriptor),
    }
    if descriptor.output_type != address_type:
        out["warnings"] = [
            "Unable to make chosen address type, please ensure no uncompressed public keys are present."
        ]
    return out


@method(
    "rawtransactions",
    "Combine multiple partially signed transactions into one transaction.\n"
    "The combined transaction may be another partially signed transaction or a \n"
    "fully signed transaction.",
    args=(
        Arg(
            "txs",
            ARR,
            "The hex strings of partially signed transactions",
            inner=(Arg("hexstring", HEX_TEXT, "A hex-encoded raw transaction", OPTIONAL),),
        ),
    ),
    result=Result(R.STR, "", "The hex-encoded raw transaction with signature(s)"),
    examples=cli("combinerawtransaction", '\'["myhex1", "myhex2", "myhex3"]\''),
)
async def combinerawtransaction(ctx: RpcContext, txs: Json) -> Json:
    copies = [
        tx_from_hex(parse_str(text), True, complaint=f"TX decode failed for tx {index}.")
        for index, text in enumerate(txs)
    ]
    if not copies:
        raise RpcError(RpcCode.DESERIALIZATION_ERROR, "Missing transactions")
    assert ctx.mempool is not None  # raises where the node has none
    first = copies[0]
    spent = await find_spent(ctx, first)
    vin: list[TxIn] = []
    witness: list[tuple[bytes, ...]] = []
    for index, txin in enumerate(first.vin):
        out = spent.get(txin.prevout)
        if out is None:
            raise RpcError(RpcCode.VERIFY_ERROR, "Input not found or already spent")
        script_sig, stack = combine_input(copies, index, out)
        vin.append(TxIn(txin.prevout, script_sig, txin.sequence))
        witness.append(stack)
    made = Transaction.make(vin, first.vout, version=first.version, locktime=first.locktime, witness=witness)
    return made.raw.hex()
