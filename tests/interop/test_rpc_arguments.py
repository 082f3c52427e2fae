"""Wrong arguments: for each method and position some eighty odd values, judged by Bitcoin Core's daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mini_wallet import Kind, MiniWallet
from rpc_pair import Pair
from test_rpc_differential import ADDRESS, NOBODY, OWN, PUBKEY, START

from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex

pytestmark = pytest.mark.interop

DESCRIPTOR = f"wpkh({PUBKEY})"
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 7, 1.5, 1e3, 2**31, -(2**31) - 1, 2**32, 2**63, -(2**63) - 1, 10**30),
    *("", "x", "true", "zz", "ab", "abc", "ab" * 31, "AB" * 32, "00" * 32, "zz" * 32, " " + NOBODY, "é" * 64),
    *([], [1], ["x"], [None], [[]], [{}], [NOBODY], {}, {"x": 1}, {"txid": NOBODY}),
    {"txid": NOBODY, "vout": 0},
    [{"txid": NOBODY, "vout": 0}],
    [{"txid": NOBODY, "vout": -1}],
    [{"txid": NOBODY, "vout": "x"}],
    [{"txid": NOBODY, "vout": 0, "z": 1}],
    [{"txid": 5, "vout": 0}],
    *(ADDRESS, [ADDRESS], {ADDRESS: 1}, [{ADDRESS: 1}], [{ADDRESS: "x"}], [{ADDRESS: -1}], [{ADDRESS: 22e6}]),
    *({"rules": 5}, {"mode": "proposal", "data": 5}, {"data": "zz"}, [{"data": "00"}]),
    *("start", "status", "abort", "add", "add ", DESCRIPTOR, "basic", "muhash", "hash_serialized_3", "none"),
]
WAITS = ("waitfornewblock", "waitforblock", "waitforblockheight")


@pytest.fixture(scope="module")
def pair(bitcoind: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    both = Pair(
        bitcoind, tmp_path_factory.mktemp("arguments"), "-txindex", "-blockfilterindex", "-rpcdoccheck"
    )
    yield both
    both.close()


def valid_arguments(block_hash: str, txid: str, raw: str) -> dict[str, list[Any]]:
    """Arguments that each method takes, and that change nothing."""
    spent = {"txid": txid, "vout": 0}
    named: dict[str, list[Any]] = {
        "getblockhash": [3],
        "getblock": [block_hash, 1],
        "getblockheader": [block_hash, True],
        "gettxout": [txid, 0, True],
        "gettxoutsetinfo": ["none", None, True],
        "scantxoutset": ["start", ["raw(51)"]],
        "scanblocks": ["start", ["raw(51)"], 1, 2, "basic", {}],
        "getdescriptoractivity": [[block_hash], ["raw(51)"], True],
        "getrawmempool": [True, False],
        "getmempoolentry": [txid],
        "getmempoolancestors": [txid, True],
        "getmempooldescendants": [txid, False],
        "getmempoolcluster": [txid],
        "gettxspendingprevout": [[spent], {}],
        "getrawtransaction": [txid, 1, None],
        "decoderawtransaction": [raw, True],
        "decodescript": ["51"],
        "createrawtransaction": [[spent | {"sequence": 1}], [{ADDRESS: 1}], 0, True, 2],
        "signrawtransactionwithkey": ["00", [], [], "ALL"],
        "sendrawtransaction": ["00", 0.1, 0.1],
        "testmempoolaccept": [[raw], 0.1],
        "submitpackage": [[raw, raw], 0.1, 0.1],
        "gettxoutproof": [[txid], block_hash],
        "verifytxoutproof": ["00"],
        "getblockfilter": [block_hash, "basic"],
        "generatetoaddress": [0, ADDRESS, 5],
        "generatetodescriptor": [0, DESCRIPTOR, 5],
        "generateblock": ["x", [], False],
        "getblocktemplate": [{"rules": ["signet"]}],
        "submitblock": ["00", "x"],
        "submitheader": ["00"],
        "prioritisetransaction": [NOBODY, 0, 0],
        "getnetworkhashps": [5, 5],
        "addnode": ["127.0.0.1:1", "remove", False],
        "addconnection": ["127.0.0.1:1", "bogus", False],
        "disconnectnode": ["x", None],
        "getaddednodeinfo": ["x"],
        "setban": ["1.2.3.4", "remove", 5, False],
        "getnodeaddresses": [0, "onion"],
        "addpeeraddress": ["x", 5, False],
        "sendmsgtopeer": [0, "x", "00"],
        "getblockfrompeer": [block_hash, 0],
        "validateaddress": [ADDRESS],
        "getdescriptorinfo": [DESCRIPTOR],
        "deriveaddresses": [f"{DESCRIPTOR}#8fhd9pwu", None],
        "getindexinfo": ["txindex"],
        "invalidateblock": [NOBODY],
        "reconsiderblock": [NOBODY],
        "preciousblock": [NOBODY],
        "verifychain": [0, 1],
        "getdeploymentinfo": [block_hash],
        "getchaintxstats": [5, block_hash],
        "getblockstats": [block_hash, ["minfee"]],
        "pruneblockchain": [5],
        "waitfornewblock": [1, None],
        "waitforblock": [block_hash, 1],
        "waitforblockheight": [1, 1],
        "setmocktime": [-5],
        "mockscheduler": [0],
        "help": ["uptime"],
        "logging": [[], []],
        "getorphantxs": [0],
        "getmemoryinfo": ["x"],
        "echo": [1],
    }
    without = "getblockcount getbestblockhash getblockchaininfo getchaintips getdifficulty getmempoolinfo"
    without += " getmininginfo getprioritisedtransactions getpeerinfo getconnectioncount ping listbanned"
    without += " getnettotals getnetworkinfo clearbanned syncwithvalidationinterfacequeue generate"
    return named | {name: [] for name in without.split()}


def allowed(method: str, position: int, value: Any) -> bool:
    """The value makes the method neither change anything nor wait."""
    positive = isinstance(value, int | float) and value > 0 and value is not True
    if method in ("setmocktime", "mockscheduler"):
        return not positive
    if method in ("generatetoaddress", "generatetodescriptor") and position == 0:
        return not positive
    if method == "addnode" and position == 2:
        return value is not True  # BIP 324 is not spoken yet
    if method == "help":
        return value not in (None, "")  # the list of all methods is not complete yet
    if method in WAITS:
        return value is not None and (not isinstance(value, int | float) or 0 < value <= 100)
    return True


def test_odd_values(pair: Pair) -> None:
    pair.same("setmocktime", START)
    pair.same("generatetodescriptor", 101, OWN)
    wallet = MiniWallet(Kind.P2WSH_TRUE)
    block_hash = pair.same("getblockhash", 1)
    wallet.scan_block(Block.decode(bytes.fromhex(pair.core.call("getblock", block_hash, 0))), 1)
    tx = wallet.spend(wallet.take(101))
    txid, raw = hash_hex(tx.txid), tx.raw.hex()
    pair.same("sendrawtransaction", raw)
    odd = [*ODD, raw, raw + "00", raw[:-2]]
    for method, arguments in valid_arguments(block_hash, txid, raw).items():
        for position in range(len(arguments)):
            for value in odd:
                if allowed(method, position, value):
                    pair.same(method, *arguments[:position], value, *arguments[position + 1 :])
        if method not in WAITS and method != "help":
            for count in range(len(arguments)):
                pair.same(method, *arguments[:count])
        pair.same(method, *arguments, *[1] * 12)
        pair.same(method, named={"bogus": 1})
        pair.same(method, named={"args": arguments})
        pair.same(method, named={"args": [1], "bogus": 2})
    assert pair.asked > 4000
    pair.check()
