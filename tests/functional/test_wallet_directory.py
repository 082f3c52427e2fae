"""-walletdir: wallets elsewhere, shared by nodes that may not have the same one; and what it may not be."""

from __future__ import annotations

import os
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


UNKNOWN = "Failed to load database path '{0}/{1}'. Data is not in recognized format."
ABSENT = "Failed to load database path '{0}/{1}'. Path does not exist."
NO_FOLDER = "filesystem error: cannot create directories: Not a directory [{0}/{1}]"
NO_PATH = (
    "Invalid -wallet path '{1}'. -wallet path should point to a directory where wallet.dat and "
    "database/log.?????????? files can be stored, a location where such a directory could be created, or "
    '(for backwards compatibility) the name of an existing data file in -walletdir ("{0}")'
)
OTHERWISE = {
    "file": ((-18, UNKNOWN), (-4, NO_FOLDER)),
    "file/below": ((-18, ABSENT), (-4, NO_FOLDER)),
    "folder": ((-18, UNKNOWN), None),
    "folder/file": ((-4, NO_PATH), (-4, NO_PATH)),
    "link": ((-4, NO_PATH), (-4, NO_PATH)),
    "nowhere": ((-4, NO_PATH), (-4, NO_PATH)),
    "pipe": ((-4, NO_PATH), (-4, NO_PATH)),
    "none": ((-18, ABSENT), None),
}
"""Code and complaint of loadwallet and of createwallet, as Core's daemon gives them; {0}: the folder."""


def fill(wallets: Path) -> None:
    """Everything that is no wallet."""
    (wallets / "folder").mkdir(parents=True)
    (wallets / "file").write_text("no wallet")
    (wallets / "folder" / "file").write_text("no wallet")
    (wallets / "link").symlink_to("file")
    (wallets / "nowhere").symlink_to("missing")
    os.mkfifo(wallets / "pipe")


def test_something_else_where_a_wallet_should_be(tmp_path: Path) -> None:
    wallets = tmp_path / "regtest" / "wallets"
    fill(wallets)
    with running(tmp_path) as node:
        for name, answers in OTHERWISE.items():
            for method, answer in zip(("loadwallet", "createwallet"), answers, strict=True):
                if answer is None:
                    assert node.call(method, name) == {"name": name}
                    continue
                code, complaint = answer
                wanted = "Wallet file verification failed. " + complaint.format(wallets, name)
                assert node.failure(method, name) == (code, wanted), (method, name)
        node.stop_well()


def test_the_start_ends_with_a_wallet_that_is_none(tmp_path: Path) -> None:
    wallets = tmp_path / "regtest" / "wallets"
    fill(wallets)
    for name, complaint in (("file", UNKNOWN), ("folder/file", NO_PATH), ("", UNKNOWN)):
        wanted = f"Error: {complaint.format(wallets, name)}\n".replace("/'", "'")
        assert run_to_end(tmp_path, f"-wallet={name}") == (1, wanted)
