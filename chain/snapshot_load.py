"""loadtxoutset: the coins of a snapshot file become a second chainstate, once all of them were checked.

The node goes on while they are read. Their hash is computed over what was stored, so a disk that errs is
found out too.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from .chainstates import forget, new_store
from .header_tree import HeaderNode
from .loaded_snapshot import activate
from .params import AssumeUtxo
from .snapshot import SnapshotError, SnapshotReader
from .storage.coin_store import CoinRow, CoinStore
from .storage.database import uninterrupted
from .utxo_set_hash import UtxoHashType, add_up

if TYPE_CHECKING:
    from .manager import ChainManager

BATCH = 10_000
"""Coins stored in one transaction."""
LOG_COINS = 1_000_000
"""Coins between two lines on how far it is."""


async def load(chain: ChainManager, reader: SnapshotReader) -> HeaderNode:
    """The block whose coins they are, now the tip of the active chain. SnapshotError in Core's words.

    If it fails, or its task is cancelled, nothing is left of it.
    """
    base, known = _usable(chain, reader.metadata.base_hash)
    if chain.loading_snapshot:
        raise SnapshotError("Can't activate a snapshot-based chainstate more than once")
    chain.loading_snapshot = True
    store: CoinStore | None = None
    try:
        store = await new_store(chain.ports.storage, chain.params)
        try:
            await _populate(chain, reader, store, base, known)
        except SnapshotError as error:
            raise SnapshotError(f"Population failed: {error}") from None
        # Once it has begun it is not to be broken off: it is done, or refused.
        activating = partial(activate, chain, store, base, known)
        await uninterrupted(chain.submit(activating, expected=(SnapshotError,)))
    finally:
        chain.loading_snapshot = False
        if chain.chainstate.store is not store:
            if store is not None:
                await store.close()
            forget(chain.ports.storage)
    return base


def _usable(chain: ChainManager, base_hash: bytes) -> tuple[HeaderNode, AssumeUtxo]:
    """The snapshot's block and what is known of it, if it can be used now."""
    hex_hash, best = base_hash[::-1].hex(), chain.best_header
    if chain.loaded_snapshot is not None:
        raise SnapshotError("Can't activate a snapshot-based chainstate more than once")
    known = chain.params.snapshot_at(base_hash)
    if known is None:
        heights = ", ".join(str(one.height) for one in chain.params.assume_utxo)
        raise SnapshotError(
            f"assumeutxo block hash in snapshot metadata not recognized (hash: {hex_hash}). The following "
            f"snapshot heights are available: {heights}"
        )
    base = chain.headers.get(base_hash)
    if base is None:
        raise SnapshotError(
            f"The base block header ({hex_hash}) must appear in the headers chain. Make sure all headers are "
            "syncing, and call loadtxoutset again"
        )
    if base.failed:
        raise SnapshotError(f"The base block header ({hex_hash}) is part of an invalid chain")
    if not best.descends_from(base):
        raise SnapshotError(
            "A forked headers-chain with more work than the chain with the snapshot base block header "
            "exists. Please proceed to sync without AssumeUtxo."
        )
    if chain.mempool is not None and len(chain.mempool):
        raise SnapshotError("Can't activate a snapshot when mempool not empty")
    return base, known


async def _populate(
    chain: ChainManager, reader: SnapshotReader, store: CoinStore, base: HeaderNode, known: AssumeUtxo
) -> None:
    if base.chainwork <= chain.tip.chainwork:
        raise SnapshotError("Work does not exceed active chainstate")
    log, workers, count = chain.ports.log, chain.ports.workers, reader.metadata.coins_count
    hex_hash = base.hash[::-1].hex()
    log.info(f"[snapshot] loading {count} coins from snapshot {hex_hash}")
    rows: list[CoinRow] = []
    more, told = True, 0
    while more:  # while some are read, those before are stored
        storing = asyncio.ensure_future(store.add_rows(rows))
        try:
            rows = await workers.run(_read, reader, known.height)
        finally:
            await storing
        more = bool(rows)
        if reader.processed // LOG_COINS > told:
            told = reader.processed // LOG_COINS
            log.info(
                f"[snapshot] {reader.processed} coins loaded ({100 * reader.processed / max(1, count):.2f}%)"
            )
    await workers.run(reader.finish)
    log.info(f"[snapshot] loaded {count} coins from snapshot {hex_hash}")
    hasher = await add_up(store, UtxoHashType.HASH_SERIALIZED_3, workers)
    actual, expected = hasher.digest() or b"", known.hash_serialized
    if actual != expected:
        raise SnapshotError(
            f"Bad snapshot content hash: expected {expected[::-1].hex()}, got {actual[::-1].hex()}"
        )
    log.info(f"[snapshot] validated snapshot ({store.disk_size() / 1e6:.2f} MB)")


def _read(reader: SnapshotReader, base_height: int) -> list[CoinRow]:
    return reader.read(BATCH, base_height)
