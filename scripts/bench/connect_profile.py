#!/usr/bin/env python3
"""Where the processor time of connecting blocks goes, for each kind of chain that _chains.py makes.

One thread does what a node does with a block, step after step, and each step is timed; the least of some runs
counts. SQLite: bodies, undo records and all coins written at the end, as at a flush. The part in C, if it was
built, does most in one step: PYBITCOIND_NATIVE=0 leaves it alone.

Usage: scripts/bench/connect_profile.py [RUNS [INPUTS [KIND ...]]]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _bench import arguments
from _chains import KINDS, make_chain

from pybitcoind.chain import native
from pybitcoind.chain.consensus.blocks import check_block, contextual_check_block
from pybitcoind.chain.consensus.connect import BlockSpend, spend_block, spend_block_in_c, spent_outpoints
from pybitcoind.chain.consensus.deployments import script_flags_for
from pybitcoind.chain.consensus.pow import block_work
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.transaction import Coin, OutPoint
from pybitcoind.chain.script import templates, templates_taproot, verify
from pybitcoind.chain.script.sighash import TxDigests
from pybitcoind.chain.script.verify import CheckRun, verify_run
from pybitcoind.chain.storage.block_store import BlockStore
from pybitcoind.chain.storage.coin_store import CoinStore
from pybitcoind.chain.storage.database import FileStorage
from pybitcoind.chain.storage.records import BlockUndo
from pybitcoind.node.interpreter import is_compiled, prepare_start, settle

PARTS = (
    "parsing",
    "hashing: txids, wtxids, merkle trees",
    "rules without coins",
    "coins: look-up, rules, change",
    "templates, with what they hash themselves",
    "signature hashes",
    "interpreter",
    "signature checks (libsecp256k1)",
    "proved in C, hashes and libsecp256k1 with it",
    "SQLite, with packing",
)


class Stopwatch:
    """Processor time by part; time of a part inside of another counts for the inner one only."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys(PARTS, 0.0)
        self._open: list[str] = []
        self._since = time.process_time()

    def _turn(self) -> None:
        now = time.process_time()
        if self._open:
            self.spent[self._open[-1]] += now - self._since
        self._since = now

    def run(self, part: str, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        self._turn()
        self._open.append(part)
        try:
            return function(*args, **named)
        finally:
            self._turn()
            self._open.pop()

    def watch(self, part: str, place: Any, name: str) -> Callable[[], None]:
        """Counts every call of place.name for part; gives what undoes that."""
        real = getattr(place, name)
        setattr(place, name, lambda *args, **named: self.run(part, real, *args, **named))
        return lambda: setattr(place, name, real)


WATCHED = (
    ("signature hashes", templates, ("legacy_digest", "segwit_v0_sighash", "taproot_sighash")),
    ("signature hashes", templates_taproot, ("taproot_sighash",)),
    ("signature hashes", TxDigests, ("v0_all", "taproot_head")),
    ("interpreter", verify, ("verify_input",)),
    ("signature checks (libsecp256k1)", verify, ("unproven",)),
    ("signature checks (libsecp256k1)", templates, ("verify_ecdsa_der",)),
    ("proved in C, hashes and libsecp256k1 with it", native.part, ("prove",) if native.part else ()),
)


def connect(path: Path) -> tuple[dict[str, float], int]:
    """Seconds by part, and inputs."""
    watch, params = Stopwatch(), regtest()
    parsing, hashing, rules, coins_part, scripts = PARTS[:5]
    undo_watch = [watch.watch(part, place, name) for part, place, names in WATCHED for name in names]
    tip = HeaderNode(params.genesis.header, None, block_work(params.genesis.header.bits))
    utxo: dict[OutPoint, Coin] = {}
    kept: list[tuple[Block, BlockUndo]] = []
    raw, pos, inputs = path.read_bytes(), 0, 0
    while pos < len(raw):
        size = int.from_bytes(raw[pos + 4 : pos + 8], "little")
        body = raw[pos + 8 : pos + 8 + size]
        pos += 8 + size
        block = watch.run(parsing, Block.decode, body)
        watch.run(hashing, lambda block=block: (block.txids(), block.wtxids()))
        watch.run(rules, check_block, block, params)
        watch.run(rules, contextual_check_block, block, tip, params)
        flags = int(script_flags_for(tip.height + 1, block.hash, params))

        def spend(block: Block = block, tip: HeaderNode = tip, flags: int = flags) -> Any:
            made = spend_block_in_c(block, (utxo,), tip, params, flags)
            if not isinstance(made, BlockSpend):
                coins = [utxo.get(outpoint) for outpoint in spent_outpoints(block)]
                made = spend_block(block, coins, tip, params, flags)
            for outpoint, coin in made.changes.items():
                if coin is None:
                    del utxo[outpoint]
                else:
                    utxo[outpoint] = coin
            return made

        made = watch.run(coins_part, spend)
        runs = [
            CheckRun(TxDigests(tx, spent), 0, len(tx.vin))
            for tx, spent in zip(block.vtx[1:], made.undo, strict=True)
        ]
        if watch.run(scripts, verify_run, runs, flags) is not None:
            sys.exit("a script failed")
        kept.append((block, BlockUndo(made.undo)))
        inputs += sum(len(tx.vin) for tx in block.vtx[1:])
        tip = HeaderNode(block.header, tip, block_work(block.header.bits))
    for undo in undo_watch:
        undo()

    def store() -> None:
        asyncio.run(write(kept, utxo, tip.hash))

    watch.run(PARTS[-1], store)
    return watch.spent, inputs


async def write(kept: list[tuple[Block, BlockUndo]], utxo: dict[OutPoint, Coin], tip: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        storage = FileStorage(Path(folder))
        blocks, coins = await BlockStore.open(storage, regtest()), await CoinStore.open(storage, regtest())
        for height, (block, undo) in enumerate(kept, 1):
            blocks.add_undo(blocks.add_block(block.hash, height, block.raw), undo)
        await blocks.sync()
        await coins.flush(utxo, tip)
        await blocks.close()
        await coins.close()


def main(runs: int, inputs: int, kinds: list[str]) -> None:
    if is_compiled():
        sys.exit("the parts of compiled modules call each other past the stopwatch")
    prepare_start()
    settle()
    for kind in kinds:
        chain = make_chain(kind, inputs)
        least: dict[str, float] = {}
        count = 1
        for _ in range(runs):
            spent, count = connect(chain.path)
            least = {part: min(least.get(part, seconds), seconds) for part, seconds in spent.items()}
        total = sum(least.values())
        print(f"{kind}: {total / count * 1e6:.1f} us an input")
        for part, seconds in least.items():
            print(f"    {part:44} {seconds / count * 1e6:6.2f} us {100 * seconds / total:5.1f} %", flush=True)


if __name__ == "__main__":
    main(*arguments(3, 20_000, list(KINDS)))
