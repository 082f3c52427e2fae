"""Two long branches with transactions in every block, made fast: what a deep reorganisation goes over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scene import REDEEM_SCRIPT, SCRIPT_PUBKEY, commit_to_witnesses, height_push, solved

from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.merkle import merkle_root
from pybitcoind.chain.primitives.transaction import COIN, NULL_OUTPOINT, OutPoint, Transaction, TxIn, TxOut

BITS = 0x207FFFFF
MATURITY = 101


@dataclass
class Branch:
    """tip: header of the last block, at height. lanes: outputs to be spent next, one a transaction."""

    tip: BlockHeader
    height: int
    lanes: list[tuple[OutPoint, int]]
    salt: int = 0

    def block(self, txs: list[Transaction], time: int | None = None) -> Block:
        self.height += 1
        script = height_push(self.height) + bytes((1, self.salt))
        output = TxOut(50 * COIN >> self.height // 150, SCRIPT_PUBKEY)
        coinbase = Transaction.make([TxIn(NULL_OUTPOINT, script)], [output])
        if txs:
            coinbase = commit_to_witnesses(coinbase, txs)
        root, _ = merkle_root([coinbase.txid, *(tx.txid for tx in txs)])
        when = self.tip.time + 1 if time is None else time
        block = Block(solved(BlockHeader(0x20000000, self.tip.hash, root, when, BITS, 0)), [coinbase, *txs])
        self.tip = block.header
        return block

    def blocks(self, count: int, keep: int = 300) -> Iterator[Block]:
        """count blocks; each spends all lanes, one transaction a lane, and leaves an output behind."""
        for _ in range(count):
            txs = []
            for n, (outpoint, value) in enumerate(self.lanes):
                left = value - keep - 200 - self.salt
                outputs = [TxOut(left, SCRIPT_PUBKEY), TxOut(keep, SCRIPT_PUBKEY)]
                tx = Transaction.make([TxIn(outpoint)], outputs, version=2, witness=[[REDEEM_SCRIPT]])
                txs.append(tx)
                self.lanes[n] = OutPoint(tx.txid, 0), left
            yield self.block(txs)

    def fork(self, salt: int) -> Branch:
        return Branch(self.tip, self.height, list(self.lanes), salt)


def trunk(lanes: int) -> tuple[Branch, list[Block]]:
    """A chain just long enough that lanes outputs can be spent, and its blocks from height 1 on."""
    branch = Branch(regtest().genesis.header, 0, [])
    blocks = [branch.block([]) for _ in range(MATURITY)]
    first = blocks[0].vtx[0]
    value = first.vout[0].value // lanes
    fan = Transaction.make(
        [TxIn(OutPoint(first.txid, 0))],
        [TxOut(value, SCRIPT_PUBKEY) for _ in range(lanes)],
        version=2,
        witness=[[REDEEM_SCRIPT]],
    )
    blocks.append(branch.block([fan]))
    branch.lanes = [(OutPoint(fan.txid, n), value) for n in range(lanes)]
    return branch, blocks
