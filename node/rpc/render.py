"""Scripts, transactions and blocks as Core's JSON: fields, order and spelling of TxToUniv and friends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pybitcoind.chain.consensus.pow import bits_to_target
from pybitcoind.chain.descriptors import ScriptProvider, infer_descriptor
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import Coin, Transaction
from pybitcoind.chain.script.address import encode_address, extract_destination
from pybitcoind.chain.script.script import to_asm
from pybitcoind.chain.script.solver import solve

from .amounts import Amount, Json, Real

if TYPE_CHECKING:
    from pybitcoind.chain.header_tree import HeaderNode, HeaderTree
    from pybitcoind.chain.params import ChainParams


def difficulty(bits: int) -> Real:
    """How many times harder than the easiest target of main: Core's GetDifficulty."""
    shift = bits >> 24 & 0xFF
    value = 0x0000FFFF / (bits & 0x00FFFFFF)
    for _ in range(shift, 29):
        value *= 256.0
    for _ in range(29, shift):
        value /= 256.0
    return Real(value)


def target_hex(bits: int) -> str:
    return f"{bits_to_target(bits)[0]:064x}"


def bits_hex(bits: int) -> str:
    return f"{bits:08x}"


def script_json(
    script: bytes,
    params: ChainParams,
    *,
    address: bool = True,
    with_hex: bool = True,
    provider: ScriptProvider | None = None,
) -> dict[str, Json]:
    """An output script: asm, desc, hex, address, type."""
    out: dict[str, Json] = {"asm": to_asm(script), "desc": str(infer_descriptor(script, params, provider))}
    if with_hex:
        out["hex"] = script.hex()
    kind, _ = solve(script)
    if address and kind != "pubkey":
        destination = extract_destination(script)
        if destination is not None:
            out["address"] = encode_address(destination, params)
    out["type"] = kind
    return out


def tx_json(
    tx: Transaction,
    params: ChainParams,
    *,
    coins: Sequence[Coin] | None = None,
    prevouts: bool = False,
    with_hex: bool = True,
) -> dict[str, Json]:
    """A decoded transaction. coins: what its inputs spent, for the fee and, if prevouts, for each input."""
    out: dict[str, Json] = {
        "txid": hash_hex(tx.txid),
        "hash": hash_hex(tx.wtxid),
        "version": tx.version,
        "size": tx.size,
        "vsize": tx.vsize,
        "weight": tx.weight,
        "locktime": tx.locktime,
        "vin": [_input_json(tx, i, params, coins if prevouts else None) for i in range(len(tx.vin))],
        "vout": [
            {"value": Amount(txout.value), "n": n, "scriptPubKey": script_json(txout.script_pubkey, params)}
            for n, txout in enumerate(tx.vout)
        ],
    }
    if coins is not None and not tx.is_coinbase:
        paid = sum(txout.value for txout in tx.vout)
        out["fee"] = Amount(sum(coin.value for coin in coins) - paid)
    if with_hex:
        out["hex"] = tx.raw.hex()
    return out


def _input_json(
    tx: Transaction, index: int, params: ChainParams, coins: Sequence[Coin] | None
) -> dict[str, Json]:
    txin = tx.vin[index]
    out: dict[str, Json] = {}
    if tx.is_coinbase:
        out["coinbase"] = txin.script_sig.hex()
    else:
        out["txid"] = hash_hex(txin.prevout.txid)
        out["vout"] = txin.prevout.vout
        out["scriptSig"] = {"asm": to_asm(txin.script_sig, True), "hex": txin.script_sig.hex()}
    witness = tx.witness_of(index)
    if witness:
        out["txinwitness"] = [item.hex() for item in witness]
    if coins is not None and not tx.is_coinbase:
        coin = coins[index]
        out["prevout"] = {
            "generated": coin.coinbase,
            "height": coin.height,
            "value": Amount(coin.value),
            "scriptPubKey": script_json(coin.script_pubkey, params),
        }
    out["sequence"] = txin.sequence
    return out


def header_json(node: HeaderNode, headers: HeaderTree) -> dict[str, Json]:
    """getblockheader's answer. confirmations: -1 off the active chain."""
    tip = headers.tip
    active = headers.in_chain(node)
    out: dict[str, Json] = {
        "hash": hash_hex(node.hash),
        "confirmations": tip.height - node.height + 1 if active and tip is not None else -1,
        "height": node.height,
        "version": node.version,
        "versionHex": f"{node.version & 0xFFFFFFFF:08x}",
        "merkleroot": hash_hex(node.merkle_root),
        "time": node.time,
        "mediantime": node.mtp(),
        "nonce": node.nonce,
        "bits": bits_hex(node.bits),
        "target": target_hex(node.bits),
        "difficulty": difficulty(node.bits),
        "chainwork": f"{node.chainwork:064x}",
        "nTx": node.tx_count,
    }
    if node.prev is not None:
        out["previousblockhash"] = hash_hex(node.prev.hash)
    following = headers.next_in_chain(node)
    if following is not None:
        out["nextblockhash"] = hash_hex(following.hash)
    return out


def block_json(
    block: Block,
    node: HeaderNode,
    headers: HeaderTree,
    params: ChainParams,
    verbosity: int,
    undo: Sequence[Sequence[Coin]] | None = None,
) -> dict[str, Json]:
    """getblock's answer at verbosity 1 (txids), 2 (with fees) and 3 (with prevouts).

    undo: the coins that each transaction but the coinbase spent; None where they are not known.
    """
    out = header_json(node, headers)
    coinbase = block.vtx[0]
    out["strippedsize"], out["size"], out["weight"] = block.base_size, block.size, block.weight
    coinbase_tx: dict[str, Json] = {
        "version": coinbase.version,
        "locktime": coinbase.locktime,
        "sequence": coinbase.vin[0].sequence,
        "coinbase": coinbase.vin[0].script_sig.hex(),
    }
    if coinbase.witness_of(0):
        coinbase_tx["witness"] = coinbase.witness_of(0)[0].hex()
    out["coinbase_tx"] = coinbase_tx
    if verbosity <= 1:
        out["tx"] = [hash_hex(tx.txid) for tx in block.vtx]
        return out
    out["tx"] = [
        tx_json(
            tx,
            params,
            coins=undo[i - 1] if undo is not None and i > 0 else None,
            prevouts=verbosity >= 3,
        )
        for i, tx in enumerate(block.vtx)
    ]
    return out
