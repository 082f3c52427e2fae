"""The script index against the blocks themselves: pages, spends, reorganisations, restarts."""

from __future__ import annotations

import random
from typing import Any

import pytest
from test_indexes import Chain, running
from test_spenders import ports  # noqa: F401 (a fixture)

from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.indexes.scripts import ScriptIndex, ScriptOutput, Spend, script_hash
from pybitcoind.chain.ports import Ports
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut

SCRIPTS = [bytes([0x51, n]) for n in range(4)]


@pytest.fixture
def chain() -> Chain:
    return Chain()


class Money:
    """Makes transactions over what its own chain holds."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.count = 0

    def grow(self, chain: Chain, prev: HeaderNode, length: int) -> HeaderNode:
        unspent = [
            OutPoint(tx.txid, n)
            for tx in transactions(chain, prev)
            for n in range(len(tx.vout))
            if not any(
                OutPoint(tx.txid, n) == txin.prevout for t in transactions(chain, prev) for txin in t.vin
            )
        ]
        for _ in range(length):
            txs = []
            for _ in range(self.rng.randrange(4)):
                self.rng.shuffle(unspent)
                spent = [unspent.pop() for _ in range(min(len(unspent), self.rng.randrange(3)))]
                self.count += 1
                spent = spent or [OutPoint(self.count.to_bytes(32, "big"), 0)]
                outputs = [
                    TxOut(self.rng.randrange(1000), self.rng.choice(SCRIPTS))
                    for _ in range(self.rng.randrange(1, 4))
                ]
                tx = Transaction.make([TxIn(prevout) for prevout in spent], [*outputs, TxOut(0, b"\x6a")])
                txs.append(tx)
                unspent += [OutPoint(tx.txid, n) for n in range(len(outputs))]
            prev = chain.extend(prev, *txs, salt=self.rng.randrange(250))
        return prev


def transactions(chain: Chain, tip: HeaderNode) -> list[Transaction]:
    return [tx for node in path(tip) for tx in chain.blocks[node][0].vtx[1:]]


def path(tip: HeaderNode) -> list[HeaderNode]:
    return [tip.ancestor(height) for height in range(1, tip.height + 1)]


def expected(chain: Chain, tip: HeaderNode, script: bytes) -> list[ScriptOutput]:
    """Oldest first, by looking through all blocks."""
    spends = {
        txin.prevout: Spend(tx.txid, number, node.height)
        for node in path(tip)
        for tx in chain.blocks[node][0].vtx[1:]
        for number, txin in enumerate(tx.vin)
    }
    return [
        ScriptOutput(OutPoint(tx.txid, n), out.value, node.height, position, spends.get(OutPoint(tx.txid, n)))
        for node in path(tip)
        for position, tx in enumerate(chain.blocks[node][0].vtx)
        for n, out in enumerate(tx.vout)
        if out.script_pubkey == script
    ]


async def check(index: ScriptIndex, chain: Chain, rng: random.Random) -> None:
    for script in SCRIPTS:
        wanted, key = expected(chain, chain.tip, script), script_hash(script)
        assert await index.history(key, count=10_000, newest_first=False) == wanted
        assert await index.history(key, count=10_000) == wanted[::-1]
        skip, count = rng.randrange(len(wanted) + 2), rng.randrange(5)
        assert await index.history(key, skip=skip, count=count) == wanted[::-1][skip : skip + count]
        spent = [output for output in wanted if output.spend is not None]
        assert await index.totals(key) == (
            len(wanted),
            sum(output.value for output in wanted),
            len(spent),
            sum(output.value for output in spent),
        )
    assert await index.history(script_hash(b"\x6a")) == []
    assert await index.totals(script_hash(b"unknown")) == (0, 0, 0, 0)


@pytest.mark.parametrize("seed", range(3))
async def test_as_the_blocks_say(seed: int, chain: Chain, ports: Ports) -> None:  # noqa: F811
    print("seed", seed)
    money, rng = Money(seed), random.Random(seed)
    tips: list[HeaderNode] = [money.grow(chain, chain.tip, 12)]
    chain.connect(tips[0])
    for _ in range(3):
        async with running(ScriptIndex, chain, ports) as index:
            await check(index, chain, rng)
            for _ in range(4):
                fork = rng.choice(tips).ancestor(rng.randrange(6, 12))
                tips.append(money.grow(chain, fork, 14 - fork.height + rng.randrange(4)))
                chain.connect(rng.choice(tips))  # back to an old branch, too
                await chain.events.drained()
                await check(index, chain, rng)
        chain.connect(rng.choice(tips))  # while nobody follows


async def test_genesis_pays_nobody(chain: Chain, ports: Ports) -> None:  # noqa: F811
    async with running(ScriptIndex, chain, ports) as index:
        genesis: Any = chain.blocks[chain.headers.genesis][0].vtx[0].vout[0]
        assert await index.history(script_hash(genesis.script_pubkey)) == []
