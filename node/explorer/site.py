"""The frame of the pages: templates and own files, safe headers, who may ask, and errors as pages.

A page may load nothing from elsewhere and run no script but ours (Content-Security-Policy); templates escape
all they are given. A request must name this machine as its host: a foreign page whose name was bent to our
address (DNS rebinding) gets nothing. What changes something is a POST from a page of our own.
"""

from __future__ import annotations

import hashlib
import ipaddress
import mimetypes
import socket
import traceback
from collections.abc import Awaitable, Callable, Collection
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from pybitcoind.chain.ports import Log

from ..rpc.web import web
from . import words

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
MAX_FORM = 16 * 1024
MAX_LINE = 32 * 1024
"""Of a request, so that a script of 10,000 bytes may be looked for in hex."""
THEMES = ("light", "dark")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class NotHere(Exception):
    """There is no such page: title and what helps, for a page with status 404."""

    def __init__(self, title: str, *hints: str) -> None:
        super().__init__(title)
        self.title, self.hints = title, hints


class Site:
    """Serves `routes` from `start` to `stop`. host_names: further names under which it may be asked."""

    def __init__(self, log: Log, host_names: Collection[str] = ()) -> None:
        self.log = log
        self.port = 0
        self._host_names = {"localhost", *(name.lower() for name in host_names)}
        self._files = _own_files()
        self.app = web.Application(middlewares=[self._frame], client_max_size=MAX_FORM)
        self.app.router.add_get("/static/{name}", self._file)
        self._runner: web.AppRunner | None = None
        self._environment = Environment(
            loader=PackageLoader("pybitcoind.node.explorer"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        words.install(self._environment)
        self._environment.globals["static"] = self._file_url

    # Life

    async def start(self, host: str, port: int) -> None:
        """Listens; `port` is the real one then. Raises OSError."""
        address = ipaddress.ip_address(host)
        sock = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            sock.setblocking(False)
            self.port = int(sock.getsockname()[1])
            self._runner = web.AppRunner(
                self.app,
                access_log=None,
                shutdown_timeout=0.5,
                handler_cancellation=True,  # a stream whose reader went away ends at once
                max_line_size=MAX_LINE,
            )
            await self._runner.setup()
            await web.SockSite(self._runner, sock).start()
        except BaseException:
            sock.close()
            raise

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # Pages

    def page(self, request: web.Request, template: str, status: int = 200, **values: Any) -> web.Response:
        """A page from its template. values: what it shows, all of it escaped there."""
        theme = request.cookies.get("theme", "")
        text = self._environment.get_template(template).render(
            **self.common(request),
            **values,
            request_path=request.path,
            theme=theme if theme in THEMES else "",
            url=lambda **changed: url_with(request, **changed),
        )
        return web.Response(
            text=text, status=status, content_type="text/html", headers={"Cache-Control": "no-cache"}
        )

    def common(self, request: web.Request) -> dict[str, Any]:
        """What every page shows."""
        return {}

    def warm_up(self) -> None:
        """Compiles the templates, so that who asks first need not wait for it."""
        for name in self._environment.list_templates():
            self._environment.get_template(name)

    # The frame around each request

    @web.middleware
    async def _frame(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response: web.StreamResponse
        try:
            self._check(request)
            response = await handler(request)
        except NotHere as missing:
            response = self._error(request, 404, missing.title, missing.hints)
        except web.HTTPException as answer:
            if answer.status < 400:
                answer.headers.update(HEADERS)
                raise
            response = self._error(request, answer.status, *_ERRORS.get(answer.status, (answer.reason, ())))
        except Exception as error:
            self.log.error(f"web: {request.path} failed:\n{traceback.format_exc()}")
            response = self._error(
                request, 500, "This page has a bug", (f"The log has the details ({type(error).__name__}).",)
            )
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    def _error(self, request: web.Request, status: int, title: str, hints: Collection[str]) -> web.Response:
        return self.page(request, "error.html", status, code=status, title=title, hints=hints)

    def _check(self, request: web.Request) -> None:
        """HTTPException where the request is not for us, or comes from somebody else's page."""
        name = host_name(request.headers.get("Host", ""))
        if name is None or not (name in self._host_names or _is_address(name)):
            raise web.HTTPMisdirectedRequest
        if request.method not in ("GET", "HEAD"):
            origin = request.headers.get("Origin")
            if origin is not None and urlsplit(origin).netloc != request.headers["Host"]:
                raise web.HTTPForbidden
            if origin is None and request.headers.get("Sec-Fetch-Site", "none") not in (
                "none",
                "same-origin",
            ):
                raise web.HTTPForbidden

    # Own files

    async def _file(self, request: web.Request) -> web.Response:
        found = self._files.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        kind, content, _ = found
        fresh = "public, max-age=31536000, immutable" if "v" in request.query else "no-cache"
        return web.Response(
            body=content, content_type=kind, headers={"Cache-Control": fresh}, charset="utf-8"
        )

    def _file_url(self, name: str) -> str:
        """With a mark of its content, so that browsers may keep it for good."""
        return f"/static/{name}?v={self._files[name][2]}"


_ERRORS: dict[int, tuple[str, tuple[str, ...]]] = {
    403: ("Not allowed", ("This can be asked for by the pages of this address only.",)),
    404: (
        "There is no such page",
        ("Search takes a block's height or hash, a transaction's id, an address or a script.",),
    ),
    405: ("This address does not take that", ()),
    413: ("That is too much", ()),
    421: (
        "This is not the host you asked for",
        ("Ask for it by its number, such as 127.0.0.1, or as localhost.",),
    ),
    503: ("Too many are watching", ("Close some windows and try again.",)),
}


def _own_files() -> dict[str, tuple[str, bytes, str]]:
    """By name: content type, content, a mark of it."""
    found = {}
    for entry in (files(__package__ or __name__) / "static").iterdir():
        content = entry.read_bytes()
        kind = mimetypes.guess_type(entry.name)[0] or "application/octet-stream"
        found[entry.name] = kind, content, hashlib.sha256(content).hexdigest()[:12]
    return found


def host_name(header: str) -> str | None:
    """The name in a Host header, without port and brackets; None where it has none."""
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def url_with(request: web.Request, **changed: object) -> str:
    """This page's address with other query values; None takes one out."""
    query = {**request.query, **changed}
    kept = {key: str(value) for key, value in query.items() if value is not None}
    return request.path + (f"?{urlencode(kept)}" if kept else "")


def page_number(request: web.Request, name: str = "page") -> int:
    """A page's number from the query, 1 and up; NotHere for what is none."""
    hint = "Pages are numbered from 1."
    number = whole_number(request, name, 1, hint)
    if number < 1:
        raise NotHere("There is no such page", hint)
    return number


def whole_number(request: web.Request, name: str, default: int, hint: str) -> int:
    """A number from the query; NotHere, with the hint, for what is none."""
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise NotHere("There is no such page", hint)
    return int(text)
