"""A wallet's history as Core lists it: what each transaction sent, received, generated."""

from __future__ import annotations

from dataclasses import dataclass

from pybitcoind.chain.script.script import is_unspendable

from .ledger import WalletTx
from .wallet import Wallet


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One output of a transaction, as sent or as received. amount: satoshis, negative for what we sent.

    category: send, receive, generate, immature or orphan. fee: of a send, negative.
    """

    wtx: WalletTx
    vout: int
    category: str
    amount: int
    address: str | None
    label: str | None
    fee: int | None = None


def entries(
    wallet: Wallet,
    wtx: WalletTx,
    *,
    min_depth: int = 0,
    label: str | None = None,
    include_change: bool = False,
) -> list[HistoryEntry]:
    """Sends before receipts. label: only receipts of addresses with it."""
    ledger, tx = wallet.ledger, wtx.tx
    debit = ledger.debit(tx)
    fee = debit - sum(out.value for out in tx.vout) if debit > 0 else 0
    sent: list[HistoryEntry] = []
    received: list[HistoryEntry] = []
    for n, out in enumerate(tx.vout):
        mine = wallet.is_mine(out.script_pubkey)
        if debit > 0:
            if not include_change and wallet.is_change(out.script_pubkey):
                continue
        elif not mine:
            continue
        address = None if is_unspendable(out.script_pubkey) else wallet.address_of(out.script_pubkey)
        own_label = wallet.label_of(out.script_pubkey)
        if debit > 0 and label is None:
            sent.append(HistoryEntry(wtx, n, "send", -out.value, address, own_label, -fee))
        if mine and ledger.depth(wtx) >= min_depth and (label is None or label == (own_label or "")):
            received.append(HistoryEntry(wtx, n, _category(wallet, wtx), out.value, address, own_label))
    return sent + received


def _category(wallet: Wallet, wtx: WalletTx) -> str:
    if not wtx.tx.is_coinbase:
        return "receive"
    if wallet.ledger.depth(wtx) < 1:
        return "orphan"
    return "immature" if wallet.ledger.immature(wtx) else "generate"
