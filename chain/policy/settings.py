"""The settings of mempool and relay policy, with the defaults of Bitcoin Core 31.99."""

from __future__ import annotations

from typing import NamedTuple

MAX_STANDARD_TX_WEIGHT = 400_000


class PolicySettings(NamedTuple):
    """Feerates in satoshis per 1000 vbytes. Each field is one of Core's options, named beside it."""

    min_relay_feerate: int = 100
    """-minrelaytxfee"""
    incremental_relay_feerate: int = 100
    """-incrementalrelayfee: least raise for a replacement, and step of the mempool's minimum."""
    dust_relay_feerate: int = 3000
    """-dustrelayfee"""
    max_datacarrier_bytes: int | None = MAX_STANDARD_TX_WEIGHT // 4
    """-datacarriersize: bytes of all OP_RETURN scripts of a transaction; None (-datacarrier=0): none."""
    permit_bare_multisig: bool = True
    """-permitbaremultisig"""
    require_standard: bool = True
    """-acceptnonstdtxn turned round."""
    bytes_per_sigop: int = 20
    """-bytespersigop"""
    max_size_bytes: int = 300_000_000
    """-maxmempool, here in bytes of memory."""
    expiry: int = 336 * 60 * 60
    """-mempoolexpiry, here in seconds."""
    cluster_count: int = 64
    """-limitclustercount"""
    cluster_size_vbytes: int = 101_000
    """-limitclustersize, here in vbytes."""
    block_max_weight: int = 4_000_000
    """-blockmaxweight"""
    block_reserved_weight: int = 8_000
    """-blockreservedweight: kept for header, transaction count and coinbase."""
    block_min_feerate: int = 1
    """-blockmintxfee"""
    block_version: int | None = None
    """-blockversion, regtest only."""
