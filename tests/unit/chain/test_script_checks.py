"""Script checks of a block: on threads, in processes, inline and by the interpreter alone, one verdict."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pybitcoind.chain import native
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script.errors import ScriptError
from pybitcoind.chain.script.flags import MANDATORY_FLAGS
from pybitcoind.chain.script.sighash import TxDigests
from pybitcoind.chain.script_checks import APART_INPUTS, ChecksDropped, ScriptChecks, run_script_checks
from pybitcoind.node.ports import InlineWorkers, ThreadWorkers

TRUE, FALSE, RETURN = b"\x51", b"\x00", b"\x6a"


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadWorkers]:
    """Used where nothing is built in C."""
    monkeypatch.setattr(native, "part", None)
    workers = ThreadWorkers(2, 2)
    yield workers
    workers.close()


def spends(*scripts: bytes) -> TxDigests:
    """A transaction that spends outputs with these scripts."""
    vin = [TxIn(OutPoint(bytes(32), n)) for n in range(len(scripts))]
    tx = Transaction.make(vin, [TxOut(0, TRUE)])
    return TxDigests(tx, [TxOut(1, script) for script in scripts])


def blocks() -> list[tuple[list[TxDigests], tuple[int, int, ScriptError] | None]]:
    """Checks of a block, and what fails: transaction, input, error."""
    good = [TRUE] * 100
    return [
        ([], None),
        ([spends(TRUE)], None),
        ([spends(TRUE, FALSE)], (0, 1, ScriptError.EVAL_FALSE)),
        ([spends(*good)] * 3, None),
        ([spends(*good), spends(*good, *good, RETURN, FALSE)], (1, 200, ScriptError.OP_RETURN)),
        ([spends(FALSE), *[spends(*good)] * 3, spends(RETURN)], (0, 0, ScriptError.EVAL_FALSE)),
        ([spends(*[TRUE] * 600), spends(*[TRUE] * 50, FALSE)], (1, 50, ScriptError.EVAL_FALSE)),
        ([spends(TRUE) for _ in range(2 * APART_INPUTS)], None),
    ]


@pytest.mark.parametrize("fast", [True, False])
async def test_one_verdict(processes: ThreadWorkers, fast: bool) -> None:
    threads, inline = ThreadWorkers(3), InlineWorkers()
    try:
        for checks, expected in blocks():
            for workers in (processes, threads, inline):
                failure = await run_script_checks(workers, checks, MANDATORY_FLAGS, fast=fast)
                told = failure and ([c.tx for c in checks].index(failure.tx), failure.index, failure.error)
                assert told == expected
    finally:
        threads.close()


async def test_dropped_checks_are_forgotten(processes: ThreadWorkers) -> None:
    for count in (APART_INPUTS, APART_INPUTS - 1):
        checks = ScriptChecks(processes, [spends(*[FALSE] * count)], MANDATORY_FLAGS)
        checks.drop()
        with pytest.raises(ChecksDropped):
            await checks.failure()
    assert await run_script_checks(processes, [spends(*[TRUE] * 300)], MANDATORY_FLAGS) is None
