#!/usr/bin/env python3
"""Loads the outside regtest chain (30,012 signed inputs, all checked): ours against Core's engine, in turn.

    scripts/bench/load_chain.py [RUNS]

Both use two threads and files on the same disk, each run in a process and a folder of its own. Core's
engine is py-bitcoinkernel; without it only our own figures are printed.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile

from _bench import ROOT, Figures, outside_data

THREADS = "2"
OURS = """
import asyncio, json, sys, time
from pathlib import Path
from ports import make_ports, thread_workers
from running import running_chain

async def main():
    with thread_workers(int(sys.argv[3])) as workers:
        ports = make_ports(Path(sys.argv[1]), workers=workers)
        began = time.perf_counter()
        async with running_chain(ports) as chain:
            await chain.load_external(sys.argv[2])
            loaded, height = time.perf_counter(), chain.tip.height
        print(json.dumps([height, loaded - began, time.perf_counter() - began, time.process_time()]))

asyncio.run(main())
"""
ENGINE = """
import json, sys, time
import pbk
from pbk import ChainstateManagerOptions, make_context

folder = sys.argv[1]
began = time.perf_counter()
options = ChainstateManagerOptions(make_context(pbk.ChainType.REGTEST), folder, folder + "/blocks")
options.set_worker_threads_num(int(sys.argv[3]) - 1)
chain = pbk.ChainstateManager(options)
data = open(sys.argv[2], "rb").read()
pos = 0
while pos < len(data):
    size = int.from_bytes(data[pos + 4 : pos + 8], "little")
    chain.process_block(pbk.Block(data[pos + 8 : pos + 8 + size]))
    pos += 8 + size
loaded, height = time.perf_counter(), chain.get_active_chain().height
del chain
print(json.dumps([height, loaded - began, time.perf_counter() - began, time.process_time()]))
"""


def run(code: str) -> list[float]:
    """Seconds: to the tip, until all is written, of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run(
            [sys.executable, "-c", code, folder, str(outside_data("regtest-signatures.dat")), THREADS],
            capture_output=True,
            text=True,
            cwd=ROOT / "tests",
        )
    if result.returncode:
        sys.exit(result.stderr)
    height, *seconds = json.loads(result.stdout)
    if height != 220:
        sys.exit(f"ended at height {height}")
    return seconds


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with_engine = importlib.util.find_spec("pbk") is not None
    ours, engine = [], []
    for _ in range(runs):
        ours.append(run(OURS))
        if with_engine:
            engine.append(run(ENGINE))
    figures = Figures()
    for name, results in (("ours", ours), ("Core's engine", engine)):
        for i, what in enumerate(("load", "load and close", "processor time")):
            if results:
                figures.tell(f"{name}: {what}", [seconds[i] for seconds in results], "s")
    if engine:
        # The quickest of each: what else runs on the machine only ever adds.
        ratio = min(seconds[0] for seconds in ours) / min(seconds[0] for seconds in engine)
        figures.at_most("load, ours by Core's engine (quickest runs)", [ratio], 1.5, "x")
    figures.exit()


if __name__ == "__main__":
    main()
