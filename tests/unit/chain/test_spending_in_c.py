"""A chain whose blocks are spent in C, and one whose blocks are spent in Python: the same coins at the end.

With the coins in memory or on the disk, blocks begun while the one before is checked, and blocks taken back.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from drawn_blocks import counting_script
from ports import make_ports
from running import Recorder, running_chain
from scene import SCRIPT_PUBKEY, Scene, Spendable, make_scene

from pybitcoind.chain import chainstate, native
from pybitcoind.chain.events import BlockChecked
from pybitcoind.chain.manager import ChainManager, ChainOptions
from pybitcoind.chain.primitives import transaction
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.transaction import Transaction, TxOut
from pybitcoind.chain.utxo_set_hash import UtxoHashType, utxo_set_stats

SEED = 20261130
LENGTH = 130
pytestmark = pytest.mark.skipif(native.part is None, reason="the compiled part is not built: no C compiler")


def full_block(scene: Scene, rng: random.Random) -> Block:
    """Spends of coins old and new, and of what the block makes itself."""
    free = [coin for coin in scene.mature if coin[1].script_pubkey == SCRIPT_PUBKEY]
    inside: list[Spendable] = []
    txs: list[Transaction] = []
    for _ in range(rng.randrange(1, 9)):
        source = inside if inside and rng.random() < 0.5 else free
        coins = [source.pop(rng.randrange(len(source)))]
        if free and rng.random() < 0.3:
            coins.append(free.pop(rng.randrange(len(free))))
        left = sum(coin.value for _, coin in coins) - 1000
        outputs = [TxOut(left // 3, SCRIPT_PUBKEY) for _ in range(3 if left > 9 else 0)]
        outputs += [TxOut(0, rng.choice((b"\x6a\x01\x02", b"\x51" + counting_script(rng))))]
        txs.append(
            scene.spend(*coins, outputs=outputs, sequence=rng.choice((0, 1 << 31, 0xFFFFFFFF)), version=2)
        )
        inside += [scene.output(txs[-1], n) for n in range(len(outputs) - 1)]
    return scene.block(*txs, coinbase=scene.coinbase(fees=rng.choice((0, 1000 * len(txs)))))


def branch(scene: Scene, rng: random.Random, length: int) -> tuple[list[Block], Scene]:
    blocks = []
    for _ in range(length):
        blocks.append(full_block(scene, rng))
        scene = scene.extended(blocks[-1])
    return blocks, scene


class Watch:
    """Stands in for the way in C and looks at what it tells. without: it is not there."""

    def __init__(self, *, without: bool) -> None:
        self.without, self.told = without, Counter[str]()

    def __call__(self, block: Block, caches: Any, prev: Any, params: Any, flags: int) -> Any:
        told = None if self.without else chainstate_way(block, caches, prev, params, flags)
        self.told[type(told).__name__] += 1
        self.told["over"] += bool(caches[0])
        return told


chainstate_way, python_way = chainstate.spend_block_in_c, chainstate.spend_block


async def arrive(chain: ChainManager, blocks: list[Block], at_once: bool, flushing: bool) -> None:
    """All are there before the first is connected, or one after the other."""

    async def accept(some: list[Block]) -> None:
        for block in some:
            chain._accept_block(Block.decode(block.raw), True, True)

    for some in [blocks] if at_once else [[block] for block in blocks]:
        await chain.submit(lambda some=some: accept(some))
        await chain.activate_best()
        if flushing:
            await chain.flush()


async def coins_after(
    monkeypatch: pytest.MonkeyPatch, *, without: bool, at_once: bool, db_cache: int, flushing: bool
) -> tuple[Any, ...]:
    """Coins and verdicts after two branches, of which the second is longer, then the first again."""
    watch, rng, recorder = Watch(without=without), random.Random(SEED), Recorder()
    monkeypatch.setattr(chainstate, "spend_block_in_c", watch)
    in_python: list[bytes] = []

    def by_python(block: Block, *rest: Any) -> Any:
        in_python.append(block.hash)
        return python_way(block, *rest)

    monkeypatch.setattr(chainstate, "spend_block", by_python)
    if without:
        monkeypatch.setattr(transaction, "_part", None)  # nor are they read in C
    base = make_scene(LENGTH)
    first, one = branch(base, rng, 5)
    second, two = branch(base, rng, 7)
    third, three = branch(one, rng, 4)
    bad = three.block(three.spend(three.mature[0]), three.spend(three.mature[0], fee=2))
    options = ChainOptions(db_cache=db_cache)
    async with running_chain(make_ports(now=three.now + 3600), options, recorder=recorder) as chain:
        await arrive(chain, base.blocks, True, flushing)
        for blocks, scene in ((first, one), (second, two), (third, three)):
            await arrive(chain, blocks, at_once, flushing)
            assert chain.tip.hash == scene.tip.hash
            assert await chain.chainstate.coins.peek(scene.utxo) == scene.utxo
        await arrive(chain, [bad], at_once, flushing)
        assert chain.tip.hash == three.tip.hash
        await chain.flush()
        stats = await utxo_set_stats(
            chain.chainstate.store, UtxoHashType.HASH_SERIALIZED_3, chain.ports.workers
        )
        await chain.events.drained()
        verdicts = [
            (e.block_hash, e.error and str(e.error)) for e in recorder.events if isinstance(e, BlockChecked)
        ]
    assert verdicts[-1][1] is not None and "bad-txns-inputs-missingorspent" in verdicts[-1][1]
    if without:
        assert set(watch.told) == {"NoneType", "over"}
    else:
        assert set(in_python) == {bad.hash}, "Python has done what C is there for"
        assert (watch.told["list"] > 10) is (flushing and not db_cache), watch.told
    assert watch.told["over"] > (110 if at_once else 100), watch.told
    return stats.txouts, stats.hash, verdicts


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
@pytest.mark.parametrize(("db_cache", "flushing"), [(1 << 24, False), (1 << 24, True), (0, True)])
async def test_the_coins_are_the_same(
    monkeypatch: pytest.MonkeyPatch, at_once: bool, db_cache: int, flushing: bool
) -> None:
    told = [
        await coins_after(monkeypatch, without=without, at_once=at_once, db_cache=db_cache, flushing=flushing)
        for without in (False, True)
    ]
    assert told[0] == told[1]
    assert told[0][0] > 50
