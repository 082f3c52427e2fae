"""RPC of a real daemon: bad requests leave it running, and it answers while it works."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path

from node_process import Daemon, running


def post(node: Daemon, body: bytes, auth: str | None = None) -> tuple[int, bytes]:
    """HTTP status and body."""
    auth = (node.net_dir / ".cookie").read_text() if auth is None else auth
    request = urllib.request.Request(
        f"http://127.0.0.1:{node.ports['rpc']}/",
        body,
        {"Authorization": "Basic " + b64encode(auth.encode()).decode()},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_bad_requests_leave_the_node_running(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        for body, status, code in (
            (b"no JSON", 500, -32700),
            (b'{"method": 5}', 400, -32600),
            (b'{"method": "nothing"}', 404, -32601),
            (b'{"method": "getblockhash", "params": ["x"]}', 500, -3),
            (b'{"method": "getblockhash", "params": [1e2]}', 500, -1),
            (b'{"method": "getblockhash", "params": [7]}', 500, -8),
            (b'{"method": "getblock", "params": ["00"]}', 500, -8),
            (b'{"method": "sendrawtransaction", "params": ["00"]}', 500, -22),
            (b'{"method": "submitblock", "params": ["zz"]}', 500, -22),
            (b"[" * 5000, 500, -32700),
            (json.dumps({"method": "echo", "params": {"x": "\ud800"}}).encode(), 500, -32700),
        ):
            found, answer = post(node, body)
            assert (found, json.loads(answer)["error"]["code"]) == (status, code), body[:50]
        assert post(node, b"{}", auth="wrong:words")[0] == 401
        assert post(node, b"", auth="")[0] == 401
        assert node.call("getblockcount") == 0


def test_answers_while_blocks_are_loaded(tmp_path: Path, shared: Path) -> None:
    """The longest wait for an answer during a load of 220 blocks with 30,000 signatures."""
    with Daemon(tmp_path, f"-loadblock={shared / 'data' / 'regtest-signatures.dat'}") as node:
        node.wait_ready()
        longest, height = 0.0, -1
        deadline = time.monotonic() + 60
        while height < 220:
            began = time.monotonic()
            height = node.call("getblockcount")
            longest = max(longest, time.monotonic() - began)
            assert began < deadline
            time.sleep(0.01)
        assert longest < 1.0, f"an answer took {longest:.2f} s"
        node.stop_well()


def test_a_stop_while_somebody_waits(tmp_path: Path) -> None:
    """A call that waits for a block ends with the tip when the node stops."""
    with Daemon(tmp_path) as node:
        node.wait_ready()
        answers: list[tuple[int, bytes]] = []
        body = b'{"method": "waitfornewblock"}'
        waiting = threading.Thread(target=lambda: answers.append(post(node, body)))
        waiting.start()
        node.until("the call to run", lambda: len(node.call("getrpcinfo")["active_commands"]) == 2)
        tip = node.call("getbestblockhash")
        code, seconds = node.stop()
        waiting.join(10)
        assert (code, node.stderr) == (0, "") and seconds < 2
        assert answers[0][0] == 200 and json.loads(answers[0][1])["result"]["hash"] == tip
