"""Feerate estimates beside Core's daemon after one history of transactions, blocks, reorganisations and
restarts: the same answers to the last digit, for all targets, modes and thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from mini_wallet import UNCONFIRMED, MiniWallet, Utxo, outputs_of
from node_process import Daemon
from rpc_pair import Client, Pair, start_core

from pybitcoind.chain.primitives.transaction import OutPoint, Transaction

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]
START = 1_800_000_000
FAN = 900
"""Outputs that one transaction makes to begin with."""
TARGETS = (*range(1, 61), 72, 96, 97, 144, 200, 239, 240, 288, 504, 505, 720, 1007, 1008)
ALL_TARGETS = range(1, 1009)
THRESHOLDS = (0, 0.3, 0.6, 0.85, 0.95, 1)
SEEDS = (1, 2)
OPTIONS = ("-debug=estimatefee", "-nologratelimit")


class History:
    """Draws what happens, tells both, and keeps the books."""

    def __init__(self, program: Path, folder: Path, seed: int) -> None:
        self.program, self.folder = program, folder
        self.random = Random(seed)
        self.pair = Pair(program, folder, *OPTIONS)
        self.wallet = MiniWallet()
        self.descriptor = self.pair.core.call("getdescriptorinfo", f"raw({self.wallet.script_pubkey.hex()})")[
            "descriptor"
        ]
        self.now = START
        self.found = 0
        """Answers that had a feerate."""
        self.ready: list[Utxo] = []
        self.waiting: dict[bytes, tuple[Transaction, Utxo, int]] = {}
        """By txid: unconfirmed, the coin that it spends, its feerate."""

    def fund(self) -> None:
        self.tick()
        self.generate(101, "101 blocks")
        block = self.pair.core.call("getblock", self.pair.core.call("getblockhash", 1), 2)
        coinbase = block["tx"][0]
        coin = Utxo(OutPoint(bytes.fromhex(coinbase["txid"])[::-1], 0), 50 * 10**8, 1, True)
        fan = self.wallet.spend(coin, change=FAN, feerate=5000)
        self.send(fan)
        self.generate(1, "fan")
        self.ready = outputs_of(fan, self.wallet.script_pubkey)

    def tick(self, seconds: int = 600) -> None:
        self.now += seconds
        self.pair.same("setmocktime", self.now)

    def send(self, tx: Transaction) -> bool:
        return self.pair.same("sendrawtransaction", tx.raw.hex(), 0) is not None

    def generate(self, count: int, what: str) -> None:
        hashes = self.pair.same("generatetodescriptor", count, self.descriptor)
        assert hashes, what

    def feerate(self) -> int:
        return int(100 * 1.2 ** (self.random.random() * 45)) + self.random.randrange(100)

    def pay(self) -> None:
        """A transaction of one input; now and then it spends one that is unconfirmed, or replaces one."""
        draw = self.random
        kind = draw.random()
        if kind < 0.08 and self.waiting:
            txid = draw.choice(list(self.waiting))
            tx, coin, feerate = self.waiting[txid]
            again = self.wallet.spend(coin, feerate=feerate * 2 + 300)
            if self.send(again):
                del self.waiting[txid]
                self.waiting[again.txid] = (again, coin, feerate * 2 + 300)
            return
        if kind < 0.16 and self.waiting:
            tx, _, _ = self.waiting[draw.choice(list(self.waiting))]
            coin = outputs_of(tx, self.wallet.script_pubkey)[0]
        elif self.ready:
            coin = self.ready.pop(draw.randrange(len(self.ready)))
        else:
            return
        feerate = self.feerate()
        tx = self.wallet.spend(coin, feerate=feerate, change=draw.choice((1, 1, 2)))
        if self.send(tx):
            self.waiting[tx.txid] = (tx, coin, feerate)
        elif coin.height != UNCONFIRMED:
            self.ready.append(coin)

    def pay_as_package(self) -> None:
        """A parent, that nobody would take alone or everybody, with its child."""
        if len(self.ready) < 2:
            return
        coin = self.ready.pop()
        parent = self.wallet.spend(coin, fee=self.random.choice((0, 3000)))
        (coin,) = outputs_of(parent, self.wallet.script_pubkey)
        child = self.wallet.spend(coin, feerate=self.feerate() * 2)
        self.pair.both("submitpackage", [parent.raw.hex(), child.raw.hex()], 0)

    def block(self) -> None:
        """Of what pays best; a part of it stays behind."""
        self.tick(self.random.randrange(1, 1200))
        pool: dict[str, Any] = self.pair.core.call("getrawmempool", True)
        chosen: list[str] = []
        ordered = sorted(pool, key=lambda t: (-float(pool[t]["fees"]["base"]) / int(pool[t]["vsize"]), t))
        for txid in ordered[: self.random.randrange(len(ordered) + 1)]:
            if self.random.random() < 0.95:
                chosen += [t for t in (*self._ancestors(pool, txid), txid) if t not in chosen]
        assert self.pair.same("generateblock", self.descriptor, chosen) is not None
        for txid in chosen:
            self.waiting.pop(bytes.fromhex(txid)[::-1], None)

    def _ancestors(self, pool: dict[str, Any], txid: str) -> list[str]:
        found: list[str] = []
        for parent in pool[txid]["depends"]:
            found += [t for t in (*self._ancestors(pool, parent), parent) if t not in found]
        return found

    def reorganise(self, depth: int) -> None:
        """The last blocks go; others come, without transactions."""
        height = int(self.pair.core.call("getblockcount"))
        gone = self.pair.core.call("getblockhash", height - depth + 1)
        self.pair.same("invalidateblock", gone)
        self.pair.same("getrawmempool")
        for _ in range(depth + self.random.randrange(2)):
            self.tick(self.random.randrange(1, 600))
            assert self.pair.same("generateblock", self.descriptor, []) is not None
        self.waiting.clear()

    def restart(self) -> None:
        """Both stop in order and start again."""
        pair = self.pair
        options = (*OPTIONS, f"-mocktime={self.now}")
        pair.core.call("stop")
        pair.core.close()
        pair.process.wait(60)
        pair.ours.close()
        with pair.daemon as old:
            old.stop_well()
        pair.process, pair.core = start_core(self.program, self.folder / "core", *options)
        pair.daemon = Daemon(self.folder / "ours", "-connect=0", *options).wait_ready()
        pair.ours = Client(pair.daemon.ports["rpc"], self.folder / "ours" / "regtest" / ".cookie")
        for client in (pair.core, pair.ours):
            while not client.call("getmempoolinfo")["loaded"]:
                pass

    def compare(self, targets: Sequence[int] = TARGETS) -> None:
        for target in targets:
            for mode in ("economical", "conservative"):
                answer = self.pair.same("estimatesmartfee", target, mode)
                self.found += "feerate" in answer
            for threshold in THRESHOLDS if targets is TARGETS else (0.95,):
                self.pair.same("estimaterawfee", target, threshold)
        self.pair.check()

    def compare_logs(self) -> None:
        """Every step of every estimate, and what was made of every block."""
        core, ours = (_told(self.folder / who / "regtest" / "debug.log") for who in ("core", "ours"))
        assert len(core) > 1000
        for number, (one, other) in enumerate(zip(core, ours, strict=True)):
            assert one == other, f"line {number}"


def _told(log: Path) -> list[str]:
    lines = (line.partition("[estimatefee] ")[2] for line in log.read_text().splitlines())
    return [line for line in lines if line and not line.startswith(("Flushed ", "Recorded "))]


@pytest.fixture(params=SEEDS)
def history(bitcoind: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[History]:
    print(f"seed {request.param}")
    history = History(bitcoind, tmp_path, request.param)
    yield history
    history.pair.close()


def test_one_history(history: History) -> None:
    history.fund()
    history.compare()
    for step in range(60):
        for _ in range(history.random.randrange(12)):
            history.pay()
        if step % 7 == 3:
            history.pay_as_package()
        history.block()
        if step in (12, 33, 44):
            history.compare()
            history.reorganise(history.random.randrange(1, 4))
        if step in (25, 50):
            history.compare()
            history.restart()
        if step == 40:
            history.tick(4 * 3600)  # an old tip: what comes now tells nothing
    history.restart()
    history.compare(ALL_TARGETS)
    assert history.found > 2000
    history.compare_logs()
