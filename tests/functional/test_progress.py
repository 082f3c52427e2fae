"""Long work shows a bar at the bottom of a terminal, below the log lines there, and a line in the log."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
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


def on_a_terminal(datadir: Path, *options: str, log_too: bool = False) -> tuple[int, str]:
    """The daemon's exit code and what it wrote to stderr, a terminal. log_too: stdout is it as well."""
    main, side = pty.openpty()
    try:
        process = subprocess.Popen(
            [*command(datadir), *options],
            env=environment() | {"TERM": "xterm", "COLUMNS": "100"},
            stdin=subprocess.DEVNULL,
            stdout=side if log_too else subprocess.DEVNULL,
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
    assert "".join(Screen().feed(written).lines).strip() == "", "the terminal is not as it was"
    code, written = on_a_terminal(tmp_path / "node", "-reindex", "-stopafterblockimport")
    assert code == 0 and ("Connecting blocks" in written or "Reindexing" in written)


def test_log_lines_scroll_above_the_bar(tmp_path: Path) -> None:
    file = blocks_file(tmp_path, 4500)
    folder = tmp_path / "node"
    folder.mkdir()
    options = (f"-loadblock={file}", "-stopafterblockimport", "-printtoconsole=1")
    code, written = on_a_terminal(folder, *options, log_too=True)
    assert code == 0
    screen, with_bar = Screen(), 0
    for part in written.splitlines(keepends=True):
        screen.feed(part)
        with_bar += "Connecting blocks" in screen.lines[-1] or "Loading blocks" in screen.lines[-1]
    assert with_bar > 30, "the bar was not at the bottom while lines were written"
    log = (folder / "regtest/debug.log").read_text().strip().splitlines()
    shown = [line.rstrip() for line in screen.lines if line.strip()]
    assert shown[: len(log)] == [line.rstrip() for line in log], "the lines are not those of the log"
    assert not any("\u2501" in line for line in shown), "something of the bar is left"


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
    """A terminal of endless height and width, as far as bars and lines need one."""

    def __init__(self) -> None:
        self.lines = [""]
        self._row = self._column = 0

    def feed(self, text: str) -> Screen:
        for token in re.findall(r"\x1b\[[0-9;?]*[a-zA-Z]|.|\n", text.replace("\r\n", "\n")):
            line = self.lines[self._row]
            if token == "\n":
                self._row, self._column = self._row + 1, 0
                if self._row == len(self.lines):
                    self.lines.append("")
            elif token == "\r":
                self._column = 0
            elif token == "\x1b[2K":
                self.lines[self._row] = ""
            elif token == "\x1b[1A":
                self._row -= 1
            elif not token.startswith("\x1b"):
                padded = line.ljust(self._column)
                self.lines[self._row] = padded[: self._column] + token + padded[self._column + 1 :]
                self._column += 1
            else:
                assert token.endswith("m"), f"what is {token!r}?"
        return self


class Bars:
    """In place of rich's bars."""

    def __init__(self) -> None:
        self.tasks: dict[int, tuple[str, float]] = {}

    def add_task(self, what: str, total: float) -> int:
        self.tasks[len(self.tasks)] = (what, 0.0)
        return len(self.tasks) - 1

    def update(self, task: int, completed: float) -> None:
        self.tasks[task] = (self.tasks[task][0], completed)

    def remove_task(self, task: int) -> None:
        del self.tasks[task]

    def text(self) -> str:
        return "\n".join(f"{what} {share}" for what, share in self.tasks.values())


def test_bars_come_and_go(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shown, now, screen = Bars(), [0.0], Screen()
    module: Any = sys.modules[ProgressBars.__module__]
    monkeypatch.setattr(module, "_new_progress", lambda: shown)
    monkeypatch.setattr(module, "_rendered", Bars.text)
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def lines() -> list[str]:
        out, err = capsys.readouterr()
        assert out == ""
        return [line for line in screen.feed(err).lines if line]

    bars = ProgressBars()
    bars("short", 0.0)
    bars("short", 1.0)
    bars("short", None)
    assert lines() == []
    bars("long", 0.1)
    now[0] += APPEAR
    bars("long", 0.5)
    assert lines() == ["long 0.5"]
    bars("other", 0.1)
    now[0] += APPEAR
    bars("other", 0.3)
    assert lines() == ["long 0.5", "other 0.3"]
    monkeypatch.setattr(sys, "stdout", sys.stderr)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bars.write_line("a line\n")
    assert lines() == ["a line", "long 0.5", "other 0.3"]
    bars("long", None)
    assert lines() == ["a line", "other 0.3"]
    bars("other", None)
    assert lines() == ["a line"]
    bars.close()
    assert lines() == ["a line"]
