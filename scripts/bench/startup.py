#!/usr/bin/env python3
"""How soon an empty regtest node answers RPC, counted from the start of its process, and what that took.

Usage: scripts/bench/startup.py [RUNS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from _bench import Figures, arguments
from node_process import Daemon


def memory(pid: int) -> dict[str, float]:
    """Megabytes: Rss is what `ps` shows, Pss counts pages shared with other processes in part."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) * 1024 / 1e6 for line in lines}


def processor_time(pid: int) -> float:
    """Seconds that its threads have computed."""
    return (
        sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9
    )


def main(runs: int) -> None:
    if sys.dont_write_bytecode:
        sys.exit("without PYTHONDONTWRITEBYTECODE: every start would compile everything anew")
    seconds, computed, resident, proportional, stops = [], [], [], [], []
    for _ in range(runs + 1):
        with tempfile.TemporaryDirectory() as folder, Daemon(Path(folder)) as daemon:
            daemon.wait_ready()
            seconds.append(time.monotonic() - daemon.started_at)
            computed.append(processor_time(daemon.process.pid))
            used = memory(daemon.process.pid)
            resident.append(used["Rss"])
            proportional.append(used["Pss"])
            code, taken = daemon.stop()
            if code or daemon.stderr:
                sys.exit(f"the node ended with {code}: {daemon.stderr}")
            stops.append(taken)
    figures = Figures()
    # The first start is left out: it reads files from the disk and may compile them.
    figures.at_most("empty node: start to answer", seconds[1:], 0.35, "s")
    figures.tell("empty node: processor time until then", computed[1:], "s")
    figures.at_most("empty node: memory (RSS)", resident[1:], 60, "MB")
    figures.tell("empty node: memory (PSS)", proportional[1:], "MB")
    figures.tell("empty node: stop", stops[1:], "s")
    figures.exit()


if __name__ == "__main__":
    main(*arguments(20))
