"""Crashes the daemon on purpose, in three ways, and looks whether anything was lost. See docs/storage.md."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from crash import Killing
from crash_faults import LoadRuns, WalletRuns
from fault_library import build


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/crash", description=__doc__)
    parser.add_argument("--kills", type=int, help="kill -9 at so many random instants (default 200)")
    parser.add_argument(
        "--faults", type=int, default=0, help="so many runs that load blocks on a failing disk"
    )
    parser.add_argument(
        "--wallets", type=int, default=0, help="so many runs that use a wallet on a failing disk"
    )
    parser.add_argument(
        "--seed", type=int, help="of all that is random (default: a new one, which is printed)"
    )
    parser.add_argument("--seconds", type=float, default=1e9, help="begin nothing new after so many seconds")
    options = parser.parse_args()
    seed = int.from_bytes(os.urandom(4), "big") if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    kills = options.kills
    if kills is None:
        kills = 0 if options.faults or options.wallets else 200
    started = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {line}", flush=True)

    def time_left() -> bool:
        return time.monotonic() - started < options.seconds

    with tempfile.TemporaryDirectory(prefix="pybitcoind-crash-") as name:
        folder = Path(name)
        if kills:
            killing = Killing(folder, seed, tell)
            kills = killing.run(kills, time_left=time_left)
            print("\n".join(killing.table()))
            print(f"{kills} kills in {killing.rounds} rounds: the node always started, nothing was lost")
        if options.faults or options.wallets:
            library = build()
            if library is None:
                print("no C compiler (cc): faults of the disk cannot be tried", file=sys.stderr)
                return 1
            loads = LoadRuns(library, folder, tell)
            _repeat(options.faults, seed, loads.run, loads.ends, "loads on a failing disk", time_left)
            wallets = WalletRuns(library, folder, tell)
            _repeat(
                options.wallets,
                seed,
                wallets.run,
                wallets.ends,
                "uses of a wallet on a failing disk",
                time_left,
            )
    print(f"seed {seed}")
    return 0


def _repeat(
    count: int,
    seed: int,
    run: Callable[[int], None],
    ends: Counter[tuple[str, str]],
    what: str,
    time_left: Callable[[], bool],
) -> None:
    """run with count seeds; the first failure ends all."""
    rng = random.Random(seed)
    for _ in range(count):
        if time_left():
            run(rng.getrandbits(32))
    if count:
        for (mode, how), number in sorted(ends.items()):
            print(f"{mode}: {how} {number}")
        print(f"{sum(ends.values())} {what}: nothing was lost")


if __name__ == "__main__":
    sys.exit(main())
