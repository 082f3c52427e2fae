"""Bloom filters: Core's numbers, and what matches a transaction."""

from __future__ import annotations

import pytest

from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut
from pybitcoind.p2p.bloom import BloomFilter, Update, filtered, murmur3


@pytest.mark.parametrize(
    "result,seed,data",
    [
        (0x00000000, 0x00000000, ""),
        (0x6A396F08, 0xFBA4C795, ""),
        (0x81F16F39, 0xFFFFFFFF, ""),
        (0x514E28B7, 0x00000000, "00"),
        (0xEA3F0B17, 0xFBA4C795, "00"),
        (0xFD6CF10D, 0x00000000, "ff"),
        (0x16C6B7AB, 0x00000000, "0011"),
        (0x8EB51C3D, 0x00000000, "001122"),
        (0xB4471BF8, 0x00000000, "00112233"),
        (0xE2301FA8, 0x00000000, "0011223344"),
        (0xFC2E4A15, 0x00000000, "001122334455"),
        (0xB074502C, 0x00000000, "00112233445566"),
        (0x8034D2A0, 0x00000000, "0011223344556677"),
        (0xB4698DEF, 0x00000000, "001122334455667788"),
    ],
)
def test_murmur3(result: int, seed: int, data: str) -> None:
    assert murmur3(seed, bytes.fromhex(data)) == result


ITEMS = [
    bytes.fromhex("99108ad8ed9bb6274d3980bab5a85c048f0950c8"),
    bytes.fromhex("b5a2c786d9ef4658287ced5914b37a1b4aa32eee"),
    bytes.fromhex("b9300670b4c5366e95b2699e8b18bc75e5f729c5"),
]


@pytest.mark.parametrize("tweak,data", [(0, "614e9b"), (2147483649, "ce4299")])
def test_bits_are_cores(tweak: int, data: str) -> None:
    bloom = BloomFilter(bytes(3), 5, tweak, Update.ALL)
    assert ITEMS[0] not in bloom
    for item in ITEMS:
        bloom.insert(item)
        assert item in bloom
    assert b"\x19" + ITEMS[0][1:] not in bloom
    assert bloom.data.hex() == data


KEY_HASH, PUBKEY = bytes(range(20)), b"\x02" + bytes(range(32))
PAYMENT = Transaction.make(
    [TxIn(OutPoint(b"\x11" * 32, 3), b"\x03abc\x21" + PUBKEY)],
    [TxOut(1, b"\x76\xa9\x14" + KEY_HASH + b"\x88\xac"), TxOut(2, b"\x21" + PUBKEY + b"\xac")],
)
SPEND = Transaction.make([TxIn(OutPoint(PAYMENT.txid, 0))], [TxOut(1, b"\x51")])


def bloom(*items: bytes, flags: int = Update.NONE) -> BloomFilter:
    made = BloomFilter(bytes(200), 10, 7, flags)
    for item in items:
        made.insert(item)
    return made


@pytest.mark.parametrize(
    "item,wanted",
    [
        (PAYMENT.txid, True),
        (KEY_HASH, True),
        (PUBKEY, True),
        (b"abc", True),
        (OutPoint(b"\x11" * 32, 3).serialize(), True),
        (OutPoint(b"\x11" * 32, 4).serialize(), False),
        (KEY_HASH[::-1], False),
    ],
)
def test_what_matches(item: bytes, wanted: bool) -> None:
    assert bloom(item).matches(PAYMENT) is wanted


@pytest.mark.parametrize(
    "flags,item,follows", [(0, KEY_HASH, False), (1, KEY_HASH, True), (2, KEY_HASH, False)]
)
def test_matched_outputs_are_followed_as_the_flags_say(flags: int, item: bytes, follows: bool) -> None:
    one = bloom(item, flags=flags)
    assert one.matches(PAYMENT)
    assert one.matches(SPEND) is follows


def test_an_output_to_a_key_is_followed_with_the_narrow_flag() -> None:
    one = bloom(PUBKEY, flags=Update.P2PUBKEY_ONLY)
    assert one.matches(PAYMENT)
    assert OutPoint(PAYMENT.txid, 1).serialize() in one
    assert OutPoint(PAYMENT.txid, 0).serialize() not in one


def test_an_empty_filter_matches_all_and_breaks_nothing() -> None:
    empty = BloomFilter(b"", 5, 0, 1)
    empty.insert(b"x")
    assert b"y" in empty and empty.matches(SPEND)


def test_a_filtered_block_proves_its_matches() -> None:
    from scene import make_scene

    scene = make_scene(110)
    tx = scene.spend(scene.mature[0])
    block = scene.block(tx, scene.spend(scene.mature[1]))
    tree, wanted = filtered(block, bloom(tx.txid))
    assert wanted == [tx]
    assert tree.extract() == (block.header.merkle_root, [(1, tx.txid)])
