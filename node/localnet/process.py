"""One node of the local network as a process: start, ready, stop, kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .client import NodeError, RpcClient, RpcFailure
from .shape import NodeShape

START_TIMEOUT = 30.0
STOP_TIMEOUT = 15.0


def wait_until(
    what: str,
    probe: Callable[[], Any],
    *,
    timeout: float = 30.0,
    step: float = 0.02,
    saw: Callable[[], Any] | None = None,
) -> Any:
    """The first true value of probe; NodeError says what was waited for and what was seen instead.

    A node that does not answer yet counts as not true.
    """
    deadline = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            last = value = probe()
            if value:
                return value
        except NodeError as error:
            last = error
        if time.monotonic() > deadline:
            raise NodeError(f"waited {timeout:.0f} s for {what}; saw {saw() if saw else last}")
        time.sleep(step)


class NodeProcess:
    """A pybitcoind in folder, started on free ports and started again on the same ones.

    chain: (name, path of its description) of a chain of one's own.
    """

    def __init__(self, shape: NodeShape, folder: Path, chain: tuple[str, str] | None = None) -> None:
        self.shape, self.folder = shape, folder
        name, path = chain or ("regtest", "regtest")
        self.network_folder, self.chain_option = folder / name, f"-chain={path}"
        self.p2p_port = self.rpc_port = self.web_port = 0
        self.pid: int | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._client: RpcClient | None = None

    @property
    def name(self) -> str:
        return self.shape.name

    @property
    def wallet_name(self) -> str:
        """A miner makes its wallet itself, the others' are made by `wait_ready`."""
        return "miner" if self.shape.role == "miner" else "wallet"

    @property
    def log_file(self) -> Path:
        return self.network_folder / "debug.log"

    @property
    def running(self) -> bool:
        if self.process is not None:
            return self.process.poll() is None
        return self.pid is not None and _is_ours(self.pid, self.folder)

    def command(self, interval: float) -> list[str]:
        """The daemon's command line."""
        command = [
            sys.executable,
            "-m",
            "pybitcoind.node.main",
            self.chain_option,
            f"-datadir={self.folder}",
            f"-role={self.shape.role}",
            f"-port={self.p2p_port}",
            f"-rpcport={self.rpc_port}",
            "-bind=127.0.0.1",
            "-whitelist=in,out,noban@127.0.0.1",  # transactions go on at once, not in trickles
            "-server",
            f"-web={self.web_port}",
            "-fallbackfee=0.0001",
            "-debug=net",
            "-debug=mempool",
        ]
        if self.shape.role != "spv":
            command += ["-blockfilterindex", "-peerblockfilters"]
            command += ["-txindex", "-txospenderindex", "-scriptindex"]
        if self.shape.role == "miner":
            command.append(f"-minerinterval={interval:.9g}")
        if (self.network_folder / "wallets" / self.wallet_name).exists():
            command.append(f"-wallet={self.wallet_name}")
        return command + [f"-{option}" for option in self.shape.options]

    def start(self, interval: float) -> None:
        """Starts the process; `wait_ready` waits for it."""
        if self.running:
            raise NodeError(f"{self.name} runs already")
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.hang_up()
        (self.network_folder / "ports.json").unlink(missing_ok=True)
        with (self.folder / "stderr.txt").open("wb") as stderr:
            self.process = subprocess.Popen(
                self.command(interval),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,  # Ctrl-C is for the supervisor, which stops its nodes in order
            )
        self.pid = self.process.pid

    def wait_ready(self) -> None:
        """Until the node answers RPC; it has its wallet then."""

        def ports() -> Any:
            if not self.running:
                raise NodeDied(self)
            try:
                return json.loads((self.network_folder / "ports.json").read_text())
            except (OSError, ValueError):
                return None

        found = wait_until(f"{self.name} to open its ports", ports, timeout=START_TIMEOUT)
        self.p2p_port, self.rpc_port = found.get("p2p") or 0, found["rpc"]
        self.web_port = found.get("web") or 0
        wait_until(f"{self.name} to answer", self._answers, timeout=START_TIMEOUT)
        if self.shape.role == "miner":
            wait_until(f"{self.name} to have its wallet", self._has_wallet, timeout=START_TIMEOUT)
        elif not self._has_wallet():
            self.rpc("createwallet", self.wallet_name)

    def rpc(self, method: str, *args: Any, **named: Any) -> Any:
        if not self.rpc_port:
            raise NodeError(f"{self.name} has not started yet")
        if self._client is None:
            self._client = RpcClient(self.rpc_port, self.network_folder / ".cookie")
        try:
            return self._client.call(method, *args, **named)
        except OSError:  # no cookie: the node is not there
            raise NodeError(f"{self.name} does not run") from None

    def wallet(self, method: str, *args: Any, **named: Any) -> Any:
        """A method of this node's wallet."""
        return self.rpc(method, *args, wallet=self.wallet_name, **named)

    def _answers(self) -> bool:
        if not self.running:
            raise NodeDied(self)
        return self.rpc("getblockcount") is not None

    def _has_wallet(self) -> bool:
        return self.wallet_name in self.rpc("listwallets")

    def stop(self) -> None:
        """An orderly stop; killed where it does not stop."""
        if self.running and self.pid is not None:
            os.kill(self.pid, signal.SIGTERM)
            try:
                wait_until(f"{self.name} to stop", lambda: not self.running, timeout=STOP_TIMEOUT)
            except NodeError:
                self.kill()
        self.hang_up()
        self.process = self.pid = None

    def kill(self) -> None:
        """kill -9."""
        if self.running and self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            if self.process is not None:
                self.process.wait()
            else:
                wait_until(f"{self.name} to die", lambda: not self.running)
        self.hang_up()
        self.process = self.pid = None

    def last_words(self) -> str:
        """What the process wrote to stderr, or the end of its log."""
        try:
            words = (self.folder / "stderr.txt").read_text(errors="replace").strip()
            return words or self.log_file.read_text(errors="replace").strip().rpartition("\n")[2]
        except OSError:
            return "nothing"

    def to_json(self) -> dict[str, Any]:
        return {
            "pid": self.pid,
            "p2p_port": self.p2p_port,
            "rpc_port": self.rpc_port,
            "web_port": self.web_port,
        }

    def load_json(self, data: dict[str, Any]) -> None:
        self.pid, self.p2p_port, self.rpc_port = data["pid"], data["p2p_port"], data["rpc_port"]
        self.web_port = data["web_port"]

    def hang_up(self) -> None:
        """Ends the connection that is kept for `rpc`; the next call makes another."""
        if self._client is not None:
            self._client.close()
            self._client = None


class NodeDied(Exception):
    """A node's process ended by itself."""

    def __init__(self, node: NodeProcess) -> None:
        super().__init__(f"{node.name} ended; it said: {node.last_words()}")


def _is_ours(pid: int, folder: Path) -> bool:
    """Whether pid is a live daemon on folder, and not some other program that got its number since."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
        shown = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
        command, state = shown.stdout, "R"  # no /proc here (macOS)
    except OSError:
        return False
    return state != "Z" and f"-datadir={folder}".encode() in command


__all__ = ["NodeDied", "NodeError", "NodeProcess", "RpcFailure", "wait_until"]
