"""Parallel block download as a state machine."""

from __future__ import annotations

from p2p_chains import extend, have, headers_on, new_tree

from pybitcoind.chain.header_tree import HeaderNode, HeaderTree
from pybitcoind.p2p.block_download import BlockDownload

NOW = 1000.0


def download(tree: HeaderTree, *peers: int, best: HeaderNode, **info: bool) -> BlockDownload:
    machine = BlockDownload(tree, segwit_height=0)
    for peer in peers:
        machine.add_peer(
            peer, **({"serves": True, "limited": False, "witness": True, "inbound": False} | info)
        )
        machine.announced(peer, best.hash)
    return machine


def ask(machine: BlockDownload, peer: int, tree: HeaderTree, now: float = NOW) -> list[int]:
    assert tree.tip is not None
    nodes, _ = machine.next_blocks(peer, tree.tip, 0)
    for node in nodes:
        machine.requested(peer, node, now)
    return [node.height for node in nodes]


def test_sixteen_a_peer_and_never_one_block_twice() -> None:
    tree, nodes = new_tree(100)
    machine = download(tree, 1, 2, best=nodes[-1])
    assert ask(machine, 1, tree) == list(range(1, 17))
    assert ask(machine, 2, tree) == list(range(17, 33))
    assert ask(machine, 1, tree) == []
    machine.done(nodes[3].hash, NOW)
    have(nodes[3:4])
    assert ask(machine, 1, tree) == [33]
    machine.remove_peer(1)
    assert ask(machine, 2, tree) == []
    machine.done(nodes[17].hash, NOW, only_from=1)
    assert nodes[17].hash in machine.in_flight, "only the peer that was asked counts"


def test_nothing_from_a_peer_with_less_work_or_without_witnesses() -> None:
    tree, nodes = new_tree(10)
    have(nodes)
    tree.set_tip(nodes[5])
    machine = download(tree, 1, best=nodes[4])
    assert ask(machine, 1, tree) == []
    machine = download(tree, 1, best=nodes[10], witness=False)
    assert ask(machine, 1, tree) == []


def test_an_unknown_block_becomes_known_with_its_header() -> None:
    tree, nodes = new_tree()
    headers = headers_on(nodes[0].header, 3)
    machine = BlockDownload(tree, segwit_height=0)
    machine.add_peer(1, serves=True, limited=False, witness=True, inbound=False)
    machine.announced(1, headers[-1].hash)
    assert ask(machine, 1, tree) == []
    extend(tree, headers)
    assert ask(machine, 1, tree) == [1, 2, 3]


def test_a_limited_peer_is_asked_for_its_last_blocks_only() -> None:
    tree, nodes = new_tree(400)
    machine = download(tree, 1, best=nodes[-1], limited=True)
    assert ask(machine, 1, tree)[0] == 400 - 285


def test_a_failed_chain_is_left_alone() -> None:
    tree, nodes = new_tree(10)
    for node in nodes[3:]:
        node.status |= 16
    machine = download(tree, 1, best=nodes[-1])
    assert ask(machine, 1, tree) == [1, 2]


def test_the_peer_that_holds_up_the_window_is_found_and_given_more_time_after_each_drop() -> None:
    tree, nodes = new_tree(1100)
    machine = download(tree, 1, 2, best=nodes[-1])
    assert ask(machine, 1, tree)[0] == 1
    for node in nodes[17:1025]:  # the rest of the window came from peer 2
        have([node])
    asked, staller = machine.next_blocks(2, nodes[0], 0)
    assert (asked, staller) == ([], 1)
    assert machine.stalls(1, NOW) and not machine.stalls(1, NOW + 1)
    assert not machine.stalled_too_long(1, NOW + 2)
    assert machine.stalled_too_long(1, NOW + 2.1)
    assert machine.stalling_timeout == 4.0
    machine.remove_peer(1)
    assert ask(machine, 2, tree) == list(range(1, 17))
    for _ in range(10):
        machine.block_connected()
    assert machine.stalling_timeout == 2.0


def test_a_block_received_ends_the_stall() -> None:
    tree, nodes = new_tree(20)
    machine = download(tree, 1, best=nodes[-1])
    ask(machine, 1, tree)
    machine.stalls(1, NOW)
    machine.done(nodes[1].hash, NOW + 1)
    assert not machine.stalled_too_long(1, NOW + 100)


def test_block_timeout_grows_with_the_peers_we_download_from() -> None:
    tree, nodes = new_tree(40)
    machine = download(tree, 1, 2, best=nodes[-1])
    ask(machine, 1, tree)
    assert machine.overdue(1, 600, NOW + 600) is None
    assert machine.overdue(1, 600, NOW + 601) is nodes[1]
    ask(machine, 2, tree)
    assert machine.overdue(1, 600, NOW + 900) is None
    assert machine.overdue(1, 600, NOW + 901) is nodes[1]
    machine.done(nodes[1].hash, NOW + 500)
    assert machine.overdue(1, 600, NOW + 1400) is None


def test_direct_fetch_of_announced_blocks() -> None:
    tree, nodes = new_tree(20)
    have(nodes[:11])
    tree.set_tip(nodes[10])
    machine = download(tree, 1, 2, best=nodes[-1])
    machine.requested(2, nodes[12], NOW)
    wanted = machine.direct_fetch(1, nodes[14], nodes[10])
    assert [node.height for node in wanted] == [11, 13, 14]
    branch = extend(tree, headers_on(nodes[0].header, 18, salt=5))
    assert machine.direct_fetch(1, branch[16], nodes[10])[0].height == 1
    assert machine.direct_fetch(1, branch[17], nodes[10]) == [], "a large reorganisation"
    assert machine.direct_fetch(1, branch[8], nodes[10]) == [], "less work than the tip"


def test_what_a_peer_has() -> None:
    tree, nodes = new_tree(10)
    branch = extend(tree, headers_on(nodes[4].header, 3, salt=1))
    machine = download(tree, 1, best=nodes[8])
    assert machine.has_header(1, nodes[8]) and machine.has_header(1, nodes[2])
    assert not machine.has_header(1, nodes[9]) and not machine.has_header(1, branch[0])
    machine.peers[1].best_sent = branch[1]
    assert machine.has_header(1, branch[0]) and not machine.has_header(1, branch[2])


def test_blocks_below_a_snapshot() -> None:
    """The active chain, which a snapshot made, has none of them; those of the tip come first."""
    tree, nodes = new_tree(60)
    have(nodes[:11])
    tree.set_tip(nodes[50])
    machine = download(tree, 1, 2, best=nodes[-1])
    assert ask(machine, 1, tree) == list(range(51, 61))
    below = machine.historical_blocks(1, nodes[10], nodes[50], machine.room(1))
    assert [node.height for node in below] == list(range(11, 17))
    for node in below:
        machine.requested(1, node, NOW)
    more = machine.historical_blocks(2, nodes[10], nodes[50], 16)
    assert [node.height for node in more] == list(range(17, 33))
    have(nodes[11:40])
    last = machine.historical_blocks(2, nodes[10], nodes[50], 16)
    assert [node.height for node in last] == list(range(40, 51)), "not above the snapshot"
    assert machine.historical_blocks(2, nodes[10], nodes[50], 0) == []
    assert machine.peers[2].last_common is None, "the way to the tip is not touched"


def test_nothing_below_a_snapshot_from_who_does_not_have_it() -> None:
    tree, nodes = new_tree(60)
    other = extend(tree, headers_on(nodes[20].header, 50, salt=1))
    tree.set_tip(nodes[50])
    machine = download(tree, 1, best=other[-1])
    assert machine.historical_blocks(1, nodes[0], nodes[50], 16) == []
    assert machine.is_elsewhere(1, nodes[50], nodes[50])
    assert not download(tree, 2, best=other[10]).is_elsewhere(2, nodes[50], nodes[50]), "it may come to it"
    start = machine.historical_blocks(1, other[5], other[40], 16)
    assert start[0] is other[6]
    fork = machine.historical_blocks(1, nodes[30], other[40], 16)
    assert fork[0].prev is nodes[20], "from where both branches part"
