"""A data directory of an older format is brought up to date by a daemon that is killed on the way.

The older formats that there were are version 1 of blocks/index.sqlite and of block files; they are made here
by hand.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import struct
import time
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from crash_faults import check_end
from fault_library import CUT_CODE, Fault, FaultyDisk, build
from node_process import Daemon, running

ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
BLOCKS, HEADERS = 120, 40_000
"""Blocks with bodies, and headers behind them: enough for some tenths of a second of work."""
SEED = random.randrange(1 << 32)
KILLS, CUTS = 4, 3
INDEX, BLOCK_FILE = "regtest/blocks/index.sqlite", "regtest/blocks/blk00000.sqlite"
RECORD = struct.Struct("<80sqIIii")
BITS = 0x207FFFFF
VERSION_1 = """CREATE TABLE headers (
    height INTEGER, hash BLOB, header BLOB NOT NULL, chainwork BLOB NOT NULL, status INTEGER NOT NULL,
    sequence INTEGER NOT NULL, tx_count INTEGER NOT NULL, file INTEGER, row INTEGER,
    PRIMARY KEY (height, hash)) WITHOUT ROWID"""


def headers_on(parent: bytes, height: int, time: int) -> list[tuple[int, bytes, bytes]]:
    """Rows of headers that a node has, one on the other, and has no blocks of."""
    rows = []
    for at in range(height + 1, height + 1 + HEADERS):
        time += 600
        header = struct.pack("<i32s32sIII", 0x20000000, parent, bytes(32), time, BITS, 0)
        parent = sha256(sha256(header).digest()).digest()
        rows.append((at, parent, RECORD.pack(header, 1, 0, 2, -1, -1)))
    return rows


def make_old(path: Path) -> None:
    """Rewrites the index as version 1 had it."""
    with closing(sqlite3.connect(path)) as conn:
        new = conn.execute("SELECT height, hash, record FROM headers ORDER BY height").fetchall()
        conn.execute("DROP TABLE headers")
        conn.execute(VERSION_1)
        for height, block_hash, record in new:
            header, sequence, count, status, file, row = RECORD.unpack(record)
            where = (None, None) if file < 0 else (file, row)
            values = (height, block_hash, header, (2 * height + 2).to_bytes(32, "big"), status, sequence)
            conn.execute("INSERT INTO headers VALUES (?,?,?,?,?,?,?,?,?)", (*values, count, *where))
        conn.execute("PRAGMA user_version=1")
        conn.commit()
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def make_old_blocks(path: Path) -> None:
    """Rewrites a block file as version 1 had it."""
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("ALTER TABLE undo DROP COLUMN checksum")
        conn.execute("PRAGMA user_version=1")
        conn.commit()
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def content(path: Path) -> tuple[int, list[tuple[object, ...]]]:
    """Format, and all rows."""
    with closing(sqlite3.connect(path)) as conn:
        (version,) = conn.execute("PRAGMA user_version").fetchone()
        return version, conn.execute("SELECT * FROM headers ORDER BY height, hash").fetchall()


class Old:
    """A data directory of version 1, and what a node must make of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with running(folder) as node:
            node.call("generatetoaddress", BLOCKS, ADDRESS)
            tip = node.call("getblockheader", node.call("getbestblockhash"))
            self.hash, self.coins = tip["hash"], node.call("gettxoutsetinfo")["hash_serialized_3"]
        with closing(sqlite3.connect(folder / INDEX)) as conn:
            rows = headers_on(bytes.fromhex(tip["hash"])[::-1], BLOCKS, tip["time"])
            conn.executemany("INSERT INTO headers VALUES (?, ?, ?)", rows)
            conn.commit()
        self.new_rows = content(folder / INDEX)[1]
        make_old(folder / INDEX)
        make_old_blocks(folder / BLOCK_FILE)
        (folder / "regtest/debug.log").unlink()  # tests wait for its lines
        assert content(folder / INDEX)[0] == 1

    def copy(self, to: Path) -> Path:
        shutil.copytree(self.folder, to)
        return to

    def check(self, folder: Path) -> None:
        """A node starts on folder and has everything."""
        with running(folder) as node:
            info = node.call("getblockchaininfo")
            assert (info["blocks"], info["headers"]) == (BLOCKS, BLOCKS + HEADERS)
            assert info["bestblockhash"] == self.hash
            assert node.call("gettxoutsetinfo")["hash_serialized_3"] == self.coins
            assert node.call("getblock", node.call("getblockhash", 60))["height"] == 60
            assert node.call("verifychain", 4, 0)
        assert content(folder / INDEX) == (2, self.new_rows)
        with closing(sqlite3.connect(folder / BLOCK_FILE)) as conn:
            assert conn.execute("PRAGMA user_version").fetchone() == (2,)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Old:
    return Old(tmp_path_factory.mktemp("old") / "node")


def test_undisturbed(old: Old, tmp_path: Path) -> None:
    old.check(old.copy(tmp_path / "node"))


def test_killed(old: Old, tmp_path: Path) -> None:
    """kill -9 at instants spread over the work: the format is the old or the new one, never between."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    folder = old.copy(tmp_path / "node")
    with Daemon(folder) as node:
        node.wait_for_log("Loading block index")
        began = time.monotonic()
        node.wait_for_log("Loaded best chain")
        takes = time.monotonic() - began
    found = []
    for number in range(KILLS):
        folder = old.copy(tmp_path / f"node{number}")
        with Daemon(folder) as node:
            node.wait_for_log("Loading block index")
            if number:  # the first one at once; when it dies is all there is to it
                time.sleep(takes * (number - 1 + rng.random()) / (KILLS - 1))
            node.kill()
        found.append(_version(tmp_path, folder))
        old.check(folder)
    print(f"formats after kills within {takes:.2f} s: {found}")
    assert 1 in found, "no kill came before the work was done"


def _version(tmp_path: Path, folder: Path) -> int:
    """As a reader of the files finds it; in a copy, so that the node finds what the kill has left."""
    look = tmp_path / "look"
    shutil.copytree(folder / "regtest/blocks", look)
    version, rows = content(look / "index.sqlite")
    shutil.rmtree(look)
    assert len(rows) == 1 + BLOCKS + HEADERS
    return version


def test_power_cuts(old: Old, tmp_path: Path) -> None:
    """At writes and syncs of the index, what was not synced lost in part or as a whole."""
    library = build()
    if library is None:
        pytest.skip("there is no C compiler to build the fault library with")
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    folder = old.copy(tmp_path / "counted")
    counter = FaultyDisk(library, folder, Fault("count", only="blocks/index"))
    with counter as disk, Daemon(folder, env=disk.env) as node:
        node.wait_ready()
        operations = disk.report.operations
        node.stop_well()
    assert operations > CUTS
    cut = 0
    for number in range(CUTS):
        folder = old.copy(tmp_path / f"node{number}")
        at = round(1 + (operations - 1) * (number + rng.random()) / CUTS)
        fault = Fault("power", at, "blocks/index", rng.getrandbits(32), rng.choice((0, 50, 100)))
        with FaultyDisk(library, folder, fault) as disk:
            with Daemon(folder, env=disk.env) as node:
                node.until("the cut", lambda: not node.running or "Done loading" in node.log)
                if node.running:
                    node.process.terminate()
                code, stderr = node.process.wait(30), node.stderr
            check_end(code, stderr, fault, disk.report)
        cut += code == CUT_CODE
        old.check(folder)
    assert cut, "the power was never cut"
