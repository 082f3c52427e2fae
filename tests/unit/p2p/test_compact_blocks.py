"""Compact blocks: short ids, and blocks put together from a pool."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene import Scene, make_scene

from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.transaction import Transaction
from pybitcoind.p2p import compact_blocks
from pybitcoind.p2p.compact_blocks import (
    InvalidCompactBlock,
    PartialBlock,
    ShortIdCollision,
    compact,
    short_ids_of,
)
from pybitcoind.p2p.messages import CmpctBlock, decode_message, encode_payload

SCENE: Scene = make_scene(130)
TXS = [SCENE.spend(coin) for coin in SCENE.mature[:6]]
OTHERS = [SCENE.spend(coin, fee=2000) for coin in SCENE.mature[:6]]
BLOCK: Block = SCENE.block(*TXS)


def pool(*txs: Transaction) -> list[tuple[bytes, Transaction]]:
    return [(tx.wtxid, tx) for tx in txs]


def prefilled(*gaps: int) -> CmpctBlock:
    """A message of BLOCK's transactions at these gaps, and short ids for the others."""
    message = compact(BLOCK, 5)
    places, following = [], 0
    for gap in gaps:
        places.append(following + gap)
        following = places[-1] + 1
    short_id = short_ids_of(BLOCK.header, 5)
    message.short_ids = [short_id(tx.wtxid) for n, tx in enumerate(BLOCK.vtx) if n not in places]
    message.prefilled = [(gap, BLOCK.vtx[place]) for gap, place in zip(gaps, places, strict=True)]
    return message


def test_short_ids() -> None:
    """From BIP 152's words: SipHash-2-4 of the wtxid, keyed by SHA256(header, nonce), without its two most
    significant bytes."""
    genesis = SCENE.params.genesis
    short_id = short_ids_of(genesis.header, 1)
    assert short_id(genesis.vtx[0].wtxid) < 1 << 48
    assert short_id(genesis.vtx[0].wtxid) != short_ids_of(genesis.header, 2)(genesis.vtx[0].wtxid)
    message = compact(BLOCK, 7)
    assert message.prefilled == [(0, BLOCK.vtx[0])] and message.tx_count == 7
    assert message.short_ids == [short_ids_of(BLOCK.header, 7)(tx.wtxid) for tx in TXS]


@given(st.sets(st.integers(0, 5)), st.integers(0, 2**64 - 1))
def test_what_the_pool_has_is_not_missing(known: set[int], nonce: int) -> None:
    message = decode_message("cmpctblock", encode_payload(compact(BLOCK, nonce)))
    assert isinstance(message, CmpctBlock)
    partial = PartialBlock(message, pool(*OTHERS, *(TXS[n] for n in known)))
    missing = [n for n in range(6) if n not in known]
    assert partial.missing == [n + 1 for n in missing] and partial.from_pool == len(known)
    assert partial.fill([TXS[n] for n in missing]).raw == BLOCK.raw
    for wrong in ([TXS[0]] * (len(missing) + 1), [TXS[0]] * (len(missing) - 1)):
        if len(wrong) != len(missing):
            with pytest.raises(InvalidCompactBlock):
                partial.fill(wrong)


@pytest.mark.parametrize("gaps", [(0,), (0, 0, 0), (0, 1, 2), (3,), (0, 0, 0, 0, 0, 0, 0), (6,), ()])
def test_prefilled_transactions(gaps: tuple[int, ...]) -> None:
    message = prefilled(*gaps)
    partial = PartialBlock(message, [])
    assert len(partial.missing) == 7 - len(gaps)
    assert partial.fill([BLOCK.vtx[n] for n in partial.missing]).raw == BLOCK.raw


def test_a_transaction_beyond_all_others_is_invalid() -> None:
    for gap in (1, 2, 65535):
        message = CmpctBlock(BLOCK.header, 0, [], [(gap, BLOCK.vtx[0])])
        with pytest.raises(InvalidCompactBlock):
            PartialBlock(message, [])
    with pytest.raises(InvalidCompactBlock):
        PartialBlock(CmpctBlock(BLOCK.header, 0, [], []), [])
    with pytest.raises(InvalidCompactBlock):
        PartialBlock(CmpctBlock(BLOCK.header, 0, [1] * 17_000, []), [])
    with pytest.raises(InvalidCompactBlock):
        PartialBlock(CmpctBlock(BLOCK.header, 0, [], [(0, Transaction.make([], []))]), [])


def test_the_same_short_id_twice() -> None:
    with pytest.raises(ShortIdCollision):
        PartialBlock(CmpctBlock(BLOCK.header, 0, [9, 8, 9], [(0, BLOCK.vtx[0])]), [])


def test_of_two_that_fit_none_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def few_bits(header: object, nonce: int) -> object:
        return lambda wtxid: TXS.index(tx) if (tx := by_wtxid[wtxid]) in TXS else 0

    by_wtxid = dict(pool(*TXS, *OTHERS))
    message = CmpctBlock(BLOCK.header, 0, [0, 1, 2, 3, 4, 5], [(0, BLOCK.vtx[0])])
    monkeypatch.setattr(compact_blocks, "short_ids_of", few_bits)
    partial = PartialBlock(message, pool(TXS[0], OTHERS[1], *TXS[1:5]))
    assert partial.missing == [1, 6] and partial.from_pool == 4
    partial = PartialBlock(message, pool(TXS[0], TXS[0], OTHERS[1], OTHERS[2]))
    assert partial.missing == [1, 2, 3, 4, 5, 6] and partial.from_pool == 0
    partial = PartialBlock(message, pool(TXS[0], TXS[0]))
    assert partial.missing == [2, 3, 4, 5, 6], "the mempool and the extra ones may have the same"
    partial = PartialBlock(message, pool(*TXS, OTHERS[1]))
    assert not partial.missing, "when all is there nothing more is looked at"
