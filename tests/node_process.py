"""The daemon as a real process, for tests and benchmarks: start, RPC, log, stop, kill.

    with Daemon(folder, "-txindex") as daemon:
        daemon.wait_ready()
        daemon.call("getblockcount")

Every wait ends by what the process does; the limits are for broken code only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from warm_process import WarmProcess

import pybitcoind.node
from pybitcoind.node.localnet.client import NodeError, RpcClient, RpcFailure

T = TypeVar("T")
PROGRAM = [sys.executable, "-m", "pybitcoind.node.main"]
LIMIT = 30.0
"""Real seconds after which a wait fails."""
STEP = 0.005


class Daemon:
    """A regtest node on free ports. options: further ones of the command line. env: further variables."""

    warm = False
    """Whether nodes are forked from a process that has imported everything; not with an env of their own. The
    tests have it so (conftest.py), the benchmarks and scripts do not."""

    def __init__(
        self, datadir: Path, *options: str, network: str = "regtest", env: dict[str, str] | None = None
    ) -> None:
        self.datadir, self.net_dir = datadir, datadir / network
        datadir.mkdir(exist_ok=True)
        self.ports: dict[str, Any] = {}
        self._client: RpcClient | None = None
        self._stderr_file = tempfile.TemporaryFile()  # noqa: SIM115 (closed at the end)
        self._stderr = ""
        self.started_at = time.monotonic()
        self.process = self._start([*self._command(network), *options], env or {})

    def _start(self, command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes] | WarmProcess:
        if self.warm and not env and command[: len(PROGRAM)] == PROGRAM:
            return WarmProcess(command[len(PROGRAM) :], environment(), self._stderr_file.fileno())
        return subprocess.Popen(
            command,
            env=environment() | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr_file,
        )

    def _command(self, network: str) -> list[str]:
        return command(self.datadir, network)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        self._stderr = self.stderr
        self._stderr_file.close()

    @property
    def log(self) -> str:
        path = self.net_dir / "debug.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def stderr(self) -> str:
        if self._stderr_file.closed:
            return self._stderr
        return os.pread(self._stderr_file.fileno(), 1 << 20, 0).decode(errors="replace")

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    # Waiting

    def until(self, what: str, probe: Callable[[], T], limit: float = LIMIT, step: float = STEP) -> T:
        """The first true value of probe, which is asked every step seconds, or after a hundredth of the time
        waited so far. A process that ends meanwhile is a failure."""
        began = time.monotonic()
        while True:
            alive = self.running
            if value := probe():
                return value
            if not alive:
                raise AssertionError(f"the node ended before {what}: {self.stderr or self.log[-2000:]}")
            if (waited := time.monotonic() - began) > limit:
                raise AssertionError(f"waited {limit} s for {what}; the log ends with\n{self.log[-2000:]}")
            time.sleep(max(step, waited / 100))

    def wait_for_log(self, text: str, since: int = 0, limit: float = LIMIT) -> None:
        """Until the log has text; since: index into `log` to look from."""
        self.until(f"the line {text!r}", lambda: text in self.log[since:], limit)

    def wait_ready(self) -> Self:
        """Until the node's RPC serves."""
        self.wait_ports()
        self.until("RPC to be ready", self._answers)
        return self

    def wait_ports(self) -> None:
        self.ports = self.until("ports.json", self._read_ports)

    def _read_ports(self) -> dict[str, Any]:
        try:
            ports: dict[str, Any] = json.loads((self.net_dir / "ports.json").read_text())
        except (OSError, ValueError):  # of a process before, which may have met a bad end
            return {}
        return ports if ports["pid"] == self.process.pid else {}

    def _answers(self) -> bool:
        try:
            self.call("uptime")
        except RpcFailure as error:
            if error.code == -28:
                return False
            raise
        return True

    # RPC

    def call(self, method: str, *args: Any, wallet: str | None = None, **named: Any) -> Any:
        """A method's result; RpcFailure for the node's error."""
        if self._client is None:
            self._client = RpcClient(self.ports["rpc"], self.net_dir / ".cookie")
        return self._client.call(method, *args, wallet=wallet, **named)

    def failure(self, method: str, *args: Any, **named: Any) -> tuple[int, str]:
        """Code and message of the error that a method must give."""
        try:
            result = self.call(method, *args, **named)
        except RpcFailure as error:
            return error.code, error.message
        raise AssertionError(f"{method} did not fail but gave {result!r}")

    # The end

    def stop(self, number: int = signal.SIGTERM, limit: float = LIMIT) -> tuple[int, float]:
        """Sends a signal; exit code, and seconds until the process was gone."""
        self._drop_client()
        started = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(limit), time.monotonic() - started

    def stop_well(self, number: int = signal.SIGTERM) -> None:
        """A stop as it must be: exit code 0, nothing on stderr."""
        code, _ = self.stop(number)
        assert (code, self.stderr) == (0, "")

    def kill(self) -> None:
        """kill -9."""
        self._drop_client()
        self.process.kill()
        self.process.wait()

    def _drop_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


@contextmanager
def running(datadir: Path, *options: str, network: str = "regtest") -> Iterator[Daemon]:
    """A daemon that serves; at the end it is stopped, if it still runs, and must stop as it should."""
    with Daemon(datadir, *options, network=network) as daemon:
        yield daemon.wait_ready()
        if daemon.running:
            daemon.stop_well()


def command(datadir: Path, network: str = "regtest") -> list[str]:
    """The daemon's command line, quiet and on free ports of 127.0.0.1 and ::1."""
    program = [*PROGRAM, f"-chain={network}", f"-datadir={datadir}"]
    return [*program, "-port=0", "-rpcport=0", "-printtoconsole=0", "-bind=127.0.0.1", "-bind=[::1]"]


def environment() -> dict[str, str]:
    """So that the child imports the same pybitcoind as we do."""
    packages = str(Path(next(iter(pybitcoind.node.__path__))).parent.parent)
    inherited = os.environ.get("PYTHONPATH", "")
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (packages, inherited)))}


def run_to_end(
    datadir: Path, *options: str, network: str = "regtest", limit: float = LIMIT
) -> tuple[int, str]:
    """A daemon that must end by itself: exit code and stderr."""
    with Daemon(datadir, *options, network=network) as daemon:
        code = daemon.process.wait(limit)
        return code, daemon.stderr


__all__ = ["Daemon", "NodeError", "RpcFailure", "command", "environment", "run_to_end", "running"]
