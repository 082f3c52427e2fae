#!/usr/bin/env python3
"""Validated inputs a second on chains of our own making (see _chains.py), by Core's engine and by ours.

Both load the same file in turns, each in a process of its own, all signatures checked. With n threads both
get n cores and no more; Core's engine is told n - 1 workers, since it checks scripts on the calling thread
too. The ratio is of the loads; start-up, and writing and closing, are told apart, and so is the sum.

Needs py-bitcoinkernel (0.1.0a5). Usage: scripts/bench/validate.py [RUNS [INPUTS [KIND ...]]]
"""

from __future__ import annotations

import os
import sys

from _bench import Figures, arguments
from _chains import KINDS, make_chain
from _loads import KERNEL, OURS, load, need_kernel

WANTED = {"mix": 1.0, "outputs": 0.5, "legacy": 0.5, "taproot": 1.0, "multisig": 1.0}
"""Of Core's engine: what is dominated by signatures is to be as fast, the rest half as fast."""


def main(runs: int, inputs: int, kinds: list[str]) -> None:
    need_kernel()
    figures = Figures()
    all_threads = [int(text) for text in os.environ.get("THREADS", "").split()] or sorted(
        {1, len(os.sched_getaffinity(0))}
    )
    for kind in kinds:
        chain = make_chain(kind, inputs)
        for threads in all_threads:
            theirs, ours = [], []
            for _ in range(runs):
                for script, loads in ((KERNEL, theirs), (OURS, ours)):
                    loads.append(load(script, chain.path, threads))
                    if loads[-1].tip != chain.tip:
                        sys.exit(f"{script} is at {loads[-1].height} {loads[-1].tip}, not at {chain.tip}")
            where = f"{kind}, {threads} thread{'s' * (threads > 1)}"
            for name, loads in (("Core's engine", theirs), ("pybitcoind", ours)):
                figures.tell(f"{where}: {name}", [chain.inputs / one.load for one in loads], "inputs/s")
            pairs = list(zip(theirs, ours, strict=True))
            figures.at_least(f"{where}: ratio", [t.load / o.load for t, o in pairs], WANTED[kind], "x")
            figures.tell(f"{where}: ratio of processor time", [t.cpu / o.cpu for t, o in pairs], "x")
            for name, loads in (("Core's engine", theirs), ("pybitcoind", ours)):
                what = ", ".join(
                    f"{part} {sorted(values)[len(values) // 2]:.2f}"
                    for part, values in (
                        ("start", [one.start for one in loads]),
                        ("load", [one.load for one in loads]),
                        ("write and close", [one.close for one in loads]),
                        ("sum", [one.whole for one in loads]),
                    )
                )
                print(f"    {name}: {what} s")
    figures.exit()


if __name__ == "__main__":
    main(*arguments(3, 100_000, list(KINDS)))
