"""A data directory that is damaged, of another network, read-only or full: exit code 1, and what to do.

Who does what the line says has a node that runs.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from block_files import write_blocks
from node_process import Daemon, run_to_end, running
from scene import make_scene
from small_disk import fill, small_disk

from pybitcoind.chain.primitives.hashes import hash_hex

INDEXES = ("-txindex", "-blockfilterindex", "-coinstatsindex", "-txospenderindex")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with 130 blocks and both indexes."""
    folder = tmp_path_factory.mktemp("whole")
    blocks = write_blocks(folder / "blocks.dat", make_scene().blocks)
    with running(folder, *INDEXES) as node:
        node.call("createwallet", "money", load_on_startup=True)
        node.call("getnewaddress")
        node.stop_well()
    with running(folder, *INDEXES, f"-loadblock={blocks}", "-stopatheight=130") as node:
        node.process.wait(60)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "node")
    return tmp_path / "node"


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(20_000))


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def flip(path: Path) -> None:
    """A byte in every page but the first."""
    data = bytearray(path.read_bytes())
    for at in range(4096, len(data), 3000):
        data[at] ^= 0x55
    path.write_bytes(data)


def gone(path: Path) -> None:
    path.unlink()


COINS, BLOCKS, INDEX = "chainstate/chainstate.sqlite", "blocks/blk00000.sqlite", "blocks/index.sqlite"
TXINDEX, FILTERS, PEERS = "indexes/txindex.sqlite", "indexes/blockfilter_basic.sqlite", "peers.sqlite"
STATS, SPENDERS = "indexes/coinstatsindex.sqlite", "indexes/txospenderindex.sqlite"
WALLET, MEMPOOL, PORTS, SETTINGS = "wallets/money/wallet.sqlite", "mempool.dat", "ports.json", "settings.json"
DAMAGES = [
    *((name, how) for name in (INDEX, BLOCKS, COINS) for how in (empty, garbage, cut, flip, gone)),
    *((PEERS, how) for how in (garbage, flip)),
]
HEALS = {(COINS, empty), (COINS, gone), (INDEX, empty)}
"""The coins are made anew from the blocks, and the index from the block files, without a word."""


@pytest.mark.parametrize(("name", "how"), DAMAGES, ids=lambda value: getattr(value, "__name__", value))
def test_damaged(folder: Path, name: str, how: Callable[[Path], None]) -> None:
    path = folder / "regtest" / name
    how(path)
    options = list(INDEXES)
    if (name, how) not in HEALS:
        code, told = run_to_end(folder, *options)
        assert code == 1
        assert told.count("\n") == (2 if "recover" in told else 1), told  # Core's question has two lines
        if "Delete this file" in told:
            path.unlink(missing_ok=True)
        if "-reindex" in told:
            chainstate_only = "-reindex-chainstate" in told and "-reindex or" not in told
            options.append("-reindex-chainstate" if chainstate_only else "-reindex")
        else:
            assert "Delete this file" in told
    with running(folder, *options) as node:
        if name == BLOCKS:
            assert node.call("getblockcount") == 0, "its blocks are to be fetched anew"
        else:
            node.until("the tip", lambda: node.call("getblockcount") == 130)
            assert node.call("getbestblockhash") == hash_hex(make_scene().tip.hash)
            node.until("the indexes", lambda: all(i["synced"] for i in node.call("getindexinfo").values()))


@pytest.mark.parametrize("name", [TXINDEX, FILTERS, STATS, SPENDERS])
@pytest.mark.parametrize("how", [garbage, flip])
def test_damaged_indexes(folder: Path, name: str, how: Callable[[Path], None]) -> None:
    """All that an index holds is in the blocks: it is made anew, and the log says so."""
    how(folder / "regtest" / name)
    with running(folder, *INDEXES) as node:
        node.wait_for_log("It is deleted and built anew.")
        node.until("the indexes", lambda: all(i["synced"] for i in node.call("getindexinfo").values()))
        assert {i["best_block_height"] for i in node.call("getindexinfo").values()} == {130}


INSIDE = {
    TXINDEX: ("DROP TABLE txs", "DELETE FROM txs WHERE txid < x'30'", "DELETE FROM blocks WHERE id > 60"),
    FILTERS: ("DROP TABLE filters", "DELETE FROM filters WHERE id BETWEEN 40 AND 50"),
    STATS: ("DROP TABLE meta", "UPDATE stats SET txouts=txouts+1 WHERE id=128"),
    SPENDERS: ("DROP TABLE spends", "UPDATE meta SET value=5 WHERE key='salt'"),
}


@pytest.mark.parametrize(("name", "harm"), [(name, harm) for name in INSIDE for harm in INSIDE[name]])
def test_indexes_damaged_inside(folder: Path, name: str, harm: str) -> None:
    """SQLite has nothing to complain of, and yet it is not what an index of ours must be."""
    with closing(sqlite3.connect(folder / "regtest" / name)) as connection:
        connection.execute(harm)
        connection.commit()
    with running(folder, *INDEXES) as node:
        node.wait_for_log("It is deleted and built anew.")
        node.until("the indexes", lambda: all(i["synced"] for i in node.call("getindexinfo").values()))
        assert {i["best_block_height"] for i in node.call("getindexinfo").values()} == {130}
    with running(folder, *INDEXES) as node:
        node.until("the indexes", lambda: all(i["synced"] for i in node.call("getindexinfo").values()))
        assert node.log.count("It is deleted and built anew.") == 1


@pytest.mark.parametrize(
    ("name", "table"), [(INDEX, "files"), (BLOCKS, "undo"), (COINS, "coins"), (COINS, "meta")]
)
def test_a_table_is_gone(folder: Path, name: str, table: str) -> None:
    path = folder / "regtest" / name
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"DROP TABLE {table}")
    code, told = run_to_end(folder, *INDEXES)
    assert code == 1 and f"{name} is damaged (no table {table})." in told
    if "Delete this file" in told:
        path.unlink()
    option = "-reindex-chainstate" if "-reindex-chainstate" in told else "-reindex"
    with running(folder, *INDEXES, option) as node:
        height = 0 if name == BLOCKS else 130
        node.until("the tip", lambda: node.call("getblockcount") == height)


@pytest.mark.parametrize("name", [INDEX, BLOCKS, COINS, TXINDEX, PEERS, WALLET])
def test_written_by_a_newer_version(folder: Path, name: str) -> None:
    """Refused, and left as it is for that version."""
    path = folder / "regtest" / name
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=99")
    code, told = run_to_end(folder, *INDEXES)
    assert code == 1 and told.count("\n") == 1
    assert f"{name} was written by a newer version (format 99, known are up to " in told
    assert told.endswith("Use that version, or another data directory.\n")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (99,)


@pytest.mark.parametrize("how", [empty, garbage, cut, flip])
def test_damaged_wallet(folder: Path, how: Callable[[Path], None]) -> None:
    """The node does not start without the money; told to, it does, and does not load what is damaged."""
    path = folder / "regtest" / WALLET
    whole = path.read_bytes()
    how(path)
    damaged = path.read_bytes()
    code, told = run_to_end(folder)
    assert code == 1 and told.startswith("Error: ") and told.count("\n") == 1
    assert "money" in told and "Restore the wallet from a backup." in told, told
    assert path.read_bytes() == damaged, "the node changed what may still be saved"
    with running(folder, "-nowallet") as node:
        code, message = node.failure("loadwallet", "money")
        assert code == -4 and message.startswith("Wallet file verification failed. ")
        assert message.removeprefix("Wallet file verification failed. ") in told
        path.write_bytes(whole)
        assert node.call("loadwallet", "money") == {"name": "money"}


@pytest.mark.parametrize("how", [empty, garbage, cut, gone])
def test_files_that_are_made_anew(folder: Path, how: Callable[[Path], None]) -> None:
    (folder / "regtest" / PORTS).write_text('{"rpc": 1, "p2p": 2, "pid": 3}')
    for name in (MEMPOOL, PORTS):
        how(folder / "regtest" / name)
    with running(folder) as node:
        node.wait_for_log("Continuing anyway.")
        node.until("the mempool", lambda: node.call("getmempoolinfo")["loaded"])
        assert node.call("getblockcount") == 130


@pytest.mark.parametrize("how", [empty, garbage, cut])
def test_damaged_settings(folder: Path, how: Callable[[Path], None]) -> None:
    """Core's words."""
    path = folder / "regtest" / SETTINGS
    how(path)
    code, told = run_to_end(folder)
    assert code == 1
    assert told == (
        f"Error: Settings file could not be read:\n- Settings file {path} does not contain valid JSON. This "
        "is probably caused by disk corruption or a crash, and can be fixed by removing the file, which will "
        "reset settings to default values.\n"
    )
    path.unlink()
    with running(folder) as node:
        assert node.call("listwallets") == []


def test_damage_found_later(shared: Path, tmp_path: Path) -> None:
    """A node that runs into damage ends, with one line."""
    chain = shared / "data" / "regtest-signatures.dat"
    with running(tmp_path, f"-loadblock={chain}", "-stopatheight=220") as node:
        node.process.wait(60)
    data = bytearray((path := tmp_path / "regtest" / COINS).read_bytes())
    for at in range(len(data) // 3, len(data) // 2, 4096):
        data[at : at + 100] = bytes(100)
    path.write_bytes(data)
    with Daemon(tmp_path, "-checklevel=0").wait_ready() as node:
        code, message = node.failure("gettxoutsetinfo")
        assert code == -20 and "chainstate.sqlite is damaged" in message
        assert node.process.wait(20) == 1
        assert "chainstate.sqlite is damaged" in node.stderr and node.stderr.count("\n") == 1
        assert "Restart with -reindex-chainstate" in node.stderr
    with running(tmp_path, "-reindex-chainstate") as node:
        node.until("the tip", lambda: node.call("getblockcount") == 220)


@pytest.mark.parametrize("network", ["signet", "testnet4"])
def test_of_another_network(folder: Path, network: str) -> None:
    (folder / "regtest").rename(folder / network)
    code, told = run_to_end(folder, "-connect=0", network=network)
    assert code == 1 and told.startswith("Error: ") and told.count("\n") == 1
    assert "regtest" in told and network in told


def test_blocks_of_another_network(folder: Path, tmp_path: Path) -> None:
    with running(tmp_path / "other", "-connect=0", network="signet"):
        pass
    for part in ("blocks", "chainstate"):
        shutil.rmtree(folder / "regtest" / part)
        shutil.copytree(tmp_path / "other" / "signet" / part, folder / "regtest" / part)
    code, told = run_to_end(folder)
    assert code == 1 and told.count("\n") == 1 and "signet" in told


def test_second_daemon(folder: Path) -> None:
    """It leaves the first one's files alone."""
    with running(folder) as node:
        code, told = run_to_end(folder)
        assert code == 1 and told.startswith("Error: Cannot obtain a lock on directory ")
        assert node.call("getblockcount") == 130
        assert (node.net_dir / "bitcoind.pid").read_text() == f"{node.process.pid}\n"
        assert (node.net_dir / "ports.json").exists()


def test_directories_that_are_none(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    (tmp_path / "file").write_text("")
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "regtest").write_text("")
    for where in (missing, tmp_path / "file"):
        code, told = run_to_end(tmp_path, f"-datadir={where}")
        assert (code, told) == (1, f'Error: Specified data directory "{where}" does not exist.\n')
    code, told = run_to_end(tmp_path / "inside")
    assert code == 1 and told.startswith("Error: ") and told.count("\n") == 1


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", megabytes=3) as disk:
        yield disk


def test_disk_that_is_full_at_the_start(disk: Path) -> None:
    fill(disk)
    code, told = run_to_end(disk)
    assert code == 1 and told.startswith("Error: "), told


def test_read_only(disk: Path, tmp_path: Path) -> None:
    with running(tmp_path / "node"):
        pass
    shutil.copytree(tmp_path / "node", disk, dirs_exist_ok=True)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    code, told = run_to_end(disk)
    assert code == 1
    assert told == (
        "Error: Settings file could not be written:\n"
        f"- Error: Unable to open settings file {disk}/regtest/settings.json.tmp for writing\n"
    )
    code, told = run_to_end(disk, "-nosettings")
    assert (code, told) == (
        1,
        f"Error: Cannot write to directory '{disk}/regtest'; check permissions.\n",
    )
