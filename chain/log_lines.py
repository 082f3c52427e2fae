"""Lines of the log that Core's tests, and people who know Core, look for; and how far the sync is."""

from __future__ import annotations

from datetime import UTC, datetime
from math import log2

from .coins_cache import CoinsCache
from .consensus.errors import BlockInvalid
from .header_tree import HeaderNode
from .params import ChainParams

_MIB = 1 << 20

TX_DATA = {
    "main": (1772055173, 1315805869, 5.40111006496122),
    "testnet4": (1772013387, 14191421, 0.01848579579528412),
    "signet": (1772055248, 28676833, 0.06736623436338929),
    "regtest": (0, 0, 0.001),
}
"""By network: at a time, in seconds, so many transactions there were, and so many a second were added."""


def iso_time(seconds: int) -> str:
    """2026-11-20T20:00:00Z."""
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def describe(node: HeaderNode) -> str:
    """hash, height, work and date, as Core's lines on forks have them."""
    hash_hex = node.hash[::-1].hex()
    return f"{hash_hex} height={node.height} log2_work={log2(node.chainwork):f} date={iso_time(node.time)}"


def verification_progress(
    node: HeaderNode | None, best_header: HeaderNode | None, now: int, params: ChainParams
) -> float:
    """Share of all transactions, those expected since included, that are in the chain up to node; 0 to 1."""
    if node is None or not node.chain_tx_count:
        return 0.0
    known = params.name != "signet" or params.minimum_chainwork  # not a signet of one's own
    time, count, rate = TX_DATA.get(params.name, (0, 0, 0.0)) if known else (0, 0, 0.0)
    if node.chain_tx_count <= count:
        total = count + (now - time) * rate
    else:
        end = node.time
        if best_header is not None and abs(now - node.time) <= 2 * 60 * 60:
            end = now - (best_header.height - node.height) * params.pow_target_spacing
        total = node.chain_tx_count + (now - end) * rate
    return min(node.chain_tx_count / total, 1.0) if total > 0 else 1.0


def block_checked(block_hash: bytes, error: BlockInvalid | None) -> str:
    """What became of a block, in the category validation."""
    return f"BlockChecked: block hash={block_hash[::-1].hex()} state={error if error else 'Valid'}"


def update_tip(node: HeaderNode, coins: CoinsCache, progress: float) -> str:
    return (
        f"UpdateTip: new best={node.hash[::-1].hex()} height={node.height} "
        f"version=0x{node.version & 0xFFFFFFFF:08x} log2_work={log2(node.chainwork):f} "
        f"tx={node.chain_tx_count} date='{iso_time(node.time)}' progress={progress:f} "
        f"cache={coins.usage / _MIB:.1f}MiB({len(coins)}txo)"
    )
