"""Random trees of blocks, some bad, in random order: after each block our tip is that of Core's engine."""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from invalid_blocks import INVALID_BLOCKS
from ports import make_ports
from running import running_chain
from scene import Scene, height_push, make_scene

from pybitcoind.chain.primitives.block import Block

CHILD = """
import sys
import pbk
chain = pbk.load_chainman(sys.argv[1], pbk.ChainType.REGTEST)
for line in sys.stdin:
    try:
        new = chain.process_block(pbk.Block(bytes.fromhex(line)))
    except pbk.ProcessBlockException:
        new = False
    active = chain.get_active_chain()
    tip = active.block_tree_entries[active.height]
    print(bytes(tip.block_hash)[::-1].hex(), int(new), flush=True)
"""
LATE_FAILURES = [
    template
    for template in INVALID_BLOCKS
    if template.stage in ("contextual", "connect", "scripts") and template.on_wire
]


class Engine:
    """py-bitcoinkernel in a process of its own: a wrong argument is a C assert that kills it."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def process_block(self, block: Block) -> tuple[str, bool]:
        """The tip's hash, as displayed, and whether the block was new, once it is processed."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(block.raw.hex(), file=self.process.stdin, flush=True)
        tip, new = self.process.stdout.readline().split()
        return tip, new == "1"

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def next_block(rng: random.Random, below: Scene, number: int) -> Block:
    if rng.random() < 0.15:
        return rng.choice(LATE_FAILURES).build(below)
    coins = rng.sample(below.mature, min(len(below.mature), rng.randrange(4)))
    txs = [below.spend(*coins)] if coins else []
    if txs and rng.random() < 0.3:
        txs.append(below.spend(below.output(txs[0])))
    mark = height_push(below.height) + b"\x02" + number.to_bytes(2, "little")
    return below.block(*txs, coinbase=below.coinbase(script_sig=mark))


def random_tree(rng: random.Random, base: Scene, size: int) -> list[Block]:
    """Blocks above base in an order that is mostly, but not always, parents first."""
    scenes, blocks = [base], []
    for number in range(size):
        below = scenes[-1] if rng.random() < 0.6 else rng.choice(scenes)
        block = next_block(rng, below, number)
        blocks.append(block)
        scenes.append(below.extended(block))
    for _ in range(size // 6):
        i = rng.randrange(size)
        blocks.insert(rng.randrange(size), blocks.pop(i))
    return blocks + rng.sample(blocks, size // 4)


@pytest.mark.skipif(importlib.util.find_spec("pbk") is None, reason="py-bitcoinkernel is not installed")
async def test_same_tip_as_core_after_every_block(tmp_path: Path) -> None:
    """PYBITCOIND_FUZZ_SEED and PYBITCOIND_FUZZ_COUNT choose others and more."""
    seed = int(os.environ.get("PYBITCOIND_FUZZ_SEED", "20261120"))
    count = int(os.environ.get("PYBITCOIND_FUZZ_COUNT", "4"))
    print("seed", seed)
    rng = random.Random(seed)
    base = make_scene(110)
    failures = reorganisations = 0
    for turn in range(count):
        engine = Engine(tmp_path / str(turn))
        try:
            async with running_chain(make_ports(now=base.now)) as chain:
                for number, block in enumerate([*base.blocks, *random_tree(rng, base, 60)]):
                    node = chain.headers.get(block.hash)
                    before, had = chain.tip, node is not None and node.have_data
                    result = await chain.process_block(block, requested=True)
                    tip, new = engine.process_block(block)
                    failures += result.checked and result.error is not None
                    reorganisations += not chain.tip.descends_from(before)
                    where = f"turn {turn}, block {number}: {result}"
                    assert chain.tip.hash[::-1].hex() == tip, where
                    assert (result.new and not had) == new, where
        finally:
            engine.close()
    print(f"{failures} failures, {reorganisations} reorganisations")
    assert failures and reorganisations
