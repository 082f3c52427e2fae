"""A node as a process of its own, in a folder of the test: our daemon, or a bitcoind named by its path."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .errors import NodeFailed, NotPossible, RpcFailure
from .hosted import USER, Spec, Stored, World, as_options, common_options
from .rpc import HttpTransport, Rpc
from .snapshot import stored_in

STEP = 0.004
"""Seconds between two looks at a process that starts or ends."""
START_LIMIT, STOP_LIMIT = 60.0, 30.0
_IN_WARMUP = -28
_OURS_ONLY = ("-role=", "-minerinterval", "-mineraddress")


class ProcessEngine:
    """Runs one node as a process. Its RPC and p2p ports stay the same over a restart."""

    kind = "process"

    def __init__(self, world: World, spec: Spec, stored: Stored, folder: Path) -> None:
        if world.clock.kind == "virtual":
            raise NotPossible(
                "virtual time ends at the border of the test's process: take clock='real', 'fixed' or "
                "'stepping' for nodes that are processes"
            )
        if spec.program and spec.role != "full":
            raise NotPossible(f"{spec.program} knows no role {spec.role!r}: only our daemon has roles")
        self.world, self.spec, self.folder = world, spec, folder
        self.stderr = folder / "stderr.txt"
        self._process: subprocess.Popen[bytes] | None = None
        self._rpc_port, self.endpoint = 0, ("127.0.0.1", 0)
        self._wallets: tuple[str, ...] = ()
        self._transport = HttpTransport(lambda: self._rpc_port, lambda: f"{USER}:{self.password}")
        self.load(stored)

    @property
    def net_dir(self) -> Path:
        return self.folder / "regtest"

    @property
    def password(self) -> str:
        return f"{self.world.number(self.spec.name, 'password') & (1 << 128) - 1:032x}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def command(self) -> list[str]:
        ours = self.spec.program is None
        program = [sys.executable, "-m", "pybitcoind.node.main"] if ours else [str(self.spec.program)]
        options = common_options(self.spec, self.world.clock)
        if not ours:
            options = [option for option in options if not option.startswith(_OURS_ONLY)]
            options += [
                "-server",
                "-listenonion=0",
                "-discover=0",
                "-fixedseeds=0",
                "-natpmp=0",
                "-v2transport=0",
            ]
            if not self._rpc_port:
                self._rpc_port, port = _free_ports()
                self.endpoint = ("127.0.0.1", port)
        host, port = self.endpoint
        options += [f"-datadir={self.folder}", f"-rpcport={self._rpc_port}", f"-rpcuser={USER}"]
        options += [f"-rpcpassword={self.password}", "-printtoconsole=0"]
        options += [f"-port={port}", f"-bind={host}"] if ours else [f"-bind={host}:{port}"]
        options += [f"-whitelist=in,out,noban@{host}", "-debug=net", "-debug=mempool"]
        options += [f"-wallet={name}" for name in self._wallets]
        if when := self.world.clock.stands_at:
            options.append(f"-mocktime={when}")
        return [*program, *options, *as_options(self.spec.options)]

    async def start(self) -> None:
        self._spawn()
        deadline = asyncio.get_running_loop().time() + START_LIMIT
        while not await self._is_ready():
            if not self.running:
                raise NodeFailed(f"{self.spec.name} did not start: {self.last_words()}")
            if asyncio.get_running_loop().time() > deadline:
                await self.kill()
                raise NodeFailed(f"{self.spec.name} did not answer in {START_LIMIT:g} s: {self.last_words()}")
            await asyncio.sleep(STEP)

    def _spawn(self) -> None:
        (self.net_dir / "ports.json").unlink(missing_ok=True)
        with self.stderr.open("wb") as stderr:
            try:
                self._process = subprocess.Popen(
                    self.command(),
                    env=_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    start_new_session=True,
                )
            except OSError as error:
                raise NodeFailed(f"cannot run {self.spec.program}: {error.strerror}") from None

    async def _is_ready(self) -> bool:
        if self.spec.program is None:
            try:
                ports = json.loads((self.net_dir / "ports.json").read_text())
            except (OSError, ValueError):
                return False
            self._rpc_port = ports["rpc"]
            self.endpoint = ("127.0.0.1", ports["p2p"] or 0)
        try:
            await self._transport.call("getblockcount", [], None)
        except NodeFailed:
            return False
        except RpcFailure as error:
            if error.code == _IN_WARMUP:
                return False
            raise
        return True

    async def stop(self) -> None:
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def _end(self, number: int) -> None:
        process, ran = self._process, self.running
        if process is None:
            return
        if ran and number == signal.SIGTERM:
            self._wallets = tuple(await self.rpc().listwallets())
        await self._transport.close()
        if ran:
            process.send_signal(number)
        deadline = asyncio.get_running_loop().time() + STOP_LIMIT
        while process.poll() is None:
            if asyncio.get_running_loop().time() > deadline:
                process.kill()
                process.wait()
                self._process = None
                raise NodeFailed(f"{self.spec.name} did not stop in {STOP_LIMIT:g} s: {self.last_words()}")
            await asyncio.sleep(STEP)
        self._process = None
        if number == signal.SIGTERM and (process.returncode or not ran):
            raise NodeFailed(f"{self.spec.name} ended with code {process.returncode}: {self.last_words()}")

    def failure(self) -> str | None:
        if self._process is not None and self._process.poll() is not None:
            return f"it ended with code {self._process.returncode}: {self.last_words()}"
        return None

    def load(self, stored: Stored) -> None:
        """Puts what is stored in the place of all that there is; the process does not run."""
        shutil.rmtree(self.net_dir, ignore_errors=True)
        self.net_dir.mkdir(parents=True)
        self._wallets = stored.wallets
        for name, image in stored.databases.items():
            path = self.net_dir / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image)
        if stored.mempool:
            (self.net_dir / "mempool.dat").write_bytes(stored.mempool)

    async def store(self) -> Stored:
        """What it has stored; it must be stopped."""
        if self.running:
            raise NotPossible("a process is stopped before its files are copied")
        return stored_in(self.net_dir, self._wallets, ours=self.spec.program is None)

    def rpc(self) -> Rpc:
        return Rpc(self._transport)

    async def rpc_endpoint(self) -> tuple[str, int]:
        if not self.running:
            raise NodeFailed(f"{self.spec.name} does not run")
        return f"{USER}:{self.password}", self._rpc_port

    def last_words(self) -> str:
        words = self.stderr.read_text(errors="replace").strip() if self.stderr.exists() else ""
        return words or "\n".join(self.log_lines()[-10:])

    def log_lines(self) -> list[str]:
        path = self.net_dir / "debug.log"
        return path.read_text(errors="replace").splitlines() if path.exists() else []


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _environment() -> Mapping[str, str]:
    """So that the child imports the same pybitcoind as we do."""
    import pybitcoind.node

    packages = str(Path(next(iter(pybitcoind.node.__path__))).parent.parent)
    inherited = os.environ.get("PYTHONPATH", "")
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (packages, inherited)))}
