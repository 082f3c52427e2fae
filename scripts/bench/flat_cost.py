#!/usr/bin/env python3
"""Time per input with 2,000,000 coins in the set and with 20,000, at a cache budget of 50 MB.

Two stores are filled with so many coins. Then blocks that spend coins drawn from all of a set, and make as
many new ones, are connected to each in turns: coins read, rules, scripts, and a flush whenever the cache is
full, as in a node. Two inputs and two outputs a transaction, one signature an input.

Usage: scripts/bench/flat_cost.py [BLOCKS [FEW [MANY]]]
"""

from __future__ import annotations

import asyncio
import random
import struct
import tempfile
import time
from pathlib import Path

from _bench import Figures, arguments

from pybitcoind.chain.block_template import make_coinbase
from pybitcoind.chain.chainstate import Chainstate
from pybitcoind.chain.consensus.pow import block_work
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.hashes import hash160, sha256
from pybitcoind.chain.primitives.transaction import Coin, OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script import secp
from pybitcoind.chain.script.sighash import TxDigests, segwit_v0_sighash
from pybitcoind.chain.script_checks import ScriptCache
from pybitcoind.chain.storage.coin_store import CoinStore
from pybitcoind.chain.storage.database import FileStorage
from pybitcoind.node.interpreter import prepare_start, settle
from pybitcoind.node.ports import ThreadWorkers, worker_threads

BUDGET = 50 << 20
INPUTS = 4000
"""Of a block."""
WANTED = 1.5
FILL = 100_000
SECRET = bytes(31) + b"\x01"
PUBKEY = secp.pubkey_of(SECRET)
SCRIPT = b"\x00\x14" + hash160(PUBKEY)
CODE = b"\x76\xa9\x14" + hash160(PUBKEY) + b"\x88\xac"
VALUE = 10_000


class Node:
    """A chainstate over count coins, whose tip is the genesis block."""

    def __init__(self, state: Chainstate, count: int, rng: random.Random) -> None:
        self.state, self._rng = state, rng
        self._coins: list[int | OutPoint] = list(range(count))
        """The set; a number stands for a coin of the filling."""
        self.inputs, self.seconds, self.cpu, self.flushes = 0, 0.0, 0.0, 0

    @classmethod
    async def filled(cls, folder: Path, count: int, workers: ThreadWorkers, rng: random.Random) -> Node:
        params = regtest()
        store = await CoinStore.open(FileStorage(folder), params)
        for start in range(0, count, FILL):
            coins = {
                filling(n): Coin(VALUE, SCRIPT, 0, False) for n in range(start, min(count, start + FILL))
            }
            await store.flush(coins, params.genesis.hash)
        state = Chainstate(params, workers, store, ScriptCache(), cache_bytes=BUDGET)
        header = params.genesis.header
        state.tip = HeaderNode(header, None, block_work(header.bits))
        return cls(state, count, rng)

    def _draw(self) -> OutPoint:
        """A coin of the set, which leaves it."""
        at = self._rng.randrange(len(self._coins))
        self._coins[at], self._coins[-1] = self._coins[-1], self._coins[at]
        coin = self._coins.pop()
        return filling(coin) if isinstance(coin, int) else coin

    def block(self) -> Block:
        tip = self.state.tip
        assert tip is not None
        txs = []
        for _ in range(INPUTS // 2):
            vin = [TxIn(self._draw()), TxIn(self._draw())]
            spent = [TxOut(VALUE, SCRIPT)] * 2
            tx = Transaction.make(vin, spent)
            digests = TxDigests(tx, spent)
            stacks = []
            for index in (0, 1):
                digest = segwit_v0_sighash(CODE, tx, index, 1, VALUE, digests)
                stacks.append((secp.sign_ecdsa(SECRET, digest, grind=False) + b"\x01", PUBKEY))
            txs.append(Transaction.make(vin, spent, witness=stacks))
        for tx in txs:
            self._coins += [OutPoint(tx.txid, 0), OutPoint(tx.txid, 1)]
        coinbase = make_coinbase(tip.height + 1, SCRIPT, 0)
        header = BlockHeader(4, tip.hash, bytes(32), tip.time + 600, tip.bits, 0)
        return Block.decode(Block(header, [coinbase, *txs]).raw)

    async def connect(self, block: Block) -> None:
        state, tip = self.state, self.state.tip
        assert tip is not None
        began, cpu = time.perf_counter(), time.process_time()
        node = HeaderNode(block.header, tip, block_work(block.header.bits))
        state.apply(await state.prepare_connect(block, node, check_scripts=True))
        if state.coins.full:
            await state.flush()
            self.flushes += 1
        self.seconds += time.perf_counter() - began
        self.cpu += time.process_time() - cpu
        self.inputs += INPUTS


def filling(n: int) -> OutPoint:
    return OutPoint(sha256(struct.pack("<I", n)), 0)


async def main(blocks: int, few: int, many: int) -> None:
    figures, workers, rng = Figures(), ThreadWorkers(worker_threads(0)), random.Random(1)
    prepare_start()
    with tempfile.TemporaryDirectory() as folder:
        nodes = [await Node.filled(Path(folder) / str(n), n, workers, rng) for n in (few, many)]
        settle()
        for _ in range(blocks):
            for node in nodes:
                await node.connect(node.block())
        for node, count in zip(nodes, (few, many), strict=True):
            name = f"{count:,} coins"
            figures.tell(f"{name}: time", [node.seconds / node.inputs * 1e6], "us an input")
            figures.tell(f"{name}: processor time", [node.cpu / node.inputs * 1e6], "us an input")
            print(
                f"    {node.inputs:,} inputs, {node.flushes} flushes, cache {node.state.coins.usage:,} bytes"
            )
        less, more = nodes
        figures.at_most("ratio", [more.seconds / less.seconds], WANTED, "x")
        figures.tell("ratio of processor time", [more.cpu / less.cpu], "x")
        for node in nodes:
            await node.state.close()
    workers.close()
    figures.exit()


if __name__ == "__main__":
    asyncio.run(main(*arguments(25, 20_000, 2_000_000)))
