"""Orders from a second terminal to the process that supervises the network (orders.py)."""

from __future__ import annotations

import hmac
import json
import socket
import socketserver
import threading
from collections.abc import Callable
from typing import Any

from .process import NodeError

Order = Callable[[str, dict[str, str]], str]
"""(order, its arguments) to what was done; NodeError says why it was not."""
MAX_LINE = 4096


class ControlServer:
    """Takes one JSON line a connection on a loopback port, answers with one; a token keeps others out."""

    def __init__(self, token: str, order: Order) -> None:
        class Handler(socketserver.StreamRequestHandler):
            timeout = 120

            def handle(self) -> None:
                try:
                    request = json.loads(self.rfile.readline(MAX_LINE))
                    if not hmac.compare_digest(str(request["token"]), token):
                        raise NodeError("wrong token")
                    arguments = {str(key): str(value) for key, value in dict(request["arguments"]).items()}
                    answer = {"done": order(str(request["order"]), arguments)}
                except (NodeError, ValueError, KeyError, TypeError) as error:
                    answer = {"error": str(error)}
                self.wfile.write(json.dumps(answer).encode() + b"\n")

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that went away in the middle is its own loss."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="control")
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def send_order(
    port: int, token: str, order: str, arguments: dict[str, str] | None = None, *, timeout: float = 120
) -> str:
    """What the supervisor did; NodeError if it did not."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
            request = {"token": token, "order": order, "arguments": arguments or {}}
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile() as lines:
                answer = json.loads(lines.readline())
    except (OSError, ValueError) as error:
        raise NodeError(f"the network's first terminal does not answer ({error})") from None
    if "error" in answer:
        raise NodeError(answer["error"])
    return str(answer["done"])
