"""How the wallets behave, from the options. Source: Core 31.99, src/wallet/wallet.cpp (LoadWalletArgs)."""

from __future__ import annotations

from pybitcoind.chain.params import ChainParams
from pybitcoind.wallet.settings import OUTPUT_TYPES, WalletSettings

from .config import Config, ConfigError
from .policy_options import money


def wallet_settings(config: Config, params: ChainParams) -> WalletSettings:
    """Raises ConfigError."""
    defaults = WalletSettings()
    address_type = config.text("addresstype", defaults.address_type)
    if address_type not in OUTPUT_TYPES:
        raise ConfigError(f"Unknown address type '{address_type}'")
    change_type = config.text("changetype", "") or None
    if change_type is not None and change_type not in OUTPUT_TYPES:
        raise ConfigError(f"Unknown change type '{change_type}'")
    fallback = money(config, "fallbackfee", defaults.fallback_feerate)
    return WalletSettings(
        keypool=max(config.number("keypool", defaults.keypool), 1),
        address_type=address_type,
        change_type=change_type,
        fallback_feerate=fallback,
        fallback_allowed=fallback > 0,
        discard_feerate=money(config, "discardfee", defaults.discard_feerate),
        min_feerate=money(config, "mintxfee", defaults.min_feerate),
        consolidate_feerate=money(config, "consolidatefeerate", defaults.consolidate_feerate),
        max_fee=money(config, "maxtxfee", defaults.max_fee),
        confirm_target=config.number("txconfirmtarget", defaults.confirm_target),
        replaceable=config.flag("walletrbf", defaults.replaceable),
        spend_zero_conf_change=config.flag("spendzeroconfchange", defaults.spend_zero_conf_change),
        avoid_partial_spends=config.flag("avoidpartialspends", defaults.avoid_partial_spends),
        reject_long_chains=config.flag("walletrejectlongchains", defaults.reject_long_chains),
        broadcast=config.flag("walletbroadcast", not config.flag("blocksonly")),
    )
