"""Loading a chain that Core has loaded: the same tip and the same UTXO set, restarts included."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from ports import ListLog, make_ports, thread_workers
from running import Recorder, running_chain

from pybitcoind.chain import block_import
from pybitcoind.chain.events import BlockConnected
from pybitcoind.chain.manager import ChainManager, ChainOptions
from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.hashes import hash_from_hex
from pybitcoind.chain.utxo_set_hash import UtxoHashType, utxo_set_stats
from pybitcoind.chain.verify_chain import VerifyResult

TIP = "10b98c99e27acb82d318194371a7657844a469ed5629efff515b7ab591081399"
HASH_SERIALIZED = "14590a6bbe29271542ee2aecf633854fbd6ff73baa4d5047bc724818c06056b5"
MUHASH = "800bdf82130fa594e16f1395439ffc6712ec7cdd1c86d70d2f29caf88e38ef24"


@pytest.fixture
def chain_file(shared: Path) -> Path:
    return shared / "data" / "regtest-signatures.dat"


async def check_utxo_set(chain: ChainManager, *, muhash: bool = False) -> None:
    """Against what Core 31.99 says at this tip."""
    assert (chain.tip.height, chain.tip.hash) == (220, hash_from_hex(TIP))
    await chain.flush()
    kinds = [(UtxoHashType.HASH_SERIALIZED_3, HASH_SERIALIZED)]
    if muhash:
        kinds.append((UtxoHashType.MUHASH, MUHASH))
    for kind, expected in kinds:
        stats = await utxo_set_stats(chain.chainstate.store, kind, chain.ports.workers)
        assert stats.hash == hash_from_hex(expected)
        assert stats.best_block == hash_from_hex(TIP)
        assert (stats.txouts, stats.transactions, stats.bogosize) == (20180, 11266, 1565327)
        assert stats.total_amount == 8891_50005909


async def test_load_restart_verify_and_connect_anew(chain_file: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    with thread_workers(2) as workers:
        ports = make_ports(tmp_path, workers=workers)
        async with running_chain(ports, recorder=recorder) as chain:
            assert await chain.load_external(str(chain_file)) == 220
            assert chain.is_ibd  # the chain ends in 2011
            await check_utxo_set(chain, muhash=True)
            await chain.events.drained()
            heights = [event.node.height for event in recorder.of(BlockConnected)]
            assert heights == list(range(1, 221))  # genesis was connected before anybody listened
            assert await chain.load_external(str(chain_file)) == 0
        ports = make_ports(tmp_path, workers=workers)
        async with running_chain(ports) as chain:
            await check_utxo_set(chain)
            assert await chain.verify_chain(4, 40) is VerifyResult.SUCCESS
            await check_utxo_set(chain)
        assert isinstance(ports.log, ListLog) and not ports.log.find("UpdateTip")
        anew = ChainOptions(reindex_chainstate=True, db_cache=1 << 20)
        async with running_chain(ports, anew) as chain:  # and a small cache gives the same coins
            await chain.activate_best()
            await check_utxo_set(chain)


def shuffled(data: bytes) -> bytes:
    """Blocks 1 to 180 out of order, with what is no block between and behind them."""
    magic = data[:4]
    blocks, pos = [], 0
    while pos < len(data):
        size = int.from_bytes(data[pos + 4 : pos + 8], "little")
        blocks.append(data[pos : pos + 8 + size])
        pos += 8 + size
    order = blocks[100:180] + blocks[:50][::-1] + blocks[50:100]
    return magic + b"rubbish" + magic[:2].join(order) + magic + blocks[180][4:-7]


@pytest.fixture
def shuffled_file(chain_file: Path, tmp_path: Path) -> Path:
    path = tmp_path / "shuffled.dat"
    path.write_bytes(shuffled(chain_file.read_bytes()))
    return path


async def test_blocks_in_any_order_and_found_again(
    chain_file: Path, shuffled_file: Path, tmp_path: Path
) -> None:
    """With a small cache while they are loaded."""
    with thread_workers(2) as workers:
        ports = make_ports(tmp_path, workers=workers)
        async with running_chain(ports, ChainOptions(db_cache=1 << 20)) as chain:
            assert await chain.load_external(str(shuffled_file)) == 180
            assert chain.tip.height == 180
            assert await chain.load_external(str(tmp_path / "missing.dat")) == 0
            assert await chain.load_external(str(chain_file)) == 40
            await check_utxo_set(chain)
        async with running_chain(ports, ChainOptions(reindex=True)) as chain:
            assert chain.tip.height == 0
            await chain.reindex()
            await check_utxo_set(chain)
        async with running_chain(ports) as chain:
            await check_utxo_set(chain)


async def test_others_are_served_while_loading_and_it_can_be_interrupted(
    chain_file: Path, tmp_path: Path
) -> None:
    with thread_workers(2) as workers:
        ports = make_ports(tmp_path, workers=workers)
        async with running_chain(ports) as chain:
            loading = asyncio.ensure_future(chain.load_external(str(chain_file)))
            while chain.tip.height < 195:
                height = await chain.submit(lambda: read_height(chain))
                assert height <= chain.tip.height
                await ports.clock.sleep(0.001)
            began = ports.clock.monotonic()
            chain.stop_owner()
            assert 0 < await loading <= 220
            assert ports.clock.monotonic() - began < 2
            assert chain.tip.height < 220
        ports = make_ports(tmp_path, workers=workers)
        async with running_chain(ports) as chain:
            assert chain.tip.height >= 195
            await chain.load_external(str(chain_file))
            await check_utxo_set(chain)


async def read_height(chain: ChainManager) -> int:
    return chain.tip.height


async def test_pruning_by_hand_and_by_size(
    chain_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pybitcoind.chain import pruning
    from pybitcoind.chain.storage import block_store

    monkeypatch.setattr(block_store, "MAX_FILE_BYTES", 1 << 20)
    monkeypatch.setattr(pruning, "MIN_BLOCKS_TO_KEEP", 3)
    with thread_workers(2) as workers:
        ports = make_ports(tmp_path, workers=workers)
        async with running_chain(ports, ChainOptions(prune_target=0)) as chain:
            await chain.load_external(str(chain_file))
            files = len(chain.index.blocks.files)
            assert files >= 7 and chain.pruning and chain.first_stored_block().height == 0
            last = await chain.prune(210)
            assert 190 < last <= 210 and len(chain.index.blocks.files) < files
            assert chain.first_stored_block().height == last + 1
            chain.prune_locks["index"] = 5
            assert await chain.prune(220) == last
            del chain.prune_locks["index"]
            assert await chain.prune(220) <= 217
            with pytest.raises(LookupError):
                await chain.read_block(chain.headers.chain[100])
            assert await chain.verify_chain(3, 50) is VerifyResult.SKIPPED_MISSING_BLOCKS
        async with running_chain(ports) as chain:
            await check_utxo_set(chain)
            assert chain.first_stored_block().height > last
            assert chain.headers.chain[100].tx_count and not chain.headers.chain[100].have_data

        monkeypatch.setattr(pruning, "BUFFER_BYTES", 0)
        folder = tmp_path / "automatic"
        params = replace(regtest(), prune_after_height=100)
        ports = make_ports(folder, workers=workers)
        async with running_chain(ports, ChainOptions(prune_target=3 << 20), params=params) as chain:
            await chain.load_external(str(chain_file))
            await chain.submit(chain._write)
            filling = 3 << 19  # the file that is being filled, with its undo data
            assert chain.index.blocks.disk_size() < (3 << 20) + filling
            assert chain.first_stored_block().height > 190
            await check_utxo_set(chain)


async def test_no_batch_is_left_behind(
    chain_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many batches, and two of which the last comes when the owner has nothing to do."""
    for size in (3_000, 4868000):  # of 7303031 bytes
        monkeypatch.setattr(block_import, "BATCH_BYTES", size)
        with thread_workers(2) as workers:
            async with running_chain(make_ports(tmp_path / str(size), workers=workers)) as chain:
                assert await chain.load_external(str(chain_file)) == 220
                assert chain.tip.height == 220


async def test_the_first_block_has_a_next_one(
    chain_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two batches come first, the first of them a small one: then a block is begun while one is checked."""
    sizes: list[list[int]] = []
    accept = block_import._Loader.accept_waiting

    async def watched(loader: block_import._Loader) -> None:
        sizes.append([sum(len(parsed.block.raw) for parsed in batch) for batch in loader.waiting])
        await accept(loader)

    monkeypatch.setattr(block_import._Loader, "accept_waiting", watched)
    with thread_workers(2) as workers:
        async with running_chain(make_ports(tmp_path, workers=workers)) as chain:
            assert await chain.load_external(str(chain_file)) == 220
    few, many = sizes[0]
    assert few < block_import.BATCH_BYTES <= many
