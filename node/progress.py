"""Bars on a terminal for work that takes long, at its bottom; log lines scroll by above them.

The bars are stderr's, the lines stdout's: each goes where the user sends it, also where one of the two is no
terminal. A line costs no more than a write: the bars are taken off and put back as they were drawn last.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

APPEAR = 0.5
"""Seconds of work before it gets a bar: what is short shows none, and does not wait for rich's import."""
REDRAW = 0.1
_HOME, _CLEAR, _UP = "\r", "\x1b[2K", "\x1b[1A"


class ProgressBars:
    """`Ports.progress` of a node on a terminal, called on the event loop's thread; `write_line` on any."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._bars: dict[str, TaskID] = {}
        self._progress: Progress | None = None
        self._drawn_at = 0.0
        self._text = ""
        """The bars as they stand on the terminal; none of it is there if it is empty."""
        self._lock = threading.Lock()

    def __call__(self, what: str, share: float | None) -> None:
        now = time.monotonic()
        if share is None:
            self._end(what)
        elif now - self._began.setdefault(what, now) >= APPEAR:
            self._show(what, share, now)

    def write_line(self, line: str) -> None:
        """A line of the log, which ends as lines do, to stdout and above the bars."""
        with self._lock:
            around = bool(self._text) and sys.stdout.isatty()
            if around:
                _write(_off(self._text))
            sys.stdout.write(line)
            sys.stdout.flush()
            if around:
                _write(self._text)

    def _show(self, what: str, share: float, now: float) -> None:
        if self._progress is None:
            self._progress = _new_progress()
        if what not in self._bars:
            self._bars[what] = self._progress.add_task(what, total=1.0)
            self._drawn_at = 0.0
        self._progress.update(self._bars[what], completed=share)
        if now - self._drawn_at >= REDRAW:
            self._drawn_at = now
            self._draw()

    def _end(self, what: str) -> None:
        self._began.pop(what, None)
        bar = self._bars.pop(what, None)
        if bar is not None and self._progress is not None:
            self._progress.remove_task(bar)
            self._draw()

    def _draw(self) -> None:
        text = _rendered(self._progress) if self._progress is not None and self._bars else ""
        with self._lock:
            _write(_off(self._text) + text)
            self._text = text

    def close(self) -> None:
        """Takes the bars off; the terminal is as it was."""
        self._bars.clear()
        self._draw()


def _off(text: str) -> str:
    """What takes text off the terminal again, whose cursor is at its end."""
    return _HOME + _CLEAR + (_UP + _CLEAR) * text.count("\n") if text else ""


def _write(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        pass  # a closed terminal


def _new_progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        auto_refresh=False,  # which would be a thread
    )


def _rendered(progress: Progress) -> str:
    """The bars as text for a terminal, a line each, no line break at the end."""
    console: Console = progress.console
    with console.capture() as capture:
        console.print(progress.get_renderable(), no_wrap=True, overflow="crop", crop=True)
    return capture.get().rstrip("\n")


def bars_wanted() -> bool:
    """stderr is a terminal that can move its cursor."""
    dumb = os.environ.get("TERM", "dumb") in ("", "dumb", "unknown")
    return sys.stderr is not None and sys.stderr.isatty() and not dumb
