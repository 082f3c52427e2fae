"""Faults of the disk under a daemon that loads a story or serves a wallet. For scripts/crash and tests.

One fault a run, by a seed: `LoadRuns` for blocks, coins and indexes, `WalletRuns` for what a wallet's RPC has
promised. Whatever the fault is, the node goes on or stops in order; and without it, it starts again with
nothing lost.
"""

from __future__ import annotations

import math
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from crash import ARCHIVE, LOGGING, PRUNED, Outcome, Setup, finish, imported, make_story
from fault_library import CUT_CODE, Fault, FaultyDisk, Report
from node_process import Daemon, NodeError, RpcFailure

MODES = ("power", "power", "power", "eio", "enospc", "short", "fsync", "lostsync")
FILES = ("", "", "blocks/blk", "blocks/index", "chainstate", "peers.sqlite", "mempool.dat", "json")
"""Texts of which a file's path must have one to be concerned: most writes are those of the indexes."""
WALLET_FILES = ("", "wallet.sqlite", "wallets/", "blocks/", "json")
STUCK = 60.0
"""Real seconds in which a node must have ended or be done."""


def random_fault(rng: random.Random, counted: Report, files: Sequence[str]) -> Fault:
    """On all files, at an operation that an undisturbed run, which counted them, has; or on some of files.

    Those have few operations, so small numbers are likely then; it may be that the fault never happens.
    """
    mode, only = rng.choice(MODES), rng.choice(files)
    syncs = mode in ("fsync", "lostsync")
    count = counted.syncs if syncs else counted.operations if mode == "power" else counted.writes
    return Fault(
        mode,
        rng.randint(1, count)
        if not only
        else round(math.exp(rng.uniform(0, math.log(20 if syncs else 150)))),
        only,
        seed=rng.getrandbits(32),
        keep=rng.choice((0, 0, 30, 70, 95, 100)),
        piece=rng.choice((4096, 4096, 512)),
    )


def check_end(code: int, stderr: str, fault: Fault, report: Report) -> None:
    """A node ends by a power cut, by itself with one line that says why, or because it was told to."""
    what = f"{fault}: {report.where}: exit code {code}, {stderr!r}"
    if code == CUT_CODE:
        assert fault.mode == "power" and stderr == "", what
    elif code == 1:
        assert report.fired and fault.mode != "power", what
        lines = 2 if "Settings file" in stderr else 1  # as Core has it
        assert stderr.startswith("Error: ") and stderr.count("\n") == lines, what
        assert "Traceback" not in stderr, what
    else:
        assert (code, stderr) == (0, ""), what


class LoadRuns:
    """A node loads a story on a faulty disk, then again on a good one."""

    def __init__(
        self,
        library: Path,
        folder: Path,
        tell: Callable[[str], None],
        setups: Sequence[Setup] = (ARCHIVE, PRUNED),
    ) -> None:
        self._library, self._folder, self._tell, self._setups = library, folder, tell, setups
        self.story = make_story(folder, length=260, depth=10)
        self._counted: dict[str, Report] = {}
        self._expected: dict[str, Outcome] = {}
        self.ends: Counter[tuple[str, str]] = Counter()
        """By mode of the fault and how the node ended."""

    def run(self, seed: int) -> None:
        """One run. AssertionError where something is lost."""
        rng = random.Random(seed)
        setup = rng.choice(self._setups)
        if setup.name not in self._counted:
            self._undisturbed(setup)
        fault = random_fault(rng, self._counted[setup.name], FILES)
        folder = self._folder / f"load{seed}"
        with FaultyDisk(self._library, folder, fault) as disk:
            code, stderr = self._load(folder, setup, disk)
            report = disk.report
        check_end(code, stderr, fault, report)
        how = {CUT_CODE: "cut", 1: "stopped", 0: "went on"}[code]
        self.ends[fault.mode, how] += 1
        self._tell(f"{setup.name}: {fault}: {report.where or 'never happened'}: {how}: {stderr.strip()}")
        with Daemon(folder, *setup.options, *self.story.options) as node:
            found = finish(node, self.story, setup, STUCK)
        assert found == self._expected[setup.name], f"seed {seed}, {fault}: {found}"
        shutil.rmtree(folder)

    def _load(self, folder: Path, setup: Setup, disk: FaultyDisk) -> tuple[int, str]:
        """Loads all, or as far as the fault lets it; exit code and stderr."""
        options = (*setup.options, *LOGGING, *self.story.options)
        with Daemon(folder, *options, env=disk.env) as node:
            deadline = time.monotonic() + STUCK
            while node.running and not (imported(node.log) and "ports.json" in _names(node.net_dir)):
                assert time.monotonic() < deadline, f"{disk.fault}: {disk.report}: stuck: {node.log[-2000:]}"
                time.sleep(0.02)
            if node.running:
                node.process.terminate()
            return node.process.wait(STUCK), node.stderr

    def _undisturbed(self, setup: Setup) -> None:
        folder = self._folder / "undisturbed"
        with FaultyDisk(self._library, folder) as disk:
            code, stderr = self._load(folder, setup, disk)
            report = self._counted[setup.name] = disk.report
        assert (code, stderr) == (0, "")
        with Daemon(folder, *setup.options, *self.story.options) as node:
            self._expected[setup.name] = finish(node, self.story, setup)
        self._tell(f"undisturbed {setup.name}: {report.operations} operations of the disk")
        shutil.rmtree(folder)


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


# Wallets


@dataclass(slots=True)
class Promises:
    """What RPC has answered, so it must be there for ever."""

    addresses: dict[str, str] = field(default_factory=dict)
    """Handed out by wallet "w", with their labels."""
    txids: list[str] = field(default_factory=list)
    wallets: list[str] = field(default_factory=list)
    """Made, to be loaded at every start."""
    unremembered: list[str] = field(default_factory=list)
    """Made, with a warning that they may not be loaded at a start."""
    locked: list[dict[str, Any]] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    """Hex, in order: these may be lost, and are given again."""


WALLET_OPTIONS = ("-fallbackfee=0.0001", "-keypool=5", "-txindex")


class WalletRuns:
    """A wallet is used until the disk fails; what was promised is looked for on a good disk."""

    def __init__(self, library: Path, folder: Path, tell: Callable[[str], None]) -> None:
        self._library, self._folder, self._tell = library, folder, tell
        self._counted: Report | None = None
        self.ends: Counter[tuple[str, str]] = Counter()

    def run(self, seed: int, *, fault: Fault | None = None, steps: int | None = None) -> None:
        """One run. A power cut is as often made right behind an answer as at an operation of the disk.

        steps: calls before that answer.
        """
        rng = random.Random(seed)
        if fault is None:
            if self._counted is None:
                self._counted = self._count()
            fault = random_fault(rng, self._counted, WALLET_FILES)
        behind_answer = fault.mode == "power" and (steps is not None or rng.random() < 0.5)
        if behind_answer:
            fault = Fault("power", 0, seed=fault.seed, keep=fault.keep, piece=fault.piece)
        folder = self._folder / f"wallet{seed}"
        promises = Promises()
        with FaultyDisk(self._library, folder, fault) as disk:
            if steps is None:
                steps = rng.randint(1, 40) if behind_answer else 40
            code, stderr = self._use(folder, disk, rng, steps, promises, cut=behind_answer)
            report = disk.report
        check_end(code, stderr, fault, report)
        how = {CUT_CODE: "cut", 1: "stopped", 0: "went on"}[code]
        self.ends[fault.mode, how] += 1
        self._tell(f"wallet: {fault}: {report.where or 'never happened'}: {how}: {stderr.strip()}")
        try:
            self._look(folder, promises)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, {fault}, {report.where}: {error}") from error
        shutil.rmtree(folder)

    def _count(self) -> Report:
        folder = self._folder / "undisturbed"
        with FaultyDisk(self._library, folder) as disk:
            promises = Promises()
            code, stderr = self._use(folder, disk, random.Random(0), 40, promises, cut=False)
            counted = disk.report
        assert (code, stderr) == (0, "")
        self._look(folder, promises)
        self._tell(f"undisturbed wallet: {counted.operations} operations of the disk")
        shutil.rmtree(folder)
        return counted

    def _use(
        self, folder: Path, disk: FaultyDisk, rng: random.Random, steps: int, promises: Promises, *, cut: bool
    ) -> tuple[int, str]:
        with Daemon(folder, *WALLET_OPTIONS, env=disk.env) as node:
            try:
                node.wait_ready()
                self._begin(node, promises)
                for _ in range(steps):
                    _act(node, rng, promises)
                if cut:
                    disk.cut()
                else:
                    node.process.terminate()
            except (AssertionError, OSError, HTTPException, NodeError, RpcFailure):
                # the node is ending, or it has ended, or only the call failed; that has promised nothing
                if cut and node.running:
                    raise
                node.process.terminate()
            return node.process.wait(STUCK), node.stderr

    @staticmethod
    def _begin(node: Daemon, promises: Promises) -> None:
        _create(node, promises, "w")
        address = node.call("getnewaddress", "mined", wallet="w")
        promises.addresses[address] = "mined"
        _mine(node, promises, 103, address)

    @staticmethod
    def _look(folder: Path, promises: Promises) -> None:
        """Starts the node on a good disk, gives it the blocks again, and looks for what it promised."""
        with Daemon(folder, *WALLET_OPTIONS) as node:
            node.wait_ready()
            for raw in promises.blocks:
                assert node.call("submitblock", raw) in (None, "duplicate", "inconclusive"), (
                    "a block is refused"
                )
            if promises.blocks:
                last = _hash_of(promises.blocks[-1])  # it may have made more, and not told
                node.until("the tip", lambda: node.call("getblockheader", last)["confirmations"] > 0)
            loaded = node.call("listwallets")
            for name in promises.wallets:
                assert name in loaded, f"wallet {name} is not loaded"
            for name in promises.unremembered:
                if name not in loaded:
                    node.call("loadwallet", name)
            for address, label in promises.addresses.items():
                info = node.call("getaddressinfo", address, wallet="w")
                assert info["ismine"] and info["labels"] == [label], f"address {address} is lost: {info}"
            if promises.addresses:
                fresh = [node.call("getnewaddress", wallet="w") for _ in range(3)]
                assert not set(fresh) & set(promises.addresses), "an address is handed out twice"
            for txid in promises.txids:
                node.call("gettransaction", txid, wallet="w")
            if promises.locked:
                found = node.call("listlockunspent", wallet="w")
                assert all(coin in found for coin in promises.locked), "a coin is not locked any more"
            node.stop_well()


def _create(node: Daemon, promises: Promises, name: str) -> None:
    answer = node.call("createwallet", name, load_on_startup=True)
    (promises.unremembered if "warnings" in answer else promises.wallets).append(name)


def _mine(node: Daemon, promises: Promises, count: int, address: str) -> None:
    for block_hash in node.call("generatetoaddress", count, address):
        promises.blocks.append(node.call("getblock", block_hash, 0))


def _hash_of(raw: str) -> str:
    from pybitcoind.chain.primitives.block import Block

    return Block.decode(bytes.fromhex(raw)).hash[::-1].hex()


def _act(node: Daemon, rng: random.Random, promises: Promises) -> None:
    """One call of a user, and what its answer promises."""
    kind = rng.choice(("address", "address", "send", "send", "mine", "label", "wallet", "lock", "flush"))
    if kind == "address":
        label = f"label{len(promises.addresses)}"
        promises.addresses[node.call("getnewaddress", label, wallet="w")] = label
    elif kind == "send":
        address = rng.choice(list(promises.addresses))
        promises.txids.append(node.call("sendtoaddress", address, 0.1, wallet="w"))
    elif kind == "mine":
        _mine(node, promises, rng.randint(1, 3), rng.choice(list(promises.addresses)))
    elif kind == "label":
        address, label = rng.choice(list(promises.addresses)), f"renamed{rng.getrandbits(16)}"
        del promises.addresses[address]  # until the answer it may have either
        node.call("setlabel", address, label, wallet="w")
        promises.addresses[address] = label
    elif kind == "wallet":
        name = f"wallet{rng.getrandbits(32)}"
        _create(node, promises, name)
    elif kind == "lock":
        coins = node.call("listunspent", wallet="w")
        if coins and len(promises.locked) < 2:
            coin = rng.choice(coins)
            wanted = {"txid": coin["txid"], "vout": coin["vout"]}
            node.call("lockunspent", False, [wanted], True, wallet="w")
            promises.locked.append(wanted)
    else:
        node.call("gettxoutsetinfo", "none")
