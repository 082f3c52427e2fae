"""Money for tests: the coins of the ready chain and of every block that `mine` made without another wish."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pybitcoind.chain.primitives.hashes import hash_from_hex, hash_hex
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxOut

from .blocks import (
    FAUCET_SCRIPT,
    MATURITY,
    READY_HEIGHT,
    faucet_address,
    ready_blocks,
    satoshis,
    script_of,
    spend_faucet,
)

if TYPE_CHECKING:
    from .node import BitcoinNode

FEERATE = 2
"""Satoshis per vbyte of what the faucet pays."""
DUST = 1000
INPUT_VSIZE, OUTPUT_VSIZE, REST_VSIZE = 68, 34, 12


@dataclass(frozen=True, slots=True)
class Coin:
    outpoint: OutPoint
    value: int


class Faucet:
    """Pays from the faucet's key, by the coins that a node says there are. It has no state that a
    reorganisation or a restore could make wrong."""

    def __init__(self, *, ready: bool = False) -> None:
        """ready: the node has the ready chain."""
        first = ready_blocks()[: READY_HEIGHT + 1 - MATURITY] if ready else ()
        self._first = {OutPoint(block.vtx[0].txid, 0): block.vtx[0].vout[0].value for block in first}
        self._known: dict[OutPoint, int] = {}
        """Coins that were ours, by value; the node is asked whether they still are."""
        self.payments: dict[str, tuple[Coin, ...]] = {}
        """What each payment spends, by txid."""

    @property
    def address(self) -> str:
        return faucet_address()

    async def pay(
        self,
        node: BitcoinNode,
        outputs: Sequence[tuple[str, Decimal | int | float | str]],
        *,
        feerate: float = FEERATE,
    ) -> str:
        """One transaction from the faucet to (address, BTC) each, in node's mempool: its txid."""
        outs = [TxOut(satoshis(amount), script_of(address)) for address, amount in outputs]
        tx = await self.make(node, outs, feerate=feerate)
        return await node.send(tx.raw.hex())

    async def make(
        self,
        node: BitcoinNode,
        outs: Sequence[TxOut],
        *,
        feerate: float = FEERATE,
        confirmed: bool = False,
    ) -> Transaction:
        """A signed transaction that pays outs and gives back the change; it is not sent yet. confirmed: it
        spends nothing that waits for a block."""
        wanted = sum(out.value for out in outs)
        outs_vsize = sum(9 + len(out.script_pubkey) for out in outs)
        coins, total, fee = list[Coin](), 0, 0
        async for coin in self._coins(node, confirmed):
            coins.append(coin)
            total += coin.value
            vsize = REST_VSIZE + INPUT_VSIZE * len(coins) + OUTPUT_VSIZE + outs_vsize
            fee = int(feerate * vsize) + 1
            if total >= wanted + fee:
                break
        else:
            has, needs = Decimal(total) / 10**8, Decimal(wanted) / 10**8
            raise ValueError(
                f"the faucet has {has} BTC that can be spent now, not {needs}: mine more blocks, each makes "
                "the coins of one a hundred blocks older spendable"
            )
        change = total - wanted - fee
        all_outs = [*outs, *([TxOut(change, FAUCET_SCRIPT)] if change > DUST else [])]
        tx = spend_faucet([(coin.outpoint, coin.value) for coin in coins], all_outs)
        back = [out.value if out.script_pubkey == FAUCET_SCRIPT else 0 for out in all_outs]
        self.remember(hash_hex(tx.txid), coins, back)
        return tx

    def remember(self, txid: str, spent: Sequence[Coin], back: Sequence[int]) -> None:
        """A payment of the faucet's. back: what each of its outputs pays to the faucet again."""
        self.payments[txid] = tuple(spent)
        for coin in spent:
            self._known.pop(coin.outpoint, None)
        for i, value in enumerate(back):
            if value:
                self._known[OutPoint(hash_from_hex(txid), i)] = value

    async def _coins(self, node: BitcoinNode, confirmed: bool) -> AsyncIterator[Coin]:
        """Coins that the next block may spend, those known already first."""
        offered = set[OutPoint]()
        for outpoint, value in (self._known | self._first).items():
            out = await self._ready(node, outpoint)
            if out is None:
                self._known.pop(outpoint, None)
            elif out["confirmations"] or not confirmed:
                offered.add(outpoint)
                yield Coin(outpoint, value)
        found = await node.rpc.scantxoutset("start", [f"addr({self.address})"])
        for row in sorted(found["unspents"], key=lambda row: (row["height"], row["txid"])):
            outpoint = OutPoint(hash_from_hex(row["txid"]), row["vout"])
            ripe = not row["coinbase"] or found["height"] + 1 - row["height"] >= MATURITY
            if ripe and outpoint not in offered and await self._ready(node, outpoint):
                self._known[outpoint] = satoshis(row["amount"])
                yield Coin(outpoint, satoshis(row["amount"]))

    @staticmethod
    async def _ready(node: BitcoinNode, outpoint: OutPoint) -> dict[str, Any] | None:
        """What node says of a coin that can be spent."""
        out: dict[str, Any] | None = await node.rpc.gettxout(hash_hex(outpoint.txid), outpoint.vout, True)
        return None if out is None or (out["coinbase"] and out["confirmations"] < MATURITY) else out

    def double_spend(self, txid: str) -> str:
        """A transaction (hex) that spends what payment txid of the faucet spends, all of it back to the
        faucet. For `reorg(transactions=[...])`, or another node's `send`."""
        if txid not in self.payments:
            raise ValueError(f"{txid} is no payment of the faucet's")
        coins = self.payments[txid]
        left = sum(coin.value for coin in coins) - 20_000
        tx = spend_faucet([(coin.outpoint, coin.value) for coin in coins], [TxOut(left, FAUCET_SCRIPT)])
        self.payments[hash_hex(tx.txid)] = coins
        return tx.raw.hex()
