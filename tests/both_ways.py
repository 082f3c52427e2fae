"""One verdict from every way there is to check an input: the fast ones and the interpreter alone.

A test that asks here whether a spend is good has asked all of them, and they agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pybitcoind.chain.primitives.transaction import Transaction
from pybitcoind.chain.script import secp
from pybitcoind.chain.script.errors import ScriptError
from pybitcoind.chain.script.packed import pack_runs, unpack_failure, verify_packed
from pybitcoind.chain.script.sighash import SpentOutput, TxDigests
from pybitcoind.chain.script.verify import CheckFailure, CheckRun, split_checks, verify_input, verify_run


@contextmanager
def no_keys_kept() -> Iterator[None]:
    """Every public key is decoded anew."""
    secp.keep_keys(False)
    try:
        yield
    finally:
        secp.keep_keys(True)


def verdict(
    tx: Transaction, index: int, spent: Sequence[SpentOutput], flags: int, digests: TxDigests | None = None
) -> ScriptError | None:
    """Why input index may not spend its output, None if it may; AssertionError where two ways differ."""
    flags = int(flags)
    digests = TxDigests(tx, spent) if digests is None else digests
    slow = verify_input(tx, index, spent[index], flags, digests, templates_enabled=False)
    fast = verify_input(tx, index, spent[index], flags, digests)
    run = [CheckRun(digests, index, index + 1)]
    failures = verify_run(run, flags), verify_run(run, flags, compiled=False)
    in_run, in_python = [failure.error if failure else None for failure in failures]
    assert fast is slow and in_run is slow and in_python is slow, (
        f"interpreter {slow}, one input {fast}, run of inputs {in_run}, without C {in_python}: "
        f"input {index} of {tx.raw.hex()}, "
        f"spending {[(out[0], out[1].hex()) for out in spent]}, flags {flags:#x}"
    )
    return slow


def slow_verdict(checks: Sequence[TxDigests], flags: int) -> CheckFailure | None:
    """The first input that fails, by the interpreter alone, with nothing kept."""
    with no_keys_kept():
        runs = [CheckRun(TxDigests(digests.tx, digests.spent), 0, len(digests.tx.vin)) for digests in checks]
        return verify_run(runs, flags, templates_enabled=False)


def fast_verdict(checks: Sequence[TxDigests], flags: int, parts: int) -> CheckFailure | None:
    """The first input that fails, by all short cuts, in so many parts, as a block's inputs are checked."""
    told = []
    for compiled in (True, False):
        fresh = [TxDigests(digests.tx, digests.spent) for digests in checks]
        failures = [verify_run(runs, flags, compiled=compiled) for runs in split_checks(fresh, parts)]
        told.append(next((failure for failure in failures if failure), None))
    assert told[0] == told[1], told
    return told[0]


def apart_verdict(checks: Sequence[TxDigests], flags: int, parts: int) -> CheckFailure | None:
    """As fast_verdict, but each part goes to and fro in bytes, as another process would get it."""
    lists = split_checks(checks, parts)
    failures = [unpack_failure(verify_packed(pack_runs(runs, flags)), runs) for runs in lists]
    return next((failure for failure in failures if failure), None)


def block_verdict(checks: Sequence[TxDigests], flags: int) -> tuple[bytes, int, ScriptError] | None:
    """(txid, input, error) of the first input of a block that fails, whatever the way and the parts."""
    slow = slow_verdict(checks, flags)
    for parts in (1, 3, 16):
        assert fast_verdict(checks, flags, parts) == slow, (parts, slow)
    assert apart_verdict(checks, flags, 3) == slow, slow
    return (slow.tx.txid, slow.index, slow.error) if slow else None
