"""Trees of blocks before both judges: after each delivery tip, answer and every verdict are the same."""

from __future__ import annotations

import json
import random
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ports import ListLog, make_ports
from running import running_chain

from pybitcoind.chain.consensus.errors import BlockInvalid
from pybitcoind.chain.manager import ChainManager, ChainOptions

from .engine import ChainEngine, Told
from .trees import Delivery, base, make_packed, make_tree


@dataclass
class BlockTally:
    """blocks: how many different ones, those of the base left out. tokens: of all that were judged."""

    trees: int = 0
    blocks: int = 0
    deliveries: int = 0
    headers: int = 0
    reorganisations: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    differences: list[tuple[str, list[Delivery]]] = field(default_factory=list)


@contextmanager
def chain_engine() -> Iterator[tuple[ChainEngine, Path]]:
    """The engine, and a folder for its chains."""
    folder = Path(tempfile.mkdtemp(prefix="oracle-"))
    engine = ChainEngine()
    try:
        yield engine, folder
    finally:
        engine.close()
        shutil.rmtree(folder)


class _Ours:
    """Our chain, asked as the engine is."""

    def __init__(self, chain: ChainManager, log: ListLog) -> None:
        self.chain, self.log = chain, log

    async def deliver(self, delivery: Delivery) -> Told:
        self.log.lines.clear()
        if delivery.header_only:
            try:
                await self.chain.accept_headers([delivery.block.header])
                new = True
            except BlockInvalid:
                new = False
        else:
            node = self.chain.headers.get(delivery.block.hash)
            had = node is not None and node.have_data
            result = await self.chain.process_block(delivery.block, requested=True)
            new = result.new and not had
        mark = "[validation] BlockChecked: "
        checked = [line.removeprefix("[validation] ") for line in self.log.lines if line.startswith(mark)]
        return Told(self.chain.tip.hash[::-1].hex(), new, checked)

    async def deliver_all(self, deliveries: Sequence[Delivery]) -> str:
        """All are there before the first is connected, as in a long download; the tip that comes of it."""

        async def accept() -> None:
            for delivery in deliveries:
                if delivery.header_only:
                    with suppress(BlockInvalid):
                        await self.chain.accept_headers([delivery.block.header])
                else:
                    await self.chain.accept_block(delivery.block, requested=True)

        await self.chain.submit(accept)
        await self.chain.activate_best()
        return self.chain.tip.hash[::-1].hex()


@asynccontextmanager
async def our_chain(fast: bool = True) -> AsyncIterator[_Ours]:
    ports = make_ports()  # the real time, which Core's engine has too
    assert isinstance(ports.log, ListLog)
    async with running_chain(ports, ChainOptions(fast_scripts=fast)) as chain:
        yield _Ours(chain, ports.log)


async def difference(
    tree: list[Delivery],
    engine: ChainEngine,
    folder: Path,
    tally: BlockTally | None = None,
    fast: bool = True,
) -> str | None:
    """The first delivery that is judged differently, None if there is none."""
    place = Path(tempfile.mkdtemp(dir=folder))
    seen: set[bytes] = set()
    wild = {delivery.block.hash[::-1].hex() for delivery in tree if delivery.kind == "wild"}
    engine.start(place)
    try:
        async with our_chain(fast) as ours:
            for delivery in (*(Delivery("base", block) for block in base().blocks), *tree):
                before = ours.chain.tip
                we = await ours.deliver(delivery)
                if delivery.header_only:
                    they = engine.process_header(delivery.block.header)
                else:
                    they = engine.process_block(delivery.block)
                if tally is not None and delivery.kind != "base":
                    _count(tally, delivery, we, seen)
                    tally.reorganisations += not ours.chain.tip.descends_from(before)
                if _settled(we, wild) != _settled(they, wild):
                    return f"{delivery.kind}, block {delivery.block.hash[::-1].hex()}: Core {they}, we {we}"
        async with our_chain(fast) as ours:
            tip = await ours.deliver_all([Delivery("base", block) for block in base().blocks] + tree)
            if tip != we.tip:
                return f"one after the other the tip is {we.tip}, all at once {tip}"
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return None


def _settled(told: Told, wild: set[str]) -> Told:
    """told, but for which script of several that fail: the one that a thread of Core's comes to first."""
    lines = []
    for line in told.checked:
        match = _SCRIPT.match(line)
        lines.append(match[1] if match and match[2] in wild else line)
    return told._replace(checked=lines)


_SCRIPT = re.compile(r"(BlockChecked: block hash=(\w+) state=block-script-verify-flag-failed)")


def _count(tally: BlockTally, delivery: Delivery, told: Told, seen: set[bytes]) -> None:
    if delivery.header_only:
        tally.headers += 1
        return
    tally.deliveries += 1
    if delivery.block.raw not in seen:
        seen.add(delivery.block.raw)
        tally.blocks += 1
        tally.kinds[delivery.kind] += 1
    for line in told.checked:
        tally.tokens[line.split("state=")[1].split(",")[0]] += 1


def _tree(name: str, number: int, size: int) -> list[Delivery]:
    """Every third has blocks full of random spends."""
    rng = random.Random(name)
    return make_packed(rng) if number % 3 == 2 else make_tree(rng, size)


async def compare(
    seed: str, first: int, blocks: int, size: int, progress: Callable[[BlockTally], None] | None = None
) -> BlockTally:
    """Judges trees of size blocks, from number first of a seed on, until there were so many blocks.

    Every fourth tree is checked by the interpreter alone. Ends at the first difference, made small.
    """
    tally = BlockTally()
    with chain_engine() as (engine, folder):
        while tally.blocks < blocks and not tally.differences:
            name = f"{seed}/{first + tally.trees}"
            tree = _tree(name, first + tally.trees, size)
            fast = (first + tally.trees) % 4 != 3
            found = await difference(tree, engine, folder, tally, fast)
            tally.trees += 1
            if found:
                small = await _smallest(tree, engine, folder, fast)
                tally.differences.append((f"tree {name}: {found}", small))
            if progress is not None:
                progress(tally)
    return tally


async def _smallest(tree: list[Delivery], engine: ChainEngine, folder: Path, fast: bool) -> list[Delivery]:
    """The tree without the deliveries that it takes none of to differ."""
    step = max(1, len(tree) // 2)
    while step:
        at = 0
        while at < len(tree):
            fewer = tree[:at] + tree[at + step :]
            if await difference(fewer, engine, folder, fast=fast):
                tree = fewer
            else:
                at += step
        step //= 2
    return tree


def reproduction(text: str, tree: list[Delivery]) -> str:
    """A file that `scripts/oracle replay` takes: one JSON object a line."""
    return json.dumps({"what": text, "tree": [delivery.as_json() for delivery in tree]}) + "\n"
