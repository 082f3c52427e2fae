"""What the mempool and the miner keep to, from the options. Source: Core 31.99, src/node/mempool_args.cpp."""

from __future__ import annotations

import re

from pybitcoind.chain.params import ChainParams
from pybitcoind.chain.policy.settings import PolicySettings

from .config import Config, ConfigError

MAX_BLOCK_WEIGHT = 4_000_000
MIN_BLOCK_RESERVED_WEIGHT = 2_000
MAX_CLUSTER_COUNT = 64


def money(config: Config, name: str, default: int) -> int:
    """An amount or feerate option in satoshis; ConfigError in Core's words."""
    if not config.is_set(name):
        return default
    text = config.text(name)
    match = re.fullmatch(r"\s*([0-9]{0,10})(?:\.([0-9]{0,8})[0-9]*)?\s*", text)
    if match is None or not (match[1] or match[2]):
        raise ConfigError(f"Invalid amount for -{name}=<amount>: '{text}'")
    return int(match[1] or 0) * 100_000_000 + int((match[2] or "").ljust(8, "0"))


def policy_settings(config: Config, params: ChainParams) -> PolicySettings:
    """Raises ConfigError."""
    defaults = PolicySettings()
    incremental = money(config, "incrementalrelayfee", defaults.incremental_relay_feerate)
    if config.is_set("minrelaytxfee"):
        minimum = money(config, "minrelaytxfee", defaults.min_relay_feerate)
    else:
        minimum = max(defaults.min_relay_feerate, incremental)
        if minimum > defaults.min_relay_feerate:
            config.notes.append(
                (
                    "info",
                    f"Increasing minrelaytxfee to {minimum / 1e8:.8f} BTC/kvB to match incrementalrelayfee",
                )
            )
    nonstandard = config.flag("acceptnonstdtxn")
    if nonstandard and not params.is_test_chain:
        raise ConfigError(f"acceptnonstdtxn is not currently supported for {params.name} chain")
    cluster_count = config.number("limitclustercount", defaults.cluster_count)
    if cluster_count > MAX_CLUSTER_COUNT:
        raise ConfigError(f"limitclustercount must be less than or equal to {MAX_CLUSTER_COUNT}")
    data_bytes = config.number("datacarriersize", defaults.max_datacarrier_bytes or 0)
    max_weight = config.number("blockmaxweight", defaults.block_max_weight)
    if max_weight > MAX_BLOCK_WEIGHT:
        raise ConfigError(
            f"Specified -blockmaxweight ({max_weight}) exceeds consensus maximum block weight "
            f"({MAX_BLOCK_WEIGHT})"
        )
    reserved = config.number("blockreservedweight", defaults.block_reserved_weight)
    if reserved > MAX_BLOCK_WEIGHT:
        raise ConfigError(
            f"Specified -blockreservedweight ({reserved}) exceeds consensus maximum block weight "
            f"({MAX_BLOCK_WEIGHT})"
        )
    if reserved < MIN_BLOCK_RESERVED_WEIGHT:
        raise ConfigError(
            f"Specified -blockreservedweight ({reserved}) is lower than minimum safety value of "
            f"({MIN_BLOCK_RESERVED_WEIGHT})"
        )
    return PolicySettings(
        min_relay_feerate=minimum,
        incremental_relay_feerate=incremental,
        dust_relay_feerate=money(config, "dustrelayfee", defaults.dust_relay_feerate),
        max_datacarrier_bytes=data_bytes if config.flag("datacarrier", True) else None,
        permit_bare_multisig=config.flag("permitbaremultisig", True),
        require_standard=not nonstandard,
        bytes_per_sigop=config.number("bytespersigop", defaults.bytes_per_sigop),
        max_size_bytes=config.number("maxmempool", 300) * 1_000_000,
        expiry=config.number("mempoolexpiry", 336) * 3600,
        cluster_count=cluster_count,
        cluster_size_vbytes=config.number("limitclustersize", 101) * 1000,
        block_max_weight=max_weight,
        block_reserved_weight=reserved,
        block_min_feerate=money(config, "blockmintxfee", defaults.block_min_feerate),
        block_version=config.number("blockversion")
        if config.is_set("blockversion") and params.mockable
        else None,
    )
