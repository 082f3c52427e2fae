"""Every template of an invalid block fails where it should, with its token; and what they cannot show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from invalid_blocks import INVALID_BLOCKS, InvalidBlock
from scene import COMMITMENT_HEADER, SCRIPT_PUBKEY, Scene, make_scene, solved
from spent_both_ways import spend_both_ways

from pybitcoind.chain.consensus.blocks import (
    block_subsidy,
    check_block,
    check_block_mutated,
    contextual_check_block,
    has_valid_proof_of_work,
    is_block_mutated,
)
from pybitcoind.chain.consensus.connect import script_failure, spent_outpoints
from pybitcoind.chain.consensus.deployments import script_flags_for
from pybitcoind.chain.consensus.errors import BlockFault, BlockInvalid
from pybitcoind.chain.consensus.headers import check_header, contextual_check_header
from pybitcoind.chain.consensus.witness_commitment import (
    commitment_script,
    complete_block,
    generate_commitment,
    witness_commitment_index,
)
from pybitcoind.chain.params import NETWORKS, main, regtest
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.merkle import merkle_root
from pybitcoind.chain.primitives.transaction import Transaction, TxIn, TxOut
from pybitcoind.chain.script.sighash import TxDigests
from pybitcoind.chain.script.verify import verify_input


def stages(block: Block, scene: Scene) -> list[tuple[str, Callable[[], object]]]:
    """What a node does with a block, in order."""
    header, tip, params = block.header, scene.tip, scene.params
    coins = [scene.utxo.get(p) for p in spent_outpoints(block)]
    flags = script_flags_for(scene.height, block.hash, params)
    return [
        ("header", lambda: check_header(header, params)),
        ("contextual header", lambda: contextual_check_header(header, tip, scene.now, params)),
        ("check", lambda: check_block(block, params)),
        ("contextual", lambda: contextual_check_block(block, tip, params)),
        ("connect", lambda: spend_both_ways(block, coins, tip, params, flags)),
    ]


def verdict(block: Block, scene: Scene) -> tuple[str, BlockInvalid | None]:
    for stage, run in stages(block, scene):
        try:
            run()
        except BlockInvalid as error:
            return stage, error
    return "scripts", None


def failing_script(block: Block, scene: Scene) -> BlockInvalid | None:
    coins = [scene.utxo.get(p) for p in spent_outpoints(block)]
    flags = script_flags_for(scene.height, block.hash, scene.params)
    undo = spend_both_ways(block, coins, scene.tip, scene.params, flags).undo
    for tx, spent in zip(block.vtx[1:], undo, strict=True):
        digests = TxDigests(tx, spent)
        for index, coin in enumerate(spent):
            error = verify_input(tx, index, coin, flags, digests)
            if error:
                return script_failure(error, tx, index)
    return None


@pytest.mark.parametrize("template", INVALID_BLOCKS, ids=lambda t: t.name)
def test_templates(template: InvalidBlock) -> None:
    """As it was made, where no transaction is known to be sound, and as it is read."""
    scene = make_scene()
    made = template.build(scene)
    fails_as_told(template, made, scene)
    if template.on_wire:
        fails_as_told(template, Block.decode(made.raw), scene)


def fails_as_told(template: InvalidBlock, block: Block, scene: Scene) -> None:
    stage, error = verdict(block, scene)
    assert stage == template.stage
    if error is None:
        error = failing_script(block, scene)
    assert error is not None
    assert (error.reason, error.fault.name) == (template.reason, template.fault)
    assert error.detail.startswith(template.detail)
    assert is_block_mutated(block, True) is (template.fault == "MUTATED")


def test_the_scene_is_valid() -> None:
    scene = make_scene()
    spends = [scene.spend(scene.mature[0]), scene.spend(*scene.mature[1:4], version=1)]
    spends.append(scene.spend(scene.output(spends[0]), scene.output(spends[1])))
    assert verdict(scene.block(*spends), scene) == ("scripts", None)
    assert verdict(scene.block(), scene) == ("scripts", None)
    assert verdict(scene.block(commit=True), scene) == ("scripts", None)
    everything = scene.block(*spends, coinbase=scene.coinbase(fees=3000))
    assert verdict(everything, scene) == ("scripts", None)
    assert failing_script(everything, scene) is None


def test_details_name_the_transaction() -> None:
    scene = make_scene()
    tx = scene.spend(scene.mature[0], outputs=[TxOut(-1, b"")])
    _, error = verdict(scene.block(tx), scene)
    assert error is not None
    assert error.detail == f"Transaction check failed (tx hash {tx.txid[::-1].hex()}) "
    tx = scene.spend(scene.young[0])
    _, error = verdict(scene.block(tx), scene)
    assert error is not None
    txid = tx.txid[::-1].hex()
    assert error.detail == f"tried to spend coinbase at depth 99 in transaction {txid}"
    tx = scene.spend(scene.mature[0], sequence=200)
    _, error = verdict(scene.block(tx), scene)
    assert error is not None
    assert error.detail == f"contains a non-BIP68-final transaction {tx.txid[::-1].hex()}"


def test_parts_of_check_block_can_be_left_out() -> None:
    scene = make_scene()
    check_block(scene.block(meet_target=False), scene.params, check_pow=False)
    check_block(scene.block(root=b"\x01" * 32), scene.params, check_merkle=False)


def test_subsidy() -> None:
    coin = 100_000_000
    assert [block_subsidy(h, main()) for h in (0, 209_999, 210_000, 420_000)] == [
        50 * coin,
        50 * coin,
        25 * coin,
        1_250_000_000,
    ]
    assert block_subsidy(210_000 * 32, main()) == 1
    assert block_subsidy(210_000 * 33, main()) == 0
    assert block_subsidy(210_000 * 64, main()) == block_subsidy(210_000 * 1000, main()) == 0
    assert [block_subsidy(h, regtest()) for h in (149, 150)] == [50 * coin, 25 * coin]
    total = sum(block_subsidy(h, main()) * 1000 for h in range(0, 7_000_000, 1000))
    assert total == 2_099_999_997_690_000


def test_genesis_blocks_keep_the_rules() -> None:
    for make in NETWORKS.values():
        params = make()
        check_block(params.genesis, params)
    assert has_valid_proof_of_work([make().genesis.header for make in NETWORKS.values()], regtest())
    assert not has_valid_proof_of_work([regtest().genesis.header], main())


def test_locktimes_before_bip113() -> None:
    """The block's own time counts, not the median."""
    scene = make_scene()
    old = replace(scene.params, csv_height=10_000)
    tx = scene.spend(scene.mature[0], sequence=0, locktime=scene.tip.time)
    block = scene.block(tx, time=scene.tip.time + 1)
    contextual_check_block(block, scene.tip, old)
    with pytest.raises(BlockInvalid, match="bad-txns-nonfinal, non-final transaction"):
        contextual_check_block(block, scene.tip, scene.params)


def test_before_segwit_no_witness_at_all() -> None:
    scene = make_scene()
    old = replace(scene.params, segwit_height=10_000)
    contextual_check_block(scene.block(), scene.tip, old)
    with pytest.raises(BlockInvalid, match="unexpected-witness"):
        contextual_check_block(scene.block(scene.spend(scene.mature[0])), scene.tip, old)
    with pytest.raises(BlockInvalid, match="unexpected-witness"):
        contextual_check_block(scene.block(commit=True), scene.tip, old)


def test_before_bip34_any_height() -> None:
    scene = make_scene()
    old = replace(scene.params, bip34_height=10_000)
    contextual_check_block(scene.block(coinbase=scene.coinbase(height=7)), scene.tip, old)


def test_height_pushes() -> None:
    """BIP 34 at the heights where the push changes its form."""
    scene = make_scene(0)
    for height in range(1, 19):
        assert scene.height == height
        good = scene.block()
        contextual_check_block(good, scene.tip, scene.params)
        as_data = scene.block(coinbase=scene.coinbase(script_sig=bytes((1, height, 0))))
        if height <= 16:
            with pytest.raises(BlockInvalid, match="bad-cb-height"):
                contextual_check_block(as_data, scene.tip, scene.params)
        else:
            contextual_check_block(as_data, scene.tip, scene.params)
        scene = scene.extended(good)
    for length in (127, 128):
        scene = make_scene(length)
        contextual_check_block(scene.block(), scene.tip, scene.params)
    assert make_scene(128).blocks[127].vtx[0].vin[0].script_sig.startswith(b"\x02\x80\x00")


def test_weight_at_the_limit() -> None:
    scene = make_scene()
    room = 4_000_000 - scene.block(scene.spend(scene.mature[0], witness=[[bytes(3_900_000)]])).weight

    def block(size: int) -> Block:
        return scene.block(scene.spend(scene.mature[0], witness=[[bytes(size)]]))

    full = block(3_900_000 + room)
    assert full.weight == 4_000_000
    contextual_check_block(full, scene.tip, scene.params)
    with pytest.raises(BlockInvalid, match="bad-blk-weight"):
        contextual_check_block(block(3_900_001 + room), scene.tip, scene.params)


def test_sigops_at_the_limit() -> None:
    scene = make_scene()
    fits = scene.spend(scene.mature[0], outputs=[TxOut(0, b"\xac" * 20_000)])
    over = scene.spend(scene.mature[0], outputs=[TxOut(0, b"\xac" * 20_000), TxOut(0, b"\xac")])
    assert verdict(scene.block(fits), scene) == ("scripts", None)
    stage, error = verdict(scene.block(over), scene)
    assert stage == "check" and error is not None and error.reason == "bad-blk-sigops"


def test_mutated_without_coinbase() -> None:
    """A block that does not begin with a coinbase is mutated if it holds a transaction of 64 bytes."""
    scene = make_scene()
    outpoint, _ = scene.mature[0]

    def block(size: int) -> Block:
        script = bytes(size - 60)
        tx = Transaction.make([TxIn(outpoint)], [TxOut(1, script)])
        assert tx.base_size == size
        return scene.block(coinbase=tx)

    assert is_block_mutated(block(64), True)
    assert not is_block_mutated(block(65), True)
    with pytest.raises(BlockInvalid) as caught:
        check_block_mutated(block(64), False)
    assert caught.value.fault is BlockFault.MUTATED


def test_repeated_transactions_anywhere() -> None:
    """CVE-2012-2459: whatever list has the root of a shorter one is seen."""
    scene = make_scene()
    txs = [scene.spend(coin) for coin in scene.mature[:10]]
    for count in range(1, 11):
        vtx = scene.block(*txs[: count - 1]).vtx
        root, mutated = merkle_root([tx.txid for tx in vtx])
        assert not mutated
        for width in (1, 2, 4, 8):
            if count % width or count // width % 2 == 0:
                continue
            longer = [*vtx, *vtx[-width:]]
            if count // width == 1:
                continue  # all of it: the root goes a level up
            assert merkle_root([tx.txid for tx in longer]) == (root, True)
            header = replace_root(scene, root)
            with pytest.raises(BlockInvalid, match="bad-txns-duplicate"):
                check_block(Block(header, longer), scene.params)


def replace_root(scene: Scene, root: bytes):  # type: ignore[no-untyped-def]
    return solved(scene.block(root=root).header)


def test_commitment_is_the_last_one_found() -> None:
    scene = make_scene()
    block = scene.block()
    assert witness_commitment_index(block) is None
    coinbase = block.vtx[0]
    short = TxOut(0, COMMITMENT_HEADER + bytes(31))
    long = TxOut(0, COMMITMENT_HEADER + bytes(40))
    for outputs, index in (
        ([short], None),
        ([long], 1),
        ([long, short], 1),
        ([long, long, coinbase.vout[0]], 2),
        ([TxOut(0, b"\x6a\x24\xaa\x21\xa9\xee" + bytes(32))], None),
    ):
        tx = Transaction.make(coinbase.vin, [*coinbase.vout, *outputs])
        assert witness_commitment_index(Block(block.header, [tx])) == index


def test_making_commitments() -> None:
    scene = make_scene()
    spend = scene.spend(scene.mature[0])
    coinbase = generate_commitment([scene.coinbase(), spend])
    assert coinbase.witness == ((bytes(32),),)
    assert coinbase.vout[1] == TxOut(0, commitment_script([coinbase, spend]))
    contextual_check_block(scene.block(spend, coinbase=coinbase, commit=False), scene.tip, scene.params)
    assert generate_commitment([coinbase, spend]) == coinbase


def test_a_missing_reserved_value_is_filled_in() -> None:
    scene = make_scene()
    good = scene.block(scene.spend(scene.mature[0]))
    bare = Transaction.make(good.vtx[0].vin, good.vtx[0].vout)
    block = Block(good.header, [bare, *good.vtx[1:]])
    assert complete_block(block, scene.tip, scene.params) == good
    assert complete_block(good, scene.tip, scene.params) is good
    plain = scene.block()
    assert complete_block(plain, scene.tip, scene.params) is plain
    assert complete_block(block, scene.tip, replace(scene.params, segwit_height=10_000)) is block


def test_anyone_may_be_paid() -> None:
    """A coinbase may take less than it could."""
    scene = make_scene()
    coinbase = Transaction.make(scene.coinbase().vin, [TxOut(1, SCRIPT_PUBKEY)])
    assert verdict(scene.block(coinbase=coinbase), scene) == ("scripts", None)
