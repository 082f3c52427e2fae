"""The rules of transactions: by themselves, over the coins they spend, and over time.

Source: Bitcoin Core 31.99 src/consensus/tx_check.cpp, src/consensus/tx_verify.cpp. These run for every input
of every block: plain loops over tuples, nothing made per input.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..primitives.transaction import COIN, NULL_OUTPOINT, Coin, Transaction
from .context import HeaderContext
from .errors import TxFault, TxInvalid
from .limits import (
    COINBASE_MATURITY,
    LOCKTIME_THRESHOLD,
    MAX_BLOCK_WEIGHT,
    MAX_COINBASE_SCRIPT_SIZE,
    MAX_MONEY,
    MIN_COINBASE_SCRIPT_SIZE,
    SEQUENCE_LOCKTIME_DISABLE_FLAG,
    SEQUENCE_LOCKTIME_GRANULARITY,
    SEQUENCE_LOCKTIME_MASK,
    SEQUENCE_LOCKTIME_TYPE_FLAG,
    WITNESS_SCALE_FACTOR,
)
from .sigops import legacy_sigops, sigop_cost

__all__ = [
    "check_transaction",
    "check_tx_inputs",
    "format_money",
    "is_final",
    "legacy_sigops",
    "locks_passed",
    "sequence_locks",
    "sigop_cost",
]

_SEQUENCE_FINAL = 0xFFFFFFFF
_NO_LOCKS = (-1, -1)


def check_transaction(tx: Transaction) -> None:
    """What a transaction must keep whatever it spends; raises TxInvalid, always a CONSENSUS fault."""
    if tx.sound:
        return
    vin, vout = tx.vin, tx.vout
    if not vin:
        raise TxInvalid(TxFault.CONSENSUS, "bad-txns-vin-empty")
    if not vout:
        raise TxInvalid(TxFault.CONSENSUS, "bad-txns-vout-empty")
    # Without witness: nothing has yet shown that the witness is the one its sender made.
    if tx.base_size * WITNESS_SCALE_FACTOR > MAX_BLOCK_WEIGHT:
        raise TxInvalid(TxFault.CONSENSUS, "bad-txns-oversize")

    values = [value for value, _ in vout]
    if min(values) < 0 or sum(values) > MAX_MONEY:
        _raise_bad_values(values)

    if len(vin) > 1:  # CVE-2018-17144: one coin spent twice by the same transaction
        prevouts = [prevout for prevout, _, _ in vin]
        twice = prevouts[0] == prevouts[1] if len(vin) == 2 else len(set(prevouts)) != len(vin)
        if twice:
            raise TxInvalid(TxFault.CONSENSUS, "bad-txns-inputs-duplicate")
        if NULL_OUTPOINT in prevouts:
            raise TxInvalid(TxFault.CONSENSUS, "bad-txns-prevout-null")
    elif (
        vin[0][0][1] == 0xFFFFFFFF
        and vin[0].prevout.is_null  # a coinbase
        and not MIN_COINBASE_SCRIPT_SIZE <= len(vin[0].script_sig) <= MAX_COINBASE_SCRIPT_SIZE
    ):
        raise TxInvalid(TxFault.CONSENSUS, "bad-cb-length")


def _raise_bad_values(values: Sequence[int]) -> None:
    """One is out of range, or the sum is; the first that shows it is told."""
    total = 0
    for value in values:  # CVE-2010-5139: 184 billion bitcoins out of an overflow
        if value < 0:
            raise TxInvalid(TxFault.CONSENSUS, "bad-txns-vout-negative")
        if value > MAX_MONEY:
            raise TxInvalid(TxFault.CONSENSUS, "bad-txns-vout-toolarge")
        total += value
        if total > MAX_MONEY:
            raise TxInvalid(TxFault.CONSENSUS, "bad-txns-txouttotal-toolarge")


def check_tx_inputs(tx: Transaction, coins: Sequence[Coin | None], spend_height: int) -> int:
    """The fee that tx, no coinbase, pays in a block at spend_height; raises TxInvalid.

    coins: one per tx.vin, same order; None where there is none to spend. check_transaction comes first.
    """
    if None in coins:
        raise TxInvalid(
            TxFault.MISSING_INPUTS,
            "bad-txns-inputs-missingorspent",
            "CheckTxInputs: inputs missing/spent",
        )
    value_in = 0
    for value, _, height, coinbase in coins:  # type: ignore[misc]  # no None is among them
        if coinbase and spend_height - height < COINBASE_MATURITY:
            raise TxInvalid(
                TxFault.PREMATURE_SPEND,
                "bad-txns-premature-spend-of-coinbase",
                f"tried to spend coinbase at depth {spend_height - height}",
            )
        value_in += value
        if not 0 <= value <= MAX_MONEY or value_in > MAX_MONEY:
            raise TxInvalid(TxFault.CONSENSUS, "bad-txns-inputvalues-outofrange")

    value_out = 0
    for value, _ in tx.vout:
        value_out += value
    if value_in < value_out:
        raise TxInvalid(
            TxFault.CONSENSUS,
            "bad-txns-in-belowout",
            f"value in ({format_money(value_in)}) < value out ({format_money(value_out)})",
        )
    return value_in - value_out


def is_final(tx: Transaction, height: int, time: int) -> bool:
    """Whether tx may be in a block at height; time: the block's cutoff, mtp of its parent (BIP 113)."""
    locktime = tx.locktime
    if locktime == 0 or locktime < (height if locktime < LOCKTIME_THRESHOLD else time):
        return True
    # Inputs that are all final turn the locktime off. OP_CHECKLOCKTIMEVERIFY relies on it: it asks for an
    # input that is not final.
    return all(sequence == _SEQUENCE_FINAL for _, _, sequence in tx.vin)


def sequence_locks(tx: Transaction, prev_heights: Sequence[int], prev: HeaderContext) -> tuple[int, int]:
    """Last height and time at which tx is still locked (BIP 68).

    prev_heights: one per tx.vin, same order; confirmation height of each coin, prev.height + 1 for one in the
    same block or in the mempool. prev: the block below the one tx is to be in.
    Returns (height, mtp in seconds); -1 means no lock. Whether BIP 68 holds at all is the caller's to know.
    """
    if tx.version < 2:
        return _NO_LOCKS
    min_height = min_time = -1
    for (_, _, sequence), coin_height in zip(tx.vin, prev_heights, strict=True):
        if sequence & SEQUENCE_LOCKTIME_DISABLE_FLAG:
            continue
        # One less each: locktimes are the last height and time that is too early, BIP 68 counts to the first
        # that is not.
        if sequence & SEQUENCE_LOCKTIME_TYPE_FLAG:
            # A coin's time is the earliest its block could have: the mtp of the block below.
            below = prev.ancestor(max(coin_height - 1, 0))
            seconds = (sequence & SEQUENCE_LOCKTIME_MASK) << SEQUENCE_LOCKTIME_GRANULARITY
            min_time = max(min_time, below.mtp() + seconds - 1)
        else:
            min_height = max(min_height, coin_height + (sequence & SEQUENCE_LOCKTIME_MASK) - 1)
    return min_height, min_time


def locks_passed(locks: tuple[int, int], prev: HeaderContext) -> bool:
    """Whether what `sequence_locks` gave allows the block after prev."""
    min_height, min_time = locks
    return min_height <= prev.height and (min_time < 0 or min_time < prev.mtp())


def format_money(satoshis: int) -> str:
    """Bitcoins with two to eight decimals, as in Core's messages (FormatMoney)."""
    whole, part = divmod(abs(satoshis), COIN)
    decimals = f"{part:08d}"
    decimals = decimals[:2] + decimals[2:].rstrip("0")
    return f"{'-' if satoshis < 0 else ''}{whole}.{decimals}"
