"""SPV nodes with wallets beside full nodes, in one process and in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from light_node import SEED, SETTINGS, light_node
from p2p_nodes import P2PNode, World, run_virtual, until, world
from scene import SCRIPT_PUBKEY, Scene, make_scene

from pybitcoind.chain.block_filter import BlockFilter
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.transaction import COIN, Transaction, TxOut
from pybitcoind.chain.storage.database import MemoryStorage
from pybitcoind.p2p.memory_network import MemoryHub
from pybitcoind.wallet.ledger import Conflicted
from pybitcoind.wallet.spending import Recipient, SpendOptions, send
from pybitcoind.wallet.wallet import Wallet

SCENE = make_scene(110)
AWAY = b"\x51\x20" + bytes(31) + b"\x01"
"""A script of nobody's."""


def virtual(test: Callable[[World], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Runs a test in a world of its own whose time jumps."""

    async def run() -> None:
        async with world(SCENE.now, MemoryHub().network) as w:
            await test(w)

    @wraps(test)
    def wrapped() -> None:
        run_virtual(run())

    del wrapped.__wrapped__  # type: ignore[attr-defined]  # pytest is to see no parameter
    return wrapped


async def full_node(w: World, name: str, scene: Scene = SCENE) -> P2PNode:
    return await w.node(name, blocks=scene.blocks, filters=True)


async def extend(scene: Scene, node: P2PNode, *txs: Transaction) -> Scene:
    """One more block on the node, with txs; its miner is paid where nobody looks."""
    coinbase = Transaction.make(scene.coinbase().vin, [TxOut(scene.subsidy, AWAY)])
    block = scene.block(*txs, coinbase=coinbase)
    await node.feed([block])
    return scene.extended(block)


def pay(scene: Scene, out: TxOut, coin: int = 0, fee: int = 1000) -> Transaction:
    spent = scene.mature[coin]
    return scene.spend(spent, outputs=[out, TxOut(spent[1].value - out.value - fee, SCRIPT_PUBKEY)])


@virtual
async def test_a_payment_is_seen_then_confirmed_and_other_blocks_are_left_alone(w: World) -> None:
    full = await full_node(w, "full")
    async with light_node(w) as light:
        await light.dial(full)
        await light.level(full)
        ours = pay(SCENE, await light.payment(COIN))
        await full.send(ours)
        await full.send(pay(SCENE, TxOut(COIN, AWAY), coin=1))
        await until(lambda: light.balance.pending == COIN)
        assert light.depth(ours.txid) == 0 and len(light.spv.pending) == 1
        scene = await extend(SCENE, full)
        scene = await extend(scene, full, ours)
        paid = scene.tip.hash
        await extend(scene, full)
        await light.level(full)
        assert light.balance.trusted == COIN and light.balance.pending == 0
        assert light.depth(ours.txid) == 2 and len(light.spv.pending) == 0
        assert light.fetched == [paid]


@virtual
async def test_a_reorganisation_takes_a_payment_back_and_may_bring_another(w: World) -> None:
    one, two = await full_node(w, "one"), await full_node(w, "two")
    async with light_node(w) as light:
        await light.dial(one)
        await light.level(one)
        ours = pay(SCENE, await light.payment(COIN))
        rival = pay(SCENE, TxOut(3 * COIN, AWAY))
        short = await extend(SCENE, one, ours)
        await extend(short, one)
        await light.level(one)
        assert light.depth(ours.txid) == 2
        long = await extend(SCENE, two)
        for _ in range(2):
            long = await extend(long, two)
        await light.dial(two)
        await light.level(two)
        assert light.depth(ours.txid) == 0 and light.balance.trusted == 0
        assert light.balance.pending == COIN, "it may still be mined on the new branch"
        long = await extend(long, two, rival)
        await light.level(two)
        wtx = light.tx(ours.txid)
        assert wtx is not None and isinstance(wtx.state, Conflicted), "the block that spends its coin is seen"
        assert light.balance.pending == 0 and len(light.spv.pending) == 0


def test_a_restart_goes_on_where_it_was() -> None:
    storage = MemoryStorage()

    async def first(w: World) -> tuple[Scene, Transaction]:
        full = await full_node(w, "full")
        async with light_node(w, storage=storage) as light:
            await light.dial(full)
            await light.level(full)
            paid = pay(SCENE, await light.payment(COIN))
            scene = await extend(SCENE, full, paid)
            await light.level(full)
            sent = await send(light.wallet, [Recipient(AWAY, COIN // 2)], SpendOptions(), {})
            assert light.balance.trusted < COIN
            return scene, sent.tx

    async def second(w: World, scene: Scene, sent: Transaction) -> None:
        full = await full_node(w, "full", scene)
        async with light_node(w, storage=storage) as light:
            filters = light.node.peers.filters
            assert filters is not None and filters.client.height == scene.tip.height
            asked = []
            serve = full.peers.serving.on_getcfilters
            full.peers.handlers["getcfilters"] = lambda peer, m: asked.append(m) or serve(peer, m)
            await until(lambda: light.depth(sent.txid) == 0)
            assert not asked and light.spv.view.height == scene.tip.height
            more = pay(scene, await light.payment(2 * COIN), coin=1)
            scene = await extend(scene, full, more)
            await light.dial(full)
            await until(lambda: full.mempool.contains(sent.txid))
            await extend(scene, full, sent)
            await light.level(full)
            assert light.depth(sent.txid) == 1 and light.depth(more.txid) == 2
            assert all(m.start_height >= 111 for m in asked), "the others are kept"
            assert 2 * COIN + COIN // 3 < light.balance.trusted < 2 * COIN + COIN // 2

    async def both() -> None:
        async with world(SCENE.now, MemoryHub().network) as w:
            left = await first(w)
        async with world(SCENE.now, MemoryHub().network) as w:
            await second(w, *left)

    run_virtual(both())


# Liars


def lie(node: P2PNode, target: bytes, make: Callable[[Block], BlockFilter]) -> None:
    """Has the node serve make(block) as the filter of one block."""
    index = node.peers.context.filter_index
    assert index is not None
    true_filters, true_hashes = index.filters, index.filter_hashes
    true_headers = index.headers_of

    async def false() -> BlockFilter:
        found = node.chain.headers.get(target)
        assert found is not None
        return make(await node.chain.read_block(found))

    async def filters(start: int, stop: HeaderNode) -> list[BlockFilter] | None:
        found = await true_filters(start, stop)
        return found and [await false() if one.block_hash == target else one for one in found]

    async def hashes(start: int, stop: HeaderNode) -> list[bytes] | None:
        found = await true_hashes(start, stop)
        node_ = node.chain.headers.get(target)
        assert found is not None and node_ is not None
        if start <= node_.height <= stop.height and stop.descends_from(node_):
            found[node_.height - start] = (await false()).hash
        return found

    async def headers_of(nodes: list[HeaderNode]) -> list[bytes] | None:
        found = await true_headers(nodes)
        node_ = node.chain.headers.get(target)
        assert found is not None and node_ is not None
        result = []
        for each, header in zip(nodes, found, strict=True):
            if each.descends_from(node_):
                header = (await true_headers([node_.prev]))[0]  # type: ignore[list-item,index]
                header = (await false()).header(header)
                for height in range(node_.height + 1, each.height + 1):
                    (next_,) = await true_filters(height, each.ancestor(height)) or []
                    header = next_.header(header)
            result.append(header)
        return result

    index.filters, index.filter_hashes, index.headers_of = filters, hashes, headers_of  # type: ignore


def hiding(block: Block) -> BlockFilter:
    """As if the block paid nobody but the miner."""
    return BlockFilter.of_elements(block.hash, [SCRIPT_PUBKEY])


def padded(block: Block) -> BlockFilter:
    """With all scripts of the outputs and one that is nowhere: the block does not refute it."""
    scripts = [script for tx in block.vtx for _, script in tx.vout if script[:1] != b"\x6a"]
    return BlockFilter.of_elements(block.hash, [*scripts, b"\x51\x51"])


@virtual
async def test_what_a_lonely_liar_hid_is_found_once_an_honest_peer_comes(w: World) -> None:
    liar, honest = await full_node(w, "liar"), await full_node(w, "honest")
    async with light_node(w) as light:
        ours = pay(SCENE, await light.payment(COIN))
        scene = await extend(SCENE, liar, ours)
        await honest.feed(scene.blocks[-1:])
        lie(liar, scene.tip.hash, hiding)
        for _ in range(3):
            scene = await extend(scene, liar)
            await honest.feed(scene.blocks[-1:])
        await light.dial(liar)
        await light.level(liar)
        assert light.balance.trusted == 0, "nothing tells of the payment"
        await light.dial(honest)
        await until(lambda: light.balance.trusted == COIN)
        await light.level(honest)
        assert light.depth(ours.txid) == 4
        assert light.node.log.find("false filter of block") and not liar.peers.peers


@virtual
async def test_a_filter_that_matches_is_judged_by_its_block(w: World) -> None:
    liar = await full_node(w, "liar")
    async with light_node(w) as light:
        out = await light.payment(COIN)
        ours = pay(SCENE, out)
        scene = await extend(SCENE, liar, ours)
        lie(liar, scene.tip.hash, lambda block: BlockFilter.of_elements(block.hash, [out.script_pubkey]))
        await light.dial(liar)
        await until(lambda: light.node.log.find("false filter of block"))
        await until(lambda: not light.node.peers.peers)
        assert light.node.peers.filters is not None
        await until(lambda: light.node.peers.filters.client.height == scene.tip.height - 1)


@virtual
async def test_disputed_blocks_are_looked_at_whole(w: World) -> None:
    one, two = await full_node(w, "one"), await full_node(w, "two")
    async with light_node(w) as light:
        ours = pay(SCENE, await light.payment(COIN))
        scene = await extend(SCENE, one, ours)
        paid = scene.tip.hash
        await two.feed(scene.blocks[-1:])
        scene = await extend(scene, one)
        other = scene.tip.hash
        await two.feed(scene.blocks[-1:])
        lie(two, other, padded)
        await light.dial(one, two)
        await light.level(one)
        assert light.balance.trusted == COIN
        filters = light.node.peers.filters
        assert filters is not None
        await until(lambda: list(filters.client.disputed) == [112])
        await until(lambda: light.spv.level)
        assert paid in light.fetched and other in light.fetched and len(light.node.peers.peers) == 2
        assert set(light.fetched) == {paid, other}


@virtual
async def test_a_peer_that_stops_answering_is_replaced(w: World) -> None:
    mute, good = await full_node(w, "mute"), await full_node(w, "good")

    async def nothing(peer: object, message: object) -> None:
        """Neither filters nor blocks."""

    async with light_node(w) as light:
        ours = pay(SCENE, await light.payment(COIN))
        scene = await extend(SCENE, good, ours)
        await mute.feed(scene.blocks[-1:])
        mute.peers.handlers["getcfilters"] = mute.peers.handlers["getdata"] = nothing
        await light.dial(mute)
        await until(lambda: light.node.log.find("cfilter did not come"), 200)
        await until(lambda: not light.node.peers.peers)
        assert light.balance.trusted == 0
        await light.dial(good)
        await light.level(good)
        assert light.balance.trusted == COIN


@virtual
async def test_a_block_with_wrong_witnesses_is_refused(w: World) -> None:
    liar, honest = await full_node(w, "liar"), await full_node(w, "honest")
    async with light_node(w) as light:
        ours = pay(SCENE, await light.payment(COIN))
        scene = await extend(SCENE, honest, ours)
        await liar.feed(scene.blocks[-1:])
        block = scene.blocks[-1]
        other = Transaction.make(ours.vin, ours.vout, version=ours.version, witness=[[b"\x51", b"\x51"]])
        assert other.txid == ours.txid
        mutated = Block(block.header, [block.vtx[0], other])

        async def serve(peer: Any, message: object) -> None:
            peer.connection.send_payload("block", mutated.raw)

        liar.peers.handlers["getdata"] = serve
        await light.dial(liar)
        await until(lambda: light.node.log.find("mutated block"))
        await w.sleep(10)
        assert light.balance.trusted == 0 and light.spv.view.height < 111
        await light.dial(honest)
        await until(lambda: light.balance.trusted == COIN)


@virtual
async def test_a_peer_that_goes_in_the_middle_is_replaced_at_once(w: World) -> None:
    one, two = await full_node(w, "one"), await full_node(w, "two")

    async def leave(peer: Any, message: object) -> None:
        peer.close()

    async with light_node(w) as light:
        ours = pay(SCENE, await light.payment(COIN))
        scene = await extend(SCENE, one, ours)
        await two.feed(scene.blocks[-1:])
        one.peers.handlers["getcfilters"] = one.peers.handlers["getdata"] = leave
        await light.dial(one, two)
        await until(lambda: light.balance.trusted == COIN, 8)


# Look-ahead


def addresses(wallet: Wallet, count: int) -> list[bytes]:
    """The first scripts that the wallet's active bech32 descriptor will ever give."""
    entry = wallet.book.active("bech32", False)
    assert entry is not None
    return [script for script, _ in entry.derive(0, count)]


def beyond(light_wallet: Wallet, scene: Scene) -> tuple[Scene, list[Block], int]:
    """Blocks in which payments to addresses come in the wrong order: those behind the look-ahead first, so
    that one is found only when a later block has shown that the wallet is further on."""
    scripts = addresses(light_wallet, 13)
    amounts = 0
    blocks = []
    for n, index in enumerate((12, 8, 4, 0)):  # the look-ahead is 5
        tx = pay(scene, TxOut(COIN * (n + 1), scripts[index]), coin=n)
        amounts += COIN * (n + 1)
        for txs in ((tx,), ()):
            blocks.append(scene.block(*txs))
            scene = scene.extended(blocks[-1])
    return scene, blocks, amounts


@virtual
async def test_growing_look_ahead_has_earlier_filters_matched_again(w: World) -> None:
    full = await full_node(w, "full")
    async with light_node(w) as light:
        await light.dial(full)
        await light.level(full)
        _, blocks, amounts = beyond(light.wallet, SCENE)
        for block in blocks:
            await full.feed([block])
            await light.level(full)
        assert light.balance.trusted == amounts
        assert len(light.fetched) <= 2 * 4


@virtual
async def test_a_scan_goes_back_too_when_look_ahead_grows(w: World) -> None:
    full = await full_node(w, "full")
    async with light_node(w) as light:
        _, blocks, amounts = beyond(light.wallet, SCENE)
        await full.feed(blocks)
        await light.dial(full)
        await light.level(full)
        wallet = light.wallet
        assert light.balance.trusted == amounts
        # The same wallet anew, from its seed, on a node that has the headers already.
        again, _ = await light.wallets.create("again", seed=SEED)
        follower = light.wallets.followers["again"]
        assert again.balance().trusted == 0
        await follower.rescan(follower.reserve(), 0)
        assert again.balance().trusted == amounts and again.best == wallet.best


# Transactions without a block


@virtual
async def test_only_plausible_transactions_are_shown(w: World) -> None:
    full = await full_node(w, "full")
    async with light_node(w, settings=SETTINGS) as light:
        await light.dial(full)
        paid = pay(SCENE, await light.payment(COIN))
        scene = await extend(SCENE, full, paid)
        await light.level(full)
        spend = light.spv._on_transaction
        forged = scene.spend(
            scene.output(paid), outputs=[TxOut(COIN - 1000, AWAY)], witness=[[b"\x01" * 71, b"\x02" * 33]]
        )
        await spend(forged, 0)
        assert forged.txid not in light.spv.pending, "our coin, and not our signature"
        no_outputs = Transaction.make(forged.vin, [], witness=[[b"\x01"]])
        await spend(no_outputs, 0)
        assert len(light.spv.pending) == 0 and light.balance.trusted == COIN
        first = pay(scene, await light.payment(COIN), coin=1)
        second = pay(scene, await light.payment(2 * COIN), coin=1, fee=50_000)
        await full.send(first)
        await until(lambda: light.balance.pending == COIN)
        await full.send(second)
        await until(lambda: light.balance.pending == 2 * COIN)
        assert [tx.txid for tx in light.spv.pending.transactions()] == [second.txid]
        await extend(scene, full, first)
        await light.level(full)
        assert light.depth(first.txid) == 1 and light.balance.pending == 0
        assert len(light.spv.pending) == 0


@virtual
async def test_own_transactions_reach_peers_that_come_later(w: World) -> None:
    full, late = await full_node(w, "full"), await full_node(w, "late")
    async with light_node(w) as light:
        await light.dial(full)
        paid = pay(SCENE, await light.payment(COIN))
        scene = await extend(SCENE, full, paid)
        await light.level(full)
        await late.feed(scene.blocks[-1:])
        sent = await send(light.wallet, [Recipient(AWAY, COIN // 4)], SpendOptions(), {})
        await until(lambda: full.mempool.contains(sent.tx.txid))
        child = await send(light.wallet, [Recipient(AWAY, COIN // 4)], SpendOptions(), {})
        assert [tx.txid for tx in light.spv.pending.transactions()] == [sent.tx.txid, child.tx.txid]
        await light.dial(late)
        await until(lambda: late.mempool.contains(child.tx.txid))
        await extend(scene, full, sent.tx, child.tx)
        await light.level(full)
        assert light.depth(child.tx.txid) == 1
        assert not light.node.peers.relay.own, "what is confirmed is not announced any more"
