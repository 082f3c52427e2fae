"""scripts/oracle: compares any number of spends and blocks with Bitcoin Core."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from pybitcoind.chain.script.flags import flag_names

from . import court, judge, policy, serialized, steering
from .court import BlockTally
from .judge import SETS, Tally
from .policy import PolicyTally
from .spends import Spend
from .steering import SteeringTally
from .trees import Delivery


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/oracle",
        description="Compares our consensus rules with Bitcoin Core's on random and hostile input. The same "
        "seed makes the same input. Exit code 1 and a file with the smallest case where they differ.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    scripts = commands.add_parser("scripts", help="spends of every kind under all 64 sets of consensus flags")
    scripts.add_argument("count", type=int, help="how many spends")
    scripts.add_argument(
        "--first", type=int, default=0, help="number of the first one, to go on (default: 0)"
    )
    replay = commands.add_parser("replay", help="judge the spends of a file that was written before")
    replay.add_argument("file", type=Path)
    blocks = commands.add_parser("blocks", help="trees of blocks with forks, reorganisations and bad blocks")
    blocks.add_argument("count", type=int, help="how many blocks, at least")
    blocks.add_argument("--first", type=int, default=0, help="number of the first tree (default: 0)")
    blocks.add_argument("--size", type=int, default=60, help="blocks in a tree, up to 800 (default: 60)")
    daemon = commands.add_parser(
        "daemon", help="spends before the mempools of Core's daemon, which BITCOIND names, and ours"
    )
    daemon.add_argument("count", type=int, help="how many spends")
    daemon.add_argument("--first", type=int, default=0, help="number of the first one (default: 0)")
    daemon.add_argument("--standard", action="store_true", help="refuse what is not standard, as by default")
    steering = commands.add_parser(
        "steering",
        help="trees of blocks, invalidated, reconsidered and preferred at random, by Core's daemon",
    )
    steering.add_argument("count", type=int, help="how many steps, at least")
    steering.add_argument("--first", type=int, default=0, help="number of the first tree (default: 0)")
    damaged = commands.add_parser("bytes", help="serialized transactions, whole and damaged")
    damaged.add_argument("count", type=int, help="how many")
    damaged.add_argument("--first", type=int, default=0, help="number of the first one (default: 0)")
    for command in (scripts, blocks, daemon, steering, damaged):
        command.add_argument("--seed", default="oracle", help="any text (default: oracle)")
        command.add_argument(
            "--out", type=Path, default=Path("oracle-differences.jsonl"), help="where differences are written"
        )
    arguments = parser.parse_args()
    return RUNS[arguments.command](arguments)


class Progress:
    """A line that is written over on a terminal, and one every ten seconds elsewhere."""

    def __init__(self, total: int, what: str) -> None:
        self.total, self.what = total, what
        self.begin = self.told = time.monotonic()

    def show(self, done: int, differences: int) -> None:
        now, live = time.monotonic(), sys.stderr.isatty()
        if not live and now - self.told < 10 and done < self.total:
            return
        self.told = now
        rate = done / max(now - self.begin, 1e-9)
        left = max(0, self.total - done) / rate if rate else 0
        text = f"{done} of {self.total} {self.what}, {rate:.0f} a second, {left:.0f} s left"
        text += f", {differences} differ"
        print(f"\r{text}" if live else text, end="" if live and done < self.total else "\n", file=sys.stderr)


def counts(title: str, found: Counter[str], passed: Counter[str] | None = None) -> None:
    print(f"{title}:")
    for name, count in sorted(found.items(), key=lambda row: (-row[1], row[0])):
        print(f"  {count:8d}  {name}" + (f"  ({passed[name]} pass)" if passed is not None else ""))


def write_differences(out: Path, lines: list[str]) -> int:
    if not lines:
        return 0
    out.write_text("".join(lines))
    print(f"{len(lines)} differences, made small, are in {out}: scripts/oracle replay {out}")
    return 1


def run_scripts(arguments: argparse.Namespace) -> int:
    progress = Progress(arguments.count, "spends")

    def show(tally: Tally) -> None:
        progress.show(tally.count, len(tally.differences))

    tally = judge.compare(arguments.seed, arguments.first, arguments.count, show)
    counts("by kind", tally.kinds, tally.passed)
    counts("under all flags", tally.errors)
    last = arguments.first + tally.count
    print(
        f"{tally.count} spends ({arguments.first} to {last} of seed {arguments.seed}), {len(SETS)} sets of "
        f"flags each: {len(tally.differences)} differences"
    )
    for text, _ in tally.differences:
        print(text)
    return write_differences(arguments.out, [judge.reproduction(*found) for found in tally.differences])


def run_blocks(arguments: argparse.Namespace) -> int:
    progress = Progress(arguments.count, "blocks")

    def show(tally: BlockTally) -> None:
        progress.show(tally.blocks, len(tally.differences))

    size = min(arguments.size, 800)
    tally = asyncio.run(court.compare(arguments.seed, arguments.first, arguments.count, size, show))
    counts("by kind", tally.kinds)
    counts("verdicts", tally.tokens)
    print(
        f"{tally.blocks} blocks of {len(tally.kinds)} kinds in {tally.trees} trees (from {arguments.first} "
        f"of seed {arguments.seed}), delivered {tally.deliveries} times, {tally.headers} headers apart, "
        f"{tally.reorganisations} reorganisations, {len(tally.tokens)} different verdicts: "
        f"{len(tally.differences)} differences"
    )
    for text, _ in tally.differences:
        print(text)
    return write_differences(arguments.out, [court.reproduction(*found) for found in tally.differences])


def core_program() -> Path:
    name = os.environ.get("BITCOIND")
    if not name:
        raise SystemExit("BITCOIND does not name Bitcoin Core's daemon")
    return Path(name)


def run_daemon(arguments: argparse.Namespace) -> int:
    progress = Progress(arguments.count, "spends")

    def show(tally: PolicyTally) -> None:
        progress.show(tally.count, len(tally.differences))

    seed, standard = arguments.seed, arguments.standard
    tally = asyncio.run(
        policy.compare(
            core_program(), seed, arguments.first, arguments.count, standard=standard, progress=show
        )
    )
    counts("by kind", tally.kinds)
    counts("answers", tally.answers)
    print(f"{tally.count} spends of seed {seed}, standard {standard}: {len(tally.differences)} differences")
    for text, _ in tally.differences:
        print(text)
    return write_differences(arguments.out, [judge.reproduction(*found) for found in tally.differences])


def run_bytes(arguments: argparse.Namespace) -> int:
    progress = Progress(arguments.count, "transactions")

    def show(tally: serialized.BytesTally) -> None:
        progress.show(tally.count, len(tally.differences))

    tally = serialized.compare(arguments.seed, arguments.first, arguments.count, show)
    counts("answers", tally.answers)
    print(f"{tally.count} transactions of seed {arguments.seed}: {len(tally.differences)} differences")
    return write_differences(arguments.out, [text + "\n" for text in tally.differences])


def run_steering(arguments: argparse.Namespace) -> int:
    progress = Progress(arguments.count, "steps")

    def show(tally: SteeringTally) -> None:
        progress.show(tally.steps, len(tally.differences))

    tally = asyncio.run(
        steering.compare(core_program(), arguments.seed, arguments.first, arguments.count, show)
    )
    counts("by kind", tally.kinds)
    counts("statuses of tips", tally.statuses)
    print(f"{tally.steps} steps in {tally.trees} trees of {arguments.seed}: {len(tally.differences)} differ")
    return write_differences(arguments.out, [text + "\n" for text in tally.differences])


async def replay_tree(told: dict[str, Any]) -> str | None:
    tree = [Delivery.from_json(delivery) for delivery in told["tree"]]
    with court.chain_engine() as (engine, folder):
        return await court.difference(tree, engine, folder)


def run_replay(arguments: argparse.Namespace) -> int:
    differ = 0
    with judge.engine() as child:
        for line in arguments.file.read_text().splitlines():
            told = json.loads(line)
            if "tree" in told:
                found = asyncio.run(replay_tree(told))
                differ += found is not None
                print(f"{told['what']}\n  now: {found or 'no difference'}")
                continue
            spend = Spend.from_json(told)
            ours, theirs = judge.our_verdict(spend, 0), child.judge(spend)
            print(f"{told['what']}\n  now: {judge.told(ours, theirs) or 'no difference'}")
            for n, flags in enumerate(SETS):
                if (ours.passes ^ theirs) >> n & 1:
                    differ += 1
                    print(
                        f"  Core {theirs >> n & 1}, we {ours.passes >> n & 1}: {','.join(flag_names(flags))}"
                    )
    return 1 if differ else 0


RUNS = {
    "scripts": run_scripts,
    "blocks": run_blocks,
    "daemon": run_daemon,
    "steering": run_steering,
    "bytes": run_bytes,
    "replay": run_replay,
}

if __name__ == "__main__":
    sys.exit(main())
