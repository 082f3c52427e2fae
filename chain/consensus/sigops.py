"""Counting signature operations, of which a block may hold 80,000 at BIP 141's prices.

Source: Bitcoin Core 31.99 src/consensus/tx_verify.cpp. Scripts of the common shapes are told by a few bytes;
all others are walked through.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..primitives.transaction import Coin, Transaction
from ..script.flags import ScriptFlags
from ..script.script import count_sigops, last_push
from .limits import WITNESS_SCALE_FACTOR

_P2SH: Final = int(ScriptFlags.P2SH)
_WITNESS: Final = int(ScriptFlags.WITNESS)


def legacy_sigops(tx: Transaction) -> int:
    """Signature operations in the scripts of tx itself, counted as before BIP 16: a multisig counts 20."""
    if tx.sigops is None:  # asked for by check_block, and when the block is connected
        tx.sigops = _count_legacy(tx)
    return tx.sigops


def _count_legacy(tx: Transaction) -> int:
    total = 0
    for _, script, _ in tx.vin:
        if script and not _two_pushes(script):
            total += count_sigops(script, False)
    for _, script in tx.vout:
        size = len(script)
        if size == 22 and script[0] == 0 and script[1] == 20:  # P2WPKH
            continue
        if size == 34 and script[1] == 32 and (script[0] == 0x51 or script[0] == 0):  # P2TR, P2WSH
            continue
        if size == 23 and script[0] == 0xA9 and script[1] == 20 and script[22] == 0x87:  # P2SH
            continue
        if size == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":  # P2PKH
            total += 1
        elif size:
            total += count_sigops(script, False)
    return total


def _two_pushes(script: bytes) -> bool:
    """Whether script is one or two pushes of up to 75 bytes: a signature, a signature and a key, a script."""
    size, length = len(script), script[0]
    if length > 75:
        return False
    end = length + 1
    if end < size:
        length = script[end]
        end += length + 1
    return end == size and length <= 75


def sigop_cost(tx: Transaction, coins: Sequence[Coin], flags: int) -> int:
    """Signature operations of tx at BIP 141's prices: 1 in a witness, 4 elsewhere.

    coins: what tx spends, in the order of tx.vin; not looked at for a coinbase. flags: the block's.
    """
    cost = legacy_sigops(tx) * WITNESS_SCALE_FACTOR
    if not flags & _P2SH or tx.is_coinbase:
        return cost
    for index, (_, script, _, _) in enumerate(coins):
        cost += input_sigops(script, tx, index, flags)
    return cost


def input_sigops(script: bytes, tx: Transaction, index: int, flags: int) -> int:
    """What spending an output with script adds to the cost: operations in witnesses and redeem scripts."""
    size, with_witness = len(script), flags & _WITNESS
    if not flags & _P2SH:
        return 0
    if size == 22:
        return 1 if with_witness and script[0] == 0 and script[1] == 20 else 0
    if size == 34:
        return _program_sigops(script, tx, index) if with_witness else 0
    if size == 23 and script[0] == 0xA9 and script[1] == 20 and script[22] == 0x87:
        redeem = last_push(tx.vin[index].script_sig)
        if redeem is not None:
            cost = count_sigops(redeem, True) * WITNESS_SCALE_FACTOR
            return cost + _program_sigops(redeem, tx, index) if with_witness else cost
    return 0


def _program_sigops(program: bytes, tx: Transaction, index: int) -> int:
    """Signature operations behind a script that may be a witness program of version 0."""
    if len(program) == 22 and program[:2] == b"\x00\x14":
        return 1
    if len(program) == 34 and program[:2] == b"\x00\x20":
        witness = tx.witness_of(index)
        if witness:
            return count_sigops(witness[-1], True)
    return 0
