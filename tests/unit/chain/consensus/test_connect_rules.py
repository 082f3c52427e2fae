"""What a block does to the coins, and the rule against overwriting them."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest
from block_files import read_blocks
from scene import SCRIPT_PUBKEY, make_scene
from spent_both_ways import spend_both_ways

from pybitcoind.chain.consensus.blocks import check_block, contextual_check_block
from pybitcoind.chain.consensus.connect import (
    bip30_applies,
    check_bip30,
    created_outpoints,
    script_failure,
    spent_outpoints,
)
from pybitcoind.chain.consensus.deployments import script_flags_for
from pybitcoind.chain.consensus.errors import BlockInvalid
from pybitcoind.chain.consensus.headers import contextual_check_header
from pybitcoind.chain.consensus.pow import block_work
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.muhash import MuHash3072
from pybitcoind.chain.params import main, regtest
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.serialize import Reader
from pybitcoind.chain.primitives.transaction import Coin, OutPoint, TxOut
from pybitcoind.chain.script.errors import ScriptError

FLAGS = int(script_flags_for(10**6, b"", main()))


def test_changes_and_undo() -> None:
    scene = make_scene()
    first = scene.spend(
        scene.mature[0], scene.mature[1], outputs=[TxOut(7, SCRIPT_PUBKEY), TxOut(8, b"\x6a")]
    )
    second = scene.spend(scene.output(first), scene.mature[2], fee=5)
    block = scene.block(first, second)
    wanted = spent_outpoints(block)
    assert wanted == [
        scene.mature[0][0],
        scene.mature[1][0],
        scene.output(first)[0],
        scene.mature[2][0],
    ]
    result = spend_both_ways(block, [scene.utxo.get(p) for p in wanted], scene.tip, scene.params, FLAGS)
    assert result.undo == [
        [coin for _, coin in scene.mature[:2]],
        [Coin(7, SCRIPT_PUBKEY, 131, False), scene.mature[2][1]],
    ]
    value, script = block.vtx[0].vout[0]
    assert result.changes == {
        OutPoint(block.vtx[0].txid, 0): Coin(value, script, 131, True),
        **{outpoint: None for outpoint, _ in scene.mature[:3]},
        OutPoint(second.txid, 0): Coin(5_000_000_002, SCRIPT_PUBKEY, 131, False),
    }
    assert result.fees == 10_000_000_000 - 15 + 5
    assert result.sigop_cost == 0
    assert created_outpoints(block)[:2] == [OutPoint(block.vtx[0].txid, 0), OutPoint(block.vtx[0].txid, 1)]


def test_scripts_too_long_are_never_kept() -> None:
    scene = make_scene()
    tx = scene.spend(
        scene.mature[0], outputs=[TxOut(1, bytes(10_001)), TxOut(1, bytes(10_000)), TxOut(0, b"")]
    )
    block = scene.block(tx)
    coins = [scene.utxo.get(p) for p in spent_outpoints(block)]
    changes = spend_both_ways(block, coins, scene.tip, scene.params, FLAGS).changes
    assert [OutPoint(tx.txid, n) in changes for n in range(3)] == [False, True, True]


def test_relative_locks_before_bip68() -> None:
    scene = make_scene()
    block = scene.block(scene.spend(scene.mature[0], sequence=0xFFFF))

    def spend(csv_height: int) -> None:
        coins = [scene.utxo.get(p) for p in spent_outpoints(block)]
        spend_both_ways(block, coins, scene.tip, replace(scene.params, csv_height=csv_height), FLAGS)

    spend(132)
    with pytest.raises(BlockInvalid, match="bad-txns-nonfinal"):
        spend(131)


class Node:
    """Far enough up the main chain."""

    def __init__(self, height: int, block_hash: bytes = b"\x01" * 32) -> None:
        self.height, self.hash = height, block_hash

    def ancestor(self, height: int) -> Node:
        assert height == 227931
        return Node(height, self.hash)


BIP34_BLOCK = bytes.fromhex("000000000000024b89b42a942fe0d9fea3bb44ab7bd1b19115dd6a759c0808b8")[::-1]
REPEATED = bytes.fromhex("00000000000a4d0a398161ffc163c503763b1f4360639393e0e4c8e300e0caec")[::-1]


@pytest.mark.parametrize(
    ("height", "block_hash", "at_bip34", "applies"),
    [
        (91842, b"\x02" * 32, b"", True),
        (91842, REPEATED, b"", False),
        (91841, REPEATED, b"", True),
        (227931, b"", BIP34_BLOCK, True),
        (227932, b"", BIP34_BLOCK, False),
        (227932, b"", b"\x05" * 32, True),
        (1_983_701, b"", BIP34_BLOCK, False),
        (1_983_702, b"", BIP34_BLOCK, True),
    ],
)
def test_where_bip30_applies(height: int, block_hash: bytes, at_bip34: bytes, applies: bool) -> None:
    assert bip30_applies(height, block_hash, Node(height - 1, at_bip34), main()) is applies  # type: ignore[arg-type]


def test_bip30() -> None:
    scene = make_scene()
    assert not bip30_applies(131, b"", scene.tip, regtest())  # BIP 34 holds from the first block on
    assert bip30_applies(131, b"", scene.tip, replace(regtest(), bip34_height=2))
    block = scene.blocks[-1]
    check_bip30(block, [])
    unspent = [p for p in created_outpoints(block) if p in scene.utxo]
    with pytest.raises(BlockInvalid, match="bad-txns-BIP30, tried to overwrite transaction"):
        check_bip30(block, unspent)


def test_text_of_a_script_failure() -> None:
    scene = make_scene()
    tx = scene.spend(scene.mature[0])
    error = script_failure(ScriptError.EVAL_FALSE, tx, 0)
    prevout = scene.mature[0][0]
    assert str(error) == (
        "block-script-verify-flag-failed (Script evaluated without error but finished with a false/empty "
        f"top stack element), input 0 of {tx.txid[::-1].hex()} (wtxid {tx.wtxid[::-1].hex()}), "
        f"spending {prevout.txid[::-1].hex()}:0"
    )


def test_a_chain_that_core_knows(shared: Path) -> None:
    """All rules but scripts over 220 blocks; Core says what coins are left."""
    params = regtest()
    tip = HeaderNode(params.genesis.header, None, block_work(params.genesis.header.bits))
    utxo: dict[OutPoint, Coin] = {}
    cost = 0
    for raw in read_blocks(shared / "data" / "regtest-signatures.dat"):
        block = Block.decode(raw)
        if block.hash == params.genesis.hash:
            continue
        contextual_check_header(block.header, tip, 2e9, params)
        check_block(block, params)
        contextual_check_block(block, tip, params)
        flags = script_flags_for(tip.height + 1, block.hash, params)
        coins = [utxo.get(p) for p in spent_outpoints(block)]
        result = spend_both_ways(block, coins, tip, params, flags)
        cost += result.sigop_cost
        for outpoint, coin in result.changes.items():
            if coin is None:
                del utxo[outpoint]
            else:
                utxo[outpoint] = coin
        tip = HeaderNode(block.header, tip, block_work(block.header.bits))
    assert (tip.height, tip.hash[::-1].hex()) == (
        220,
        "10b98c99e27acb82d318194371a7657844a469ed5629efff515b7ab591081399",
    )
    assert (len(utxo), sum(coin.value for coin in utxo.values())) == (20180, 889150005909)
    assert cost > 30_000
    muhash = MuHash3072()
    for outpoint, coin in utxo.items():
        height_and_kind = struct.pack("<I", coin.height << 1 | coin.coinbase)
        muhash.insert(outpoint.serialize() + height_and_kind + coin.txout.serialize())
    assert muhash.finalize()[::-1].hex() == "800bdf82130fa594e16f1395439ffc6712ec7cdd1c86d70d2f29caf88e38ef24"


@pytest.mark.parametrize("height", [300025, 928828])
def test_real_blocks(shared: Path, height: int) -> None:
    folder = shared / "data" / "mainnet"
    block = Block.decode((folder / f"block-{height}.raw").read_bytes())
    check_block(block, main())
    r = Reader((folder / f"block-{height}-prevouts.raw").read_bytes())
    made = {tx.txid for tx in block.vtx}
    coins: list[Coin | None] = []
    for prevout in spent_outpoints(block):
        coin = Coin(r.i64(), r.var_bytes(), 1, False)
        coins.append(None if prevout.txid in made else coin)
    r.finish()

    class Below(Node):
        def mtp(self) -> int:
            return block.header.time - 3600

        def ancestor(self, height: int) -> Below:
            return self

    prev = Below(height - 1)
    contextual_check_block(block, prev, main())  # type: ignore[arg-type]
    flags = script_flags_for(height, block.hash, main())
    result = spend_both_ways(block, coins, prev, main(), flags)  # type: ignore[arg-type]
    subsidy = 2_500_000_000 if height == 300025 else 312_500_000
    assert sum(value for value, _ in block.vtx[0].vout) == subsidy + result.fees
    assert 0 < result.sigop_cost < 80_000
