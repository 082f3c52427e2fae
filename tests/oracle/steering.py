"""Trees of blocks steered by hand: invalidateblock, reconsiderblock and preciousblock at random moments, on
our chain and on Bitcoin Core's daemon. After each step every row of getchaintips is the same.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from core_daemon import Core
from ports import make_ports
from running import running_chain

from pybitcoind.chain.consensus.errors import BlockInvalid
from pybitcoind.chain.manager import ChainManager
from pybitcoind.chain.primitives.hashes import hash_from_hex
from pybitcoind.node.rpc.blockchain import getchaintips
from pybitcoind.node.rpc.context import RpcContext

from .trees import Delivery, base, make_tree

ORDERS = ("invalidateblock", "reconsiderblock", "preciousblock")
SIZE = 50


@dataclass
class SteeringTally:
    trees: int = 0
    steps: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)


async def _order(chain: ChainManager, name: str, block_hash: bytes) -> None:
    orders = {
        "invalidateblock": chain.invalidate_block,
        "reconsiderblock": chain.reconsider_block,
        "preciousblock": chain.precious_block,
    }
    await orders[name](block_hash)


async def _deliver(chain: ChainManager, core: Core, delivery: Delivery) -> None:
    if delivery.header_only:
        with suppress(BlockInvalid):
            await chain.accept_headers([delivery.block.header])
        with suppress(AssertionError):
            core.call("submitheader", delivery.block.header.raw.hex())
        return
    await chain.process_block(delivery.block, requested=True)
    core.call("submitblock", delivery.block.raw.hex())


async def compare(
    program: Path, seed: str, first: int, steps: int, progress: Callable[[SteeringTally], None] | None = None
) -> SteeringTally:
    """Trees from number first of a seed on, until there were so many steps. Ends at the first difference."""
    tally = SteeringTally()
    while tally.steps < steps and not tally.differences:
        name = f"{seed}/{first + tally.trees}"
        with tempfile.TemporaryDirectory(prefix="oracle-") as folder:
            core = Core(program, Path(folder), base())
            try:
                found = await _one_tree(random.Random(name), core, tally)
            finally:
                core.stop()
        tally.trees += 1
        if found:
            tally.differences.append(f"tree {name}: {found}")
        if progress is not None:
            progress(tally)
    return tally


async def difference(program: Path, rng: random.Random, size: int) -> str | None:
    """Steers one tree of so many blocks, by any source of draws; what differs, None if nothing does."""
    with tempfile.TemporaryDirectory(prefix="oracle-") as folder:
        core = Core(program, Path(folder), base())
        try:
            return await _one_tree(rng, core, SteeringTally(), size)
        finally:
            core.stop()


async def _one_tree(rng: random.Random, core: Core, tally: SteeringTally, size: int = SIZE) -> str | None:
    tree = [delivery for delivery in make_tree(rng, size) if not _only_by_rpc(delivery)]
    async with running_chain(make_ports(now=base().now)) as chain:
        for block in base().blocks:
            await chain.process_block(block)
        ctx = RpcContext(cast(Any, SimpleNamespace(chain=chain, role="full")))
        done: list[str] = []
        for delivery in tree:
            await _deliver(chain, core, delivery)
            done.append(f"{'header' if delivery.header_only else 'block'} {delivery.block.hash[::-1].hex()}")
            found = await _differ(core, ctx, done, tally)
            while not found and rng.randrange(4) == 1:
                tips = core.call("getchaintips")
                tip = rng.choice(tips)["hash"] if rng.randrange(2) else core.call("getbestblockhash")
                target = chain.headers.get(hash_from_hex(tip))
                assert target is not None
                target = target.ancestor(target.height - rng.randrange(6))
                order = rng.choice(ORDERS)
                done.append(f"{order} {target.hash[::-1].hex()}")
                await _order(chain, order, target.hash)
                core.call(order, target.hash[::-1].hex())
                tally.kinds[order] += 1
                found = await _differ(core, ctx, done, tally)
            tally.kinds["header" if delivery.header_only else "block"] += 1
            if found:
                return found
    return None


def _only_by_rpc(delivery: Delivery) -> bool:
    """submitblock looks at these itself, before they are blocks, or mends them."""
    return (
        not delivery.block.vtx or not delivery.block.vtx[0].is_coinbase or "reserved value" in delivery.kind
    )


async def _differ(core: Core, ctx: RpcContext, done: list[str], tally: SteeringTally) -> str | None:
    tally.steps += 1
    theirs, ours = core.call("getchaintips"), cast(Any, await getchaintips.call(ctx, []))
    tally.statuses.update(row["status"] for row in theirs)
    for rows in (ours, theirs):  # among tips of one height Core goes by where they lie in memory
        rows.sort(key=lambda row: (-row["height"], row["hash"]))
    if ours == theirs:
        return None
    only = [row for row in theirs if row not in ours], [row for row in ours if row not in theirs]
    return f"Core has {only[0]}, we have {only[1]}, after:\n  " + "\n  ".join(done)
