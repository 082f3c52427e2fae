"""mempool.dat: the mempool over a restart. msgpack, with a version; written beside and renamed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

from ..consensus.errors import TxInvalid
from ..ports import Log
from ..primitives.serialize import DecodeError
from ..primitives.transaction import Transaction
from ..storage.files import replace_file
from .acceptance import Acceptance
from .pool import Mempool

VERSION = 1
_TENTHS = 10


@dataclass(slots=True)
class LoadCounts:
    """What became of the transactions in the file."""

    succeeded: int = 0
    failed: int = 0
    expired: int = 0
    already_there: int = 0
    unbroadcast: int = 0


class MempoolFileError(ValueError):
    """The file is no mempool file of a version we know."""


def pack(pool: Mempool) -> bytes:
    """All transactions, parents before children, with time and delta; deltas of absent ones; unbroadcast."""
    entries = pool.in_mining_order()
    deltas = dict(pool.deltas)
    txs = [[entry.tx.raw, entry.time, deltas.pop(entry.txid, 0)] for entry in entries]
    return bytes(
        msgpack.packb(
            {
                "version": VERSION,
                "txs": txs,
                "deltas": sorted(deltas.items()),
                "unbroadcast": list(pool.unbroadcast),
            }
        )
    )


async def dump(acceptance: Acceptance, path: Path) -> bool:
    """Writes the pool to path; False, with a line in the log, if that fails."""
    log = acceptance.ports.log
    pool = acceptance.pool
    log.info(f"Writing {len(pool)} mempool transactions to file...")
    log.info(f"Writing {len(pool.unbroadcast)} unbroadcast transactions to file.")
    data = pack(pool)
    try:
        await acceptance.ports.workers.run(replace_file, path, data)
    except OSError as error:
        log.info(f"Failed to dump mempool: {error}. Continuing anyway.")
        return False
    log.info(f"Dumped mempool: {len(data)} bytes dumped to file")
    return True


def _parsed(data: bytes) -> tuple[list[tuple[Transaction, int, int]], list[tuple[bytes, int]], list[bytes]]:
    try:
        record: Any = msgpack.unpackb(data)
        if record["version"] != VERSION:
            raise MempoolFileError(f"unknown version {record['version']}")
        txs = [(Transaction.decode(raw), int(time), int(delta)) for raw, time, delta in record["txs"]]
        deltas = [(bytes(txid), int(delta)) for txid, delta in record["deltas"]]
        return txs, deltas, [bytes(txid) for txid in record["unbroadcast"]]
    except (msgpack.UnpackException, DecodeError, KeyError, TypeError, ValueError) as error:
        raise MempoolFileError(str(error) or type(error).__name__) from error


async def load(
    acceptance: Acceptance,
    path: Path,
    *,
    use_current_time: bool = False,
    apply_fee_delta_priority: bool = True,
    apply_unbroadcast_set: bool = True,
    interrupted: Callable[[], bool] = lambda: False,
) -> LoadCounts | None:
    """Takes in what path holds and still stands; None, with a line in the log, if it cannot be read.

    Runs on the owner task, one transaction after the other. The three options are importmempool's.
    """
    try:
        data = await acceptance.ports.workers.run(path.read_bytes)
    except OSError:
        acceptance.ports.log.info("Failed to open mempool file. Continuing anyway.")
        return None
    return await take_in(
        acceptance,
        data,
        use_current_time=use_current_time,
        apply_fee_delta_priority=apply_fee_delta_priority,
        apply_unbroadcast_set=apply_unbroadcast_set,
        interrupted=interrupted,
    )


async def take_in(
    acceptance: Acceptance,
    data: bytes,
    *,
    use_current_time: bool = False,
    apply_fee_delta_priority: bool = True,
    apply_unbroadcast_set: bool = True,
    interrupted: Callable[[], bool] = lambda: False,
) -> LoadCounts | None:
    """As `load`, of what `pack` gave."""
    log, pool = acceptance.ports.log, acceptance.pool
    try:
        txs, deltas, unbroadcast = _parsed(data)
    except MempoolFileError as error:
        log.info(f"Failed to deserialize mempool data on file: {error}. Continuing anyway.")
        return None
    log.info(f"Loading {len(txs)} mempool transactions from file...")
    counts, now = LoadCounts(), acceptance.ports.clock.time()
    progress = _Progress(log, len(txs))
    for tried, (tx, time, delta) in enumerate(txs):
        progress.report(tried)
        if use_current_time:
            time = now
        if delta and apply_fee_delta_priority:
            pool.prioritise(tx.txid, delta)
        if time <= now - pool.settings.expiry:
            counts.expired += 1
            continue
        try:
            await acceptance.accept(tx, time=time)
            counts.succeeded += 1
        except TxInvalid:
            if pool.contains(tx.txid):
                counts.already_there += 1
            else:
                counts.failed += 1
        if interrupted():
            return None
    if apply_fee_delta_priority:
        for txid, delta in deltas:
            pool.prioritise(txid, delta)
    if apply_unbroadcast_set:
        counts.unbroadcast = len(unbroadcast)
        for txid in unbroadcast:
            pool.add_unbroadcast(txid)
    log.info(
        f"Imported mempool transactions from file: {counts.succeeded} succeeded, {counts.failed} failed,"
        f" {counts.expired} expired, {counts.already_there} already there,"
        f" {counts.unbroadcast} waiting for initial broadcast"
    )
    return counts


class _Progress:
    """A line in the log every tenth of the way."""

    def __init__(self, log: Log, total: int) -> None:
        self.log, self.total, self.next = log, total, 0

    def report(self, tried: int) -> None:
        percent = 100 * tried // self.total
        if self.next < percent / _TENTHS:
            self.log.info(
                f"Progress loading mempool transactions from file: {percent}% (tried {tried},"
                f" {self.total - tried} remaining)"
            )
            self.next = percent // _TENTHS
