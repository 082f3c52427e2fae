"""What storage costs on this machine: coins, blocks, headers, and a trip to a database's thread.

Takes some ten seconds. Usage: scripts/bench/storage.py [FOLDER]      (where the files go)
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from _bench import arguments

from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.hashes import sha256d
from pybitcoind.chain.primitives.transaction import Coin, OutPoint
from pybitcoind.chain.storage.block_store import BlockStore, HeaderRow, Position
from pybitcoind.chain.storage.coin_store import CoinStore
from pybitcoind.chain.storage.database import FileStorage
from pybitcoind.chain.storage.records import BlockUndo, coin_key

COINS, BLOCKS, BLOCK_SIZE, HEADERS = 100_000, 220, 33_000, 300_000


@contextmanager
def measured(what: str, items: int, unit: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    taken = time.perf_counter() - start
    print(f"{what:50} {taken * 1e3:8.1f} ms {taken / items * 1e6:8.2f} us a {unit}")


@contextmanager
def busy_threads(count: int) -> Iterator[None]:
    """Threads like those that check signatures: 30 us without the interpreter's lock, then a few with it."""
    stop = threading.Event()

    def work() -> None:
        data = bytes(40_000)
        while not stop.is_set():
            hashlib.sha256(data)
            sum(range(100))

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


async def coins(storage: FileStorage, rng: random.Random) -> None:
    store = await CoinStore.open(storage, regtest())
    for number in range(4):
        made = {OutPoint(rng.randbytes(32), 0): Coin(10**8, bytes(22), n, False) for n in range(COINS)}
        with measured(f"flush {COINS} coins to a table of {number * COINS}", COINS, "coin"):
            await store.flush(made, bytes(32))
    keys = [coin_key(outpoint) for outpoint in rng.sample(list(made), 20_000)]
    for threads in (0, 2):
        with busy_threads(threads), measured(f"read 500 at once, {threads} busy threads", len(keys), "coin"):
            for n in range(0, len(keys), 500):
                await store.get_many(keys[n : n + 500])
        again = dict(list(made.items())[:20_000])
        with busy_threads(threads), measured(f"flush again, {threads} busy threads", len(again), "coin"):
            await store.flush(again, bytes(32))
    with measured("trips to the database", 1000, "trip"):
        for _ in range(1000):
            await store.best_block()
    with measured("delete coins", COINS, "coin"):
        await store.flush(dict.fromkeys(made), bytes(32))
    await store.close()


async def blocks(storage: FileStorage, rng: random.Random) -> None:
    store = await BlockStore.open(storage, regtest())
    bodies = [rng.randbytes(BLOCK_SIZE) for _ in range(BLOCKS)]
    undo = BlockUndo([[Coin(10**8, bytes(22), 1, False)]] * 136)
    with measured(f"{BLOCKS} blocks with undo and headers, one sync", BLOCKS, "block"):
        rows = []
        for height, raw in enumerate(bodies):
            at = store.add_block(sha256d(raw[:80]), height, raw)
            store.add_undo(at, undo)
            rows.append(HeaderRow(sha256d(raw[:80]), raw[:80], height, 15, 1, 1, at))
        await store.write_headers(rows)
    positions = [row.position for row in rows if row.position]
    with measured("read them one by one", BLOCKS, "block"):
        for at in positions:
            await store.get_block(at)
    with measured("put 100 small blocks, a sync each", 100, "block"):
        for height in range(100):
            await store.put_block(bytes(32), height, bytes(300))
    many = [HeaderRow(rng.randbytes(32), bytes(80), n, 15, n, 1, Position(0, n)) for n in range(HEADERS)]
    with measured(f"write {HEADERS} header rows", HEADERS, "row"):
        await store.write_headers(many)
    del many
    with measured("load them", HEADERS, "row"):
        await store.load_headers()
    await store.close()


async def main(parent: str) -> None:
    rng = random.Random(1)
    with tempfile.TemporaryDirectory(dir=parent or None) as folder:
        await coins(FileStorage(Path(folder)), rng)
        await blocks(FileStorage(Path(folder)), rng)


if __name__ == "__main__":
    asyncio.run(main(*arguments("")))
