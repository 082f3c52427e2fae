"""A transaction from the hex that a caller gives."""

from __future__ import annotations

from pybitcoind.chain.primitives.serialize import DecodeError
from pybitcoind.chain.primitives.transaction import Transaction
from pybitcoind.chain.script.script import MAX_SCRIPT_SIZE, has_valid_ops

from .arguments import from_hex
from .errors import RpcCode, RpcError


def tx_from_hex(
    text: str, witness: bool | None = None, *, complaint: str = "TX decode failed."
) -> Transaction:
    """As `decode_tx`, with an error that begins with complaint where it is none."""
    tx = decode_tx(text, witness)
    if tx is None:
        raise RpcError(RpcCode.DESERIALIZATION_ERROR, f"{complaint} Make sure the tx has at least one input.")
    return tx


def decode_tx(text: str, witness: bool | None = None) -> Transaction | None:
    """A transaction from hex, with witness, without, or as it turns out; None if it is none.

    Some bytes can be read both ways: what has scripts that make sense wins, then what has a witness.
    """
    raw = from_hex(text)
    if raw is None:
        return None
    first = None
    for allow_witness in (True, False) if witness is None else (witness,):
        try:
            tx = Transaction.decode(raw, allow_witness=allow_witness)
        except DecodeError:
            continue
        if _makes_sense(tx):
            return tx
        first = first or tx
    return first


def _makes_sense(tx: Transaction) -> bool:
    scripts = [] if tx.is_coinbase else [txin.script_sig for txin in tx.vin]
    scripts += [out.script_pubkey for out in tx.vout]
    return all(len(script) <= MAX_SCRIPT_SIZE and has_valid_ops(script) for script in scripts)
