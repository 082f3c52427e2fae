"""-daemon and -daemonwait: going to the background."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable


def daemonize(wait: bool) -> Callable[[bool], None]:
    """Goes on in a child process; the parent exits, with wait only when the start is done.

    Returns what the child calls with True when the start is done, or False when it ends.
    """
    reading, writing = os.pipe()
    if os.fork():
        for number in (signal.SIGINT, signal.SIGTERM):  # who waits can be ended; the daemon goes on
            signal.signal(number, signal.SIG_DFL)
        os.close(writing)
        if os.read(reading, 1) == b"1":
            os._exit(0)
        sys.stderr.write("Error during initialization - check debug.log for details\n")
        sys.stderr.flush()
        os._exit(1)
    os.close(reading)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    told = False

    def tell(success: bool) -> None:
        nonlocal told
        if not told:
            told = True
            os.write(writing, b"1" if success else b"0")
            os.close(writing)

    if not wait:
        tell(True)
    return tell
