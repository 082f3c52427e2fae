"""How much memory a transaction takes in Core's mempool, which is what -maxmempool limits.

We count as Core does on a 64-bit machine, not what Python takes: limits, eviction and the minimum fee then
set in at the same point as everywhere else in the network. Source: Core memusage.h, core_memusage.h.
"""

from __future__ import annotations

from ..primitives.transaction import Transaction

_TX, _SHARED_COUNTER, _TXIN, _TXOUT, _VECTOR = 128, 24, 112, 48, 24
_INLINE_SCRIPT = 36
_ENTRY = 136 + 9 * 8
_SPENDER = 32 + 16
_DELTA = 32 + 40
_GRAPH = 232
"""Graph entry, share of its cluster and of the index of chunks, found by comparing with the daemon."""


def _malloc(size: int) -> int:
    return (size + 31) >> 4 << 4 if size else 0


DELTA_USAGE = _malloc(_DELTA)


def transaction_usage(tx: Transaction) -> int:
    """Bytes of memory for tx alone."""
    total = (
        _malloc(_TX)
        + _malloc(_SHARED_COUNTER)
        + _malloc(len(tx.vin) * _TXIN)
        + _malloc(len(tx.vout) * _TXOUT)
    )
    for txin in tx.vin:
        if len(txin.script_sig) > _INLINE_SCRIPT:
            total += _malloc(len(txin.script_sig))
    for out in tx.vout:
        if len(out.script_pubkey) > _INLINE_SCRIPT:
            total += _malloc(len(out.script_pubkey))
    for stack in tx.witness:
        total += _malloc(len(stack) * _VECTOR) + sum(_malloc(len(item)) for item in stack)
    return total


def entry_usage(tx: Transaction) -> int:
    """Bytes of memory for tx and all that the mempool keeps about it."""
    return transaction_usage(tx) + _malloc(_ENTRY) + len(tx.vin) * _malloc(_SPENDER) + _GRAPH
