"""The explorer from outside: a daemon with -web, asked as by a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from mini_wallet import MiniWallet, mine
from node_process import Daemon, run_to_end, running
from web_client import TooMany, WebClient

from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.transaction import Transaction, TxOut
from pybitcoind.chain.script.script import push_data

HOSTILE = b"<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
PARAMS = regtest()


@dataclass
class World:
    """A daemon with a chain of 112 blocks, some transactions, and a branch."""

    node: Daemon
    web: WebClient
    wallet: MiniWallet
    confirmed: Transaction
    """In block 111, with a hostile data output."""
    fan: Transaction
    """In block 111: 60 outputs."""

    def send(self, tx: Transaction) -> str:
        return str(self.node.call("sendrawtransaction", tx.raw.hex()))

    def tip(self) -> Any:
        return self.node.call("getblockheader", self.node.call("getbestblockhash"))


def add(node: Daemon, block: Block) -> None:
    assert node.call("submitblock", block.raw.hex()) in (None, "inconclusive")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("explorer")
    options = ("-web=0", "-txindex", "-txospenderindex", "-disablewallet")
    with running(folder, *options) as node:
        wallet = MiniWallet()
        prev = HeaderNode(PARAMS.genesis.header, None, 1)

        def grow(*txs: Transaction, extra: bytes | None = None) -> None:
            nonlocal prev
            block = mine(prev, PARAMS, wallet.script_pubkey, txs, extra_nonce=extra)
            add(node, block)
            prev = HeaderNode(block.header, prev, 1)
            wallet.scan_block(block, prev.height)

        for _ in range(110):
            grow()
        data = TxOut(0, b"\x6a" + push_data(HOSTILE))
        confirmed = wallet.spend(wallet.take(prev.height), outputs=[data])
        fan = wallet.spend(wallet.take(prev.height), change=60)
        fork = prev
        grow(confirmed, fan, extra=HOSTILE)
        grow()
        add(node, mine(fork, PARAMS, wallet.script_pubkey, extra_nonce=b"other branch"))
        node.call("syncwithvalidationinterfacequeue")
        yield World(node, WebClient(node.ports["web"]), wallet, confirmed, fan)


def display(tx: Transaction) -> str:
    return tx.txid[::-1].hex()


# What pages say


def test_the_overview(world: World) -> None:
    tip = world.tip()
    page = world.web.get("/")
    assert f"{tip['height']}" in page.text
    assert f"/block/{tip['hash']}" in page.links
    assert "Recent blocks" in page.text
    assert "txindex" in page.text and "txospenderindex" in page.text


def test_blocks_by_pages(world: World) -> None:
    """An address shows the same blocks when the chain has grown."""
    tip = world.tip()["height"]
    first = world.web.get("/blocks")
    assert f"{tip} to {tip - 29}" in first.text
    assert f"/blocks?from={tip - 30}" in first.links
    second = world.web.get(f"/blocks?from={tip - 30}")
    assert f"/blocks?from={tip - 60}" in second.links and f"/blocks?from={tip}" in second.links
    assert f"/block/{world.node.call('getblockhash', tip - 30)}" in second.links
    last = world.web.get("/blocks?from=3")
    assert f"/block/{PARAMS.genesis.hash[::-1].hex()}" in last.links and "/blocks?from=33" in last.links
    assert not last.all("a", rel="next")
    for number in (str(tip + 1), "-1", "x", "9" * 30, "%F0%9F%98%80", "%D9%A1"):
        assert world.web.get(f"/blocks?from={number}", 404).all("h1")


def test_a_block(world: World) -> None:
    block_hash = world.node.call("getblockhash", 111)
    page = world.web.get("/height/111")
    told = world.node.call("getblock", block_hash, 2)
    assert "Block 111" in page.text
    assert block_hash in page.text
    for value in (told["versionHex"], told["bits"], f"{told['weight']:,}", f"{told['nonce']:,}"):
        assert value in page.text, value
    assert told["merkleroot"] in [attrs.get("data-copy") for _, attrs in page.elements]
    for tx in told["tx"]:
        assert f"/tx/{tx['txid']}" in page.links
    assert f"/block/{told['previousblockhash']}" in page.links
    assert f"/block/{told['nextblockhash']}" in page.links
    assert f"/height/{111}" not in page.headers.get("Location", "")
    genesis = world.web.get(f"/block/{PARAMS.genesis.hash[::-1].hex()}")
    assert "The Times 03/Jan/2009 Chancellor on brink of second bailout for banks" in genesis.text


def test_a_block_off_the_chain(world: World) -> None:
    branch = next(tip for tip in world.node.call("getchaintips") if tip["status"] != "active")
    page = world.web.get(f"/block/{branch['hash']}")
    assert "not on the active chain" in page.text
    assert "/height/111" in page.links
    branches = world.web.get("/branches")
    assert f"/block/{branch['hash']}" in branches.links
    assert branch["status"] in branches.text
    assert branches.all("svg", class_="picture branches")


def test_a_confirmed_transaction(world: World) -> None:
    txid = display(world.confirmed)
    page = world.web.get(f"/tx/{txid}")
    told = world.node.call("getrawtransaction", txid, 2)
    assert "confirmation" in page.text
    assert told["hash"] in [attrs.get("data-copy") for _, attrs in page.elements]
    assert told["vout"][0]["scriptPubKey"]["asm"] in page.text
    assert told["vin"][0]["prevout"]["scriptPubKey"]["address"] in page.text
    fee = int(told["fee"] * 100_000_000)
    assert f"{fee:,} sat" in page.text
    assert f"{fee * 4 / told['weight']:.2f} sat/vB" in page.text
    assert f"{told['weight']:,}" in page.text and f"{told['vsize']:,} vB" in page.text
    assert "witness script" in page.text and "OP_TRUE" not in page.text
    assert "unspendable" in page.text and "unspent" in page.text


def test_inputs_and_outputs_by_pages(world: World) -> None:
    txid = display(world.fan)
    first = world.web.get(f"/tx/{txid}")
    assert "60 outputs" in first.text and "Page 1 of 3" in first.text
    assert f"/tx/{txid}?outputs=2" in first.links
    last = world.web.get(f"/tx/{txid}?outputs=3")
    assert last.all("li", id="output-59") and not last.all("li", id="output-0")
    world.web.get(f"/tx/{txid}?outputs=4", 404)
    world.web.get(f"/tx/{txid}?inputs=2", 404)


def test_unconfirmed_then_replaced_then_conflicted(world: World) -> None:
    coin = world.wallet.take(112)
    first = world.wallet.spend(coin, fee=1000)
    second = world.wallet.spend(coin, fee=5000)
    third = world.wallet.spend(coin, fee=9000)
    child_of_nothing = world.wallet.spend(coin, fee=500)
    txid = world.send(first)
    world.node.call("syncwithvalidationinterfacequeue")
    page = world.web.get(f"/tx/{txid}")
    assert "unconfirmed" in page.text and "the next block" in page.text and "1,000 sat" in page.text
    spent = world.web.get(f"/tx/{coin.outpoint.txid[::-1].hex()}")
    assert "spent, unconfirmed" in spent.text and f"/tx/{txid}" in spent.links
    mempool = world.web.get("/mempool")
    assert f"/tx/{txid}" in mempool.links
    assert mempool.all("svg", class_="picture block-map")

    world.send(second)
    world.node.call("syncwithvalidationinterfacequeue")
    page = world.web.get(f"/tx/{txid}")
    assert "Replaced by a transaction that pays more" in page.text
    assert f"/tx/{display(second)}" in page.links

    block = world.node.call("generateblock", f"raw({world.wallet.script_pubkey.hex()})", [third.raw.hex()])
    world.node.call("syncwithvalidationinterfacequeue")
    page = world.web.get(f"/tx/{display(second)}")
    assert "conflicted" in page.text and f"/tx/{display(third)}" in page.links
    assert "5,000 sat" in page.text, "what it spent is known still"
    page = world.web.get(f"/tx/{txid}")
    assert "replaced" in page.text and f"/tx/{display(third)}" in page.links
    spent = world.web.get(f"/tx/{coin.outpoint.txid[::-1].hex()}")
    assert f"/tx/{display(third)}" in spent.links, "the spender index knows who"

    world.node.call("invalidateblock", block["hash"])
    world.node.call("syncwithvalidationinterfacequeue")
    assert "unconfirmed" in world.web.get(f"/tx/{display(third)}").text
    world.node.call("reconsiderblock", block["hash"])
    world.node.call("syncwithvalidationinterfacequeue")
    assert "1 confirmation" in world.web.get(f"/tx/{display(third)}").text
    world.web.get(f"/tx/{display(child_of_nothing)}", 404)


def test_coins_are_counted_when_asked_for(world: World) -> None:
    page = world.web.get("/utxo")
    assert page.all("form", action="/utxo")
    answer = world.web.post("/utxo", {}, Origin=f"http://127.0.0.1:{world.web.port}")
    assert answer.status == 303
    told = world.node.call("gettxoutsetinfo")
    page = world.web.get("/utxo")
    assert f"{told['txouts']:,}" in page.text
    assert told["hash_serialized_3"] in [attrs.get("data-copy") for _, attrs in page.elements]
    assert not page.all("form", action="/utxo"), "they are of this tip"


def test_rules_and_peers(world: World) -> None:
    rules = world.web.get("/rules")
    for name in world.node.call("getdeploymentinfo")["deployments"]:
        assert name in rules.text
    assert "Nobody is connected" in world.web.get("/peers").text


def test_without_the_script_index(world: World) -> None:
    script = world.wallet.script_pubkey.hex()
    page = world.web.get(f"/script/{script}")
    assert "-scriptindex" in page.text and "P2WSH" in page.text
    address = world.node.call("decodescript", script)["address"]
    page = world.web.get(f"/address/{address}")
    assert address in page.text and "P2WSH" in page.text
    page = world.web.get("/address/1BoatSLRHtKNngkdXEeobR76b53LETtpyT", 404)
    assert "no address of regtest" in page.text
    world.web.get("/script/zz", 404)
    world.web.get("/script/" + "00" * 10_001, 404)


def test_search(world: World) -> None:
    def found(query: str) -> str:
        answer = world.web.get(f"/search?q={query}", 302, follow=False)
        return answer.headers["Location"]

    block_hash = world.node.call("getblockhash", 7)
    txid, script = display(world.confirmed), world.wallet.script_pubkey.hex()
    address = world.node.call("decodescript", script)["address"]
    assert found("7") == f"/block/{block_hash}" == found(block_hash) == found(f"%20{block_hash.upper()}+")
    assert found(txid) == f"/tx/{txid}"
    assert found(f"{txid}:1") == f"/tx/{txid}#output-1"
    assert found(address) == f"/address/{address}" == found(f"bitcoin:{address}?amount=1")
    assert found(script) == f"/script/{script}"
    for query, words in (
        ("", "What are you looking for?"),
        ("99999", "There is no block 99,999 yet"),
        ("ab" * 32, "No block and no transaction has this hash"),
        ("%3Cscript%3Ealert(1)%3C/script%3E", "Nothing like that is known here"),
        ("x" * 5000, "Nothing like that is known here"),
    ):
        assert words in world.web.get(f"/search?q={query}", 404).text
    page = world.web.get("/search?q=%3Cscript%3Ebc1", 404)
    assert page.all("input", id="q", value="<script>bc1"), "who made a slip of the pen mends it there"
    assert ".." not in page.text


def test_addresses_that_are_none(world: World) -> None:
    web = world.web
    for path in (
        "/nothing",
        "/block/xyz",
        f"/block/{'0' * 64}",
        "/tx/12",
        f"/tx/{'f' * 64}",
        "/height/-1",
        "/height/1000000",
        "/static/none.css",
        "/static/..%2f..%2fserver.py",
        "/address/%00",
        "/block/%F0%9F%98%80",
        f"/tx/{display(world.confirmed)}?block=1",
    ):
        page = web.get(path, 404)
        assert page.all("h1"), path
        assert "/" in page.links, path
    assert web.ask("PUT", "/").status == 405
    assert web.ask("POST", "/").status == 405


# Safe


def test_what_others_wrote_is_shown_as_text(world: World) -> None:
    """Coinbase texts and data outputs may hold anything."""
    for path in ("/height/111", f"/tx/{display(world.confirmed)}", "/"):
        page = world.web.get(path)
        assert not any(
            "alert" in (attrs.get("src", "") + attrs.get("onerror", "")) for _, attrs in page.elements
        )
        assert all("onerror" not in attrs for _, attrs in page.elements)
        assert len(page.all("script")) == 1, "ours"
        assert page.all("img", src="x") == []
    for path in ("/height/111", f"/tx/{display(world.confirmed)}"):
        assert "<script>alert('x')</script>" in world.web.get(path).text
    assert f"{len(HOSTILE):c}<script>" not in world.web.get(f"/tx/{display(world.confirmed)}").text


def test_headers(world: World) -> None:
    for path, status in (("/", 200), ("/nothing", 404), ("/search?q=1", 302), ("/static/page.js", 200)):
        headers = world.web.get(path, status, follow=False).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"


def every_page(world: World) -> list[str]:
    return [
        *("/", "/blocks", "/height/111", "/mempool", "/utxo", "/branches", "/peers", "/rules", "/nothing"),
        f"/tx/{display(world.confirmed)}",
        f"/script/{world.wallet.script_pubkey.hex()}",
    ]


def test_nothing_comes_from_elsewhere_or_stands_in_line(world: World) -> None:
    for path in every_page(world):
        page = world.web.get(path, 404 if path == "/nothing" else 200)
        for tag, attrs in page.elements:
            for name in ("src", "href", "action"):
                assert attrs.get(name, "/").startswith(("/", "#")), (path, tag, attrs)
            assert "style" not in attrs and not any(name.startswith("on") for name in attrs), (path, attrs)
        assert all("src" in attrs for attrs in page.all("script"))
        assert not page.all("style")


def test_reads_well_without_eyes(world: World) -> None:
    """Landmarks, one first heading, no level left out, headed tables, labelled fields and pictures."""
    for path in every_page(world):
        page = world.web.get(path, 404 if path == "/nothing" else 200)
        assert page.all("html", lang="en") and page.all("main", id="main") and page.all("a", href="#main")
        levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3")]
        assert levels.count(1) == 1 and levels[0] == 1, path
        assert all(b - a <= 1 for a, b in pairwise(levels)), (path, levels)
        ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
        assert len(ids) == len(set(ids)), path
        for attrs in page.all("th"):
            assert attrs.get("scope") in ("col", "row"), path
        labels = {attrs.get("for") for attrs in page.all("label")}
        assert all(attrs["id"] in labels for attrs in page.all("input") if attrs.get("type") != "hidden")
        for _, attrs in page.elements:
            for name in attrs.get("aria-labelledby", "").split():
                assert name in ids, (path, name)
        for attrs in page.all("nav"):
            assert attrs.get("aria-label"), path


def test_requests_of_other_sites(world: World) -> None:
    """A foreign name for our address gets nothing; a foreign page's form neither."""
    web = world.web
    for host in ("evil.example", f"evil.example:{web.port}", "127.0.0.1.evil.example", "", "[::", "a b"):
        assert web.ask("GET", "/", headers={"Host": host}).status in (400, 421), host
    for host in ("localhost", f"LOCALHOST:{web.port}", "127.0.0.1", "[::1]:80", "10.0.0.7"):
        assert web.ask("GET", "/", headers={"Host": host}).status == 200, host
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{web.port + 1}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert web.post("/utxo", {}, **headers).status == 403, headers


# Live


def test_the_stream_tells_of_blocks_and_transactions(world: World) -> None:
    with world.web.events() as events:
        assert next(events) == ("tip", _tip_event(world))
        kind, before = next(events)
        assert kind == "mempool"
        txid = world.send(world.wallet.spend(world.wallet.take(112), fee=700))
        kind, told = next(events)
        assert (kind, told["txids"], told["size"]) == ("mempool", [txid], before["size"] + 1)
        (block_hash,) = world.node.call("generatetodescriptor", 1, f"raw({world.wallet.script_pubkey.hex()})")
        told = _until(events, "tip")
        assert told["hash"] == block_hash == world.tip()["hash"]


def _tip_event(world: World) -> dict[str, Any]:
    tip = world.tip()
    return {"height": tip["height"], "hash": tip["hash"], "time": tip["time"], "txs": tip["nTx"]}


def _until(events: Iterator[tuple[str, Any]], kind: str) -> Any:
    return next(data for name, data in events if name == kind)


def test_too_many_who_watch(world: World) -> None:
    """A hundred may; others are told so, and pages come all the while. Who goes away makes room at once."""
    for _ in range(2):
        with ExitStack() as stack:
            opened = 0
            while opened <= 100:
                try:
                    next(stack.enter_context(world.web.events()))
                except TooMany as answer:
                    assert "Too many are watching" in str(answer)
                    break
                opened += 1
            assert 80 < opened <= 100, "streams of a moment ago may not have ended yet"
            world.web.get("/")


# The option


def test_where_it_listens(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with running(tmp_path, "-disablewallet", "-web=0", "-webbind=::1", "-webhost=node.example") as node:
        port = node.ports["web"]
        assert f"Explorer listens on http://[::1]:{port}/" in node.log
        code, message = run_to_end(tmp_path / "other", f"-web={port}", "-webbind=::1", "-disablewallet")
        assert code == 1 and f"Unable to bind the explorer to ::1 port {port}" in message


def test_a_node_without_indexes_finds_by_block_and_by_coin(tmp_path: Path) -> None:
    with running(tmp_path, "-web=0", "-disablewallet", "-webhost=node.example") as node:
        web = WebClient(node.ports["web"])
        assert web.ask("GET", "/", headers={"Host": "Node.Example"}).status == 200
        wallet = MiniWallet()
        (first,) = node.call("generatetodescriptor", 1, f"raw({wallet.script_pubkey.hex()})")
        node.call("generatetodescriptor", 100, "raw(51)")
        block = Block.decode(bytes.fromhex(node.call("getblock", first, 0)))
        wallet.scan_block(block, 1)
        coinbase = display(block.vtx[0])
        assert "unspent" in web.get(f"/tx/{coinbase}").text, "known by its coin"
        tx = wallet.spend(wallet.take(101), outputs=[], change=1)
        node.call("generateblock", "raw(51)", [tx.raw.hex()])
        hint = web.get(f"/tx/{coinbase}", 404)
        assert "without -txindex" in hint.text
        (link,) = [link for link in web.get(f"/block/{first}").links if link.startswith("/tx/")]
        assert link == f"/tx/{coinbase}?block={first}"
        page = web.get(link)
        assert "102 confirmations" in page.text and "spent" in page.text


def test_the_history_of_a_script_follows_the_chain(tmp_path: Path) -> None:
    with running(tmp_path, "-web=0", "-disablewallet", "-scriptindex", "-txindex") as node:
        web, wallet = WebClient(node.ports["web"]), MiniWallet()
        ours = f"raw({wallet.script_pubkey.hex()})"
        hashes = node.call("generatetodescriptor", 30, ours)
        node.call("generatetodescriptor", 100, "raw(51)")
        path = f"/script/{wallet.script_pubkey.hex()}"
        page = web.get(path)
        assert "Page 1 of 2" in page.text and "1,500.00 000000 BTC" in page.text
        wallet.scan_block(Block.decode(bytes.fromhex(node.call("getblock", hashes[0], 0))), 1)
        tx = wallet.spend(wallet.take(130), change=1, fee=1000)
        node.call("sendrawtransaction", tx.raw.hex())
        page = web.get(path)
        assert "Paid, not confirmed yet" in page.text and f"/tx/{display(tx)}#output-0" in page.links
        (block_hash,) = node.call("generatetodescriptor", 1, "raw(51)")
        page = web.get(path)
        assert "Paid, not confirmed yet" not in page.text and "1,499.99999 000 BTC" in page.text
        assert f"/tx/{display(tx)}" in web.get(f"{path}?page=2").links, "who spent the first"
        web.get(f"{path}?page=3", 404)
        node.call("invalidateblock", block_hash)
        page = web.get(path)
        assert "Paid, not confirmed yet" in page.text and "1,500.00 000000 BTC" in page.text
        assert "No block has paid to this" in web.get("/script/52").text


def test_an_spv_node_shows_headers(tmp_path: Path) -> None:
    with running(tmp_path, "-web=0", "-role=spv") as node:
        web = WebClient(node.ports["web"])
        assert "Newest header" in web.get("/").text
        page = web.get(f"/block/{PARAMS.genesis.hash[::-1].hex()}")
        assert "keeps no bodies of blocks" in page.text
        for path in ("/mempool", "/utxo", f"/tx/{'0' * 64}", "/script/51"):
            assert "keeps headers only" in web.get(path, 404).text
        for path in ("/blocks", "/branches", "/peers", "/rules"):
            web.get(path)
        with web.events() as events:
            assert next(events)[0] == "tip"


def test_a_stop_ends_the_streams(tmp_path: Path) -> None:
    with running(tmp_path, "-web=0", "-disablewallet") as node:
        web = WebClient(node.ports["web"])
        with web.events() as events:
            next(events)
            code, seconds = node.stop()
            assert (code, node.stderr) == (0, "")
            assert seconds < 2
            assert [name for name, _ in events if name == "tip"] == []
