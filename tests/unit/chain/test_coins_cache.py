"""The coins cache against a plain dictionary, and what it leaves to the store."""

from __future__ import annotations

import random
import subprocess
import sys
import tracemalloc
from pathlib import Path

import coins_child
import pytest
from ports import make_ports
from scene import make_scene

from pybitcoind.chain.coins_cache import CoinsCache
from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.transaction import Coin, OutPoint
from pybitcoind.chain.storage.coin_store import CoinStore
from pybitcoind.chain.storage.records import coin_key


def outpoint(n: int) -> OutPoint:
    return OutPoint(bytes((n % 7,)) * 32, n)


def coin(n: int) -> Coin:
    return Coin(n, b"\x51" * (n % 40), n, n % 2 == 0)


async def test_random_changes_read_back_across_flushes() -> None:
    store = await CoinStore.open(make_ports().storage, regtest())
    cache, model, rng = CoinsCache(store, 12_000), {}, random.Random(7)
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


async def test_a_list_of_coins_has_them_in_order_under_changes_to_come() -> None:
    scene = make_scene()
    block = scene.block(scene.spend(scene.mature[0]))
    store = await CoinStore.open(make_ports().storage, regtest())
    cache = CoinsCache(store, 0)
    cache.apply({outpoint(n): coin(n) for n in range(1, 5)})
    await cache.flush(bytes(32))  # the store alone has these four
    cache.apply({outpoint(5): coin(5)})
    own = OutPoint(block.vtx[1].txid, 0)
    wanted = [outpoint(n) for n in (3, 1, 2, 9, 5, 1)]
    over = {outpoint(2): None, outpoint(3): coin(30)}
    asked = []
    read = store.get_many

    async def watched(keys: list[bytes]) -> dict[bytes, Coin]:
        asked.extend(keys)
        return await read(keys)

    store.get_many = watched  # type: ignore[method-assign]
    found = await cache.fetch_list([*wanted, own], over, block)
    assert found == [coin(30), coin(1), None, None, coin(5), coin(1), None]
    assert sorted(asked) == sorted(map(coin_key, (outpoint(1), outpoint(9))))
    assert await cache.fetch_list([own], over) == [None] and asked[2:] == [coin_key(own)]
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


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("shape", ["pairs", "scripts", "churn"])
def test_the_budget_is_what_the_coins_take(shape: str) -> None:
    """-dbcache holds to some percent whatever the coins are like; scripts/bench/dbcache.py has all shapes."""
    budget = 24 << 20
    command = [sys.executable, str(Path(coins_child.__file__)), shape, str(budget)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    usage, taken, _ = map(int, output.split())
    assert 0.85 < usage / budget < 1.08 and taken / budget < 1.12, (usage, taken)
    assert 0.95 < taken / usage < 1.15, (usage, taken)


async def test_a_flush_takes_little_memory() -> None:
    """Coins are packed a part at a time, not all at once."""
    store = await CoinStore.open(make_ports().storage, regtest())
    cache = CoinsCache(store, 1 << 30)
    rng = random.Random(3)
    cache.apply({OutPoint(rng.randbytes(32), 0): coin(n) for n in range(60_000)})
    usage = cache.usage
    await cache.flush(bytes(32))
    cache.apply({OutPoint(rng.randbytes(32), 0): coin(n) for n in range(60_000)})
    tracemalloc.start()
    await cache.flush(bytes(32))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < usage * 0.8  # the larger table of the coins kept, and 16,384 coins' rows
    assert await store.count() == 120_000
    await store.close()
