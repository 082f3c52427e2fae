"""The coins cache against a plain dictionary, and what it leaves to the store."""

from __future__ import annotations

import random

from ports import make_ports

from pybitcoind.chain.coins_cache import COIN_BYTES, CoinsCache
from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.transaction import Coin, OutPoint
from pybitcoind.chain.storage.coin_store import CoinStore


def outpoint(n: int) -> OutPoint:
    return OutPoint(bytes((n % 7,)) * 32, n)


def coin(n: int) -> Coin:
    return Coin(n, b"\x51" * (n % 40), n, n % 2 == 0)


async def test_random_changes_read_back_across_flushes() -> None:
    store = await CoinStore.open(make_ports().storage, regtest())
    cache, model, rng = CoinsCache(store, 20 * COIN_BYTES), {}, random.Random(7)
    for turn in range(300):
        wanted = [outpoint(rng.randrange(60)) for _ in range(10)]
        found = await cache.fetch(wanted)
        assert found == {o: model[o] for o in wanted if o in model} == await cache.peek(wanted)
        changes: dict[OutPoint, Coin | None] = {}
        for o in set(wanted):
            if rng.random() < 0.3 and o in model:
                changes[o] = None
            elif rng.random() < 0.5:
                changes[o] = coin(rng.randrange(1000))
        cache.apply(changes)
        model |= {o: c for o, c in changes.items() if c is not None}
        for o, c in changes.items():
            if c is None:
                del model[o]
        if rng.random() < 0.1 or cache.full:
            await cache.flush(turn.to_bytes(32, "big"))
            assert cache.dirty_count == 0
            assert await store.best_block() == turn.to_bytes(32, "big")
            assert await store.count() == len(model)
            assert await CoinsCache(store, 0).fetch(model) == model
    await store.close()


async def test_what_is_made_and_spent_between_flushes_never_reaches_the_store() -> None:
    store = await CoinStore.open(make_ports().storage, regtest())
    cache = CoinsCache(store, 1 << 20)
    cache.apply({outpoint(1): coin(1), outpoint(2): coin(2)})
    cache.apply({outpoint(1): None})
    assert cache.dirty_count == 1
    await cache.flush(bytes(32))
    cache.apply({outpoint(2): None})
    cache.apply({outpoint(2): coin(9)})
    assert (await cache.fetch([outpoint(2)]))[outpoint(2)] == coin(9)
    cache.apply({outpoint(2): None})
    assert await cache.fetch([outpoint(2)]) == {}
    await cache.flush(bytes(32))
    assert await store.count() == 0
    await store.close()
