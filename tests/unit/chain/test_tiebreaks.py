"""Which of several chains with the same work wins: the one whose bodies could be connected first."""

from __future__ import annotations

import pytest
from ports import make_ports
from running import running_chain
from scene import Scene, height_push, make_scene

from pybitcoind.chain.manager import ChainManager
from pybitcoind.chain.primitives.block import Block


def tree_of_blocks(base: Scene) -> list[Scene]:
    r"""Eleven blocks, each but the first on the one at (i - 1) // 2:

    0 - 1 - 3 - 7        0 - 2 - 5
         \\   \\ 8             \\ 6
          4 - 9
           \\ 10
    """
    scenes: list[Scene] = []
    for i in range(11):
        below = scenes[(i - 1) >> 1] if i else base
        coinbase = below.coinbase(script_sig=height_push(below.height) + bytes((2, 0xFF, i)))
        scenes.append(below.extended(below.block(coinbase=coinbase)))
    return scenes


def at_tip(chain: ChainManager, block: Block) -> bool:
    return chain.tip.hash == block.hash


async def test_the_first_complete_chain_wins() -> None:
    base = make_scene(5)
    blocks = [scene.blocks[-1] for scene in tree_of_blocks(base)]
    async with running_chain(make_ports(now=base.now + 100)) as chain:
        for block in base.blocks:
            await chain.process_block(block)
        await chain.process_block(blocks[0])
        await chain.accept_headers([blocks[1].header, blocks[2].header])
        await chain.process_block(blocks[2])
        await chain.process_block(blocks[1], requested=True)
        assert at_tip(chain, blocks[2])  # its header came second, its body first
        await chain.accept_headers([block.header for block in blocks[3:]])
        for i in (7, 8, 9, 10):
            await chain.process_block(blocks[i])
        assert at_tip(chain, blocks[2])
        await chain.process_block(blocks[4], requested=True)
        await chain.process_block(blocks[3], requested=True)
        assert at_tip(chain, blocks[9])  # block 7 came earlier, but could be connected later
        await chain.invalidate_block(blocks[9].hash)
        assert at_tip(chain, blocks[10])
        await chain.invalidate_block(blocks[10].hash)
        assert at_tip(chain, blocks[7])
        await chain.invalidate_block(blocks[7].hash)
        assert at_tip(chain, blocks[8])


async def test_the_active_chain_stays_active_over_a_restart() -> None:
    base = make_scene(5)
    rivals = []
    for i in range(3):
        coinbase = base.coinbase(script_sig=height_push(base.height) + bytes((2, 0xFF, i)))
        rivals.append(base.extended(base.block(coinbase=coinbase)))
    ports = make_ports(now=base.now + 100)
    async with running_chain(ports) as chain:
        for block in base.blocks:
            await chain.process_block(block)
        for rival in rivals:
            await chain.process_block(rival.blocks[-1])
        await chain.precious_block(rivals[1].tip.hash)
        assert at_tip(chain, rivals[1].blocks[-1])
    async with running_chain(ports) as chain:
        await chain.activate_best()
        assert at_tip(chain, rivals[1].blocks[-1])
        await chain.invalidate_block(rivals[1].tip.hash)
        assert at_tip(chain, rivals[0].blocks[-1])  # ours: the order of arrival is kept on disk
        nxt = rivals[2].extended(rivals[2].block())
        await chain.process_block(nxt.blocks[-1])
        assert at_tip(chain, nxt.blocks[-1])


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (0, 1, 2, 4, 3), (2, 4, 1, 3, 0), (1, 2, 0, 3, 4)])
async def test_where_to_go_back_to(order: tuple[int, ...]) -> None:
    """Two good blocks and a bad one of the same work, and bad ones on both: the first good one is the tip.

    Where all are there at once, the chain leaves a block that it came to in the same step.

    base - 0 bad     base - 1 - 3 bad     base - 2 - 4 bad
    """
    base = make_scene()

    def block(scene: Scene, tag: int, *, bad: bool) -> Block:
        coinbase = scene.coinbase(script_sig=height_push(scene.height) + bytes((2, 0xFF, tag)), fees=bad)
        return scene.block(coinbase=coinbase)

    good = [block(base, n, bad=False) for n in (1, 2)]
    behind = [block(base.extended(each), n, bad=True) for n, each in enumerate(good, 3)]
    blocks = [block(base, 0, bad=True), *good, *behind]
    first = min((1, 2), key=order.index)
    async with running_chain(make_ports(now=base.now + 100)) as chain:

        async def accept() -> None:
            for each in (*base.blocks, *(blocks[n] for n in order)):
                chain._accept_block(each, True, True)

        await chain.submit(accept)
        await chain.activate_best()
        assert at_tip(chain, blocks[first])
        coins = base.extended(blocks[first]).utxo
        assert await chain.chainstate.coins.peek(coins) == coins
