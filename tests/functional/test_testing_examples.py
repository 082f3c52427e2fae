"""The examples of docs/testing.md, each a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "testing.md"
LEAST = 9
"""Examples that there must be, so that none is lost by a slip of the pen."""


def _collect() -> int:
    """Runs the page's Python as if it stood in this file, each line with its own number."""
    text = PAGE.read_text()
    found = 0
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        line = text.count("\n", 0, block.start(1))
        exec(compile("\n" * line + block[1], str(PAGE), "exec"), globals())
        found += block[1].count("def test_")
    return found


FOUND = _collect()


@pytest.fixture
def no_threads_left() -> None:
    """The thread of asyncio.to_thread ends with the loop: nothing to look for here."""


def test_there_are_examples() -> None:
    assert FOUND >= LEAST
