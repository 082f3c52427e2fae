"""The scripts of a whole block at once, on all workers, and the memory of transactions already checked.

Where several inputs fail, the first in the order of the block is told, whichever worker was faster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from .ports import Workers
from .script.flags import ScriptFlags
from .script.sighash import TxDigests
from .script.verify import CheckFailure, CheckRun, split_checks, verify_run

INLINE_INPUTS = 4
"""So few inputs are checked where we are: handing them to a worker costs as much."""
CHUNK_INPUTS = 24
"""Inputs that are worth a worker's while."""
CHUNKS_PER_WORKER = 4
"""More chunks than workers, because inputs differ in cost."""


async def run_script_checks(
    workers: Workers, checks: Sequence[TxDigests], flags: ScriptFlags, *, fast: bool = True
) -> CheckFailure | None:
    """The first input that fails, in order; None if all verify. The digests hold the spent outputs.

    fast: False has one worker send them all through the interpreter, one after the other, to compare with.
    """
    if not fast:
        runs = [CheckRun(digests, 0, len(digests.tx.vin)) for digests in checks]
        return await workers.run(partial(verify_run, templates_enabled=False), runs, flags)
    total = sum(len(digests.tx.vin) for digests in checks)
    if total <= INLINE_INPUTS:
        return verify_run([CheckRun(digests, 0, len(digests.tx.vin)) for digests in checks], flags)
    parts = min(workers.count * CHUNKS_PER_WORKER, max(1, total // CHUNK_INPUTS))
    chunks = split_checks(checks, parts)
    results = await asyncio.gather(*(workers.run(verify_run, chunk, flags) for chunk in chunks))
    return next((failure for failure in results if failure is not None), None)


class ScriptCache:
    """Transactions whose scripts hold under certain flags: what the mempool checked, a block need not again.

    wtxid and flags say all: the wtxid covers the scripts that are spent through the txids of the inputs. The
    oldest entries go first when there are more than size.
    """

    def __init__(self, size: int = 200_000) -> None:
        self.size = size
        self._known: dict[tuple[bytes, int], None] = {}

    def __len__(self) -> int:
        return len(self._known)

    def add(self, wtxid: bytes, flags: ScriptFlags) -> None:
        self._known[wtxid, int(flags)] = None
        while len(self._known) > self.size:
            del self._known[next(iter(self._known))]

    def contains(self, wtxid: bytes, flags: ScriptFlags) -> bool:
        return (wtxid, int(flags)) in self._known
