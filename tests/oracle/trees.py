"""Random trees of blocks on a scene: good ones, every known kind of bad ones, wild ones.

A tree is a list of deliveries: blocks and headers, mostly but not always parents first, some of them twice.
"""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from invalid_blocks import INVALID_BLOCKS, InvalidBlock
from scene import SCRIPT_PUBKEY, WITNESS, Scene, Spendable, height_push, make_scene

from pybitcoind.chain.consensus.pow import block_work
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script.flags import MANDATORY_FLAGS
from pybitcoind.chain.script.sighash import TxDigests
from pybitcoind.chain.script.verify import verify_input

from .spends import VALUE, funded, make_spend, plan

BASE_LENGTH = 112
"""A few coinbases are ripe, more become so on the way."""
HUGE = frozenset(("too long", "too heavy", "weight of 4,000,001", "transaction: too large"))
KINDS = tuple(
    template
    for template in INVALID_BLOCKS
    if (template.on_wire and template.fault != "TIME_FUTURE") or template.name == "time at the end of time"
)
"""All but what the clock decides: Core's engine has the real one."""
SMALL = tuple(template for template in KINDS if template.name not in HUGE)


@dataclass
class Delivery:
    kind: str
    """valid, wild, or the name of the template."""
    block: Block
    header_only: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "block": self.block.raw.hex(), "header_only": self.header_only}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Delivery:
        return cls(told["kind"], Block.decode(bytes.fromhex(told["block"])), told["header_only"])


@cache
def base() -> Scene:
    """What all trees stand on."""
    return make_scene(BASE_LENGTH)


def make_tree(rng: random.Random, size: int = 60) -> list[Delivery]:
    """size blocks, and more deliveries."""
    scenes, made = [base()], []
    for number in range(size):
        below = scenes[-1] if rng.randrange(5) < 3 else rng.choice(scenes)
        delivery = _next(rng, below, number)
        made.append(delivery)
        if delivery.kind == "valid":
            scenes.append(_on_top(below, delivery))
        elif rng.randrange(2 if delivery.kind == "wild" else 12) == 1 and delivery.block.header.time < 2**31:
            scenes.insert(rng.randrange(len(scenes)), _on_top(below, delivery))
    in_order = list(made)
    for _ in range(size // 5):  # mostly the header comes at its place, and the body some other time
        place = rng.randrange(size)
        late = made[place]
        if rng.randrange(6):
            made[place] = Delivery(late.kind, late.block, header_only=True)
        else:
            del made[place]
        made.insert(min(place + rng.randrange(12), len(made)), late)
    for _ in range(size // 10):
        known = rng.choice(made)
        made.insert(rng.randrange(len(made)), Delivery(known.kind, known.block, rng.randrange(2) == 1))
    return made + [delivery for delivery in in_order if rng.randrange(2)]  # what was refused gets a chance


def make_packed(rng: random.Random, count: int = 150) -> list[Delivery]:
    """A block that pays to random scripts of every kind, one that spends all that can be spent, and before it
    the same with one bad spend among them, a few times."""
    names = [f"{rng.getrandbits(64)}" for _ in range(count)]
    scripts = {name: script for name in names if (script := plan(name, final=True)) is not None}
    scene = base()
    fund = scene.spend(scene.mature[0], outputs=[TxOut(VALUE, script) for script in scripts.values()])
    first = scene.block(fund, coinbase=scene.coinbase(script_sig=_mark(scene, rng.randrange(2**16))))
    scene = scene.extended(first)
    good: list[Transaction] = []
    bad: list[Transaction] = []
    for n, (name, script) in enumerate(scripts.items()):
        spend = make_spend(random.Random(name), funded(OutPoint(fund.txid, n), final=True))
        error = verify_input(
            spend.tx, 0, TxOut(VALUE, script), MANDATORY_FLAGS, TxDigests(spend.tx, [TxOut(VALUE, script)])
        )
        (bad if error else good).append(spend.tx)
    rng.shuffle(good)
    made = [Delivery("paying to scripts", first)]
    for tx in rng.sample(bad, min(len(bad), 3)):
        at = rng.randrange(len(good) + 1)
        made.append(Delivery("spends, one bad", scene.block(*good[:at], tx, *good[at:])))
    return [*made, Delivery("spends", scene.block(*good))]


def _on_top(below: Scene, delivery: Delivery) -> Scene:
    """The scene for what builds on delivery; a bad block leaves the coins as they are."""
    if delivery.kind in ("valid", "wild"):
        return below.extended(delivery.block)
    header = delivery.block.header
    return replace(below, tip=HeaderNode(header, below.tip, block_work(header.bits)))


def _next(rng: random.Random, below: Scene, number: int) -> Delivery:
    kind = rng.randrange(10)
    if kind < 3:
        template: InvalidBlock = rng.choice(SMALL if rng.randrange(12) else KINDS)
        with suppress(LookupError):  # where its coin is spent already
            return Delivery(template.name, template.build(below))
    if kind == 3:
        return Delivery("wild", _wild(rng, below, number))
    return Delivery("valid", _valid(rng, below, number))


def _mark(below: Scene, number: int) -> bytes:
    """A coinbase script that no other block has."""
    return height_push(below.height) + b"\x02" + number.to_bytes(2, "little")


def _valid(rng: random.Random, below: Scene, number: int) -> Block:
    coins = rng.sample(below.mature, min(len(below.mature), rng.randrange(4)))
    txs = [below.spend(*coins)] if coins else []
    if txs and rng.randrange(3) == 1:
        txs.append(below.spend(below.output(txs[0])))
    return below.block(*txs, coinbase=below.coinbase(script_sig=_mark(below, number)))


def _wild(rng: random.Random, below: Scene, number: int) -> Block:
    """Whatever comes at the edges of the rules: whether it is valid is what the judges are asked."""
    known = [*below.mature, *below.young[:3], *below.odd.values()]
    txs: list[Transaction] = []
    fees = 0
    for _ in range(rng.randrange(1, 4)):
        coins = rng.sample(known, min(len(known), rng.randrange(1, 3)))
        if txs and rng.randrange(3) == 1:
            coins = [below.output(rng.choice(txs))]
        fee = rng.choice((0, 1, 1000, 1000, -1))
        txs.append(_wild_spend(rng, below, coins, fee))
        fees += fee
    if rng.randrange(8) == 1:
        rng.shuffle(txs)
    claimed = rng.choice((0, 0, fees, fees, fees + 1))
    coinbase = below.coinbase(script_sig=_mark(below, number), fees=max(claimed, -below.subsidy))
    if rng.randrange(8) == 1:
        vin = [TxIn(coinbase.vin[0].prevout, coinbase.vin[0].script_sig, rng.choice((0, 0xFFFFFFFE)))]
        locktime = rng.choice((below.height - 1, below.height, below.tip.mtp() - 1, below.tip.mtp()))
        coinbase = Transaction.make(vin, coinbase.vout, locktime=locktime)
    mtp, tip_time = below.tip.mtp(), below.tip.time
    time = rng.choice((mtp + 1, mtp + 2, tip_time - 1, tip_time + 9999)) if rng.randrange(2) else None
    if rng.randrange(30) == 1:
        time = mtp
    return below.block(
        *txs,
        coinbase=coinbase,
        commit=rng.choice((None, None, None, True)),
        version=rng.choice((0x20000000, 4, 5, 0x7FFFFFFF)) if rng.randrange(20) else 3,
        time=time,
        bits=0x207FFFFE if rng.randrange(20) == 1 else None,
    )


def _wild_spend(rng: random.Random, below: Scene, coins: list[Spendable], fee: int) -> Transaction:
    """With locks near what they may be, and witnesses that may be wrong."""
    vin, witness = [], []
    for outpoint, coin in coins:
        age = below.height - coin.height
        by_time = (0x400000, 0x400001, 0x400000 + age // 8, 0x400000 + age // 8 + 1)
        sequence = rng.choice((0xFFFFFFFF, 0xFFFFFFFE, 0, 0x80000001, age - 1, age, age + 1, *by_time))
        vin.append(TxIn(outpoint, b"", sequence & 0xFFFFFFFF))
        witness.append(WITNESS if rng.randrange(20) != 1 else rng.choice(((), (b"",), (b"\x01", *WITNESS))))
    mtp = below.tip.mtp()
    locktime = rng.choice((0, 0, 0, below.height - 1, below.height, mtp - 1, mtp, 499_999_999, 500_000_000))
    value = sum(coin.value for _, coin in coins) - fee
    outputs = [TxOut(value, SCRIPT_PUBKEY)]
    if rng.randrange(4) == 1:
        outputs.append(TxOut(0, rng.choice((b"\x6a", b"\x6a" + bytes(99), b"\x51" * 40, b"\xac" * 3, b""))))
    return Transaction.make(
        vin, outputs, version=rng.choice((1, 2, 2, 2, 3, 0)), locktime=locktime, witness=witness
    )
