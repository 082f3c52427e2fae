"""The blocks of the main chain that broke rules before they were rules, on headers that claim to be theirs.

Heights and hashes are those of Bitcoin Core's ConnectBlock, DisconnectBlock and chainparams.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import pytest
from failing_scripts import FAILING_SCRIPTS
from ports import make_ports

from pybitcoind.chain.chainstate import Chainstate
from pybitcoind.chain.consensus.errors import BlockInvalid
from pybitcoind.chain.params import main
from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.hashes import hash160
from pybitcoind.chain.primitives.transaction import (
    COIN,
    NULL_OUTPOINT,
    Coin,
    OutPoint,
    Transaction,
    TxIn,
    TxOut,
)
from pybitcoind.chain.script.flags import MANDATORY_FLAGS
from pybitcoind.chain.script_checks import ScriptCache
from pybitcoind.chain.storage.coin_store import CoinStore
from pybitcoind.chain.storage.records import BlockUndo

BIP34_HEIGHT = 227931
BIP34_HASH = "000000000000024b89b42a942fe0d9fea3bb44ab7bd1b19115dd6a759c0808b8"
REPEATING = {
    91842: "00000000000a4d0a398161ffc163c503763b1f4360639393e0e4c8e300e0caec",
    91880: "00000000000743f190a18c5577a3c2d2a1f610ae9601ac046a38084ccb7cd721",
}
OVERWRITTEN = {
    91722: "00000000000271a2dc26e7667f8419f2e15416dc6955e5a6c6cdf3f2574dd08e",
    91812: "00000000000af0aed4792b1acee3d966af36cf5def14935db8de83d6f9306f2f",
}
WITHOUT_BIP16 = "00000000000002dc756eebf4f49723ed8d30cc28a5f108eb94b1ba88ac4f9c22"
WITHOUT_TAPROOT = "0000000000000000000f14c35b2d841e986ab5441de8c585d5ffe55ea1e395ad"
OTHER = "11" * 32


@dataclass(eq=False)
class At:
    """A header of the main chain at a height, as far as the rules ask."""

    height: int
    hash_hex: str = OTHER
    below: At | None = None
    at_bip34: str = BIP34_HASH

    @property
    def hash(self) -> bytes:
        return bytes.fromhex(self.hash_hex)[::-1]

    @property
    def prev(self) -> At | None:
        return self.below

    def mtp(self) -> int:
        return 1_700_000_000

    def ancestor(self, height: int) -> At:
        return At(height, self.at_bip34 if height == BIP34_HEIGHT else OTHER)


@asynccontextmanager
async def chainstate_at(height: int, block_hash: str, at_bip34: str = BIP34_HASH) -> AsyncIterator[Any]:
    """(chainstate whose tip is below height, the node at height)."""
    ports = make_ports()
    store = await CoinStore.open(ports.storage, main())
    try:
        chainstate = Chainstate(main(), ports.workers, store, ScriptCache(), cache_bytes=1 << 20)
        below = At(height - 1, at_bip34=at_bip34)
        chainstate.tip = cast(Any, below)
        yield chainstate, At(height, block_hash, below, at_bip34)
    finally:
        await store.close()


def coinbase(height: int) -> Transaction:
    return Transaction.make(
        [TxIn(NULL_OUTPOINT, b"\x04" + height.to_bytes(4, "little"))], [TxOut(1, b"\x51")]
    )


def block_of(*vtx: Transaction) -> Block:
    """Only its transactions count here."""
    return Block(BlockHeader(4, bytes(32), bytes(32), 1_600_000_000, 0x1D00FFFF, 0), vtx)


async def repeats(height: int, block_hash: str, at_bip34: str = BIP34_HASH) -> Coin | None:
    """The coin that a coinbase leaves which was there before; BlockInvalid where that is not allowed."""
    again = coinbase(7)
    outpoint = OutPoint(again.txid, 0)
    async with chainstate_at(height, block_hash, at_bip34) as (chainstate, node):
        chainstate.coins.apply({outpoint: Coin(1, b"\x51", 91_722, True)})
        connection = await chainstate.prepare_connect(block_of(again), node, check_scripts=True)
        chainstate.apply(connection)
        return (await chainstate.coins.fetch([outpoint])).get(outpoint)


@pytest.mark.parametrize("height", REPEATING)
async def test_two_coinbases_may_overwrite_older_ones(height: int) -> None:
    """BIP 30; and no other block at these heights, nor these blocks at others."""
    assert await repeats(height, REPEATING[height]) == Coin(1, b"\x51", height, True)
    for other_height, block_hash in ((height, OTHER), (height + 1, REPEATING[height])):
        with pytest.raises(BlockInvalid, match="bad-txns-BIP30, tried to overwrite transaction"):
            await repeats(other_height, block_hash)


@pytest.mark.parametrize(
    ("height", "at_bip34", "asked"),
    [
        (BIP34_HEIGHT - 1, BIP34_HASH, True),
        (BIP34_HEIGHT, BIP34_HASH, True),
        (BIP34_HEIGHT + 1, BIP34_HASH, False),
        (BIP34_HEIGHT + 1, OTHER, True),  # another chain than the known one
        (1_983_701, BIP34_HASH, False),
        (1_983_702, BIP34_HASH, True),  # heights that coinbases of before BIP 34 named
    ],
)
async def test_where_nobody_asks_any_more(height: int, at_bip34: str, asked: bool) -> None:
    if asked:
        with pytest.raises(BlockInvalid, match="bad-txns-BIP30"):
            await repeats(height, OTHER, at_bip34)
    else:
        await repeats(height, OTHER, at_bip34)


@pytest.mark.parametrize("height", OVERWRITTEN)
async def test_what_was_overwritten_is_taken_off_all_the_same(height: int) -> None:
    """The coin says the height of the block that made it anew, or is gone."""
    first = coinbase(7)
    outpoint = OutPoint(first.txid, 0)
    for block_hash, clean in ((OVERWRITTEN[height], True), (OTHER, False)):
        for left in (Coin(1, b"\x51", height + 120, True), None):
            async with chainstate_at(height, block_hash) as (chainstate, node):
                if left is not None:
                    chainstate.coins.apply({outpoint: left})
                chainstate.tip = node
                step = await chainstate.prepare_disconnect(block_of(first), node, BlockUndo())
                assert step.clean is clean
                chainstate.apply(step)
                assert await chainstate.coins.fetch([outpoint]) == {}


async def spends(height: int, block_hash: str, script_pubkey: bytes, script_sig: bytes, witness: Any) -> None:
    """Connects a block that spends such an output; BlockInvalid if it may not."""
    outpoint = OutPoint(b"\x22" * 32, 0)
    tx = Transaction.make(
        [TxIn(outpoint, script_sig)], [TxOut(1, b"\x51")], witness=[witness] if witness else []
    )
    async with chainstate_at(height, block_hash) as (chainstate, node):
        chainstate.coins.apply({outpoint: Coin(COIN, script_pubkey, 1, False)})
        await chainstate.prepare_connect(block_of(coinbase(height), tx), node, check_scripts=True)


async def test_one_block_may_break_bip16() -> None:
    """At 170,060: its redeem script is not run."""
    redeem = b"\x6a"
    spend = b"\xa9\x14" + hash160(redeem) + b"\x87", b"\x01" + redeem, ()
    await spends(170_060, WITHOUT_BIP16, *spend)
    with pytest.raises(BlockInvalid, match="OP_RETURN was encountered"):
        await spends(170_060, OTHER, *spend)
    with pytest.raises(BlockInvalid, match="OP_RETURN was encountered"):
        await spends(2, OTHER, *spend)  # P2SH holds from the first block on but for that one


async def test_one_block_may_break_taproot() -> None:
    """At 692,261; P2SH, segwit and all that is buried hold in it as in any other."""
    for failing in FAILING_SCRIPTS:
        spend = failing.script_pubkey, failing.script_sig, failing.witness
        if failing.script_pubkey[:2] == b"\x51\x20":
            await spends(692_261, WITHOUT_TAPROOT, *spend)
        else:
            with pytest.raises(BlockInvalid, match="block-script-verify-flag-failed"):
                await spends(692_261, WITHOUT_TAPROOT, *spend)
        with pytest.raises(BlockInvalid, match="block-script-verify-flag-failed"):
            await spends(692_261, OTHER, *spend)


def test_all_of_today_is_mandatory() -> None:
    assert sorted(flag.name or "" for flag in MANDATORY_FLAGS) == [
        "CHECKLOCKTIMEVERIFY",
        "CHECKSEQUENCEVERIFY",
        "DERSIG",
        "NULLDUMMY",
        "P2SH",
        "TAPROOT",
        "WITNESS",
    ]
