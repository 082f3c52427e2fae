"""What the pages say of a transaction: where it is, what it spends and pays, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pybitcoind.chain.events import RemovalReason
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.mempool.entry import MEMPOOL_HEIGHT, MempoolEntry
from pybitcoind.chain.params import ChainParams
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import Coin, OutPoint, Transaction
from pybitcoind.chain.script.address import encode_address, extract_destination
from pybitcoind.chain.script.script import last_push, to_asm
from pybitcoind.chain.script.solver import solve

from .blocks import Blocks
from .departed import DepartedTransactions
from .words import pushed_text

if TYPE_CHECKING:
    from ..rpc.context import RpcContext

PROBED = 64
"""Outputs looked up among the coins to find the block of a transaction where there is no index; spent coins
that are looked for to say what a transaction would have paid."""
KINDS = {
    "pubkey": "P2PK",
    "pubkeyhash": "P2PKH",
    "scripthash": "P2SH",
    "multisig": "bare multisig",
    "nulldata": "data",
    "witness_v0_keyhash": "P2WPKH",
    "witness_v0_scripthash": "P2WSH",
    "witness_v1_taproot": "P2TR",
    "witness_unknown": "unknown witness program",
    "anchor": "anchor",
    "nonstandard": "nonstandard",
}
"""What people call the types of output scripts."""
REASONS = {
    RemovalReason.REPLACED: ("replaced", "Replaced by a transaction that pays more."),
    RemovalReason.CONFLICT: ("conflicted", "Cannot confirm: a block spent the same coin otherwise."),
    RemovalReason.EXPIRY: ("dropped", "Left the mempool: it waited for too long."),
    RemovalReason.SIZELIMIT: ("dropped", "Left the mempool: it was full, and this paid the least."),
    RemovalReason.REORG: ("dropped", "Left the mempool: after a reorganisation it could not confirm."),
}


@dataclass(frozen=True, slots=True)
class ScriptView:
    """An output script. address: "" where it has none. note: text in a data output."""

    hex: str
    asm: str
    kind: str
    address: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """A witness item, with its script if it is one."""

    hex: str
    size: int
    asm: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class InputView:
    """coin and script: None where what it spends is not known. age: blocks between it and the spend."""

    index: int
    prev_txid: str
    prev_vout: int
    coinbase: bool
    value: int | None
    script: ScriptView | None
    generated: bool
    height: int | None
    asm: str
    hex: str
    redeem: str
    witness: list[Item]
    sequence: int
    note: str


@dataclass(slots=True)
class OutputView:
    """state: unspent, spent, unspendable, or unknown. spender: "" where it is not known."""

    index: int
    value: int
    script: ScriptView
    state: str = "unknown"
    spender: str = ""


@dataclass(slots=True)
class Found:
    """A transaction and where it is. node: its block; entry: in the mempool; departed: why it is gone."""

    tx: Transaction
    node: HeaderNode | None = None
    entry: MempoolEntry | None = None
    state: str = "confirmed"
    explanation: str = ""
    successor: str = ""
    index: int | None = None
    """In its block."""
    coins: Sequence[Coin | None] = field(default_factory=list)
    """What its inputs spend, in their order; empty for a coinbase."""

    @property
    def fee(self) -> int | None:
        if self.entry is not None:
            return self.entry.fee
        spent = [coin.value for coin in self.coins if coin is not None]
        if self.tx.is_coinbase or len(spent) < len(self.tx.vin):
            return None
        return sum(spent) - sum(out.value for out in self.tx.vout)


class Transactions:
    """Finds transactions, and says what is known of them."""

    def __init__(self, ctx: RpcContext, blocks: Blocks, departed: DepartedTransactions) -> None:
        self._ctx, self._blocks, self._departed = ctx, blocks, departed

    async def find(self, txid: bytes, where: HeaderNode | None = None) -> Found | None:
        """where: a block in which it is said to be, for nodes without a transaction index."""
        pool = self._ctx.node.mempool
        entry = pool.get(txid) if pool is not None else None
        if entry is not None:
            coins = await self._coins(entry.tx)
            return Found(entry.tx, entry=entry, state="unconfirmed", coins=coins)
        for node in [await self._indexed(txid), where, await self._by_coins(txid)]:
            found = None if node is None else await self._in_block(txid, node)
            if found is not None:
                return found
        return await self._gone(txid)

    async def _indexed(self, txid: bytes) -> HeaderNode | None:
        index = self._ctx.tx_index
        if index is None:
            return None
        await self._ctx.chain.events.drained()
        found = await index.find(txid)
        return None if found is None else self._ctx.chain.headers.get(found[0])

    async def _by_coins(self, txid: bytes) -> HeaderNode | None:
        """Its block, known from an output that is not spent yet."""
        if self._ctx.node.spv is not None:
            return None
        coins = await self._ctx.chain.get_coins(OutPoint(txid, i) for i in range(PROBED))
        coin = next((coin for coin in coins.values() if coin is not None), None)
        return None if coin is None else self._ctx.chain.headers.chain[coin.height]

    async def _in_block(self, txid: bytes, node: HeaderNode) -> Found | None:
        try:
            block, spent = await self._blocks.read(node)
        except LookupError:
            return None
        for index, tx in enumerate(block.vtx):
            if tx.txid == txid:
                coins = [] if index == 0 or spent is None else spent[index - 1]
                found = Found(tx, node=node, index=index, coins=coins)
                if not self._ctx.chain.headers.in_chain(node):
                    found.state = "off the chain"
                    found.explanation = "Its block is not on the active chain any more, or not yet."
                return found
        return None

    async def _gone(self, txid: bytes) -> Found | None:
        gone = self._departed.get(txid)
        if gone is None:
            return None
        state, explanation = REASONS[gone.reason]
        successor = "" if gone.successor is None else hash_hex(gone.successor)
        return Found(
            gone.tx,
            state=state,
            explanation=explanation,
            successor=successor,
            coins=await self._coins(gone.tx),
        )

    async def _coins(self, tx: Transaction) -> list[Coin | None]:
        """What an unconfirmed transaction spends, as far as it is there."""
        pool = self._ctx.node.mempool
        found = await self._ctx.chain.get_coins(txin.prevout for txin in tx.vin)
        coins, left = list[Coin | None](), PROBED
        for txin in tx.vin:
            coin = found[txin.prevout]
            if coin is None and pool is not None:
                coin = pool.coin(txin.prevout)
            if coin is None and left:
                coin, left = await self._spent_coin(txin.prevout), left - 1
            coins.append(coin)
        return coins

    async def _spent_coin(self, outpoint: OutPoint) -> Coin | None:
        """A coin that another has spent, from the transaction that made it: with -txindex, or while that is
        remembered as gone."""
        node = await self._indexed(outpoint.txid)
        made = None if node is None else await self._in_block(outpoint.txid, node)
        gone = self._departed.get(outpoint.txid)
        tx = made.tx if made is not None else gone.tx if gone is not None else None
        if tx is None or outpoint.vout >= len(tx.vout):
            return None
        value, script = tx.vout[outpoint.vout]
        return Coin(value, script, MEMPOOL_HEIGHT if node is None else node.height, tx.is_coinbase)

    async def outputs(self, found: Found, start: int, count: int) -> list[OutputView]:
        """Some of its outputs, with what became of them."""
        tx, params = found.tx, self._ctx.params
        views = [
            OutputView(i, out.value, script_view(out.script_pubkey, params))
            for i, out in enumerate(tx.vout[start : start + count], start)
        ]
        if found.state not in ("confirmed", "unconfirmed"):
            return views
        pool, spenders = self._ctx.node.mempool, self._ctx.spender_index
        outpoints = [OutPoint(tx.txid, view.index) for view in views]
        coins = await self._ctx.chain.get_coins(outpoints)
        for view, outpoint in zip(views, outpoints, strict=True):
            spender = pool.spender_of(outpoint) if pool is not None else None
            if spender is not None:
                view.state, view.spender = "spent, unconfirmed", hash_hex(spender.txid)
            elif view.script.kind == "data" or (found.node is not None and found.node.height == 0):
                view.state = "unspendable"
            elif found.entry is not None or coins[outpoint] is not None:
                view.state = "unspent"
            else:
                view.state = "spent"
                if spenders is not None:
                    known = await spenders.find(outpoint)
                    view.spender = "" if known is None else hash_hex(known.tx.txid)
        return views


def inputs(found: Found, params: ChainParams, start: int, count: int) -> list[InputView]:
    """Some of its inputs."""
    return [_input(found, index, params) for index in range(start, min(start + count, len(found.tx.vin)))]


def _input(found: Found, index: int, params: ChainParams) -> InputView:
    tx = found.tx
    txin = tx.vin[index]
    coin = found.coins[index] if index < len(found.coins) else None
    script = None if coin is None else script_view(coin.script_pubkey, params)
    redeem = ""
    if script is not None and script.kind == "P2SH":
        pushed = last_push(txin.script_sig)
        redeem = to_asm(pushed) if pushed else ""
    height = None if coin is None or coin.height == MEMPOOL_HEIGHT else coin.height
    return InputView(
        index,
        hash_hex(txin.prevout.txid),
        txin.prevout.vout,
        tx.is_coinbase,
        None if coin is None else coin.value,
        script,
        coin is not None and coin.coinbase,
        height,
        "" if tx.is_coinbase else to_asm(txin.script_sig, True),
        txin.script_sig.hex(),
        redeem,
        _witness(tx.witness_of(index), coin, txin.script_sig),
        txin.sequence,
        pushed_text(txin.script_sig) if tx.is_coinbase else "",
    )


def _witness(items: Sequence[bytes], coin: Coin | None, script_sig: bytes) -> list[Item]:
    """The items; scripts that are among them are disassembled (BIP 141, BIP 341)."""
    views = [Item(item.hex(), len(item)) for item in items]
    if coin is None or not items:
        return views
    kind, _ = solve(coin.script_pubkey)
    nested = last_push(script_sig) or b"" if kind == "scripthash" else b""
    if kind == "witness_v0_scripthash" or (len(nested) == 34 and nested[0] == 0):
        views[-1] = Item(items[-1].hex(), len(items[-1]), to_asm(items[-1]), "witness script")
    elif kind == "witness_v1_taproot":
        stack = list(items)
        if len(stack) >= 2 and stack[-1][:1] == b"\x50":
            views[-1] = Item(stack[-1].hex(), len(stack[-1]), "", "annex")
            stack.pop()
        if len(stack) >= 2:
            last = len(stack) - 1
            views[last] = Item(stack[last].hex(), len(stack[last]), "", "control block")
            views[last - 1] = Item(
                stack[last - 1].hex(), len(stack[last - 1]), to_asm(stack[last - 1]), "leaf script"
            )
    return views


def script_view(script: bytes, params: ChainParams) -> ScriptView:
    kind, _ = solve(script)
    address = ""
    if kind != "pubkey":
        destination = extract_destination(script)
        address = "" if destination is None else encode_address(destination, params)
    note = pushed_text(script) if kind == "nulldata" else ""
    return ScriptView(script.hex(), to_asm(script), KINDS.get(kind, kind), address, note)
