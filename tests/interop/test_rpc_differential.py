"""Our daemon and Bitcoin Core's, side by side: every method's answers are the same to the letter.

Both get the same time, mine the same blocks and take the same transactions; then answers, errors and help
texts are compared. rpc_pair.DIFFERENT names what may differ. All tests share the two daemons, each goes on
where the one before ended; a test alone works too.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from mini_wallet import Kind, MiniWallet
from rpc_pair import Pair

from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import Transaction, TxOut

pytestmark = pytest.mark.interop

START = 1_700_000_000
ADDRESS = "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202"
PUBKEY = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
XPUB = (
    "tpubD6NzVbkrYhZ4WaWSyoBvQwbpLkojyoTZPRsgXELWz3Popb3qkjcJyJUGLnL4qH"
    "HoQvao8ESaAstxYSnhyswJ76uZPStJRJCTKvosUCJZL5B"
)
OWN = f"raw(0020{sha256(bytes([0x51])).hexdigest()})"
"""What MiniWallet spends."""
NOBODY = "ab" * 32
WIF = "cVpF924EspNh8KjYsfhgY96mmxvT6DgdWiTYMtMjuM74hJaU5psW"


class Story:
    """A chain of 113 blocks and four transactions in the mempool: a parent and its child, and two more."""

    def __init__(self, pair: Pair) -> None:
        self.pair, self.now = pair, START
        pair.same("setmocktime", START)
        pair.same("generatetoaddress", 3, ADDRESS)
        pair.same("generatetodescriptor", 110, OWN)
        self.hashes: list[str] = [pair.same("getblockhash", height) for height in range(114)]
        pair.check()
        self.wallet = MiniWallet(Kind.P2WSH_TRUE)
        for height, block_hash in enumerate(self.hashes):
            self.wallet.scan_block(self.block(block_hash), height)
        self.wait(1000)
        self.txs: list[Transaction] = []
        parent = self.send(feerate=5000, change=3)
        self.wallet.utxos = [u for u in self.wallet.utxos if u.outpoint.txid == parent.txid] + [
            u for u in self.wallet.utxos if u.outpoint.txid != parent.txid
        ]
        self.send(confirmed=False)
        self.send(feerate=100)
        witness_v1 = b"\x51\x20" + bytes(31) + b"\x01"
        outputs = [
            TxOut(0, b"\x6a\x04abcd"),
            TxOut(100_000, b"\x00\x14" + bytes(20)),
            TxOut(3000, witness_v1),
        ]
        self.send(feerate=20_000, outputs=outputs)
        pair.check()

    @property
    def txids(self) -> list[str]:
        return [hash_hex(tx.txid) for tx in self.txs]

    def block(self, block_hash: str) -> Block:
        return Block.decode(bytes.fromhex(self.pair.core.call("getblock", block_hash, 0)))

    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.pair.same("setmocktime", self.now)

    def send(self, *, confirmed: bool = True, **how: Any) -> Transaction:
        tx = self.wallet.spend(self.wallet.take(113, confirmed=confirmed), **how)
        self.wallet.scan_tx(tx)
        assert self.pair.same("sendrawtransaction", tx.raw.hex()) == hash_hex(tx.txid)
        self.txs.append(tx)
        return tx

    def spare(self, **how: Any) -> Transaction:
        """A spend of an output that stays ours."""
        utxo = self.wallet.take(113)
        self.wallet.utxos.insert(0, utxo)
        return self.wallet.spend(utxo, **how)

    def look_at_chain(self) -> None:
        same = self.pair.same
        names = "getblockcount getbestblockhash getblockchaininfo getchaintips getdifficulty getmininginfo"
        names += (
            " getdeploymentinfo getchaintxstats getnetworkhashps gettxoutsetinfo getprioritisedtransactions"
        )
        for name in names.split():
            same(name)
        same("gettxoutsetinfo", "muhash")

    def look_at_mempool(self) -> None:
        same = self.pair.same
        self.pair.all_same([("getrawmempool",), ("getrawmempool", True), ("getrawmempool", False, True)])
        self.pair.all_same([("getmempoolinfo",), ("getmininginfo",), ("getorphantxs", 2)])
        for txid in self.txids:
            for name in (
                "getmempoolentry",
                "getmempoolancestors",
                "getmempooldescendants",
                "getmempoolcluster",
            ):
                same(name, txid)
            same("getmempoolancestors", txid, True)
            same("getmempooldescendants", txid, True)
            for verbosity in (0, 1, 2, True, False, None):
                same("getrawtransaction", txid, verbosity)
            for number in (0, 1, 2, 5):
                same("gettxout", txid, number)
                same("gettxout", txid, number, False)
        first = self.txs[0].vin[0].prevout
        spent = [{"txid": hash_hex(first.txid), "vout": first.vout}, {"txid": self.txids[0], "vout": 0}]
        same("gettxspendingprevout", spent)
        same("gettxspendingprevout", spent[:1], {"mempool_only": False, "return_spending_tx": True})
        same("testmempoolaccept", [self.txs[0].raw.hex()])
        same("getblocktemplate", {"rules": ["segwit"]})


@pytest.fixture(scope="module")
def pair(bitcoind: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    both = Pair(bitcoind, tmp_path_factory.mktemp("pair"), "-txindex", "-blockfilterindex", "-rpcdoccheck")
    yield both
    both.close()


@pytest.fixture(scope="module")
def story(pair: Pair) -> Story:
    return Story(pair)


def test_blocks_byte_for_byte(pair: Pair, story: Story) -> None:
    """What both mined by themselves is the same block each time, and is shown in the same way."""
    for height, block_hash in enumerate(story.hashes):
        pair.same("getblock", block_hash, 0)
        if height in (0, 1, 16, 17, 113):
            for verbosity in (1, 2, 3):
                pair.same("getblock", block_hash, verbosity)
            pair.same("getblockheader", block_hash)
            pair.same("getblockheader", block_hash, False)
            pair.same("getblockfilter", block_hash)
    story.look_at_chain()
    pair.check()


def test_mempool_and_priorities(pair: Pair, story: Story) -> None:
    story.look_at_mempool()
    txids = story.txids
    for arguments in ((txids[2], 0, 100_000), (txids[1], None, -7), (NOBODY, 0.0, 5), (txids[1], 1, 5)):
        pair.same("prioritisetransaction", *arguments)
    story.look_at_mempool()
    pair.check()


def test_sending(pair: Pair, story: Story) -> None:
    for tx in story.txs:
        pair.same("sendrawtransaction", tx.raw.hex())
        pair.same("sendrawtransaction", tx.stripped.hex())
        pair.same("sendrawtransaction", tx.raw.hex(), 0.00001)
    free, dear = story.spare(fee=0), story.spare(fee=10**9)
    burning = story.spare(outputs=[TxOut(1000, b"\x6a")])
    for tx in (free, dear, burning):
        pair.same("sendrawtransaction", tx.raw.hex())
        pair.same("testmempoolaccept", [tx.raw.hex()])
    pair.same("testmempoolaccept", [dear.raw.hex()], 0)
    pair.same("sendrawtransaction", "00")
    pair.same("submitpackage", [free.raw.hex()])
    pair.same("submitpackage", [story.txs[0].raw.hex(), story.txs[1].raw.hex()])
    for tx in story.txs:
        for witness in (None, True, False):
            pair.same("decoderawtransaction", tx.raw.hex(), witness)
            pair.same("decoderawtransaction", tx.stripped.hex(), witness)
    pair.check()


DESCRIPTORS = (
    f"pk({PUBKEY})",
    f"pkh({PUBKEY})",
    f"wpkh({PUBKEY})",
    f"sh(wpkh({PUBKEY}))",
    f"combo({PUBKEY})",
    f"tr({PUBKEY})",
    f"tr({PUBKEY[2:]})",
    f"rawtr({PUBKEY[2:]})",
    f"wsh(multi(1,{PUBKEY}))",
    f"addr({ADDRESS})",
    "raw(51)",
    "raw(51)#8lvh9jxk",
    "raw(51)#00000000",
    "foo(1)",
    f"pkh({XPUB}/1/2)",
    f"pkh({XPUB}/1/*)",
    f"pkh({XPUB}/<1;2>/2)",
    f"pkh({XPUB}/1')",
    f"pkh([00000000/1h]{XPUB}/1)",
    f"pkh({WIF})",
    "",
)


def test_descriptors_and_addresses(pair: Pair, story: Story) -> None:
    for text in DESCRIPTORS:
        pair.same("generatetodescriptor", 0, text)
        pair.same("deriveaddresses", text)
        info = pair.same("getdescriptorinfo", text)
        if info is not None:
            pair.same("deriveaddresses", f"{text.split('#')[0]}#{info['checksum']}")
            pair.same("deriveaddresses", f"{text.split('#')[0]}#{info['checksum']}", [1, 2])
    for address in (
        ADDRESS,
        ADDRESS.upper(),
        ADDRESS[:-1] + "3",
        "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
        "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
        "2N7MTZSQm3n2XrdsYLHXoFQpJSp6ZVrUf7e",
        "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6",
        "bcrt1pfees9rn5nz",
        "x",
        "",
    ):
        pair.same("validateaddress", address)
    for script in (
        *("", "0", "zz", "51", "6a", "6a026162", "51024e73", "52204e73", f"21{PUBKEY}ac"),
        *("0014" + "00" * 20, "0020" + "00" * 32, "5120" + "11" * 32, "a914" + "33" * 20 + "87"),
        *("76a914" + "22" * 20 + "88ac", f"5121{PUBKEY}51ae", "5121" + "02" + "79" * 32 + "51ae"),
    ):
        pair.same("decodescript", script)
    pair.check()


def test_making_and_signing(pair: Pair, story: Story) -> None:
    txid = story.txids[0]
    spent = {"txid": txid, "vout": 0}
    for arguments in (
        ([spent], {ADDRESS: 0.1}),
        ([spent | {"sequence": 5}], [{ADDRESS: "0.1"}, {"data": "00ff"}], 7, False, 3),
        ([{"txid": txid, "vout": -1}], []),
        ([{"txid": txid}], []),
        ([{"txid": "x", "vout": 1}], []),
        ([], [{ADDRESS: -1}]),
        ([], [{"x": 1}]),
        ([], [{ADDRESS: 1}, {ADDRESS: 2}]),
        ([], [{"data": "x"}]),
        ([], [{"data": ""}]),
        ([], [{ADDRESS: 1, "data": "00"}]),
        ([], [], -1),
        ([], [], 0, True, 9),
        ([spent | {"sequence": 4294967295}], [], 0, True),
    ):
        pair.same("createrawtransaction", *arguments)
    raw = pair.core.call("createrawtransaction", [spent], {ADDRESS: 0.1})
    coin = spent | {"scriptPubKey": "76a914" + "22" * 20 + "88ac", "amount": 1}
    pair.same("signrawtransactionwithkey", raw, [WIF])
    pair.same("signrawtransactionwithkey", raw, [WIF], [coin])
    pair.same("signrawtransactionwithkey", raw, ["x"])
    pair.same("signrawtransactionwithkey", raw, [], [], "BOGUS")
    pair.check()


def test_generating(pair: Pair, story: Story) -> None:
    txids = story.txids
    for arguments in (
        (ADDRESS, [txids[3]], False),
        (ADDRESS, [txids[1]]),
        (ADDRESS, [txids[0], txids[1]], False),
        (ADDRESS, ["zz"]),
        (ADDRESS, [NOBODY]),
        (ADDRESS, [story.spare(fee=0).raw.hex()], False),
        ("x", []),
    ):
        pair.same("generateblock", *arguments)
    for text in DESCRIPTORS:
        pair.same("generateblock", text, [], False)
    for blocks in ((1, ADDRESS, 0), (0, ADDRESS), (-1, ADDRESS), (1, "nope")):
        pair.same("generatetoaddress", *blocks)
    pair.same("generatetodescriptor", 1, "raw(51)", -1)
    pair.same("generate")
    pair.check()


def test_templates_proposals_and_submitted_blocks(pair: Pair, story: Story) -> None:
    for request in (
        {},
        {"mode": "x"},
        {"mode": 1},
        {"mode": "proposal"},
        {"mode": "proposal", "data": "00"},
        {"rules": [1]},
        {"rules": ["signet"]},
        {"rules": ["segwit"], "longpollid": "ab"},
    ):
        pair.same("getblocktemplate", request)
    good = pair.same("generateblock", ADDRESS, [story.txids[3]], False)["hex"]
    for position in (5, 10, 40, 70, 85, -1, -5, -40):  # version, previous block, root, time, ... locktime
        damaged = bytearray.fromhex(good)
        damaged[position] ^= 1
        _submit(pair, damaged.hex())
    _submit(pair, good[:200])
    pair.same("submitheader", good[:160])
    pair.same("getchaintips")
    block_hash = hash_hex(Block.decode(bytes.fromhex(good)).hash)
    pair.same("getblock", block_hash)
    pair.same("getblockheader", block_hash)
    pair.same("submitblock", good + "00")
    _submit(pair, good)
    assert pair.core.call("getbestblockhash") == block_hash
    pair.same("invalidateblock", block_hash)
    _submit(pair, good)
    story.look_at_chain()
    story.look_at_mempool()
    pair.same("reconsiderblock", block_hash)
    story.look_at_chain()
    story.look_at_mempool()
    pair.check()


def _submit(pair: Pair, block: str) -> None:
    pair.same("getblocktemplate", {"mode": "proposal", "data": block})
    pair.same("submitblock", block)
    pair.same("submitheader", block[:160])


def test_confirmation_and_reorganisation(pair: Pair, story: Story) -> None:
    story.wait(1000)
    mined = pair.same("generatetoaddress", 2, ADDRESS)
    for block_hash in mined:
        for verbosity in (0, 1, 2, 3):
            pair.same("getblock", block_hash, verbosity)
        pair.same("getblockfilter", block_hash)
    txids = [txid for txid in story.txids if txid in pair.core.call("getblock", mined[0])["tx"]]
    for arguments in (
        *(([txid],) for txid in story.txids),
        (txids, mined[0]),
        (txids, mined[1]),
        ([txids[0], txids[0]],),
        ([NOBODY],),
        ([],),
    ):
        proof = pair.same("gettxoutproof", *arguments)
        if proof:
            for text in (proof, proof + "00", proof[:-2], proof[:170] + "00" * 10, proof[2:]):
                pair.same("verifytxoutproof", text)
    pair.same("scantxoutset", "start", [f"addr({ADDRESS})", "raw(51)"])
    pair.same("scantxoutset", "start", [{"desc": OWN, "range": 3}])
    story.look_at_mempool()
    for block in (0, 1, 17, *mined, story.hashes[3], -1, 5000, "x", NOBODY):
        pair.same("getblockstats", block)
    pair.same("getblockstats", mined[0], ["minfee", "avgfeerate", "feerate_percentiles", "minfee"])
    pair.same("getblockstats", mined[0], ["minfee", "bogus"])
    pair.same("getchainstates")
    pair.same("pruneblockchain", 1)
    pair.same("invalidateblock", mined[0])
    story.look_at_chain()
    story.look_at_mempool()
    story.wait(1000)
    pair.same("generatetodescriptor", 3, "raw(51)")
    pair.same("reconsiderblock", mined[0])
    story.look_at_chain()
    story.look_at_mempool()
    for height in (0, 1, 100, 114, 5000):
        pair.same("getnetworkhashps", 5, height)
    pair.all_same([("getchaintxstats", 3, mined[1]), ("getchaintxstats", 3, story.hashes[50])])
    pair.all_same([("getindexinfo",), ("getindexinfo", "txindex"), ("verifychain",), ("verifychain", 4, 0)])
    pair.same("getdeploymentinfo", story.hashes[5])
    pair.check()


def test_network(pair: Pair, story: Story) -> None:
    for name in [
        "getnetworkinfo",
        "getpeerinfo",
        "getconnectioncount",
        "getnettotals",
        "getaddednodeinfo",
        "ping",
    ]:
        pair.same(name)
    pair.all_same(
        [
            ("addnode", "127.0.0.9:1", "add"),
            ("addnode", "127.0.0.9:1", "add"),
            ("addnode", "127.0.0.9", "add"),
            ("addnode", "127.0.0.9:18444", "add"),
            ("getaddednodeinfo",),
            ("getaddednodeinfo", "127.0.0.9"),
            ("getaddednodeinfo", "x"),
            ("addnode", "127.0.0.9:1", "remove"),
            ("addnode", "127.0.0.9:1", "remove"),
            ("addnode", "127.0.0.9", "remove"),
            ("addnode", "a", "bogus"),
            ("addnode", "127.0.0.1:1", "onetry"),
            ("disconnectnode", "127.0.0.9"),
            ("disconnectnode",),
            ("disconnectnode", "", 5),
            ("disconnectnode", "x", 5),
            ("addconnection", "127.0.0.1:1", "bogus", False),
            ("addconnection", "127.0.0.1:1", " feeler ", False),
            ("setnetworkactive", False),
            ("getnetworkinfo",),
            ("setnetworkactive", True),
            ("sendmsgtopeer", 0, "addr", "ff"),
            ("sendmsgtopeer", 0, "a" * 13, "ff"),
            ("getblockfrompeer", NOBODY, 0),
            ("getblockfrompeer", story.hashes[-1], 0),
        ]
    )
    pair.check()


def test_bans_and_addresses(pair: Pair, story: Story) -> None:
    end = START + 90_000
    for subnet, *how in (
        ("1.2.3.4", "add"),
        ("1.2.3.4", "add"),
        ("1.2.3.0/24", "add", 100),
        ("1.2.3.0/255.255.0.0", "add", end, True),
        ("1.2.3.4/33", "add"),
        ("x", "add"),
        ("2001:db8::/32", "add", 5),
        ("::1", "add", 5, True),
        ("1.2.3.4", "bogus"),
        ("9.9.9.9", "remove"),
    ):
        pair.same("setban", subnet, *how)
    pair.same("listbanned")
    pair.same("setban", "1.2.3.4", "remove")
    pair.same("listbanned")
    pair.same("clearbanned")
    pair.same("listbanned")
    for address in (
        ("1.2.3.4", 8333),
        ("1.2.3.4", 8333),
        ("x", 1),
        ("1.2.3.5", 83330),
        ("1.2.3.5", 8333, True),
    ):
        pair.same("addpeeraddress", *address)
    pair.all_same([("addpeeraddress", "127.0.0.1", 1), ("addpeeraddress", "", 1), ("getaddrmaninfo",)])
    pair.all_same([("getnodeaddresses", -1), ("getnodeaddresses", 0, "onion"), ("getnodeaddresses", 0, "x")])
    pair.check()


def test_control_and_waiting(pair: Pair, story: Story) -> None:
    tip = pair.core.call("getbestblockhash")
    pair.all_same(
        [
            ("uptime", 1),
            ("getrpcinfo",),
            ("getmemoryinfo",),
            ("getmemoryinfo", "x"),
            ("logging",),
            ("logging", ["bogus"]),
            ("echo", 1, "x", [1]),
            ("echojson", 1, {"a": 2}),
            ("help", "bogus"),
            ("bogus",),
            ("setmocktime", -1),
            ("setmocktime", 2**63 - 1),
            ("mockscheduler", 0),
            ("mockscheduler", 3601),
            ("syncwithvalidationinterfacequeue",),
            ("waitfornewblock", 1),
            ("waitforblock", tip, 1),
            ("waitforblock", tip, -1),
            ("waitforblockheight", 5000, 1),
            ("waitforblockheight", 5, 1),
        ]
    )
    pair.check()


def test_help(pair: Pair, story: Story) -> None:
    """Of all methods that both have, except the wallet's."""
    category, names = "", []
    for line in pair.core.call("help").splitlines():
        if line.startswith("=="):
            category = line.strip("= ")
        elif line and category != "Wallet":
            names.append(line.split()[0])
    hidden = "generatetoaddress generatetodescriptor generateblock generate addconnection addpeeraddress"
    hidden += " sendmsgtopeer getrawaddrman setmocktime mockscheduler syncwithvalidationinterfacequeue"
    hidden += " invalidateblock reconsiderblock waitfornewblock echo echojson getorphantxs"
    compared = 0
    for name in names + hidden.split():
        if not pair.ours.call("help", name).startswith("help: unknown command"):
            pair.same("help", name)
            compared += 1
    assert compared > 75
    pair.check()


def test_peerinfo_of_each_other(pair: Pair, story: Story) -> None:
    """Core dials us; both tell the same fields in the same order, and the same of the chain they share."""
    port = pair.daemon.ports["p2p"]
    pair.core.call("addnode", f"127.0.0.1:{port}", "onetry", False)

    def settled() -> list[dict[str, str]]:
        found = [side.call("getpeerinfo") for side in (pair.core, pair.ours)]
        done = all(len(peers) == 1 and "pong" in peers[0]["bytesrecv_per_msg"] for peers in found)
        return [peers[0] for peers in found] if done else []

    core, ours = pair.daemon.until("pings to be answered", settled)
    keys = [[key for key in peer if key not in ("addrlocal", "pingwait")] for peer in (core, ours)]
    assert keys[0] == keys[1]
    assert [core["inbound"], ours["inbound"]] == [False, True]
    for key in ("relaytxes", "timeoffset", "bip152_hb_to", "presynced_headers", "minfeefilter", "network"):
        assert core[key] == ours[key], key
    assert {type(value) for value in core.values()} >= {type(value) for value in ours.values()}
    pair.core.call("disconnectnode", f"127.0.0.1:{port}")
    pair.daemon.until("Core to be gone", lambda: pair.ours.call("getpeerinfo") == [])
