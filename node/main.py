"""pybitcoind: the command. It sets the interpreter for a start, and only then imports what starts."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from .interpreter import absent, prepare_start


def main() -> NoReturn:
    """Everything is written and closed when `run` returns, so the process ends at once: to free what a full
    node holds in memory, object by object, would take seconds."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    code = 0
    try:
        prepare_start()
        with absent("ssl"):  # asyncio does without: nothing here speaks TLS
            from .daemon import run
        code = run(sys.argv[1:])
    except _AskedToStop:
        pass
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class _AskedToStop(BaseException):
    """Raised by a signal wherever the start is, so that what it has made so far is taken back."""


def _leave(number: int, frame: object) -> NoReturn:
    """Until the event loop listens to signals."""
    raise _AskedToStop


if __name__ == "__main__":
    main()
