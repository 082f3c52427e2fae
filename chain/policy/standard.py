"""Which transactions are standard: forms, sizes, dust, inputs and witnesses (Core policy/policy.cpp)."""

from __future__ import annotations

from collections.abc import Sequence

from ..consensus.errors import TxFault, TxInvalid
from ..primitives.transaction import Coin, Transaction, TxOut
from ..script.script import (
    count_p2sh_sigops,
    count_sigops,
    is_p2sh,
    is_pay_to_anchor,
    is_push_only,
    is_unspendable,
    is_witness_program,
)
from ..script.solver import solve
from .feerate import fee_for
from .push_stack import push_stack
from .settings import MAX_STANDARD_TX_WEIGHT, PolicySettings

MIN_STANDARD_VERSION, MAX_STANDARD_VERSION = 1, 3
MIN_STANDARD_BASE_SIZE = 65
"""Bytes without witness: one of 64 bytes looks like an inner node of the merkle tree (CVE-2017-12842)."""
MAX_STANDARD_SCRIPT_SIG_SIZE = 1650
MAX_STANDARD_SIGOPS_COST = 80_000 // 5
MAX_P2SH_SIGOPS = 15
MAX_LEGACY_SIGOPS = 2_500
"""Signature checks that run outside of witnesses, in one transaction (BIP 54)."""
MAX_P2WSH_STACK_ITEMS, MAX_P2WSH_STACK_ITEM_SIZE, MAX_P2WSH_SCRIPT_SIZE = 100, 80, 3600
MAX_TAPSCRIPT_STACK_ITEM_SIZE = 80
MAX_DUST_OUTPUTS = 1
"""Of a transaction without fee, to be spent by a child in the same package."""
_ANNEX_TAG, _LEAF_MASK, _LEAF_TAPSCRIPT = 0x50, 0xFE, 0xC0


def dust_threshold(txout: TxOut, dust_feerate: int) -> int:
    """Satoshis below which spending txout costs more than it holds; 0 for what cannot be spent.

    An input takes 148 bytes, or 67 vbytes where a witness program is spent (a quarter of the witness counts).
    """
    if is_unspendable(txout.script_pubkey):
        return 0
    spend = 32 + 4 + 1 + (107 // 4 if is_witness_program(txout.script_pubkey) else 107) + 4
    return fee_for(dust_feerate, len(txout.serialize()) + spend)


def dust_outputs(tx: Transaction, dust_feerate: int) -> list[int]:
    return [i for i, out in enumerate(tx.vout) if out.value < dust_threshold(out, dust_feerate)]


def is_standard_script(script_pubkey: bytes) -> str | None:
    """The type of a standard output script; None for others. Bare multisig is standard up to x of 3."""
    kind, solutions = solve(script_pubkey)
    if kind == "nonstandard":
        return None
    if kind == "multisig":
        required, keys = solutions[0][0], solutions[-1][0]
        if not 1 <= keys <= 3 or not 1 <= required <= keys:
            return None
    return kind


def check_standard(tx: Transaction, settings: PolicySettings) -> str | None:
    """Core's token for why tx is not standard, None if it is. Needs no coins."""
    if not MIN_STANDARD_VERSION <= tx.version <= MAX_STANDARD_VERSION:
        return "version"
    # signature hashes cost inputs times size: without a limit they cost more than their fee
    if tx.weight > MAX_STANDARD_TX_WEIGHT:
        return "tx-size"
    for txin in tx.vin:
        if len(txin.script_sig) > MAX_STANDARD_SCRIPT_SIG_SIZE:
            return "scriptsig-size"
        if not is_push_only(txin.script_sig):
            return "scriptsig-not-pushonly"
    data_left = settings.max_datacarrier_bytes or 0
    for out in tx.vout:
        kind = is_standard_script(out.script_pubkey)
        if kind is None:
            return "scriptpubkey"
        if kind == "nulldata":
            if len(out.script_pubkey) > data_left:
                return "datacarrier"
            data_left -= len(out.script_pubkey)
        elif kind == "multisig" and not settings.permit_bare_multisig:
            return "bare-multisig"
    if len(dust_outputs(tx, settings.dust_relay_feerate)) > MAX_DUST_OUTPUTS:
        return "dust"
    return None


def check_inputs_standard(tx: Transaction, coins: Sequence[Coin]) -> None:
    """Raises TxInvalid if an input spends a form we do not relay; looks at nothing in the witnesses.

    coins: one per input, same order.
    """

    def refuse(detail: str) -> TxInvalid:
        return TxInvalid(TxFault.INPUTS_NOT_STANDARD, "bad-txns-nonstandard-inputs", detail)

    sigops = 0
    for txin, coin in zip(tx.vin, coins, strict=True):
        sigops += count_sigops(txin.script_sig, True)
        sigops += count_p2sh_sigops(coin.script_pubkey, txin.script_sig)
        if sigops > MAX_LEGACY_SIGOPS:
            raise refuse("non-witness sigops exceed bip54 limit")
    for i, (txin, coin) in enumerate(zip(tx.vin, coins, strict=True)):
        kind, _ = solve(coin.script_pubkey)
        if kind == "nonstandard":
            raise refuse(f"input {i} script unknown")
        if kind == "witness_unknown":
            raise refuse(f"input {i} witness program is undefined")
        if kind == "scripthash":
            stack, error = push_stack(txin.script_sig)
            if error is not None:
                raise refuse(f"p2sh scriptsig malformed (input {i}: {error})")
            if not stack:
                raise refuse(f"input {i} P2SH redeemscript missing")
            count = count_sigops(stack[-1], True)
            if count > MAX_P2SH_SIGOPS:
                raise refuse(
                    f"p2sh redeemscript sigops exceed limit (input {i}: {count} > {MAX_P2SH_SIGOPS})"
                )


def is_witness_standard(tx: Transaction, coins: Sequence[Coin]) -> bool:
    """False if a witness is larger than its kind of spend needs, so that others may have changed it.

    coins: one per input, same order. An input without a witness is fine here.
    """
    for i, (txin, coin) in enumerate(zip(tx.vin, coins, strict=True)):
        witness = tx.witness_of(i)
        if not witness:
            continue
        script = coin.script_pubkey
        if is_pay_to_anchor(script):
            return False
        nested = is_p2sh(script)
        if nested:
            stack, error = push_stack(txin.script_sig)
            if error is not None or not stack:
                return False
            script = stack[-1]
        program = is_witness_program(script)
        if program is None:
            return False
        version, data = program
        if version == 0 and len(data) == 32 and not _p2wsh_standard(witness):
            return False
        if version == 1 and len(data) == 32 and not nested and not _taproot_standard(witness):
            return False
    return True


def _p2wsh_standard(witness: Sequence[bytes]) -> bool:
    return (
        len(witness[-1]) <= MAX_P2WSH_SCRIPT_SIZE
        and len(witness) - 1 <= MAX_P2WSH_STACK_ITEMS
        and all(len(item) <= MAX_P2WSH_STACK_ITEM_SIZE for item in witness[:-1])
    )


def _taproot_standard(witness: Sequence[bytes]) -> bool:
    if len(witness) < 2:
        return True  # key path
    if witness[-1][:1] == bytes((_ANNEX_TAG,)):
        return False  # annexes have no meaning yet
    control = witness[-1]
    if not control:
        return False
    if control[0] & _LEAF_MASK == _LEAF_TAPSCRIPT:
        return all(len(item) <= MAX_TAPSCRIPT_STACK_ITEM_SIZE for item in witness[:-2])
    return True


def spends_witness_program(tx: Transaction, coins: Sequence[Coin]) -> bool:
    """Whether an input spends a witness program, nested or not, other than pay-to-anchor.

    Without a witness such a spend cannot be valid, so somebody may have stripped it.
    """
    for txin, coin in zip(tx.vin, coins, strict=True):
        script = coin.script_pubkey
        if is_witness_program(script) is not None and not is_pay_to_anchor(script):
            return True
        if is_p2sh(script):
            stack, error = push_stack(txin.script_sig)
            if error is None and stack and is_witness_program(stack[-1]) is not None:
                return True
    return False
