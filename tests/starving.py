"""Calls that are short of memory, by the means of Python's own tests, and what memory there is."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


def starve(call: Callable[[], object], wanted: object) -> int:
    """Calls while the first allocation fails, the second and so on; returns how often that was told.

    AssertionError if something else comes out than wanted, which may be AttributeError, or MemoryError; or if
    memory is not given back.
    """
    testcapi = pytest.importorskip("_testcapi", reason="no Python for tests")
    starved = 0
    blocks: list[int] = []
    for _ in range(3):
        whole = n = 0
        while whole < 3:
            # Else there are lists and dictionaries in store, which need no memory to be made.
            taken = [[] for _ in range(100)], [{} for _ in range(100)]  # type: ignore[var-annotated]
            testcapi.set_nomemory(n, n + 1)
            try:
                told, short = call(), False
            except MemoryError:
                told, short = None, True
            except AttributeError:
                told, short = AttributeError, False
            finally:
                testcapi.remove_mem_hooks()
            del taken
            assert short or told == wanted, n
            whole = 0 if short else whole + 1
            starved += short
            n += 1
        told = None
        blocks.append(sys.getallocatedblocks())
    assert blocks[2] - blocks[1] < 10, blocks
    return starved


def resident() -> int:
    """Bytes of this process that are in memory. Linux only."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
