"""dumptxoutset: the UTXO set at the tip, or as it was at an earlier block, into a file.

The node goes on meanwhile: all is read from a view of the coins as they were when the dump began. For an
earlier block the blocks since then are taken off that view; what this changes goes to a database of its own,
so nothing is copied and the chain stays where it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from .chainstate import Chainstate
from .header_tree import HeaderNode
from .primitives.transaction import Coin, OutPoint
from .snapshot import SnapshotMetadata, SnapshotWriter
from .storage.block_store import BlockUnreadable
from .storage.bulk import STEP, put_rows
from .storage.coin_store import PAGE, CoinRow, CoinStore, CoinView
from .storage.database import Connection, MemoryStorage
from .storage.records import coin_key, coin_packer, unpack_coin
from .utxo_set_hash import CoinPages, UtxoHashType, add_up

if TYPE_CHECKING:
    from .manager import ChainManager

ROLLBACK_BYTES = 64 << 20
"""Coins in memory while blocks are taken off."""
LOG_SHARE = 5
"""Percent of the blocks to be taken off between two lines in the log."""
_SPENT = b""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Dump:
    """What was written. utxo_hash: hash_serialized_3, internal order."""

    base: HeaderNode
    coins: int
    utxo_hash: bytes


async def dump_tip(chain: ChainManager, file: BinaryIO) -> Dump:
    """Writes the UTXO set at the tip to file and closes it. Ends when its task is cancelled."""
    await chain.flush()
    async with chain.chainstate.store.snapshot() as view:
        return await _write(chain, view, await _base_of(chain, view), file)


async def dump_earlier(
    chain: ChainManager, target: HeaderNode, file: BinaryIO, *, in_memory: bool = False
) -> Dump:
    """As dump_tip, for the UTXO set at target, a block of the active chain. in_memory: no file besides.

    LookupError if a block since then, or its undo data, is not stored.
    """
    await chain.flush()
    async with AsyncExitStack() as stack:
        view = await stack.enter_async_context(chain.chainstate.store.snapshot())
        tip = await _base_of(chain, view)
        coins = await stack.enter_async_context(_changed_view(chain, view, target.height, in_memory))
        await _roll_back(chain, coins, tip, target)
        chain.ports.log.info("Rollback complete. Computing UTXO statistics for created txoutset dump.")
        return await _write(chain, coins, target, file)


async def _base_of(chain: ChainManager, view: CoinView) -> HeaderNode:
    node = chain.headers.get(await view.best_block() or b"")
    assert node is not None, "the coins' block is always known"
    return node


async def _write(chain: ChainManager, coins: CoinPages, base: HeaderNode, file: BinaryIO) -> Dump:
    workers, log = chain.ports.workers, chain.ports.log
    with chain.ports.long_work("Hashing the coins") as show:
        tell = _logged(log.info, "hashed", show)
        hasher = await add_up(coins, UtxoHashType.HASH_SERIALIZED_3, workers, tell)
    digest = hasher.digest()
    assert digest is not None
    log.info("Writing snapshot to disk.")
    metadata = SnapshotMetadata(base.hash, hasher.txouts)
    writer = await workers.run(SnapshotWriter, file, metadata, chain.params)
    with chain.ports.long_work("Writing the coins") as show:
        tell = _logged(log.info, "written", show)
        async for rows in coins.scan():
            await workers.run(writer.add, rows)
            tell(int.from_bytes(rows[-1][0][:4], "big") / 2**32)
    await workers.run(writer.finish)
    assert writer.written == hasher.txouts, "a view of the coins does not change"
    return Dump(base, writer.written, digest)


def _logged(log: Callable[[str], None], done: str, show: Callable[[float], None]) -> Callable[[float], None]:
    """Progress as a line for every tenth, of which short work has none; shown all the time."""
    told = 0

    def tell(share: float) -> None:
        nonlocal told
        show(share)
        if int(share * 10) > told and share < 1:
            told = int(share * 10)
            log(f"dumptxoutset: {told * 10}% of the coins {done}")

    return tell


# Earlier blocks


class _ChangedView:
    """Coins of a view with changes above them, which are kept in a database of their own."""

    def __init__(self, below: CoinView, changes: CoinStore) -> None:
        self._below, self._changes = below, changes

    async def get_many(self, keys: list[bytes]) -> dict[bytes, Coin]:
        changed = await self._changes.db.read(lambda conn: _select(conn, keys))
        found = await self._below.get_many([key for key in keys if key not in changed])
        found.update((key, unpack_coin(value)) for key, value in changed.items() if value != _SPENT)
        return found

    async def flush(
        self, changes: Mapping[OutPoint, Coin | None], best_block: bytes, *more: Mapping[OutPoint, Coin]
    ) -> None:
        pack = coin_packer()
        items = [item for some in (changes, *more) for item in some.items()]
        rows = sorted((coin_key(at), _SPENT if coin is None else pack(coin)) for at, coin in items)
        await self._changes.db.write(lambda conn: put_rows(conn, "coins", rows))

    async def scan(self) -> AsyncIterator[list[CoinRow]]:
        after = b""
        while True:
            below, above = await self._below.page(after), await self._changes.page(after)
            if not below and not above:
                return
            # Both are complete only up to the last key of one that was cut.
            ends = [rows[-1][0] for rows in (below, above) if len(rows) == PAGE]
            after = min(ends) if ends else max(rows[-1][0] for rows in (below, above) if rows)
            merged = {key: value for rows in (below, above) for key, value in rows if key <= after}
            page = sorted((key, value) for key, value in merged.items() if value != _SPENT)
            if page:
                yield page


def _select(conn: Connection, keys: list[bytes]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for start in range(0, len(keys), STEP):
        some = keys[start : start + STEP]
        marks = ",".join("?" * len(some))
        found.update(conn.execute(f"SELECT key, value FROM coins WHERE key IN ({marks})", some))
    return found


@asynccontextmanager
async def _changed_view(
    chain: ChainManager, below: CoinView, height: int, in_memory: bool
) -> AsyncIterator[_ChangedView]:
    """The database with the changes is deleted in the end; one that a killed node left, in the beginning."""
    if in_memory:
        chain.ports.log.info(
            "Using in-memory database for UTXO-set rollback (this may require significant RAM)."
        )
    storage = MemoryStorage() if in_memory else chain.ports.storage
    name = f"temp_utxo_{height}/changes.sqlite"
    changes = await CoinStore.open(storage, chain.params, name=name, wipe=True)
    try:
        yield _ChangedView(below, changes)
    finally:
        await changes.close()
        storage.delete(name, folder=True)


async def _roll_back(chain: ChainManager, coins: _ChangedView, tip: HeaderNode, target: HeaderNode) -> None:
    """Takes the blocks behind target off coins, which stand for tip."""
    log = chain.ports.log
    log.info(f"Rolling back from height {tip.height} to {target.height}")
    state: Chainstate = chain.chainstate.overlay(coins)
    state.tip, state.coins.budget = tip, ROLLBACK_BYTES
    told, node = 0, tip
    while node is not target:
        assert node.prev is not None, "target is on the chain"
        try:
            block, undo = await chain.read_block(node), await chain.read_undo(node)
        except (BlockUnreadable, LookupError) as error:
            log.error(f"{error}")
            raise LookupError(f"Failed to read block at height {node.height}") from None
        step = await state.prepare_disconnect(block, node, undo)
        state.apply(step)
        node = node.prev
        share = (tip.height - node.height) * 100 // (tip.height - target.height)
        if share >= told + LOG_SHARE:
            told = share
            log.info(f"Rolled back {share}% of blocks.")
        if state.coins.full:
            await state.coins.flush(node.hash)
    await state.coins.flush(target.hash)
