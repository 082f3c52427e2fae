"""Numbers that every node agrees on. Source: Core 31.99 src/consensus/consensus.h, src/chain.h, and BIPs."""

from __future__ import annotations

from typing import Final

from ..primitives.transaction import COIN, MAX_MONEY, WITNESS_SCALE_FACTOR

MAX_BLOCK_SERIALIZED_SIZE: Final = 4_000_000
"""Bytes of a block with witness; only buffers need it, the rule is the weight."""
MAX_BLOCK_WEIGHT: Final = 4_000_000
"""BIP 141."""
MAX_BLOCK_SIGOPS_COST: Final = 80_000
"""Signature checks in a block; one outside of a witness counts 4 (BIP 141)."""
COINBASE_MATURITY: Final = 100
"""Blocks until the outputs of a coinbase may be spent."""
INITIAL_SUBSIDY: Final = 50 * COIN

MIN_COINBASE_SCRIPT_SIZE: Final = 2
MAX_COINBASE_SCRIPT_SIZE: Final = 100
MIN_WITNESS_COMMITMENT_SIZE: Final = 38
"""Bytes of the shortest script that is a witness commitment (BIP 141)."""
WITNESS_COMMITMENT_HEADER: Final = bytes.fromhex("6a24aa21a9ed")
"""OP_RETURN, push of 36 bytes, and the four bytes that mark a witness commitment (BIP 141)."""

MEDIAN_TIME_SPAN: Final = 11
"""Blocks whose timestamps make a median time past."""
MAX_FUTURE_BLOCK_TIME: Final = 2 * 60 * 60
"""Seconds a block's timestamp may be ahead of the clock."""
MAX_TIMEWARP: Final = 600
"""Seconds the first block of a difficulty period may be earlier than the last one before it (BIP 94)."""

LOCKTIME_THRESHOLD: Final = 500_000_000
"""Locktimes below are heights, from here on seconds."""
SEQUENCE_LOCKTIME_DISABLE_FLAG: Final = 1 << 31
SEQUENCE_LOCKTIME_TYPE_FLAG: Final = 1 << 22
"""Set: the relative lock counts units of 512 seconds; not set: blocks (BIP 68)."""
SEQUENCE_LOCKTIME_MASK: Final = 0xFFFF
SEQUENCE_LOCKTIME_GRANULARITY: Final = 9
"""Bits to shift a relative lock by, to have seconds."""

BIP34_IMPLIES_BIP30_LIMIT: Final = 1_983_702
"""From this height on coinbases of before BIP 34 could be repeated, so BIP 30 is checked again."""

__all__ = [
    "BIP34_IMPLIES_BIP30_LIMIT",
    "COINBASE_MATURITY",
    "INITIAL_SUBSIDY",
    "LOCKTIME_THRESHOLD",
    "MAX_BLOCK_SERIALIZED_SIZE",
    "MAX_BLOCK_SIGOPS_COST",
    "MAX_BLOCK_WEIGHT",
    "MAX_COINBASE_SCRIPT_SIZE",
    "MAX_FUTURE_BLOCK_TIME",
    "MAX_MONEY",
    "MAX_TIMEWARP",
    "MEDIAN_TIME_SPAN",
    "MIN_COINBASE_SCRIPT_SIZE",
    "MIN_WITNESS_COMMITMENT_SIZE",
    "SEQUENCE_LOCKTIME_DISABLE_FLAG",
    "SEQUENCE_LOCKTIME_GRANULARITY",
    "SEQUENCE_LOCKTIME_MASK",
    "SEQUENCE_LOCKTIME_TYPE_FLAG",
    "WITNESS_COMMITMENT_HEADER",
    "WITNESS_SCALE_FACTOR",
]
