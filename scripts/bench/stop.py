"""How long a stop takes with a coins cache full of coins that the disk has not seen, beside Core's daemon.

Usage: python scripts/bench/stop.py [blocks] [megabytes of -dbcache]. Each block makes 30,000 coins; 50
of them nearly fill the default cache. BITCOIND names Core's daemon; without it ours runs alone.
"""

from __future__ import annotations

import os
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from _bench import ROOT

sys.path.insert(0, str(ROOT / "tests"))

from block_files import write_blocks
from core_process import CoreDaemon
from node_process import Daemon
from scene import height_push, solved

from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.transaction import NULL_OUTPOINT, Transaction, TxIn, TxOut

COINS = 30_000
BLOCKS, CACHE = 50, 450


def fan_out(count: int) -> Iterator[Block]:
    """Blocks of a coinbase only, with as many outputs as fit in."""
    tip = regtest().genesis.header
    for height in range(1, count + 1):
        vout = [TxOut(1, b"\x00\x14" + struct.pack(">10xII2x", height, n)) for n in range(COINS)]
        coinbase = Transaction.make([TxIn(NULL_OUTPOINT, height_push(height) + b"\x00")], vout)
        tip = solved(BlockHeader(0x20000000, tip.hash, coinbase.txid, tip.time + 1, 0x207FFFFF, 0))
        yield Block(tip, [coinbase])


def measure(kind: type[Daemon], folder: Path, file: Path, blocks: int, cache: int) -> None:
    options = (f"-loadblock={file}", f"-dbcache={cache}", "-debug=coindb", "-checkblockindex=0")
    with kind(folder, *options) as node:
        node.wait_ready()
        node.until("the chain", lambda: node.call("getblockcount") == blocks, 300, 0.05)
        flushes, since = node.log.count("Committed "), time.monotonic()
        node.call("stop")
        answered = time.monotonic() - since
        node.process.wait(300)
        took = time.monotonic() - since
        coins = blocks * COINS
        print(
            f"{kind.__name__}: {coins} coins, {flushes} flushes before; the answer after "
            f"{answered * 1000:.0f} ms, the end after {took:.2f} s, {took / coins * 1e6:.2f} s a million"
        )


def main() -> None:
    given = [int(value) for value in sys.argv[1:]]
    blocks, cache = given + [BLOCKS, CACHE][len(given) :]
    with tempfile.TemporaryDirectory() as name:
        file = write_blocks(Path(name) / "blocks.dat", fan_out(blocks))
        measure(Daemon, Path(name) / "ours", file, blocks, cache)
        if os.environ.get("BITCOIND"):
            measure(CoreDaemon, Path(name) / "core", file, blocks, cache)


if __name__ == "__main__":
    main()
