#!/usr/bin/env python3
"""How long a chain of 30,052 signed inputs takes to load with all signatures checked.

Bitcoin Core's validation engine and ours load the same file in turns, each in a process of its own, with the
same number of worker threads; start-up of both is left out. Core's checks scripts on the calling thread too,
and so does ours on one more than it is told; so both use one thread more.

Reads data/regtest-signatures.dat of the outside test data. Needs py-bitcoinkernel (0.1.0a5).

Usage: scripts/bench/load_chain.py [RUNS [THREADS ...]]
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from _bench import Figures, outside_data

HERE = Path(__file__).parent
TIP = "10b98c99e27acb82d318194371a7657844a469ed5629efff515b7ab591081399"
HASHES = [
    "14590a6bbe29271542ee2aecf633854fbd6ff73baa4d5047bc724818c06056b5",
    "800bdf82130fa594e16f1395439ffc6712ec7cdd1c86d70d2f29caf88e38ef24",
]
"""Of the UTXO set as Core has it at the tip: hash_serialized_3 and muhash."""


def load(script: str, file: Path, threads: int) -> tuple[float, float, list[str]]:
    """Seconds until the tip, and to write and close; what else the child tells."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / script), str(file), folder, str(threads)]
        words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    if words[2:4] != ["220", TIP] or words[4:] not in ([], HASHES):
        sys.exit(f"{script} did not get to the tip: {words}")
    return float(words[0]), float(words[1]), words[4:]


def main(runs: int, all_threads: list[int]) -> None:
    file = outside_data("regtest-signatures.dat")
    if importlib.util.find_spec("pbk") is None:
        sys.exit("py-bitcoinkernel is not installed: pip install py-bitcoinkernel==0.1.0a5")
    figures = Figures()
    for threads in all_threads:
        theirs, ours, ratios = [], [], []
        for _ in range(runs):
            their_time, their_end, _ = load("_load_kernel.py", file, threads)
            our_time, our_end, _ = load("_load_ours.py", file, threads)
            theirs.append(their_time)
            ours.append(our_time)
            ratios.append((our_time + our_end) / (their_time + their_end))
        workers = f"{threads} worker{'s' * (threads > 1)}"
        figures.tell(f"load, Core's engine, {workers}", theirs, "s")
        figures.tell(f"load, pybitcoind, {workers}", ours, "s")
        figures.at_most(
            f"load, ratio, {workers}", [o / t for o, t in zip(ours, theirs, strict=True)], 1.5, ""
        )
        figures.tell(f"load, ratio with writing and closing, {workers}", ratios, "")
    figures.exit()


if __name__ == "__main__":
    arguments = [int(text) for text in sys.argv[1:]] or [5]
    main(arguments[0], arguments[1:] or sorted({1, os.cpu_count() or 1}))
