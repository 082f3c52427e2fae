"""Long work shows a bar on a terminal where no log lines are, a line in the log, and nothing elsewhere."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from block_files import empty_branch, write_blocks
from node_process import command, environment, running

from pybitcoind.chain.params import regtest
from pybitcoind.node.progress import APPEAR, ProgressBars

LIMIT = 60.0


def blocks_file(folder: Path, count: int) -> Path:
    return write_blocks(folder / "blocks.dat", empty_branch(regtest().genesis.header, 0, count))


def on_a_terminal(datadir: Path, *options: str) -> tuple[int, str]:
    """The daemon's exit code and what it wrote to stderr, a terminal."""
    main, side = pty.openpty()
    try:
        process = subprocess.Popen(
            [*command(datadir), *options],
            env=environment() | {"TERM": "xterm", "COLUMNS": "100"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=side,
        )
    finally:
        os.close(side)
    written, deadline = b"", time.monotonic() + LIMIT
    try:
        while time.monotonic() < deadline:
            if select.select([main], [], [], 0.1)[0]:
                try:
                    written += os.read(main, 1 << 16)
                except OSError:  # the other end is closed
                    break
        return process.wait(LIMIT), written.decode()
    finally:
        process.kill()
        os.close(main)


def test_a_bar_on_a_terminal(tmp_path: Path) -> None:
    file = blocks_file(tmp_path, 7500)  # some seconds of work
    tmp_path.joinpath("node").mkdir()
    code, written = on_a_terminal(tmp_path / "node", f"-loadblock={file}", "-stopafterblockimport")
    assert code == 0
    assert "Connecting blocks" in written and "%" in written
    assert "\x1b[?25h" in written.rsplit("Connecting blocks", 1)[-1], "the cursor does not come back"
    code, written = on_a_terminal(tmp_path / "node", "-reindex", "-stopafterblockimport")
    assert code == 0 and ("Connecting blocks" in written or "Reindexing" in written)


def test_log_lines_and_no_bar_elsewhere(tmp_path: Path) -> None:
    with running(tmp_path / "node", f"-loadblock={blocks_file(tmp_path, 300)}") as daemon:
        daemon.wait_for_log("Loaded 300 blocks from external file")
    with running(
        tmp_path / "node", "-checkblocks=0", "-txindex"
    ) as daemon:  # stderr stays empty: `running` looks
        daemon.wait_for_log("txindex is enabled at height 300")
        assert "Verification progress: 50%" in daemon.log
        assert "Syncing txindex with block chain from height" in daemon.log


def test_rich_is_imported_late(tmp_path: Path) -> None:
    """A start does not pay for bars."""
    look = "import sys, pybitcoind.node.app, pybitcoind.node.full; print('rich' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", look], env=environment(), capture_output=True, text=True, check=True
    )
    assert run.stdout == "False\n"


class Screen:
    """In place of rich's display."""

    def __init__(self) -> None:
        self.tasks: dict[int, tuple[str, float]] = {}
        self.on = False

    def start(self) -> None:
        self.on = True

    def stop(self) -> None:
        self.on = False

    def add_task(self, what: str, total: float) -> int:
        self.tasks[len(self.tasks)] = (what, 0.0)
        return len(self.tasks) - 1

    def update(self, task: int, completed: float) -> None:
        self.tasks[task] = (self.tasks[task][0], completed)

    def remove_task(self, task: int) -> None:
        del self.tasks[task]

    def refresh(self) -> None:
        assert self.on


def test_bars_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, now = Screen(), [0.0]
    module: Any = sys.modules[ProgressBars.__module__]
    make: Callable[[], Screen] = lambda: screen  # noqa: E731
    monkeypatch.setattr(module, "_new_display", make)
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    bars = ProgressBars()
    bars("short", 0.0)
    bars("short", 1.0)
    bars("short", None)
    assert not screen.on and not screen.tasks
    bars("long", 0.1)
    now[0] += APPEAR
    bars("long", 0.5)
    assert screen.on and screen.tasks == {0: ("long", 0.5)}
    bars("other", 0.1)
    now[0] += APPEAR
    bars("other", 0.3)
    bars("long", None)
    assert screen.on and screen.tasks == {1: ("other", 0.3)}
    bars("other", None)
    assert not screen.on
    bars.close()
