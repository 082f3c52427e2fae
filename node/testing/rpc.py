"""RPC from a test: typed coroutines, in the test's own process without HTTP, or over it to any node.

Either way a result is what a client reads from the node's JSON: whole numbers as int, all others (amounts
among them) as Decimal; and a failure is RpcFailure with Core's code and words.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from pybitcoind.node.rpc.amounts import read_json, write_json
from pybitcoind.node.rpc.errors import RpcError

from .errors import NodeFailed, RpcFailure
from .rpc_methods import NodeMethods
from .rpc_wallet_methods import WalletMethods

if TYPE_CHECKING:
    from pybitcoind.node.app import Node

    from .clocks import NetworkClock

Params = list[Any] | dict[str, Any]


class Transport(Protocol):
    """The way to one node."""

    async def call(self, method: str, params: Params, wallet: str | None) -> Any:
        """The result; RpcFailure for the node's error."""


class Rpc(NodeMethods, WalletMethods):
    """Every method of the node as a coroutine of its name; `call` for those that have none here."""

    def __init__(self, transport: Transport, wallet: str | None = None) -> None:
        self._transport, self._wallet = transport, wallet

    def for_wallet(self, name: str) -> Rpc:
        """The same node, its wallet methods for the wallet of this name (as with /wallet/NAME)."""
        return Rpc(self._transport, name)

    async def call(self, method: str, *args: Any, **named: Any) -> Any:
        """Any method by name. Trailing None are left out; args and named together are Core's "args"."""
        while args and args[-1] is None:
            args = args[:-1]
        params: Params = list(args)
        if named:
            params = named | ({"args": list(args)} if args else {})
        return await self._transport.call(method, params, self._wallet)


class DirectTransport:
    """Calls the methods of a node in our own process, as its RPC server would."""

    def __init__(self, node: Node, clock: NetworkClock) -> None:
        self._node, self._clock = node, clock

    async def call(self, method: str, params: Params, wallet: str | None) -> Any:
        from pybitcoind.node.rpc.execute import execute

        if self._node.stopping.is_set():
            raise NodeFailed(f"{method}: the node does not run")
        with self._clock.flowing():  # some methods wait for something
            try:
                ready = params if _is_plain(params) else read_json(write_json(params).encode())
                _, text = await execute(self._node, method, ready, wallet=wallet, user="test")
            except RpcError as error:
                raise RpcFailure(method, error.code, error.message) from None
        return _read(text)


def _is_plain(params: Params) -> bool:
    """JSON would not change it: most calls, and blocks and transactions of many kilobytes."""
    return isinstance(params, list) and all(type(value) in (str, int, bool) for value in params)


class HttpTransport:
    """Calls over HTTP, on connections that are kept. port and credentials: asked for when needed."""

    def __init__(self, port: Callable[[], int], credentials: Callable[[], str]) -> None:
        self._port, self._credentials = port, credentials
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call(self, method: str, params: Params, wallet: str | None) -> Any:
        body = write_json({"jsonrpc": "2.0", "id": 0, "method": method, "params": params}).encode()
        path = "/" if wallet is None else f"/wallet/{quote(wallet)}"
        status, data = await self._post(path, body)
        try:
            answer = _read(data.decode())
        except ValueError:
            raise NodeFailed(f"{method}: HTTP status {status}") from None
        if answer.get("error"):
            raise RpcFailure(method, answer["error"]["code"], answer["error"]["message"])
        return answer["result"]

    async def _post(self, path: str, body: bytes) -> tuple[int, bytes]:
        authorization = base64.b64encode(self._credentials().encode()).decode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {authorization}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        while True:
            kept = bool(self._idle)
            reader, writer = self._idle.pop() if kept else await self._connect()
            try:
                writer.write(head.encode() + body)
                status, data = await _answer(reader)
            except (OSError, EOFError, ValueError) as error:
                await _close(writer)
                if kept:
                    continue  # the node had closed it meanwhile
                raise NodeFailed(
                    f"no answer on port {self._port()}: {error or type(error).__name__}"
                ) from None
            except BaseException:
                writer.close()
                raise
            self._idle.append((reader, writer))
            return status, data

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_connection("127.0.0.1", self._port(), limit=1 << 20)
        except OSError as error:
            raise NodeFailed(f"no answer on port {self._port()}: {error}") from None

    async def close(self) -> None:
        idle, self._idle = self._idle, []
        for _, writer in idle:
            await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of an answer with a Content-Length, as Bitcoin's servers give it."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status = int(head.split(" ", 2)[1])
    length = next(
        (
            int(line.partition(":")[2])
            for line in head.split("\r\n")
            if line.lower().startswith("content-length:")
        ),
        0,
    )
    return status, await reader.readexactly(length)


def _read(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


__all__ = ["DirectTransport", "HttpTransport", "Rpc", "RpcFailure", "Transport"]
