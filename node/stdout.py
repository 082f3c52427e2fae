"""What a command does whose reader has gone, as with `| head`: it ends quietly, as programs in C do."""

from __future__ import annotations

import os
import signal
import sys

READER_GONE = 128 + signal.SIGPIPE
"""Exit code of a program that a closed pipe has ended."""


def reader_gone() -> int:
    """To be called for a BrokenPipeError of standard output: silences what is still to be flushed."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return READER_GONE
