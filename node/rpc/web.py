"""aiohttp's server, imported without TLS.

aiohttp always imports its client too, which reads the machine's certificates at once where there is `ssl`:
some 90 ms and a few MB, for nothing: we serve plain HTTP.
"""

from __future__ import annotations

from ..interpreter import absent

with absent("ssl"):
    from aiohttp import web

__all__ = ["web"]
