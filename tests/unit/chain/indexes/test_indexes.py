"""Indexes catch up, follow reorganisations, start again after a kill, and say what Core says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pybitcoind.chain.block_filter import BlockFilter
from pybitcoind.chain.events import BlockConnected, BlockDisconnected, EventBus
from pybitcoind.chain.header_tree import HeaderNode, HeaderStatus, HeaderTree
from pybitcoind.chain.indexes import base
from pybitcoind.chain.indexes.base import Index
from pybitcoind.chain.indexes.block_filters import BlockFilterIndex
from pybitcoind.chain.indexes.transactions import TxIndex
from pybitcoind.chain.params import regtest
from pybitcoind.chain.ports import Ports
from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.merkle import merkle_root
from pybitcoind.chain.primitives.transaction import NULL_OUTPOINT, Coin, OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.storage.database import Database, FileStorage, MemoryStorage
from pybitcoind.chain.storage.records import BlockUndo

ALL_DATA = int(HeaderStatus.VALID_TREE | HeaderStatus.HAVE_DATA | HeaderStatus.HAVE_UNDO)


class Quiet:
    """A log that keeps its lines, a clock that does not wait, workers that run at once."""

    count = 1

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str) -> None:
        self.lines.append(message)

    def warning(self, message: str) -> None:
        self.lines.append(f"[warning] {message}")

    def bytes(self, n: int) -> bytes:
        return bytes(n)

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)

    def timeout(self, seconds: float | None) -> Any:
        return asyncio.timeout(seconds)

    async def run(self, fn: Callable[..., Any], *args: Any) -> Any:
        await asyncio.sleep(0)
        return fn(*args)


class Chain:
    """Blocks in memory behind a real header tree and event bus: what an index needs of a manager."""

    def __init__(self) -> None:
        self.headers, self.events, self.pruning = HeaderTree(), EventBus(), False
        self.blocks: dict[HeaderNode, tuple[Block, BlockUndo]] = {}
        self.reads = 0
        self.prune_locks: dict[str, int] = {}
        self.headers.set_tip(self.add(regtest().genesis, BlockUndo()))

    def add(self, block: Block, undo: BlockUndo) -> HeaderNode:
        node = self.headers.add(block.header, 2)
        node.status = ALL_DATA
        self.blocks[node] = (block, undo)
        return node

    def extend(self, prev: HeaderNode | None = None, *txs: Transaction, salt: int = 0) -> HeaderNode:
        """A block behind prev (default: the tip) with a coinbase and txs, which spend coins of 1 satoshi."""
        prev = prev or self.tip
        height = prev.height + 1
        coinbase = Transaction.make(
            [TxIn(NULL_OUTPOINT, b"\x04" + height.to_bytes(4, "little"))],
            [TxOut(50, b"\x51" + bytes([salt, height % 256])), TxOut(0, b"\x6a\x01\x02")],
        )
        root, _ = merkle_root([coinbase.txid, *(tx.txid for tx in txs)])
        header = BlockHeader(4, prev.hash, root, prev.time + 1, 0x207FFFFF, salt)
        undo = BlockUndo([[Coin(1, b"\x76" + txin.prevout.txid, 1, False) for txin in tx.vin] for tx in txs])
        return self.add(Block(header, [coinbase, *txs]), undo)

    @property
    def tip(self) -> HeaderNode:
        assert self.headers.tip is not None
        return self.headers.tip

    @property
    def validated_tip(self) -> HeaderNode:
        return self.tip

    def connect(self, node: HeaderNode) -> None:
        """Makes node the tip, with the events of every step."""
        fork = self.headers.fork_with_chain(node)
        assert fork is not None
        while self.tip is not fork:
            old = self.tip
            self.headers.set_tip(old.prev)
            self.events.emit(BlockDisconnected(*self.blocks[old], old))
        for height in range(fork.height + 1, node.height + 1):
            step = node.ancestor(height)
            self.headers.set_tip(step)
            self.events.emit(BlockConnected(*self.blocks[step], step))

    async def read_block(self, node: HeaderNode) -> Block:
        self.reads += 1
        return self.blocks[node][0]

    async def read_block_bytes(self, node: HeaderNode) -> bytes:
        return self.blocks[node][0].raw

    async def read_undo(self, node: HeaderNode) -> BlockUndo:
        return self.blocks[node][1]


def spend(n: int) -> Transaction:
    return Transaction.make([TxIn(OutPoint(n.to_bytes(32, "big"), 0))], [TxOut(1, bytes([0x51, n % 256]))])


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture(params=["files", "memory"])
def ports(request: pytest.FixtureRequest, tmp_path: Path) -> Ports:
    quiet: Any = Quiet()
    storage = FileStorage(tmp_path) if request.param == "files" else MemoryStorage()
    return Ports(quiet, quiet, quiet, quiet, storage, quiet)


@asynccontextmanager
async def running(
    kind: type[Index[Any]], chain: Chain, ports: Ports, *, look_at_all: bool = False
) -> AsyncIterator[Any]:
    """The index, open and caught up; it ends orderly. look_at_all: also at all blocks by and by."""
    index = kind(chain, chain.events, ports, regtest())
    if not look_at_all:
        index._check_all_blocks = skip  # type: ignore[method-assign]
    await index.open()
    task = asyncio.create_task(index.run())
    try:
        await until_synced(index, task)
        yield index
        await chain.events.drained()
    finally:
        index.stop()
        chain.events.finish()
        await task
        await index.close()
        chain.events = EventBus()


async def skip(db: Database, last: HeaderNode | None) -> None: ...


async def until_synced(index: Index[Any], task: asyncio.Task[None]) -> None:
    for _ in range(10_000):
        if (index.synced and index.checked) or task.done():
            return
        await asyncio.sleep(0.0005)
    raise AssertionError("the index does not catch up")


async def filter_headers_hold(index: BlockFilterIndex, chain: Chain) -> None:
    """Each block's entry is what its block and undo give, and headers chain."""
    header = bytes(32)
    for node in chain.headers.chain:
        expected = BlockFilter.of_block(chain.blocks[node][0], chain.blocks[node][1].txs)
        found = await index.filter(node.hash)
        assert found is not None and found.encoded == expected.encoded
        header = expected.header(header)
        assert await index.header(node.hash) == header


async def test_transactions(chain: Chain, ports: Ports) -> None:
    for n in range(5):
        chain.connect(chain.extend(None, spend(2 * n), spend(2 * n + 1)))
    async with running(TxIndex, chain, ports) as index:
        assert (index.best_height, index.synced) == (5, True)
        chain.connect(chain.extend(None, spend(50)))
        await chain.events.drained()
        for node in chain.headers.chain[1:]:
            for tx in chain.blocks[node][0].vtx:
                assert await index.find(tx.txid) == (node.hash, tx)
        assert await index.find(regtest().genesis.vtx[0].txid) is None
        assert await index.find(bytes(32)) is None
    assert "txindex is enabled at height 5" in ports.log.lines  # type: ignore[attr-defined]


async def test_transactions_move_with_a_reorganisation(chain: Chain, ports: Ports) -> None:
    start = chain.tip
    old = chain.extend(start, spend(1), spend(2), salt=1)
    new = chain.extend(chain.extend(start, salt=2), spend(1), salt=2)
    async with running(TxIndex, chain, ports) as index:
        chain.connect(old)
        chain.connect(new)
        await chain.events.drained()
        assert index.best is new
        assert (await index.find(spend(1).txid))[0] == new.hash
        assert (await index.find(spend(2).txid))[0] == old.hash  # as Core: it is not forgotten


async def test_filters(chain: Chain, ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "BATCH_BLOCKS", 7)
    for n in range(30):
        chain.connect(chain.extend(None, spend(n)))
    stale = chain.tip
    async with running(BlockFilterIndex, chain, ports) as index:
        await filter_headers_hold(index, chain)
        stale_header = await index.header(stale.hash)
        fork = chain.headers.chain[25]
        chain.connect(chain.extend(fork, salt=5))
        chain.connect(chain.extend(None, spend(77), salt=5))
        await chain.events.drained()
        await filter_headers_hold(index, chain)
        assert await index.header(stale.hash) == stale_header  # still known by its hash
        filters = await index.filters(3, stale)
        assert [f.block_hash for f in filters] == [stale.ancestor(n).hash for n in range(3, 31)]
        assert await index.filter_hashes(3, stale) == [f.hash for f in filters]
        headers = await index.headers_of([chain.headers.chain[10], stale])
        assert headers == [await index.header(chain.headers.chain[10].hash), stale_header]
        unknown = chain.extend(None)
        assert await index.filters(0, unknown) is None and await index.filter_hashes(0, unknown) is None
        assert await index.header(unknown.hash) is None and await index.headers_of([stale, unknown]) is None
        with pytest.raises(ValueError, match="start height"):
            await index.filters(stale.height + 1, stale)


async def test_starts_where_it_was(chain: Chain, ports: Ports) -> None:
    for n in range(10):
        chain.connect(chain.extend(None, spend(n)))
    async with running(BlockFilterIndex, chain, ports):
        pass
    old_tip = chain.tip
    chain.connect(chain.extend(chain.headers.chain[8], salt=9))
    chain.connect(chain.extend(None, spend(99), salt=9))
    chain.connect(chain.extend(None, spend(98), salt=9))
    chain.reads = 0
    async with running(BlockFilterIndex, chain, ports) as index:
        assert chain.reads == 3 and index.best is chain.tip
        await filter_headers_hold(index, chain)
    chain.connect(chain.headers.chain[4])  # as after a kill: the index was ahead of the coins
    async with running(BlockFilterIndex, chain, ports) as index:
        assert index.best_height == 4
        for height in range(5, 11):
            chain.connect(old_tip.ancestor(height))
        await chain.events.drained()
        assert index.best is old_tip
        await filter_headers_hold(index, chain)


async def test_best_block_unknown_after_a_kill(
    chain: Chain, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index had blocks whose headers never reached the disk: it goes back to the last one known."""
    monkeypatch.setattr(base, "CHECKED_BLOCKS", 0)
    for n in range(12):
        chain.connect(chain.extend(None, spend(n)))
    async with running(BlockFilterIndex, chain, ports):
        pass
    again = Chain()
    for n in range(6):
        again.connect(again.extend(None, spend(n)))
    for n in range(40, 44):
        again.connect(again.extend(None, spend(n), salt=3))
    async with running(BlockFilterIndex, again, ports) as index:
        assert index.best is again.tip and again.reads == 4
        await filter_headers_hold(index, again)


async def test_blocks_while_it_catches_up(
    chain: Chain, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events and the block store overlap in every way; reorganisations on top."""
    monkeypatch.setattr(base, "BATCH_BLOCKS", 2)
    for n in range(20):
        chain.connect(chain.extend(None, spend(n)))
    index = BlockFilterIndex(chain, chain.events, ports, regtest())
    await index.open()
    assert not index.synced
    task = asyncio.create_task(index.run())
    for n in range(20, 60):
        await asyncio.sleep(0)
        if n % 7 == 0:
            chain.connect(chain.extend(chain.headers.chain[-3], salt=n))
        chain.connect(chain.extend(None, spend(n), salt=n))
    await until_synced(index, task)
    await chain.events.drained()
    assert index.best is chain.tip
    await filter_headers_hold(index, chain)
    index.stop()
    chain.events.finish()
    await task
    await index.close()


async def test_missing_data(chain: Chain, ports: Ports) -> None:
    for n in range(10):
        chain.connect(chain.extend(None, spend(n)))
    pruned = chain.headers.chain[6]
    pruned.status &= ~int(HeaderStatus.HAVE_UNDO)
    index = BlockFilterIndex(chain, chain.events, ports, regtest())
    await index.open()
    assert index.missing_data() is pruned
    await index.catch_up()
    assert index.best_height == 5 and not index.synced
    pruned.status = ALL_DATA
    assert index.missing_data() is None
    await index.catch_up()
    assert index.synced and index.missing_data() is None
    await index.close()


async def test_a_failure_ends_the_run(chain: Chain, ports: Ports) -> None:
    async with running(TxIndex, chain, ports) as index:
        pass
    index = TxIndex(chain, chain.events, ports, regtest())
    await index.open()
    task = asyncio.create_task(index.run())
    await until_synced(index, task)
    await index.db.write(lambda conn: conn.execute("DROP TABLE txs"))
    chain.connect(chain.extend())
    with pytest.raises(BaseExceptionGroup, match="unhandled errors"):
        await task
    await index.close()


async def test_filters_as_core_says(shared: Path, tmp_path: Path) -> None:
    """Filter headers Core 31.99 gives (getblockfilter) on the chain of regtest-signatures.dat."""
    chain, quiet = Chain(), Quiet()
    data, pos, coins = (shared / "data" / "regtest-signatures.dat").read_bytes(), 0, dict[OutPoint, Coin]()
    while pos < len(data):
        size = int.from_bytes(data[pos + 4 : pos + 8], "little")
        block = Block.decode(data[pos + 8 : pos + 8 + size])
        pos += 8 + size
        if block.hash == regtest().genesis.hash:
            continue
        height = chain.tip.height + 1
        spent = []
        for tx in block.vtx:
            if not tx.is_coinbase:
                spent.append([coins.pop(txin.prevout) for txin in tx.vin])
            for n, (value, script) in enumerate(tx.vout):
                coins[OutPoint(tx.txid, n)] = Coin(value, script, height, tx.is_coinbase)
        chain.connect(chain.add(block, BlockUndo(spent)))
    port: Any = quiet
    ports = Ports(port, port, port, port, FileStorage(tmp_path), port)
    async with running(BlockFilterIndex, chain, ports) as index:
        expected = {
            0: "485e301e4509d7f0d954bf5b529f3ecef68c5191fd0e635f775c1d0266dc5a2b",
            1: "5e9f323e95d07fefc2c2332c4ba6b7d63874bc0da313c65713a8eda0c738b1c8",
            200: "d933d0940b5d1fe994715929b2e469f5bc98f75a8d9b419ec433232c5bd7d837",
            220: "ba105c0d23d1dd1f12194715fd471604af4c0e77a01b36d274c480490d28f8d3",
        }
        for height, header in expected.items():
            found = await index.header(chain.headers.chain[height].hash)
            assert hash_hex(found) == header
