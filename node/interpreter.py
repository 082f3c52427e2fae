"""How the interpreter is set for a node: measured with scripts/bench/load_chain.py and startup.py."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SWITCH_INTERVAL = 0.0005
"""Seconds after which a thread that computes lets others have the interpreter's lock. The usual 5 ms make
threads that check signatures wait, who need it for some microseconds between two of them."""
YOUNG_OBJECTS = 300_000
"""New objects until the collector looks for garbage among them, usually 700: a block has up to 200,000
parts, none of them in a cycle, and looking through them were a tenth of the time of a load."""


is_ours = False
"""The process is the daemon's: nobody else's code runs in it, or imports what it imports."""


def is_compiled() -> bool:
    """Whether the modules that blocks spend their time in were compiled when this was installed (setup.py).

    To be asked when they have been imported.
    """
    return "pybitcoind.chain.compiled__mypyc" in sys.modules


def prepare_start() -> None:
    """A start makes little garbage and much that stays: nothing is collected until `settle`."""
    global is_ours
    is_ours = True
    gc.disable()
    sys.setswitchinterval(SWITCH_INTERVAL)


def settle() -> None:
    """What there is now is there to stay, and is not looked through any more."""
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
    gc.enable()


@contextmanager
def absent(module: str) -> Iterator[None]:
    """Whatever is imported meanwhile finds no such module, as in a Python that was built without it.

    Where asyncio finds no ssl it does without; to import it is 7 ms of a start.
    """
    known = sys.modules.pop(module, None)
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]
        if known is not None:
            sys.modules[module] = known
