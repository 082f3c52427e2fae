"""Records of coins and undo data: what the part in C packs is what msgpack makes, and reads back."""

from __future__ import annotations

import random
from typing import Any

import msgpack
import pytest

from pybitcoind.chain import native
from pybitcoind.chain.primitives.transaction import MAX_MONEY, Coin, OutPoint
from pybitcoind.chain.storage.records import (
    BlockUndo,
    _coin_rows,
    coin_key,
    coin_rows,
    outpoint_of,
    unpack_coin,
)

NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000, 2**32 - 1, 2**32, MAX_MONEY, 2**63 - 1]
SIZES = [0, 1, 22, 255, 256, 65_535, 65_536, 70_000]
COUNTS = [0, 1, 15, 16, 17, 65_535, 65_536]
SMALL = Coin(5, b"\x51", 7, False)
in_c = pytest.mark.skipif(native.part is None, reason="the compiled part is not built: no C compiler")


def packed(txs: list[list[Coin]]) -> bytes:
    """By msgpack; by C too where it is there, and read back."""
    undo = BlockUndo(txs)
    if native.part is not None:
        assert native.part.pack_undo(txs) == undo._pack()
    assert undo.pack() == undo._pack()
    assert BlockUndo.unpack(undo.pack()).txs == txs
    return undo.pack()


def test_numbers_and_sizes_at_the_ends_of_their_forms() -> None:
    coins = [Coin(value, b"\x6b", 0, True) for value in NUMBERS]
    coins += [Coin(0, b"\x6b", height, False) for height in NUMBERS]
    coins += [Coin(0, bytes(size), 0, False) for size in SIZES]
    for coin in coins:
        packed([[coin]])
    packed([coins, [], coins])


@pytest.mark.parametrize("count", COUNTS)
def test_counts_at_the_ends_of_their_forms(count: int) -> None:
    packed([[SMALL] * count])
    packed([[]] * count)


def test_coins_by_lot() -> None:
    rng = random.Random(20261127)
    for _ in range(300):
        txs = [
            [
                Coin(
                    rng.choice((rng.choice(NUMBERS), rng.randrange(MAX_MONEY + 1))),
                    rng.randbytes(rng.choice((22, 23, 25, 34, rng.randrange(600)))),
                    rng.randrange(1_000_000),
                    rng.random() < 0.2,
                )
                for _ in range(rng.randrange(20))
            ]
            for _ in range(rng.randrange(20))
        ]
        packed(txs)


def test_rows_of_coins_and_keys_of_spent_ones() -> None:
    rng = random.Random(7)
    cache: dict[OutPoint, Coin | None] = {}
    for _ in range(2000):
        outpoint = OutPoint(rng.randbytes(32), rng.choice((0, 1, 255, 256, 65_536, 2**32 - 1)))
        value, script = rng.choice(NUMBERS[:-1]), bytes(rng.choice(SIZES))
        cache[outpoint] = None if rng.random() < 0.3 else Coin(value, script, rng.choice(NUMBERS), True)
    outpoints = rng.sample(sorted(cache), 1500)
    put, gone = coin_rows(cache, outpoints)
    assert (put, gone) == _coin_rows(cache, outpoints)
    assert gone == [coin_key(outpoint) for outpoint in outpoints if cache[outpoint] is None]
    assert {outpoint_of(key): unpack_coin(value) for key, value in put} == {
        outpoint: cache[outpoint] for outpoint in outpoints if cache[outpoint]
    }
    with pytest.raises(KeyError):
        coin_rows(cache, [OutPoint(bytes(32), 0)])


ODD_COINS: list[Any] = [
    None,
    (),
    (1, b"", 1),
    (1, b"", 1, True, 1),
    [1, b"", 1, True],
    (-1, b"", 1, True),
    (2**63, b"", 1, True),
    (2**64, b"", 1, True),
    (1.0, b"", 1, True),
    (1, "", 1, True),
    (1, bytearray(b"x"), 1, True),
    (1, b"", -1, True),
    (1, b"", None, True),
    (1, b"", 1, 1),
    (1, b"", 1, None),
]


@in_c
@pytest.mark.parametrize("coin", ODD_COINS, ids=repr)
def test_what_is_no_coin_is_left_to_python(coin: Any) -> None:
    assert native.part is not None
    assert native.part.pack_undo([[SMALL, coin]]) is None
    for odd in ([coin], [[SMALL], (SMALL,)], ((SMALL,),), None, 5):
        assert native.part.pack_undo(odd) is None
    if coin is not None:
        outpoint = OutPoint(bytes(32), 0)
        assert native.part.coin_rows({outpoint: coin}, [outpoint]) is None
    try:
        wanted = msgpack.packb([[coin]])
    except (TypeError, OverflowError):
        with pytest.raises((TypeError, OverflowError)):
            BlockUndo([[coin]]).pack()
    else:
        assert BlockUndo([[coin]]).pack() == wanted


@in_c
@pytest.mark.parametrize(
    "outpoint", [(), (bytes(32),), (bytes(31), 0), (bytes(32), -1), (bytes(32), 2**32), ("x" * 32, 0), 5]
)
def test_what_is_no_outpoint_is_left_to_python(outpoint: Any) -> None:
    assert native.part is not None
    for coin in (SMALL, None):
        assert native.part.coin_rows({outpoint: coin}, [outpoint]) is None
    for arguments in (([], []), ({}, ()), ({},), (None, None)):
        with pytest.raises(TypeError):
            native.part.coin_rows(*arguments)
