"""Coins by key, in order, and always with the block they stand for."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pybitcoind.chain.params import main, regtest
from pybitcoind.chain.ports import Storage
from pybitcoind.chain.primitives.transaction import Coin, OutPoint
from pybitcoind.chain.storage.coin_store import CoinStore
from pybitcoind.chain.storage.database import FileStorage, MemoryStorage, StorageError
from pybitcoind.chain.storage.records import (
    BlockUndo,
    RecordError,
    coin_key,
    outpoint_of,
    pack_coin,
    unpack_coin,
)


@pytest.fixture(params=["files", "memory"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    yield FileStorage(tmp_path) if request.param == "files" else MemoryStorage()


def make_coins(rng: random.Random, n: int) -> dict[OutPoint, Coin]:
    return {
        OutPoint(rng.randbytes(32), rng.choice((0, 1, 255, 256, 70000, 2**32 - 1))): Coin(
            rng.randrange(21 * 10**14),
            rng.randbytes(rng.choice((0, 22, 34))),
            rng.randrange(10**6),
            rng.random() < 0.1,
        )
        for _ in range(n)
    }


def test_records() -> None:
    for coin in make_coins(random.Random(1), 500).values():
        again = unpack_coin(pack_coin(coin))
        assert again == coin and type(again) is Coin and type(again.coinbase) is bool
    for outpoint in make_coins(random.Random(2), 50):
        assert outpoint_of(coin_key(outpoint)) == outpoint and len(coin_key(outpoint)) == 36
    undo = BlockUndo([[], list(make_coins(random.Random(3), 3).values())])
    assert BlockUndo.unpack(undo.pack()) == undo


@pytest.mark.parametrize(
    "junk", [b"", b"\xc1", b"\x01", b"\x93\x01\x02\x03", b"\xdd\xff\xff\xff\xff", b"\x91\x91\x05x"]
)
def test_junk_is_a_record_error(junk: bytes) -> None:
    with pytest.raises(RecordError):
        unpack_coin(junk)
    with pytest.raises(RecordError):
        BlockUndo.unpack(junk)


async def test_flush_and_get(storage: Storage) -> None:
    rng = random.Random(4)
    coins = make_coins(rng, 1700)
    store = await CoinStore.open(storage, regtest())
    assert await store.best_block() is None and await store.get_many([]) == {}
    await store.flush(coins, b"a" * 32)
    await store.close()

    store = await CoinStore.open(storage, regtest())
    assert await store.best_block() == b"a" * 32 and await store.count() == 1700
    keys = [coin_key(outpoint) for outpoint in coins]
    unknown = [coin_key(OutPoint(rng.randbytes(32), 0)) for _ in range(10)]
    for n in (1, 2, 3, 500, 511, 512, 513, 1025, 1700):
        assert await store.get_many(keys[:n] + unknown) == {
            coin_key(o): c for o, c in list(coins.items())[:n]
        }
    changed = list(coins)[5]
    changes: dict[OutPoint, Coin | None] = dict.fromkeys(list(coins)[:5]) | {changed: Coin(1, b"x", 2, True)}
    changes[OutPoint(bytes(32), 0)] = None  # created and spent between two flushes
    await store.flush(changes, b"b" * 32)
    assert await store.best_block() == b"b" * 32 and await store.count() == 1695
    assert await store.get_many(keys[:6]) == {coin_key(changed): Coin(1, b"x", 2, True)}
    assert store.disk_size() > 0
    await store.close()

    store = await CoinStore.open(storage, regtest(), wipe=True)
    assert await store.best_block() is None and await store.count() == 0
    await store.close()


async def test_scan_has_the_order_of_txid_then_vout(storage: Storage) -> None:
    rng = random.Random(5)
    txids = [rng.randbytes(32) for _ in range(20)]
    coins = {
        OutPoint(txid, vout): Coin(1, b"", 1, False)
        for txid in txids
        for vout in (0, 1, 255, 256, 65536, 2**32 - 1)
    }
    store = await CoinStore.open(storage, regtest())
    await store.flush(coins, bytes(32))
    for limit in (1, 7, 120, 5000):
        rows = [row async for page in store.scan(limit) for row in page]
        assert [outpoint_of(key) for key, _ in rows] == sorted(coins)
        assert all(unpack_coin(value) == Coin(1, b"", 1, False) for _, value in rows)
    await store.close()


async def test_snapshot(storage: Storage) -> None:
    coins = make_coins(random.Random(6), 100)
    store = await CoinStore.open(storage, regtest())
    await store.flush(coins, b"a" * 32)
    async with store.snapshot() as view:
        await store.flush(dict.fromkeys(coins), b"b" * 32)
        assert await view.best_block() == b"a" * 32
        assert sum([len(page) async for page in view.scan(9)]) == 100
    assert await store.best_block() == b"b" * 32 and await store.count() == 0
    await store.close()


async def test_other_network_and_damage(storage: Storage) -> None:
    store = await CoinStore.open(storage, regtest())
    outpoint = OutPoint(bytes(32), 1)
    await store.flush({outpoint: Coin(1, b"", 1, False)}, bytes(32))
    await store.db.write(lambda conn: conn.execute("UPDATE coins SET value=x'00'"))
    with pytest.raises(StorageError, match="damaged") as caught:
        await store.get_many([coin_key(outpoint)])
    assert "-reindex-chainstate" in caught.value.advice
    await store.close()
    with pytest.raises(StorageError, match="network regtest, not of main"):
        await CoinStore.open(storage, main())


async def test_a_flush_tells_how_far_it_is(storage: Storage) -> None:
    """Shares that rise to the whole, none of them after the flush has returned."""
    shares: list[float] = []
    store = await CoinStore.open(storage, regtest())
    store.show_flush = shares.append
    await store.flush(make_coins(random.Random(5), 40_000), b"a" * 32)
    told = list(shares)
    assert told == sorted(told)
    if isinstance(storage, FileStorage):
        assert told[-1] == 1 and len(told) > 1
    await asyncio.sleep(0)
    assert shares == told
    await store.close()
