"""Ephemeral dust: one output below the dust limit, of a transaction without fee, spent in the same package.

Source: Core policy/ephemeral_policy.cpp. Nobody gains by mining such a transaction without its child, so the
dust never stays in the UTXO set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..consensus.errors import TxFault, TxInvalid
from ..primitives.hashes import hash_hex
from ..primitives.transaction import OutPoint, Transaction
from .standard import dust_outputs


def check_dust_is_free(tx: Transaction, dust_feerate: int, fee: int, modified_fee: int) -> None:
    """Raises TxInvalid if tx has dust and pays a fee."""
    if (fee or modified_fee) and dust_outputs(tx, dust_feerate):
        raise TxInvalid(TxFault.NOT_STANDARD, "dust", "tx with dust output must be 0-fee")


def unspent_dust(
    txs: Sequence[Transaction], dust_feerate: int, in_mempool: Callable[[bytes], Transaction | None]
) -> tuple[Transaction, TxInvalid] | None:
    """The first of txs that spends from a transaction with dust, but not the dust; None if all is well."""
    package = {tx.txid: tx for tx in txs}
    for tx in txs:
        dust: set[OutPoint] = set()
        for txid in dict.fromkeys(txin.prevout.txid for txin in tx.vin):
            parent = package.get(txid) or in_mempool(txid)
            if parent is not None:
                dust.update(OutPoint(txid, i) for i in dust_outputs(parent, dust_feerate))
        if dust.difference(txin.prevout for txin in tx.vin):
            detail = (
                f"tx {hash_hex(tx.txid)} (wtxid={hash_hex(tx.wtxid)}) did not spend parent's ephemeral dust"
            )
            return tx, TxInvalid(TxFault.MEMPOOL_POLICY, "missing-ephemeral-spends", detail)
    return None
