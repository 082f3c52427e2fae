"""Blocks that are begun while the scripts of the one before are checked: the verdicts are the same."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from invalid_blocks import INVALID_BLOCKS
from ports import make_ports
from running import Recorder, running_chain
from scene import Scene, make_scene

from pybitcoind.chain.events import BlockChecked
from pybitcoind.chain.manager import ChainManager
from pybitcoind.chain.primitives.block import Block
from pybitcoind.node.ports import ThreadWorkers

WITH_COINS = [template for template in INVALID_BLOCKS if template.stage in ("connect", "scripts")]


async def at_once(chain: ChainManager, blocks: Sequence[Block], start: bytes = b"") -> None:
    """All of blocks are there before the first is connected; start: hash of one to reconsider first."""

    async def accept() -> None:
        if start:
            node = chain.headers.get(start)
            assert node is not None
            chain.activation.reconsider(node)
        for block in blocks:
            chain._accept_block(block, True, True)

    await chain.submit(accept)
    await chain.activate_best()


def verdicts(recorder: Recorder) -> list[tuple[bytes, str | None]]:
    """Hash and token of each block that was tried, in order; forgotten then."""
    told = [
        (e.block_hash, e.error and e.error.reason) for e in recorder.events if isinstance(e, BlockChecked)
    ]
    recorder.events.clear()
    return told


@pytest.mark.parametrize("threads", [0, 2])
async def test_an_invalid_block_behind_good_ones(threads: int) -> None:
    workers = ThreadWorkers(threads) if threads else None
    try:
        await refuse_all(workers)
    finally:
        if workers is not None:
            workers.close()


async def refuse_all(workers: ThreadWorkers | None) -> None:
    scene, recorder = make_scene(130), Recorder()
    last = [block.hash for block in scene.blocks[-3:]]
    async with running_chain(make_ports(now=scene.now, workers=workers), recorder=recorder) as chain:
        await at_once(chain, scene.blocks)
        assert chain.tip.hash == scene.tip.hash
        for template in WITH_COINS:
            block = template.build(scene)
            behind = scene.extended(block)
            child = behind.block()
            await chain.invalidate_block(last[0])
            await chain.events.drained()
            recorder.events.clear()
            await at_once(chain, [block, child], last[0])
            await chain.events.drained()
            assert chain.tip.hash == scene.tip.hash
            told = verdicts(recorder)  # of those refused before too, which were reconsidered with the rest
            assert told[:3] == [(block_hash, None) for block_hash in last]
            assert (block.hash, template.reason) in told, template.name
            for bad in (block, child):
                node = chain.headers.get(bad.hash)
                assert node is not None and node.failed, template.name


def story(scene: Scene) -> tuple[list[Block], list[Block], Scene]:
    """Blocks that spend what the ones before made; then one that spends what is gone, and one behind it."""
    first, second = scene.spend(scene.mature[0]), scene.spend(scene.mature[1])
    coin = scene.output(first)
    one = scene.block(first, second)
    scene = scene.extended(one)
    again = scene.spend(coin)
    two = scene.block(again)
    before = scene
    scene = scene.extended(two)
    bad = scene.block(before.spend(coin))
    return [one, two], [bad, scene.extended(bad).block()], scene


async def test_coins_of_blocks_that_are_not_connected_yet() -> None:
    scene, recorder = make_scene(130), Recorder()
    good, bad, after = story(scene)
    async with running_chain(make_ports(now=scene.now), recorder=recorder) as chain:
        await at_once(chain, [*scene.blocks, *good, *bad])
        await chain.events.drained()
        assert chain.tip.hash == good[-1].hash
        assert verdicts(recorder)[-2:] == [
            (good[-1].hash, None),
            (bad[0].hash, "bad-txns-inputs-missingorspent"),
        ]
        kept = await chain.chainstate.coins.peek(after.utxo)
        assert kept == after.utxo
        await at_once(chain, [after.block(after.spend(*after.mature[:2]))])
        assert chain.tip.height == after.height


@pytest.mark.parametrize("meanwhile", ["flush", "invalidate"])
async def test_what_was_begun_and_what_comes_in_between(meanwhile: str) -> None:
    """A flush changes nothing of it; where the tip is another meanwhile, it is not used."""
    scene = make_scene(130)
    good, _, after = story(scene)
    other = scene.block(scene.spend(scene.mature[1]))
    async with running_chain(make_ports(now=scene.now)) as chain:
        await at_once(chain, scene.blocks)

        async def one_step() -> None:
            for block in (*good, other):
                chain._accept_block(block, True, True)
            assert await chain.activation.step()
            assert chain.tip.hash == good[0].hash  # and the second has been begun
            node = chain.headers.get(good[0].hash)
            assert node is not None
            if meanwhile == "invalidate":
                await chain.activation.invalidate(node)

        await chain.submit(one_step)
        if meanwhile == "flush":
            await chain.flush()
        await chain.activate_best()
        expected = (after if meanwhile == "flush" else scene.extended(other)).utxo
        for _ in range(2):
            assert await chain.chainstate.coins.peek({**expected, **after.utxo}) == expected
            await chain.flush()


async def test_scripts_that_were_left_out_are_run_if_they_matter_by_then() -> None:
    """As where the block that vouched for them (-assumevalid) is no longer on the best chain of headers."""
    scene, recorder = make_scene(130), Recorder()
    failing = next(template for template in WITH_COINS if template.stage == "scripts")
    good = scene.block()
    bad = failing.build(scene.extended(good))
    async with running_chain(make_ports(now=scene.now), recorder=recorder) as chain:
        await at_once(chain, scene.blocks)
        connector = chain.activation._connector

        async def one_step() -> None:
            for block in (good, bad):
                chain._accept_block(block, True, True)
            matter = connector._scripts_matter
            connector._scripts_matter = lambda node: False
            assert await chain.activation.step()
            assert chain.tip.hash == good.hash and connector._begun is not None
            connector._scripts_matter = matter

        await chain.submit(one_step)
        await chain.activate_best()
        await chain.events.drained()
        assert chain.tip.hash == good.hash
        assert verdicts(recorder)[-1] == (bad.hash, failing.reason)
