"""Sending a transaction of our own: into the mempool, then to the peers. Core's BroadcastTransaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybitcoind.chain.consensus.errors import TxFault, TxInvalid
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction
from pybitcoind.wallet.chain_client import NotBroadcast

if TYPE_CHECKING:
    from .app import Node

TRANSACTION_ERROR, TRANSACTION_REJECTED, ALREADY_IN_UTXO_SET = -25, -26, -27


class BroadcastError(Exception):
    """It was not sent. code: Core's RPC error code for it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


async def broadcast_transaction(node: Node, tx: Transaction, max_fee: int = 0) -> None:
    """Takes tx into the mempool and announces it; one that is there already is announced again.

    max_fee: satoshis, 0 for no limit; an SPV node cannot tell a fee. BroadcastError says what is wrong.
    """
    if node.spv is not None:
        try:
            return await node.spv.broadcast(tx)
        except NotBroadcast as error:
            raise BroadcastError(TRANSACTION_REJECTED, str(error)) from None
    chain, mempool = node.chain, node.mempool
    if mempool is None:
        raise BroadcastError(TRANSACTION_ERROR, "This node has no mempool")
    outpoints = [OutPoint(tx.txid, n) for n in range(len(tx.vout))]
    if any((await chain.get_coins(outpoints)).values()):
        raise BroadcastError(ALREADY_IN_UTXO_SET, "Transaction outputs already in utxo set")
    entry = mempool.get(tx.txid)
    if entry is None:
        try:
            if max_fee and (await chain.accept_transaction(tx, test_only=True)).fee > max_fee:
                raise BroadcastError(
                    TRANSACTION_ERROR,
                    "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)",
                )
            await chain.accept_transaction(tx)
        except TxInvalid as error:
            if not mempool.contains(tx.txid):  # else a peer was quicker than we
                missing = error.fault is TxFault.MISSING_INPUTS
                code = TRANSACTION_ERROR if missing else TRANSACTION_REJECTED
                raise BroadcastError(code, str(error)) from None
        mempool.add_unbroadcast(tx.txid)
        await chain.events.drained()
    if node.peers is not None:
        node.peers.announce_transaction(entry.tx if entry is not None else tx)
