"""Loads of a file of blocks by Core's engine and by ours, each in a process of its own on so many cores."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
KERNEL, OURS = "_load_kernel.py", "_load_ours.py"


@dataclass(frozen=True, slots=True)
class Load:
    """Seconds: start-up, until the tip is reached, to write and close. cpu: processor time of the load.

    hashes: of the UTXO set, hash_serialized_3 and muhash, where they were asked for.
    """

    start: float
    load: float
    cpu: float
    close: float
    height: int
    tip: str
    hashes: list[str]

    @property
    def whole(self) -> float:
        return self.start + self.load + self.close


def cores(count: int) -> list[int]:
    """The last count cores of this process, which is all of it at most."""
    return sorted(os.sched_getaffinity(0))[-count:]


def load(script: str, file: Path, threads: int, *more: str, hashes: bool = False) -> Load:
    """script: KERNEL or OURS. Both get threads cores, so that neither does anything beside them."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / script), str(file), folder, str(threads), *more]
        environment = os.environ | ({"UTXO_HASHES": "1"} if hashes else {})
        began = time.monotonic()
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(child.pid, cores(threads))
        output, _ = child.communicate()
    if child.returncode:
        sys.exit(f"{script} ended with {child.returncode}")
    told = json.loads(output)
    return Load(
        told["ready"] - began,
        told["load"],
        told["load_cpu"],
        told["close"],
        told["height"],
        told["tip"],
        told["hashes"],
    )


def need_kernel() -> None:
    if importlib.util.find_spec("pbk") is None:
        sys.exit("py-bitcoinkernel is not installed: pip install py-bitcoinkernel==0.1.0a5")
