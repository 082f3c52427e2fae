"""The mining methods of a real daemon, over real RPC; every answer is checked against its documentation."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from node_process import Daemon

START = 1_700_000_000
ADDRESS = "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202"
OWN = f"raw(0020{sha256(bytes([0x51])).hexdigest()})"
CORE_TIP = "6ce10f0ffb08c0621bcc708efe83233c413d4b1ea3c7ebdaaf125375504bd623"
"""What Bitcoin Core 31.99 mines at this time: three blocks to ADDRESS, then 110 to OWN."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("mining"), "-connect=0", "-rpcdoccheck") as daemon:
        yield daemon.wait_ready()
        daemon.stop_well()


def generate(node: Daemon, count: int) -> list[str]:
    hashes: list[str] = node.call("generatetoaddress", count, ADDRESS)
    return hashes


def test_blocks_are_those_of_core(node: Daemon) -> None:
    node.call("setmocktime", START)
    generate(node, 3)
    assert node.call("generatetodescriptor", 110, OWN)[-1] == CORE_TIP
    assert node.call("getblockcount") == 113


def test_hundred_blocks_take_well_under_a_second(node: Daemon) -> None:
    began = time.perf_counter()
    generate(node, 101)
    assert time.perf_counter() - began < 1.5  # 0.1 s when nobody else uses the machine


def test_tries_run_out(node: Daemon) -> None:
    assert node.call("generatetoaddress", 5, ADDRESS, 0) == []
    height = node.call("getblockcount")
    mined = node.call("generatetoaddress", 1000, ADDRESS, 10)
    assert len(mined) < 25 and node.call("getblockcount") == height + len(mined)


def test_generateblock_without_submitting(node: Daemon) -> None:
    tip = node.call("getbestblockhash")
    made = node.call("generateblock", ADDRESS, [], False)
    assert node.call("getbestblockhash") == tip
    assert node.call("submitblock", made["hex"]) is None
    assert node.call("getbestblockhash") == made["hash"]
    assert node.call("submitblock", made["hex"]) == "duplicate"


def solved(block: bytes) -> str:
    """block with a nonce that meets regtest's target."""
    for nonce in range(1000):
        block = block[:76] + nonce.to_bytes(4, "little") + block[80:]
        if sha256(sha256(block[:80]).digest()).digest()[31] < 0x7F:
            return block.hex()
    raise AssertionError("no nonce found")


def test_what_submitblock_answers(node: Daemon) -> None:
    good = bytes.fromhex(node.call("generateblock", ADDRESS, [], False)["hex"])
    early = good[:68] + (1).to_bytes(4, "little") + good[72:]
    assert node.call("submitblock", solved(early)) == "time-too-old"
    other_root = good[:40] + bytes([good[40] ^ 1]) + good[41:]
    assert node.call("submitblock", solved(other_root)) == "bad-txnmrklroot"
    below = good[:4] + bytes(32) + good[36:]
    assert node.call("submitblock", solved(below)) == "prev-blk-not-found"
    assert node.failure("submitblock", "00") == (-22, "Block decode failed")
    assert node.failure("submitheader", good[:79].hex()) == (-22, "Block header decode failed")
    assert node.failure("submitheader", below[:80].hex())[1].startswith("Must submit previous header (0000")
    assert node.call("submitheader", good[:80].hex()) is None
    assert node.call("getchaintips")[0]["status"] == "headers-only"
    assert node.call("submitblock", good.hex()) is None


def template(node: Daemon, **request: Any) -> Any:
    return node.call("getblocktemplate", {"rules": ["segwit"], **request})


def test_template_becomes_a_block(node: Daemon) -> None:
    given = template(node)
    assert given["previousblockhash"] == node.call("getbestblockhash")
    assert given["height"] == node.call("getblockcount") + 1
    proposed = node.call("generateblock", ADDRESS, [], False)["hex"]
    assert template(node, mode="proposal", data=proposed) is None
    changed = bytearray.fromhex(proposed)
    changed[40] ^= 1
    assert template(node, mode="proposal", data=changed.hex()) == "bad-txnmrklroot"
    node.call("submitblock", proposed)
    assert template(node, mode="proposal", data=proposed) == "duplicate"


def test_long_poll_ends_with_the_next_block(tmp_path: Path, node: Daemon) -> None:
    answers: list[Any] = []
    last = template(node)
    client = Daemon.__new__(Daemon)  # a second connection: the first one is for the new block
    client.ports, client.net_dir, client._client = node.ports, node.net_dir, None
    waiting = threading.Thread(target=lambda: answers.append(template(client, longpollid=last["longpollid"])))
    waiting.start()
    node.until("the long poll to run", lambda: len(node.call("getrpcinfo")["active_commands"]) == 2)
    assert not answers
    (tip,) = generate(node, 1)
    waiting.join(20)
    client._drop_client()
    assert answers[0]["previousblockhash"] == tip


def test_priorities(node: Daemon) -> None:
    txid = "ab" * 32
    assert node.call("prioritisetransaction", txid, None, 1000) is True
    assert node.call("getprioritisedtransactions") == {txid: {"fee_delta": 1000, "in_mempool": False}}
    node.call("prioritisetransaction", txid, fee_delta=-1000)
    assert node.call("getprioritisedtransactions") == {}


def test_mining_info(node: Daemon) -> None:
    template(node)
    info = node.call("getmininginfo")
    assert (info["chain"], info["blocks"]) == ("regtest", node.call("getblockcount"))
    assert info["next"]["height"] == info["blocks"] + 1
    assert (info["currentblockweight"], info["currentblocktx"]) == (8000, 0)
