"""How a node's wallets behave: Core's options, with Core's defaults (src/wallet/wallet.h, 31.99)."""

from __future__ import annotations

from typing import NamedTuple

OUTPUT_TYPES = ("legacy", "p2sh-segwit", "bech32", "bech32m")
"""In Core's order, which is that of its messages."""


class WalletSettings(NamedTuple):
    """Feerates in satoshis per 1000 vbytes."""

    keypool: int = 1000
    """-keypool: look-ahead of each ranged descriptor."""
    address_type: str = "bech32"
    """-addresstype"""
    change_type: str | None = None
    """-changetype; None: fits what is paid."""
    fallback_feerate: int = 0
    """-fallbackfee; 0 turns it off."""
    fallback_allowed: bool = False
    """-fallbackfee was given."""
    discard_feerate: int = 10_000
    """-discardfee"""
    min_feerate: int = 1_000
    """-mintxfee"""
    consolidate_feerate: int = 10_000
    """-consolidatefeerate: what spending a coin is thought to cost some time later."""
    max_fee: int = 10_000_000
    """-maxtxfee, satoshis."""
    confirm_target: int = 6
    """-txconfirmtarget, blocks."""
    replaceable: bool = True
    """-walletrbf"""
    spend_zero_conf_change: bool = True
    """-spendzeroconfchange"""
    avoid_partial_spends: bool = False
    """-avoidpartialspends"""
    reject_long_chains: bool = True
    """-walletrejectlongchains"""
    broadcast: bool = True
    """-walletbroadcast"""
