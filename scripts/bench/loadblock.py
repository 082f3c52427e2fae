#!/usr/bin/env python3
"""`-loadblock -stopatheight` by Core's daemon and by ours: the signature-heavy mix of _chains.py.

Each daemon is started with the file and ends by itself at its last height. What the same start and stop takes
without a block to load is taken off; the sums are told as well. Once with all signatures checked, and once
with the tip assumed valid. For that both are first given the headers of the chain and of two weeks of empty
blocks on top of it, without which Core assumes nothing; both must say in their log that they check no
scripts.

BITCOIND names Core's daemon. Usage: scripts/bench/loadblock.py [RUNS [INPUTS]]
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from _bench import Figures, arguments
from _chains import Chain, empty_headers, file_headers, make_chain
from core_process import CoreDaemon
from node_process import Daemon, environment

HEADERS_ABOVE = 2016 + 50
OURS, CORE = "pybitcoind", "Core's daemon"
WANTED = {"all signatures": 1.0, "assumed valid": 0.4}
COMMON = [
    "-chain=regtest",
    "-printtoconsole=0",
    "-server=0",
    "-listen=0",
    "-connect=0",
    "-dnsseed=0",
    "-par=2",
]
LIMIT = 600.0


def words(who: str, datadir: Path) -> list[str]:
    common = [*COMMON, "-minimumchainwork=0", f"-datadir={datadir}"]
    if who == OURS:
        return [sys.executable, "-m", "pybitcoind.node.main", *common]
    return [os.environ["BITCOIND"], "-checkblockindex=0", "-checkmempool=0", *common]


class Run(NamedTuple):
    """Seconds from a daemon's start to its end, and of processor time."""

    wall: float
    cpu: float


def run(who: str, datadir: Path, *options: str) -> Run:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([*words(who, datadir), *options], check=True, env=environment(), timeout=LIMIT)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Run(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def give_headers(who: str, datadir: Path, headers: Sequence[bytes]) -> None:
    """A data directory whose node knows headers, and no block but the first."""
    with (Daemon if who == OURS else CoreDaemon)(datadir, "-minimumchainwork=0") as daemon:
        daemon.wait_ready()
        for header in headers:
            daemon.call("submitheader", header.hex())
        daemon.stop_well()


def load(who: str, chain: Chain, prepared: Path | None) -> tuple[Run, Run]:
    """A start and stop without blocks, and with all blocks loaded."""
    times = []
    loading = [f"-loadblock={chain.path}", f"-stopatheight={chain.height}"]
    for options in (["-stopafterblockimport"], loading):
        with tempfile.TemporaryDirectory() as folder:
            datadir = Path(folder) / "node"
            if prepared is None:
                datadir.mkdir()
            else:
                shutil.copytree(prepared, datadir)
            assume = chain.tip if prepared is not None else "0"
            times.append(run(who, datadir, f"-assumevalid={assume}", *options))
            log = (datadir / "regtest" / "debug.log").read_text(errors="replace")
            if options is loading:
                if f"new best={chain.tip}" not in log:
                    sys.exit(f"{who} did not get to {chain.tip}; its log ends with\n{log[-1500:]}")
                if ("Disabling script verification" in log) != (prepared is not None):
                    sys.exit(f"{who} checks scripts when it should not, or the other way round")
    return times[0], times[1]


def main(runs: int, inputs: int) -> None:
    if "BITCOIND" not in os.environ:
        sys.exit("BITCOIND is to name Bitcoin Core's daemon")
    chain = make_chain("mix", inputs)
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        known = file_headers(chain.path)
        headers = [header.raw for header in (*known[1:], *empty_headers(known[-1], HEADERS_ABOVE))]
        prepared = {}
        for who in (CORE, OURS):
            prepared[who] = Path(folder) / who.split()[0].strip("'s").lower()
            give_headers(who, prepared[who], headers)
        for name, wanted in WANTED.items():
            loads: dict[str, list[tuple[Run, Run]]] = {CORE: [], OURS: []}
            for _ in range(runs):
                for who, times in loads.items():
                    times.append(load(who, chain, prepared[who] if name == "assumed valid" else None))
            for who, times in loads.items():
                figures.tell(f"{name}: {who}, start and stop alone", [one.wall for one, _ in times], "s")
                figures.tell(f"{name}: {who}, sum", [one.wall for _, one in times], "s")
                rates = [chain.inputs / (whole.wall - empty.wall) for empty, whole in times]
                figures.tell(f"{name}: {who}, without them", rates, "inputs/s")
            pairs = list(zip(loads[CORE], loads[OURS], strict=True))
            net = [(core[1].wall - core[0].wall) / (ours[1].wall - ours[0].wall) for core, ours in pairs]
            figures.at_least(f"{name}: ratio", net, wanted, "x")
            sums = [core[1].wall / ours[1].wall for core, ours in pairs]
            figures.tell(f"{name}: ratio of the sums", sums, "x")
            busy = [(core[1].cpu - core[0].cpu) / (ours[1].cpu - ours[0].cpu) for core, ours in pairs]
            figures.tell(f"{name}: ratio of processor time", busy, "x")
    figures.exit()


if __name__ == "__main__":
    main(*arguments(3, 100_000))
