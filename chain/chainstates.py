"""Which UTXO sets there are on the disk: the validated one, and one that was loaded from a snapshot.

A loaded set lies in a folder of its own until the blocks below it are validated too. Each change between
these states is one transaction or one rename, so a node that is killed at any moment finds, at the next
start, either the old state or the new one, and brings to an end what was begun:

- no base in its marks: it was still being loaded, and goes;
- UNVALIDATED: both sets are opened;
- VALIDATED: it takes the place of the other, which is no longer of use;
- INVALID: it is put aside, and the other one goes on as if there had been no snapshot.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from .params import AssumeUtxo, ChainParams
from .ports import Log, Storage
from .storage.coin_store import NAME, CoinStore
from .storage.database import StorageError

SNAPSHOT_NAME = "chainstate_snapshot/chainstate.sqlite"
INVALID_NAME = "chainstate_snapshot_INVALID/chainstate.sqlite"
_BASE, _STATE, _BEST = "snapshot_base", "snapshot_state", "best_block"


class SnapshotState(Enum):
    UNVALIDATED = "unvalidated"
    VALIDATED = "validated"
    INVALID = "invalid"


class CoinStores(NamedTuple):
    """validated: that of the blocks from genesis on. loaded: that of a snapshot, if one is in use."""

    validated: CoinStore
    loaded: CoinStore | None = None
    known: AssumeUtxo | None = None
    """What the parameters say of the snapshot."""

    async def close(self) -> None:
        try:
            if self.loaded is not None:
                await self.loaded.close()
        finally:
            await self.validated.close()


async def open_stores(storage: Storage, params: ChainParams, log: Log, *, wipe: bool) -> CoinStores:
    """wipe: begins with no coins, and without the snapshot. StorageError for one that is not known."""
    if not storage.exists(SNAPSHOT_NAME):
        return CoinStores(await CoinStore.open(storage, params, wipe=wipe))
    if wipe:
        log.info("[snapshot] deleting snapshot chainstate due to reindexing")
        storage.delete(SNAPSHOT_NAME, folder=True)
        return CoinStores(await CoinStore.open(storage, params, wipe=True))
    loaded = await CoinStore.open(storage, params, name=SNAPSHOT_NAME)
    try:
        base, state = await loaded.marks(_BASE, _STATE)
        if isinstance(base, bytes) and state == SnapshotState.UNVALIDATED.value:
            return await _open_both(storage, params, log, loaded, base)
    except BaseException:
        await loaded.close()
        raise
    await loaded.close()
    if base is None:
        log.info(f"[snapshot] deleting {SNAPSHOT_NAME}: it was not loaded to its end")
        storage.delete(SNAPSHOT_NAME, folder=True)
    elif state == SnapshotState.VALIDATED.value:
        _replace_validated(storage, log)
    else:
        put_aside(storage, log)
    return CoinStores(await CoinStore.open(storage, params))


async def _open_both(
    storage: Storage, params: ChainParams, log: Log, loaded: CoinStore, base: bytes
) -> CoinStores:
    known = params.snapshot_at(base)
    if known is None:
        raise StorageError(
            "A fatal internal error occurred, see debug.log for details: Assumeutxo data not found for the "
            f"given blockhash '{base[::-1].hex()}'."
        )
    log.info(f"[snapshot] detected active snapshot chainstate ({SNAPSHOT_NAME}) - loading")
    log.info(f"[snapshot] switching active chainstate to that of block {known.height}")
    return CoinStores(await CoinStore.open(storage, params), loaded, known)


def _replace_validated(storage: Storage, log: Log) -> None:
    log.info("[snapshot] cleaning up unneeded background chainstate, then reinitializing")
    log.info(f"[snapshot] deleting background chainstate directory (now unnecessary) ({NAME})")
    log.info(f"[snapshot] moving snapshot chainstate ({SNAPSHOT_NAME}) to default chainstate ({NAME})")
    storage.move(SNAPSHOT_NAME, NAME)


def put_aside(storage: Storage, log: Log) -> None:
    """Keeps an invalid set, whose database is closed, for who wants to find out what was wrong with it."""
    log.info(f"[snapshot] renaming snapshot datadir {SNAPSHOT_NAME} to {INVALID_NAME}")
    storage.move(SNAPSHOT_NAME, INVALID_NAME)


async def new_store(storage: Storage, params: ChainParams) -> CoinStore:
    """An empty store for the coins of a snapshot."""
    return await CoinStore.open(storage, params, name=SNAPSHOT_NAME, wipe=True)


def forget(storage: Storage) -> None:
    """Removes the closed store of a snapshot that is not to be used."""
    storage.delete(SNAPSHOT_NAME, folder=True)


async def mark_loaded(store: CoinStore, base: bytes) -> None:
    """From now on the set is in use at every start. All coins are there, and base's header is on the disk."""
    await store.mark({_BEST: base, _BASE: base, _STATE: SnapshotState.UNVALIDATED.value})


async def mark_state(store: CoinStore, state: SnapshotState) -> None:
    await store.mark({_STATE: state.value})
