"""aiohttp's server, imported without TLS.

aiohttp always imports its client too, which reads the machine's certificates at once where there is `ssl`:
some 90 ms of a node's start and a few MB, for nothing: we serve plain HTTP, as Core does. So ssl looks absent
to it, as in a Python built without.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.http_parser import HttpRequestParserPy, RawRequestMessage
else:
    _ssl = sys.modules.get("ssl")
    sys.modules["ssl"] = None
    try:
        from aiohttp import web
        from aiohttp.http_parser import HttpRequestParserPy, RawRequestMessage
    finally:
        del sys.modules["ssl"]
        if _ssl is not None:
            sys.modules["ssl"] = _ssl

__all__ = ["HttpRequestParserPy", "RawRequestMessage", "web"]
