"""The chain manager over real storage in memory: fork choice, failure, order of arrival, restarts, events."""

from __future__ import annotations

import asyncio

import pytest
from ports import ListLog, make_ports
from running import Recorder, running_chain
from scene import SCRIPT_PUBKEY, Scene, height_push, make_scene, solved

from pybitcoind.chain import manager
from pybitcoind.chain.consensus.errors import BlockFault, BlockInvalid
from pybitcoind.chain.events import (
    BlockChecked,
    BlockConnected,
    BlockDisconnected,
    HeaderTip,
    NewPowValidBlock,
    TipChanged,
)
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.ibd import Activity
from pybitcoind.chain.manager import ChainManager, ChainOptions
from pybitcoind.chain.ports import Ports
from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxOut
from pybitcoind.chain.verify_chain import VerifyResult


def ports_at(scene: Scene, **parts: object) -> Ports:
    return make_ports(now=scene.now, **parts)  # type: ignore[arg-type]


def branch(scene: Scene, length: int, mark: bytes) -> list[Scene]:
    """Scenes behind scene, one block each; mark makes the branch differ from others."""
    scenes = []
    for _ in range(length):
        coinbase = scene.coinbase(script_sig=height_push(scene.height) + bytes((len(mark),)) + mark)
        scene = scene.extended(scene.block(coinbase=coinbase))
        scenes.append(scene)
    return scenes


def last(scene: Scene) -> Block:
    return scene.blocks[-1]


async def feed(chain: ChainManager, scene: Scene) -> None:
    for block in scene.blocks:
        result = await chain.accept_block(block, requested=True)
        assert result.error is None and result.new
    await chain.activate_best()


async def assert_coins(chain: ChainManager, scene: Scene) -> None:
    """The chain's coins are the scene's: in memory, and after a flush in the store."""
    assert chain.tip.hash == scene.tip.hash
    expected = dict(scene.utxo)
    assert await chain.get_coins(expected) == expected
    await chain.flush()
    assert await chain.chainstate.store.count() == len(expected)


async def test_few_coins_wait_for_a_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "UNFLUSHED_COINS", 20)
    scene = make_scene(110)
    async with running_chain(ports_at(scene)) as chain:
        await feed(chain, scene)
        coins = chain.chainstate.coins
        assert coins.dirty_count < 20 and not coins.full
        assert len(coins) == len(scene.utxo), "those that are on the disk are kept as well"
        await assert_coins(chain, scene)


async def test_a_chain_grows_and_is_there_after_a_restart() -> None:
    scene = make_scene(110)
    spending = scene.extended(scene.block(scene.spend(*scene.mature[:3])))
    ports, recorder = ports_at(scene), Recorder()
    async with running_chain(ports, ChainOptions(max_tip_age=3600), recorder=recorder) as chain:
        assert chain.tip.height == 0 and chain.is_ibd
        await feed(chain, scene)
        await assert_coins(chain, scene)
        assert not chain.is_ibd  # the scene's clock is near its tip
        result = await chain.process_block(last(spending))
        assert (result.new, result.checked, result.error) == (True, True, None)
        await assert_coins(chain, spending)
        assert (await chain.read_block(chain.tip)).raw == last(spending).raw
        assert await chain.read_block_bytes(chain.tip) == last(spending).raw
        undo = await chain.read_undo(chain.tip)
        assert [list(coins) for coins in undo.txs] == [[coin for _, coin in scene.mature[:3]]]
        await chain.events.drained()
        assert [e.node.height for e in recorder.of(BlockConnected)] == list(range(1, 112))
        assert isinstance(recorder.events[-1], TipChanged) and not recorder.events[-1].ibd
        assert recorder.of(NewPowValidBlock) != []
    async with running_chain(ports) as chain:
        await assert_coins(chain, spending)
        assert chain.tip.chain_tx_count == 114 and chain.tip.sequence == 0
        assert chain.headers.tip is chain.best_header
        assert await chain.verify_chain(4, 0) is VerifyResult.SUCCESS
        await assert_coins(chain, spending)
        result = await chain.process_block(last(spending))
        assert (result.new, result.checked, result.error) == (False, False, None)


async def test_blocks_in_any_order() -> None:
    scene = make_scene(20)
    async with running_chain(ports_at(scene)) as chain:
        await chain.accept_headers([block.header for block in scene.blocks])
        assert chain.best_header.height == 20 and chain.tip.height == 0
        for block in [*scene.blocks[10:], *scene.blocks[1:10][::-1]]:
            result = await chain.process_block(block, requested=True)
            assert result.new and not result.checked and chain.tip.height == 0
        result = await chain.process_block(scene.blocks[0])
        assert result.checked and chain.tip.height == 20
        await assert_coins(chain, scene)


async def test_most_work_then_first_seen_wins_over_restarts_too() -> None:
    base = make_scene(105)
    ours, theirs = branch(base, 2, b"ours"), branch(base, 3, b"theirs")
    ports, recorder = ports_at(theirs[-1]), Recorder()
    async with running_chain(ports, recorder=recorder) as chain:
        await feed(chain, base)
        await chain.process_block(last(ours[0]))
        await chain.process_block(last(theirs[0]))
        assert chain.tip.hash == ours[0].tip.hash
        await chain.process_block(last(theirs[1]))
        await assert_coins(chain, theirs[1])
        await chain.process_block(last(ours[1]), requested=True)
        assert chain.tip.hash == theirs[1].tip.hash
        await chain.events.drained()
        gone = recorder.of(BlockDisconnected)
        assert [event.node.hash for event in gone] == [ours[0].tip.hash]
        tip_event = recorder.of(TipChanged)[-1]
        assert tip_event.fork.hash == base.tip.hash and tip_event.tip.hash == theirs[1].tip.hash
        index = next(i for i, event in enumerate(recorder.events) if event is gone[0])
        later = [e.node.hash for e in recorder.events[index:] if isinstance(e, BlockConnected)]
        assert later == [theirs[0].tip.hash, theirs[1].tip.hash]
    async with running_chain(ports) as chain:
        await assert_coins(chain, theirs[1])  # seen first or not: what was active stays
        tips = {node.hash: node.height for node in chain.headers.tips()}
        assert tips == {theirs[1].tip.hash: 107, ours[1].tip.hash: 107}
        await chain.precious_block(ours[1].tip.hash)
        await assert_coins(chain, ours[1])
        await chain.precious_block(theirs[1].tip.hash)
        await assert_coins(chain, theirs[1])
        await chain.precious_block(ours[1].tip.hash)
        await chain.process_block(last(theirs[2]))
        await assert_coins(chain, theirs[2])


async def test_a_failed_branch_is_left_and_remembered() -> None:
    base = make_scene(105)
    good = branch(base, 1, b"good")
    greedy = base.block(coinbase=base.coinbase(fees=1))
    bad = [base.extended(greedy)]
    bad += branch(bad[0], 2, b"bad")
    ports, recorder = ports_at(bad[-1]), Recorder()
    async with running_chain(ports, recorder=recorder) as chain:
        await feed(chain, base)
        await chain.process_block(last(good[0]))
        await chain.accept_headers([last(scene).header for scene in bad])
        for scene in bad[:2]:
            result = await chain.process_block(last(scene), requested=True)
            assert result.new and result.error is None
        assert chain.tip.hash == good[0].tip.hash
        await assert_coins(chain, good[0])
        for scene in bad:
            node = chain.headers.get(scene.tip.hash)
            assert node is not None and node.failed
        assert chain.best_header.hash == good[0].tip.hash
        await chain.events.drained()
        failed = [event for event in recorder.of(BlockChecked) if event.error is not None]
        assert [(event.block_hash, event.error.reason) for event in failed] == [
            (greedy.hash, "bad-cb-amount")
        ]
        # the way there and back is told as it happened
        gone = [event.node.hash for event in recorder.of(BlockDisconnected)]
        assert gone == [good[0].tip.hash]
        assert recorder.of(BlockConnected)[-1].node.hash == good[0].tip.hash
    assert isinstance(ports.log, ListLog)
    assert ports.log.find(f"[error] ConnectTip: ConnectBlock {greedy.hash[::-1].hex()} failed, bad-cb-amount")
    assert ports.log.find("InvalidChainFound: invalid block=")
    async with running_chain(ports) as chain:
        assert chain.tip.hash == good[0].tip.hash
        result = await chain.process_block(greedy)
        assert result.error is not None and result.error.reason == "duplicate-invalid"
        more = branch(bad[-1], 1, b"more")
        with pytest.raises(BlockInvalid, match="bad-prevblk") as caught:
            await chain.accept_headers([last(more[0]).header])
        assert caught.value.fault is BlockFault.INVALID_PREV


async def test_a_bad_block_on_the_tip_is_told_to_its_sender() -> None:
    base = make_scene(105)
    tx = base.spend(*base.mature[:1], fee=-1)
    block = base.block(tx)
    async with running_chain(ports_at(base)) as chain:
        await feed(chain, base)
        result = await chain.process_block(block)
        assert result.checked and result.error is not None
        assert result.error.reason == "bad-txns-in-belowout" and result.error.fault is BlockFault.CONSENSUS
        assert tx.txid[::-1].hex() in result.error.detail


async def test_the_first_script_failure_in_block_order_is_told() -> None:
    base = make_scene(110)
    spends = [base.spend(coin) for coin in base.mature[:9]]
    wrong = [base.spend(coin, witness=[[b"", b"\x51"]]) for coin in (base.mature[9], base.mature[0])]
    async with running_chain(ports_at(base)) as chain:
        await feed(chain, base)
        result = await chain.process_block(base.block(*spends[1:5], wrong[1], *spends[5:], wrong[0]))
        assert result.error is not None
        assert result.error.reason.startswith("block-script-verify-flag-failed (")
        assert f"input 0 of {wrong[1].txid[::-1].hex()}" in result.error.detail


async def test_a_mutated_body_does_not_condemn_the_header() -> None:
    base = make_scene(105)
    txs = [base.spend(base.mature[0]), base.spend(base.mature[1])]
    block = base.block(*txs)
    doubled = Block(block.header, [*block.vtx, block.vtx[-1]])
    stripped_coinbase = Transaction.make(
        block.vtx[0].vin, block.vtx[0].vout, version=2, witness=[[b"\x01" * 32]]
    )
    wrong_nonce = Block(block.header, [stripped_coinbase, *block.vtx[1:]])
    bare = Transaction.make(txs[1].vin, [TxOut(1, b"")], witness=txs[1].witness)
    other_tx = Block(block.header, [*block.vtx[:2], bare])
    async with running_chain(ports_at(base)) as chain:
        await feed(chain, base)
        for mutant, reason in (
            (doubled, "bad-txns-duplicate"),
            (wrong_nonce, "bad-witness-merkle-match"),
            (other_tx, "bad-txnmrklroot"),
        ):
            result = await chain.process_block(mutant)
            assert result.error is not None and not result.checked
            assert (result.error.reason, result.error.fault) == (reason, BlockFault.MUTATED)
            node = chain.headers.get(block.hash)
            assert node is None or not node.failed
        result = await chain.process_block(block)
        assert result.checked and result.error is None
        assert chain.tip.hash == block.hash


async def test_unrequested_blocks() -> None:
    base = make_scene(10)
    side = branch(make_scene(5), 5, b"side")
    far = branch(base, 300, b"far")
    async with running_chain(ports_at(far[-1])) as chain:
        await feed(chain, base)
        await chain.accept_headers([block.header for block in far[-1].blocks])
        result = await chain.process_block(last(side[0]))
        assert not result.new and result.node is not None and not result.node.have_data
        result = await chain.process_block(last(far[288]))  # height 299, the tip is at 10
        assert not result.new
        result = await chain.process_block(last(far[287]))
        assert result.new
        result = await chain.process_block(last(side[0]), requested=True)
        assert result.new
    options = ChainOptions(minimum_chainwork=1 << 40)
    async with running_chain(ports_at(base), options) as chain:
        result = await chain.process_block(base.blocks[0])
        assert not result.new and chain.is_ibd
        result = await chain.process_block(base.blocks[0], requested=True)
        assert result.new and chain.tip.height == 1 and chain.is_ibd


async def test_headers_are_refused_in_cores_words() -> None:
    base = make_scene(5)
    async with running_chain(ports_at(base)) as chain:
        with pytest.raises(BlockInvalid, match="prev-blk-not-found"):
            await chain.accept_headers([base.blocks[1].header])
        with pytest.raises(BlockInvalid, match="too-little-chainwork"):
            await chain.accept_headers([base.blocks[0].header], min_pow_checked=False)
        node = await chain.accept_headers([block.header for block in base.blocks[:3]])
        assert node is not None and node.height == 3
        missed = base.block(meet_target=False).header
        with pytest.raises(BlockInvalid, match="high-hash"):
            await chain.accept_headers([base.blocks[3].header, missed])
        assert chain.best_header.height == 4  # what came before the bad one stays
        late = solved(BlockHeader(4, base.blocks[3].hash, bytes(32), base.now + 7201, 0x207FFFFF, 0))
        with pytest.raises(BlockInvalid, match="time-too-new") as caught:
            await chain.accept_headers([late])
        assert caught.value.fault is BlockFault.TIME_FUTURE and late.hash not in chain.headers


async def test_invalidate_and_reconsider() -> None:
    base = make_scene(105)
    main, side = branch(base, 4, b"main"), branch(base, 2, b"side")
    ports = ports_at(main[-1])
    async with running_chain(ports) as chain:
        await feed(chain, main[-1])
        for scene in side:
            await chain.process_block(last(scene), requested=True)
        await chain.invalidate_block(main[1].tip.hash)
        assert chain.tip.hash == side[1].tip.hash
        await assert_coins(chain, side[1])
        assert chain.best_header.hash == side[1].tip.hash
        await chain.invalidate_block(side[0].tip.hash)
        await assert_coins(chain, main[0])
    async with running_chain(ports) as chain:
        await assert_coins(chain, main[0])
        await chain.reconsider_block(main[3].tip.hash)
        await assert_coins(chain, main[3])
        side_end = chain.headers.get(side[1].tip.hash)
        assert side_end is not None and side_end.failed
        await chain.invalidate_block(chain.headers.genesis.hash)  # as in Core: nothing happens
        await assert_coins(chain, main[3])
        with pytest.raises(LookupError):
            await chain.reconsider_block(bytes(32))
        await chain.reconsider_block(side[1].tip.hash)
        assert not side_end.failed and chain.tip.hash == main[3].tip.hash


async def test_stop_at_height() -> None:
    base = make_scene(30)
    stopped = []
    async with running_chain(ports_at(base), ChainOptions(stop_at_height=12)) as chain:
        chain.activation.on_stop_height = lambda: stopped.append(chain.tip.height)
        for block in base.blocks:
            await chain.accept_block(block, requested=True)
        await chain.activate_best()
        assert chain.tip.height == 12 and stopped == [12]


async def test_waiting_for_the_tip() -> None:
    base = make_scene(3)
    async with running_chain(ports_at(base)) as chain:
        waiting = asyncio.ensure_future(chain.wait_for_tip(lambda tip: tip.height >= 2))
        await asyncio.sleep(0)
        assert (await chain.wait_for_tip(lambda tip: False, timeout=0.01)).height == 0
        assert not waiting.done()
        await feed(chain, base)
        assert (await waiting).height >= 2
        assert (await chain.wait_for_tip(lambda tip: True)).height == 3


async def test_headers_only() -> None:
    base, longer = make_scene(20), branch(make_scene(15), 8, b"x")
    ports, recorder = ports_at(longer[-1]), Recorder()
    async with running_chain(ports, ChainOptions(headers_only=True), recorder=recorder) as chain:
        await chain.accept_headers([block.header for block in base.blocks])
        assert chain.tip.height == 20 and not chain.is_ibd
        await chain.accept_headers([block.header for block in longer[-1].blocks])
        assert chain.tip.hash == longer[-1].tip.hash
        await chain.events.drained()
        assert [type(event) for event in recorder.events] == [HeaderTip, TipChanged] * 2
        assert recorder.of(TipChanged)[-1].fork.height == 15
        assert await chain.wait_for_tip(lambda tip: tip.height == 23) is chain.tip
        await chain.flush()
        assert ports.storage.names("blocks") == ["index.sqlite"] and not ports.storage.names("chainstate")
    async with running_chain(ports, ChainOptions(headers_only=True)) as chain:
        assert chain.tip.hash == longer[-1].tip.hash


async def test_block_validity_is_tested_without_a_trace() -> None:
    base = make_scene(105)
    async with running_chain(ports_at(base)) as chain:
        await feed(chain, base)
        good = base.block(base.spend(*base.mature[:2]))
        await chain.test_block_validity(good)
        with pytest.raises(BlockInvalid, match="inconclusive-not-best-prevblk"):
            await chain.test_block_validity(base.blocks[-1])
        with pytest.raises(BlockInvalid, match="bad-cb-amount"):
            await chain.test_block_validity(base.block(coinbase=base.coinbase(fees=1)), check_pow=False)
        assert good.hash not in chain.headers
        await assert_coins(chain, base)
        template = await chain.create_template(SCRIPT_PUBKEY)
        result = await chain.process_block(Block(solved(template.block.header), template.block.vtx))
        assert result.error is None and chain.tip.height == 106


async def test_ibd_is_left_once_and_for_all() -> None:
    base = make_scene(5)
    ports = make_ports(now=base.now + 24 * 60 * 60)
    async with running_chain(ports) as chain:
        await feed(chain, base)
        assert chain.is_ibd and chain.holds_back(Activity.ANNOUNCE_BLOCKS)
        assert not chain.holds_back(Activity.SERVE_BLOCKS)
        ports.clock.set_mock_time(base.now)
        await chain.process_block(base.block())
        assert not chain.is_ibd and not chain.holds_back(Activity.ANNOUNCE_BLOCKS)
        ports.clock.set_mock_time(base.now + 10**6)
        await chain.process_block(branch(base, 2, b"late")[1].blocks[-1], requested=True)
        assert not chain.is_ibd


async def test_pruned_bodies_are_not_connected() -> None:
    """A branch whose bodies were deleted is no candidate until they come again."""
    base = make_scene(105)
    main, side = branch(base, 2, b"main"), branch(base, 3, b"side")
    async with running_chain(ports_at(side[-1])) as chain:
        await feed(chain, main[1])
        await chain.process_block(last(side[0]), requested=True)
        await chain.process_block(last(side[1]), requested=True)
        gone = chain.headers.get(side[0].tip.hash)
        assert gone is not None
        chain.index.forget_body(gone)
        chain.index.take_recent(gone)
        await chain.process_block(last(side[2]), requested=True)
        assert chain.tip.hash == main[1].tip.hash
        await chain.process_block(last(side[0]), requested=True)
        await assert_coins(chain, side[2])


async def test_an_interrupted_reorganisation_goes_on_after_the_restart() -> None:
    base = make_scene(105)
    main, side = branch(base, 6, b"main"), branch(base, 7, b"side")
    ports = ports_at(side[-1])
    async with running_chain(ports) as chain:
        await feed(chain, main[-1])
        for scene in side[:-1]:
            await chain.process_block(last(scene), requested=True)
        disconnected = 0
        note = chain.activation._disconnect_tip

        async def counted(leaving: HeaderNode | None) -> None:
            nonlocal disconnected
            await note(leaving)
            disconnected += 1
            if disconnected == 3:
                chain.stop_owner()

        chain.activation._disconnect_tip = counted  # type: ignore[method-assign]
        await chain.process_block(last(side[-1]), requested=True)
        assert chain.tip.height == 108
    async with running_chain(ports) as chain:
        await chain.activate_best()
        await assert_coins(chain, side[-1])


async def test_genesis_only() -> None:
    scene = make_scene(0)
    async with running_chain(ports_at(scene)) as chain:
        assert chain.tip is chain.headers.genesis is chain.best_header
        genesis = chain.params.genesis
        assert await chain.read_block_bytes(chain.tip) == genesis.raw
        assert (await chain.read_undo(chain.tip)).txs == ()
        assert await chain.get_coins([OutPoint(genesis.vtx[0].txid, 0)]) == {
            OutPoint(genesis.vtx[0].txid, 0): None
        }
        assert await chain.verify_chain() is VerifyResult.SUCCESS
