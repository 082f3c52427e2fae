"""Feeds the fee estimator with what happens, and keeps its file (fee_estimates.dat) over a restart.

The file is written every hour and at an orderly stop, whole or not at all: a crash loses an hour at most.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from ..events import Event, RemovalReason, RemovedForBlock, TxAdded, TxRemoved
from ..policy.feerate import feerate_of
from ..ports import Ports
from ..storage.files import replace_file
from .fee_estimator import FeeEstimator, FeeFileError, OldFeeFile

WRITE_INTERVAL = 3600.0
MAX_FILE_AGE = 60
"""Hours; feerates that were right before tell little of today's."""


class FeeRecorder:
    """`handle` is subscribed to the node's events; `run` is a task until `stop`; `close` comes last."""

    def __init__(self, ports: Ports, path: Path) -> None:
        self.ports, self.path = ports, path
        self.estimator = FeeEstimator(ports.log)
        self._due = ports.clock.monotonic() + WRITE_INTERVAL
        self._moved = asyncio.Event()
        self._stopping = False

    async def load(self, *, accept_stale: bool = False) -> None:
        """Takes over the file, unless there is none, or it is too old or damaged: then all begins anew."""
        log, path = self.ports.log, self.path
        try:
            age, data = await self.ports.workers.run(self._read)
        except OSError:
            log.info(f"{path} is not found. Continue anyway.")
            return
        if age > MAX_FILE_AGE and not accept_stale:
            log.warning(
                f"Fee estimation file {path} too old (age={age} > {MAX_FILE_AGE} hours) and will not be used"
                " to avoid serving stale estimates."
            )
            return
        try:
            self.estimator.unpack(data)
        except OldFeeFile as error:
            log.warning(f"Incompatible old fee estimation data (non-fatal). {error}")
        except FeeFileError as error:
            log.warning(f"Unable to read policy estimator data (non-fatal): {error}")
            log.warning(f"Failed to read fee estimates from {path}. Continue anyway.")

    def _read(self) -> tuple[int, bytes]:
        """Age in whole hours, and content."""
        age = self.ports.clock.time_micros() / 1e6 - self.path.stat().st_mtime
        return int(age / 3600), self.path.read_bytes()

    async def handle(self, event: Event) -> None:
        if isinstance(event, TxAdded):
            feerate = feerate_of(event.fee, event.vsize)
            self.estimator.transaction_came(event.tx.txid, event.height, feerate, telling=event.telling)
        elif isinstance(event, TxRemoved):
            if event.reason is not RemovalReason.BLOCK:
                self.estimator.transaction_went(event.tx.txid)
        elif isinstance(event, RemovedForBlock):
            self.estimator.block_came(event.height, event.entries)

    async def write(self) -> None:
        """Writes the file; a line in the log if that fails."""
        log = self.ports.log
        try:
            await self.ports.workers.run(replace_file, self.path, self.estimator.pack())
        except OSError:
            log.warning(f"Failed to write fee estimates to {self.path}. Continue anyway.")
            return
        log.debug("estimatefee", f"Flushed fee estimates to {self.path}.")

    async def run(self) -> None:
        """Writes every hour, until `stop`."""
        clock = self.ports.clock
        while not self._stopping:
            left = self._due - clock.monotonic()
            if left <= 0:
                self._due = clock.monotonic() + WRITE_INTERVAL
                await self.write()
                continue
            with suppress(TimeoutError):
                async with clock.timeout(left):
                    await self._moved.wait()
            self._moved.clear()

    def mock_forward(self, seconds: float) -> None:
        """mockscheduler: the next write comes so much sooner."""
        self._due -= seconds
        self._moved.set()

    def stop(self) -> None:
        self._stopping = True
        self._moved.set()

    async def close(self) -> None:
        """After the last event: what still waits counts as unconfirmed, and the file is written."""
        clock = self.ports.clock
        begun = clock.monotonic()
        waiting = self.estimator.give_up_waiting()
        took = clock.monotonic() - begun
        self.ports.log.debug("estimatefee", f"Recorded {waiting} unconfirmed txs from mempool in {took:.3f}s")
        await self.write()
