"""debug.log in Core's form: `2026-01-02T03:04:05Z [thread] [file:line] [function] [category] message`.

A line is written by one unbuffered call before the logging call returns: tests read the file right after an
answer.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import gmtime, strftime, time_ns

from .config import Config, ConfigError

_CATEGORY_NAMES = (
    "addrman bench blockstorage cmpctblock coindb estimatefee http i2p ipc kernel leveldb libevent mempool "
    "mempoolrej net privatebroadcast proxy prune qt rand reindex rpc scan selectcoins tor txpackages "
    "txreconciliation validation walletdb zmq"
)
CATEGORIES = tuple(_CATEGORY_NAMES.split())
"""Core's categories, sorted, as the `logging` method lists them."""

_LEVELS = ("trace", "debug", "info", "warning", "error")
_TRACE, _DEBUG, _INFO, _WARNING, _ERROR = range(5)
_SHRINK_TO = 10 * 1_000_000
_ROOT = os.path.dirname(os.path.dirname(__file__)) + os.sep
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(10), *range(11, 32), 127)}


class DebugLog:
    """The node's log (`Log` of chain/ports.py). Lines before `open` are kept and written then."""

    def __init__(self, mock_time: Callable[[], int] = lambda: 0) -> None:
        self.path: Path | None = None
        self.console = False
        self.write_console: Callable[[str], None] = _to_stdout
        """Where lines go besides the file, if `console` says so."""
        self.times = True
        self.micros = False
        self.thread_names = False
        self.source_locations = False
        self.always_level = False
        self.log_ips = False
        self._mock_time = mock_time
        self._on: set[str] = set()
        self._level = _DEBUG
        self._category_levels: dict[str, int] = {}
        self._fd = -1
        self._early: list[str] | None = []
        self._second, self._second_text = -1, ""

    # Set up

    def configure(self, config: Config) -> None:
        """Takes the logging options. Raises ConfigError for an unknown category or level."""
        self.path = config.path("debuglogfile", "debug.log")
        self.console = config.flag("printtoconsole", not config.flag("daemon"))
        self.times = config.flag("logtimestamps", True)
        self.micros = config.flag("logtimemicros")
        self.thread_names = config.flag("logthreadnames")
        self.source_locations = config.flag("logsourcelocations")
        self.always_level = config.flag("loglevelalways")
        self.log_ips = config.flag("logips")
        wanted = config.values("debug")
        off = max((i + 1 for i, name in enumerate(wanted) if name in ("0", "none")), default=0)
        for option, names, on in (
            ("debug", wanted[off:], True),
            ("debugexclude", config.values("debugexclude"), False),
        ):
            for name in names:
                if not self.set_category(name, on):
                    raise ConfigError(f"Unsupported logging category -{option}={name}.")
        for text in config.values("loglevel"):
            self._set_level(text)

    def _set_level(self, text: str) -> None:
        allowed = ("info", "debug", "trace")
        category, colon, level = text.partition(":")
        if not colon:
            if text not in allowed:
                raise ConfigError(
                    f"Unsupported global logging level -loglevel={text}. Valid values: {', '.join(allowed)}."
                )
            self._level = _LEVELS.index(text)
        elif category not in CATEGORIES or level not in allowed:
            raise ConfigError(
                f"Unsupported category-specific logging level -loglevel={text}. Expected -loglevel="
                f"<category>:<loglevel>. Valid categories: {', '.join(CATEGORIES)}. Valid loglevels: "
                f"{', '.join(allowed)}."
            )
        else:
            self._category_levels[category] = _LEVELS.index(level)

    def open(self, shrink: bool = False) -> None:
        """Opens the file for appending and writes what came before. OSError if it cannot be opened."""
        if self.path is not None:
            if shrink:
                self._shrink(self.path)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.write(self._fd, b"\n" * 5)  # sets this run apart from the last one
        early, self._early = self._early or [], None
        for line in early:
            self._put(line)

    @staticmethod
    def _shrink(path: Path) -> None:
        if path.exists() and path.stat().st_size > _SHRINK_TO * 11 // 10:
            with path.open("rb") as file:
                file.seek(-_SHRINK_TO, os.SEEK_END)
                tail = file.read()
            path.write_bytes(tail)

    def reopen(self) -> None:
        """Opens the file anew by its name (SIGHUP, after a log rotation)."""
        if self.path is not None and self._fd >= 0:
            fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.dup2(fd, self._fd, inheritable=False)
            os.close(fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # Categories

    def set_category(self, name: str, on: bool) -> bool:
        """Turns a category on or off ("", "1" and "all" mean all); False if there is none of that name."""
        if name in ("", "1", "all"):
            names: tuple[str, ...] = CATEGORIES
        elif name in CATEGORIES:
            names = (name,)
        else:
            return False
        self._on = self._on.union(names) if on else self._on.difference(names)
        return True

    def categories(self) -> dict[str, bool]:
        return {name: name in self._on for name in CATEGORIES}

    def enabled(self, category: str) -> bool:
        return category in self._on and self._category_levels.get(category, self._level) <= _DEBUG

    # Writing

    def debug(self, category: str, message: str) -> None:
        if category in self._on and self._category_levels.get(category, self._level) <= _DEBUG:
            self._write(_DEBUG, category, message)

    def trace(self, category: str, message: str) -> None:
        if category in self._on and self._category_levels.get(category, self._level) <= _TRACE:
            self._write(_TRACE, category, message)

    def info(self, message: str) -> None:
        self._write(_INFO, "", message)

    def warning(self, message: str) -> None:
        self._write(_WARNING, "", message)

    def error(self, message: str) -> None:
        self._write(_ERROR, "", message)

    def _write(self, level: int, category: str, message: str) -> None:
        line = self._stamp() if self.times else ""
        if self.thread_names:
            line += f"[{threading.current_thread().name}] "
        if self.source_locations:
            code = sys._getframe(2)
            name = code.f_code.co_filename.removeprefix(_ROOT)
            line += f"[{name}:{code.f_lineno}] [{code.f_code.co_name}] "
        line += self._prefix(level, category) + message.translate(_CONTROL)
        self._put(line if line.endswith("\n") else line + "\n")

    def _prefix(self, level: int, category: str) -> str:
        """[category], [category:level] or [level]: debug is implied by a category, info by none."""
        if self.always_level:
            return f"[{category or 'all'}:{_LEVELS[level]}] "
        if category:
            return f"[{category}] " if level == _DEBUG else f"[{category}:{_LEVELS[level]}] "
        return "" if level == _INFO else f"[{_LEVELS[level]}] "

    def _stamp(self) -> str:
        second, nanos = divmod(time_ns(), 1_000_000_000)
        if second != self._second:
            self._second_text = strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))
            self._second = second
        text = self._second_text + (f".{nanos // 1000:06d}Z " if self.micros else "Z ")
        mocked = self._mock_time()
        return f"{text}(mocktime: {strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(mocked))}) " if mocked else text

    def _put(self, line: str) -> None:
        if self._early is not None:
            self._early.append(line)
            return
        try:
            if self._fd >= 0:
                os.write(self._fd, line.encode("utf-8", "backslashreplace"))
            if self.console:
                self.write_console(line)
        except OSError:
            pass  # a full disk, a closed terminal: whoever logs has other things to do


def _to_stdout(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()
