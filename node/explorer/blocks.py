"""What the pages say of blocks. Their facts never change, so those of the last ones looked at are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.manager import ChainManager
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import Coin, Transaction
from pybitcoind.chain.storage.block_store import BlockUnreadable

from .words import pushed_text

SUMMARIES = 2000
"""Kept of blocks: numbers only, some hundred bytes each."""
WHOLE_BYTES = 16 << 20
"""Kept of parsed blocks, in bytes of their serialization; who pages through one asks for it many times."""

Spent = Sequence[Sequence[Coin]]
"""What each transaction but the coinbase spent, in their order."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A row of a list of blocks. fees: None where the undo data is not there. Amounts in satoshis."""

    hash: str
    height: int
    time: int
    txs: int
    size: int
    weight: int
    fees: int | None
    paid: int
    """To everybody by all outputs."""
    note: str
    """The text in the coinbase."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a block's transactions. fee: None where it is not known, or a coinbase's."""

    index: int
    txid: str
    inputs: int
    outputs: int
    paid: int
    fee: int | None
    weight: int
    coinbase: bool


class Blocks:
    """Blocks with what they spent, and their summaries."""

    def __init__(self, chain: ChainManager) -> None:
        self._chain = chain
        self._summaries: OrderedDict[bytes, Summary] = OrderedDict()
        self._whole: OrderedDict[bytes, tuple[Block, Spent | None]] = OrderedDict()
        self._bytes = 0

    async def read(self, node: HeaderNode) -> tuple[Block, Spent | None]:
        """LookupError where the body is not stored; None for what it spent where that is not."""
        found = self._whole.get(node.hash)
        if found is not None and (found[1] is not None or not node.have_undo):
            self._whole.move_to_end(node.hash)
            return found
        try:
            block = await self._chain.read_block(node)
            spent: Spent | None = None
            if node.prev is None:
                spent = []
            elif node.have_undo:
                spent = (await self._chain.read_undo(node)).txs
        except BlockUnreadable as error:
            self._chain.ports.log.error(f"{error}")
            raise LookupError(error.what) from None
        self._keep(node.hash, block, spent)
        return block, spent

    def _keep(self, block_hash: bytes, block: Block, spent: Spent | None) -> None:
        old = self._whole.pop(block_hash, None)
        self._bytes += len(block.raw) - (len(old[0].raw) if old else 0)
        self._whole[block_hash] = block, spent
        while self._bytes > WHOLE_BYTES and len(self._whole) > 1:
            _, (gone, _) = self._whole.popitem(last=False)
            self._bytes -= len(gone.raw)

    async def summary(self, node: HeaderNode) -> Summary | None:
        """None where the body is not stored."""
        known = self._summaries.get(node.hash)
        if known is not None and (known.fees is not None or not node.have_undo):
            self._summaries.move_to_end(node.hash)
            return known
        if not node.have_data:
            return None
        try:
            block, spent = await self.read(node)
        except LookupError:
            return None
        made = summary_of(block, spent, node)
        self._summaries[node.hash] = made
        if len(self._summaries) > SUMMARIES:
            self._summaries.popitem(last=False)
        return made


def summary_of(block: Block, spent: Spent | None, node: HeaderNode) -> Summary:
    fees = None
    if spent is not None:
        fees = sum(fee_of(tx, coins) for tx, coins in zip(block.vtx[1:], spent, strict=False))
    return Summary(
        hash_hex(node.hash),
        node.height,
        node.time,
        len(block.vtx),
        block.size,
        block.weight,
        fees,
        sum(out.value for tx in block.vtx for out in tx.vout),
        pushed_text(block.vtx[0].vin[0].script_sig),
    )


def fee_of(tx: Transaction, coins: Sequence[Coin]) -> int:
    return sum(coin.value for coin in coins) - sum(out.value for out in tx.vout)


def rows_of(block: Block, spent: Spent | None, start: int, count: int) -> list[Row]:
    rows = []
    for index, tx in enumerate(block.vtx[start : start + count], start):
        fee = None
        if index and spent is not None and index <= len(spent):
            fee = fee_of(tx, spent[index - 1])
        paid = sum(out.value for out in tx.vout)
        rows.append(
            Row(index, hash_hex(tx.txid), len(tx.vin), len(tx.vout), paid, fee, tx.weight, index == 0)
        )
    return rows
