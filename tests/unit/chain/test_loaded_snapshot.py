"""A chain manager with a loaded snapshot: two chainstates, restarts at every stage, and what may go wrong."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from block_files import empty_branch
from ports import make_ports
from running import Recorder, running_chain
from scene import make_scene
from snapshot_chain import BASE_HEIGHT, Kept, base, snapshot_chain, snapshot_file, utxo_hash_at

from pybitcoind.chain.chainstates import INVALID_NAME, SNAPSHOT_NAME
from pybitcoind.chain.events import (
    BlockConnected,
    BlockDisconnected,
    ChainRole,
    EventBus,
    SnapshotValidated,
    TipChanged,
)
from pybitcoind.chain.indexes.block_filters import BlockFilterIndex
from pybitcoind.chain.indexes.coin_stats import CoinStatsIndex
from pybitcoind.chain.manager import ChainManager, ChainOptions
from pybitcoind.chain.mempool.pool import Mempool
from pybitcoind.chain.params import AssumeUtxo, ChainParams, regtest
from pybitcoind.chain.policy.settings import PolicySettings
from pybitcoind.chain.ports import Ports
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.pruning import delete_files, files_over_target
from pybitcoind.chain.snapshot import SnapshotError, SnapshotReader
from pybitcoind.chain.snapshot_dump import dump_earlier, dump_tip
from pybitcoind.chain.snapshot_load import load
from pybitcoind.chain.storage.coin_store import CoinStore
from pybitcoind.chain.storage.database import StorageError
from pybitcoind.chain.utxo_set_hash import UtxoHashType, utxo_set_stats

CHAIN = snapshot_chain(230)
BELOW, ABOVE = CHAIN[:BASE_HEIGHT], CHAIN[BASE_HEIGHT:]


SNAPSHOT, HASH_230 = snapshot_file(), utxo_hash_at(230)


async def feed(chain: ChainManager, blocks: Sequence[Block]) -> None:
    for block in blocks:
        result = await chain.process_block(block, requested=True)
        assert result.error is None, result.error


async def utxo_hash(chain: ChainManager) -> bytes:
    await chain.flush()
    kind = UtxoHashType.HASH_SERIALIZED_3
    stats = await utxo_set_stats(chain.chainstate.store, kind, chain.ports.workers)
    assert stats.hash is not None
    return stats.hash


async def load_file(chain: ChainManager, data: bytes = SNAPSHOT) -> None:
    node = await load(chain, SnapshotReader(io.BytesIO(data), chain.params))
    assert node.height == BASE_HEIGHT and chain.tip.descends_from(node)


async def until_validated(chain: ChainManager) -> None:
    async with asyncio.timeout(20):
        while chain.background is not None:  # noqa: ASYNC110 (each step is the owner's)
            await asyncio.sleep(0.001)


async def give_headers(chain: ChainManager, blocks: Sequence[Block] = CHAIN) -> None:
    await chain.accept_headers([block.header for block in blocks])


@asynccontextmanager
async def loaded(
    ports: Ports, options: ChainOptions | None = None, recorder: Recorder | None = None
) -> AsyncIterator[ChainManager]:
    """A node that has 50 blocks, all headers, and the snapshot."""
    async with running_chain(ports, options, recorder=recorder) as chain:
        await feed(chain, CHAIN[:50])
        await give_headers(chain)
        await load_file(chain)
        yield chain


@pytest.fixture(params=["memory", "files"])
def ports(request: pytest.FixtureRequest, tmp_path: Path) -> Ports:
    return make_ports(tmp_path if request.param == "files" else None)


# The way it should go


async def test_from_the_snapshot_to_the_tip_and_up_to_the_snapshot(ports: Ports) -> None:
    recorder = Recorder()
    async with loaded(ports, recorder=recorder) as chain:
        background = chain.background
        assert background is not None and background.tip.height == 50
        assert chain.validated_tip is background.tip
        assert chain.tip.chain_tx_count == 201 and not chain.tip.have_data
        await feed(chain, ABOVE)
        assert (chain.tip.height, background.tip.height) == (230, 50)
        await feed(chain, BELOW[50:])
        await until_validated(chain)
        assert chain.validated_tip is chain.tip and chain.loaded_snapshot is not None
        assert chain.loaded_snapshot.validated
        assert await utxo_hash(chain) == HASH_230
        assert all(node.chain_tx_count == node.height + 1 for node in chain.headers.chain)
        await chain.events.drained()
    connected = [
        (e.node.height, e.role) for e in recorder.of(BlockConnected) if isinstance(e, BlockConnected)
    ]
    assert [h for h, role in connected if role is ChainRole.BACKGROUND] == list(range(51, 201))
    assert [h for h, role in connected if role is ChainRole.ACTIVE] == [*range(1, 51), *range(201, 231)]
    tips = [e.tip.height for e in recorder.of(TipChanged) if isinstance(e, TipChanged)]
    assert tips == [*range(1, 51), *range(201, 231)]
    assert len(recorder.of(SnapshotValidated)) == 1
    # The next start makes one chainstate of the two.
    assert ports.storage.exists(SNAPSHOT_NAME)
    async with running_chain(ports) as chain:
        assert chain.loaded_snapshot is None and not ports.storage.exists(SNAPSHOT_NAME)
        assert chain.tip.height == 230 and await utxo_hash(chain) == HASH_230
        (result,) = {await chain.verify_chain(4, 0)}
        assert result.name == "SUCCESS"


async def test_restarts_at_every_stage(ports: Ports) -> None:
    async with loaded(ports):
        pass
    async with running_chain(ports) as chain:
        assert chain.tip.height == BASE_HEIGHT and chain.validated_tip.height == 50
        assert chain.tip.chain_tx_count == 201
        await feed(chain, BELOW[50:100])
        await feed(chain, ABOVE[:10])
    async with running_chain(ports) as chain:
        async with asyncio.timeout(20):
            while chain.validated_tip.height < 100:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert chain.tip.height == 210
        await feed(chain, ABOVE[10:])
        await chain.accept_block(BELOW[199], requested=True)  # the snapshot's own, out of turn
        assert chain.headers.chain[BASE_HEIGHT].chain_tx_count == 201
    async with running_chain(ports) as chain:
        assert chain.tip.height == 230 and chain.tip.chain_tx_count == 231
        for block in reversed(BELOW[100:]):
            await chain.accept_block(block, requested=True)
        await until_validated(chain)
        assert await utxo_hash(chain) == HASH_230


async def test_blocks_above_that_came_before(ports: Ports) -> None:
    async with running_chain(ports) as chain:
        await give_headers(chain)
        for block in ABOVE:
            await chain.accept_block(block, requested=True)
        assert chain.tip.height == 0
        await load(chain, SnapshotReader(io.BytesIO(SNAPSHOT), chain.params))
        await chain.activate_best()
        assert chain.tip.height == 230


async def test_budget_is_shared(ports: Ports) -> None:
    options = ChainOptions(db_cache=100_000_000, max_tip_age=10**9)
    async with loaded(ports, options) as chain:
        background = chain.background
        assert background is not None
        budgets = chain.chainstate.coins.budget, background.chainstate.coins.budget
        assert not chain.is_ibd and budgets == (5_000_000, 95_000_000)
        await feed(chain, CHAIN[50:])
        await until_validated(chain)
        assert chain.chainstate.coins.budget == 100_000_000
    ports = make_ports()
    async with loaded(ports, ChainOptions(db_cache=100_000_000)) as chain:
        assert chain.is_ibd and chain.chainstate.coins.budget == 95_000_000


async def test_dump_of_what_was_loaded(ports: Ports) -> None:
    async with loaded(ports) as chain:
        file = Kept()
        dump = await dump_tip(chain, file)
        assert file.content == SNAPSHOT
        assert (dump.coins, dump.base, dump.utxo_hash) == (200, chain.tip, base().hash_serialized)


@pytest.mark.parametrize("in_memory", [False, True])
async def test_dump_of_an_earlier_block(ports: Ports, in_memory: bool) -> None:
    """Also with a memory so small that every block's changes go to the disk."""
    scene = make_scene(130)
    spend = scene.spend(*scene.mature[:3])
    scene = scene.extended(scene.block(spend))
    scene = scene.extended(scene.block(scene.spend(*scene.mature[:5])))
    async with running_chain(ports) as chain:
        wanted = {}
        for block in scene.blocks:
            await feed(chain, [block])
            if chain.tip.height in (3, 128, 131):
                file = Kept()
                await dump_tip(chain, file)
                wanted[chain.tip.height] = file.content
        for height, content in wanted.items():
            file = Kept()
            dump = await dump_earlier(chain, chain.headers.chain[height], file, in_memory=in_memory)
            assert file.content == content and dump.base.height == height
        assert not ports.storage.names("temp_utxo_3")
        assert chain.tip.height == 132


# Indexes


async def test_indexes_follow_the_background(tmp_path: Path) -> None:
    """In order, and not beyond what is validated."""
    ports = make_ports(tmp_path)
    events = EventBus()
    chain = await ChainManager.open(ports, regtest(), None, events)
    indexes = [kind(chain, events, ports, regtest()) for kind in (BlockFilterIndex, CoinStatsIndex)]
    for index in indexes:
        await index.open()
    tasks = [asyncio.create_task(chain.run_owner())]
    tasks += [asyncio.create_task(index.run()) for index in indexes]
    try:
        await feed(chain, CHAIN[:50])
        await give_headers(chain)
        await load_file(chain)
        await feed(chain, ABOVE)
        await events.drained()
        assert [index.best_height for index in indexes] == [50, 50]
        await feed(chain, BELOW[50:100])
        async with asyncio.timeout(20):
            while chain.validated_tip.height < 100:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        await events.drained()
        assert [index.best_height for index in indexes] == [100, 100]
        await feed(chain, BELOW[100:])
        await until_validated(chain)
        async with asyncio.timeout(20):
            while any(index.best_height < 230 for index in indexes):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
    finally:
        chain.stop_owner()
        for index in indexes:
            index.stop()
        events.finish()
        await asyncio.gather(*tasks)
        for index in indexes:
            await index.close()
        await chain.close()
    async with running_chain(make_ports()) as other:  # what it must have come to
        await feed(other, CHAIN)
        stats = await utxo_set_stats(other.chainstate.store, UtxoHashType.MUHASH, other.ports.workers)
        await other.flush()
        stats = await utxo_set_stats(other.chainstate.store, UtxoHashType.MUHASH, other.ports.workers)
    again = CoinStatsIndex(other, EventBus(), ports, regtest())
    await again.open()
    found = await again.find(CHAIN[-1].hash)
    await again.close()
    assert found is not None and found.muhash == stats.hash


# Branches


async def test_a_background_on_another_branch_goes_back(ports: Ports) -> None:
    recorder = Recorder()
    async with running_chain(ports, recorder=recorder) as chain:
        await feed(chain, CHAIN[:20])
        branch = empty_branch(CHAIN[19].header, 20, 60)
        await feed(chain, branch)
        await give_headers(chain)
        await load_file(chain)
        await chain.owner.idle_step_taken()
        await feed(chain, ABOVE)
        await chain.owner.idle_step_taken()
        assert chain.validated_tip.height == 80, "not before there is something to go to"
        await feed(chain, BELOW[20:])
        await until_validated(chain)
        assert await utxo_hash(chain) == HASH_230
        await chain.events.drained()
    gone = [e for e in recorder.of(BlockDisconnected) if isinstance(e, BlockDisconnected)]
    assert [e.node.height for e in gone] == list(range(80, 20, -1))
    assert {e.role for e in gone} == {ChainRole.BACKGROUND}


async def test_a_better_branch_from_below_has_to_wait(ports: Ports) -> None:
    """Nothing below the snapshot can be disconnected before its blocks were connected."""
    async with loaded(ports) as chain:
        branch = empty_branch(CHAIN[39].header, 40, 300)
        for block in branch:
            await chain.accept_block(block, requested=True)
        await chain.activate_best()
        assert chain.tip.height == BASE_HEIGHT
        await feed(chain, BELOW[50:])
        await until_validated(chain)
        await chain.activate_best()
        assert chain.tip.hash == branch[-1].hash
    async with running_chain(ports) as chain:
        assert chain.tip.hash == branch[-1].hash and chain.loaded_snapshot is None


async def test_invalidation_stays_above_the_snapshot(ports: Ports) -> None:
    async with loaded(ports) as chain:
        await feed(chain, ABOVE)
        for height in (BASE_HEIGHT, 30):
            with pytest.raises(ValueError, match="not above the snapshot"):
                await chain.invalidate_block(CHAIN[height - 1].hash)
        await chain.invalidate_block(CHAIN[210].hash)
        assert chain.tip.height == 210
        await chain.reconsider_block(CHAIN[210].hash)
        assert chain.tip.height == 230


# Pruning


def stored(chain: ChainManager) -> list[int]:
    return [node.height for node in chain.headers.chain if node.have_data]


async def test_both_sides_are_pruned_apart(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand above the snapshot only; automatically what the background has left far behind as well."""
    monkeypatch.setattr("pybitcoind.chain.storage.block_store.MAX_FILE_BYTES", 1500)
    monkeypatch.setattr("pybitcoind.chain.pruning.MIN_BLOCKS_TO_KEEP", 12)
    async with loaded(ports, ChainOptions(prune_target=0)) as chain:
        for above, below in zip(ABOVE, BELOW[50:], strict=False):  # they come in turn
            await feed(chain, [above, below])
        assert (chain.tip.height, chain.validated_tip.height) == (230, 80)
        await chain.prune(230)
        heights = stored(chain)
        assert heights[:81] == list(range(81)), "the background's stay"
        assert 206 < heights[81] <= 219 and heights[81:] == list(range(heights[81], 231))
        background = chain.background
        assert background is not None
        below_range = background.tip, background.target
        numbers = files_over_target(chain.index, 1, {}, in_ibd=False, below=below_range)
        assert not numbers, "a chain below prune_after_height"
        params = dataclasses.replace(chain.params, prune_after_height=10)
        monkeypatch.setattr(chain.index, "params", params)
        monkeypatch.setattr("pybitcoind.chain.pruning.BUFFER_BYTES", 10**9)
        await delete_files(
            chain.index, files_over_target(chain.index, 1, {}, in_ibd=False, below=below_range)
        )
        heights = stored(chain)
        first = heights[0]
        assert (
            50 < first <= 69 and heights[: 81 - first] == list(range(first, 81)) and heights[81 - first] > 206
        )
        await feed(chain, BELOW[80:])
        await until_validated(chain)
        assert await utxo_hash(chain) == HASH_230


# What may go wrong


def other_params(**changes: object) -> ChainParams:
    """Regtest with another idea of the snapshot."""
    known: AssumeUtxo = base()._replace(**changes)  # type: ignore[arg-type]
    return dataclasses.replace(regtest(), assume_utxo=(known,))


async def test_a_wrong_snapshot_is_put_aside(ports: Ports) -> None:
    """Its hash is compared again when the blocks below it are connected."""
    async with loaded(ports) as chain:
        await feed(chain, ABOVE)
    with pytest.raises(
        StorageError, match=r"failed to validate the -assumeutxo snapshot state.*from 230 to 200"
    ):
        await validate(ports, other_params(hash_serialized=bytes(32)))
    assert ports.log.find("[snapshot] hash mismatch")  # type: ignore[attr-defined]
    assert ports.storage.exists(INVALID_NAME) and not ports.storage.exists(SNAPSHOT_NAME)
    async with running_chain(ports) as chain:
        await chain.activate_best()
        assert chain.loaded_snapshot is None
        assert chain.tip.height == 230 and await utxo_hash(chain) == HASH_230


async def validate(ports: Ports, params: ChainParams, blocks: Sequence[Block] = BELOW) -> None:
    """Runs a node as the daemon does, until it fails or the snapshot is validated."""
    chain = await ChainManager.open(ports, params)
    owner = asyncio.create_task(chain.run_owner())
    try:
        for block in blocks:
            await chain.accept_block(block, requested=True)
        await until_validated_or(chain, owner)
    finally:
        chain.stop_owner()
        try:
            await owner
        finally:
            await chain.abandon()


async def until_validated_or(chain: ChainManager, owner: asyncio.Task[None]) -> None:
    async with asyncio.timeout(20):
        while chain.background is not None and not owner.done():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_a_snapshot_on_an_invalid_block(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even then does the node go on with it."""
    from pybitcoind.chain.chainstate import Chainstate
    from pybitcoind.chain.consensus.errors import BlockFault, BlockInvalid

    real = Chainstate.begin_connect

    async def begin(self: Chainstate, block: Block, node: object, **more: Any) -> object:
        if block is CHAIN[99] or block.hash == CHAIN[99].hash:
            raise BlockInvalid(BlockFault.CONSENSUS, "bad-cb-amount")
        return await real(self, block, node, **more)  # type: ignore[arg-type]

    async with loaded(ports):
        pass
    monkeypatch.setattr(Chainstate, "begin_connect", begin)
    with pytest.raises(StorageError, match="failed to validate the -assumeutxo snapshot state"):
        await validate(ports, regtest())
    async with running_chain(ports) as chain:
        assert chain.tip.height == 99 and chain.headers.get(CHAIN[99].hash).failed  # type: ignore[union-attr]


async def refused(chain: ChainManager, text: str, data: bytes = SNAPSHOT) -> None:
    with pytest.raises(SnapshotError, match=text):
        await load(chain, SnapshotReader(io.BytesIO(data), chain.params))
    assert not chain.ports.storage.exists(SNAPSHOT_NAME) or chain.loaded_snapshot is not None
    assert not chain.loading_snapshot


async def test_refused(ports: Ports) -> None:
    async with running_chain(ports) as chain:
        pool = Mempool(PolicySettings(), ports.clock, ports.log, chain.events)
        chain.attach_mempool(pool)
        await refused(chain, "must appear in the headers chain")
        await refused(
            chain,
            "not recognized .hash: 00.*available: 110, 200, 299$",
            SNAPSHOT[:11] + bytes(32) + SNAPSHOT[43:],
        )
        await feed(chain, CHAIN[:50])
        await give_headers(chain)
        await chain.invalidate_block(CHAIN[149].hash)
        await refused(chain, "is part of an invalid chain")
        await chain.reconsider_block(CHAIN[149].hash)
        changed = bytearray(SNAPSHOT)
        changed[70] ^= 1
        await refused(
            chain, "^Population failed: Bad snapshot content hash: expected 17dc.* got ", bytes(changed)
        )
        await refused(chain, "^Population failed: Bad snapshot format or truncated", SNAPSHOT[:-1])
        await refused(chain, "^Population failed: Bad snapshot - coins left over", SNAPSHOT + b"\0")
        await chain.accept_headers([b.header for b in empty_branch(CHAIN[9].header, 10, 400)])
        await refused(chain, "A forked headers-chain with more work")
    async with running_chain(make_ports()) as chain:
        await feed(chain, CHAIN)
        await refused(chain, "^Population failed: Work does not exceed active chainstate")
    async with loaded(make_ports()) as chain:
        await refused(chain, "Can't activate a snapshot-based chainstate more than once")


async def test_a_mempool_with_transactions(ports: Ports) -> None:
    async with running_chain(ports) as chain:
        pool = Mempool(PolicySettings(), ports.clock, ports.log, chain.events)
        chain.attach_mempool(pool)
        await feed(chain, CHAIN[:120])
        await give_headers(chain)
        scene = make_scene(1)
        coinbase = CHAIN[0].vtx[0]
        from pybitcoind.chain.primitives.transaction import Coin, OutPoint

        coin = Coin(*coinbase.vout[0], 1, True)
        await chain.accept_transaction(scene.spend((OutPoint(coinbase.txid, 0), coin)))
        await refused(chain, "Can't activate a snapshot when mempool not empty")


async def test_a_load_that_is_broken_off(tmp_path: Path) -> None:
    ports = make_ports(tmp_path)
    async with running_chain(ports) as chain:
        await give_headers(chain)
        for steps in range(0, 30, 3):
            task = asyncio.create_task(load(chain, SnapshotReader(io.BytesIO(SNAPSHOT), chain.params)))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if chain.loaded_snapshot is not None:  # it was too late
                break
            assert not ports.storage.exists(SNAPSHOT_NAME)
        if chain.loaded_snapshot is None:
            await load_file(chain)
        assert chain.tip.height == BASE_HEIGHT


async def test_what_a_killed_node_left(ports: Ports) -> None:
    """A store without its mark was still being loaded."""
    async with running_chain(ports) as chain:
        await give_headers(chain)
        store = await CoinStore.open(ports.storage, regtest(), name=SNAPSHOT_NAME)
        await store.add_rows([(bytes(36), b"\x90")])
        await store.close()
    async with running_chain(ports) as chain:
        assert chain.loaded_snapshot is None and not ports.storage.exists(SNAPSHOT_NAME)
        await load_file(chain)


@pytest.mark.parametrize("option", ["reindex", "reindex_chainstate"])
async def test_reindexing_drops_it(ports: Ports, option: str) -> None:
    async with loaded(ports) as chain:
        await feed(chain, ABOVE)
    async with running_chain(ports, ChainOptions(**{option: True})) as chain:  # type: ignore[arg-type]
        assert chain.loaded_snapshot is None and not ports.storage.exists(SNAPSHOT_NAME)
        if option == "reindex":
            await chain.reindex()
            await give_headers(chain)
        await chain.activate_best()
        assert chain.tip.height == 50
        await load_file(chain)
        await chain.activate_best()
        if option == "reindex":
            await feed(chain, ABOVE)
        assert chain.tip.height == 230


async def test_an_unknown_snapshot_at_the_start(ports: Ports) -> None:
    async with loaded(ports):
        pass
    with pytest.raises(
        StorageError, match=f"not found for the given blockhash '{base().block_hash[::-1].hex()}'"
    ):
        await ChainManager.open(ports, dataclasses.replace(regtest(), assume_utxo=()))
    async with running_chain(ports) as chain:
        assert chain.tip.height == BASE_HEIGHT
