"""Killed at any moment, a node finds coins that agree with a block, and its header, body and undo."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.hashes import sha256d
from pybitcoind.chain.primitives.transaction import Coin, OutPoint
from pybitcoind.chain.storage.block_store import BlockStore, HeaderRow
from pybitcoind.chain.storage.coin_store import CoinStore
from pybitcoind.chain.storage.database import FileStorage
from pybitcoind.chain.storage.records import BlockUndo, coin_key

ROUNDS = 8
COINS = 50
"""Coins each block makes; the next one spends them all."""


def block(height: int) -> tuple[bytes, bytes]:
    raw = height.to_bytes(80, "big") + bytes(20_000)
    return sha256d(raw[:80]), raw


def coins(height: int) -> dict[OutPoint, Coin]:
    block_hash, _ = block(height)
    return {OutPoint(block_hash, n): Coin(n, bytes(25), height, False) for n in range(COINS)}


async def write_for_ever(root: Path) -> None:
    """Continues behind the coins' tip, as a node does, and says so for each block."""
    files = FileStorage(root)
    blocks, coin_store = await BlockStore.open(files, regtest()), await CoinStore.open(files, regtest())
    tip = await coin_store.best_block()
    known = {row.hash: row.height for row in await blocks.load_headers()}
    height = 0 if tip is None else known[tip] + 1
    while True:
        block_hash, raw = block(height)
        at = blocks.add_block(block_hash, height, raw)
        spent = coins(height - 1) if height else {}
        blocks.add_undo(at, BlockUndo([list(spent.values())]))
        await blocks.write_headers([HeaderRow(block_hash, raw[:80], height, 15, 1, 1, at)])
        await coin_store.flush({**dict.fromkeys(spent), **coins(height)}, block_hash)
        print(height, flush=True)
        height += 1


async def check(root: Path) -> int:
    """The height of the tip, after all that must hold was looked at."""
    files = FileStorage(root)
    blocks, coin_store = await BlockStore.open(files, regtest()), await CoinStore.open(files, regtest())
    tip = await coin_store.best_block()
    assert tip is not None
    rows = {row.hash: row for row in await blocks.load_headers()}
    row = rows[tip]
    assert row.position is not None and await blocks.get_block(row.position) == block(row.height)[1]
    spent = list(coins(row.height - 1).values()) if row.height else []
    assert (await blocks.get_undo(row.position)).txs == [spent]
    expected = {coin_key(outpoint): coin for outpoint, coin in coins(row.height).items()}
    assert await coin_store.count() == COINS and await coin_store.get_many(list(expected)) == expected
    for other in rows.values():
        assert other.position is not None and await blocks.get_block(other.position)
    await coin_store.close()
    await blocks.close()
    return row.height


async def test_killed_in_the_middle_of_writes(tmp_path: Path) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")
    rng = random.Random(seed)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    reached = -1
    for _ in range(ROUNDS):
        child = await asyncio.create_subprocess_exec(
            sys.executable, __file__, str(tmp_path), env=environment, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        for _ in range(rng.randrange(1, 12)):
            line = await child.stdout.readline()
        await asyncio.sleep(rng.random() * 0.004)
        child.kill()
        said = int((line + await child.stdout.read()).split()[-1])
        await child.wait()
        height = await check(tmp_path)
        assert height >= said > reached
        reached = height


if __name__ == "__main__":
    asyncio.run(write_for_ever(Path(sys.argv[1])))
