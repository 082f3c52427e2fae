"""-fastscripts=0: the daemon with its fast ways of checking scripts turned off says the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from both_nodes import daemon_with_chain
from invalid_transactions import INVALID_TRANSACTIONS
from node_process import Daemon
from scene import make_scene

from pybitcoind.chain.primitives.hashes import hash_hex

FAILING = [t for t in INVALID_TRANSACTIONS if t.stage == "scripts"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("slow")
    with daemon_with_chain("pybitcoind", folder, make_scene(), "-fastscripts=0") as daemon:
        yield daemon


def test_what_fails_fails(node: Daemon) -> None:
    scene = make_scene()
    for template in FAILING:
        tx = template.build(scene)
        (told,) = node.call("testmempoolaccept", [tx.raw.hex()])
        assert told["reject-reason"] == template.in_mempool, template.name
        assert node.call("submitblock", scene.block(tx).raw.hex()) == template.reason, template.name


def test_what_passes_passes(node: Daemon) -> None:
    """Last, since it moves the tip."""
    scene = make_scene()
    tx = scene.spend(*scene.mature[:8], fee=100_000)
    assert node.call("sendrawtransaction", tx.raw.hex()) == hash_hex(tx.txid)
    block = scene.block(tx, coinbase=scene.coinbase(fees=100_000))
    assert node.call("submitblock", block.raw.hex()) is None
    assert node.call("getbestblockhash") == hash_hex(block.hash)
