"""The RPC server over real sockets: HTTP, authentication, JSON-RPC versions, batches, limits."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pybitcoind.node.app import Node
from pybitcoind.node.config import Config
from pybitcoind.node.log import DebugLog
from pybitcoind.node.network_options import network_params
from pybitcoind.node.ports import SystemClock
from pybitcoind.node.rpc.amounts import Json
from pybitcoind.node.rpc.auth import hashed
from pybitcoind.node.rpc.context import RpcContext
from pybitcoind.node.rpc.registry import method


class NoRole:
    """A node without chain: only the server is looked at."""

    def __init__(self, node: Node) -> None:
        self.wait_to_open: asyncio.Event | None = None

    async def open(self, resources: AsyncExitStack) -> None:
        if self.wait_to_open:
            await self.wait_to_open.wait()

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One HTTP connection."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def open(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        return self

    async def ask(
        self, body: bytes, *, auth: str | None = None, headers: str = "", line: str = "POST /"
    ) -> Answer:
        auth = self._server.cookie if auth is None else auth
        authorization = f"Authorization: Basic {b64encode(auth.encode()).decode()}\r\n" if auth else ""
        head = f"{line} HTTP/1.1\r\nHost: x\r\n{authorization}{headers}Content-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        return await self.answer()

    async def answer(self) -> Answer:
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(first.split()[1]), headers, body)

    async def closed(self) -> bool:
        """The server ended the connection."""
        return await asyncio.wait_for(self.reader.read(), 5) == b""

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


class Server:
    """A node with its RPC server, running."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        config = Config()
        config.parse_command_line(
            [f"-datadir={folder}", "-regtest", "-rpcport=0", "-printtoconsole=0", "-debug=rpc", *arguments]
        )
        config.read_files()
        config.net_dir.mkdir()
        config.apply_interactions()
        clock = SystemClock()
        self.log = DebugLog()
        self.log.configure(config)
        self.log.open()
        self.node = Node(config, network_params(config), self.log, clock, NoRole)
        self.role: NoRole = self.node._role  # type: ignore[assignment]
        self._clients: list[Client] = []

    async def __aenter__(self) -> Server:
        self.task = asyncio.create_task(self.node.run())
        await self.until(lambda: self.node.rpc is not None and self.node.rpc.port > 0)
        if self.role.wait_to_open is None:
            await self.until(lambda: self.node.ports_file.exists())
        return self

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not done():
                if self.task.done():
                    raise AssertionError(f"the node ended: {self.node.error}")
                await asyncio.sleep(0.005)

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            await client.close()
        self.node.request_stop()
        await self.task
        self.log.close()

    @property
    def port(self) -> int:
        assert self.node.rpc
        return self.node.rpc.port

    @property
    def cookie(self) -> str:
        return (self.folder / "regtest" / ".cookie").read_text()

    async def client(self) -> Client:
        client = await Client(self).open()
        self._clients.append(client)
        return client

    def log_text(self) -> str:
        return (self.folder / "regtest" / "debug.log").read_text()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with Server(tmp_path) as server:
        yield server


async def ask(server: Server, body: object, **options: Any) -> Answer:
    client = await server.client()
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.ask(data, **options)


async def test_versions_of_json_rpc(server: Server) -> None:
    call = {"method": "echo", "params": [1], "id": 7}
    answer = await ask(server, call)
    assert answer.status == 200 and answer.body == b'{"result":[1],"error":null,"id":7}\n'
    assert answer.headers["content-type"] == "application/json"
    assert (await ask(server, {**call, "jsonrpc": "1.0"})).body == answer.body
    answer = await ask(server, {**call, "jsonrpc": "2.0"})
    assert answer.status == 200 and answer.body == b'{"jsonrpc":"2.0","result":[1],"id":7}\n'
    answer = await ask(server, {"method": "echo"})
    assert answer.body == b'{"result":[],"error":null}\n', "no id, none in the answer"
    for version, message in (
        (2, "jsonrpc field must be a string"),
        ("3.0", "JSON-RPC version not supported"),
    ):
        answer = await ask(server, {"jsonrpc": version, "method": "echo"})
        assert answer.status == 400
        assert answer.json == {"result": None, "error": {"code": -32600, "message": message}}


@pytest.mark.parametrize(
    ("call", "status", "code", "message"),
    [
        ({"method": "nothing"}, 404, -32601, "Method not found"),
        ({"pizza": "sausage"}, 400, -32600, "Missing method"),
        ({"method": 5}, 400, -32600, "Method must be a string"),
        ({"method": "echo", "params": 5}, 400, -32600, "Params must be an array or object"),
        ({"method": "setmocktime", "params": ["x"]}, 500, -3, None),
        ({"method": "setmocktime", "params": [-1]}, 500, -8, None),
        ({"method": "uptime", "params": [1]}, 500, -1, None),
        ({"method": "echo", "params": {"arg9": "trigger_internal_bug"}}, 500, -1, None),
        (5, 500, -32700, "Top-level object parse error"),
        (b"", 500, -32700, "Parse error"),
        (b"this is bad", 500, -32700, "Parse error"),
    ],
)
async def test_failures(server: Server, call: Any, status: int, code: int, message: str | None) -> None:
    answer = await ask(server, call)
    assert (answer.status, answer.json["error"]["code"], answer.json["result"]) == (status, code, None)
    assert message is None or answer.json["error"]["message"] == message
    if isinstance(call, dict) and "method" in call:
        second = await ask(server, {**call, "jsonrpc": "2.0", "id": 1})
        expected = 400 if code == -32600 else 200
        assert second.status == expected, "2.0 has no HTTP errors once the request is understood"


async def test_notifications(server: Server) -> None:
    answer = await ask(server, {"jsonrpc": "2.0", "method": "setmocktime", "params": [1000]})
    assert (answer.status, answer.body) == (204, b"")
    assert server.node.ports.clock.time() == 1000
    assert (await ask(server, {"jsonrpc": "2.0", "method": "nothing"})).status == 204
    assert (await ask(server, {"jsonrpc": "2.0", "id": None, "method": "echo"})).json["result"] == []


async def test_batches(server: Server) -> None:
    good, bad = {"method": "echo", "id": 1}, {"method": "nothing", "id": 2, "jsonrpc": "2.0"}
    answer = await ask(server, [good, bad, {"jsonrpc": "2.0", "method": "echo"}, 5])
    assert answer.status == 200
    assert answer.json[:2] == [
        {"result": [], "error": None, "id": 1},
        {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": 2},
    ]
    assert (await ask(server, [])).json == []
    assert (await ask(server, [{"jsonrpc": "2.0", "method": "echo"}])).status == 204


async def test_wallet_path_reaches_the_context(server: Server) -> None:
    assert (await ask(server, {"method": "echo"}, line="POST /wallet/my%20wallet")).status == 200
    assert (await ask(server, {"method": "echo"}, line="POST /wallet/")).status == 200
    assert (await ask(server, {"method": "echo"}, line="POST /other")).status == 404


async def test_who_may_call(tmp_path: Path) -> None:
    entry = f"-rpcauth=anna:salt${hashed('salt', 'geheim')}"
    async with Server(tmp_path, entry) as server:
        assert (await ask(server, {"method": "echo"}, auth="anna:geheim")).status == 200
        client = await server.client()
        answer = await client.ask(b"", auth="")
        assert answer.status == 401 and answer.headers["www-authenticate"] == 'Basic realm="jsonrpc"'
        began = asyncio.get_running_loop().time()
        for auth in ("anna:falsch", "otto:geheim", "anna"):
            assert (await ask(server, {"method": "echo"}, auth=auth)).status == 401
        assert asyncio.get_running_loop().time() - began >= 0.75, "each wrong password costs 250 ms"
        assert (
            server.log_text().count("[warning] ThreadRPCServer incorrect password attempt from 127.0.0.1:")
            == 3
        )
        assert (tmp_path / "regtest" / ".cookie").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "regtest" / ".cookie").exists()


async def test_user_and_password(tmp_path: Path) -> None:
    async with Server(tmp_path, "-rpcuser=u💻", "-rpcpassword=p🔑") as server:
        assert not (tmp_path / "regtest" / ".cookie").exists()
        assert (await ask(server, {"method": "echo"}, auth="u💻:p🔑")).status == 200
        assert (await ask(server, {"method": "echo"}, auth="u💻:p")).status == 401


async def test_whitelists(tmp_path: Path) -> None:
    users = [f"-rpcauth={name}:salt${hashed('salt', 'x')}" for name in ("a", "b")]
    async with Server(tmp_path, *users, "-rpcwhitelist=a:echo,uptime", "-rpcwhitelist=a:echo") as server:
        assert (await ask(server, {"method": "echo"}, auth="a:x")).status == 200
        assert (await ask(server, {"method": "uptime"}, auth="a:x")).status == 403
        assert (await ask(server, [{"method": "echo"}, {"method": "uptime"}], auth="a:x")).status == 403
        assert (await ask(server, {"method": "echo"}, auth="b:x")).status == 403


@pytest.mark.parametrize(
    "argument",
    ["-rpcauth=", "-rpcauth=foo", "-rpcauth=foo:bar:baz", "-rpcauth=foo$bar$baz", "-rpccookieperms=x"],
)
async def test_bad_credentials_stop_the_start(tmp_path: Path, argument: str) -> None:
    server = Server(tmp_path, argument)
    assert await server.node.run() == 1
    assert server.node.error == "Unable to start HTTP server. See debug log for details."
    server.log.close()


async def test_addresses(tmp_path: Path) -> None:
    async with Server(tmp_path, "-rpcbind=127.0.0.1", "-rpcallowip=10.0.0.0/255.0.0.0") as server:
        assert server.node.rpc
        assert server.node.rpc._is_allowed("10.1.2.3") and server.node.rpc._is_allowed("::ffff:127.0.0.1")
        assert not server.node.rpc._is_allowed("11.1.2.3") and not server.node.rpc._is_allowed("")


async def test_a_bad_address_stops_the_start(tmp_path: Path) -> None:
    server = Server(tmp_path, "-rpcallowip=x")
    assert await server.node.run() == 1
    assert server.node.error is not None
    assert server.node.error.startswith(
        "Invalid -rpcallowip subnet specification: x. Valid values are a single IP"
    )
    server.log.close()


async def test_http_connections(server: Server) -> None:
    client = await server.client()
    assert (await client.ask(b"", line="GET /")).status == 405
    assert (await client.ask(b'{"method": "echo"}')).status == 200, "the connection is kept"
    assert (await client.ask(b'{"method": "echo"}', headers="Connection: close\r\n")).status == 200
    assert await client.closed()
    client = await server.client()
    assert (await client.ask(b"", line="DELETE /")).status == 405
    assert (await client.ask(b"", line=f"GET /{'x' * 7000}")).status == 404
    many = "".join(f"header_{i:04}: foo\r\n" for i in range(483))
    assert (await client.ask(b"", headers=many)).status == 400
    client = await server.client()
    assert (await client.ask(b"", line=f"GET /{'x' * 8192}")).status == 400
    client = await server.client()
    client.writer.write(b"nonsense\r\n\r\n")
    assert (await client.answer()).status == 400


async def test_requests_that_are_too_large(server: Server) -> None:
    client = await server.client()
    client.writer.write(
        f"POST / HTTP/1.1\r\nAuthorization: Basic {b64encode(server.cookie.encode()).decode()}\r\n"
        f"Content-Length: {0x02000000 + 1}\r\n\r\n".encode()
    )
    assert (await client.answer()).status == 413
    assert await client.closed()
    body = b'{"method": "echo", "params": ["' + b"0" * (0x02000000 - 34) + b'"]}'
    assert (await ask(server, body)).status == 200


async def test_requests_in_one_piece_and_in_chunks(server: Server) -> None:
    client = await server.client()
    head = f"POST / HTTP/1.1\r\nAuthorization: Basic {b64encode(server.cookie.encode()).decode()}\r\n"
    one = head + 'Content-Length: 18\r\n\r\n{"method": "echo"}'
    client.writer.write((one + one).encode())
    assert [(await client.answer()).status for _ in range(2)] == [200, 200]
    client.writer.write(
        (head + 'Transfer-Encoding: chunked\r\n\r\n8\r\n{"method\r\na\r\n": "echo"}\r\n0\r\n\r\n').encode()
    )
    assert (await client.answer()).body == b'{"result":[],"error":null}\n'


async def test_idle_connections_are_closed(tmp_path: Path) -> None:
    async with Server(tmp_path, "-rpcservertimeout=1") as server:
        client = await server.client()
        client.writer.write(b"GET /test1 HTTP/1.1\r\nHost: somehost\r\n")
        assert await client.closed()


async def test_queue_depth(tmp_path: Path) -> None:
    async with Server(tmp_path, "-rpcthreads=1", "-rpcworkqueue=1") as server:
        assert server.node.rpc
        server.node.rpc._busy = 2
        answer = await ask(server, {"method": "echo"})
        assert (answer.status, answer.body) == (503, b"Work queue depth exceeded")
        server.node.rpc._busy = 0


async def test_warm_up_and_stop(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.role.wait_to_open = asyncio.Event()
    async with server:
        client = await server.client()
        answer = await client.ask(b'{"method": "nothing"}')
        assert answer.status == 500
        assert answer.json["error"] == {"code": -28, "message": "RPC server started"}
        server.node.status("Loading block index…")
        assert (await client.ask(b'{"method": "echo"}')).json["error"]["message"] == "Loading block index…"
        server.role.wait_to_open.set()
        await server.until(server.node.ports_file.exists)
        assert json.loads(server.node.ports_file.read_text())["rpc"] == server.port
        stopping = asyncio.create_task(client.ask(b'{"method": "stop", "params": {"wait": 200}}'))
        answer = await stopping
        assert answer.json["result"] == "Bitcoin Core stopping"
        assert await server.task == 0
    assert "init message: Done loading" in server.log_text()
    assert server.log_text().endswith("Shutdown done\n")


async def test_a_call_that_outlives_the_stop_is_ended(tmp_path: Path) -> None:
    @method("test", "Waits for ever.")
    async def forever(ctx: RpcContext) -> Json:
        await asyncio.Event().wait()

    async with Server(tmp_path) as server:
        server.node.registry.add(forever)
        call = asyncio.create_task(ask(server, {"method": "forever", "jsonrpc": "2.0", "id": 1}))
        await server.until(lambda: any(name == "forever" for name, _ in server.node.active_commands()))
        began = asyncio.get_running_loop().time()
        server.node.request_stop()
        answer = await call
        assert answer.json["error"] == {"code": -9, "message": "Shutting down"}
        assert await server.task == 0
        assert asyncio.get_running_loop().time() - began < 2


async def test_a_stop_in_the_middle_of_the_start(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.role.wait_to_open = asyncio.Event()
    async with server:
        assert (await ask(server, {"method": "echo"})).status == 500
    assert server.task.result() == 0


async def test_a_failed_task_ends_the_node_in_order(tmp_path: Path) -> None:
    server = Server(tmp_path)

    async def broken() -> None:
        raise ValueError("out of order\nsecond line")

    async with server:
        server.node.spawn("broken", broken())
        assert await server.task == 1
        told = "A fatal internal error occurred, see debug.log for details: ValueError: out of order"
        assert server.node.error == told, "Core's words, and one line"
    assert "A fatal internal error occurred: ValueError: out of order" in server.log_text()
    assert not (tmp_path / "regtest" / ".cookie").exists()
