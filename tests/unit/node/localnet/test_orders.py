"""Orders to a network: what they are made of, and what is wrong with some; no node runs here."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from pybitcoind.node.localnet import scenes
from pybitcoind.node.localnet.board_picture import places, ring_order
from pybitcoind.node.localnet.network import LocalNetwork
from pybitcoind.node.localnet.orders import Orders
from pybitcoind.node.localnet.process import NodeError
from pybitcoind.node.localnet.shape import from_counts


@pytest.fixture
def network(tmp_path: Path) -> LocalNetwork:
    return LocalNetwork(tmp_path / "net", from_counts())


@pytest.mark.parametrize(
    ("order", "arguments", "message"),
    [
        ("fly", {}, "unknown order 'fly'"),
        ("start", {}, "node is missing"),
        ("stop", {"node": "full9"}, "no node is named 'full9'; there are full1, full2, miner1, spv1"),
        ("stop", {"node": "full1"}, "full1 does not run"),
        ("mine", {"blocks": "0"}, "blocks is a number from 1 to 1000, not '0'"),
        ("mine", {"blocks": "\u0661"}, "blocks is a number from 1 to 1000"),
        ("mine", {"blocks": "1"}, "miner1 has not started yet"),
        ("pay", {"sender": "full1", "receiver": "full2", "amount": "much"}, "'much' is no amount in BTC"),
        ("pay", {"sender": "full1", "receiver": "full2", "amount": "nan"}, "'nan' is no amount in BTC"),
        ("pay", {"sender": "full1", "receiver": "full2"}, "amount is missing"),
        ("faucet", {"to": "full1", "amount": "0"}, "a faucet gives more than 0"),
        ("cut", {"one": "spv1", "other": "miner1"}, "spv1 and miner1 are not linked in this network"),
        ("cut", {"one": "spv1"}, "other is missing"),
        ("partition", {"groups": "full1,full1"}, "full1 cannot be on two sides"),
        ("partition", {"groups": "full1 nobody"}, "no node is named 'nobody'"),
        ("partition", {"groups": "full1,full2,miner1,spv1"}, "a partition has two sides or more"),
        ("partition", {"groups": ","}, "a partition has two sides or more"),
        ("delay", {"one": "full1", "other": "full2", "ms": "60001"}, "ms is a number from 0 to 60000"),
        ("delay", {"one": "full1", "other": "full2", "ms": "10"}, "this network has no page"),
        ("reorg", {"depth": "101"}, "depth is a number from 1 to 100"),
        ("reorg", {"depth": "1", "node": "spv1"}, "spv1 is an SPV node: it cannot mine"),
        ("reorg", {"depth": "1"}, "miner1 does not run"),
        ("snapshot", {"name": "../x"}, "'../x' is no name for a snapshot"),
        ("snapshot", {"name": "a.new"}, "'a.new' is no name for a snapshot"),
        ("restore", {"name": "x"}, "there is no snapshot 'x'; there are: none"),
    ],
)
def test_refused(network: LocalNetwork, order: str, arguments: dict[str, str], message: str) -> None:
    told: list[tuple[str, bool]] = []
    orders = Orders(network, lambda: None)
    orders.on_done = lambda text, well: told.append((text, well))
    with pytest.raises(NodeError) as caught:
        orders.obey(order, arguments)
    assert message in str(caught.value)
    assert told == ([] if order == "fly" else [(str(caught.value), False)])


def test_down_and_ping_need_no_turn(network: LocalNetwork) -> None:
    ended = threading.Event()
    orders = Orders(network, ended.set)
    with orders._lock:
        assert orders.obey("ping", {}) == "here"
        assert orders.obey("down", {}) == "the network goes down"
    assert ended.is_set()


def test_cuts_are_remembered_while_nodes_are_down(network: LocalNetwork) -> None:
    orders = Orders(network, lambda: None)
    done = orders.obey("partition", {"groups": "full1,spv1"})
    assert done == "3 links cut: full1, spv1 | full2, miner1"
    assert network.links.cuts == {("full2", "full1"), ("miner1", "full1"), ("spv1", "full2")}
    assert {(row.dialer, row.listener): row.state for row in network.links.status()} == {
        ("full2", "full1"): "cut",
        ("miner1", "full1"): "cut",
        ("miner1", "full2"): "down",
        ("spv1", "full1"): "down",
        ("spv1", "full2"): "cut",
    }
    assert orders.obey("link", {"one": "full1", "other": "full2"}) == "full2 and full1 are linked again"
    assert orders.obey("heal", {}) == "all links are whole; 2 had been cut"
    assert network.links.cuts == set()


def test_what_is_not_of_a_network_stays(network: LocalNetwork) -> None:
    for name in ("full1", "full2", "photos"):
        (network.folder / name).mkdir(parents=True)
    (network.folder / "full2" / "stderr.txt").touch()
    (network.folder / "photos" / "one").touch()
    network.create()
    assert not (network.folder / "full2").exists() and (network.folder / "photos" / "one").exists()
    (network.folder / "full1" / "thesis").touch()
    for keep in (True, False):
        with pytest.raises(NodeError, match="full1 is not of a local network; choose another folder"):
            network.create(keep=keep)
    assert (network.folder / "full1" / "thesis").exists()


def test_snapshots_are_copies(network: LocalNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(network, "start", lambda names: started.append(list(names)))
    folder = network.node("full1").folder
    folder.mkdir(parents=True)
    (folder / "chain").write_text("first")
    scenes.take_snapshot(network, "one")
    (folder / "chain").write_text("second")
    (folder / "more").write_text("x")
    scenes.take_snapshot(network, "two")
    assert scenes.snapshots(network) == ["one", "two"]
    scenes.restore(network, "one")
    assert (folder / "chain").read_text() == "first" and not (folder / "more").exists()
    scenes.take_snapshot(network, "two")
    (folder / "chain").write_text("third")
    scenes.restore(network, "two")
    assert (folder / "chain").read_text() == "first", "a name stands for the newest"
    assert started == [[]] * 5
    other = LocalNetwork(network.folder, from_counts(1, 0, 0))
    with pytest.raises(NodeError, match="is of another network"):
        scenes.restore(other, "one")


@pytest.mark.parametrize("counts", [(1, 0, 0), (2, 1, 1), (1, 1, 5), (0, 1, 0), (6, 2, 12)])
def test_nodes_have_places_of_their_own(counts: tuple[int, int, int]) -> None:
    shape = from_counts(*counts)
    assert sorted(ring_order(shape)) == sorted(node.name for node in shape.nodes)
    found: list[Any] = list(places(shape).values())
    for i, one in enumerate(found):
        for other in found[:i]:
            assert (one.x - other.x) ** 2 + (one.y - other.y) ** 2 > 70**2
