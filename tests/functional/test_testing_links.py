"""The test kit's links: cut, heal, delay, jitter, loss, bandwidth; partitions and topologies."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybitcoind.node.ports import SystemRandom
from pybitcoind.node.testing import BitcoinNetwork, NotPossible, WaitFailed
from pybitcoind.node.testing.links import pairs_of

MODES = ["memory", "tcp"]


@pytest.mark.parametrize("mode", [*MODES, "process"])
async def test_cut_and_heal(mode: str) -> None:
    async with BitcoinNetwork(["a", "b"], mode=mode) as network:
        a, b = network.nodes
        link = network.link(b, a)
        assert link.ends == (b, a) and await link.is_up()
        await link.cut()
        assert not await link.is_up()
        await b.wait_for_peers(0)
        await a.mine()
        await link.heal()
        await network.wait_for_sync()
        assert await b.height() == 102
        assert repr(link) == "<link b -> a>"


@pytest.mark.parametrize("mode", MODES)
async def test_partition(mode: str) -> None:
    async with BitcoinNetwork(["a", "b", "c"], topology="mesh", mode=mode) as network:
        a, b, c = network.nodes
        await network.partition([a, b], [c])
        await a.mine(1)
        lost = await c.mine(2)
        await network.wait_for_sync(a, b)
        assert await b.height() == 102 and await c.tip() == lost[-1]
        await a.mine(2)
        await network.heal()
        await network.wait_for_sync()
        assert await c.height() == 104 and await c.tip() == await a.tip()


async def test_a_cut_link_stays_cut() -> None:
    async with BitcoinNetwork(["a", "b"], limit=2) as network:
        a, b = network.nodes
        await network.link(a, b).cut()
        await a.restart()
        await b.mine()
        with pytest.raises(WaitFailed, match="one tip everywhere"):
            await network.wait_for_sync()


async def test_delay_each_way() -> None:
    async with BitcoinNetwork(["a", "b"]) as network:
        a, b = network.nodes
        link = network.link(a, b)
        link.delay(5, to=b)
        link.delay(1, to=a)
        start = network.clock.monotonic()
        txid = await a.pay(network.faucet.address, 1)
        assert network.clock.monotonic() - start < 1
        await b.wait_for_tx(txid)
        # blocks went first: headers there, a question back, the block there; likewise the transaction
        assert 11 <= network.clock.monotonic() - start < 12
        link.delay(0)
        start = network.clock.monotonic()
        await network.mine()
        assert network.clock.monotonic() - start < 6  # what is under way comes first


@pytest.mark.parametrize("mode", MODES)
async def test_bandwidth_jitter_and_loss(mode: str) -> None:
    async with BitcoinNetwork(["a", "b"], mode=mode) as network:
        a, b = network.nodes
        link = network.link(a, b)
        link.jitter(0.05)
        link.loss(0.2)
        link.bandwidth(20_000)
        await a.fill_mempool(3, 10, size=3000)
        await a.mine()
        began = network.clock.monotonic()
        await network.wait_for_sync()
        if mode == "memory":
            assert network.clock.monotonic() - began > 0.5


async def test_one_way_cut() -> None:
    async with BitcoinNetwork(["a", "b"], limit=5) as network:
        a, b = network.nodes
        link = network.link(a, b)
        await link.cut(to=b)
        await a.mine()
        with pytest.raises(WaitFailed):
            await b.wait_for_height(102)
        assert await a.rpc.getconnectioncount() == 1
        await link.heal(to=b)
        await network.wait_for_sync()
        with pytest.raises(ValueError, match="is at neither end of"):
            await link.cut(to=await network.add_node("c"))


async def test_a_connection_that_ended_while_nothing_got_through_is_made_again() -> None:
    async with BitcoinNetwork(2) as network:
        a, b = network.nodes
        link = network.link(a, b)
        await link.cut(to=a)
        await link.cut(to=b)
        await b.kill()
        with pytest.raises(WaitFailed):
            await b.start()  # it dials, and nobody answers
        await network.heal()
        await b.mine()
        await network.wait_for_sync()


async def test_who_waits_for_sync_has_lost_links_dialled_again() -> None:
    async with BitcoinNetwork(2) as network:
        a, b = network.nodes
        (peer,) = await a.rpc.getpeerinfo()
        await a.rpc.disconnectnode("", peer["id"])
        await b.mine()
        await network.wait_for_sync()
        assert await a.rpc.getconnectioncount() == 1


def test_topologies(tmp_path: Path) -> None:
    chance = SystemRandom(1)
    assert pairs_of("line", 4, chance) == [(1, 0), (2, 1), (3, 2)]
    assert pairs_of("ring", 4, chance) == [(1, 0), (2, 1), (3, 2), (0, 3)]
    assert pairs_of("ring", 2, chance) == [(1, 0)]
    assert pairs_of("star", 4, chance) == [(1, 0), (2, 0), (3, 0)]
    assert len(pairs_of("mesh", 5, chance)) == 10
    assert pairs_of([(0, 1)], 2, chance) == [(0, 1)] and pairs_of("none", 9, chance) == []
    drawn = pairs_of("random", 20, chance)
    assert {a for a, _ in drawn} == set(range(1, 20)) and all(b < a for a, b in drawn)
    assert pairs_of("random", 20, SystemRandom(2)) == pairs_of("random", 20, SystemRandom(2)) != drawn


def test_a_shape_of_another_chain_is_no_shape_for_tests() -> None:
    configs = Path(__file__).parents[2] / "configs"
    with pytest.raises(NotPossible, match=r"difficulty.toml is of a chain of its own .*on regtest"):
        BitcoinNetwork(topology=configs / "difficulty.toml")


async def test_a_shape_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "shape.toml"
    path.write_text(
        '[[node]]\nname = "hub"\noptions = ["txindex"]\n\n[[node]]\nname = "leaf"\nlinks = ["hub"]\n'
        '\n[[node]]\nname = "light"\nrole = "spv"\nlinks = ["hub"]\n'
    )
    async with BitcoinNetwork(topology=path) as network:
        assert [(node.name, node.role) for node in network.nodes] == [
            ("hub", "full"),
            ("leaf", "full"),
            ("light", "spv"),
        ]
        await network.mine()
        assert "txindex" in await network["hub"].rpc.getindexinfo()
