"""Spends before two mempools: ours and that of Bitcoin Core's daemon, with its policy flags and its words.

Outputs with the random scripts are put into a block first. The same draws then make the same script again,
this time for the outpoint that pays to it, and the input is signed.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from core_daemon import Core
from mini_wallet import MemoryChain, MiniWallet
from ports import TestClock, make_ports

from pybitcoind.chain.consensus.errors import TxFault, TxInvalid
from pybitcoind.chain.events import EventBus
from pybitcoind.chain.mempool.acceptance import Acceptance
from pybitcoind.chain.mempool.pool import Mempool
from pybitcoind.chain.policy.settings import PolicySettings
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxOut

from .spends import VALUE, Spend, funded, make_spend, plan, plan_drawn
from .tape import Copied, Tape

BATCH = 250
MAX_SCRIPT_SIZE = 10_000
"""What is longer can never be spent, and is no coin."""


@dataclass
class PolicyTally:
    count: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    """allowed, or the reason."""
    differences: list[tuple[str, Spend]] = field(default_factory=list)


@dataclass
class Nodes:
    """Core's daemon and our mempool on the same chain. standard: both refuse what is not."""

    core: Core
    chain: MemoryChain
    wallet: MiniWallet
    fast: Acceptance
    slow: Acceptance
    clock: TestClock

    def fund(self, scripts: list[bytes]) -> list[OutPoint]:
        """A block in which each script is paid VALUE."""
        outputs = [TxOut(VALUE, script) for script in scripts]
        tx = self.wallet.spend(self.wallet.take(self.chain.height), outputs=outputs)
        (block,) = self.chain.generate(1, self.wallet, [tx])
        self.clock.set_mock_time(block.header.time + 60)
        self.core.call("setmocktime", block.header.time + 60)
        answer = self.core.call("submitblock", block.raw.hex())
        assert answer is None, answer
        return [OutPoint(tx.txid, n) for n in range(len(scripts))]


@contextmanager
def nodes(program: Path, standard: bool) -> Iterator[Nodes]:
    chain, wallet = MemoryChain(), MiniWallet()
    chain.generate(120, wallet)
    scene = SimpleNamespace(now=chain.tip.time + 60, blocks=chain.blocks[1:])
    with tempfile.TemporaryDirectory(prefix="oracle-") as folder:
        core = Core(program, Path(folder), cast(Any, scene), f"-acceptnonstdtxn={0 if standard else 1}")
        try:
            ports = make_ports(now=scene.now)
            pool = Mempool(PolicySettings(require_standard=standard), ports.clock, ports.log, EventBus())
            fast, slow = (
                Acceptance(pool, chain, chain.params, ports, fast_scripts=way) for way in (True, False)
            )
            assert isinstance(ports.clock, TestClock)
            yield Nodes(core, chain, wallet, fast, slow, ports.clock)
        finally:
            core.stop()


def core_says(core: Core, tx: Transaction) -> str:
    (answer,) = core.call("testmempoolaccept", [tx.raw.hex()], 0)
    if answer["allowed"]:
        return f"allowed, {answer['vsize']} vbytes"  # more where signature operations weigh more
    return answer.get("reject-details", answer["reject-reason"])


async def we_say(acceptance: Acceptance, tx: Transaction) -> str:
    try:
        accepted = await acceptance.accept(tx, test_only=True)
    except TxInvalid as fault:
        return "missing-inputs" if fault.fault is TxFault.MISSING_INPUTS else str(fault)
    return f"allowed, {accepted.vsize} vbytes"


async def compare(
    program: Path,
    seed: str,
    first: int,
    count: int,
    *,
    standard: bool,
    progress: Callable[[PolicyTally], None] | None = None,
) -> PolicyTally:
    """Judges count spends, from number first of a seed on; those that cannot be planned are left out."""
    tally = PolicyTally()
    number = first
    with nodes(program, standard) as pair:
        while tally.count < count and len(tally.differences) < 5:
            batch: dict[str, bytes] = {}
            while len(batch) < min(BATCH, count - tally.count):
                name = f"{seed}/{number}"
                number += 1
                script = plan(name)
                if script is not None:
                    batch[name] = script
            outpoints = pair.fund(list(batch.values()))
            for name, outpoint in zip(batch, outpoints, strict=True):
                spend = make_spend(random.Random(name), funded(outpoint))
                if spend.spent[0] != TxOut(VALUE, batch[name]):
                    spend = spend._replace(kind=spend.kind + ", of another output")
                await _judge(pair, name, spend, tally)
            if progress is not None:
                progress(tally)
    return tally


async def difference(pair: Nodes, rng: random.Random) -> tuple[str, Spend | None]:
    """Judges one spend of any source of draws; what differs, "" if nothing does."""
    first = Copied(rng)
    make_spend(first, funded(OutPoint(bytes(32), 0)))
    drawn = first.drawn

    def again() -> random.Random:
        return Tape(given=drawn)

    script = plan_drawn(again)
    if script is None or len(script) > MAX_SCRIPT_SIZE:
        return "", None
    (outpoint,) = pair.fund([script])
    spend, tally = make_spend(again(), funded(outpoint)), PolicyTally()
    await _judge(pair, "drawn", spend, tally)
    return (tally.differences[0][0] if tally.differences else ""), spend


async def _judge(pair: Nodes, name: str, spend: Spend, tally: PolicyTally) -> None:
    theirs = core_says(pair.core, spend.tx)
    tally.count += 1
    tally.kinds[spend.kind.split(", ")[0]] += 1
    tally.answers[theirs.split(",")[0]] += 1
    for acceptance in (pair.fast, pair.slow):
        ours = await we_say(acceptance, spend.tx)
        if ours != theirs:
            tally.differences.append((f"spend {name}: Core {theirs!r}, we {ours!r}", spend))
            return
