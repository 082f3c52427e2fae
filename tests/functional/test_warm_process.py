"""A daemon that is forked from a warm process is to a test what a started one is."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from node_process import Daemon, run_to_end, running
from warm_process import WarmProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="daemons are started cold here")


def test_it_is_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WARM", "yes")
    with running(tmp_path / "a") as a, running(tmp_path / "b") as b:
        assert isinstance(a.process, WarmProcess) and a.process.pid != b.process.pid
        process = Path(f"/proc/{a.process.pid}")
        assert process.joinpath("cwd").readlink() == tmp_path
        files = {name: process.joinpath("fd", name).readlink() for name in "012"}
        assert str(files["0"]) == str(files["1"]) == "/dev/null" != str(files["2"])
        with pytest.raises(subprocess.TimeoutExpired):
            a.process.wait(0.01)
        a.stop_well()
        assert (a.process.poll(), a.running, b.running) == (0, False, True)
        assert not process.exists(), "and it is taken leave of"
        a.kill()  # nobody any more, and no harm


def test_exit_codes_and_stderr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of a cold start."""
    options = "-prune=-3"
    warm = run_to_end(tmp_path, options)
    monkeypatch.setattr(Daemon, "warm", False)
    assert warm == run_to_end(tmp_path, options)
    assert warm == (1, "Error: Prune cannot be configured with a negative value.\n")


def test_killed(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        node.process.kill()
        assert node.process.wait() == -signal.SIGKILL
    with Daemon(tmp_path) as node:
        assert node.wait_ready().stop(signal.SIGINT)[0] == 0
