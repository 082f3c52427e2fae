"""Requests that are wrong, blocks and transactions that break rules, through RPC: Core's answers, and the
node goes on. Where BITCOIND is set, Bitcoin Core's daemon confirms every case."""

from __future__ import annotations

import json
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest
from both_nodes import BOTH, daemon_with_chain
from invalid_blocks import INVALID_BLOCKS, InvalidBlock
from invalid_transactions import INVALID_TRANSACTIONS, InvalidTransaction
from node_process import Daemon
from refused_transactions import REFUSED, Stage
from scene import make_scene

from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import Transaction


@pytest.fixture(scope="module", params=BOTH)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp(request.param)
    with daemon_with_chain(request.param, folder, make_scene(), "-debug=validation") as running:
        yield running
        assert running.call("getbestblockhash") == hash_hex(make_scene().tip.hash)


# --- requests


def request(
    node: Daemon,
    body: bytes,
    *,
    method: str = "POST",
    path: str = "/",
    auth: bytes | None = None,
    headers: str = "",
    length: int | None = None,
) -> tuple[int, Any]:
    """Status and answer (JSON where it is) of a request, byte by byte as given. auth: instead of the cookie;
    length: claimed instead of the true one."""
    if auth is None:
        auth = (node.net_dir / ".cookie").read_bytes()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}"
    if auth:
        head += f"Authorization: Basic {b64encode(auth).decode()}\r\n"
    head += f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", node.ports["rpc"]), timeout=20) as connection:
        with suppress(OSError):  # it may hang up before it has all
            connection.sendall(head.encode() + body)
        answer = b""
        with suppress(ConnectionResetError):
            while data := connection.recv(1 << 16):
                answer += data
    if not answer:
        return 0, None
    head_end = answer.index(b"\r\n\r\n") + 4
    try:
        content = json.loads(answer[head_end:])
    except ValueError:
        content = answer[head_end:]
    return int(answer.split(b" ", 2)[1]), content


@dataclass(frozen=True)
class BadRequest:
    body: bytes
    status: int
    code: int
    message: str


def wrong_type(name: str, found: str, wanted: str) -> str:
    told = f"JSON value of type {found} is not of expected type {wanted}"
    return f'Wrong type passed:\n{{\n    "Position 1 ({name})": "{told}"\n}}'


PARSE_ERROR = (500, -32700, "Parse error")
BAD_REQUESTS = {
    "nothing": BadRequest(b"", *PARSE_ERROR),
    "no JSON": BadRequest(b"hello", *PARSE_ERROR),
    "half of it": BadRequest(b'{"method": "getblockcount"', *PARSE_ERROR),
    "more behind": BadRequest(b'{"method": "getblockcount"} x', *PARSE_ERROR),
    "no UTF-8": BadRequest(b'{"method": "\xff\xfe"}', *PARSE_ERROR),
    "no number": BadRequest(b'{"method": "getblockhash", "params": [NaN]}', *PARSE_ERROR),
    "infinity": BadRequest(b'{"method": "getblockhash", "params": [Infinity]}', *PARSE_ERROR),
    "number with a zero in front": BadRequest(b'{"method": "getblockhash", "params": [01]}', *PARSE_ERROR),
    "deep": BadRequest(b"[" * 100_000 + b"]" * 100_000, *PARSE_ERROR),
    "deep object": BadRequest(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, *PARSE_ERROR),
    "deeper than 512": BadRequest(
        b'{"method": "getblockcount", "params": ' + b"[" * 512 + b"]" * 512 + b"}", *PARSE_ERROR
    ),
    "a word": BadRequest(b'"getblockcount"', 500, -32700, "Top-level object parse error"),
    "a number": BadRequest(b"17", 500, -32700, "Top-level object parse error"),
    "null": BadRequest(b"null", 500, -32700, "Top-level object parse error"),
    "no method": BadRequest(b"{}", 400, -32600, "Missing method"),
    "method a number": BadRequest(b'{"method": 1}', 400, -32600, "Method must be a string"),
    "params a word": BadRequest(
        b'{"method": "getblockcount", "params": "x"}', 400, -32600, "Params must be an array or object"
    ),
    "version 3": BadRequest(
        b'{"jsonrpc": "3.0", "method": "getblockcount"}', 400, -32600, "JSON-RPC version not supported"
    ),
    "version a number": BadRequest(
        b'{"jsonrpc": 2.0, "method": "getblockcount"}', 400, -32600, "jsonrpc field must be a string"
    ),
    "unknown method": BadRequest(b'{"method": "nothing"}', 404, -32601, "Method not found"),
    "unknown name": BadRequest(
        b'{"method": "getblockhash", "params": {"depth": 1}}', 500, -8, "Unknown named parameter depth"
    ),
    "name twice": BadRequest(
        b'{"method": "getblockhash", "params": {"height": 1, "height": 2}}',
        500,
        -8,
        "Parameter height specified multiple times",
    ),
    "wrong type": BadRequest(
        b'{"method": "getblockhash", "params": ["1"]}',
        500,
        -3,
        wrong_type("height", "string", "number"),
    ),
    "null for a number": BadRequest(
        b'{"method": "getblockhash", "params": [null]}',
        500,
        -3,
        wrong_type("height", "null", "number"),
    ),
    "fraction for an integer": BadRequest(
        b'{"method": "getblockhash", "params": [1.5]}', 500, -1, "JSON integer out of range"
    ),
    "integer too large": BadRequest(
        b'{"method": "getblockhash", "params": [99999999999999999999]}', 500, -1, "JSON integer out of range"
    ),
    "integer of 10,000 digits": BadRequest(
        b'{"method": "getblockhash", "params": [' + b"9" * 10_000 + b"]}",
        500,
        -1,
        "JSON integer out of range",
    ),
    "exponent": BadRequest(
        b'{"method": "getblockhash", "params": [1e999999999]}', 500, -1, "JSON integer out of range"
    ),
    "height too large": BadRequest(
        b'{"method": "getblockhash", "params": [131]}', 500, -8, "Block height out of range"
    ),
    "height negative": BadRequest(
        b'{"method": "getblockhash", "params": [-1]}', 500, -8, "Block height out of range"
    ),
    "hash too short": BadRequest(
        b'{"method": "getblock", "params": ["00"]}',
        500,
        -8,
        "blockhash must be of length 64 (not 2, for '00')",
    ),
    "hash no hex": BadRequest(
        b'{"method": "getblock", "params": ["' + b"g" * 64 + b'"]}',
        500,
        -8,
        f"blockhash must be hexadecimal string (not '{'g' * 64}')",
    ),
    "block unknown": BadRequest(
        b'{"method": "getblock", "params": ["' + b"1" * 64 + b'"]}', 500, -5, "Block not found"
    ),
    "transaction no hex": BadRequest(
        b'{"method": "sendrawtransaction", "params": ["zz"]}',
        500,
        -22,
        "TX decode failed. Make sure the tx has at least one input.",
    ),
    "transaction cut off": BadRequest(
        b'{"method": "sendrawtransaction", "params": ["0200000001"]}',
        500,
        -22,
        "TX decode failed. Make sure the tx has at least one input.",
    ),
    "block no hex": BadRequest(
        b'{"method": "submitblock", "params": ["zz"]}', 500, -22, "Block decode failed"
    ),
    "block cut off": BadRequest(
        b'{"method": "submitblock", "params": ["' + b"00" * 80 + b'01"]}', 500, -22, "Block decode failed"
    ),
    "header cut off": BadRequest(
        b'{"method": "submitheader", "params": ["' + b"00" * 79 + b'"]}',
        500,
        -22,
        "Block header decode failed",
    ),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_bad_requests(node: Daemon, name: str) -> None:
    bad = BAD_REQUESTS[name]
    status, answer = request(node, bad.body)
    assert (status, answer["error"]) == (bad.status, {"code": bad.code, "message": bad.message})
    assert answer["result"] is None
    assert node.call("getblockcount") == 130


def test_too_many_arguments_get_the_help(node: Daemon) -> None:
    status, answer = request(node, b'{"method": "getblockcount", "params": [1]}')
    assert status == 500 and answer["error"]["code"] == -1
    assert answer["error"]["message"].startswith("getblockcount\n\nReturns the height of")


def test_without_the_right_password(node: Daemon) -> None:
    body = b'{"method": "getblockcount"}'
    for auth in (b"", b"__cookie__:wrong", b"no colon", b"\xff\xfe:\x00", b":" * 1000):
        assert request(node, body, auth=auth)[0] == 401
    assert request(node, body, auth=b"", headers="Authorization: Bearer x\r\n")[0] == 401
    assert request(node, body, auth=b"", headers="Authorization: Basic ???\r\n")[0] == 401
    assert request(node, body)[0] == 200


def test_other_methods_and_paths(node: Daemon) -> None:
    body = b'{"method": "getblockcount"}'
    assert request(node, b"", method="GET")[0] == 405
    assert request(node, body, path="/nothing")[0] == 404
    assert request(node, body, path="/walletx")[0] == 404
    assert request(node, body, method="PUT")[0] == 405


def test_too_large(node: Daemon) -> None:
    """A body over 32 MiB is refused by what its header says, a head over 8 KiB at once."""
    status, _ = request(node, b"", length=0x02000001)
    assert status in (400, 413)
    status, _ = request(node, b"", headers=f"X: {'x' * 9000}\r\n")
    assert status == 400
    status, _ = request(node, b"[" + b" " * 0x01FFFFF0 + b"]")
    assert status == 200, "as large as may be"


def test_cut_off_requests(node: Daemon) -> None:
    for data in (b"", b"PO", b"POST / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"):
        with socket.create_connection(("127.0.0.1", node.ports["rpc"])) as connection:
            connection.sendall(data)
    assert node.call("getblockcount") == 130


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\xff" * 100 + b"\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"no http at all\r\n\r\n",
    ],
)
def test_no_http(node: Daemon, data: bytes) -> None:
    """An error or the end, and no hanging."""
    with socket.create_connection(("127.0.0.1", node.ports["rpc"]), timeout=20) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        try:
            answer = connection.recv(1 << 16)
        except ConnectionResetError:
            answer = b""
    assert not answer or answer.split(b" ")[1].startswith((b"4", b"5"))
    assert node.call("getblockcount") == 130


def test_batches(node: Daemon) -> None:
    assert request(node, b"[]") == (200, [])
    status, answer = request(node, b'[1, {"method": "getblockcount", "id": 7}, []]')
    assert status == 200
    assert [one["error"] and one["error"]["code"] for one in answer] == [-32600, None, -32600]
    assert answer[1]["result"] == 130


# --- blocks and transactions


@pytest.mark.parametrize(
    "template", [t for t in INVALID_BLOCKS if t.on_wire and t.by_rpc], ids=lambda template: template.name
)
def test_blocks(node: Daemon, template: InvalidBlock) -> None:
    before = len(node.log)
    block = template.build(make_scene())
    assert node.call("submitblock", block.raw.hex()) == template.reason
    text = f"{template.reason}, {template.detail}" if template.detail else template.reason
    assert text in node.log[before:]
    assert node.call("getblockcount") == 130


@pytest.mark.parametrize("template", [t for t in INVALID_TRANSACTIONS if t.on_wire], ids=lambda t: t.name)
def test_transactions(node: Daemon, template: InvalidTransaction) -> None:
    tx = template.build(make_scene())
    (told,) = node.call("testmempoolaccept", [tx.raw.hex()])
    assert told["allowed"] is False and told["reject-reason"] == template.in_mempool
    assert told["txid"] == hash_hex(tx.txid) and told["wtxid"] == hash_hex(tx.wtxid)
    code, message = _sent(node, tx)
    if template.in_mempool == "missing-inputs":
        assert (code, message) == (-25, "bad-txns-inputs-missingorspent")
    else:
        assert code == -26 and message.split(", ")[0] == template.in_mempool
    assert node.call("getrawmempool") == []


@pytest.fixture(scope="module", params=BOTH)
def staged(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Daemon, Stage]]:
    stage = Stage()
    scene = SimpleNamespace(now=stage.chain.tip.time + 60, blocks=stage.chain.blocks[1:])
    with daemon_with_chain(request.param, tmp_path_factory.mktemp("staged"), cast(Any, scene)) as node:
        yield node, stage


def test_transactions_against_policy(staged: tuple[Daemon, Stage]) -> None:
    node, stage = staged
    for case in REFUSED:
        before, tx = case.build(stage)
        for parent in before:
            assert node.call("sendrawtransaction", parent.raw.hex(), 0, "21000000") == hash_hex(parent.txid)
        detail = case.detail_for(before, tx)
        reason = f"{case.reason}, {detail}" if detail else case.reason
        (told,) = node.call("testmempoolaccept", [tx.raw.hex()], 0)
        assert (told["allowed"], told["reject-details"]) == (False, reason), case.name
        if case.reason in ("txn-already-in-mempool", "txn-same-nonwitness-data-in-mempool"):
            continue  # to be sent again is no error
        if case.reason == "txn-already-known":
            assert _sent(node, tx) == (-27, "Transaction outputs already in utxo set")
        else:
            assert _sent(node, tx) == (-26, reason), case.name


def _sent(node: Daemon, tx: Transaction) -> tuple[int, str]:
    return node.failure("sendrawtransaction", tx.raw.hex(), 0, "21000000")
