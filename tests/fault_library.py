"""The library in tests/faults that stands between the daemon and its disk: built, set, and asked what it did.

The header of faults.c says what each kind of fault does.
"""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "faults" / "faults.c"
FLAGS = ("-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
CUT_CODE = 99
"""Exit code of a process whose power was cut."""
_COUNTS = struct.Struct("=4Q")
_REPORT_SIZE = 512


@cache
def build() -> Path | None:
    """The library, built in build/faults if it is not there yet; None where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    version = sha256(SOURCE.read_bytes() + " ".join(FLAGS).encode()).hexdigest()[:16]
    target = SOURCE.parents[2] / "build" / "faults" / f"faults-{version}.so"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(f".{os.getpid()}")  # tests run beside each other
        subprocess.run([compiler, *FLAGS, "-o", fresh, SOURCE, "-ldl", "-lpthread"], check=True)
        fresh.replace(target)
    return target


@dataclass(frozen=True, slots=True)
class Fault:
    """mode: count, eio, enospc, short, fsync, lostsync or power. The others are faults.c's variables."""

    mode: str = "count"
    at: int = 0
    only: str = ""
    seed: int = 1
    keep: int = 0
    piece: int = 4096

    def __str__(self) -> str:
        keep = f" keep={self.keep}% piece={self.piece}" if self.mode == "power" else ""
        return f"{self.mode} at={self.at}{keep} seed={self.seed}{' only=' + self.only if self.only else ''}"


@dataclass(frozen=True, slots=True)
class Report:
    """Operations so far, and how often one failed; where: the last that did, and its file."""

    operations: int
    writes: int
    syncs: int
    fired: int
    where: str


class FaultyDisk:
    """The files below root, for one process that is started with `env`.

    `cut` cuts the power of a process that runs. Nothing is left behind when the with block ends.
    """

    def __init__(self, library: Path, root: Path, fault: Fault | None = None) -> None:
        self.fault, self._root = fault or Fault(), root.resolve()
        self._folder = Path(tempfile.mkdtemp(prefix="pybitcoind-faulty-"))
        self._report, self._fifo = self._folder / "report", self._folder / "fifo"
        self._report.write_bytes(bytes(_REPORT_SIZE))
        os.mkfifo(self._fifo)
        self._lost = self._root.with_name(self._root.name + ".lost")
        self._lost.mkdir()
        self.env = {
            "LD_PRELOAD": str(library),
            "FAULTS_ROOT": str(self._root),
            "FAULTS_MODE": self.fault.mode,
            "FAULTS_AT": str(self.fault.at),
            "FAULTS_SEED": str(self.fault.seed),
            "FAULTS_KEEP": str(self.fault.keep),
            "FAULTS_PIECE": str(self.fault.piece),
            "FAULTS_REPORT": str(self._report),
            "FAULTS_TRIGGER": str(self._fifo),
        } | ({"FAULTS_ONLY": self.fault.only} if self.fault.only else {})

    def __enter__(self) -> FaultyDisk:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder)
        shutil.rmtree(self._lost)

    def cut(self) -> None:
        """Cuts the power now; wait for the process, which ends with CUT_CODE."""
        os.close(os.open(self._fifo, os.O_WRONLY | os.O_NONBLOCK))

    @property
    def report(self) -> Report:
        with self._report.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            counts = _COUNTS.unpack_from(data)
            where = bytes(data[_COUNTS.size :]).split(b"\0", 1)[0].decode()
        return Report(*counts, where)


__all__ = ["CUT_CODE", "Fault", "FaultyDisk", "Report", "build"]
