"""aiohttp's server, imported without TLS in a process of our own.

aiohttp always imports its client too, which reads the machine's certificates at once where there is `ssl`:
some 90 ms and a few MB, for nothing: we serve plain HTTP. Where we are guests in somebody's process, who may
want aiohttp's client for more than that, it is imported as it is.
"""

from __future__ import annotations

from contextlib import nullcontext

from .. import interpreter

with interpreter.absent("ssl") if interpreter.is_ours else nullcontext():
    from aiohttp import web

__all__ = ["web"]
