"""One process per data directory: a lock on its .lock file that the system frees when the process ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from .config import ConfigError


class DirectoryLock:
    """Holds the lock from construction until `release`. Raises ConfigError in Core's words."""

    def __init__(self, folder: Path) -> None:
        try:
            self._fd = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            raise ConfigError(f"Cannot write to directory '{folder}'; check permissions.") from None
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise ConfigError(
                f"Cannot obtain a lock on directory {folder}. Bitcoin Core is probably already running."
            ) from None

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> DirectoryLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
