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
    "util",
    "mining",
    "getblocktemplate",
    "generating",
    "network",
    "addresses",
    "chain_facts",
)


def modules() -> list[ModuleType]:
    return [import_module(f"{__package__}.{name}") for name in NAMES]
