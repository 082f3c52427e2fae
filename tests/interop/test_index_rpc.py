"""gettxoutsetinfo and gettxspendingprevout with their indexes, beside Bitcoin Core's daemon."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mini_wallet import Kind, MemoryChain, MiniWallet
from rpc_pair import Client, Pair

from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxOut

pytestmark = pytest.mark.interop

HEIGHT = 108


@pytest.fixture
def pair(bitcoind: Path, tmp_path: Path) -> Iterator[Pair]:
    both = Pair(bitcoind, tmp_path, "-coinstatsindex", "-txospenderindex", "-rpcdoccheck")
    yield both
    both.close()


def submit(pair: Pair, block: Block) -> None:
    assert pair.same("submitblock", block.raw.hex()) is None


def wait_synced(*clients: Client) -> None:
    deadline = time.monotonic() + 30
    for client in clients:
        while any(not index["synced"] for index in client.call("getindexinfo").values()):
            assert time.monotonic() < deadline, "an index does not catch up"
            time.sleep(0.05)


def outpoints(*txs: Transaction) -> list[dict[str, Any]]:
    return [_as_json(txin.prevout) for tx in txs for txin in tx.vin]


def _as_json(outpoint: OutPoint) -> dict[str, Any]:
    return {"txid": hash_hex(outpoint.txid), "vout": outpoint.vout}


def ask_stats(pair: Pair, blocks: list[Any]) -> None:
    for block in blocks:
        for kind in ("muhash", "none"):
            pair.same("gettxoutsetinfo", kind, block)
    for kind in ("muhash", "none", "hash_serialized_3"):
        pair.same("gettxoutsetinfo", kind)
        pair.same("gettxoutsetinfo", kind, None, False)


def test_as_core_answers(pair: Pair) -> None:
    chain, wallet = MemoryChain(), MiniWallet(Kind.P2WSH_TRUE)
    for block in chain.generate(105, wallet):
        submit(pair, block)
    wait_synced(pair.core, pair.ours)
    burning = wallet.spend(wallet.take(105), outputs=[TxOut(12345, b"\x6a\x01\x07"), TxOut(99, b"\x51")])
    plain = wallet.spend(wallet.take(105), feerate=20_000)
    for block in chain.generate(3, wallet, [burning, plain]):  # fees are not claimed
        submit(pair, block)
    pair.same("syncwithvalidationinterfacequeue")  # the indexes follow behind the answer, here and there
    pair.same("getindexinfo")
    ask_stats(pair, [0, 1, 104, *range(106, HEIGHT + 1), hash_hex(chain.tip.hash)])
    for wrong in (-1, HEIGHT + 1, "ab" * 32, "ab", True, 1.5, {}):
        pair.same("gettxoutsetinfo", "muhash", wrong)
    for kind in ("hash_serialized_3", "muhash", "sha1"):
        for use_index in (True, False, None):
            pair.same("gettxoutsetinfo", kind, 5, use_index)
    spent, unspent = outpoints(burning, plain), {"txid": "ab" * 32, "vout": 3}
    for options in (
        {},
        {"return_spending_tx": True},
        {"mempool_only": True},
        {"mempool_only": False},
        {"mempool_only": None},
        {"return_spending_tx": None},
        {"mempool_only": 1},
        {"other": True},
    ):
        pair.same("gettxspendingprevout", [*spent, unspent], options)
        pair.same("gettxspendingprevout", [{"txid": "ab" * 32, "vout": -1}], options)
    pair.check()


def test_mempool_comes_first(pair: Pair) -> None:
    """What the mempool knows is answered first, whatever the order of the question."""
    chain, wallet = MemoryChain(), MiniWallet(Kind.P2WSH_TRUE)
    for block in chain.generate(103, wallet):
        submit(pair, block)
    wait_synced(pair.core, pair.ours)
    confirmed, waiting = wallet.spend(wallet.take(103)), wallet.spend(wallet.take(103))
    for block in chain.generate(1, wallet, [confirmed]):
        submit(pair, block)
    pair.same("sendrawtransaction", waiting.raw.hex())
    asked = outpoints(confirmed, waiting)
    for options in ({}, {"return_spending_tx": True}, {"mempool_only": True}):
        rows = pair.same("gettxspendingprevout", asked, options)
        assert [row["txid"] for row in rows][0 if options.get("mempool_only") else 1] == asked[0]["txid"]
    pair.check()


def test_reorganisation(pair: Pair) -> None:
    chain, wallet = MemoryChain(), MiniWallet(Kind.P2WSH_TRUE)
    for block in chain.generate(105, wallet):
        submit(pair, block)
    wait_synced(pair.core, pair.ours)
    utxo = wallet.take(105)
    first, second = wallet.spend(utxo), wallet.spend(utxo, feerate=50_000)
    other = wallet.spend(wallet.take(105))
    for block in chain.generate(1, wallet, [first, other]):
        submit(pair, block)
    stale = hash_hex(chain.tip.hash)
    asked = [*outpoints(first, other), {"txid": hash_hex(first.txid), "vout": 0}]
    pair.same("gettxspendingprevout", asked, {"return_spending_tx": True})
    chain.disconnect()
    pair.same("invalidateblock", stale)
    pair.same("getindexinfo")  # the disconnected block still counts
    pair.same("gettxspendingprevout", asked)
    for block in chain.generate(2, wallet, [second], time=chain.tip.time + 900):
        submit(pair, block)
    pair.same("getbestblockhash")
    pair.same("gettxspendingprevout", asked, {"return_spending_tx": True})
    pair.same("gettxspendingprevout", asked, {"mempool_only": True})
    ask_stats(pair, [105, 106, 107, stale])
    pair.same("getindexinfo")
    pair.same("getindexinfo", "coinstatsindex")
    pair.check()
