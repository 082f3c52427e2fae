"""Snapshot files: what is written is read, and what is not right is told in Core's words."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path

import pytest

from pybitcoind.chain.compressor import compress_amount, varint
from pybitcoind.chain.params import main, regtest
from pybitcoind.chain.primitives.transaction import MAX_MONEY, Coin
from pybitcoind.chain.snapshot import (
    METADATA_SIZE,
    MetadataError,
    SnapshotError,
    SnapshotMetadata,
    SnapshotReader,
    SnapshotWriter,
)
from pybitcoind.chain.storage.coin_store import CoinRow
from pybitcoind.chain.storage.records import coin_key, pack_coin

BASE = bytes(range(32))
HEIGHT = 1000


def make_rows(count: int, seed: int = 1) -> list[CoinRow]:
    rng = random.Random(seed)
    rows: dict[bytes, bytes] = {}
    while len(rows) < count:
        txid = rng.randbytes(32)
        for vout in range(rng.choice((1, 1, 2, 300))):
            coin = Coin(rng.randrange(10**14), rng.randbytes(rng.randrange(60)), rng.randrange(1000), False)
            rows[coin_key((txid, vout))] = pack_coin(coin)
    return sorted(rows.items())


def write(path: Path, rows: list[CoinRow], page: int = 100) -> bytes:
    with open(path, "wb") as file:
        writer = SnapshotWriter(file, SnapshotMetadata(BASE, len(rows)), regtest())
        for start in range(0, len(rows), page):
            writer.add(rows[start : start + page])
        writer.finish()
    return path.read_bytes()


def read(data: bytes, page: int = 77, height: int = HEIGHT) -> list[CoinRow]:
    reader = SnapshotReader(io.BytesIO(data), regtest())
    rows: list[CoinRow] = []
    while some := reader.read(page, height):
        rows += some
    reader.finish()
    return rows


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("snapshot") / "utxos.dat", make_rows(500))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rows = make_rows(3000)
    data = write(tmp_path / "utxos.dat", rows)
    assert read(data) == rows
    assert data[:METADATA_SIZE].hex() == (
        "7574786fff" + "0200" + "fabfb5da" + BASE.hex() + len(rows).to_bytes(8, "little").hex()
    )


def test_how_coins_stand_there(tmp_path: Path) -> None:
    rows = [(coin_key((b"\x11" * 32, n)), pack_coin(Coin(10**8, b"\x51", 5, n == 0))) for n in (0, 300)]
    data = write(tmp_path / "utxos.dat", rows)
    assert (
        data[METADATA_SIZE:].hex()
        == "11" * 32 + "02" + "00" + "0b" + "09" + "0751" + "fd2c01" + "0a" + "09" + "0751"
    )


def test_no_coins(tmp_path: Path) -> None:
    assert read(write(tmp_path / "utxos.dat", [])) == []


def test_order_of_many_outputs_is_that_of_core(tmp_path: Path) -> None:
    """Its database sorts them by their VARINT, which is no longer their order from 16,512 on."""
    coin = pack_coin(Coin(1, b"", 1, False))
    rows = [(coin_key((bytes(32), n)), coin) for n in (127, 128, 16511, 16512, 20000)]
    data = write(tmp_path / "utxos.dat", rows)
    read_order = [int.from_bytes(key[32:], "big") for key, _ in read(data)]
    assert read_order == [127, 128, 16512, 20000, 16511]
    assert sorted(read(data)) == rows


NO_SNAPSHOT = (
    "Invalid UTXO set snapshot magic bytes. Please check if this is indeed a snapshot file or if you are "
    "using an outdated snapshot format."
)
OTHER_VERSION = "Version of snapshot 1 does not match any of the supported versions."
OTHER_NETWORK = "The network of the snapshot (main) does not match the network of this node (regtest)."
NO_NETWORK = (
    "This snapshot has been created for an unrecognized network. This could be a custom signet, a new "
    "testnet or possibly caused by data corruption."
)


@pytest.mark.parametrize(
    ("at", "change", "message"),
    [
        (0, b"utxo\x00", NO_SNAPSHOT),
        (5, b"\x01\x00", OTHER_VERSION),
        (7, main().magic, OTHER_NETWORK),
        (7, bytes(4), NO_NETWORK),
    ],
)
def test_metadata_that_is_not_right(snapshot: bytes, at: int, change: bytes, message: str) -> None:
    data = snapshot[:at] + change + snapshot[at + len(change) :]
    with pytest.raises(MetadataError) as caught:
        SnapshotReader(io.BytesIO(data), regtest())
    assert str(caught.value) == f"{message}: iostream error"


@pytest.mark.parametrize("size", [0, 4, 6, 10, 42, METADATA_SIZE - 1])
def test_metadata_that_is_cut(snapshot: bytes, size: int) -> None:
    with pytest.raises(MetadataError, match="end of file"):
        SnapshotReader(io.BytesIO(snapshot[:size]), regtest())


def with_count(data: bytes, change: int) -> bytes:
    count = int.from_bytes(data[43:51], "little") + change
    return data[:43] + count.to_bytes(8, "little") + data[51:]


def test_counts_that_are_not_right(snapshot: bytes) -> None:
    count = int.from_bytes(snapshot[43:51], "little")
    too_few = "Mismatch in coins count in snapshot metadata and actual snapshot data|coins left over"
    for change, message in ((-1, too_few), (1, f"truncated snapshot after deserializing {count} coins")):
        with pytest.raises(SnapshotError, match=message):
            read(with_count(snapshot, change))


def test_coins_that_cannot_be(snapshot: bytes) -> None:
    with pytest.raises(SnapshotError) as caught:
        read(snapshot, height=-1)
    assert str(caught.value) == "Bad snapshot data after deserializing 0 coins"
    head = snapshot[:43] + (1).to_bytes(8, "little") + bytes(32) + b"\x01"
    worth = varint(compress_amount(MAX_MONEY))
    assert len(read(head + b"\x00\x00" + worth + b"\x06")) == 1
    with pytest.raises(SnapshotError, match="deserializing 0 coins - bad tx out value"):
        read(head + b"\x00\x00" + varint(compress_amount(MAX_MONEY + 1)) + b"\x06")
    with pytest.raises(SnapshotError, match="truncated"):  # no transaction has so many outputs
        read(head + b"\xfe\xff\xff\xff\xff" + b"\x00" + worth + b"\x06")


def test_cut_anywhere(snapshot: bytes) -> None:
    for size in range(METADATA_SIZE, len(snapshot), 97):
        with pytest.raises(SnapshotError):
            read(snapshot[:size])


def test_changed_anywhere(snapshot: bytes) -> None:
    """Other coins, or a SnapshotError: never anything else."""
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(300):
        data = bytearray(snapshot)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(METADATA_SIZE, len(data))] = rng.randrange(256)
        try:
            assert len(read(bytes(data))) == int.from_bytes(snapshot[43:51], "little")
        except SnapshotError as error:
            assert str(error)
