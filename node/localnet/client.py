"""A node's JSON-RPC from outside: blocking calls over one kept connection."""

from __future__ import annotations

import base64
import http.client
import json
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any


class NodeError(Exception):
    """A node did not answer, or answered with an error; the text says which."""


class RpcFailure(NodeError):
    """The node's own error: Core's code and message."""

    def __init__(self, method: str, code: int, message: str) -> None:
        super().__init__(f"{method}: {message} (code {code})")
        self.code, self.message = code, message


class RpcClient:
    """Calls methods of one node; safe to use from several threads (each call waits for the one before)."""

    def __init__(self, port: int, cookie: Path, *, timeout: float = 60) -> None:
        self.port, self._cookie, self._timeout = port, cookie, timeout
        self._connection: http.client.HTTPConnection | None = None
        self._lock = threading.Lock()

    def call(self, method: str, *args: Any, wallet: str | None = None, **named: Any) -> Any:
        """The method's result, amounts as Decimal. RpcFailure for its error, NodeError for no answer."""
        params: Any = named | ({"args": args} if args else {}) if named else args
        body = json.dumps(
            {"jsonrpc": "2.0", "id": 0, "method": method, "params": params}, default=_plain_number
        ).encode()
        path = f"/wallet/{wallet}" if wallet else "/"
        with self._lock:
            answer = self._post(path, body)
        error = answer.get("error")
        if error:
            raise RpcFailure(method, error["code"], error["message"])
        return answer["result"]

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, path: str, body: bytes) -> dict[str, Any]:
        for fresh in (self._connection is None, True):
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPConnection(
                        "127.0.0.1", self.port, timeout=self._timeout
                    )
                headers = {"Authorization": self._authorization(), "Content-Type": "application/json"}
                self._connection.request("POST", path, body, headers)
                response = self._connection.getresponse()
                data = response.read()
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                if fresh:
                    raise NodeError(
                        f"no answer on port {self.port}: {error or type(error).__name__}"
                    ) from None
                continue  # the kept connection had been closed by the node: once more on a new one
            try:
                answer = json.loads(data, parse_float=Decimal)
            except ValueError:
                raise NodeError(f"HTTP {response.status} from port {self.port}") from None
            if isinstance(answer, dict):
                return answer
            raise NodeError(f"HTTP {response.status} from port {self.port}")
        raise AssertionError("unreachable")

    def _authorization(self) -> str:
        return "Basic " + base64.b64encode(self._cookie.read_bytes()).decode()


def _plain_number(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    raise TypeError(f"{type(value).__name__} has no JSON form")
