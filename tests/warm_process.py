"""Daemons that are forked from a process which has imported everything, in place of being started anew.

Nine tenths of what a start costs is imports, the same ones each time. Run as a program this file imports the
whole daemon once and then waits; for each request it forks a process that goes through `main` as a new one
would, with a command line, an environment, a directory and a stderr of its own. What comes of it is a process
like any other: it has its pid, takes signals, can be killed, and ends with an exit code.

A test of the start itself wants a cold one (`node_process.Daemon.warm`).
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import struct
import subprocess
import sys
import traceback
from contextlib import suppress
from functools import cache
from typing import NoReturn

from pybitcoind.node import main as daemon_main
from pybitcoind.node.interpreter import absent, prepare_start

REQUEST_BYTES = 1 << 20


class WarmProcess:
    """What tests need of subprocess.Popen, for `python -m pybitcoind.node.main` with options."""

    def __init__(self, options: list[str], env: dict[str, str], stderr: int) -> None:
        """stderr: its file descriptor; stdin and stdout are closed to it."""
        self.returncode: int | None = None
        self._status, far = socket.socketpair()
        self._poll = select.poll()
        self._poll.register(self._status, select.POLLIN)
        with far:
            request = json.dumps([options, env, os.getcwd()]).encode()
            socket.send_fds(_server(), [request], [stderr, far.fileno()])
        (self.pid,) = struct.unpack("=i", self._status.recv(4, socket.MSG_WAITALL))

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        if (code := self._look(timeout)) is None:
            raise subprocess.TimeoutExpired("a warm daemon", timeout or 0)
        return code

    def _look(self, timeout: float | None) -> int | None:
        """The exit code; None if there is none within timeout seconds, or ever."""
        if self.returncode is None and self._poll.poll(None if timeout is None else timeout * 1000):
            (status,) = struct.unpack("=i", self._status.recv(4, socket.MSG_WAITALL))
            self.returncode = os.waitstatus_to_exitcode(status)
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has just ended, and its status is on the way
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@cache
def _server() -> socket.socket:
    """Where requests go; the server ends with the process that asks it first."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, REQUEST_BYTES)
    with far:
        process = subprocess.Popen(
            [sys.executable, __file__, str(far.fileno())],
            pass_fds=[far.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def end() -> None:
        near.close()
        process.wait()

    atexit.register(end)
    return near


def _serve(requests: socket.socket) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which then close the line
    prepare_start()
    with absent("ssl"):  # as `main` does
        importlib.import_module("pybitcoind.node.daemon")
    _import_all("chain", "p2p", "wallet", "node")
    while True:
        request, files, _, _ = socket.recv_fds(requests, REQUEST_BYTES, 2)
        while _reap():
            pass
        if not request:
            return
        stderr, status = files
        if os.fork() == 0:
            _keep(request, stderr, status)
        os.close(stderr)
        os.close(status)


def _import_all(*names: str) -> None:
    """But what are programs of their own."""
    for name in names:
        package = importlib.import_module(f"pybitcoind.{name}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith(("pybitcoind.node.localnet", "pybitcoind.node.testing")):
                importlib.import_module(module.name)


def _reap() -> bool:
    """Takes leave of a keeper that is done, if there is one."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _keep(request: bytes, stderr: int, status: int) -> NoReturn:
    """The daemon's parent: tells its pid and, when it has ended, its status."""
    pid = os.fork()
    if pid == 0:
        _become_daemon(request, stderr)
    os.close(stderr)
    os.write(status, struct.pack("=i", pid))
    _, ended = os.waitpid(pid, 0)
    with suppress(OSError):  # nobody wants to know any more
        os.write(status, struct.pack("=i", ended))
    os._exit(0)


def _become_daemon(request: bytes, stderr: int) -> NoReturn:
    try:
        options, env, folder = json.loads(request)
        null = os.open(os.devnull, os.O_RDWR)
        for number, source in enumerate((null, null, stderr)):
            os.dup2(source, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(env)
        sys.argv = [daemon_main.__file__, *options]
        daemon_main.main()
    except BaseException:
        traceback.print_exc()
    os._exit(1)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
