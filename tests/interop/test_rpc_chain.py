"""The chain's branches by RPC, beside Bitcoin Core's daemon.

Tips of all statuses, orders to move between them, waits, statistics of every block, odd arguments.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rpc_pair import Client, Pair
from test_rpc_differential import ADDRESS, NOBODY, START

from pybitcoind.chain.block_template import make_coinbase, solve
from pybitcoind.chain.consensus.blocks import block_subsidy
from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.hashes import hash_from_hex, hash_hex
from pybitcoind.chain.primitives.merkle import merkle_root

pytestmark = pytest.mark.interop
COMMON = 20
"""Blocks that both mine at first."""


class Chain:
    """Both daemons, with a common chain, and blocks that fork from it."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        pair.same("setmocktime", START)
        pair.same("generatetoaddress", COMMON, ADDRESS)
        self.hashes: list[str] = [pair.same("getblockhash", height) for height in range(COMMON + 1)]

    def branch(self, height: int, count: int, tag: bytes, *, too_much: int = -1) -> list[Block]:
        """count blocks on top of the common one at height; the one numbered too_much pays too much."""
        made: list[Block] = []
        prev = hash_from_hex(self.hashes[height])
        for i in range(count):
            value = block_subsidy(height + 1 + i, regtest()) + (i == too_much)
            coinbase = make_coinbase(height + 1 + i, b"\x51", value, tail=bytes((len(tag),)) + tag)
            root = merkle_root([coinbase.txid])[0]
            header = BlockHeader(0x20000000, prev, root, START + 100 + i, 0x207FFFFF, 0)
            block, _ = solve(Block(header, [coinbase]), 10_000)
            assert block is not None
            made.append(block)
            prev = block.hash
        return made

    def submit(self, *blocks: Block) -> None:
        for block in blocks:
            self.pair.same("submitblock", block.raw.hex())

    def look(self) -> dict[str, str]:
        """Compares what both say of themselves and of each tip; Core's statuses by hash."""
        pair = self.pair
        for name in (
            "getbestblockhash",
            "getblockcount",
            "getblockchaininfo",
            "getchaintxstats",
            "getmininginfo",
        ):
            pair.same(name)
        pair.same("gettxoutsetinfo")
        core, ours = (self.tips(side) for side in (pair.core, pair.ours))
        assert core == ours
        for tip in core:
            for verbosity in (0, 1, 2, 3):
                pair.same("getblock", tip["hash"], verbosity)
            pair.same("getblockheader", tip["hash"])
            pair.same("getblockheader", tip["hash"], False)
            pair.same("getblockstats", tip["hash"])
            pair.same("getchaintxstats", 2, tip["hash"])
            pair.same("getdeploymentinfo", tip["hash"])
            pair.same("gettxoutproof", ["00" * 32], tip["hash"])
        return {tip["hash"]: tip["status"] for tip in core}

    @staticmethod
    def tips(side: Client) -> list[dict[str, str]]:
        """getchaintips, those of one height by hash: Core has them in the order of its memory."""
        return sorted(side.call("getchaintips"), key=lambda tip: (-int(tip["height"]), tip["hash"]))


@pytest.fixture(scope="module")
def pair(bitcoind: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    both = Pair(bitcoind, tmp_path_factory.mktemp("branches"), "-rpcdoccheck")
    yield both
    both.close()


@pytest.fixture(scope="module")
def chain(pair: Pair) -> Chain:
    return Chain(pair)


def name(block: Block) -> str:
    return hash_hex(block.hash)


def test_tips_of_all_statuses(pair: Pair, chain: Chain) -> None:
    """Each status, and how orders and blocks change it."""
    only_headers = chain.branch(10, 3, b"headers")
    for block in only_headers:
        pair.same("submitheader", block.header.raw.hex())
    gap = chain.branch(12, 4, b"gap")
    pair.same("submitheader", gap[0].header.raw.hex())
    chain.submit(*gap[1:])
    side = chain.branch(15, 3, b"side")
    chain.submit(*side)
    bad = chain.branch(16, 6, b"bad", too_much=2)
    chain.submit(*bad)
    statuses = chain.look()
    assert statuses[name(only_headers[-1])] == "headers-only"
    assert statuses[name(gap[-1])] == "headers-only"
    assert statuses[name(side[-1])] == "valid-headers"
    assert statuses[name(bad[4])] == "invalid", "the first that had the most work"
    assert statuses[chain.hashes[-1]] == "active"
    pair.same("submitheader", chain.branch(16, 7, b"bad", too_much=2)[-1].header.raw.hex())
    chain.submit(gap[0])
    chain.look()
    for block in (side[-1], side[0], gap[-1], bad[-1], bad[1], only_headers[-1]):
        pair.same("preciousblock", name(block))
        chain.look()
    longer = chain.branch(17, 4, b"longer")
    chain.submit(*longer)
    statuses = chain.look()
    assert statuses[name(longer[-1])] == "active"
    assert statuses[chain.hashes[-1]] == "valid-fork"
    pair.check()


def test_orders_to_move(pair: Pair, chain: Chain) -> None:
    """invalidateblock, reconsiderblock and preciousblock of every block that there is."""
    equal = chain.branch(18, 3, b"equal")
    chain.submit(*equal)
    tip = pair.same("getbestblockhash")
    for block_hash in (name(equal[-1]), tip, name(equal[0]), tip, name(equal[-1])):
        pair.same("preciousblock", block_hash)
        chain.look()
    for order in ("invalidateblock", "reconsiderblock"):
        for block_hash in (tip, name(equal[1]), chain.hashes[19], chain.hashes[14], chain.hashes[1]):
            pair.same(order, block_hash)
            chain.look()
            # In turns: after a shorter chain Core counts anew, and two blocks of one number go by address.
            for precious in (name(equal[-1]), tip, name(equal[-1])):
                pair.same("preciousblock", precious)
            chain.look()
    for order in ("invalidateblock", "preciousblock", "reconsiderblock"):
        for argument in (
            *(
                chain.hashes[0],
                NOBODY,
                NOBODY.upper(),
                "",
                "00",
                NOBODY[:-1],
                NOBODY[:-1] + "g",
                5,
                None,
                [],
                {},
            ),
        ):
            pair.same(order, argument)
        pair.same(order)
        pair.same(order, named={"blockhash": NOBODY})
        pair.same(order, named={"hash": NOBODY})
        pair.same(order, chain.hashes[3], 1)
        chain.look()
    pair.check()


def test_a_new_block_on_what_was_reconsidered(pair: Pair, chain: Chain) -> None:
    pair.same("invalidateblock", chain.hashes[8])
    pair.same("generatetodescriptor", 2, "raw(52)")
    chain.look()
    chain.submit(*chain.branch(9, 14, b"on invalid"))
    chain.look()
    pair.same("reconsiderblock", chain.hashes[12])  # clears its ancestors as well
    chain.look()
    pair.check()


def test_chain_statistics(pair: Pair, chain: Chain) -> None:
    chain.submit(*chain.branch(COMMON - 2, 3, b"overtakes"))  # so that a fork is there in any order of tests
    tip = pair.same("getbestblockhash")
    height = int(pair.same("getblockcount"))
    stale = next(t["hash"] for t in chain.tips(pair.core) if t["status"] == "valid-fork")
    header = next((t["hash"] for t in chain.tips(pair.core) if t["status"] == "headers-only"), NOBODY)
    for blocks in (
        None,
        0,
        1,
        2,
        height - 1,
        height,
        height + 1,
        -1,
        2**31 - 1,
        2**31,
        1.0,
        1.5,
        "1",
        True,
        [],
    ):
        for last in (None, tip, chain.hashes[0], chain.hashes[1], chain.hashes[5], stale, header, NOBODY):
            pair.same("getchaintxstats", blocks, last)
    for blocks in (None, -1, 0, 1, 3, 120, 10**6, -2, 2**31, -(2**31), 1.5, "1"):
        for at in (None, -1, 0, 1, 2, 11, height, height + 1, -2, 2**31, True):
            pair.same("getnetworkhashps", blocks, at)
    for at in (*range(height + 2), -1, 1.5, 2**31, True, None, "", "00", tip, stale, header, NOBODY):
        pair.same("getblockstats", at)
    for wanted in (
        *([], None, ["height"], ["time", "height"], ["height", "height"], ["nothing"], [""], [5], [None]),
        *("height", {}, ["feerate_percentiles", "medianfee", "utxo_size_inc_actual"]),
    ):
        pair.same("getblockstats", 5, wanted)
        pair.same("getblockstats", 0, wanted)
    pair.same("getblockstats", named={"stats": ["height"]})
    pair.same("getblockstats", named={"hash_or_height": tip, "stats": ["height"]})
    for level in (None, 0, 1, 2, 3, 4, 5, -1, 2**31, 1.5, "3", True):
        for blocks in (None, 0, 1, 5, height, height + 5, -1):
            pair.same("verifychain", level, blocks)
    pair.same("verifychain", named={"nblocks": 3})
    pair.same("verifychain", named={"checklevel": 3, "nblock": 3})
    pair.check()


def test_waits(pair: Pair, chain: Chain) -> None:
    """What needs no waiting, what times out, and what a block ends."""
    tip, height = pair.same("getbestblockhash"), int(pair.same("getblockcount"))
    for timeout in (1, -1, 1.5, "1", [], 2**63, -(2**63) - 1):
        pair.same("waitfornewblock", timeout)
        pair.same("waitforblock", tip, timeout)
        pair.same("waitforblock", NOBODY, timeout)
        pair.same("waitforblockheight", height, timeout)
        pair.same("waitforblockheight", height + 1, timeout)
    for current in (tip, chain.hashes[3], NOBODY, "", "00", 5, None, []):
        pair.same("waitfornewblock", 1, current)
    for wanted in ("", "00", NOBODY[:-1], NOBODY[:-1] + "g", 5, None, [], chain.hashes[0]):
        pair.same("waitforblock", wanted, 1)
    for wanted in (-1, 0, height - 1, height, -(2**31), 2**31 - 1, 2**31, 1.5, "1", None):
        pair.same("waitforblockheight", wanted, 1)
    pair.same("waitfornewblock", -1, "x")
    pair.same("waitfornewblock", named={"timeout": 1, "current_tip": tip})
    pair.same("waitforblock", named={"timeout": 1})
    pair.same("waitforblockheight", named={"height": height})
    pair.check()
    now = START + 1000
    for method, *arguments in (
        ("waitfornewblock", 60_000),
        ("waitfornewblock", 0),
        ("waitfornewblock", 60_000, tip),
        ("waitforblockheight", height + 1, 60_000),
        ("waitforblockheight", height + 1),
    ):
        answers: dict[str, Any] = {}

        def ask(
            key: str, client: Client, method: str = method, params: Any = arguments, into: Any = answers
        ) -> None:
            into[key] = client.ask(method, params)

        clients = {"core": pair.core, "ours": pair.ours}
        fresh = {key: Client(client.port, client.cookie) for key, client in clients.items()}
        threads = [threading.Thread(target=ask, args=item) for item in fresh.items()]
        for thread in threads:
            thread.start()
        for client in clients.values():
            pair.daemon.until(
                "the wait to begin",
                lambda client=client, method=method: any(
                    row["method"] == method for row in client.call("getrpcinfo")["active_commands"]
                ),
            )
        now += 1  # or it were the block that was invalidated
        pair.same("setmocktime", now)
        pair.same("generatetoaddress", 1, ADDRESS)
        for thread in threads:
            thread.join(60)
        for client in fresh.values():
            client.close()
        core, ours = answers["core"], answers["ours"]
        assert (core.error, core.result) == (ours.error, ours.result), method
        assert core.result["height"] == str(height + 1)
        pair.same("invalidateblock", core.result["hash"])
        assert pair.same("getblockcount") == str(height)
    pair.check()


def test_blocks_of_peers(pair: Pair, chain: Chain) -> None:
    """getblockfrompeer without and with a peer that has the header."""
    tip = pair.same("getbestblockhash")
    for arguments in (
        *(
            (tip, 0),
            (NOBODY, 0),
            ("", 0),
            (tip, -1),
            (tip, 2**31),
            (tip, "0"),
            (tip, None),
            (tip,),
            (None, 0),
        ),
    ):
        pair.same("getblockfrompeer", *arguments)
    block = chain.branch(13, 1, b"from a peer")[0]
    pair.same("submitheader", block.header.raw.hex())
    pair.same("getblockfrompeer", name(block), 0)
    pair.same("getblockfrompeer", named={"blockhash": name(block), "peer_id": 5})
    pair.same("getblockfrompeer", named={"block_hash": name(block), "peer_id": 5})
    pair.check()


def test_small_files_are_pruned_at_the_same_heights(bitcoind: Path, tmp_path: Path) -> None:
    """-fastprune: the same blocks share a file."""
    pair = Pair(bitcoind, tmp_path, "-prune=1", "-fastprune")
    try:
        pair.same("setmocktime", START)
        pair.same("generatetodescriptor", 900, "raw(51)")
        for height in (0, 100, 275, 276, 300, 500, 600, 611, 612, 900, 901, -1):
            pair.same("pruneblockchain", height)
            pair.same("getblockchaininfo")
        for height in (2, 300, 899):
            pair.same("getblock", pair.same("getblockhash", height))
        pair.same("verifychain", 4, 0)
        pair.check()
    finally:
        pair.close()
