"""Coins in memory, in front of the coin store: read in one trip, written behind.

A coin is in one of three dictionaries, so that what happens most, a coin made and soon spent, costs one
entry in and one out and never reaches the disk:

- fresh: made since the last flush; the store does not have it.
- changed: the store has something else: None where the coin was spent, or the coin that replaced it.
- clean: as the store has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol, final

from .coin_memory import CoinMemory
from .primitives.transaction import Coin, OutPoint
from .storage.records import coin_key


class CoinSource(Protocol):
    """What the cache needs of a CoinStore."""

    async def get_many(self, keys: list[bytes], /) -> dict[bytes, Coin]: ...

    async def flush(
        self, changes: Mapping[OutPoint, Coin | None], best_block: bytes, /, *more: Mapping[OutPoint, Coin]
    ) -> None: ...


NO_CHANGES: Final[dict[OutPoint, Coin | None]] = {}


@final
class CoinsCache:
    """The coins of one chainstate. Written to on the owner task only.

    budget: bytes of memory from which `full` asks for a flush; kept by measurement, to some percent.
    """

    def __init__(self, store: CoinSource, budget: int) -> None:
        self._store = store
        self.budget = budget
        self._fresh: dict[OutPoint, Coin] = {}
        self._changed: dict[OutPoint, Coin | None] = {}
        self._clean: dict[OutPoint, Coin] = {}
        self._memory = CoinMemory()

    def __len__(self) -> int:
        """Coins and spent coins in memory."""
        return len(self._fresh) + len(self._changed) + len(self._clean)

    @property
    def usage(self) -> int:
        """Bytes of memory, measured now and then."""
        return self._memory.usage(self._fresh, self._changed, self._clean)

    @property
    def full(self) -> bool:
        caches = self._fresh, self._changed, self._clean
        room = self.budget - self._memory.growth(*caches)
        if self.usage < room:
            return False
        self._memory.look(*caches)  # a flush is dear, a look is not
        return self.usage >= room

    @property
    def dirty_count(self) -> int:
        """Entries that the next flush writes."""
        return len(self._fresh) + len(self._changed)

    async def fetch(
        self, outpoints: Iterable[OutPoint], over: dict[OutPoint, Coin | None] = NO_CHANGES
    ) -> dict[OutPoint, Coin]:
        """The coins of outpoints that exist, as a new dictionary; those read are kept. Owner task only.

        over: changes that will be applied first.
        """
        found, missing = self._cached(outpoints, over)
        if missing:
            read = await self._read(missing)
            self._clean.update(read)
            found.update(read)
        return found

    async def peek(self, outpoints: Iterable[OutPoint]) -> dict[OutPoint, Coin]:
        """Like fetch from any task: keeps nothing, and tells what was true at some moment during the call."""
        found, missing = self._cached(outpoints, NO_CHANGES)
        if missing:
            found.update(await self._read(missing))
        return found

    def _cached(
        self, outpoints: Iterable[OutPoint], over: dict[OutPoint, Coin | None]
    ) -> tuple[dict[OutPoint, Coin], list[OutPoint]]:
        fresh, clean, changed = self._fresh.get, self._clean.get, self._changed
        found: dict[OutPoint, Coin] = {}
        missing: list[OutPoint] = []
        for outpoint in outpoints:
            if over and outpoint in over:
                coin = over[outpoint]
            else:
                coin = fresh(outpoint) or clean(outpoint)
                if coin is None:
                    if outpoint not in changed:
                        missing.append(outpoint)
                        continue
                    coin = changed[outpoint]
            if coin is not None:
                found[outpoint] = coin
        return found, missing

    async def _read(self, outpoints: list[OutPoint]) -> dict[OutPoint, Coin]:
        keys = {coin_key(outpoint): outpoint for outpoint in outpoints}
        rows = await self._store.get_many(list(keys))
        return {keys[key]: coin for key, coin in rows.items()}

    def apply(self, changes: Mapping[OutPoint, Coin | None]) -> None:
        """Sets coins, and spends those that are None.

        Every outpoint that the store has, a spent one or one to be replaced, must have been fetched before.
        """
        fresh, changed, clean = self._fresh, self._changed, self._clean
        for outpoint, coin in changes.items():
            if coin is None:
                if fresh.pop(outpoint, None) is None:
                    clean.pop(outpoint, None)
                    changed[outpoint] = None
            elif changed and outpoint in changed:
                changed[outpoint] = coin
            elif clean and outpoint in clean:
                del clean[outpoint]
                changed[outpoint] = coin
            else:
                fresh[outpoint] = coin

    async def flush(self, best_block: bytes) -> None:
        """Writes all changes with the hash of the block they lead to, in one transaction.

        Keeps the coins while there is room for them and forgets all of them otherwise.
        """
        await self._store.flush(self._changed, best_block, self._fresh)
        if self.full:
            self._clean = {}
        else:
            self._clean.update(self._fresh)
            self._clean.update((outpoint, coin) for outpoint, coin in self._changed.items() if coin)
        self._fresh, self._changed = {}, {}
