"""Category "rawtransactions": transactions signed with keys that the caller gives."""

from __future__ import annotations

from pybitcoind.chain.primitives.hashes import hash160, hash_hex, sha256
from pybitcoind.chain.primitives.transaction import MAX_MONEY, OutPoint, Transaction, TxOut
from pybitcoind.chain.script.address import ScriptHash, WitnessV0ScriptHash
from pybitcoind.chain.script.script import is_p2sh, is_p2wsh, to_asm
from pybitcoind.wallet.hd import decode_wif
from pybitcoind.wallet.signing import Keyring, sign_transaction

from .amounts import Json, amount_from_value
from .arguments import (
    AMOUNT_TEXT,
    ARR,
    HEX_TEXT,
    NUM,
    OBJ,
    STR,
    check_object,
    parse_hash,
    parse_hex,
    parse_int,
    parse_str,
)
from .context import RpcContext
from .errors import RpcCode, RpcError, invalid_parameter
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method
from .tx_hex import tx_from_hex

R = ResultType
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
