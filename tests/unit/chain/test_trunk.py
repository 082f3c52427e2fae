"""A tree that was stored and loaded is the tree that was stored, though its longest chain is columns now."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from ports import make_ports

from pybitcoind.chain.block_index import BlockIndex
from pybitcoind.chain.header_tree import HeaderNode, HeaderStatus, HeaderTree, fork_point, jump_height
from pybitcoind.chain.params import regtest
from pybitcoind.chain.ports import Storage
from pybitcoind.chain.primitives.block import BlockHeader
from pybitcoind.chain.storage import header_rows
from pybitcoind.chain.storage.block_store import BlockStore, HeaderRow, Position
from pybitcoind.chain.storage.database import Connection, MemoryDatabase, MemoryStorage, StorageError

BITS = (0x207FFFFF, 0x1F7FFFFF)
PARAMS = regtest()


@dataclass
class Model:
    """A random tree, with what a store may hold of each header."""

    rng: random.Random
    tree: HeaderTree = field(default_factory=HeaderTree)

    def __post_init__(self) -> None:
        genesis = self.tree.add(PARAMS.genesis.header, 2)
        self.fill(genesis)
        nodes = [genesis]
        for _ in range(25):
            prev = nodes[-1] if self.rng.random() < 0.7 else self.rng.choice(nodes)
            for _ in range(self.rng.randrange(1, 60)):
                time = max(0, prev.time + self.rng.randrange(-600, 900))
                bits = self.rng.choice(BITS) if self.rng.random() < 0.1 else prev.bits
                root = self.rng.randbytes(32)
                header = BlockHeader(
                    self.rng.randrange(-9, 9), prev.hash, root, time, bits, self.rng.randrange(99)
                )
                prev = self.tree.add(header, 2 if bits == BITS[0] else 512)
                self.fill(prev)
                nodes.append(prev)

    def fill(self, node: HeaderNode) -> None:
        if node.height < 200:
            node.status |= int(HeaderStatus.HAVE_DATA | HeaderStatus.HAVE_UNDO)
            node.position = Position(node.height // 50, self.rng.randrange(1, 1 << 20))
            node.tx_count = self.rng.randrange(1, 3000)
            node.chain_tx_count = node.tx_count + (node.prev.chain_tx_count if node.prev else 0)
            node.sequence = self.rng.randrange(2, 1 << 40)

    async def store(self, storage: Storage) -> None:
        await store(self.tree, storage, self.rng)


async def store(tree: HeaderTree, storage: Storage, rng: random.Random) -> None:
    """In any order."""
    blocks = await BlockStore.open(storage, PARAMS)
    nodes = list(tree)
    rng.shuffle(nodes)
    await blocks.write_headers(
        HeaderRow(n.hash, n.raw, n.height, n.status, n.sequence, n.tx_count, n.position) for n in nodes
    )
    await blocks.close()


async def load(storage: Storage) -> BlockIndex:
    blocks = await BlockStore.open(storage, PARAMS)
    index = BlockIndex(PARAMS, blocks)
    await index.load(bodies=False)
    await blocks.close()
    return index


def facts(node: HeaderNode) -> tuple[object, ...]:
    return (
        *(node.hash, node.raw, node.version, node.time, node.bits, node.nonce, node.height, node.prev_hash),
        *(node.chainwork, node.status, node.tx_count, node.chain_tx_count, node.position, node.time_max),
        *(node.mtp(), node.jump and node.jump.hash),
    )


@pytest.mark.parametrize("seed", range(12))
async def test_what_is_loaded_is_what_was_stored(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    print("seed", seed)
    storage, rng = make_ports().storage, random.Random(seed)
    monkeypatch.setattr(header_rows, "PART", rng.choice((1, 2, 7, 30, header_rows.PART)))
    model = Model(rng)
    await model.store(storage)
    index = await load(storage)
    tree, wanted = index.tree, model.tree
    deepest = max(node.height for node in wanted)
    assert len(tree.trunk) == deepest + 1 and len(tree) == len(wanted)
    assert {leaf.hash for leaf in tree.leaves()} == {leaf.hash for leaf in wanted.leaves()}
    index.candidates.load()

    known = list(wanted)
    for one in rng.sample(known, len(known)):  # in any order, so nodes are made in any order
        other = tree.get(one.hash)
        assert other is not None and tree.get(one.hash) is other and one.hash in tree
        assert facts(other) == facts(one)
        height = rng.randrange(one.height + 1)
        assert other.ancestor(height).hash == one.ancestor(height).hash
    assert tree.get(bytes(32)) is None and bytes(32) not in tree
    assert [node.hash for node in tree] != [] and len(list(tree)) == len(known)
    for _ in range(100):
        a, b = rng.choice(known), rng.choice(known)
        ours, theirs = tree.get(a.hash), tree.get(b.hash)
        assert ours is not None and theirs is not None
        assert fork_point(ours, theirs).hash == fork_point(a, b).hash
        assert {n.hash for n in tree.descendants(ours)} == {n.hash for n in wanted.descendants(a)}
        assert tree.locator(ours) == wanted.locator(a)
        for one, tip in ((wanted, a), (tree, ours)):
            one.set_tip(tip)
        assert [n.hash for n in tree.chain] == [n.hash for n in wanted.chain]
        assert tree.in_chain(theirs) == wanted.in_chain(b)
        assert (tree.next_in_chain(theirs) is None) == (wanted.next_in_chain(b) is None)
        assert [n.hash for n in tree.tips()] == [n.hash for n in wanted.tips()]
    files = {1, 3}
    assert {n.hash for n in tree.stored_in(files)} == {
        n.hash for n in known if n.position is not None and n.position.file in files
    }


async def test_a_long_chain_makes_few_nodes() -> None:
    model, storage = Model(random.Random(5)), make_ports().storage
    await model.store(storage)
    index = await load(storage)
    tree = index.tree
    tree.set_tip(tree.best_header)
    index.candidates.load()
    tree.locator()
    index.recalculate_best_header()
    assert tree.tip is not None and tree.tip.ancestor(3).height == 3
    assert len(tree._made) < 60 < len(tree.trunk)


async def test_order_of_arrival_after_a_restart() -> None:
    model, storage = Model(random.Random(6)), make_ports().storage
    await model.store(storage)
    index = await load(storage)
    tree = index.tree
    tip = tree.on_trunk(150)
    tree.set_tip(tip)
    index.candidates.load()
    assert tip.sequence == tip.ancestor(3).sequence == 0
    above = tree.on_trunk(160)
    stored = model.tree.get(above.hash)
    assert stored is not None and above.sequence == stored.sequence
    best = index.candidates.best()
    assert best is not None and best.height == 199  # up to there bodies are


async def test_rows_are_handed_over_one_by_one_only_where_there_is_a_fork() -> None:
    """Reading a million of them so takes seconds."""
    tree = HeaderTree()
    node = tree.add(PARAMS.genesis.header, 2)
    for height in range(1, 5 * header_rows.PART):
        node = tree.add(BlockHeader(4, node.hash, bytes(32), height, BITS[0], 0), 2)
    stale = tree.add(BlockHeader(4, node.ancestor(1000).hash, bytes(32), 1, BITS[0], 1), 2)
    storage = MemoryStorage()
    await store(tree, storage, random.Random(1))
    db = await storage.open("blocks/index.sqlite")
    assert isinstance(db, MemoryDatabase)
    queries: list[str] = []
    db.connection.set_trace_callback(queries.append)
    index = await load(storage)
    db.connection.set_trace_callback(None)
    apart = [query for query in queries if "ORDER BY" in query]
    assert len(apart) == 1, apart
    assert {leaf.hash for leaf in index.tree.leaves()} == {node.hash, stale.hash}
    loaded = index.tree.get(stale.hash)
    assert loaded is not None and loaded.prev is index.tree.on_trunk(1000)


HARM = {
    "a row is gone": "DELETE FROM headers WHERE height=17",
    "a hash is wrong": "UPDATE headers SET hash=CAST('?' || substr(hash, 2) AS BLOB) WHERE height=17",
    "a parent's hash is wrong": "UPDATE headers SET record=CAST(substr(record, 1, 30) || '?' || "
    "substr(record, 32) AS BLOB) WHERE height=17",
    "two have changed places": "UPDATE headers SET height=CASE height WHEN 17 THEN 18 ELSE 17 END "
    "WHERE height IN (17, 18)",
    "a height is beyond all": f"UPDATE headers SET height={1 << 62} WHERE height=17",
    "a height is below 0": "UPDATE headers SET height=-17 WHERE height=17",
    "a record is cut": "UPDATE headers SET record=substr(record, 1, 100) WHERE height=17",
    "a record is cut, the next is longer": "UPDATE headers SET record=CASE height "
    "WHEN 17 THEN substr(record, 1, 100) ELSE record || x'00000000' END WHERE height IN (17, 18)",
}


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("part", [5, header_rows.PART])
async def test_damaged_rows_are_told(harm: str, part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header_rows, "PART", part)
    model, storage = Model(random.Random(7)), make_ports().storage
    await model.store(storage)
    db = await storage.open("blocks/index.sqlite")
    await db.write(lambda conn: conn.execute(HARM[harm]))
    await db.close()
    with pytest.raises(StorageError, match="-reindex"):
        await load(storage)


@pytest.mark.parametrize("at", [0, 40, 68, 72, 76], ids=["version", "merkle root", "time", "bits", "nonce"])
async def test_a_damaged_header_is_told_when_it_is_of_use(at: int) -> None:
    """Before anything is decided by it; what the work of the chain is counted by, at once."""
    model, storage = Model(random.Random(9)), make_ports().storage
    await model.store(storage)
    height = 77

    def harm(conn: Connection) -> None:
        rows = conn.execute("SELECT hash, record FROM headers WHERE height=?", (height,)).fetchall()
        for block_hash, record in rows:
            damaged = bytearray(record)
            damaged[at] ^= 64
            conn.execute("UPDATE headers SET record=? WHERE hash=?", (bytes(damaged), block_hash))

    db = await storage.open("blocks/index.sqlite")
    await db.write(harm)
    await db.close()
    with pytest.raises(StorageError, match=f"damaged header at height {height}.*-reindex"):
        index = await load(storage)
        assert at != 72
        index.candidates.load()
        index.tree.set_tip(index.tree.best_header)
        assert index.tree.tip is not None and index.tree.tip.ancestor(height + 1).height == height + 1
        index.tree.on_trunk(height + 1).mtp()


async def test_the_first_format_is_taken_over() -> None:
    """Version 1 had a column for each value."""
    model, storage = Model(random.Random(8)), make_ports().storage
    await model.store(storage)

    def as_it_was(conn: Connection) -> None:
        conn.execute("DROP TABLE headers")
        conn.execute(
            """CREATE TABLE headers (
            height INTEGER, hash BLOB, header BLOB NOT NULL, chainwork BLOB NOT NULL, status INTEGER NOT NULL,
            sequence INTEGER NOT NULL, tx_count INTEGER NOT NULL, file INTEGER, row INTEGER,
            PRIMARY KEY (height, hash)) WITHOUT ROWID"""
        )
        for n in model.tree:
            work = n.chainwork.to_bytes(32, "big")
            place = n.position or (None, None)
            row = (n.height, n.hash, n.raw, work, n.status, n.sequence, n.tx_count, *place)
            conn.execute("INSERT INTO headers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        conn.execute("PRAGMA user_version=1")

    db = await storage.open("blocks/index.sqlite")
    await db.write(as_it_was)
    await db.close()
    for _ in range(2):
        index = await load(storage)
        index.candidates.load()
        assert {facts(node) for node in index.tree} == {facts(node) for node in model.tree}


def test_jumps_join_where_two_of_one_length_meet() -> None:
    """Myers's rule, step by step, gives what the sum of numbers 2^k - 1 gives."""
    jumps = [-1, 0]
    for height in range(2, 5000):
        one = jumps[height - 1]
        two = jumps[one] if one > 0 else -1
        jumps.append(two if two >= 0 and height - 1 - one == one - two else height - 1)
        assert jump_height(height) == jumps[height]
