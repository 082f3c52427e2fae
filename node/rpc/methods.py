"""Which files declare methods: one per category of Core's help."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

NAMES = (
    "control",
    "blockchain",
    "coins",
    "mempool",
    "packages",
    "rawtransactions",
    "txoutproof",
    "multisig",
    "messages",
    "fees",
    "util",
    "mining",
    "getblocktemplate",
    "generating",
    "network",
    "addresses",
    "chain_facts",
    "block_stats",
    "snapshots",
    "script_history",
)
WALLET_NAMES = (
    "wallet",
    "wallet_addresses",
    "wallet_coins",
    "wallet_descriptors",
    "wallet_history",
    "wallet_messages",
    "wallet_send",
)


def modules(*, wallets: bool = True) -> list[ModuleType]:
    """wallets: False leaves out the methods of a wallet (-disablewallet)."""
    names = NAMES + WALLET_NAMES if wallets else NAMES
    return [import_module(f"{__package__}.{name}") for name in names]
