"""The HTTP server: JSON-RPC 1.0, 1.1 and 2.0 on "/" and "/wallet/NAME", and a place for further handlers.

Answers are as Core's (src/httprpc.cpp, src/httpserver.cpp, 31.99): HTTP statuses, headers, delays and log
lines.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ..config import AND_ERROR, Config, ConfigError
from . import aiohttp_parts as web
from .aiohttp_parts import HttpRequestParserPy, RawRequestMessage
from .amounts import Json, read_json, write_json
from .auth import AuthError, Credentials, Whitelist
from .errors import RpcCode, RpcError
from .execute import execute

if TYPE_CHECKING:
    from ..app import Node

MAX_HEADERS_SIZE = 8192
MAX_BODY_SIZE = 0x02000000
BRUTE_FORCE_DELAY = 0.25
LONGEST_STRETCH = 0.02
"""Seconds that a batch runs until others get a turn."""
_FAILED_START = "Unable to start HTTP server. See debug log for details."
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,;-_/:?@()")

HttpHandler = Callable[[web.BaseRequest], Awaitable[web.Response]]


class Refused(Exception):
    """A request that is answered with `response` before anybody looks at what it asks."""

    def __init__(self, response: web.Response) -> None:
        super().__init__()
        self.response = response


def sanitized(text: str) -> str:
    """Without the characters that do not belong in a log (Core's SanitizeString)."""
    return "".join(c for c in text if c in _SAFE)


@dataclass(slots=True)
class _Call:
    """One JSON-RPC request; one object serves a batch, so an item that is no object keeps the last id."""

    user: str
    wallet_name: str | None
    has_id: bool = True
    id: Json = None
    version_2: bool = False
    method: str = ""
    params: Json = None

    @property
    def is_notification(self) -> bool:
        return self.version_2 and not self.has_id

    def parse(self, request: Json) -> None:
        """Raises RpcError -32600."""
        if not isinstance(request, dict):
            raise RpcError(RpcCode.INVALID_REQUEST, "Invalid Request object")
        self.has_id, self.id = "id" in request, request.get("id")
        self.version_2 = False
        version = request.get("jsonrpc")
        if version is not None:
            if not isinstance(version, str):
                raise RpcError(RpcCode.INVALID_REQUEST, "jsonrpc field must be a string")
            if version not in ("1.0", "2.0"):
                raise RpcError(RpcCode.INVALID_REQUEST, "JSON-RPC version not supported")
            self.version_2 = version == "2.0"
        method = request.get("method")
        if method is None:
            raise RpcError(RpcCode.INVALID_REQUEST, "Missing method")
        if not isinstance(method, str):
            raise RpcError(RpcCode.INVALID_REQUEST, "Method must be a string")
        self.method = method
        params = request.get("params")
        if params is not None and not isinstance(params, (list, dict)):
            raise RpcError(RpcCode.INVALID_REQUEST, "Params must be an array or object")
        self.params = params

    def reply(self, result: Json, error: RpcError | None = None) -> dict[str, Json]:
        reply: dict[str, Json] = {}
        if self.version_2:
            reply["jsonrpc"] = "2.0"
        if error is None or not self.version_2:
            reply["result"] = result
        if error is not None or not self.version_2:
            reply["error"] = None if error is None else error.as_json()
        if self.has_id:
            reply["id"] = self.id
        return reply


class RpcServer:
    """Listens from `start` on; until `warm_up` is None every call is answered with it and code -28."""

    def __init__(self, node: Node, config: Config) -> None:
        self._node, self._config = node, config
        self._log, self._clock = node.ports.log, node.ports.clock
        self.warm_up: str | None = "RPC server started"
        self.active: dict[object, tuple[str, float]] = {}
        """Running commands: name and when it began, monotonic."""
        self.port = 0
        self.around_answer: Callable[[], AbstractContextManager[object]] = nullcontext
        """Entered while an answer is made, not while bytes come (node/testing lets time pass meanwhile)."""
        self._routes: list[tuple[str, HttpHandler]] = []
        self._whitelist = Whitelist(config)
        self._check_result = config.flag("rpcdoccheck")
        self._capacity = max(config.number("rpcthreads", 16), 1) + max(config.number("rpcworkqueue", 64), 1)
        self._busy = 0
        self._running: set[asyncio.Task[object]] = set()
        self._timeout = config.number("rpcservertimeout", 30)
        self._credentials: Credentials | None = None
        self._allowed: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._servers: list[asyncio.Server] = []
        self._http: web.Server | None = None
        self._stopping = False

    def route(self, prefix: str, handler: HttpHandler) -> None:
        """Paths that begin with prefix go to handler (REST)."""
        self._routes.append((prefix, handler))

    # Life

    async def start(self) -> None:
        """Binds and serves. Raises ConfigError."""
        self._allowed = self._allowed_networks()
        try:
            self._credentials = Credentials(self._config, self._log)
        except AuthError:
            raise ConfigError(_FAILED_START) from None
        sockets = self._bind()
        if not sockets:
            self._log.error("Unable to bind any endpoint for RPC server")
            self._credentials.remove_cookie(self._log)
            raise ConfigError(_FAILED_START)
        logger = logging.Logger("http")
        logger.addHandler(_ToDebugLog(self._node))
        self._http = _HttpServer(
            self._handle,
            request_factory=self._make_request,
            access_log=None,
            logger=logger,
            keepalive_timeout=self._timeout,
            lingering_time=1.0,
            max_headers=MAX_HEADERS_SIZE,
            auto_decompress=False,
        )
        loop = asyncio.get_running_loop()
        for sock in sockets:
            self._servers.append(await loop.create_server(self._http, sock=sock))

    def stop_accepting(self) -> None:
        """New connections are refused, new requests on old ones answered with 503."""
        self._stopping = True
        for server in self._servers:
            server.close()

    async def stop(self, grace: float) -> None:
        """Waits up to grace seconds for running requests, then ends them with code -9; removes the cookie."""
        self.stop_accepting()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=grace)
        if self._http is not None:
            self._http.pre_shutdown()
            await self._http.shutdown(0.1)
        for server in self._servers:
            await server.wait_closed()
        if self._credentials is not None:
            self._credentials.remove_cookie(self._log)

    def _allowed_networks(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        allowed = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]
        for text in self._config.values("rpcallowip"):
            try:
                allowed.append(ipaddress.ip_network(text, strict=False))
            except ValueError:
                raise ConfigError(
                    f"Invalid -rpcallowip subnet specification: {text}. Valid values are a single IP (e.g. "
                    "1.2.3.4), a network/netmask (e.g. 1.2.3.4/255.255.255.0), a network/CIDR (e.g. "
                    "1.2.3.4/24), all ipv4 (0.0.0.0/0), or all ipv6 (::/0). RFC4193 is allowed only if "
                    f"-cjdnsreachable=0.\n{AND_ERROR}{_FAILED_START}"
                ) from None
        self._log.debug("http", f"Allowing HTTP connections from: {' '.join(map(str, allowed))} ")
        return allowed

    def _endpoints(self) -> list[tuple[str, int]]:
        port = self._config.number("rpcport", self._node.params.rpc_port)
        bind, allow = self._config.values("rpcbind"), self._config.values("rpcallowip")
        if bind and allow:
            return [split_host_port(text, port, "-rpcbind") for text in bind]
        if allow:
            self._log.warning(
                "Option -rpcallowip was specified without -rpcbind; this doesn't usually make sense"
            )
        if bind:
            self._log.warning(
                "Option -rpcbind was ignored because -rpcallowip was not specified, refusing to allow "
                "everyone to connect"
            )
        return [("127.0.0.1", port), ("::1", port)]

    def _bind(self) -> list[socket.socket]:
        sockets: list[socket.socket] = []
        for host, port in self._endpoints():
            port = port or self.port  # with -rpcport=0 the second address takes the first one's port
            self._log.info(f"Binding RPC on address {host} port {port}")
            try:
                sock = _listening_socket(host, port)
            except OSError:
                self._log.warning(f"Binding RPC on address {host} port {port} failed.")
                continue
            sockets.append(sock)
            self.port = self.port or sock.getsockname()[1]
            if port == 0:
                self._log.info(f"RPC listens on port {self.port}")
            if host in ("", "0.0.0.0", "::"):
                self._log.warning(
                    "The RPC server is not safe to expose to untrusted networks such as the public internet"
                )
        return sockets

    # HTTP

    def _make_request(
        self, message: object, payload: object, protocol: object, writer: object, task: object
    ) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(
            message,  # type: ignore[arg-type]
            payload,  # type: ignore[arg-type]
            protocol,  # type: ignore[arg-type]
            writer,  # type: ignore[arg-type]
            task,  # type: ignore[arg-type]
            loop,
            client_max_size=MAX_BODY_SIZE + 1,
        )

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        peer = _peer_name(request)
        if not self._is_allowed(request.remote or ""):
            self._log.debug(
                "http", f"HTTP request from {peer} rejected: Client network is not allowed RPC access"
            )
            return _status(403)
        if sum(len(name) + len(value) + 4 for name, value in request.raw_headers) > MAX_HEADERS_SIZE:
            return _status(400, close=True)
        if request.method not in ("GET", "POST", "HEAD", "PUT"):
            self._log.debug("http", f"HTTP request from {peer} rejected: Unknown HTTP request method")
            return _status(405)
        path = request.raw_path
        self._log.debug(
            "http", f"Received a {request.method} request for {sanitized(path)[:100]} from {peer}"
        )
        handler: HttpHandler
        if path == "/" or path.startswith("/wallet/"):
            handler = self._json_rpc
        else:
            found = next((handler for prefix, handler in self._routes if path.startswith(prefix)), None)
            if found is None:
                return _status(404)
            handler = found
        if self._stopping:
            self._log.debug("http", "Rejecting request while shutting down")
            return _status(503, "Request rejected during server shutdown", close=True)
        if self._busy >= self._capacity:
            self._log.warning(
                "Request rejected because http work queue depth exceeded, it can be increased with the "
                "-rpcworkqueue= setting"
            )
            return _status(503, "Work queue depth exceeded")
        self._busy += 1
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            response = await handler(request)
        except Refused as refusal:
            response = refusal.response
        finally:
            self._busy -= 1
            self._running.discard(task)
        if self._stopping:
            response.force_close()
        return response

    def _is_allowed(self, remote: str) -> bool:
        try:
            address = ipaddress.ip_address(remote.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._allowed)

    async def _json_rpc(self, request: web.BaseRequest) -> web.Response:
        if request.method != "POST":
            return _status(405, "JSONRPC server handles only POST requests")
        header = request.headers.get("Authorization")
        if header is None:
            return _unauthorized()
        assert self._credentials is not None
        user = self._credentials.user(header)
        if user is None:
            self._log.warning(f"ThreadRPCServer incorrect password attempt from {_peer_name(request)}")
            with self.around_answer():
                await self._clock.sleep(BRUTE_FORCE_DELAY)
            return _unauthorized()
        body = await self.read_body(request)
        path = request.raw_path
        wallet_name = unquote(path[len("/wallet/") :]) if path.startswith("/wallet/") else None
        call = _Call(user, wallet_name)
        try:
            content = read_json(body)
        except ValueError:
            return _error(call, RpcError(RpcCode.PARSE_ERROR, "Parse error"))
        peer = _peer_name(request) if self._node.debug_log.log_ips else ""
        with self.around_answer():
            return await self._execute_http(content, call, peer)

    async def read_body(self, request: web.BaseRequest) -> bytes:
        """What was sent along. Raises Refused if that is too much or too slow."""
        if (request.content_length or 0) > MAX_BODY_SIZE:
            raise Refused(_status(413, close=True))
        try:
            async with self._clock.timeout(self._timeout):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise Refused(_status(413, close=True)) from None
        except TimeoutError:
            raise Refused(_status(400, close=True)) from None

    async def _execute_http(self, content: Json, call: _Call, peer: str) -> web.Response:
        if self._whitelist.closed_for(call.user):
            self._log.warning(f"RPC User {call.user} not allowed to call any methods")
            return _status(403)
        try:
            if isinstance(content, dict):
                self._parse(content, call, peer)
                if not self._may_call(call.user, call.method):
                    return _status(403)
                try:
                    reply = call.reply(await self._execute(call))
                except RpcError as error:
                    if not call.version_2:
                        raise
                    reply = call.reply(None, error)
                return _status(204) if call.is_notification else _json(200, reply)
            if isinstance(content, list):
                return await self._batch(content, call, peer)
            raise RpcError(RpcCode.PARSE_ERROR, "Top-level object parse error")
        except RpcError as error:
            return _error(call, error)

    async def _batch(self, items: list[Json], call: _Call, peer: str) -> web.Response:
        if self._whitelist.limits(call.user):
            for item in items:
                if not isinstance(item, dict):
                    raise RpcError(RpcCode.INVALID_REQUEST, "Invalid Request object")
                if not self._may_call(call.user, str(item.get("method"))):
                    return _status(403)
        replies = []
        breath = self._clock.monotonic()
        for item in items:
            if self._clock.monotonic() - breath > LONGEST_STRETCH:
                await self._clock.sleep(0)
                breath = self._clock.monotonic()
            try:
                self._parse(item, call, peer)
                reply = call.reply(await self._execute(call))
            except RpcError as error:
                reply = call.reply(None, error)
            if not call.is_notification:
                replies.append(reply)
        return _status(204) if items and not replies else _json(200, replies)

    def _parse(self, request: Json, call: _Call, peer: str) -> None:
        call.parse(request)
        where = f" peeraddr={peer}" if peer else ""
        id_text = sanitized(str(call.id)) if call.id is not None and not isinstance(call.id, bool) else ""
        self._log.debug(
            "rpc", f"ThreadRPCServer method={sanitized(call.method)} user={call.user}{where} id={id_text}"
        )

    def _may_call(self, user: str, method: str) -> bool:
        if self._whitelist.allows(user, method):
            return True
        self._log.warning(f"RPC User {user} not allowed to call method {method}")
        return False

    async def _execute(self, call: _Call) -> Json:
        """Runs the method. Only RpcError comes out."""
        if self.warm_up is not None:
            raise RpcError(RpcCode.IN_WARMUP, self.warm_up)
        self._node.registry.find(call.method)
        key = object()
        self.active[key] = (call.method, self._clock.monotonic())
        try:
            result, _ = await execute(
                self._node,
                call.method,
                call.params,
                wallet=call.wallet_name,
                user=call.user,
                check_result=self._check_result,
            )
            return result
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._stopping or task is None:
                raise
            task.uncancel()
            raise RpcError(RpcCode.CLIENT_NOT_CONNECTED, "Shutting down") from None
        finally:
            del self.active[key]


class _Parser(HttpRequestParserPy):
    """Takes HTTP/1.1 requests without a Host header, as Core's server does."""

    def parse_message(self, lines: list[bytes]) -> RawRequestMessage:
        if not any(line[:5].lower() == b"host:" for line in lines):
            lines = [*lines[:-1], b"Host: localhost", lines[-1]]
        return super().parse_message(lines)


class _Connection(web.RequestHandler):
    def __init__(self, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._parser = _Parser(
            self,
            options["loop"],
            max_headers=options["max_headers"],
            payload_exception=web.RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=self._max_msg_queue_size,
        )


class _HttpServer(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _ToDebugLog(logging.Handler):
    """aiohttp's own messages (malformed requests, mostly) belong in debug.log, not on stderr."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._log = node.ports.log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._log.debug("http", record.getMessage() + (f": {error!r}" if error else ""))


def split_host_port(text: str, default_port: int, option: str) -> tuple[str, int]:
    """ "host", "host:port" or "[host]:port"; raises ConfigError for a bad port."""
    host, colon, port = text.rpartition(":")
    if not colon or (text.count(":") > 1 and not host.endswith("]")):
        return text.strip("[]"), default_port
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"Invalid port specified in {option}: '{text}'")
    return host.strip("[]"), int(port)


def _listening_socket(host: str, port: int) -> socket.socket:
    family, kind, _, _, address = socket.getaddrinfo(
        host.encode(errors="surrogateescape") or None,
        port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE | socket.AI_NUMERICHOST,
    )[0]
    sock = socket.socket(family, kind)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(128)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _peer_name(request: web.BaseRequest) -> str:
    name = request.transport.get_extra_info("peername") if request.transport else None
    if not name:
        return ""
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


def _status(status: int, text: str = "", *, close: bool = False) -> web.Response:
    """With the type that the library of Core's server gives to what has none."""
    if status == 204:
        response = web.Response(status=status)
    else:
        headers = {"Content-Type": "text/html; charset=ISO-8859-1"}
        response = web.Response(status=status, body=text.encode(), headers=headers)
    if close:
        response.force_close()
    return response


def _unauthorized() -> web.Response:
    return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="jsonrpc"'})


def _json(status: int, reply: Json) -> web.Response:
    body = (write_json(reply) + "\n").encode("utf-8")
    return web.Response(status=status, body=body, headers={"Content-Type": "application/json"})


def _error(call: _Call, error: RpcError) -> web.Response:
    """A failed request of JSON-RPC 1.x, or one whose version is not known."""
    call.version_2 = False
    status = {RpcCode.INVALID_REQUEST: 400, RpcCode.METHOD_NOT_FOUND: 404}.get(RpcCode(error.code), 500)
    return _json(status, call.reply(None, error))
