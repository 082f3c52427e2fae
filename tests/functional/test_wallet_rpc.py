"""Wallets over RPC: one story, the errors Core gives, a killed node, and Bitcoin Core on the same keys."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from core_daemon import Core
from node_process import Daemon, running
from scene import make_scene

from pybitcoind.chain.descriptors import add_checksum

OPTIONS = ("-keypool=5", "-fallbackfee=0.0002", "-rpcdoccheck=1")
XPRV = (
    "tprv8ZgxMBicQKsPd7Uf69XL1XwhmjHopUGep8GuEiJDZmbQz6o58LninorQAfcKZWARbtRtfn"
    "LcJ5MQ2AtHcQJCCRUcMRvmDUjyEmNUWwx8UbK"
)
NOBODY = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"


def test_a_payment_from_wallet_to_wallet(tmp_path: Path) -> None:
    with running(tmp_path, *OPTIONS) as node:
        assert node.call("createwallet", "alice", load_on_startup=True) == {"name": "alice"}
        node.call("createwallet", "sub/bob", load_on_startup=True)
        assert node.call("listwallets") == ["alice", "sub/bob"]
        assert [w["name"] for w in node.call("listwalletdir")["wallets"]] == ["alice", "sub/bob"]
        node.call("generatetoaddress", 101, node.call("getnewaddress", wallet="alice"))
        mine = node.call("getbalances", wallet="alice")["mine"]
        assert (mine["trusted"], mine["immature"]) == (50, 5000)
        to = node.call("getnewaddress", "rent", "p2sh-segwit", wallet="sub/bob")
        txid = node.call("sendtoaddress", to, "1.5", "thanks", wallet="alice")
        (received,) = node.call("listtransactions", wallet="sub/bob")
        assert received["category"] == "receive" and received["label"] == "rent"
        assert received["trusted"] is False and received["confirmations"] == 0
        sent = node.call("gettransaction", txid, verbose=True, wallet="alice")
        assert sent["comment"] == "thanks" and Decimal(str(sent["amount"])) == Decimal("-1.5")
        assert sent["decoded"]["txid"] == txid and sent["bip125-replaceable"] == "yes"
        node.call("generatetoaddress", 1, NOBODY)
        (coin,) = node.call("listunspent", wallet="sub/bob")
        assert coin["address"] == to and coin["desc"].startswith("sh(wpkh([") and coin["safe"]
        assert node.call("listunspent", 1, 9999, [NOBODY], wallet="sub/bob") == []
        info = node.call("getaddressinfo", to, wallet="sub/bob")
        assert info["ismine"] and info["embedded"]["pubkey"] == info["pubkey"]
        assert info["hdkeypath"] == "m/49h/1h/0h/0/0"
        node.call("sendmany", "", {to: 0.1, NOBODY: 0.2}, subtractfeefrom=[to], wallet="alice")
        node.call("lockunspent", False, [{"txid": coin["txid"], "vout": coin["vout"]}], wallet="sub/bob")
        assert len(node.call("listlockunspent", wallet="sub/bob")) == 1
        since = node.call("listsinceblock", node.call("getblockhash", 101), wallet="alice")
        assert {row["category"] for row in since["transactions"]} == {"send"}
        assert node.call("rescanblockchain", wallet="alice") == {"start_height": 0, "stop_height": 102}
        balances = [node.call("getbalances", wallet=name) for name in ("alice", "sub/bob")]
    with running(tmp_path, *OPTIONS) as node:  # both are loaded again, as settings.json says
        assert node.call("listwallets") == ["alice", "sub/bob"]
        for name, before in zip(("alice", "sub/bob"), balances, strict=True):
            assert node.call("getbalances", wallet=name) == before
        node.call("unloadwallet", "sub/bob", load_on_startup=False)
        assert node.call("getwalletinfo")["walletname"] == "alice"


def test_a_killed_node_sends_its_payment_again(tmp_path: Path) -> None:
    options = (*OPTIONS, "-wallet=alice")
    with Daemon(tmp_path, *OPTIONS) as node:
        node.wait_ready()
        node.call("createwallet", "alice")
        node.call("generatetoaddress", 101, node.call("getnewaddress"))
        node.call("gettxoutsetinfo")  # has the blocks written, which else may take a second
        txid = node.call("sendtoaddress", NOBODY, 1)
        balance = node.call("getbalance")
        node.kill()  # mempool.dat was never written
    with running(tmp_path, *options) as node:
        node.until("the payment to be in the mempool", lambda: node.call("getrawmempool") == [txid])
        assert node.call("getbalance") == balance
        node.call("generatetoaddress", 1, NOBODY)
        assert node.call("gettransaction", txid)["confirmations"] == 1


def test_errors(tmp_path: Path) -> None:
    with running(tmp_path, *OPTIONS) as node:
        assert node.failure("getbalance") == (
            -18,
            "No wallet is loaded. Load a wallet using loadwallet or create a new one with createwallet. "
            "(Note: A default wallet is no longer automatically created)",
        )
        assert node.failure("getbalance", wallet="x") == (
            -18,
            "Requested wallet does not exist or is not loaded",
        )
        folder = tmp_path / "regtest" / "wallets"
        assert node.failure("loadwallet", "x") == (
            -18,
            f"Wallet file verification failed. Failed to load database path '{folder}/x'. "
            "Path does not exist.",
        )
        assert node.failure("createwallet", "") == (-8, "Wallet name cannot be empty")
        node.call("createwallet", "a")
        assert node.failure("createwallet", "a") == (
            -4,
            f"Wallet file verification failed. Failed to create database path '{folder}/a'. "
            "Database already exists.",
        )
        assert node.failure("loadwallet", "a") == (-35, 'Wallet "a" is already loaded.')
        node.call("createwallet", "blank", blank=True)
        code, message = node.failure("getbalance")
        assert code == -19 and message.startswith("Multiple wallets are loaded. Please select")
        assert node.failure("getnewaddress", wallet="blank") == (
            -4,
            "Error: This wallet has no available keys",
        )
        assert node.failure("getnewaddress", "", "x", wallet="a") == (-5, "Unknown address type 'x'")
        assert node.failure("getnewaddress", "*", wallet="a") == (-11, "Invalid label name")
        assert node.failure("sendtoaddress", NOBODY, 1, wallet="a") == (-6, "Insufficient funds")
        assert node.failure("sendtoaddress", NOBODY, -1, wallet="a") == (-3, "Amount out of range")
        assert node.failure("sendtoaddress", "x", 1, wallet="a") == (-5, "Invalid Bitcoin address: x")
        assert node.failure("gettransaction", "00" * 32, wallet="a") == (
            -5,
            "Invalid or non-wallet transaction id",
        )
        request = {"desc": f"wpkh({XPRV}/0/*)", "timestamp": "now"}
        (answer,) = node.call("importdescriptors", [request], wallet="blank")
        assert answer == {"success": False, "error": {"code": -5, "message": "Missing checksum"}}
        request = {"desc": add_checksum(f"wpkh({XPRV}/0/*)"), "timestamp": "now", "label": "x"}
        (answer,) = node.call("importdescriptors", [request], wallet="blank")
        assert answer["error"] == {"code": -8, "message": "Ranged descriptors should not have a label"}
        assert node.failure("importdescriptors", [{"desc": request["desc"]}], wallet="blank") == (
            -3,
            "Missing required timestamp field for key",
        )
        node.call("createwallet", "watch", True)
        (answer,) = node.call(
            "importdescriptors", [{"desc": request["desc"], "timestamp": 0}], wallet="watch"
        )
        assert answer["error"]["message"] == (
            "Cannot import private keys to a wallet with private keys disabled"
        )


def test_without_wallets_there_are_no_methods_for_them(tmp_path: Path) -> None:
    with running(tmp_path, "-disablewallet") as node:
        assert node.failure("getwalletinfo") == (-32601, "Method not found")
        assert node.call("validateaddress", NOBODY)["isvalid"]


REQUESTS: list[dict[str, Any]] = [
    {
        "desc": add_checksum(text.format(f"{XPRV}/{purpose}h/1h/0h/{internal}/*")),
        "active": True,
        "internal": bool(internal),
        "timestamp": 0,
        "range": [0, 9],
    }
    for text, purpose in (("pkh({})", 44), ("sh(wpkh({}))", 49), ("wpkh({})", 84), ("tr({})", 86))
    for internal in (0, 1)
]
REQUESTS.append(
    {
        "desc": add_checksum("combo(cVpF924EspNh8KjYsfhgY96mmxvT6DgdWiTYMtMjuM74hJaU5psW)"),
        "timestamp": 0,
        "label": "coinbase",
    }
)


@pytest.mark.timeout(120)
def test_core_sees_the_same_addresses_coins_and_history(tmp_path: Path, bitcoind: Path) -> None:
    """The same descriptors in both: a payment of ours in Core's eyes, and all lists alike."""
    scene = make_scene(1)
    (tmp_path / "core").mkdir()
    options = ("-keypool=5", "-fallbackfee=0.0002")
    core = Core(bitcoind, tmp_path / "core", scene, *options)
    try:
        with running(tmp_path / "ours", *options, f"-mocktime={scene.now}") as node:
            for block in scene.blocks:
                node.call("submitblock", block.raw.hex())
            node.call("createwallet", "w", blank=True)
            core.call("createwallet", "w", False, True)
            ours = node.call("importdescriptors", REQUESTS)
            assert ours == core.call("importdescriptors", REQUESTS)
            assert all(answer["success"] for answer in ours)
            for private in (False, True):
                assert node.call("listdescriptors", private) == core.call("listdescriptors", private)

            kinds = ("legacy", "p2sh-segwit", "bech32", "bech32m")
            addresses = [node.call("getnewaddress", kind, kind) for kind in kinds]
            assert addresses == [core.call("getnewaddress", kind, kind) for kind in kinds]
            addresses.append(node.call("getrawchangeaddress", "bech32"))
            assert addresses[-1] == core.call("getrawchangeaddress", "bech32")
            for address in (*addresses, NOBODY):
                assert node.call("getaddressinfo", address) == core.call("getaddressinfo", address)

            def mine(count: int, address: str) -> None:
                for block_hash in node.call("generatetoaddress", count, address):
                    core.call("submitblock", node.call("getblock", block_hash, 0))

            for address in addresses:
                mine(2, address)
            mine(100, NOBODY)
            send = {addresses[0]: 1, NOBODY: 149}
            txid = node.call("sendmany", "", send)
            raw = node.call("gettransaction", txid)["hex"]
            core.call("sendrawtransaction", raw)
            node.call("sendtoaddress", addresses[3], 0.5)
            second = node.call("listtransactions", "*", 1)[0]["txid"]
            core.call("sendrawtransaction", node.call("gettransaction", second)["hex"])
            compare(node, core, [txid, second])
            mine(1, addresses[1])
            compare(node, core, [txid, second])
            signed = core.call("signrawtransactionwithwallet", raw)
            assert node.call("signrawtransactionwithwallet", raw) == signed
    finally:
        core.stop()


def compare(node: Daemon, core: Core, txids: list[str]) -> None:
    """Every list of both wallets, in an order that does not depend on insertion."""

    def rows(values: list[Any]) -> list[Any]:
        return sorted(values, key=lambda row: (row["txid"], row["vout"], str(row.get("category"))))

    def both(method: str, *params: Any) -> tuple[Any, Any]:
        ours = json.loads(json.dumps(node.call(method, *params), default=float))
        return ours, core.call(method, *params)

    core.call("syncwithvalidationinterfacequeue")
    for method in ("getbalances", "getwalletinfo", "listlabels"):
        ours, theirs = both(method)
        assert ours == theirs
    for method, *params in (("listunspent", 0), ("listtransactions", "*", 1000)):
        ours, theirs = both(method, *params)
        assert rows(ours) == rows(theirs)
    for txid in txids:
        ours, theirs = both("gettransaction", txid, False, True)
        assert ours == theirs
