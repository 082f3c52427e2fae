"""The test kit's clocks: real, fixed, stepping and virtual."""

from __future__ import annotations

import asyncio
import statistics
import time

import pytest

from pybitcoind.node.testing import BitcoinNetwork, NotPossible, RpcFailure
from pybitcoind.node.testing.clocks import VirtualClock
from pybitcoind.p2p.messages import InvMessage

WEEK = 7 * 24 * 60 * 60


async def test_virtual_time_passes_only_while_the_test_waits() -> None:
    async with BitcoinNetwork(2) as network:
        before = network.clock.monotonic()
        await asyncio.sleep(0.05)
        assert network.clock.monotonic() == before
        began = time.monotonic()
        await network.sleep(60)
        assert network.clock.monotonic() == before + 60
        assert time.monotonic() - began < 30


async def test_a_week_passes_at_once_and_connections_stay() -> None:
    async with BitcoinNetwork(3, topology="ring") as network:
        before, wall = network.clock.time(), time.monotonic()
        await network.advance(WEEK)
        assert time.monotonic() - wall < 5
        assert network.clock.time() == before + WEEK
        assert all([await link.is_up() for link in network.links])
        await network.mine(1)
        header = await network[2].rpc.getblockheader(await network[2].tip())
        assert header["time"] == before + WEEK
        await network.sleep(60)
        assert all([await link.is_up() for link in network.links])


async def test_an_hour_of_linked_nodes_is_their_pings() -> None:
    async with BitcoinNetwork(2) as network:
        began = time.process_time()
        await network.sleep(3600)
        assert time.process_time() - began < 1  # some 0.05 s; 4 s with looks at the peer ten times a second
        (info,) = await network[0].rpc.getpeerinfo()
        assert 28 <= info["bytessent_per_msg"]["ping"] / 32 <= 31  # one in two minutes, of 24 + 8 bytes
        assert info["bytesrecv_per_msg"]["pong"] == info["bytessent_per_msg"]["ping"]


async def test_announcements_wait_as_ever_after_a_rest() -> None:
    """Exponentially distributed with a mean of 5 s for inbound peers, however long nothing was to be told."""
    delays = []
    async with BitcoinNetwork(1) as network:
        wallet = await network[0].wallet()
        await network.fund(wallet, 40)
        peer = await network[0].raw_peer()
        for number in range(40):
            if number % 8 == 0:
                await network.mine(1)
            await network.sleep(60)
            since, began = len(peer.received), network.clock.monotonic()
            await wallet.pay(await wallet.new_address(), 0.01)
            await peer.wait_for(InvMessage, lambda inv: inv.items[0].is_tx, since=since, timeout=300)
            delays.append(network.clock.monotonic() - began)
    assert 3 < statistics.mean(delays) < 8
    assert sum(delay < 1 for delay in delays) < 20  # 7 or so; all of them, if the rest counted


async def test_who_is_silent_times_out() -> None:
    async with BitcoinNetwork(1) as network:
        (node,) = network.nodes
        mute = await node.raw_peer(handshake=False)
        deaf = await node.raw_peer()
        deaf.auto_pong = False
        await node.wait_for_peers(2)
        await network.advance(59)
        assert await node.rpc.getconnectioncount() == 2
        await network.advance(2)
        await mute.wait_closed()
        await network.advance(24 * 60)
        await deaf.wait_closed()
        await node.wait_for_peers(0)


async def test_a_link_that_goes_silent_times_out() -> None:
    async with BitcoinNetwork(["a", "b"]) as network:
        a, b = network.nodes
        await network.link(a, b).cut(to=b)
        await network.advance(50 * 60)
        assert await a.rpc.getconnectioncount() == await b.rpc.getconnectioncount() == 0
        await network.link(a, b).heal()
        await network.mine()


async def test_setmocktime_is_one_nodes_own() -> None:
    async with BitcoinNetwork(2, topology="none") as network:
        a, b = network.nodes
        await a.rpc.setmocktime(2_000_000_000)
        await a.mine()
        await b.mine()
        times = [(await n.rpc.getblockheader(await n.tip()))["time"] for n in network.nodes]
        assert times == [2_000_000_000, network.clock.time()]


async def test_deadlines_by_virtual_time() -> None:
    clock = VirtualClock(1_000_000)
    try:
        with clock.flowing():
            with pytest.raises(TimeoutError):
                async with clock.timeout(5):
                    await asyncio.Event().wait()
            assert clock.monotonic() == 5
            async with clock.timeout(5):
                await clock.nap(4.5)
            async with clock.timeout(None):
                await clock.nap(100)
        assert clock.time() == 1_000_109
        await clock.advance(0.5)
        assert clock.monotonic() == 110
    finally:
        clock.close()
    assert "select" not in vars(asyncio.get_running_loop()._selector)  # type: ignore[attr-defined]


async def test_timers_ring_in_order() -> None:
    clock = VirtualClock(0)
    rang: list[tuple[float, str]] = []
    for when, name in ((2, "b"), (1, "a"), (2, "c"), (3, "never")):
        timer = clock.call_at(when, lambda name=name: rang.append((clock.monotonic(), name)))  # type: ignore[misc]
    timer.cancel()
    await clock.sleep(10)
    assert rang == [(1, "a"), (2, "b"), (2, "c")]
    clock.close()


@pytest.mark.parametrize("mode", ["memory", "process"])
async def test_fixed_time_stands_until_it_is_set(mode: str) -> None:
    async with BitcoinNetwork(2, mode=mode, clock="fixed") as network:
        node = network[0]
        await network.mine(2)
        headers = [await node.rpc.getblockheader(await node.rpc.getblockhash(h)) for h in (102, 103)]
        assert [header["time"] for header in headers] == [network.clock.time()] * 2
        await network.advance(3600)
        await network.mine(1)
        assert (await network[1].rpc.getblockheader(await network[1].tip()))["time"] == network.clock.time()
        wallet = await network[1].wallet()
        await network.fund(wallet, 1)
        assert await wallet.balance() == 1


async def test_stepping_time_goes_with_the_blocks() -> None:
    async with BitcoinNetwork(2, clock="stepping") as network:
        start = network.clock.time()
        await network.mine(3)
        header = await network[1].rpc.getblockheader(await network[1].tip())
        assert header["time"] == start + 3 * 600 == network.clock.time()


async def test_blocks_at_intervals() -> None:
    async with BitcoinNetwork(1) as network:
        node, start = network[0], network.clock.time()
        await node.mine(12, interval=600)
        header = await node.rpc.getblockheader(await node.tip())
        assert (header["time"], header["mediantime"]) == (start + 12 * 600, start + 7 * 600)


async def test_timelock() -> None:
    async with BitcoinNetwork(1) as network:
        node = network[0]
        wallet = await node.wallet()
        await node.fund(wallet, 1)
        (coin,) = await wallet.rpc.listunspent()
        locked = await node.rpc.createrawtransaction(
            [{"txid": coin["txid"], "vout": coin["vout"]}],
            [{await node.new_address(): "0.9999"}],
            network.clock.time() + WEEK,
        )
        signed = (await wallet.rpc.signrawtransactionwithwallet(locked))["hex"]
        with pytest.raises(RpcFailure, match="non-final"):
            await node.send(signed)
        await network.advance(WEEK + 1)
        await node.mine(6)  # the median of eleven blocks' times is what counts
        assert await node.send(signed) in await node.mempool()


async def test_a_foreign_loop_is_told() -> None:
    from pybitcoind.node.testing.clocks import _Watch

    class Loop:
        pass

    with pytest.raises(NotPossible, match="asyncio's own event loops, not Loop"):
        _Watch(Loop())  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["memory", "tcp"])
async def test_real_time(mode: str) -> None:
    async with BitcoinNetwork(2, mode=mode, clock="real") as network:
        await network.mine(1)
        header = await network[1].rpc.getblockheader(await network[1].tip())
        assert abs(header["time"] - time.time()) < 60
        with pytest.raises(NotPossible, match="cannot be set forward"):
            await network.advance(1)
