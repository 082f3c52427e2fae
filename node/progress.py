"""Bars on a terminal for work that takes long, where no log lines are shown there (-printtoconsole=0)."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

APPEAR = 0.5
"""Seconds of work before it gets a bar: what is short shows none, and does not wait for rich's import."""
REDRAW = 0.1


class ProgressBars:
    """`Ports.progress` of a node on a terminal. Called on the event loop's thread only."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._bars: dict[str, TaskID] = {}
        self._display: Progress | None = None
        self._drawn = 0.0

    def __call__(self, what: str, share: float | None) -> None:
        now = time.monotonic()
        if share is None:
            self._end(what)
        elif now - self._began.setdefault(what, now) >= APPEAR:
            self._show(what, share, now)

    def _show(self, what: str, share: float, now: float) -> None:
        if self._display is None:
            self._display = _new_display()
            self._display.start()
        if what not in self._bars:
            self._bars[what] = self._display.add_task(what, total=1.0)
        self._display.update(self._bars[what], completed=share)
        if now - self._drawn >= REDRAW:
            self._drawn = now
            self._display.refresh()

    def _end(self, what: str) -> None:
        self._began.pop(what, None)
        bar = self._bars.pop(what, None)
        if bar is not None and self._display is not None:
            self._display.remove_task(bar)
            if not self._bars:
                self.close()

    def close(self) -> None:
        """Takes the bars off; the terminal is as it was."""
        if self._display is not None:
            self._display.stop()
            self._display = None
        self._bars.clear()


def _new_display() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        auto_refresh=False,  # which would be a thread
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def bars_wanted(console_log: bool) -> bool:
    """stderr is a terminal, and nothing else is written there. console_log: log lines are."""
    return not console_log and sys.stderr is not None and sys.stderr.isatty()
