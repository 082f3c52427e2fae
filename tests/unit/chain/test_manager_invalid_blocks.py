"""Every way a block can be invalid, sent to a running chain: token, blame, and that the chain goes on."""

from __future__ import annotations

from invalid_blocks import INVALID_BLOCKS, InvalidBlock
from ports import make_ports
from running import running_chain
from scene import make_scene


async def test_each_invalid_block_is_refused_and_leaves_the_chain_alone() -> None:
    scene = make_scene(130)
    async with running_chain(make_ports(now=scene.now)) as chain:
        for block in scene.blocks:
            await chain.accept_block(block, requested=True)
        await chain.activate_best()
        coins = len(chain.chainstate.coins)
        refused: list[tuple[InvalidBlock, bytes]] = []
        for template in INVALID_BLOCKS:
            block = template.build(scene)
            result = await chain.process_block(block, requested=True)
            assert result.error is not None, template.name
            assert (result.error.reason, result.error.fault.name) == (template.reason, template.fault), (
                template.name
            )
            assert result.error.detail.startswith(template.detail), template.name
            assert result.checked == (template.stage in ("connect", "scripts")), template.name
            assert chain.tip.hash == scene.tip.hash and not chain.best_header.failed
            node = chain.headers.get(block.hash)
            if template.stage in ("header", "contextual header"):
                assert node is None, template.name
            elif template.fault == "MUTATED" or template.stage == "check":
                assert node is None or not node.failed, template.name
            else:
                assert node is not None and node.failed, template.name
                refused.append((template, block.hash))
        assert len(chain.chainstate.coins) == coins
        assert len(refused) > 20
        good = scene.block(scene.spend(*scene.mature[:3]))
        result = await chain.process_block(good)
        assert result.error is None and chain.tip.hash == good.hash
