"""REST: Bitcoin Core's daemon and ours answer the same, to the byte: status, type, body."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from rpc_pair import Pair
from test_rpc_differential import NOBODY, OWN, Story

from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import OutPoint

pytestmark = pytest.mark.interop
OWN_NUMBERS = re.compile(rb'"(?:size_on_disk|usage|warnings)":(?:\d+|\[.*?\])')
"""Core's differ: other storage, other memory, and it warns that it is a pre-release."""


class Reply(NamedTuple):
    status: int
    content_type: str | None
    body: bytes


def ask(port: int, verb: str, path: str, body: bytes) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(verb, path, body or None)
        response = connection.getresponse()
        content = OWN_NUMBERS.sub(b"", response.read())
        return Reply(response.status, response.getheader("Content-Type"), content)
    finally:
        connection.close()


@pytest.fixture(scope="module")
def pair(bitcoind: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    both = Pair(bitcoind, tmp_path_factory.mktemp("rest"), "-rest", "-txindex", "-blockfilterindex")
    yield both
    both.close()


class Asked:
    """Both daemons; what differs is collected."""

    def __init__(self, pair: Pair) -> None:
        self.ports = pair.core.port, pair.ours.port
        self.count = 0
        self.differences: list[str] = []

    def __call__(self, path: str, body: bytes = b"", verb: str = "GET") -> None:
        core, ours = (ask(port, verb, f"/rest{path}", body) for port in self.ports)
        self.count += 1
        if core != ours:
            self.differences.append(
                f"{verb} {path[:200]} {body[:40]!r}\n   core {core!s:.600}\n   ours {ours!s:.600}"
            )

    def in_all_formats(self, path: str, query: str = "") -> None:
        for suffix in (".bin", ".hex", ".json", "", ".", ".txt", ".json.bin"):
            self(path + suffix + query)

    def check(self) -> None:
        assert not self.differences, f"{len(self.differences)} differ:\n" + "\n".join(self.differences[:30])


@pytest.fixture(scope="module")
def story(pair: Pair) -> Story:
    """With its mempool in two blocks, a block taken back, and a transaction in the mempool."""
    story = Story(pair)
    for _ in range(2):
        pair.same("generatetodescriptor", 1, OWN)
    tip = pair.same("getbestblockhash")
    story.wallet.scan_block(story.block(pair.same("getblockhash", 114)), 114)
    pair.both("invalidateblock", tip)
    story.wait(600)
    story.send()
    pair.check()
    story.hashes += [pair.same("getblockhash", 114), tip]
    for client in (pair.core, pair.ours):
        deadline = time.monotonic() + 30
        while not all(index["synced"] for index in client.call("getindexinfo").values()):
            assert time.monotonic() < deadline, "the indexes are behind"
    return story


def test_blocks(pair: Pair, story: Story) -> None:
    asked = Asked(pair)
    genesis, last, full, stale = story.hashes[0], story.hashes[113], story.hashes[114], story.hashes[115]
    names = [genesis, last, full, stale, full.upper(), NOBODY, "abc", "", f"{full}/", f"/{full}", f"{full}%"]
    for name in names:
        for path in ("block/", "block/notxdetails/", "headers/", "spenttxouts/", "deploymentinfo/"):
            asked.in_all_formats(f"/{path}{name}")
        for kind in ("basic", "v0", ""):
            asked.in_all_formats(f"/blockfilter/{kind}/{name}")
            asked.in_all_formats(f"/blockfilterheaders/{kind}/{name}")
        asked.in_all_formats(f"/blockpart/{name}", "?offset=3&size=100")
    for height in (
        "0",
        "7",
        "007",
        "114",
        "115",
        "+1",
        "-1",
        "-0",
        " 1",
        "1.0",
        "2147483648",
        "9" * 40,
        "a%20<",
    ):
        asked.in_all_formats(f"/blockhashbyheight/{height.replace(' ', '%20')}")
    asked("/blockhashbyheight")
    asked.check()


def test_queries(pair: Pair, story: Story) -> None:
    asked = Asked(pair)
    first, full = story.hashes[3], story.hashes[114]
    numbers = [
        "0",
        "1",
        "3",
        "2000",
        "2001",
        "-5",
        "+5",
        "5a",
        "",
        "9" * 30,
        "0003",
        "%33",
        "3+",
        "3%",
        "3#4",
        "3?",
    ]
    for number in numbers:
        for start in (first, "abc"):
            asked(f"/headers/{start}.json?count={number}")
            asked(f"/headers/{number}/{start}.hex")
            asked(f"/blockfilterheaders/basic/{start}.hex?count={number}")
            asked(f"/blockfilterheaders/basic/{number}/{start}.json")
        asked(f"/blockpart/{full}.hex?offset={number}&size=20")
        asked(f"/blockpart/{full}.bin?size={number}&offset=20")
    size = len(story.block(full).raw)
    for offset, length in (
        (0, size),
        (0, size + 1),
        (size, 0),
        (size, 1),
        (size - 5, 5),
        (2**64 - 1, 2),
        (2**64, 1),
    ):
        asked(f"/blockpart/{full}.bin?offset={offset}&size={length}")
    for query in (
        *("count", "count&count=3", "count=3&count=4", "x=1&count=3", "=1&count=3", "count=3&", "&count=3"),
        *(
            "Count=3",
            "count=3;x=4",
            "count==3",
            "count=3=4",
            "count=3&x",
            "",
            "?count=3",
            "%63ount=3",
            "count=3&[]",
        ),
    ):
        asked(f"/headers/{first}.json?{query}")
    flags = ["true", "false", "TRUE", "1", ""]
    for verbose in flags:
        for sequence in flags:
            asked(f"/mempool/contents.json?verbose={verbose}&mempool_sequence={sequence}")
    for path in ("contents", "info", "", "x", "contents/", "info.json/"):
        asked.in_all_formats(f"/mempool/{path}")
    asked("/mempool/contents.json?%")
    asked("/mempool/info.json?%")
    for path in (
        "/chaininfo",
        "/deploymentinfo",
        "/chaininfo/",
        "/chaininfox",
        "/deploymentinfox",
        "",
        "/",
        "/x",
    ):
        asked.in_all_formats(path)
    asked.check()


def test_transactions(pair: Pair, story: Story) -> None:
    asked = Asked(pair)
    genesis = hash_hex(story.block(story.hashes[0]).vtx[0].txid)
    coinbase = hash_hex(story.block(story.hashes[5]).vtx[0].txid)
    for txid in (*story.txids, coinbase, genesis, NOBODY, "abc", "", f"{coinbase}/"):
        asked.in_all_formats(f"/tx/{txid}")
    asked.check()


def test_coins(pair: Pair, story: Story) -> None:
    asked = Asked(pair)
    outpoints = [OutPoint(tx.txid, n) for tx in story.txs for n in range(len(tx.vout) + 1)]
    outpoints += [txin.prevout for tx in story.txs for txin in tx.vin]
    outpoints += [OutPoint(story.block(block_hash).vtx[0].txid, 0) for block_hash in story.hashes[:6]]
    names = [f"{hash_hex(one.txid)}-{one.vout}" for one in outpoints]
    odd = [
        NOBODY,
        f"{NOBODY}-",
        f"{NOBODY}-x",
        f"{NOBODY}--1",
        f"{NOBODY}-+1",
        f"{NOBODY}-1-1",
        f"{NOBODY}_1",
    ]
    odd += [f"{NOBODY}-4294967295", f"{NOBODY}-4294967296", f"{NOBODY}a-1", "aa-1", "", "/", f"{names[0]}/"]
    groups = [
        [],
        *([one] for one in (*names, *odd)),
        names[:9],
        names[9:24],
        names[:15],
        names[:16],
        names[:20],
    ]
    for group in groups:
        for start in ("", "/checkmempool", "/checkmempool/checkmempool", "/x", "x"):
            path = "/".join([f"/getutxos{start}", *group])
            asked.in_all_formats(path)
            asked(f"{path}.json", verb="POST")
    for check in (b"\x00", b"\x01", b"\x02"):
        for some in (outpoints[:2], outpoints[:15], outpoints[:16], [], outpoints[:1] * 3):
            packed = b"".join(one.txid + one.vout.to_bytes(4, "little") for one in some)
            body = check + bytes([len(some)]) + packed
            for sent in (body, body[:-1], body + b"x", b"", b"{"):
                for path in ("/getutxos", "/getutxos/checkmempool", f"/getutxos/{names[0]}"):
                    for form in (".bin", ".json", "", ".x"):
                        asked(path + form, sent, "POST")
                    for text in (sent.hex(), sent.hex().upper() + "\n", sent.hex()[:-1], "zz"):
                        asked(f"{path}.hex", text.encode(), "POST")
    asked.check()


def test_verbs(pair: Pair, story: Story) -> None:
    asked = Asked(pair)
    for verb in ("GET", "POST", "PUT", "HEAD"):
        asked(f"/headers/{story.hashes[3]}.json?count=1", verb=verb)
        asked(f"/headers/{story.hashes[3]}.json?count=1", b"something", verb=verb)
    asked.check()
