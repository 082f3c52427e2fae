"""Stories of blocks, what a node must make of them, and kills meanwhile. For scripts/crash and tests.

A story is three files of blocks in -loadblock form: a chain full of spends, a branch that makes the node go
back, and a branch on the first chain's end that makes it come back. Whatever happens on the way, a node that
is given the files ends with the same tip, the same UTXO set and the same indexes.
"""

from __future__ import annotations

import hashlib
import random
import re
import socket
import sqlite3
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from block_files import empty_branch, write_blocks
from node_process import LIMIT, Daemon
from scene import SCRIPT_PUBKEY, WITNESS, commit_to_witnesses, height_push, make_scene, solved

from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.merkle import merkle_root
from pybitcoind.chain.primitives.transaction import COIN, NULL_OUTPOINT, OutPoint, Transaction, TxIn, TxOut

BITS = 0x207FFFFF
FAN_OUT = 18
PADDING = TxOut(0, b"\x6a\x4d\x00\x08" + bytes(2048))
LOGGING = ("-debug=coindb", "-debug=prune", "-debug=blockstorage")
"""What the phases are told by."""


@dataclass(frozen=True, slots=True)
class Setup:
    """A kind of node. indexes: the files of its indexes."""

    name: str
    options: tuple[str, ...]
    indexes: tuple[str, ...]


ARCHIVE = Setup(
    "archive",
    ("-txindex", "-blockfilterindex", "-coinstatsindex", "-txospenderindex", "-dbcache=4"),
    ("txindex", "blockfilter_basic", "coinstatsindex", "txospenderindex"),
)
PRUNED = Setup(
    "pruned",
    ("-prune=2", "-fastprune", "-blockfilterindex", "-coinstatsindex"),
    ("blockfilter_basic", "coinstatsindex"),
)
PRUNED_BY_HAND = Setup(
    "pruned by hand",
    ("-prune=1", "-fastprune", "-blockfilterindex", "-coinstatsindex", "-dbcache=4"),
    PRUNED.indexes,
)
SETUPS = (ARCHIVE, PRUNED_BY_HAND, PRUNED)


@dataclass(slots=True)
class Story:
    """files: in the order in which they are loaded. chain: hashes of the last chain, by height."""

    files: list[Path]
    chain: list[bytes]
    branch_point: str
    """The first block that the branch does not have."""

    @property
    def tip(self) -> str:
        return hash_hex(self.chain[-1])

    @property
    def options(self) -> list[str]:
        return [f"-loadblock={path}" for path in self.files]


def make_story(folder: Path, *, length: int = 620, depth: int = 60) -> Story:
    """The files, written to folder. length: of the first chain. depth: blocks that the branch takes off."""
    main = _full_chain(length)
    fork = length - depth
    away = empty_branch(main[fork - 1].header, fork, depth + 20, salt=1)
    back = empty_branch(main[-1].header, length, 30, salt=2)
    named = {"main": main, "away": away, "back": back}
    files = [write_blocks(folder / f"{name}.dat", blocks) for name, blocks in named.items()]
    chain = [regtest().genesis.hash, *(block.hash for block in (*main, *back))]
    return Story(files, chain, hash_hex(main[fork].hash))


def _full_chain(length: int) -> list[Block]:
    """Blocks of some 3 kB: each spends a ripe coinbase and old outputs, and leaves some twenty new coins."""
    blocks = list(make_scene(130).blocks)
    old: list[tuple[OutPoint, int]] = []
    while len(blocks) < length:
        height, tip = len(blocks) + 1, blocks[-1].header
        ripe = blocks[height - 101].vtx[0]
        value = ripe.vout[0].value // FAN_OUT
        split = _spend([OutPoint(ripe.txid, 0)], [TxOut(value, SCRIPT_PUBKEY)] * FAN_OUT + [PADDING])
        txs = [split]
        if len(old) > 200:
            some, old = old[:6], old[6:]
            part = sum(amount for _, amount in some) // 8
            txs.append(_spend([at for at, _ in some], [TxOut(part, SCRIPT_PUBKEY)] * 8))
        for tx in txs:
            old += [(OutPoint(tx.txid, n), out.value) for n, out in enumerate(tx.vout) if out.value]
        coinbase = Transaction.make(
            [TxIn(NULL_OUTPOINT, height_push(height) + b"\x00")],
            [TxOut(50 * COIN >> height // 150, SCRIPT_PUBKEY)],
        )
        vtx = [commit_to_witnesses(coinbase, txs), *txs]
        root, _ = merkle_root([tx.txid for tx in vtx])
        header = BlockHeader(0x20000000, tip.hash, root, tip.time + 60, BITS, 0)
        blocks.append(Block(solved(header), vtx))
    return blocks


def _spend(outpoints: list[OutPoint], outputs: list[TxOut]) -> Transaction:
    return Transaction.make(
        [TxIn(outpoint, b"", 0xFFFFFFFF) for outpoint in outpoints],
        outputs,
        witness=[WITNESS] * len(outpoints),
    )


# What a node ends with


@dataclass(frozen=True, slots=True)
class Outcome:
    """What must be the same however often the node was disturbed. indexes: a digest of each one's content."""

    tip: str
    hash_serialized_3: str
    muhash: str
    indexes: tuple[tuple[str, str], ...]


def finish(node: Daemon, story: Story, setup: Setup, limit: float = LIMIT) -> Outcome:
    """Waits for the tip and the indexes, stops the node, and looks at what there is."""
    reach_tip(node, story, limit)
    digest: dict[str, Any] = node.call("gettxoutsetinfo", "hash_serialized_3", None, False)
    muhash = node.call("gettxoutsetinfo", "muhash", None, False)["muhash"]
    node.until("the indexes", lambda: all(i["synced"] for i in node.call("getindexinfo").values()), limit)
    indexed = node.call("gettxoutsetinfo", "muhash")
    assert (indexed["muhash"], indexed["bestblock"]) == (muhash, story.tip)
    node.stop_well()
    indexes = tuple((name, index_digest(node.net_dir, name, story.chain)) for name in setup.indexes)
    return Outcome(digest["bestblock"], digest["hash_serialized_3"], muhash, indexes)


def reach_tip(node: Daemon, story: Story, limit: float = LIMIT) -> None:
    """Waits for the last tip; takes back what was said of its blocks."""
    node.wait_ready()
    for header in node.call("getchaintips"):
        if header["status"] == "invalid":
            node.call("reconsiderblock", header["hash"])
    node.until("the last tip", lambda: node.call("getbestblockhash") == story.tip, limit)


_ROWS = {
    "txindex": "SELECT hash, txid, start, length FROM txs JOIN blocks ON blocks.id = txs.block",
    "txospenderindex": "SELECT hash, start FROM spends JOIN blocks ON blocks.id = spends.block",
    "blockfilter_basic": "SELECT hash, filter_hash, header, encoded FROM filters",
    "coinstatsindex": "SELECT hash, * FROM stats",
}


def index_digest(net_dir: Path, name: str, chain: list[bytes]) -> str:
    """A hash of what the index says about the blocks of chain; others may be in it. Raises for damage."""
    active = set(chain)
    connection = sqlite3.connect(f"file:{net_dir}/indexes/{name}.sqlite?mode=ro", uri=True)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        cursor = connection.execute(_ROWS[name])
        kept = [n for n, column in enumerate(cursor.description) if column[0] != "id"]
        rows = [tuple(row[n] for n in kept) for row in cursor if row[0] in active]
    finally:
        connection.close()
    return hashlib.sha256(repr(sorted(rows)).encode()).hexdigest()[:16]


# Phases, as the log tells them

_IMPORTED = re.compile(r"mempool file\.|mempool transactions from file: \d+ succeeded")
_TIP = re.compile(r"UpdateTip: new best=\w+ height=(\d+)|Loaded best chain: hashBestChain=\w+ height=(\d+)")


def phase_of(log: str, indexes: int = 0) -> str:
    """What a node with so many indexes was doing when its log ended; log: of this one process."""
    if "Shutdown in progress" in log:
        return "stop"
    if log.rfind("Prune: removing") > log.rfind("Prune: deleted"):
        return "prune"
    if log.rfind("Writing chainstate to disk") > log.rfind("Committed "):
        return "flush"
    heights = [int(one or other) for one, other in _TIP.findall(log)]
    if not heights or "Bound to" not in log:
        return "start"
    if heights[-1] < max(heights):
        return "reorganise"
    if imported(log) or "UpdateTip" not in log:
        return "index" if log.count("is enabled at height") < indexes else "idle"
    return "connect"


def imported(log: str) -> bool:
    """All files have been loaded."""
    return _IMPORTED.search(log) is not None


class LogReader:
    """The log of one process, read as it grows."""

    def __init__(self, path: Path) -> None:
        self._path, self.text = path, ""
        self._at = path.stat().st_size if path.exists() else 0

    def read(self) -> str:
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._at)
                data = file.read()
            self._at += len(data)
            self.text += data.decode(errors="replace")
        return self.text


def send(node: Daemon, method: str, *params: str | int) -> None:
    """A call whose answer nobody waits for."""
    cookie = b64encode((node.net_dir / ".cookie").read_bytes()).decode()
    body = f'{{"method": "{method}", "params": {list(params)}}}'.replace("'", '"')
    with socket.create_connection(("127.0.0.1", node.ports["rpc"])) as connection:
        connection.sendall(
            f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {cookie}\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )


# Killing


SPAN = {
    "start": 0.7,
    "connect": 0.8,
    "reorganise": 0.15,
    "flush": 0.012,
    "prune": 0.006,
    "index": 0.3,
    "stop": 0.2,
}
"""Seconds from the moment when a phase has begun within which the kill falls."""
PATIENCE = 10.0
"""Real seconds that a phase is waited for."""
ROUND = 14
"""Kills of one data directory, at least, before what it holds is compared."""


class Killing:
    """Kills daemons, and compares what they end with. tell: is called with a line for each kill and round."""

    def __init__(
        self, folder: Path, seed: int, tell: Callable[[str], None], story: Story | None = None
    ) -> None:
        self.folder, self.rng, self._tell = folder, random.Random(seed), tell
        self.story = story or make_story(folder)
        self.phases: Counter[tuple[str, str]] = Counter()
        """How many kills fell, by name of the setup and phase."""
        self.rounds = 0
        self._expected: dict[str, Outcome] = {}
        self._round_folder = folder
        self._setup = ARCHIVE

    def run(
        self,
        kills: int,
        setups: Sequence[Setup] = SETUPS,
        per_round: int = ROUND,
        time_left: Callable[[], bool] = lambda: True,
    ) -> int:
        """How many kills it were: fewer where no time was left after a round.

        AssertionError where a node does not start or ends with something else.
        """
        done = 0
        while done < kills and time_left():
            self._setup = setups[self.rounds % len(setups)]
            self._round_folder = self.folder / f"round{self.rounds}"
            for goal in self._goals(min(per_round, kills - done)):
                done += 1
                self._kill_one(goal, done)
            self._compare()
            self.rounds += 1
        return done

    def _goals(self, count: int) -> list[str]:
        """While the files load, all in any order; then what needs the whole chain, indexes first."""
        archive = self._setup is ARCHIVE
        late = count // 3
        loading = ["connect", "flush", "reorganise", "stop", "start", "flush" if archive else "prune"]
        loaded = ["index", "index"] if archive else ["prune", "prune"]
        goals = [loading[n % len(loading)] for n in range(count - late)]
        self.rng.shuffle(goals)
        return goals + [[*loaded, "reorganise", "flush", "stop"][n % 5] for n in range(late)]

    def _daemon(self) -> Daemon:
        return Daemon(self._round_folder, *self._setup.options, *LOGGING, *self.story.options)

    def _kill_one(self, goal: str, number: int) -> None:
        if goal == "index":
            self._make_indexes_anew()
        log = LogReader(self._round_folder / "regtest" / "debug.log")
        with self._daemon() as node:
            if goal != "start":
                self._lead_to(goal, node, log)
            time.sleep(self.rng.uniform(0, SPAN[goal]))
            node.kill()
            phase = phase_of(log.read(), len(self._setup.indexes))
            assert node.stderr == "", node.stderr
        self.phases[self._setup.name, phase] += 1
        self._tell(f"kill {number}: {self._setup.name}, meant to {goal}: {phase}")

    def _make_indexes_anew(self) -> None:
        """The whole chain is there, and some indexes are not."""
        with self._daemon() as node:
            reach_tip(node, self.story)
            node.stop_well()
        for name in self.rng.sample(self._setup.indexes, self.rng.randint(1, len(self._setup.indexes))):
            (node.net_dir / "indexes" / f"{name}.sqlite").unlink()

    def _lead_to(self, goal: str, node: Daemon, log: LogReader) -> None:
        """Until the node does what it is to be killed at, or for PATIENCE: it may have nothing to do."""
        begun = {
            "index": lambda: "Bound to" in log.read(),
            "connect": lambda: "Importing blocks file" in log.read(),
            "stop": lambda: "Importing blocks file" in log.read(),
            "reorganise": lambda: phase_of(log.read()) == "reorganise" or imported(log.text),
            "flush": lambda: "Writing chainstate to disk" in log.read(),
            "prune": lambda: "Prune: removing" in log.read() or "prune_height=" in log.text,
        }[goal]
        if goal == "flush":
            node.wait_ready()
            time.sleep(self.rng.uniform(0, 0.7))
            node.until("blocks", lambda: imported(log.read()) or "UpdateTip" in log.text)
            if imported(log.text) or self.rng.random() < 0.3:
                self._reorganise(node)
                tips = log.text.count("UpdateTip")
                node.until("it to begin", lambda: log.read().count("UpdateTip") > tips)
            send(node, "gettxoutsetinfo", "none")
        elif goal == "prune":
            node.wait_ready()
            node.until("blocks to prune", lambda: imported(log.read()) or self._prunable(node))
            if first := self._prunable(node):
                send(node, "pruneblockchain", first)
            else:
                return
        patience = time.monotonic() + PATIENCE
        node.until(goal, lambda: begun() or time.monotonic() > patience, step=0.0005)
        if goal == "reorganise" and imported(log.text):
            self._reorganise(node.wait_ready())
        if goal == "stop":
            time.sleep(self.rng.uniform(0, 0.7))
            node.process.terminate()

    def _reorganise(self, node: Daemon) -> None:
        """Off the first branch, or back on it."""
        failed = any(tip["status"] == "invalid" for tip in node.call("getchaintips"))
        send(node, "reconsiderblock" if failed else "invalidateblock", self.story.branch_point)

    @staticmethod
    def _prunable(node: Daemon) -> int:
        """A height up to which some files can be pruned; 0 if there is none."""
        info = node.call("getblockchaininfo")
        wanted: int = info["pruneheight"] + (130 if info["pruneheight"] < 130 else 40)
        return wanted if wanted < info["blocks"] - 288 else 0

    def _compare(self) -> None:
        expected = self.undisturbed(self._setup)
        with self._daemon() as node:
            found = finish(node, self.story, self._setup)
        assert found == expected, f"{self._round_folder} has {found}, undisturbed it is {expected}"
        self._tell(f"round {self.rounds + 1}: {self._setup.name} ends with {found}")

    def undisturbed(self, setup: Setup) -> Outcome:
        """What a node ends with that nobody disturbs."""
        if setup.name not in self._expected:
            folder = self.folder / f"undisturbed-{setup.name}"
            with Daemon(folder, *setup.options, *self.story.options) as node:
                self._expected[setup.name] = finish(node, self.story, setup)
        return self._expected[setup.name]

    def table(self) -> Iterator[str]:
        names = sorted({phase for _, phase in self.phases})
        for setup in sorted({setup for setup, _ in self.phases}):
            counts = ", ".join(f"{name} {self.phases[setup, name]}" for name in names)
            yield f"{setup}: {counts}"
