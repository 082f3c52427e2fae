"""The wallet's transactions: what state each is in, which outputs are ours, and what spends them.

Pure memory; `changed` collects what the store has to write. Core: CWalletTx and its states in wallet.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxOut

COINBASE_MATURITY = 100


@dataclass(frozen=True, slots=True)
class Confirmed:
    """index: place in the block. time: the block's."""

    block_hash: bytes
    height: int
    index: int
    time: int


@dataclass(frozen=True, slots=True)
class InMempool:
    """Unconfirmed, and in the mempool."""


@dataclass(frozen=True, slots=True)
class Conflicted:
    """A block has a transaction that spends one of its inputs, or one of an ancestor's."""

    block_hash: bytes
    height: int


@dataclass(frozen=True, slots=True)
class Inactive:
    """Neither in a block nor in the mempool. abandoned: its inputs may be spent again.

    By the user; or because it spends from a coinbase whose block left the best chain, which it stays even if
    the block comes back (as in Core).
    """

    abandoned: bool = False


TxState = Confirmed | InMempool | Conflicted | Inactive


class Spent(Enum):
    """How an output is spent: by a block, by the mempool, or by what we made and nobody has taken."""

    UNSPENT = auto()
    NONMEMPOOL = auto()
    MEMPOOL = auto()
    CONFIRMED = auto()


@dataclass(slots=True, eq=False)
class WalletTx:
    """received: when we first saw it. smart_time: the best guess at when it was made. order: of arrival.

    extra: Core's mapValue ("comment", "to", "replaces_txid", ...). mempool_conflicts: txids in the mempool
    that spend the same; kept in memory only.
    """

    tx: Transaction
    state: TxState
    received: int
    smart_time: int
    order: int
    extra: dict[str, str] = field(default_factory=dict)
    mempool_conflicts: dict[bytes, None] = field(default_factory=dict)

    @property
    def txid(self) -> bytes:
        return self.tx.txid

    @property
    def confirmed(self) -> bool:
        return isinstance(self.state, Confirmed)

    @property
    def in_mempool(self) -> bool:
        return isinstance(self.state, InMempool)

    @property
    def conflicted(self) -> bool:
        return isinstance(self.state, Conflicted)

    @property
    def abandoned(self) -> bool:
        return isinstance(self.state, Inactive) and self.state.abandoned

    @property
    def inactive(self) -> bool:
        return isinstance(self.state, Inactive)


class Ledger:
    """All transactions of one wallet, oldest first."""

    def __init__(self, is_mine: Callable[[bytes], bool]) -> None:
        self.is_mine = is_mine
        """Whether an output script is the wallet's."""
        self.height = -1
        """Of the last block processed."""
        self.txs: dict[bytes, WalletTx] = {}
        self.txos: dict[OutPoint, TxOut] = {}
        """Every output that is ours, spent or not."""
        self.changed: dict[bytes, WalletTx] = {}
        self._spends: dict[OutPoint, list[bytes]] = {}
        self._by_block: dict[bytes, dict[bytes, None]] = {}
        self._next_order = 0

    # Adding

    def load(self, wtx: WalletTx) -> None:
        """A transaction as it was stored, in order of arrival."""
        self.txs[wtx.txid] = wtx
        self._next_order = max(self._next_order, wtx.order + 1)
        self._index(wtx)
        self._place(wtx)

    def concerns(self, tx: Transaction) -> bool:
        """It pays us, spends from us, or is known."""
        return (
            tx.txid in self.txs
            or any(self.is_mine(out.script_pubkey) for out in tx.vout)
            or any(txin.prevout in self.txos for txin in tx.vin)
        )

    def add(self, tx: Transaction, state: TxState, now: int, *, rescan: bool = False) -> WalletTx:
        """tx with a new state; added if it is not known. rescan: it was found in an old block."""
        wtx = self.txs.get(tx.txid)
        if wtx is None:
            wtx = WalletTx(tx, state, now, self._smart_time(state, now, rescan), self._next_order)
            self._next_order += 1
            self.txs[tx.txid] = wtx
            self._index(wtx)
            self._place(wtx)
            self._inherit_conflict(wtx)
            self.changed[wtx.txid] = wtx
        else:
            if tx.has_witness and not wtx.tx.has_witness:
                wtx.tx = tx
                self.changed[wtx.txid] = wtx
            self.set_state(wtx, state)
        if tx.is_coinbase and wtx.inactive:
            self._orphan(wtx)
        return wtx

    def _orphan(self, coinbase: WalletTx) -> None:
        """A coinbase out of its block cannot be mined again, nor can what spends from it."""
        self._cascade(coinbase, lambda each: self.set_state(each, Inactive(abandoned=True)))

    def _index(self, wtx: WalletTx) -> None:
        if not wtx.tx.is_coinbase:
            for txin in wtx.tx.vin:
                spenders = self._spends.setdefault(txin.prevout, [])
                if wtx.txid not in spenders:
                    spenders.append(wtx.txid)
        self._find_outputs(wtx)

    def _find_outputs(self, wtx: WalletTx) -> None:
        for n, out in enumerate(wtx.tx.vout):
            if self.is_mine(out.script_pubkey):
                self.txos[OutPoint(wtx.txid, n)] = out

    def refresh_outputs(self) -> None:
        """After new scripts became ours."""
        for wtx in self.txs.values():
            self._find_outputs(wtx)

    def _inherit_conflict(self, wtx: WalletTx) -> None:
        for txin in wtx.tx.vin:
            parent = self.txs.get(txin.prevout.txid)
            if parent is not None and isinstance(parent.state, Conflicted) and not wtx.confirmed:
                self.set_state(wtx, parent.state)

    def _smart_time(self, state: TxState, now: int, rescan: bool) -> int:
        """Core's ComputeTimeSmart: the block's time, neither before what came earlier nor in the future."""
        if not isinstance(state, Confirmed):
            return now
        if rescan:
            return state.time
        latest_now, latest_entry = now, 0
        for wtx in reversed(self.txs.values()):
            if wtx.smart_time <= now + 300:
                latest_entry = wtx.smart_time
                latest_now = max(latest_now, latest_entry)
                break
        return max(latest_entry, min(state.time, latest_now))

    # States

    def set_state(self, wtx: WalletTx, state: TxState) -> None:
        if wtx.state == state:
            return
        old = wtx.state
        if isinstance(old, (Confirmed, Conflicted)):
            self._by_block[old.block_hash].pop(wtx.txid)
        wtx.state = state
        self._place(wtx)
        self.changed[wtx.txid] = wtx

    def _place(self, wtx: WalletTx) -> None:
        if isinstance(wtx.state, (Confirmed, Conflicted)):
            self._by_block.setdefault(wtx.state.block_hash, {})[wtx.txid] = None

    def _cascade(self, wtx: WalletTx, update: Callable[[WalletTx], None]) -> None:
        """update for wtx and all that spends from it, by any way."""
        todo, done = [wtx], {wtx.txid}
        while todo:
            each = todo.pop()
            update(each)
            for n in range(len(each.tx.vout)):
                for txid in self._spends.get(OutPoint(each.txid, n), ()):
                    if txid not in done:
                        done.add(txid)
                        todo.append(self.txs[txid])

    def confirm(self, tx: Transaction, state: Confirmed) -> None:
        """A block has tx, ours or not: what of ours spends the same is conflicted now."""
        for txid in self.rivals(tx):
            self._conflict(self.txs[txid], Conflicted(state.block_hash, state.height))

    def _conflict(self, wtx: WalletTx, state: Conflicted) -> None:
        def update(each: WalletTx) -> None:
            if not each.confirmed:  # the depth of a conflict only grows
                known = each.state
                if not isinstance(known, Conflicted) or state.height < known.height:
                    self.set_state(each, state)

        if not wtx.confirmed:
            self._cascade(wtx, update)

    def disconnect(self, block_hash: bytes) -> None:
        """The block left the best chain: what it confirmed, or made a conflict, is unconfirmed again."""
        for txid in list(self._by_block.get(block_hash, ())):
            wtx = self.txs[txid]
            if wtx.tx.is_coinbase:
                self._orphan(wtx)
            elif isinstance(wtx.state, (Confirmed, Conflicted)) and wtx.state.block_hash == block_hash:
                self.set_state(wtx, Inactive())

    def unplace(self, block_hash: bytes) -> None:
        """After a restart: the block is not on the best chain now, and may be again once all is loaded."""
        for txid in list(self._by_block.get(block_hash, ())):
            self.set_state(self.txs[txid], Inactive())

    def blocks(self) -> list[bytes]:
        """The blocks that transactions are confirmed or conflicted by."""
        return [block_hash for block_hash, txids in self._by_block.items() if txids]

    def abandon(self, wtx: WalletTx) -> None:
        """wtx and all that spends from it."""

        def update(each: WalletTx) -> None:
            if self.depth(each) == 0 and not each.in_mempool:
                self.set_state(each, Inactive(abandoned=True))

        self._cascade(wtx, update)

    def mempool_added(self, tx: Transaction) -> None:
        """The mempool has tx, ours or not: what of ours spends the same cannot be there."""
        for txid in self.rivals(tx):
            self._cascade(self.txs[txid], lambda each: each.mempool_conflicts.update({tx.txid: None}))

    def mempool_removed(self, tx: Transaction) -> None:
        for txid in self.rivals(tx):
            self._cascade(self.txs[txid], lambda each: each.mempool_conflicts.pop(tx.txid, None) or None)

    # Asking

    def __iter__(self) -> Iterator[WalletTx]:
        return iter(self.txs.values())

    def depth(self, wtx: WalletTx) -> int:
        """Confirmations; 0 if unconfirmed; negative if it conflicts with a block that deep."""
        if isinstance(wtx.state, Confirmed):
            return max(1, self.height - wtx.state.height + 1)
        if isinstance(wtx.state, Conflicted):
            return -max(1, self.height - wtx.state.height + 1)
        return 0

    def blocks_to_maturity(self, wtx: WalletTx) -> int:
        if not wtx.tx.is_coinbase:
            return 0
        return max(0, COINBASE_MATURITY + 1 - self.depth(wtx))

    def immature(self, wtx: WalletTx) -> bool:
        return self.blocks_to_maturity(wtx) > 0

    def rivals(self, tx: Transaction) -> list[bytes]:
        """Our transactions, other than tx, that spend one of its inputs."""
        found: dict[bytes, None] = {}
        if not tx.is_coinbase:
            for txin in tx.vin:
                for txid in self._spends.get(txin.prevout, ()):
                    if txid != tx.txid:
                        found[txid] = None
        return list(found)

    def spenders(self, outpoint: OutPoint) -> list[WalletTx]:
        return [self.txs[txid] for txid in self._spends.get(outpoint, ())]

    def how_spent(self, outpoint: OutPoint) -> Spent:
        result = Spent.UNSPENT
        for wtx in self.spenders(outpoint):
            if wtx.confirmed:
                return Spent.CONFIRMED
            if wtx.in_mempool:
                result = Spent.MEMPOOL
            elif result is Spent.UNSPENT and wtx.inactive and not wtx.abandoned and not wtx.mempool_conflicts:
                result = Spent.NONMEMPOOL
        return result

    def is_spent(self, outpoint: OutPoint) -> bool:
        return self.how_spent(outpoint) is not Spent.UNSPENT

    def debit(self, tx: Transaction) -> int:
        """Satoshis of ours that tx spends."""
        return sum(self.txos[txin.prevout].value for txin in tx.vin if txin.prevout in self.txos)

    def credit(self, tx: Transaction) -> int:
        """Satoshis that tx pays to us, change included."""
        return sum(out.value for out in tx.vout if self.is_mine(out.script_pubkey))

    def from_me(self, tx: Transaction) -> bool:
        return self.debit(tx) > 0
