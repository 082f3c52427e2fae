"""The scripts of a whole block at once, on all workers, and the memory of transactions already checked.

Where several inputs fail, the first in the order of the block is told, whichever worker was faster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from . import native
from .ports import Workers
from .script.flags import ScriptFlags
from .script.packed import pack_runs, unpack_failure, verify_packed
from .script.sighash import TxDigests
from .script.verify import CheckFailure, CheckRun, split_checks, verify_run

INLINE_INPUTS = 4
"""So few inputs are checked where we are: handing them to a worker costs as much."""
CHUNK_INPUTS = 24
"""Inputs that are worth a worker's while."""
APART_INPUTS = 256
"""Inputs from which on processes are worth what it costs to tell them of each, and to start them."""
CHUNKS_PER_WORKER = 8
"""More chunks than workers, because inputs differ in cost."""


class ChecksDropped(Exception):
    """Script checks were given up before they were done: there is no verdict."""


class ScriptChecks:
    """Checks that are under way from the moment this is made. The digests hold the spent outputs.

    fast: False has one worker send all inputs through the interpreter, one after the other, to compare with.
    """

    def __init__(
        self, workers: Workers, checks: Sequence[TxDigests], flags: ScriptFlags, *, fast: bool = True
    ) -> None:
        self._runs: list[list[CheckRun]] = []
        self._answers: list[asyncio.Future[Any]] = []
        """To each list of runs the failure, or the bytes that tell it."""
        self._failure: CheckFailure | None = None
        self._apart = False
        total = sum(digests.tx.input_count for digests in checks)
        if not fast:
            slow = partial(verify_run, templates_enabled=False)
            self._answers = [workers.run_free(slow, _whole(checks), flags)]
        elif total <= INLINE_INPUTS:
            self._failure = verify_run(_whole(checks), flags)
        elif workers.processes and total >= APART_INPUTS and native.part is None:
            self._apart = True
            self._runs = split_checks(checks, workers.processes * CHUNKS_PER_WORKER)
            self._answers = [workers.run_apart(verify_packed, pack_runs(runs, flags)) for runs in self._runs]
        else:
            parts = min(workers.count * CHUNKS_PER_WORKER, max(1, total // CHUNK_INPUTS))
            self._answers = [
                workers.run_free(verify_run, runs, flags) for runs in split_checks(checks, parts)
            ]

    async def failure(self) -> CheckFailure | None:
        """The first input that fails, in order; None if all verify. ChecksDropped after `drop`."""
        if self._answers:
            await asyncio.wait(self._answers)
        if any(answer.cancelled() for answer in self._answers):
            raise ChecksDropped
        answers = [answer.result() for answer in self._answers]
        if self._apart:
            answers = [unpack_failure(answer, runs) for answer, runs in zip(answers, self._runs, strict=True)]
        return next((failure for failure in answers if failure is not None), self._failure)

    def drop(self) -> None:
        """There will be no verdict: what has not begun never does."""
        for answer in self._answers:
            answer.cancel()


def _whole(checks: Sequence[TxDigests]) -> list[CheckRun]:
    return [CheckRun(digests, 0, digests.tx.input_count) for digests in checks]


async def run_script_checks(
    workers: Workers, checks: Sequence[TxDigests], flags: ScriptFlags, *, fast: bool = True
) -> CheckFailure | None:
    """The first input that fails, in order; None if all verify. See `ScriptChecks`."""
    return await ScriptChecks(workers, checks, flags, fast=fast).failure()


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
