"""What Bitcoin Core's daemon is asked, drawn by hypothesis, which tries edges and makes small what it finds.

The same oracles by seed, any number: scripts/oracle daemon and scripts/oracle steering. Signets of one's own
are in test_own_signets.py.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from oracle import judge, policy, steering
from ports import make_ports
from running import running_chain
from scene import Scene, make_scene
from test_consensus_variants import ODD_COINS, UNLIKE, compare_votes, daemon

from pybitcoind.chain.consensus.deployments import StateCache
from pybitcoind.chain.params import Bip9Deployment
from pybitcoind.chain.primitives.block import Block

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

SEED = os.environ.get("PYBITCOIND_FUZZ_SEED", "20261126")
EXAMPLES = int(os.environ.get("PYBITCOIND_FUZZ_COUNT", "1"))
"""Times the examples of the default run."""
randoms = st.randoms(use_true_random=False)


def drawn(count: int, **strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """A test of so many examples, times EXAMPLES, that differ only by the seed."""

    def decorate(test: Callable[..., None]) -> Any:
        health = list(HealthCheck)
        limits = settings(
            max_examples=count * EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=health,
            print_blob=True,
        )
        return seed(int(SEED) if SEED.isdecimal() else 1)(limits(given(**strategies)(test)))

    return decorate


@pytest.fixture(scope="module", params=[True, False], ids=["standard", "anything"])
def mempools(request: pytest.FixtureRequest, bitcoind: Path) -> Iterator[policy.Nodes]:
    with policy.nodes(bitcoind, request.param) as pair:
        yield pair


@drawn(100, rng=randoms)
def test_spends_before_both_mempools(mempools: policy.Nodes, rng: random.Random) -> None:
    found, spend = asyncio.run(policy.difference(mempools, rng))
    assert not found, judge.reproduction(found, spend) if spend else found


@drawn(8, rng=randoms, size=st.integers(1, 30))
def test_trees_steered_by_hand(bitcoind: Path, rng: random.Random, size: int) -> None:
    found = asyncio.run(steering.difference(bitcoind, rng, size))
    assert found is None, found


NAMES = {"bip34": "bip34", "dersig": "bip66", "cltv": "bip65", "csv": "csv", "segwit": "segwit"}
"""As -testactivationheight calls a rule, and as we and getdeploymentinfo do."""
WITH_ODD_COINS, WITHOUT_WITNESSES = 112, 105
"""Lengths of the chain: with all that blocks can spend, and before the first witness in it."""


@drawn(
    8,
    length=st.sampled_from([WITH_ODD_COINS, WITHOUT_WITNESSES]),
    behind=st.fixed_dictionaries({name: st.integers(-1, 2) for name in NAMES}),
    rng=randoms,
)
def test_activation_heights(bitcoind: Path, length: int, behind: dict[str, int], rng: random.Random) -> None:
    """The blocks that rules are about, on a chain where some hold already, some with the next block."""
    scene = make_scene(length)
    heights = {name: length + by for name, by in behind.items()}
    builds = list(UNLIKE)
    if length == WITH_ODD_COINS:
        heights["segwit"] = 0
    else:
        builds = [build for build in builds if build not in ODD_COINS]
    candidates = [build(scene) for build in builds] + [scene.block(version=n) for n in range(1, 5)]
    order = rng.sample(range(len(candidates)), len(candidates))
    params = replace(scene.params, **{f"{NAMES[name]}_height": at for name, at in heights.items()})
    options = [f"-testactivationheight={name}@{at}" for name, at in heights.items()]
    temporary = tempfile.TemporaryDirectory(prefix="oracle-")
    with temporary as folder, daemon(bitcoind, Path(folder), scene, *options) as core:
        said = core.call("getdeploymentinfo")["deployments"]
        assert {name: said[ours]["height"] for name, ours in NAMES.items()} == heights
        verdicts = [core.call("submitblock", candidates[n].raw.hex()) for n in order]
        best = core.call("getbestblockhash")
    ours, tip = asyncio.run(_verdicts(scene, params, [candidates[n] for n in order]))
    assert (ours, tip) == (verdicts, best)


async def _verdicts(scene: Scene, params: Any, blocks: list[Block]) -> tuple[list[str | None], str]:
    async with running_chain(make_ports(now=scene.now), params=params) as chain:
        for known in scene.blocks:
            assert (await chain.process_block(known)).error is None
        told: list[str | None] = []
        for block in blocks:
            result = await chain.process_block(block, requested=True)
            told.append(result.error.reason if result.error else None if result.checked else "inconclusive")
        return told, chain.tip.hash[::-1].hex()


@drawn(
    4,
    start=st.integers(-50, 400),
    length=st.one_of(st.none(), st.integers(0, 800)),
    min_height=st.sampled_from([0, 288, 432, 433, 500, 577]),
    votes=st.lists(st.integers(100, 144), min_size=1, max_size=5),
)
def test_version_bits(
    bitcoind: Path, start: int, length: int | None, min_height: int, votes: list[int]
) -> None:
    """votes: how many blocks of each period signal; 108 are needed."""
    scene = make_scene(0)
    begin = scene.tip.time
    first = begin + 60 * start
    timeout = 2**62 if length is None else first + 60 * length
    deployment = Bip9Deployment(28, first, timeout, min_height, threshold=108, period=144)
    params = replace(scene.params, deployments={"testdummy": deployment})
    cache: StateCache = {}
    option = f"-vbparams=testdummy:{first}:{timeout}:{min_height}"
    options = (option, f"-mocktime={begin + 10**6}")
    temporary = tempfile.TemporaryDirectory(prefix="oracle-")
    with temporary as folder, daemon(bitcoind, Path(folder), scene, *options) as core:
        for height in range(1, 144 * len(votes) + 1):
            signal = height % 144 < votes[(height - 1) // 144]
            version = 0x30000000 if signal else 0x20000000
            block = scene.block(version=version, time=scene.tip.time + 60)
            assert core.call("submitblock", block.raw.hex()) is None
            scene = scene.extended(block)
            scene.mature, scene.young = [], []
            if height % 144 in (0, 108, 142, 143):
                compare_votes(core, scene, params, cache)
