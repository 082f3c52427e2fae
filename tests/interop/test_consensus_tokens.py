"""Bitcoin Core's own daemon says the tokens that the templates of invalid blocks and transactions carry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from core_daemon import Core
from invalid_blocks import INVALID_BLOCKS, InvalidBlock
from invalid_transactions import INVALID_TRANSACTIONS, InvalidTransaction
from scene import make_scene

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def core(bitcoind: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    daemon = Core(bitcoind, tmp_path_factory.mktemp("core"), make_scene())
    yield daemon
    daemon.stop()


@pytest.mark.parametrize(
    "template", [t for t in INVALID_BLOCKS if t.on_wire and t.by_rpc], ids=lambda t: t.name
)
def test_blocks(core: Core, template: InvalidBlock) -> None:
    scene = make_scene()
    before = core.log.stat().st_size
    answer = core.call("submitblock", template.build(scene).raw.hex())
    assert answer == template.reason
    text = f"{template.reason}, {template.detail}" if template.detail else template.reason
    with core.log.open("rb") as log:
        log.seek(before)
        assert text in log.read().decode()
    assert core.call("getblockcount") == scene.tip.height


@pytest.mark.parametrize("template", [t for t in INVALID_TRANSACTIONS if t.on_wire], ids=lambda t: t.name)
def test_transactions(core: Core, template: InvalidTransaction) -> None:
    (answer,) = core.call("testmempoolaccept", [template.build(make_scene()).raw.hex()])
    assert answer["allowed"] is False
    assert answer["reject-reason"] == template.in_mempool


def test_the_scene_is_valid(core: Core) -> None:
    """Last, since it moves the tip."""
    scene = make_scene()
    first = scene.spend(scene.mature[0])
    (answer,) = core.call("testmempoolaccept", [first.raw.hex()])
    assert answer["allowed"] is True
    block = scene.block(first, scene.spend(scene.output(first)), coinbase=scene.coinbase(fees=2000))
    assert core.call("submitblock", block.raw.hex()) is None
    assert core.call("getbestblockhash") == block.hash[::-1].hex()
