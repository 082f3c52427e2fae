"""What the benchmarks share: their arguments, where the outside data is, the daemon's starter, figures."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))  # node_process.py starts daemons for tests and benchmarks alike


def arguments(*defaults: Any) -> list[Any]:
    """What the command line gives: a value for each default, of its type; the default where it gives none.

    A list as the last default takes all words that are left. --help shows the script's docstring, which has
    the usage, and so do words that do not fit.
    """
    words, values = sys.argv[1:], list(defaults)
    usage = (sys.modules["__main__"].__doc__ or "").strip()
    if {"-h", "--help"} & {*words}:
        print(usage)
        sys.exit()
    try:
        for i, default in enumerate(defaults):
            if isinstance(default, list) and words:
                values[i], words = [type(default[0])(word) for word in words], []
            elif words:
                values[i] = type(default)(words.pop(0))
    except ValueError as error:
        sys.exit(f"{usage}\n\n{error}")
    if words:
        sys.exit(f"{usage}\n\nwhat is {' '.join(words)}?")
    return values


def outside_data(name: str) -> Path:
    """A file of the outside test data: PYBITCOIND_TEST_DATA, or shared beside the checkout."""
    path = Path(os.environ.get("PYBITCOIND_TEST_DATA", ROOT.parent / "shared")) / "data" / name
    if not path.exists():
        sys.exit(f"there is no {path}; PYBITCOIND_TEST_DATA names the folder of the outside data")
    return path


class Figures:
    """Prints figures, each with what is wanted of it; `exit` ends with 1 if one was missed."""

    def __init__(self) -> None:
        self._missed = 0

    def at_most(self, what: str, values: Sequence[float], limit: float, unit: str) -> None:
        """The median of values, which is to be at most limit."""
        middle = median(values)
        spread = f", {len(values)} runs: {min(values):.3g} to {max(values):.3g}" if len(values) > 1 else ""
        verdict = "ok" if middle <= limit else "MISSED"
        self._missed += middle > limit
        print(f"{what:48} {middle:8.3g} {unit} (at most {limit:g}{spread}) {verdict}", flush=True)

    def at_least(self, what: str, values: Sequence[float], limit: float, unit: str) -> None:
        """The median of values, which is to be at least limit."""
        middle = median(values)
        spread = f", {len(values)} runs: {min(values):.3g} to {max(values):.3g}" if len(values) > 1 else ""
        verdict = "ok" if middle >= limit else "MISSED"
        self._missed += middle < limit
        print(f"{what:48} {middle:8.3g} {unit} (at least {limit:g}{spread}) {verdict}", flush=True)

    def tell(self, what: str, values: Sequence[float], unit: str) -> None:
        """A figure of which nothing is wanted."""
        spread = f" ({len(values)} runs: {min(values):.3g} to {max(values):.3g})" if len(values) > 1 else ""
        print(f"{what:48} {median(values):8.3g} {unit}{spread}", flush=True)

    def exit(self) -> None:
        sys.exit(1 if self._missed else 0)
