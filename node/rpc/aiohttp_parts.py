"""The parts of aiohttp that a plain HTTP server is made of, without the rest.

`import aiohttp` imports its client too, its tracing, its router and its file server: an eighth of a daemon's
start, for nothing. So in a process of our own its package is empty while the parts are imported, and TLS, for
which it reads the certificates, absent. Whoever imports aiohttp later (web.py beside this file) gets
it whole. Where we are guests in somebody's process aiohttp is imported as it is.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

from .. import interpreter


def _stand_in() -> ModuleType:
    """aiohttp with nothing in it but the way to its parts."""
    spec = find_spec("aiohttp")
    assert spec is not None and spec.submodule_search_locations is not None, "it is a package"
    package = ModuleType("aiohttp")
    package.__spec__, package.__path__ = spec, list(spec.submodule_search_locations)
    package.__version__ = "3"  # type: ignore[attr-defined]
    return package


_absent = object()
_replaced: dict[str, ModuleType | None] = {}
if not TYPE_CHECKING and interpreter.is_ours and "aiohttp" not in sys.modules:
    _replaced = {"aiohttp": _stand_in(), "ssl": None}
_before = {name: sys.modules.get(name, _absent) for name in _replaced}
sys.modules.update(_replaced)  # type: ignore[arg-type]
try:
    from aiohttp.http_parser import HttpRequestParserPy, RawRequestMessage
    from aiohttp.web_exceptions import HTTPRequestEntityTooLarge
    from aiohttp.web_protocol import RequestHandler, RequestPayloadError
    from aiohttp.web_request import BaseRequest
    from aiohttp.web_response import Response
    from aiohttp.web_server import Server
finally:
    for _name, _module in _before.items():
        del sys.modules[_name]
        if _module is not _absent:
            sys.modules[_name] = _module  # type: ignore[assignment]

__all__ = [
    "BaseRequest",
    "HTTPRequestEntityTooLarge",
    "HttpRequestParserPy",
    "RawRequestMessage",
    "RequestHandler",
    "RequestPayloadError",
    "Response",
    "Server",
]
