"""What a wallet has: which transactions are to be trusted, and the balances. Core: src/wallet/receive.cpp."""

from __future__ import annotations

from dataclasses import dataclass, field

from .ledger import Ledger, Spent, WalletTx


@dataclass(slots=True)
class Balance:
    """Satoshis. nonmempool: minus what is spent by transactions of ours that no mempool has."""

    trusted: int = 0
    pending: int = 0
    immature: int = 0
    nonmempool: int = 0


@dataclass(slots=True)
class Trust:
    """Decides which transactions we rely on: confirmed ones, and our own that are in the mempool.

    Ours means that every input is ours and trusted too. Made anew for each question.
    """

    ledger: Ledger
    spend_zero_conf: bool = True
    _known: dict[bytes, bool] = field(default_factory=dict)

    def __call__(self, wtx: WalletTx) -> bool:
        known = self._known.get(wtx.txid)
        if known is None:
            known = self._known[wtx.txid] = self._decide(wtx)
        return known

    def _decide(self, wtx: WalletTx) -> bool:
        if wtx.confirmed:
            return True
        if not self.spend_zero_conf or not wtx.in_mempool or wtx.tx.is_coinbase:
            return False
        if not self.ledger.from_me(wtx.tx):
            return False
        # A chain of unconfirmed spends may be long: walk it without recursion, parents first.
        todo, order, seen = [wtx], [], {wtx.txid}
        while todo:
            each = todo.pop()
            order.append(each)
            for txin in each.tx.vin:
                parent = self.ledger.txs.get(txin.prevout.txid)
                if txin.prevout not in self.ledger.txos or parent is None:
                    return False
                if parent.confirmed or self._known.get(parent.txid):
                    continue
                if not parent.in_mempool or self._known.get(parent.txid) is False:
                    return False
                if parent.txid not in seen:
                    seen.add(parent.txid)
                    todo.append(parent)
        for each in order:
            self._known[each.txid] = True
        return True


def balance(
    ledger: Ledger, *, min_depth: int = 0, spend_zero_conf: bool = True, include_nonmempool: bool = False
) -> Balance:
    """The sums over our outputs that no block and no mempool spends."""
    result = Balance()
    trust = Trust(ledger, spend_zero_conf)
    for outpoint, out in ledger.txos.items():
        spent = ledger.how_spent(outpoint)
        if spent in (Spent.CONFIRMED, Spent.MEMPOOL):
            continue
        if spent is Spent.NONMEMPOOL and not include_nonmempool:
            continue
        wtx = ledger.txs[outpoint.txid]
        trusted = trust(wtx)
        if wtx.confirmed and ledger.immature(wtx):
            result.immature += out.value
        elif trusted and ledger.depth(wtx) >= min_depth:
            result.trusted += out.value
        elif not trusted and wtx.in_mempool:
            result.pending += out.value
        else:
            continue
        if spent is Spent.NONMEMPOOL:
            result.nonmempool -= out.value
    return result
