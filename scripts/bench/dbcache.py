"""-dbcache against what the coins in memory really take when the cache says that it is full.

Memory is that of a process of its own (RssAnon), which for coins that were read holds SQLite's page cache
too.

Usage: scripts/bench/dbcache.py [MEGABYTES ...]
"""

from __future__ import annotations

import subprocess
import sys

from _bench import ROOT, Figures, arguments
from coins_child import SHAPES

BUDGETS = [50, 100, 450]
TOLERANCE = 0.10


def main(budgets: list[int]) -> None:
    figures = Figures()
    for budget in budgets:
        for shape, what in SHAPES.items():
            command = [sys.executable, str(ROOT / "tests" / "coins_child.py"), shape, str(budget << 20)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            usage, taken, count = map(int, output.split())
            off = abs(taken / (budget << 20) - 1) * 100
            seen = f"{taken / (1 << 20):.1f} MiB, own figure {usage / (1 << 20):.1f}, {count} coins"
            print(f"-dbcache={budget}, {what}: {seen}")
            figures.at_most("  off by", [off], TOLERANCE * 100, "%")
    figures.exit()


if __name__ == "__main__":
    main(*arguments(BUDGETS))
