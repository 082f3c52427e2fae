"""pybitcoind: the command. It sets the interpreter for a start, and only then imports what starts."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from .interpreter import absent, prepare_start


def main() -> NoReturn:
    """Everything is written and closed when `run` returns, so the process ends at once: to free what a full
    node holds in memory, object by object, would take seconds."""
    prepare_start()
    with absent("ssl"):  # asyncio does without: nothing here speaks TLS
        from .daemon import run
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
