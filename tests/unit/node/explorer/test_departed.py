"""What became of transactions that left the mempool."""

from __future__ import annotations

from pybitcoind.chain.events import BlockConnected, RemovalReason, TxAdded, TxRemoved
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.storage.records import BlockUndo
from pybitcoind.node.explorer import departed as module
from pybitcoind.node.explorer.departed import DepartedTransactions

GENESIS = regtest().genesis


def spend(coin: int, value: int) -> Transaction:
    return Transaction.make([TxIn(OutPoint(bytes([coin]) * 32, 0))], [TxOut(value, b"\x51")])


def removed(tx: Transaction, reason: RemovalReason) -> TxRemoved:
    return TxRemoved(tx, reason, 1)


def block_with(*txs: Transaction) -> BlockConnected:
    node = HeaderNode(GENESIS.header, None, 1)
    return BlockConnected(Block(GENESIS.header, [GENESIS.vtx[0], *txs]), BlockUndo(), node)


def test_replaced_and_by_what() -> None:
    departed, first, second = DepartedTransactions(), spend(1, 10), spend(1, 9)
    departed.handle(TxAdded(first, 1, 1))
    departed.handle(removed(first, RemovalReason.REPLACED))
    departed.handle(TxAdded(second, 2, 3))
    found = departed.get(first.txid)
    assert found is not None
    assert (found.reason, found.successor) == (RemovalReason.REPLACED, second.txid)
    assert departed.get(second.txid) is None


def test_what_confirmed_or_came_back_has_not_departed() -> None:
    departed, tx = DepartedTransactions(), spend(1, 10)
    departed.handle(removed(tx, RemovalReason.BLOCK))
    assert departed.get(tx.txid) is None
    departed.handle(removed(tx, RemovalReason.EXPIRY))
    assert departed.get(tx.txid) is not None
    departed.handle(TxAdded(tx, 1, 1))
    assert departed.get(tx.txid) is None
    departed.handle(removed(tx, RemovalReason.REORG))
    departed.handle(block_with(tx))
    assert departed.get(tx.txid) is None and len(departed) == 0


def test_a_block_that_spends_the_coin_is_the_successor() -> None:
    departed, ours, theirs = DepartedTransactions(), spend(1, 10), spend(1, 8)
    departed.handle(removed(ours, RemovalReason.CONFLICT))
    departed.handle(block_with(theirs))
    found = departed.get(ours.txid)
    assert found is not None and found.successor == theirs.txid


def test_the_oldest_are_forgotten() -> None:
    departed = DepartedTransactions()
    txs = [spend(i % 256, 1 + i) for i in range(module.KEPT + 10)]
    for tx in txs:
        departed.handle(removed(tx, RemovalReason.EXPIRY))
    assert len(departed) == module.KEPT
    assert departed.get(txs[0].txid) is None and departed.get(txs[-1].txid) is not None
    for tx in txs:
        departed.handle(TxAdded(tx, 1, 1))
    assert len(departed) == 0 and departed._spent == {} and departed._bytes == 0
