#!/usr/bin/env python3
"""How long a chain of 30,052 signed inputs takes to load with all signatures checked.

Bitcoin Core's validation engine and ours load the same file in turns, each in a process of its own, on the
same number of cores (see _loads.py); start-up of both is left out.

Reads data/regtest-signatures.dat of the outside test data. Needs py-bitcoinkernel (0.1.0a5).

Usage: scripts/bench/load_chain.py [RUNS [THREADS ...]]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from _bench import Figures, arguments, outside_data
from _loads import KERNEL, OURS, Load, load, need_kernel

TIP = "10b98c99e27acb82d318194371a7657844a469ed5629efff515b7ab591081399"
HASHES = [
    "14590a6bbe29271542ee2aecf633854fbd6ff73baa4d5047bc724818c06056b5",
    "800bdf82130fa594e16f1395439ffc6712ec7cdd1c86d70d2f29caf88e38ef24",
]
"""Of the UTXO set as Core has it at the tip: hash_serialized_3 and muhash."""


def checked(script: str, file: Path, threads: int) -> Load:
    one = load(script, file, threads, hashes=script == OURS)
    if (one.height, one.tip) != (220, TIP) or one.hashes not in ([], HASHES):
        sys.exit(f"{script} did not get to the tip: {one}")
    return one


def main(runs: int, all_threads: list[int]) -> None:
    file = outside_data("regtest-signatures.dat")
    need_kernel()
    figures = Figures()
    for threads in all_threads:
        pairs = [(checked(KERNEL, file, threads), checked(OURS, file, threads)) for _ in range(runs)]
        where = f"{threads} thread{'s' * (threads > 1)}"
        figures.tell(f"load, Core's engine, {where}", [theirs.load for theirs, _ in pairs], "s")
        figures.tell(f"load, pybitcoind, {where}", [ours.load for _, ours in pairs], "s")
        figures.at_most(f"load, ratio, {where}", [o.load / t.load for t, o in pairs], 1.5, "")
        closed = [(o.load + o.close) / (t.load + t.close) for t, o in pairs]
        figures.tell(f"load, ratio with writing and closing, {where}", closed, "")
    figures.exit()


if __name__ == "__main__":
    main(*arguments(5, sorted({1, os.cpu_count() or 1})))
