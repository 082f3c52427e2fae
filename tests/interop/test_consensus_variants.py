"""Bitcoin Core's daemon and we agree where regtest is told to differ: heights, votes, BIP 94."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from core_daemon import Core
from invalid_transactions import INVALID_TRANSACTIONS
from ports import make_ports
from running import running_chain
from scene import Scene, make_scene

from pybitcoind.chain.consensus.connect import (
    bip30_applies,
    check_bip30,
    created_outpoints,
)
from pybitcoind.chain.consensus.deployments import StateCache, deployment_info
from pybitcoind.chain.consensus.errors import BlockInvalid
from pybitcoind.chain.consensus.headers import contextual_check_header
from pybitcoind.chain.params import Bip9Deployment, ChainParams
from pybitcoind.chain.primitives.block import Block

pytestmark = pytest.mark.interop


@contextmanager
def daemon(bitcoind: Path, folder: Path, scene: Scene, *options: str) -> Iterator[Core]:
    folder.mkdir(exist_ok=True)
    core = Core(bitcoind, folder, scene, *options)
    try:
        yield core
    finally:
        core.stop()


def reason(check: Callable[[], None]) -> str | None:
    try:
        check()
    except BlockInvalid as error:
        return error.reason
    return None


def test_bip30(bitcoind: Path, tmp_path: Path) -> None:
    scene = make_scene(20)
    params = replace(scene.params, bip34_height=10_000)
    block = scene.block(coinbase=scene.blocks[-1].vtx[0])
    with daemon(bitcoind, tmp_path, scene, "-testactivationheight=bip34@10000") as core:
        answer = core.call("submitblock", block.raw.hex())
    assert bip30_applies(scene.height, block.hash, scene.tip, params)
    unspent = [outpoint for outpoint in created_outpoints(block) if outpoint in scene.utxo]
    assert answer == reason(lambda: check_bip30(block, unspent)) == "bad-txns-BIP30"


def test_timewarp(bitcoind: Path, tmp_path: Path) -> None:
    scene = make_scene(142)
    scene = scene.extended(scene.block(time=scene.tip.time + 5000))
    assert scene.height == 144
    params = replace(scene.params, enforce_bip94=True)
    with daemon(bitcoind, tmp_path, scene, "-test=bip94") as core:
        for back, token in ((601, "time-timewarp-attack"), (600, None)):
            block = scene.block(time=scene.tip.time - back)
            assert core.call("submitblock", block.raw.hex()) == token
            found = reason(lambda b=block: contextual_check_header(b.header, scene.tip, scene.now, params))  # type: ignore[misc]
            assert found == token


@pytest.mark.parametrize(
    ("height", "version", "token"),
    [("bip34", 1, "bad-version(0x00000001)"), ("dersig", 2, "bad-version(0x00000002)"), ("cltv", 3, None)],
)
def test_versions(bitcoind: Path, tmp_path: Path, height: str, version: int, token: str | None) -> None:
    """One rule holds in the next block, the later ones do not."""
    scene = make_scene(5)
    names = ("bip34", "dersig", "cltv")
    heights = {name: 6 if names.index(name) <= names.index(height) else 7 for name in names}
    params = replace(
        scene.params,
        bip34_height=heights["bip34"],
        bip66_height=heights["dersig"],
        bip65_height=heights["cltv"],
    )
    options = [f"-testactivationheight={name}@{at}" for name, at in heights.items()]
    token = token or f"bad-version(0x0000000{version})"
    with daemon(bitcoind, tmp_path, scene, *options) as core:
        for number, expected in ((version, token), (version + 1, None)):
            block = scene.block(version=number)
            found = reason(lambda b=block: contextual_check_header(b.header, scene.tip, scene.now, params))  # type: ignore[misc]
            assert core.call("submitblock", block.raw.hex()) == found == expected


def compare_votes(core: Core, scene: Scene, params: ChainParams, cache: StateCache) -> str:
    """The state in the tip, after everything that getdeploymentinfo says was compared."""
    said = core.call("getdeploymentinfo")["deployments"]["testdummy"]
    info = deployment_info("testdummy", scene.tip, params, cache)
    bip9 = said["bip9"]
    assert bip9["status"] == info.state.value
    assert bip9["status_next"] == info.next_state.value
    assert bip9["since"] == info.since
    assert said.get("height") == info.active_since
    assert said["active"] is (info.next_state.value == "active")
    assert ("statistics" in bip9) is (info.statistics is not None)
    if info.statistics is not None:
        told, mine = bip9["statistics"], info.statistics
        assert (told["period"], told["elapsed"], told["count"]) == (144, mine.elapsed, mine.count)
        assert told.get("threshold", 0) == mine.threshold
        assert told.get("possible", False) is mine.possible
        assert bip9["signalling"] == "".join("#" if vote else "-" for vote in mine.signalling)
    return info.state.value


@pytest.mark.parametrize("min_height", [0, 433])
def test_votes(bitcoind: Path, tmp_path: Path, min_height: int) -> None:
    """getdeploymentinfo through defined, started, locked in and active."""
    scene = make_scene(0)
    start = scene.tip.time + 60 * 100
    deployment = Bip9Deployment(28, start, 2**62, min_height, threshold=108, period=144)
    params = replace(scene.params, deployments={"testdummy": deployment})
    cache: StateCache = {}
    option = f"-vbparams=testdummy:{start}:{2**62}:{min_height}"
    with daemon(bitcoind, tmp_path, scene, option, f"-mocktime={start + 10**6}") as core:
        for height in range(1, 144 * 5):
            voting = height % 3 > 0 if height < 288 else height % 4 > 0
            block = scene.block(version=0x30000000 if voting else 0x20000000, time=scene.tip.time + 60)
            assert core.call("submitblock", block.raw.hex()) is None
            scene = scene.extended(block)
            scene.mature, scene.young = [], []
            if height % 29 and height % 144 not in (0, 142, 143):
                continue
            state = compare_votes(core, scene, params, cache)
        assert state == "active"


@pytest.mark.parametrize("seed", range(3))
def test_random_votes(bitcoind: Path, tmp_path: Path, seed: int) -> None:
    """Any start, end and least height, any share of votes in a period: state by state as Core has it."""
    rng = random.Random(seed)
    scene = make_scene(0)
    begin = scene.tip.time
    start = begin + 60 * rng.randrange(-50, 400)
    timeout = rng.choice((2**62, start, begin + 60 * rng.randrange(200, 800)))
    min_height = rng.choice((0, 288, 500, 577))
    deployment = Bip9Deployment(28, start, timeout, min_height, threshold=108, period=144)
    params = replace(scene.params, deployments={"testdummy": deployment})
    cache: StateCache = {}
    option = f"-vbparams=testdummy:{start}:{timeout}:{min_height}"
    states = []
    with daemon(bitcoind, tmp_path, scene, option, f"-mocktime={begin + 10**6}") as core:
        for height in range(1, 144 * 6):
            if height % 144 == 1:
                share = rng.choice((0.5, 0.74, 0.75, 0.76, 0.9))
            vote = 0x30000000 if rng.random() < share else rng.choice((0x20000000, 0x10000000, 4, 0x50000000))
            block = scene.block(version=vote, time=scene.tip.time + 60)
            assert core.call("submitblock", block.raw.hex()) is None
            scene = scene.extended(block)
            scene.mature, scene.young = [], []
            if height % 37 == 0 or height % 144 in (0, 142, 143):
                states.append(compare_votes(core, scene, params, cache))
    assert len(set(states)) > 1


def _locked(scene: Scene) -> Block:
    """A relative lock that is not over (BIP 68)."""
    outpoint, coin = scene.mature[-1]
    return scene.block(scene.spend((outpoint, coin), sequence=scene.height - coin.height + 1))


def _failing(name: str) -> Callable[[Scene], Block]:
    (template,) = (t for t in INVALID_TRANSACTIONS if t.name == f"script: {name}")
    return lambda scene: scene.block(template.build(scene))


def _median_time(scene: Scene) -> Block:
    """Its lock ends before the block's own time, not before the median of those below (BIP 113)."""
    time = scene.tip.time + 1
    return scene.block(scene.spend(scene.mature[0], sequence=0, locktime=time - 1), time=time)


def _commitment(scene: Scene) -> Block:
    return scene.block(commit=True)


SCRIPT_FAILED = "block-script-verify-flag-failed ({})".format
UNSATISFIED = SCRIPT_FAILED("Locktime requirement not satisfied")


ODD_COINS = (_failing("relative lock"), _failing("lock time"))
"""Those that spend what make_scene has from some height on."""
UNLIKE: tuple[Callable[[Scene], Block], ...] = (
    _locked,
    _median_time,
    *ODD_COINS,
    lambda scene: scene.block(coinbase=scene.coinbase(height=5000)),
    _commitment,
)
"""Blocks that one of the rules refuses, or the lack of one."""


@pytest.mark.parametrize(
    ("name", "build", "before", "after"),
    [
        ("csv", _locked, None, "bad-txns-nonfinal"),
        ("csv", _median_time, None, "bad-txns-nonfinal"),
        ("csv", _failing("relative lock"), None, UNSATISFIED),
        ("cltv", _failing("lock time"), None, UNSATISFIED),
        ("bip34", lambda s: s.block(coinbase=s.coinbase(height=5000)), None, "bad-cb-height"),
        ("segwit", _commitment, "unexpected-witness", None),
    ],
)
async def test_rules_from_their_heights_on(
    bitcoind: Path,
    tmp_path: Path,
    name: str,
    build: Callable[[Scene], Block],
    before: str | None,
    after: str | None,
) -> None:
    """The same block where a rule holds from the next height on, and from its own."""
    scene = make_scene(105 if name == "segwit" else 112)
    block = build(scene)
    field = {"cltv": "bip65_height"}.get(name, f"{name}_height")
    for height, token in ((scene.height + 1, before), (scene.height, after)):
        params = replace(scene.params, **{field: height})
        option = f"-testactivationheight={name}@{height}"
        async with running_chain(make_ports(now=scene.now), params=params) as chain:
            for known in scene.blocks:
                assert (await chain.process_block(known)).error is None
            result = await chain.process_block(block, requested=True)
            with daemon(bitcoind, tmp_path / str(height), scene, option) as core:
                answer = core.call("submitblock", block.raw.hex())
                told = core.call("getdeploymentinfo")["deployments"][name if name != "cltv" else "bip65"]
        assert answer == (result.error.reason if result.error else None) == token
        assert told["height"] == height
