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
