"""Blocks drawn by lot over coins drawn by lot, most with something at a limit of the rules, or just behind.

Only what `spend_block` looks at counts: there are no good signatures in them, no roots, no work. The same
random.Random draws the same blocks.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pybitcoind.chain.consensus.blocks import block_subsidy
from pybitcoind.chain.consensus.sigops import sigop_cost
from pybitcoind.chain.params import ChainParams, regtest
from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.hashes import hash160, sha256
from pybitcoind.chain.primitives.transaction import (
    COIN,
    MAX_MONEY,
    NULL_OUTPOINT,
    Coin,
    OutPoint,
    Transaction,
    TxIn,
    TxOut,
)
from pybitcoind.chain.script.flags import ScriptFlags
from pybitcoind.chain.script.script import is_unspendable, push_data, push_int

HEADER = BlockHeader(4, bytes(32), bytes(32), 1_600_000_000, 0x207FFFFF, 0)
P2SH, WITNESS = int(ScriptFlags.P2SH), int(ScriptFlags.WITNESS)
FLAGS = (P2SH | WITNESS | int(ScriptFlags.TAPROOT), P2SH, WITNESS, 0, 2**21 - 1)
MOST_SIGOPS = 80_000
FINAL = 0xFFFFFFFF
DISABLED = 1 << 31
BY_TIME = 1 << 22


@dataclass(frozen=True)
class Below:
    """The header below the block, with one block every ten minutes below it."""

    height: int
    hash: bytes = bytes(32)
    prev: None = None

    def mtp(self) -> int:
        return 1_600_000_000 + 600 * self.height

    def ancestor(self, height: int) -> Below:
        return Below(height)


@dataclass(frozen=True)
class Spendable:
    """A coin and what to spend it with."""

    outpoint: OutPoint
    coin: Coin
    script_sig: bytes
    stack: tuple[bytes, ...]


@dataclass(frozen=True)
class DrawnBlock:
    shape: str
    block: Block
    coins: dict[OutPoint, Coin]
    """Those outside of it."""
    prev: Below
    params: ChainParams
    flags: int


# --- scripts ----------------------------------------------------------------------------------------------

TELLING = bytes.fromhex("0001020314162022234b4c4d4e4f50515360616a87a9acadaeafb0ff")


def hostile(rng: random.Random, size: int) -> bytes:
    return bytes(rng.choice(TELLING) if rng.random() < 0.9 else rng.randrange(256) for _ in range(size))


CUT_SHORT = (
    b"\x4c",
    b"\x4d\x01",
    b"\x4e\1\0\0",
    b"\x4b\xac",
    b"\x02\xac",
    *(
        bytes((0x4C + width.bit_length() - 1,)) + (1 | 1 << 8 * n).to_bytes(width, "little") + b"\xac\xac"
        for width in (2, 4)
        for n in range(1, width)
    ),
)
"""Pushes that end too soon; the last of more than there is by one byte of their length."""


def counting_script(rng: random.Random) -> bytes:
    """Signature operations of all kinds between pushes, now and then cut short."""
    parts = []
    for _ in range(rng.randrange(6)):
        kind = rng.randrange(6)
        if kind == 0:
            parts.append(bytes((rng.choice((0xAC, 0xAD)),)) * rng.choice((1, 2, 30)))
        elif kind == 1:
            keys = rng.choice((0, 1, 2, 3, 15, 16, 17, 20))
            before = rng.choice((push_int(keys), bytes((1, keys)), b"\x4f", b"\x50", b"\x61", b""))
            parts.append(before + bytes((rng.choice((0xAE, 0xAF)),)))
        elif kind == 2:
            parts.append(push_data(hostile(rng, rng.choice((1, 20, 33, 75, 76, 255, 256)))))
        elif kind == 3:
            data = hostile(rng, rng.choice((0, 1, 40)))
            width = rng.choice((1, 2, 4))
            parts.append(bytes((0x4B + width.bit_length(),)) + len(data).to_bytes(width, "little") + data)
        elif kind == 4:
            parts.append(hostile(rng, rng.randrange(5)))
        else:
            parts.append(rng.choice(CUT_SHORT))
    return b"".join(parts)


def odd_script_sig(rng: random.Random, redeem: bytes) -> bytes:
    """Of P2SH: not only pushes, cut short, or with something else at the end."""
    good = push_data(redeem)
    return rng.choice(
        (
            b"",
            b"\x61" + good,
            b"\x60" + good,
            b"\x50\x4f" + good,
            good + b"\x61",
            good + b"\x60",
            good + b"\x4f",
            good[:-1],
            good + b"\x4d\x05",
            good + b"\x4e\xff\xff\xff\xff",
            b"\x4e" + len(redeem).to_bytes(4, "little") + redeem,
            good + push_data(b"\xac"),
            counting_script(rng),
        )
    )


def near(rng: random.Random, script: bytes) -> bytes:
    """script with one byte or its size changed."""
    if not script or rng.random() < 0.5:
        return script + b"\x87" if rng.random() < 0.5 else script[:-1]
    odd = bytearray(script)
    odd[rng.choice((0, 1, -1)) % len(odd)] ^= rng.choice((1, 0x51, 0x80))
    return bytes(odd)


def draw_spending(rng: random.Random) -> tuple[bytes, bytes, tuple[bytes, ...]]:
    """A script, and the script_sig and the witness that come with spending it."""
    inner = counting_script(rng)
    stack: tuple[bytes, ...] = rng.choice(((), (b"",), (inner,), (b"", b"x", inner), (inner, b"")))
    key_hash, script_hash = b"\x00\x14" + rng.randbytes(20), b"\x00\x20" + sha256(inner)
    sig = b""
    kind = rng.randrange(12)
    if kind < 2:
        script = key_hash
    elif kind < 4:
        script = script_hash
    elif kind < 7:
        redeem = rng.choice(
            (inner, inner, key_hash, script_hash, near(rng, key_hash), near(rng, script_hash))
        )
        script = b"\xa9\x14" + hash160(redeem) + b"\x87"
        sig = odd_script_sig(rng, redeem) if rng.random() < 0.3 else push_int(0) + push_data(redeem)
    elif kind == 7:
        script, sig = inner, counting_script(rng)
    elif kind == 8:
        script = b"\x51\x20" + rng.randbytes(32)
    elif kind == 9:
        script = bytes((rng.choice((0x51, 0xAC, 0)),)) * rng.choice((1, 1000, 10_000))
    elif kind == 10:
        script, sig = hostile(rng, rng.choice((0, 1, 2, 21, 22, 23, 24, 33, 34, 35))), hostile(rng, 5)
    else:
        script = b"\x76\xa9\x14" + rng.randbytes(20) + b"\x88\xac"
    if rng.random() < 0.1:
        script = near(rng, script)
    return script, sig, stack


# --- blocks -----------------------------------------------------------------------------------------------


@dataclass
class Maker:
    """A block on its way."""

    rng: random.Random
    height: int
    csv: bool
    flags: int
    txs: list[Transaction] = field(default_factory=list)
    spent: list[list[Coin]] = field(default_factory=list)
    coins: dict[OutPoint, Coin] = field(default_factory=dict)
    inside: list[Spendable] = field(default_factory=list)
    """Made and not spent yet."""
    fees: int = 0
    overpaid: int = 0
    coinbase: Transaction | None = None

    def outside(
        self,
        value: int | None = None,
        *,
        height: int | None = None,
        coinbase: bool = False,
        script: bytes | None = None,
    ) -> Spendable:
        rng = self.rng
        drawn, sig, stack = draw_spending(rng)
        if value is None:
            value = rng.choice((0, 1, 546, COIN, 50 * COIN, rng.randrange(10**12)))
        if height is None:
            height = rng.choice((0, 1, self.height - 100, self.height - 1, rng.randrange(self.height)))
            coinbase = rng.random() < 0.3 and height <= self.height - 100
        coin = Coin(value, drawn if script is None else script, height, coinbase)
        outpoint = OutPoint(rng.randbytes(32), rng.choice((0, 1, 7, 2**31, FINAL)))
        self.coins[outpoint] = coin
        return Spendable(outpoint, coin, sig, stack)

    def sequence(self, coin: Coin) -> int:
        """One that does not lock."""
        rng, age = self.rng, max(self.height - coin.height, 0)
        choices = [FINAL, FINAL - 1, FINAL - 2, DISABLED, DISABLED | 1, 0, BY_TIME, min(age, 0xFFFF)]
        if coin.height:
            choices.append(BY_TIME | min(600 * age // 512, 0xFFFF))
        return rng.choice(choices)

    def spend(
        self,
        *coins: Spendable,
        fee: int | None = None,
        outputs: Sequence[TxOut] | None = None,
        sequence: int | None = None,
        version: int | None = None,
    ) -> list[Spendable]:
        """Adds a transaction; what it makes. sequence: of the last input."""
        rng = self.rng
        value_in = sum(each.coin.value for each in coins)
        never = rng.choice((b"\x6a", b"\x6a" + hostile(rng, 40), bytes(10_001)))
        last = never if outputs is None and rng.random() < 0.2 else b""
        if outputs is None:
            left = max(value_in - (rng.choice((0, 1, value_in // 2)) if fee is None else fee), 0)
            outputs = []
            while left and len(outputs) < 4 and rng.random() < 0.7:
                value = rng.choice((0, 1, left, rng.randrange(left + 1)))
                outputs.append(TxOut(value, b""))
                left -= value
            outputs = [*outputs, TxOut(left, last)]
        made = [draw_spending(rng) if not script else (script, b"", ()) for _, script in outputs]
        outputs = [TxOut(out.value, script) for out, (script, _, _) in zip(outputs, made, strict=True)]
        if version is None:
            version = rng.choice((0, 1, 2, 2, 3, 2**31 - 1, 2**31, 2**32 - 1))
        stacks = [each.stack for each in coins]
        sequences = [self.sequence(each.coin) for each in coins]
        if sequence is not None:
            sequences[-1] = sequence
        tx = Transaction.make(
            [TxIn(each.outpoint, each.script_sig, n) for each, n in zip(coins, sequences, strict=True)],
            outputs,
            version=version,
            witness=stacks if any(stacks) else (),
        )
        self.txs.append(tx)
        self.spent.append([each.coin for each in coins])
        self.fees += value_in - sum(out.value for out in outputs)
        new = [
            Spendable(
                OutPoint(tx.txid, n), Coin(out.value, out.script_pubkey, self.height, False), sig, stack
            )
            for n, (out, (_, sig, stack)) in enumerate(zip(outputs, made, strict=True))
        ]
        self.inside += [each for each in new if not is_unspendable(each.coin.script_pubkey)]
        return new

    def take(self) -> Spendable:
        """A coin that nothing has spent, from inside or outside."""
        if self.inside and self.rng.random() < 0.6:
            return self.inside.pop(self.rng.randrange(len(self.inside)))
        return self.outside()

    def plain(self, most: int) -> None:
        for _ in range(self.rng.randrange(most + 1)):
            self.spend(*[self.take() for _ in range(self.rng.choice((1, 1, 2, 5)))])

    def reward(self, params: ChainParams) -> int:
        return block_subsidy(self.height, params) + self.fees + self.overpaid

    def make_coinbase(self, value: int) -> Transaction:
        rng = self.rng
        script_sig = b"\x03" + self.height.to_bytes(3, "little") + hostile(rng, rng.randrange(20))
        value = min(max(value, 0), MAX_MONEY)
        parts = rng.choice(([value], [0, value], [value // 2, value - value // 2]))
        outputs = [
            TxOut(part, rng.choice((b"\x51", b"\x6a\x01\xac", counting_script(rng)))) for part in parts
        ]
        stacks = [[bytes(32)]] if rng.random() < 0.5 else ()
        return Transaction.make([TxIn(NULL_OUTPOINT, script_sig)], outputs, witness=stacks)


Shape = Callable[[Maker], None]
SHAPES: dict[str, Shape] = {}


def shape(function: Shape) -> Shape:
    SHAPES[function.__name__.replace("_", " ")] = function
    return function


@shape
def nothing_odd(m: Maker) -> None:
    m.plain(3)


@shape
def a_chain_inside(m: Maker) -> None:
    coin = m.outside()
    for _ in range(m.rng.randrange(2, 8)):
        made = m.spend(coin, outputs=[TxOut(coin.coin.value, b"\x51")], version=1)
        if not m.inside or m.inside[-1] is not made[0]:
            return
        coin = m.inside.pop()


@shape
def outside_coin_twice(m: Maker) -> None:
    coin = m.outside()
    m.spend(coin)
    m.plain(1)
    m.spend(m.outside(), coin)


@shape
def coin_twice_in_one(m: Maker) -> None:
    coin = m.take()
    m.spend(m.outside(), coin, coin, m.outside())


@shape
def inside_coin_twice(m: Maker) -> None:
    m.spend(m.outside(), outputs=[TxOut(0, b"\x51"), TxOut(0, b"\x52")])
    coin = m.inside.pop()
    m.spend(coin)
    m.plain(1)
    m.spend(coin, m.outside())


@shape
def before_it_is_made(m: Maker) -> None:
    (coin,) = m.spend(m.outside(), outputs=[TxOut(0, b"\x51")])
    m.inside = [each for each in m.inside if each is not coin]
    m.spend(coin)
    for row in (m.txs, m.spent):
        row[-1], row[-2] = row[-2], row[-1]  # type: ignore[index]


@shape
def missing_coins(m: Maker) -> None:
    coins = [m.outside() for _ in range(m.rng.choice((1, 2, 3)))]
    for coin in coins:
        del m.coins[coin.outpoint]
    m.spend(*coins, m.outside())
    if m.rng.random() < 0.5:
        m.spend(coins[0])


@shape
def other_output_of_a_transaction(m: Maker) -> None:
    made = m.spend(m.outside())[-1]
    other = OutPoint(made.outpoint.txid, m.rng.choice((made.outpoint.vout + 1, FINAL)))
    m.spend(replace(made, outpoint=other))


@shape
def coinbase_at_100(m: Maker) -> None:
    m.spend(m.outside(height=m.height - 100, coinbase=True))


@shape
def coinbase_too_young(m: Maker) -> None:
    height = m.rng.choice((m.height - 99, m.height - 99, m.height - 1, m.height, m.height + 5))
    m.spend(m.outside(), m.outside(height=height, coinbase=True))


@shape
def its_own_coinbase(m: Maker) -> None:
    m.coinbase = m.make_coinbase(1)
    value, script = m.coinbase.vout[0]
    m.spend(Spendable(OutPoint(m.coinbase.txid, 0), Coin(value, script, m.height, True), b"", ()))


@shape
def what_is_never_kept(m: Maker) -> None:
    script = m.rng.choice((b"\x6a", b"\x6a\x51", bytes(10_001)))
    made = m.spend(m.outside(), outputs=[TxOut(0, script)])
    m.spend(*made)


@shape
def scripts_of_ten_thousand(m: Maker) -> None:
    made = m.spend(m.outside(), outputs=[TxOut(0, bytes(n)) for n in (9_999, 10_000, 10_001)])
    m.inside = [each for each in m.inside if each not in made]
    m.spend(*made[: m.rng.choice((1, 1, 3))])


@shape
def one_more_out_than_in(m: Maker) -> None:
    coins = [m.outside(COIN), m.outside(0)]
    m.spend(*coins, outputs=[TxOut(COIN // 2, b"\x51"), TxOut(COIN // 2 + 1, b"\x51")])


@shape
def as_much_out_as_in(m: Maker) -> None:
    m.spend(m.outside(COIN), m.outside(1), outputs=[TxOut(COIN, b"\x51"), TxOut(1, b"\x51")])


@shape
def coin_out_of_range(m: Maker) -> None:
    value = m.rng.choice((-1, MAX_MONEY + 1, 2**63 - 1, 2**63, 2**64, 2**64 + 5, -(2**63), -(2**64)))
    coins = [m.outside(value), m.outside(COIN)]
    m.rng.shuffle(coins)
    m.spend(*coins, outputs=[TxOut(0, b"\x51")])


@shape
def coins_at_the_ends(m: Maker) -> None:
    values = m.rng.choice(([MAX_MONEY], [0], [MAX_MONEY - 1, 1], [0, MAX_MONEY, 0], [MAX_MONEY // 2] * 2))
    m.spend(*[m.outside(value) for value in values], fee=0)


@shape
def sum_of_coins_one_over(m: Maker) -> None:
    values = m.rng.choice(([MAX_MONEY, 1], [1, MAX_MONEY], [MAX_MONEY] * 2, [MAX_MONEY // 2] * 2 + [1, 0]))
    m.spend(*[m.outside(value) for value in values], outputs=[TxOut(MAX_MONEY, b"\x51")])


@shape
def fees_of_all_there_is(m: Maker) -> None:
    m.spend(m.outside(MAX_MONEY), outputs=[TxOut(max(m.fees, 0), b"\x51")])


@shape
def fees_one_over(m: Maker) -> None:
    m.spend(m.outside(MAX_MONEY), outputs=[TxOut(max(m.fees, 0), b"\x51")])
    m.spend(m.outside(1), outputs=[TxOut(0, b"\x51")])


@shape
def locked(m: Maker) -> None:
    """By one block or by 512 seconds, where the version and the height of the rule say so."""
    coin = m.outside(height=m.height - m.rng.choice((1, 5, 90)))
    age = m.height - coin.coin.height
    sequence = m.rng.choice((age + 1, BY_TIME | 600 * age // 512 + 1, 0xFFFF, 0x7FFFFFFF, BY_TIME | 0xFFFF))
    m.spend(m.outside(), coin, sequence=sequence, version=m.rng.choice((1, 2, 2, 2**31, 2**32 - 1)))


@shape
def locked_until_now(m: Maker) -> None:
    coin = m.outside(height=m.height - m.rng.choice((1, 5, 90)))
    age = m.height - coin.coin.height
    m.spend(coin, sequence=m.rng.choice((age, BY_TIME | 600 * age // 512, 0)), version=2)


@shape
def locked_coin_of_the_block(m: Maker) -> None:
    made = m.spend(m.outside(), outputs=[TxOut(0, b"\x51")])
    m.inside = [each for each in m.inside if each not in made]
    m.spend(*made, sequence=m.rng.choice((0, 1, BY_TIME, BY_TIME | 1, BY_TIME | 2)), version=2)


@shape
def coinbase_takes_more(m: Maker) -> None:
    m.overpaid = m.rng.choice((1, 1, COIN, MAX_MONEY))


@shape
def coinbase_takes_less(m: Maker) -> None:
    m.overpaid = -m.rng.choice((1, COIN))


@shape
def null_outpoint(m: Maker) -> None:
    coin = m.outside()
    del m.coins[coin.outpoint]
    m.spend(m.outside(), replace(coin, outpoint=NULL_OUTPOINT))


@shape
def sigops_at_the_limit(m: Maker) -> None:
    fill_sigops(m, MOST_SIGOPS)


@shape
def sigops_one_over(m: Maker) -> None:
    fill_sigops(m, MOST_SIGOPS + 1)


def fill_sigops(m: Maker, wanted: int) -> None:
    """Adds operations, each for 1 in a witness or for 4 elsewhere, so that the block costs what is wanted."""
    m.coinbase = m.make_coinbase(0)
    cost = sum(sigop_cost(tx, coins, m.flags) for tx, coins in zip(m.txs, m.spent, strict=True))
    left = wanted - cost - sigop_cost(m.coinbase, [], m.flags)
    if left < 0:
        return
    both, fours = m.flags & P2SH and m.flags & WITNESS, left // 4
    kind = m.rng.randrange(4 if m.flags & P2SH else 2)
    if both and kind < 2:
        fours = 0
    outputs, coins = [TxOut(0, b"\x51")], []
    if kind < 2 and fours:
        outputs = [TxOut(0, b"\xac" * fours)]
    elif fours:
        each, keys = (20, b"\xae") if kind == 2 else (16, b"\x60\xaf")
        redeem = keys * (fours // each) + b"\xad" * (fours % each)
        coin = m.outside(0, script=b"\xa9\x14" + hash160(redeem) + b"\x87")
        coins.append(replace(coin, script_sig=push_data(redeem), stack=()))
    if both:
        script = b"\xac" * (left - 4 * fours)
        coin = m.outside(0, script=b"\x00\x20" + sha256(script))
        coins.append(replace(coin, script_sig=b"", stack=(b"", script)))
    coins.append(replace(m.outside(0, script=b"\x51"), script_sig=b"", stack=()))
    m.spend(*coins, outputs=outputs)


def draw_block(rng: random.Random, name: str = "") -> DrawnBlock:
    """One of a shape of SHAPES, by lot if none is named."""
    name = name or rng.choice(list(SHAPES))
    height = rng.choice((101, 150, 1000, 1_000_000))
    csv = rng.random() < 0.7
    params = replace(regtest(), csv_height=height if csv else height + 1)
    m = Maker(rng, height, csv, rng.choice(FLAGS[:2] if rng.random() < 0.6 else FLAGS))
    m.plain(3)
    SHAPES[name](m)
    if m.coinbase is None and rng.random() < 0.5:
        m.plain(2)
    coinbase = m.make_coinbase(m.reward(params)) if m.coinbase is None else m.coinbase
    return DrawnBlock(name, Block(HEADER, [coinbase, *m.txs]), m.coins, Below(height - 1), params, m.flags)
