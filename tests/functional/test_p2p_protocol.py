"""A scripted peer against one node: what it is asked, what it may ask, and what ends the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from p2p_nodes import P2PNode, run_virtual, until, world
from scene import make_scene, solved
from scripted_peer import ScriptedPeer

from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.p2p import messages as m
from pybitcoind.p2p.handshake import ConnectionType
from pybitcoind.p2p.memory_network import MemoryHub
from pybitcoind.p2p.permissions import WhitelistEntry

SCENE = make_scene(130)
BITS = 0x207FFFFF


@asynccontextmanager
async def node_and_peer(
    blocks: Sequence[Block] = SCENE.blocks,
    *,
    late: int = 0,
    shake: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[tuple[P2PNode, ScriptedPeer]]:
    """A node and an inbound peer whose handshake is complete."""
    hub = MemoryHub()
    async with world(SCENE.now + late, hub.network) as w:
        node = await w.node("node", blocks=blocks, **options)
        async with await ScriptedPeer.connect(node.endpoint, network=hub.network("peer")) as peer:
            await peer.handshake()
            await peer.sync()
            yield node, peer


def headers_on(prev: BlockHeader, count: int, *, spacing: int = 1, tag: int = 0) -> list[BlockHeader]:
    """Headers with real proof of work."""
    headers = []
    for i in range(count):
        root = (tag * 1_000_000 + i + 1).to_bytes(32, "little")
        prev = solved(BlockHeader(0x20000000, prev.hash, root, prev.time + spacing, BITS, 0))
        headers.append(prev)
    return headers


# What the node sends by itself


async def test_a_new_peer_is_pinged_and_asked_for_headers_below_our_best() -> None:
    async with node_and_peer() as (node, peer):
        await peer.wait_for(m.Ping)
        asked = await peer.wait_for(m.GetHeaders)
        assert asked.locator[0] == SCENE.blocks[-2].hash and len(asked.locator) == 11 + 6 + 1
        assert asked.locator[-1] == node.chain.params.genesis.hash
        await until(lambda: "minping" in node.peers.peer_infos()[0])
        info = node.peers.peer_infos()[0]
        assert info["bytesrecv_per_msg"]["pong"] >= 32
        assert info["connection_type"] == "inbound" and info["subver"] == "/scripted:0.1/"
        assert info["servicesnames"] == ["NETWORK", "WITNESS"] and info["permissions"] == []


async def test_sendheaders_only_after_the_peer_showed_a_chain() -> None:
    async with node_and_peer() as (_, peer):
        assert not peer.of(m.SendHeaders)
        peer.send(m.Headers([SCENE.blocks[-1].header]))
        await peer.wait_for(m.SendHeaders)


async def test_an_unanswered_getheaders_is_not_repeated_for_two_minutes() -> None:
    async with node_and_peer() as (node, peer):
        await peer.wait_for(m.GetHeaders)
        orphan = headers_on(headers_on(SCENE.blocks[-1].header, 1)[0], 1)
        peer.send(m.Headers(orphan))
        await peer.sync()
        assert len(peer.of(m.GetHeaders)) == 1
        node.advance_mock_time(121)
        peer.send(m.Headers(orphan))
        await peer.sync()
        assert len(peer.of(m.GetHeaders)) == 2
        assert node.peers.peers[0].headers.unconnecting == 2


# Headers


async def test_announced_blocks_are_fetched_at_once() -> None:
    async with node_and_peer() as (node, peer):
        block = SCENE.block(time=SCENE.tip.time + 60)
        peer.send(m.Headers([block.header]))
        data = await peer.wait_for(m.GetData)
        assert data.items == [m.Inv(m.InvType.WITNESS_BLOCK, block.hash)]
        assert node.peers.peer_infos()[0]["inflight"] == [131]
        peer.send(m.BlockMessage(block))
        await peer.sync()
        assert node.height == 131 and node.peers.peer_infos()[0]["synced_blocks"] in (130, 131)


async def test_an_inv_of_a_block_is_answered_with_getheaders() -> None:
    async with node_and_peer() as (_, peer):
        peer.send(m.Headers([]))  # the initial getheaders is answered
        await peer.sync()
        block = SCENE.block(time=SCENE.tip.time + 60)
        peer.send(m.InvMessage([m.Inv(m.InvType.BLOCK, block.hash)]))
        await peer.sync()
        assert peer.of(m.GetHeaders)[-1].locator[0] == SCENE.tip.hash


async def test_headers_with_too_little_work_are_not_stored() -> None:
    async with node_and_peer(blocks=make_scene(300).blocks, late=300 * 60) as (node, peer):
        known = len(node.chain.headers)
        genesis = node.chain.params.genesis.header
        peer.send(m.Headers(headers_on(genesis, 50, spacing=60)))
        await peer.sync()
        assert len(node.chain.headers) == known
        assert node.log.find("Ignoring low-work chain (height=50) from peer=0")
        flood = headers_on(genesis, 2000)
        peer.send(m.Headers(flood))
        await peer.sync()
        assert len(node.chain.headers) == known + 2000, "2000 headers have more work than our 300"


async def test_a_flood_of_low_work_headers_costs_no_memory() -> None:
    """With a minimum chainwork out of reach a chain of any length is added up and forgotten."""
    from pybitcoind.chain.manager import ChainOptions

    options = ChainOptions(minimum_chainwork=10**6)
    async with node_and_peer((), chain_options=options, late=86400) as (node, peer):
        headers = headers_on(node.chain.params.genesis.header, 4100)
        for start in (0, 2000):
            count = len(peer.of(m.GetHeaders))
            peer.send(m.Headers(headers[start : start + 2000]))
            await until(lambda count=count: len(peer.of(m.GetHeaders)) > count)
            asked = peer.of(m.GetHeaders)[-1]
            assert asked.locator[0] == headers[start + 1999].hash
            assert node.peers.peer_infos()[0]["presynced_headers"] == start + 2000
        peer.send(m.Headers(headers[4000:]))
        await peer.sync()
        assert len(node.chain.headers) == 1 and not peer.closed
        assert node.peers.peer_infos()[0]["presynced_headers"] == -1


async def test_a_long_chain_with_enough_work_is_downloaded_twice_and_kept() -> None:
    from pybitcoind.chain.manager import ChainOptions

    options = ChainOptions(minimum_chainwork=2 * 4000)
    async with node_and_peer((), chain_options=options, late=86400) as (node, peer):
        headers = headers_on(node.chain.params.genesis.header, 4500)
        index = {header.hash: i for i, header in enumerate(headers)}

        def answer(request: m.GetHeaders) -> None:
            known = next((index[h] + 1 for h in request.locator if h in index), 0)
            peer.send(m.Headers(headers[known : known + 2000]))

        peer.responders["getheaders"] = answer
        peer.send(m.Headers(headers[:2000]))
        await until(lambda: node.chain.best_header.height == 4500)


@pytest.mark.parametrize("what", ["no work", "not continuous", "too many", "bad parent"])
async def test_headers_that_break_the_rules_end_the_connection(what: str) -> None:
    async with node_and_peer() as (node, peer):
        chain = headers_on(SCENE.blocks[-1].header, 3)
        if what == "no work":
            bad = solved(BlockHeader(4, chain[0].hash, bytes(32), chain[0].time + 1, BITS, 0), False)
            peer.send(m.Headers([chain[0], bad]))
            reason = "header with invalid proof of work"
        elif what == "not continuous":
            peer.send(m.Headers([chain[0], chain[2]]))
            reason = "non-continuous headers sequence"
        elif what == "too many":
            peer.send_payload("headers", b"\xfd\xd1\x07" + (chain[0].raw + b"\x00") * 2001)
            reason = "headers message size = 2001"
        else:
            late = solved(BlockHeader(4, SCENE.tip.hash, bytes(32), 1, BITS, 0))
            peer.send(m.Headers([late]))
            reason = "invalid header received"
        await peer.wait_closed()
        assert node.log.find(f"Misbehaving: peer=0: {reason}")
        assert node.log.find("disconnecting but not discouraging local peer 0!")
        await until(lambda: not node.peers.peers)


async def test_a_noban_peer_stays_whatever_it_sends() -> None:
    async with node_and_peer(whitelist=[WhitelistEntry.parse("noban@127.0.0.1")]) as (node, peer):
        chain = headers_on(SCENE.blocks[-1].header, 3)
        peer.send(m.Headers([chain[0], chain[2]]))
        await peer.sync()
        assert node.log.find("Not punishing noban peer 0!")
        assert node.peers.peer_infos()[0]["permissions"] == ["noban", "download"]


# Blocks


@pytest.mark.parametrize("what", ["mutated", "consensus", "late verdict"])
async def test_a_bad_block_ends_the_connection(what: str) -> None:
    async with node_and_peer() as (node, peer):
        good = SCENE.block(SCENE.spend(SCENE.mature[0]))
        if what == "mutated":
            peer.send(m.BlockMessage(Block(good.header, [*good.vtx, good.vtx[-1]])))
            await peer.wait_closed()
            assert node.log.find("Misbehaving: peer=0: mutated block")
            await node.feed([good])
            return
        bad = SCENE.block(coinbase=SCENE.coinbase(fees=1))
        if what == "late verdict":  # it comes after its child, and is connected only then
            after = SCENE.extended(bad)
            child = after.block(time=after.tip.time + 60)
            peer.send(m.Headers([bad.header, child.header]))
            await peer.wait_for(m.GetData)
            peer.send(m.BlockMessage(child))
            await peer.sync()
        peer.send(m.BlockMessage(bad))
        await peer.wait_closed()
        assert node.chain.tip.hash == SCENE.tip.hash
        assert node.log.find("Misbehaving: peer=0")


async def test_blocks_and_headers_are_served() -> None:
    async with node_and_peer() as (node, peer):
        genesis = node.chain.params.genesis
        peer.send(m.GetHeaders([genesis.hash]))
        headers = await peer.wait_for(m.Headers)
        assert [h.hash for h in headers.headers] == [b.hash for b in SCENE.blocks]
        stop = SCENE.blocks[9].hash
        peer.send(m.GetHeaders([SCENE.blocks[3].hash], stop))
        answer = await peer.wait_for(m.Headers, lambda message: len(message.headers) == 6)
        assert answer.headers[-1].hash == stop
        wanted = [SCENE.blocks[i] for i in (5, 129)]
        peer.send(m.GetData([m.Inv(m.InvType.WITNESS_BLOCK, b.hash) for b in wanted]))
        for block in wanted:
            got = await peer.wait_for(m.BlockMessage, lambda message, b=block: message.block.hash == b.hash)
            assert got.block.raw == block.raw
        peer.send(m.GetData([m.Inv(m.InvType.BLOCK, bytes(32)), m.Inv(77, bytes(32))]))
        await peer.sync()
        assert not peer.closed and len(peer.of(m.BlockMessage)) == 2

        nothing, block = m.Inv(m.InvType.TX, bytes(32)), m.Inv(m.InvType.BLOCK, genesis.hash)
        peer.send(m.GetData([nothing, nothing, block, nothing]))
        await peer.sync()
        told = [one for one in peer.received if isinstance(one, (m.BlockMessage, m.NotFound))][-3:]
        assert isinstance(told[0], m.BlockMessage)
        assert told[1:] == [m.NotFound([nothing, nothing]), m.NotFound([nothing])]


async def test_a_block_is_served_without_witness_where_that_is_asked_for() -> None:
    block = SCENE.block(SCENE.spend(SCENE.mature[0]))
    async with node_and_peer(blocks=[*SCENE.blocks, block]) as (_, peer):
        peer.send(m.GetData([m.Inv(m.InvType.BLOCK, block.hash)]))
        got = await peer.wait_for(m.BlockMessage)
        assert got.block.raw == block.stripped != block.raw


async def test_getblocks_gives_500_hashes_and_goes_on_after_the_last_one() -> None:
    scene = make_scene(520)
    async with node_and_peer(blocks=scene.blocks, late=400 * 60) as (node, peer):
        peer.send(m.GetBlocks([node.chain.params.genesis.hash]))
        inv = await peer.wait_for(m.InvMessage)
        assert [item.hash for item in inv.items] == [b.hash for b in scene.blocks[:500]]
        peer.send(m.GetData([m.Inv(m.InvType.WITNESS_BLOCK, inv.items[-1].hash)]))
        more = await peer.wait_for(m.InvMessage, since=len(peer.received))
        assert more.items == [m.Inv(m.InvType.BLOCK, scene.tip.hash)]


async def test_stale_blocks_are_served_for_a_month_only() -> None:
    stale = SCENE.block(time=SCENE.tip.time + 61)
    scene = SCENE.extended(SCENE.block(time=SCENE.tip.time + 60))
    old = scene.extended(scene.block(time=scene.tip.time + 60))
    later = old.extended(old.block(time=old.tip.time + 31 * 86400))
    blocks = [*SCENE.blocks, stale, *old.blocks[-2:]]
    async with node_and_peer(blocks=blocks, late=32 * 86400) as (node, peer):
        item = m.Inv(m.InvType.WITNESS_BLOCK, stale.hash)
        peer.send(m.GetData([item]))
        await peer.wait_for(m.BlockMessage)
        await node.feed(later.blocks[-1:])
        peer.send(m.GetData([item]), m.GetHeaders([], stale.hash))
        await peer.sync()
        assert len(peer.of(m.BlockMessage)) == 1 and not peer.of(m.Headers)


# Requests that are refused


@pytest.mark.parametrize(
    "request_,reason",
    [
        (m.MempoolRequest(), "mempool request with bloom filters disabled"),
        (m.FilterLoad(b"\x00", 1, 0, 0), "filterload received despite not offering bloom services"),
        (m.FilterClear(), "filterclear received despite not offering bloom services"),
        (m.GetHeaders([bytes(32)] * 102), "getheaders locator size 102 > 101"),
        (m.GetBlocks([bytes(32)] * 102), "getblocks locator size 102 > 101"),
        (m.GetCFHeaders(0, 1, bytes(32)), "peer requested unsupported block filter type: 0"),
        (m.SendAddrV2(), "sendaddrv2 received after verack"),
        (m.WtxidRelay(), "wtxidrelay received after verack"),
        (m.InvMessage([m.Inv(1, bytes(32))] * 50_001), "Misbehaving: peer=0: inv message size = 50001"),
    ],
)
async def test_what_ends_the_connection(request_: Any, reason: str) -> None:
    async with node_and_peer() as (node, peer):
        peer.send(request_)
        await peer.wait_closed()
        assert node.log.find(reason)
        assert node.log.find("disconnecting peer=0") or "Misbehaving" in reason


async def test_what_does_not() -> None:
    async with node_and_peer() as (node, peer):
        peer.send_payload("nonsense", b"\x01\x02")
        peer.send_payload("headers", b"\x05")
        peer.send_payload("tx", b"\x00")
        peer.send(m.Pong(5), m.Verack(), peer.version(), m.GetAddr(), m.GetAddr())
        await peer.sync()
        for text in (
            'Unknown message type "nonsense" from peer=0',
            "ProcessMessages(headers, 1 bytes): Exception 'end of data' (DecodeError) caught",
            "pong peer=0: Unsolicited pong without ping, 0 expected, 5 received, 8 bytes",
            "redundant version message",
            'Ignoring repeated "getaddr". peer=0',
        ):
            assert node.log.find(text), text


# Time


def test_silent_peers_are_given_up() -> None:
    async def main() -> None:
        hub = MemoryHub()
        async with world(SCENE.now, hub.network) as w:
            node = await w.node("node", blocks=SCENE.blocks)
            network = hub.network("peer")
            mute = await ScriptedPeer.connect(node.endpoint, network=network)
            half = await ScriptedPeer.connect(node.endpoint, network=network)
            deaf = await ScriptedPeer.connect(node.endpoint, network=network)
            half.send(half.version())
            deaf.auto_pong = False
            await deaf.handshake()
            await mute.wait_closed(100)
            await half.wait_closed(100)
            assert node.log.find("socket no message in first 60 seconds, never received from peer")
            assert node.log.find("version handshake timeout, disconnecting peer=1")
            assert not deaf.closed
            for _ in range(130):  # it says something, and is answered, but it never sends its pong
                deaf.send(m.Ping(1))
                await w.sleep(10)
                if deaf.closed:
                    break
            assert node.log.find("ping timeout: 12")
            for peer in (mute, half, deaf):
                await peer.close()

    run_virtual(main())


def test_outbound_peers_that_lag_are_dropped() -> None:
    async def main() -> None:
        hub = MemoryHub()
        async with world(SCENE.now, hub.network) as w:
            node = await w.node("node", blocks=SCENE.blocks)
            behind = await w.node("behind", blocks=SCENE.blocks[:100])
            behind.peers.sync.tick = lambda peer, now: None  # it never catches up
            host, port = behind.endpoint
            assert node.peers.add_connection(f"{host}:{port}", ConnectionType.OUTBOUND_FULL_RELAY)
            await until(lambda: node.peers.counts() == (0, 1))
            await until(lambda: node.log.find("Outbound peer has old chain"), timeout=1500)
            assert node.log.find("to verify chain work")
            await until(lambda: not node.peers.peers)

    run_virtual(main())


# Many peers


async def test_inbound_slots_are_limited_and_the_youngest_goes() -> None:
    hub = MemoryHub()
    async with world(SCENE.now, hub.network) as w:
        node = await w.node("node", max_connections=41, blocks=SCENE.blocks)
        assert node.peers.max_inbound == 30
        peers = [await ScriptedPeer.connect(node.endpoint, network=hub.network(f"p{i}")) for i in range(31)]
        await until(lambda: sum(peer.closed for peer in peers) == 1)
        for peer in peers:
            if not peer.closed:
                await peer.handshake()
        assert len(node.peers.peers) == 30
        assert node.log.find("selected inbound connection for eviction, disconnecting peer=")
        for peer in peers:
            await peer.close()


async def test_a_connection_to_ourselves_is_noticed() -> None:
    async with world(SCENE.now, MemoryHub().network) as w:
        node = await w.node("node")
        node.peers.try_node("{}:{}".format(*node.endpoint))
        await until(lambda: node.log.find("connected to self"))
        await until(lambda: not node.peers.peers)


async def test_disconnect_and_network_switch() -> None:
    hub = MemoryHub()
    async with world(SCENE.now, hub.network) as w:
        node, other = await w.node("node"), await w.node("other")
        await node.dial(other)
        name = node.peers.peer_infos()[0]["addr"]
        assert not node.peers.disconnect(address="1.2.3.4:5")
        assert node.peers.disconnect(address=name)
        await until(lambda: not node.peers.peers and not other.peers.peers)
        node.peers.add_node(name)
        await until(lambda: len(other.peers.peers) == 1)
        node.peers.set_network_active(False)
        await until(lambda: not node.peers.peers)
        node.peers.set_network_active(True)
        await until(lambda: len(node.peers.peers) == 1)
        received, sent = node.peers.totals
        assert received > 200 and sent > 200
        assert node.peers.added_nodes == [name] and node.peers.remove_node(name)


async def test_a_banned_address_is_not_let_in() -> None:
    from pybitcoind.p2p.ban_list import BanList, Subnet

    hub = MemoryHub()
    async with world(SCENE.now, hub.network) as w:
        node = await w.node("node")
        bans = node.peers.bans = node.peers.addresses.bans = BanList(node.ports.clock, node.ports.log)
        bans.ban(Subnet.parse("127.0.0.0/8"))
        peer = await ScriptedPeer.connect(node.endpoint, network=hub.network("peer"))
        await peer.wait_closed()
        assert node.log.find("dropped (banned)")
        await peer.close()


async def test_one_bad_handler_ends_one_peer_only() -> None:
    async with node_and_peer() as (node, peer):

        async def broken(peer: Any, message: Any) -> None:
            raise ZeroDivisionError("a bug")

        node.peers.handlers["getaddr"] = broken
        peer.send(m.GetAddr())
        await peer.wait_closed()
        await until(lambda: any("a bug" in line for line in node.log.find("[error] peer=0 failed")))
        async with await ScriptedPeer.connect(node.endpoint, network=node.ports.network) as second:
            await second.handshake()


async def test_a_large_inv_lets_others_have_their_turn() -> None:
    async with node_and_peer() as (node, peer):
        items = [m.Inv(m.InvType.WTX, n.to_bytes(32, "big")) for n in range(50_000)]
        other = await ScriptedPeer.connect(node.endpoint, network=node.ports.network)
        await other.handshake()
        peer.send(m.InvMessage(items))
        done = node.peers.relay.download.requests
        await until(lambda: done.count(0) > 0)
        await other.sync()
        assert done.count(0) <= 5000
        await other.close()


async def test_a_peer_that_does_not_read_is_not_sent_blocks_without_end() -> None:
    async with node_and_peer() as (node, peer):
        await peer.stop_reading()
        item = m.Inv(m.InvType.WITNESS_BLOCK, SCENE.tip.hash)
        peer.send(m.GetData([item] * 8_000))
        connection = node.peers.peers[0].connection
        await until(lambda: connection.send_full)
        held = connection.stream.unsent
        async with await ScriptedPeer.connect(node.endpoint, network=node.ports.network) as other:
            await other.handshake()
            await other.sync()
        assert connection.stream.unsent == held < 1_100_000
        peer.resume_reading()
        await peer.wait_until(lambda: len(peer.received) >= 8_000)


async def test_two_dials_at_once_make_one_connection() -> None:
    """An added node that is also tried by hand: the second dial gives way to the first."""
    hub = MemoryHub()
    async with world(SCENE.now, hub.network) as w:
        one, other = await w.node("one"), await w.node("other")
        host, port = other.endpoint
        dials = [one.peers.connect(f"{host}:{port}", ConnectionType.MANUAL) for _ in range(2)]
        made = [peer for peer in await asyncio.gather(*dials) if peer is not None]
        assert len(made) == 1 and len(one.peers.peers) == 1
