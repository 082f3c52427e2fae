#!/usr/bin/env python3
"""What a signature check costs: each common form, with templates and without, on one thread and on several.

Reads data/regtest-signatures.dat of the outside test data. Usage: scripts/bench/script_checks.py
"""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from _bench import arguments, outside_data
from block_files import read_spends

from pybitcoind.chain.script.flags import MANDATORY_FLAGS
from pybitcoind.chain.script.sighash import TxDigests
from pybitcoind.chain.script.solver import solve
from pybitcoind.chain.script.verify import CheckRun, split_checks, verify_run


def microseconds(work: Callable[[], object], count: int) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) / count * 1e6


def main() -> None:
    all_digests = read_spends(outside_data("regtest-signatures.dat"))
    by_form: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for n, digests in enumerate(all_digests):
        assert digests.spent is not None
        for index, output in enumerate(digests.spent):
            by_form[solve(output[1])[0]].append((n, index))
    total = sum(map(len, by_form.values()))

    def fresh() -> list[TxDigests]:
        return [TxDigests(digests.tx, digests.spent) for digests in all_digests]

    def check(runs: list[CheckRun], enabled: bool = True) -> None:
        if verify_run(runs, MANDATORY_FLAGS, templates_enabled=enabled):
            sys.exit("a check failed")

    print(f"{total} inputs, microseconds each, digests of the transactions included")
    for form, places in by_form.items():
        costs = []
        for enabled in (True, False):
            made = fresh()
            runs = [CheckRun(made[n], index, index + 1) for n, index in places]
            costs.append(microseconds(lambda runs=runs, enabled=enabled: check(runs, enabled), len(runs)))
        print(f"{form:22} {len(places):6} template {costs[0]:6.1f}  interpreter {costs[1]:6.1f}")
    for threads in sorted({1, 2, os.cpu_count() or 1}):
        with ThreadPoolExecutor(threads) as pool:
            parts = split_checks(fresh(), 8 * threads)
            cost = microseconds(lambda parts=parts, pool=pool: list(pool.map(check, parts)), total)
        print(f"all on {threads} thread{'s' * (threads > 1)}: {cost:.1f}")


if __name__ == "__main__":
    arguments()
    main()
