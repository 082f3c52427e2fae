"""decodescript gives Core's published answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from pybitcoind.chain.params import regtest
from pybitcoind.node.rpc.context import RpcContext
from pybitcoind.node.rpc.rawtransactions import decodescript


async def test_published_scripts(shared: Path, ran: Callable[[str, object], None]) -> None:
    cases = json.loads((shared / "vectors/core/rpc_decodescript.json").read_text())
    ctx = RpcContext(cast(Any, SimpleNamespace(params=regtest(), role="full")))
    for script, want in cases:
        assert await decodescript.call(ctx, [script]) == want, script
    ran("core/rpc_decodescript.json", f"{len(cases)} scripts")
