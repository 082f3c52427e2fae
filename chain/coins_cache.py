"""Coins in memory, in front of the coin store: read in one trip, written behind.

A coin is in one of three dictionaries, so that what happens most, a coin made and soon spent, costs one
entry in and one out and never reaches the disk:

- fresh: made since the last flush; the store does not have it.
- changed: the store has something else: None where the coin was spent, or the coin that replaced it.
- clean: as the store has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol, final

from .coin_memory import CoinMemory
from .primitives.block import Block
from .primitives.transaction import Coin, OutPoint
from .storage.records import coin_key


class CoinSource(Protocol):
    """What the cache needs of a CoinStore."""

    async def get_many(self, keys: list[bytes], /) -> dict[bytes, Coin]: ...

    async def flush(
        self, changes: Mapping[OutPoint, Coin | None], best_block: bytes, /, *more: Mapping[OutPoint, Coin]
    ) -> None: ...


NO_CHANGES: Final[dict[OutPoint, Coin | None]] = {}


def look_up(
    outpoints: Sequence[OutPoint], caches: Sequence[Mapping[OutPoint, Coin | None]]
) -> tuple[list[Coin | None], list[int]]:
    """What the first cache that knows it says of each of outpoints; and the places of those none knows."""
    known = [cache for cache in caches if cache]
    coins: list[Coin | None] = []
    missing: list[int] = []
    for n, outpoint in enumerate(outpoints):
        for cache in known:
            if outpoint in cache:
                coins.append(cache[outpoint])
                break
        else:
            coins.append(None)
            missing.append(n)
    return coins, missing


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

    def caches(self, over: Mapping[OutPoint, Coin | None]) -> tuple[Mapping[OutPoint, Coin | None], ...]:
        """What is in memory, under changes to come: the first of these that knows a coin is right."""
        return over, self._fresh, self._clean, self._changed

    async def fetch(
        self, outpoints: Iterable[OutPoint], over: Mapping[OutPoint, Coin | None] = NO_CHANGES
    ) -> dict[OutPoint, Coin]:
        """The coins of outpoints that exist, as a new dictionary; else as fetch_list."""
        wanted = list(outpoints)
        coins = await self.fetch_list(wanted, over)
        return {outpoint: coin for outpoint, coin in zip(wanted, coins, strict=True) if coin is not None}

    async def fetch_list(
        self,
        outpoints: Sequence[OutPoint],
        over: Mapping[OutPoint, Coin | None] = NO_CHANGES,
        block: Block | None = None,
    ) -> list[Coin | None]:
        """The coins of outpoints, in their order, None where there is none. Owner task only.

        over: changes that will be applied first. block: what its own transactions make is not looked for in
        the store. The coins that are read are kept.
        """
        coins, missing = look_up(outpoints, self.caches(over))
        if missing and block is not None:
            made = {tx.txid for tx in block.vtx}
            missing = [n for n in missing if outpoints[n].txid not in made]
        if missing:
            read = await self._read([outpoints[n] for n in missing])
            self._clean.update(read)
            for n in missing:
                coins[n] = read.get(outpoints[n])
        return coins

    async def peek(self, outpoints: Iterable[OutPoint]) -> dict[OutPoint, Coin]:
        """Like fetch from any task: keeps nothing, and tells what was true at some moment during the call."""
        wanted = list(outpoints)
        coins, missing = look_up(wanted, self.caches(NO_CHANGES))
        found = {outpoint: coin for outpoint, coin in zip(wanted, coins, strict=True) if coin is not None}
        if missing:
            found.update(await self._read([wanted[n] for n in missing]))
        return found

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
