"""The hashes and sums of the UTXO set that Bitcoin Core 31.99 says of the same chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import Coin, OutPoint
from pybitcoind.chain.storage.coin_store import CoinStore
from pybitcoind.chain.storage.database import FileStorage, MemoryStorage
from pybitcoind.chain.utxo_set_hash import UtxoHashType, utxo_set_stats
from pybitcoind.node.ports import InlineWorkers

TIP = "10b98c99e27acb82d318194371a7657844a469ed5629efff515b7ab591081399"
HASHES = {
    UtxoHashType.HASH_SERIALIZED_3: "14590a6bbe29271542ee2aecf633854fbd6ff73baa4d5047bc724818c06056b5",
    UtxoHashType.MUHASH: "800bdf82130fa594e16f1395439ffc6712ec7cdd1c86d70d2f29caf88e38ef24",
}
EMPTY = {
    # of no bytes at all
    UtxoHashType.HASH_SERIALIZED_3: "56944c5d3f98413ef45cf54545538103cc9f298e0575820ad3591376e2e0f65d",
    # Core's own test of the empty set
    UtxoHashType.MUHASH: "dd5ad2a105c2d29495f577245c357409002329b9f4d6182c0af3dc2f462555c8",
}


def utxo_set(path: Path) -> dict[OutPoint, Coin]:
    """The coins after all blocks of a file in -loadblock form, by the plainest way there is."""
    data, pos = path.read_bytes(), 0
    coins: dict[OutPoint, Coin] = {}
    height = 0
    while pos < len(data):
        size = int.from_bytes(data[pos + 4 : pos + 8], "little")
        block = Block.decode(data[pos + 8 : pos + 8 + size])
        pos += 8 + size
        if block.hash == regtest().genesis.hash:
            continue
        height += 1
        for tx in block.vtx:
            if not tx.is_coinbase:
                for txin in tx.vin:
                    del coins[txin.prevout]
            for n, (value, script) in enumerate(tx.vout):
                if script[:1] != b"\x6a":
                    coins[OutPoint(tx.txid, n)] = Coin(value, script, height, tx.is_coinbase)
    return coins


@pytest.fixture(params=["files", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CoinStore]:
    storage = FileStorage(tmp_path) if request.param == "files" else MemoryStorage()
    store = await CoinStore.open(storage, regtest())
    yield store
    await store.close()


async def test_as_core_says(store: CoinStore, shared: Path) -> None:
    coins = utxo_set(shared / "data" / "regtest-signatures.dat")
    await store.flush(coins, bytes.fromhex(TIP)[::-1])
    for hash_type in UtxoHashType:
        told: list[float] = []
        stats = await utxo_set_stats(store, hash_type, InlineWorkers(), told.append)
        assert stats.best_block is not None and hash_hex(stats.best_block) == TIP
        assert (stats.transactions, stats.txouts) == (11266, 20180)
        assert (stats.bogosize, stats.total_amount) == (1565327, 8891_50005909)
        assert stats.disk_size > 0
        if hash_type is UtxoHashType.NONE:
            assert stats.hash is None
        else:
            assert stats.hash is not None and hash_hex(stats.hash) == HASHES[hash_type]
        assert told == sorted(told) and len(told) == 5 and 0.99 < told[-1] <= 1


async def test_no_coins(store: CoinStore) -> None:
    for hash_type, expected in EMPTY.items():
        stats = await utxo_set_stats(store, hash_type, InlineWorkers())
        assert stats.hash is not None and hash_hex(stats.hash) == expected
        assert (stats.best_block, stats.transactions, stats.txouts) == (None, 0, 0)


async def test_progress_can_end_it(store: CoinStore) -> None:
    class Interrupted(Exception):
        pass

    def progress(_: float) -> None:
        raise Interrupted

    await store.flush({OutPoint(bytes(32), 0): Coin(1, b"", 1, True)}, bytes(32))
    with pytest.raises(Interrupted):
        await utxo_set_stats(store, UtxoHashType.NONE, InlineWorkers(), progress)


async def test_cancelled_and_flushed_meanwhile(tmp_path: Path) -> None:
    """A flush during the scan changes nothing of the answer; a cancelled scan leaves nothing open."""
    store = await CoinStore.open(FileStorage(tmp_path), regtest())
    coins = {OutPoint(n.to_bytes(32, "big"), 0): Coin(1, b"", 1, False) for n in range(12_000)}
    await store.flush(coins, b"a" * 32)
    scanned, flushed = asyncio.Event(), asyncio.Event()

    class Waits(InlineWorkers):
        def run(self, fn: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
            async def late() -> Any:
                scanned.set()
                await flushed.wait()
                return fn(*args)

            return asyncio.ensure_future(late())

    task = asyncio.create_task(utxo_set_stats(store, UtxoHashType.NONE, Waits()))
    await scanned.wait()
    await store.flush(dict.fromkeys(coins), b"b" * 32)
    flushed.set()
    stats = await task
    assert (stats.best_block, stats.txouts) == (b"a" * 32, 12_000)

    scanned.clear()
    flushed.clear()
    await store.flush(coins, b"c" * 32)
    task = asyncio.create_task(utxo_set_stats(store, UtxoHashType.NONE, Waits()))
    await scanned.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.close()
