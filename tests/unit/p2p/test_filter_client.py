"""Filter headers from peers that agree, lie, or cannot be told apart."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from scene import height_push, make_scene

from pybitcoind.chain.block_filter import BlockFilter, basic_elements, filter_header
from pybitcoind.chain.header_tree import HeaderTree
from pybitcoind.chain.primitives.block import Block
from pybitcoind.p2p.filter_client import (
    AskFilter,
    AskHeaders,
    Drop,
    FetchBlock,
    FilterClient,
    Rewound,
)
from pybitcoind.p2p.filter_store import HashRow

SCENE = make_scene(130)
SPEND = SCENE.spend(SCENE.mature[0])
BLOCKS = [SCENE.params.genesis, *SCENE.blocks, SCENE.block(SPEND)]
BY_HASH = {block.hash: block for block in BLOCKS}
SPENT = {BLOCKS[-1].hash: [[SCENE.mature[0][1]]]}


def true_filter(block: Block) -> bytes:
    return BlockFilter.of_block(block, SPENT.get(block.hash, [])).encoded


def lacking(block: Block) -> bytes:
    """A filter without the scripts of the block's outputs."""
    return BlockFilter.of_elements(block.hash, [b"\x51other"]).encoded


def padded(block: Block) -> bytes:
    """A filter with one script too many: nothing in the block shows that it is false."""
    elements = basic_elements(block, SPENT.get(block.hash, []))
    return BlockFilter.of_elements(block.hash, [*elements, b"\x51other"]).encoded


@dataclass
class Server:
    """A peer. false: height to what it serves instead of the true filter."""

    false: dict[int, object] = field(default_factory=dict)
    mute: bool = False

    def filter(self, block: Block, height: int) -> bytes:
        make = self.false.get(height, true_filter)
        return make(block)  # type: ignore[operator]

    def cfheaders(self, blocks: list[Block], start: int, stop: int) -> tuple[bytes, list[bytes]]:
        header, previous, hashes = bytes(32), bytes(32), []
        for height, block in enumerate(blocks[: stop + 1]):
            if height == start:
                previous = header
            one = BlockFilter.trusted(block.hash, self.filter(block, height))
            header = filter_header(one.hash, header)
            if height >= start:
                hashes.append(one.hash)
        return previous, hashes


class World:
    def __init__(self, blocks: list[Block] | None = None) -> None:
        self.blocks = blocks or BLOCKS
        self.tree = HeaderTree()
        for block in self.blocks:
            self.tree.best_header = self.tree.add(block.header, 2)
        self.client = FilterClient(self.tree, lambda peer, node: True)
        self.servers: dict[int, Server] = {}
        self.dropped: dict[int, str] = {}
        self.rewound: list[int] = []
        self.fetched = 0
        self.now = 0.0

    def add(self, peer: int, server: Server) -> None:
        self.servers[peer] = server
        self.client.add_peer(peer)

    def run(self) -> None:
        while actions := self.client.poll(self.now):
            for action in actions:
                self.act(action)

    def act(self, action: object) -> None:
        match action:
            case AskHeaders(peer, start, stop_hash) if not self.servers[peer].mute:
                stop = next(h for h, b in enumerate(self.blocks) if b.hash == stop_hash)
                previous, hashes = self.servers[peer].cfheaders(self.blocks, start, stop)
                self.client.on_cfheaders(peer, stop_hash, previous, hashes)
            case AskFilter(peer, height, block_hash):
                self.client.on_cfilter(
                    peer, block_hash, self.servers[peer].filter(BY_HASH[block_hash], height)
                )
            case FetchBlock(block_hash):
                self.fetched += 1
                self.client.on_block(BY_HASH[block_hash], block_hash)
            case Drop(peer, reason):
                self.dropped[peer] = reason
            case Rewound(height):
                self.rewound.append(height)

    def is_true(self) -> bool:
        """Filter hashes of all blocks are known, and right."""
        client = self.client
        return client.height == len(self.blocks) - 1 and all(
            client.filter_hash(h) == BlockFilter.trusted(b.hash, true_filter(b)).hash
            for h, b in enumerate(self.blocks)
        )


def test_peers_that_agree() -> None:
    world = World()
    for peer in (1, 2, 3):
        world.add(peer, Server())
    world.run()
    assert world.is_true() and not world.dropped and not world.fetched
    assert world.client.agreeing_peers(131) == [1, 2, 3]
    assert world.client.top is world.tree.best_header


@pytest.mark.parametrize("height", [1, 77, 131])
def test_a_filter_that_lacks_an_output_is_false(height: int) -> None:
    world = World()
    world.add(1, Server({height: lacking}))
    world.add(2, Server())
    world.run()
    assert world.is_true() and list(world.dropped) == [1] and "false filter" in world.dropped[1]
    assert not world.rewound


def test_two_liars_against_one() -> None:
    world = World()
    world.add(1, Server({50: lacking}))
    world.add(2, Server({50: lacking, 60: lacking}))
    world.add(3, Server())
    world.run()
    assert world.is_true() and sorted(world.dropped) == [1, 2]


def test_what_the_block_cannot_decide_stays_disputed_and_the_rest_goes_on() -> None:
    world = World()
    world.add(1, Server({50: padded}))
    world.add(2, Server())
    world.run()
    client = world.client
    assert not world.dropped and client.height == 131 and list(client.disputed) == [50]
    assert client.filter_hash(50) is None and client.filter_hash(51) is not None
    assert client.agreeing_peers(131) == [1, 2]
    world.add(3, Server({50: padded, 90: lacking}))
    world.add(4, Server())
    world.run()
    assert list(world.dropped) == [3] and client.agreeing_peers(131) == [1, 2, 4]
    assert client.disputed == {50: client.disputed[50]} and len(client.disputed[50]) == 2


def test_a_later_peer_that_lies_about_the_past() -> None:
    world = World()
    world.add(1, Server())
    world.run()
    world.add(2, Server({20: lacking}))
    world.add(3, Server())
    world.run()
    assert world.is_true() and list(world.dropped) == [2]
    assert world.client.agreeing_peers(131) == [1, 3]


def test_a_liar_that_was_alone_is_found_out_by_the_first_honest_peer() -> None:
    world = World()
    world.add(1, Server({20: lacking}))
    world.run()
    assert world.client.height == 131 and not world.is_true()
    world.add(2, Server())
    world.run()
    assert world.is_true() and list(world.dropped) == [1] and world.rewound == [20]


def test_a_liar_that_left_is_found_out_too() -> None:
    world = World()
    world.add(1, Server({20: padded}))
    world.run()
    world.client.remove_peer(1)
    world.add(2, Server())
    world.run()
    assert world.client.height == 131 and list(world.client.disputed) == [20], "nobody is left to ask"


def test_a_filter_that_is_not_the_announced_one() -> None:
    class TwoFaced(Server):
        def cfheaders(self, blocks: list[Block], start: int, stop: int) -> tuple[bytes, list[bytes]]:
            return Server({30: lacking}).cfheaders(blocks, start, stop)

    world = World()
    world.add(1, TwoFaced())
    world.add(2, Server())
    world.run()
    assert world.is_true() and "not the one it announced" in world.dropped[1]


def test_peers_that_do_not_answer_hold_nobody_up_for_long() -> None:
    world = World()
    world.add(1, Server(mute=True))
    world.add(2, Server())
    world.run()
    assert world.client.height == -1, "the answers are awaited together"
    world.now = 5.0
    world.run()
    assert world.is_true() and not world.dropped
    world.now = 31.0
    world.run()
    assert world.is_true() and list(world.dropped) == [1]


def test_a_question_is_repeated() -> None:
    """A full node whose index is a moment behind its chain does not answer at all."""
    world = World()
    world.add(1, Server(mute=True))
    world.run()
    world.now = 1.0
    assert not world.client.poll(world.now) and world.client.waiting
    world.servers[1].mute = False
    world.now = 2.1
    world.run()
    assert world.is_true() and not world.client.waiting


def test_a_reorganisation_cuts_and_goes_on() -> None:
    world = World(BLOCKS[:121])
    world.add(1, Server())
    world.run()
    scene = make_scene(110)
    branch = [scene.block(time=scene.tip.time + 90)]
    scene = scene.extended(branch[0])
    for _ in range(15):
        branch.append(scene.block(time=scene.tip.time + 60))
        scene = scene.extended(branch[-1])
    for block in branch:
        world.tree.best_header = world.tree.add(block.header, 2)
    world.blocks = BLOCKS[:111] + branch
    world.run()
    assert world.is_true() and not world.dropped


def keep(world: World, kept: dict[int, HashRow]) -> list[HashRow]:
    """What a store holds after the changes."""
    changes = world.client.changes()
    if changes is not None:
        start, rows = changes
        for height in [h for h in kept if h >= start]:
            del kept[height]
        kept.update((row.height, row) for row in rows)
    return [kept[height] for height in sorted(kept)]


def test_what_is_kept_is_taken_up_again() -> None:
    world = World()
    world.add(1, Server({50: padded}))
    world.add(2, Server())
    kept: dict[int, HashRow] = {}
    while actions := world.client.poll(world.now):
        for action in actions:
            world.act(action)
        keep(world, kept)
    rows = keep(world, kept)
    assert len(rows) == 132 and world.client.changes() is None
    again = World()
    assert again.client.restore(rows[:60]) and again.client.restore(rows[60:])
    assert again.client.height == 131 and again.client.filter_header(131) == world.client.filter_header(131)
    assert again.client.disputed == world.client.disputed and list(again.client.disputed) == [50]
    assert again.client.changes() is None
    again.add(1, Server({50: padded}))
    again.add(2, Server())
    again.run()
    assert again.client.agreeing_peers(131) == [1, 2] and not again.dropped


def test_of_what_is_kept_only_blocks_that_are_known_count() -> None:
    world = World()
    world.add(1, Server())
    world.run()
    rows = keep(world, {})
    other = World(BLOCKS[:5])
    assert not other.client.restore(rows)
    assert other.client.height == 4
    assert other.client.changes() == (5, []), "the rest is to be forgotten"


def test_a_block_that_was_fetched_anyway_tells_on_its_filter() -> None:
    world = World()
    world.add(1, Server({20: lacking}))
    world.run()
    node = world.tree.get(BLOCKS[20].hash)
    assert node is not None
    world.client.refuted(node, true_filter(BLOCKS[20]), "fault")
    assert world.client.height == 131, "not the filter that it went by"
    world.client.refuted(node, lacking(BLOCKS[20]), "fault")
    world.run()
    assert list(world.dropped) == [1] and world.rewound == [20] and world.client.height == 19
    world.add(2, Server())
    world.run()
    assert world.is_true()


def test_a_late_answer_is_no_lie() -> None:
    """Asked twice, answered twice: the second answer comes after a reorganisation there and back."""
    world, server = World(), Server()
    slow: list[AskHeaders] = []
    world.client.add_peer(1)

    def poll() -> None:
        for action in world.client.poll(world.now):
            assert isinstance(action, AskHeaders), action
            slow.append(action)

    def answer(asked: AskHeaders) -> None:
        stop = next(height for height, block in enumerate(BLOCKS) if block.hash == asked.stop_hash)
        world.client.on_cfheaders(1, asked.stop_hash, *server.cfheaders(BLOCKS, asked.start_height, stop))

    poll()
    world.now = 3.0
    poll()
    first, again = slow
    assert first == again
    answer(first)
    poll()
    assert world.is_true()
    top = world.tree.best_header
    assert top is not None
    world.tree.best_header = top.ancestor(60)
    poll()
    assert world.client.height == 60
    world.tree.best_header = top
    poll()
    assert slow[2].start_height == 61 and slow[2].stop_hash == again.stop_hash
    answer(again)
    answer(slow[2])
    poll()
    assert world.is_true() and len(slow) == 3
    answer(slow[2])  # more often than it was asked
    poll()
    assert world.is_true()


def test_what_is_claimed_of_a_chain_that_lost_is_forgotten() -> None:
    """A peer's answer waits for another peer's when the best chain becomes another one."""
    fork = make_scene(100)
    other = fork
    for _ in range(40):
        coinbase = other.coinbase(script_sig=height_push(other.height) + b"\x05other")
        other = other.extended(other.block(coinbase=coinbase))
    assert fork.blocks == SCENE.blocks[:100]
    world = World()
    world.add(1, Server())
    world.add(2, Server(mute=True))
    for action in world.client.poll(world.now):
        world.act(action)
    assert world.client.poll(world.now) == [] and world.client.height == -1
    world.blocks = [SCENE.params.genesis, *other.blocks]
    BY_HASH.update((block.hash, block) for block in other.blocks)
    for block in other.blocks[100:]:
        world.tree.best_header = world.tree.add(block.header, 2)
    world.now = 20.0
    world.run()
    world.now = 40.0
    world.run()
    assert world.dropped == {2: "cfheaders did not come"}
    hashes = [world.client.filter_hash(height) for height in range(141)]
    assert hashes == [BlockFilter.trusted(b.hash, true_filter(b)).hash for b in world.blocks]
