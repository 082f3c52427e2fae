"""-walletdir: wallets elsewhere, shared by nodes that may not have the same one; and what it may not be."""

from __future__ import annotations

from pathlib import Path

import pytest
from node_process import Daemon, run_to_end, running

IN_USE = (
    "SQLiteDatabase: Unable to obtain an exclusive lock on the database, is it being used by another "
    "instance of Bitcoin Core?"
)


def names(daemon: Daemon) -> list[str]:
    return [one["name"] for one in daemon.call("listwalletdir")["wallets"]]


def test_two_nodes_share_a_directory_of_wallets_but_no_wallet(tmp_path: Path) -> None:
    shared = tmp_path / "money"
    shared.mkdir()
    with running(tmp_path / "one", f"-walletdir={shared}") as one:
        one.call("createwallet", "a")
        address = one.call("getnewaddress")
        assert (shared / "a" / "wallet.sqlite").is_file() and names(one) == ["a"]
        assert not list((tmp_path / "one" / "regtest" / "wallets").iterdir())
        with running(tmp_path / "two", f"-walletdir={shared}") as two:
            two.call("createwallet", "b")
            assert names(two) == ["a", "b"]
            assert two.failure("loadwallet", "a") == (-4, f"Wallet file verification failed. {IN_USE}")
            two.stop_well()
        code, stderr = run_to_end(tmp_path / "two", f"-walletdir={shared}", "-wallet=a")
        assert code == 1 and stderr == f"Error: {IN_USE}\n"
        one.call("unloadwallet", "a")
        with running(tmp_path / "two", f"-walletdir={shared}", "-wallet=a") as two:
            assert two.call("getaddressinfo", address, wallet="a")["ismine"]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("none", 'Specified -walletdir "{}" does not exist'),
        ("file", 'Specified -walletdir "{}" is not a directory'),
        (".", 'Specified -walletdir "{}" is a relative path'),
    ],
)
def test_what_is_no_directory_of_wallets(tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / "file").touch()
    given = name if name == "." else str(tmp_path / name)
    code, stderr = run_to_end(tmp_path / "node", f"-walletdir={given}")
    assert code == 1 and stderr == f"Error: {complaint.format(given)}\n"


def test_a_wallet_elsewhere(tmp_path: Path) -> None:
    """As in Core, a name is a path: below the directory of wallets, or where it leads from there."""
    folder = tmp_path / "node"
    away, beside = str(tmp_path / "away"), "../beside"
    with running(folder) as node:
        for name in (away, beside):
            assert node.call("createwallet", name, load_on_startup=True) == {"name": name}
        address = node.call("getnewaddress", wallet=away)
        assert names(node) == []
        node.stop_well()
    assert (tmp_path / "away" / "wallet.sqlite").is_file()
    assert (folder / "regtest" / "beside" / "wallet.sqlite").is_file()
    with running(folder) as node:
        assert node.call("listwallets") == [away, beside]
        assert node.call("getaddressinfo", address, wallet=away)["ismine"]
        for alias in ("../../regtest/beside", "../../../away", away + "/"):  # by another name
            assert node.failure("loadwallet", alias) == (-4, f"Wallet file verification failed. {IN_USE}")
        node.stop_well()


@pytest.mark.parametrize(
    ("name", "code", "complaint"),
    [
        (
            "/none",
            -18,
            "Wallet file verification failed. Failed to load database path '/none'. Path does not exist.",
        ),
        ("x" * 300, -4, "filesystem error: File name too long [{}/" + "x" * 300 + "]"),
        ("a\0b", -4, "filesystem error: embedded null byte [{}/a\0b]"),
    ],
    ids=["absent", "too long", "null byte"],
)
def test_what_is_no_path_of_a_wallet(tmp_path: Path, name: str, code: int, complaint: str) -> None:
    with running(tmp_path) as node:
        wanted = (code, complaint.format(tmp_path / "regtest" / "wallets"))
        assert node.failure("loadwallet", name) == wanted
        if name != "/none":
            assert node.failure("createwallet", name) == wanted
        node.stop_well()


def test_a_file_where_a_wallet_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with running(tmp_path / "node") as node:
        code, complaint = node.failure("createwallet", str(tmp_path / "file"))
        assert code == -4 and complaint.startswith("Wallet file verification failed. ")
        node.stop_well()
