"""A coins cache in a process of its own, filled until it says it is full: what it really takes.

python coins_child.py SHAPE BUDGET; prints the cache's own figure and the memory it took, in bytes, and the
number of coins. SHAPE is one of SHAPES.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from ports import make_ports

from pybitcoind.chain.coins_cache import CoinsCache
from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.transaction import Coin, OutPoint
from pybitcoind.chain.storage.coin_store import CoinStore

SHAPES = {
    "single": "one output a transaction",
    "pairs": "two outputs a transaction",
    "fanout": "100 outputs a transaction",
    "scripts": "scripts of 10 to 500 bytes",
    "churn": "two thirds of the outputs spent soon",
    "clean": "read from the disk, not changed",
    "spent": "read from the disk and spent",
}
STORED = ("clean", "spent")
PER_BLOCK = 2000
OUTPUTS = {"single": 1, "fanout": 100}


def anonymous() -> int:
    """Bytes of memory of this process without those of mapped files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise SystemExit("no RssAnon in /proc/self/status")


class Maker:
    """Blocks' worth of coins of a shape, the same every time."""

    def __init__(self, shape: str) -> None:
        self.shape, self.height = shape, 0
        self._rng = random.Random(1)
        self._left: list[OutPoint] = []

    def block(self) -> dict[OutPoint, Coin | None]:
        self.height += 1
        outputs = OUTPUTS.get(self.shape, 2)
        changes: dict[OutPoint, Coin | None] = {}
        for _ in range(PER_BLOCK // outputs):
            txid = self._rng.randbytes(32)
            for n in range(outputs):
                size = self._rng.randrange(10, 500) if self.shape == "scripts" else 22
                coin = Coin(self._rng.randrange(1 << 40), self._rng.randbytes(size), self.height, False)
                changes[OutPoint(txid, n)] = coin
        if self.shape == "churn":
            self._left += changes
            for _ in range(PER_BLOCK * 2 // 3):
                at = self._rng.randrange(len(self._left))
                self._left[at], self._left[-1] = self._left[-1], self._left[at]
                changes[self._left.pop()] = None
        return changes


async def fill(folder: Path, shape: str, blocks: int) -> None:
    store = await CoinStore.open(make_ports(folder).storage, regtest())
    maker = Maker(shape)
    for _ in range(blocks):
        await store.flush(maker.block(), bytes(32))
    await store.close()


async def measure(folder: Path, shape: str, budget: int) -> None:
    store = await CoinStore.open(make_ports(folder).storage, regtest())
    maker, cache = Maker(shape), CoinsCache(store, budget)
    before = anonymous()
    while not cache.full:
        changes = maker.block()
        if shape in STORED:
            await cache.fetch(changes)
        if shape == "spent":
            changes = dict.fromkeys(changes)
        if shape != "clean":
            cache.apply(changes)
    print(cache.usage, anonymous() - before, len(cache))
    await store.close()


def main(shape: str, budget: int) -> None:
    with TemporaryDirectory() as name:
        if shape in STORED:  # by another process: what it frees would hide what we take
            child = os.fork()
            if not child:
                asyncio.run(fill(Path(name), shape, budget // 100 // PER_BLOCK))
                os._exit(0)
            os.waitpid(child, 0)
        asyncio.run(measure(Path(name), shape, budget))


if __name__ == "__main__":
    gc.disable()
    main(sys.argv[1], int(sys.argv[2]))
