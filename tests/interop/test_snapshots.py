"""UTXO snapshots between us and Bitcoin Core: what one writes the other loads, and validates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from core_process import CoreDaemon
from node_process import Daemon, RpcFailure
from snapshot_chain import BASE_HASH, BASE_HEIGHT, UTXO_HASH, snapshot_chain

from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.script import secp

pytestmark = pytest.mark.interop

CHAIN = snapshot_chain(230)
START = 20


@pytest.fixture
def nodes(bitcoind: Path, tmp_path: Path) -> Iterator[tuple[Daemon, CoreDaemon]]:
    """Ours and Core's, both with nothing but the genesis block."""
    with Daemon(tmp_path / "ours") as ours, CoreDaemon(tmp_path / "core") as core:
        ours.wait_ready()
        core.wait_ready()
        yield ours, core


def feed(node: Daemon, until: int, start: int = 0) -> None:
    for block in CHAIN[start:until]:
        assert node.call("submitblock", block.raw.hex()) is None


def give_headers(node: Daemon) -> None:
    for block in CHAIN:
        node.call("submitheader", block.header.raw.hex())


def connect(ours: Daemon, core: CoreDaemon) -> None:
    core.call("addnode", f"127.0.0.1:{ours.ports['p2p']}", "onetry")


def states(node: Daemon) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = node.call("getchainstates")["chainstates"]
    return result


def summary(node: Daemon) -> list[tuple[int, bool, str | None]]:
    return [(one["blocks"], one["validated"], one.get("snapshot_blockhash")) for one in states(node)]


def utxo_hash(node: Daemon) -> str:
    result: str = node.call("gettxoutsetinfo")["hash_serialized_3"]
    return result


def load_and_validate(reader: Daemon, path: str, ours: Daemon, core: CoreDaemon) -> None:
    """reader has nothing yet; the other has all blocks."""
    feed(reader, START)
    give_headers(reader)
    loaded = reader.call("loadtxoutset", path)
    assert loaded == {
        "coins_loaded": BASE_HEIGHT,
        "tip_hash": BASE_HASH,
        "base_height": BASE_HEIGHT,
        "path": path,
    }
    assert summary(reader) == [(START, True, None), (BASE_HEIGHT, False, BASE_HASH)]
    info = reader.call("getblockchaininfo")["backgroundvalidation"]
    assert (info["snapshotheight"], info["blocks"]) == (BASE_HEIGHT, START)
    assert "NETWORK" not in reader.call("getnetworkinfo")["localservicesnames"]
    assert utxo_hash(reader) == UTXO_HASH
    connect(ours, core)
    reader.until("validation", lambda: summary(reader) == [(230, True, BASE_HASH)])
    reader.until("all blocks", lambda: "NETWORK" in reader.call("getnetworkinfo")["localservicesnames"])
    assert "backgroundvalidation" not in reader.call("getblockchaininfo")
    assert utxo_hash(ours) == utxo_hash(core)


def test_core_reads_ours(nodes: tuple[Daemon, CoreDaemon], tmp_path: Path) -> None:
    ours, core = nodes
    feed(ours, 230)
    path = str(tmp_path / "ours.dat")
    dump = ours.call("dumptxoutset", path, "rollback", {"rollback": BASE_HEIGHT})
    assert dump == {
        "coins_written": BASE_HEIGHT,
        "base_hash": BASE_HASH,
        "base_height": BASE_HEIGHT,
        "path": path,
        "txoutset_hash": UTXO_HASH,
        "nchaintx": BASE_HEIGHT + 1,
    }
    load_and_validate(core, path, ours, core)


def test_we_read_cores(nodes: tuple[Daemon, CoreDaemon], tmp_path: Path) -> None:
    ours, core = nodes
    feed(core, 230)
    path = str(tmp_path / "core.dat")
    core.call("dumptxoutset", path, "rollback", {"rollback": BASE_HEIGHT})
    load_and_validate(ours, path, ours, core)
    ours.stop_well()
    with Daemon(tmp_path / "ours") as again:
        again.wait_ready()
        assert summary(again) == [(230, True, None)]
        assert utxo_hash(again) == utxo_hash(core)
        again.stop_well()


@pytest.mark.parametrize("writer", [0, 1], ids=["ours", "cores"])
def test_the_one_at_110(nodes: tuple[Daemon, CoreDaemon], tmp_path: Path, writer: int) -> None:
    """Its chain is a block a second from a day in 2020 on, to the key 1: each node mines it by itself."""
    (ours, core), path = nodes, str(tmp_path / "110.dat")
    source, reader = nodes[writer], nodes[1 - writer]
    known = next(one for one in regtest().assume_utxo if one.height == 110)
    for time in range(1_598_887_952, 1_598_887_952 + 110 + 20):
        source.call("setmocktime", time)
        source.call("generatetodescriptor", 1, f"pk({secp.pubkey_of((1).to_bytes(32, 'big')).hex()})")
    dump = source.call("dumptxoutset", path, "rollback", {"rollback": 110})
    assert dump["base_hash"] == hash_hex(known.block_hash)
    assert dump["txoutset_hash"] == hash_hex(known.hash_serialized)
    for height in range(1, 131):
        header = source.call("getblockheader", source.call("getblockhash", height), False)
        reader.call("submitheader", header)
    assert reader.call("loadtxoutset", path)["coins_loaded"] == 110
    assert summary(reader) == [(0, True, None), (110, False, dump["base_hash"])]
    connect(ours, core)
    reader.until("validation", lambda: summary(reader) == [(130, True, dump["base_hash"])])
    assert utxo_hash(ours) == utxo_hash(core)


def test_both_write_the_same(nodes: tuple[Daemon, CoreDaemon], tmp_path: Path) -> None:
    """Byte for byte, at the tip and at earlier blocks; same results, same complaints."""
    for node in nodes:
        feed(node, 230)
    requests: list[tuple[Any, ...]] = [
        ("latest",),
        ("rollback", {"rollback": 110}),
        ("", {"rollback": CHAIN[149].hash[::-1].hex()}),
        ("rollback", {"rollback": 3, "in_memory": True}),
    ]
    for n, request in enumerate(requests):
        results = []
        for node in nodes:
            path = node.datadir / f"{n}.dat"
            result = node.call("dumptxoutset", str(path), *request)
            results.append((path.read_bytes(), result | {"path": ""}, list(result)))
        assert results[0] == results[1]
    wrong: list[tuple[Any, ...]] = [
        ("none",),
        ("latest", {"rollback": 3}),
        ("rollback", {"rollback": 500}),
        ("rollback", {"rollback": -1}),
        ("rollback", {"rollback": "ab"}),
        ("rollback", {"rollback": "00" * 32}),
        ("rollback",),  # there is no block 299
        (),
    ]
    for request in wrong:
        first, second = (node.failure("dumptxoutset", str(tmp_path / "x.dat"), *request) for node in nodes)
        assert first == second
    there = tmp_path / "there.dat"
    there.write_bytes(b"")
    for path in (there, tmp_path / "no" / "folder.dat"):
        first, second = (node.failure("dumptxoutset", str(path), "latest") for node in nodes)
        assert first == second


def changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def test_both_refuse_the_same(nodes: tuple[Daemon, CoreDaemon], tmp_path: Path) -> None:
    ours, core = nodes
    feed(ours, BASE_HEIGHT)
    good = tmp_path / "good.dat"
    ours.call("dumptxoutset", str(good), "latest")
    data, file = good.read_bytes(), str(tmp_path / "file.dat")

    def same(content: bytes) -> None:
        Path(file).write_bytes(content)
        first, second = (node.failure("loadtxoutset", file) for node in nodes)
        assert first == second

    ours.stop_well()
    with Daemon(tmp_path / "fresh") as fresh:
        fresh.wait_ready()
        nodes = fresh, core
        for path in ("", str(tmp_path), "/no/such/file"):
            first, second = (node.failure("loadtxoutset", path) for node in nodes)
            assert first == second
        same(data)
        for node in nodes:
            give_headers(node)
        for size in (0, 3, 5, 6, 7, 9, 11, 30, 43, 50, 51, 52, 90, len(data) - 1):
            same(data[:size])
        same(data + b"x")
        for at, new in (
            (0, b"x"),
            (5, b"\x01"),
            (7, bytes.fromhex("f9beb4d9")),
            (7, bytes.fromhex("0b110907")),
            (7, bytes(4)),
            (11, bytes(32)),
            (11, CHAIN[198].hash),
            (43, b"\xc7"),
            (43, b"\xc9"),
            (43, bytes(8)),
            (51, b"\xff" * 32),
            (83, b"\x02"),
            (83, b"\x00"),
            (83, b"\xfd\xff\xff"),
            (84, b"\x01"),
            (84, b"\xfe\xff\xff\xff\xff"),
            (85, b"\x80\x80\x80\x80\x80\x80"),
            (85, b"\x8f\x7f"),
            (87, b"\xff" * 10),
            (88, b"\xff\x7f"),
        ):
            same(changed(data, at, new))
        for node in nodes:
            node.call("invalidateblock", BASE_HASH)
        with pytest.raises(RpcFailure, match="part of an invalid chain"):
            core.call("loadtxoutset", str(good))
        Path(file).write_bytes(data)
        same(data)
        for node in nodes:
            node.call("reconsiderblock", BASE_HASH)
            node.call("loadtxoutset", str(good))
        same(data)
        fresh.stop_well()


def test_answers_while_it_is_validated(nodes: tuple[Daemon, CoreDaemon], tmp_path: Path) -> None:
    """Both loaded the same; each is asked the same, before and after some blocks came."""
    feed(nodes[0], BASE_HEIGHT)
    path = str(tmp_path / "utxos.dat")
    nodes[0].call("dumptxoutset", path, "latest")
    nodes[0].stop_well()
    with Daemon(tmp_path / "fresh") as fresh:
        fresh.wait_ready()
        nodes = fresh, nodes[1]
        for node in nodes:
            feed(node, START)
            give_headers(node)
            node.call("loadtxoutset", path)
        ask(nodes)
        for node in nodes:
            feed(node, 230, BASE_HEIGHT)
        ask(nodes)
        for node in nodes:
            feed(node, 100, START)
            node.until("block 100", lambda node=node: states(node)[0]["blocks"] == 100)
        ask(nodes)
        for node in nodes:
            feed(node, BASE_HEIGHT, 100)
            node.until("validation", lambda node=node: len(states(node)) == 1)
        ask(nodes)
        fresh.stop_well()


LEFT_OUT = ("coins_db_cache_bytes", "coins_tip_cache_bytes", "size_on_disk", "warnings", "disk_size")


def ask(nodes: tuple[Daemon, Daemon]) -> None:
    for method, *params in (
        ("getchainstates",),
        ("getblockchaininfo",),
        ("gettxoutsetinfo",),
        ("getchaintips",),
        ("getblockcount",),
        ("getblockheader", BASE_HASH),
        ("getblock", BASE_HASH),
        ("getblock", CHAIN[START].hash[::-1].hex()),
        ("getblock", CHAIN[START - 1].hash[::-1].hex()),
        ("getblockstats", BASE_HEIGHT),
        ("getchaintxstats",),
        ("getchaintxstats", 5, BASE_HASH),
        ("getchaintxstats", 1, CHAIN[START].hash[::-1].hex()),
        ("gettxout", CHAIN[150].vtx[0].txid[::-1].hex(), 0),
        ("verifychain", 4, 0),
        ("verifychain", 3, 6),
        ("getdeploymentinfo",),
        ("getmininginfo",),
        ("getindexinfo",),
        ("pruneblockchain", 10),
    ):
        first, second = (_answer(node, method, params) for node in nodes)
        assert first == second, method


def _answer(node: Daemon, method: str, params: list[Any]) -> Any:
    try:
        return _without(node.call(method, *params))
    except RpcFailure as error:
        return error.code, error.message


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(one) for key, one in value.items() if key not in LEFT_OUT}
    return [_without(one) for one in value] if isinstance(value, list) else value
