"""aiohttp's server, imported without TLS.

aiohttp always imports its client too, which reads the machine's certificates at once where there is `ssl`:
some 90 ms of a node's start and a few MB, for nothing: we serve plain HTTP, as Core does.
"""

from __future__ import annotations

from ..interpreter import absent

with absent("ssl"):
    from aiohttp import web
    from aiohttp.http_parser import HttpRequestParserPy, RawRequestMessage

__all__ = ["HttpRequestParserPy", "RawRequestMessage", "web"]
