"""Script checks as bytes, and their verdict: for a process that shares nothing with the one that asks."""

from __future__ import annotations

from collections.abc import Sequence

import msgpack

from ..primitives.transaction import Transaction
from .errors import ScriptError
from .sighash import TxDigests
from .verify import CheckFailure, CheckRun, verify_run


def pack_runs(runs: Sequence[CheckRun], flags: int) -> bytes:
    """What `verify_packed` takes. The digests hold the spent outputs."""
    rows = [(digests.tx.raw, digests.spent, start, stop) for digests, start, stop in runs]
    packed: bytes = msgpack.packb((int(flags), rows))
    return packed


def verify_packed(packed: bytes) -> bytes:
    """`verify_run` from bytes to bytes: empty if no input fails, else what `unpack_failure` takes."""
    flags, rows = msgpack.unpackb(packed, use_list=False)
    runs = [CheckRun(TxDigests(Transaction.decode(raw), spent), *span) for raw, spent, *span in rows]
    failure = verify_run(runs, flags)
    if failure is None:
        return b""
    which = next(n for n, run in enumerate(runs) if run.digests.tx is failure.tx)
    answer: bytes = msgpack.packb((which, failure.index, failure.error.name))
    return answer


def unpack_failure(answer: bytes, runs: Sequence[CheckRun]) -> CheckFailure | None:
    """The failure that was told of these runs; None if all verify."""
    if not answer:
        return None
    which, index, error = msgpack.unpackb(answer)
    return CheckFailure(runs[which].digests.tx, index, ScriptError[error])
