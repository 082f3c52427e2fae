#!/usr/bin/env python3
"""How long the explorer's pages take on a chain of 10,000 blocks with 100,000 transactions.

The chain is made once, in some half a minute, and kept in build/bench/explorer, together with the data
directory that a node with all indexes made of it. The mempool gets 2,000 transactions. Every page is asked
for at random places over one connection, by a client on the same machine; wanted is that 95 of 100 answers
take at most 0.1 s, the first ones included.

Usage: scripts/bench/explorer.py [REQUESTS]      (a kind of page; default: 100)
"""

from __future__ import annotations

import http.client
import random
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from _bench import ROOT, Figures, arguments
from block_files import read_blocks
from mini_wallet import MiniWallet, Utxo, mine, outputs_of
from node_process import Daemon

from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash160
from pybitcoind.chain.primitives.transaction import Transaction, TxOut

BLOCKS, TXS_A_BLOCK, MATURE = 10_000, 10, 130
MEMPOOL = 2000
FOLDER = ROOT / "build" / "bench" / "explorer"
WANTED = 0.1
PARAMS = regtest()
SCRIPTS = [b"\x00\x14" + hash160(bytes([i])) for i in range(200)]
"""To whom is paid, besides ourselves: each is in some 500 transactions."""
OPTIONS = (
    "-txindex",
    "-txospenderindex",
    "-coinstatsindex",
    "-blockfilterindex",
    "-disablewallet",
    "-maxtipage=1000000000",
    "-acceptnonstdtxn",
    "-scriptindex",
)


def chain() -> Iterator[Block]:
    """The blocks from the genesis block on; once coins are mature each spends what another one made."""
    rng = random.Random(1)
    wallet = MiniWallet()
    prev = HeaderNode(PARAMS.genesis.header, None, 1)
    coins: list[Utxo] = []
    yield PARAMS.genesis
    for height in range(1, BLOCKS + 1):
        txs: list[Transaction] = []
        if height > MATURE:
            fresh: list[Utxo] = []
            for _ in range(TXS_A_BLOCK - 1):
                coin = coins.pop(0)
                other = TxOut(1000 + rng.randrange(5000), SCRIPTS[rng.randrange(len(SCRIPTS))])
                tx = wallet.spend(coin, outputs=[other], fee=200 + rng.randrange(2000))
                txs.append(tx)
                fresh += outputs_of(tx, wallet.script_pubkey)
            coins += fresh
        if height == BLOCKS:
            coin = coins.pop(0)
            txs.append(wallet.spend(coin, change=MEMPOOL, fee=100_000))
        block = mine(prev, PARAMS, wallet.script_pubkey, txs, extra_nonce=struct.pack("<I", height))
        prev = HeaderNode(block.header, prev, 1)
        if height <= 101:
            coins.append(
                Utxo(outputs_of(block.vtx[0], wallet.script_pubkey)[0].outpoint, block.vtx[0].vout[0].value)
            )
            coins = coins[: 2 * TXS_A_BLOCK]
        yield block


def write_chain(path: Path) -> None:
    print(f"making {BLOCKS:,} blocks with {BLOCKS * TXS_A_BLOCK:,} transactions ...", flush=True)
    started = time.monotonic()
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        for block in chain():
            file.write(PARAMS.magic + struct.pack("<I", len(block.raw)) + block.raw)
    fresh.rename(path)
    print(f"made in {time.monotonic() - started:.0f} s", flush=True)


def last_block(path: Path) -> Block:
    *_, raw = read_blocks(path)
    return Block.decode(raw)


def prepare() -> None:
    """The chain's file, and a data directory that has loaded it, indexes and all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    file, done = FOLDER / "chain.dat", FOLDER / "loaded"
    if not file.exists():
        write_chain(file)
    if done.exists():
        return
    print("loading it ...", flush=True)
    started = time.monotonic()
    with Daemon(FOLDER / "node", *OPTIONS, f"-loadblock={file}") as node:
        node.wait_ready()
        node.until("the chain to be loaded", lambda: node.call("getblockcount") == BLOCKS, 600)

        def synced() -> bool:
            return all(
                row["best_block_height"] == BLOCKS and row["synced"]
                for row in node.call("getindexinfo").values()
            )

        node.until("the indexes to be there", synced, 600)
        node.stop_well()
    done.write_text("")
    print(f"loaded in {time.monotonic() - started:.0f} s", flush=True)


def fill_mempool(node: Daemon, rng: random.Random) -> list[str]:
    """Transactions of many feerates that spend the last block's outputs; some spend each other."""
    wallet, sent = MiniWallet(), []
    coins = outputs_of(last_block(FOLDER / "chain.dat").vtx[-1], wallet.script_pubkey)
    for coin in coins[:MEMPOOL]:
        fee = int(120 * rng.choice((1, 2, 4, 8, 20, 60, 200)) * rng.uniform(0.8, 1.25))
        fee = min(fee, coin.value // 2)
        sent.append(node.call("sendrawtransaction", wallet.spend(coin, fee=fee).raw.hex(), 0))
    return sent


class Asker:
    """One kept connection; how long each answer took."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def time_of(self, path: str) -> float:
        started = time.perf_counter()
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        answer.read()
        if answer.status not in (200, 302):
            sys.exit(f"{path}: HTTP {answer.status}")
        return time.perf_counter() - started


def main(requests: int) -> None:
    prepare()
    rng = random.Random(2)
    figures = Figures()
    with Daemon(FOLDER / "node", *OPTIONS, "-web=0", "-persistmempool=0") as node:
        node.wait_ready()
        waiting = fill_mempool(node, rng)
        asker = Asker(node.ports["web"])
        heights = [rng.randrange(BLOCKS) for _ in range(requests)]
        hashes = [node.call("getblockhash", height) for height in heights]
        txids = [rng.choice(node.call("getblock", block_hash)["tx"]) for block_hash in hashes]
        kinds: dict[str, Callable[[int], str]] = {
            "overview": lambda i: "/",
            "list of blocks": lambda i: f"/blocks?from={heights[i]}",
            "block": lambda i: f"/block/{hashes[i]}",
            "transaction": lambda i: f"/tx/{txids[i]}",
            "unconfirmed transaction": lambda i: f"/tx/{waiting[rng.randrange(len(waiting))]}",
            "script": lambda i: f"/script/{SCRIPTS[i % len(SCRIPTS)].hex()}",
            "mempool": lambda i: f"/mempool?page={1 + i % 50}",
            "branches": lambda i: "/branches",
            "peers": lambda i: "/peers",
            "rules": lambda i: "/rules",
            "coins": lambda i: "/utxo",
            "search by height": lambda i: f"/search?q={heights[i]}",
            "search by hash": lambda i: f"/search?q={txids[i]}",
        }
        everything = []
        for name, path in kinds.items():
            times = sorted(asker.time_of(path(i)) for i in range(requests))
            everything += times
            figures.at_most(f"{name}, 95 of 100 within", [times[int(0.95 * (requests - 1))]], WANTED, "s")
            figures.tell(f"{name}, half within", [times[requests // 2]], "s")
        everything.sort()
        figures.at_most("all pages, 95 of 100 within", [everything[int(0.95 * len(everything))]], WANTED, "s")
        figures.tell("all pages, the slowest", [everything[-1]], "s")
        node.stop_well()
    figures.exit()


if __name__ == "__main__":
    main(*arguments(100))
