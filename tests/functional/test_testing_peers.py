"""The test kit's raw peers, and nodes as outside clients see them."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from pybitcoind.node.testing import BitcoinNetwork, RawListener, RpcFailure, WaitFailed
from pybitcoind.node.testing.rpc import HttpTransport, Rpc
from pybitcoind.p2p import messages as m

MODES = ["memory", "tcp"]


@pytest.mark.parametrize("mode", MODES)
async def test_a_raw_peer_talks(mode: str) -> None:
    async with BitcoinNetwork(1, mode=mode) as network:
        (node,) = network.nodes
        peer = await node.raw_peer(user_agent=b"/mine:1/")
        (known,) = await node.rpc.getpeerinfo()
        assert (known["subver"], known["permissions"]) == ("/mine:1/", [])
        peer.send(m.GetHeaders([bytes.fromhex(await node.rpc.getblockhash(99))[::-1]]))
        headers = await peer.wait_for(m.Headers)
        assert [header.hash[::-1].hex() for header in headers.headers][-1] == await node.tip()
        await peer.sync()
        assert peer.of(m.Pong)
        await node.mine()
        await peer.wait_for(m.InvMessage)
        await peer.close()
        await node.wait_for_peers(0)


async def test_a_raw_peer_times_out_with_what_it_got() -> None:
    async with BitcoinNetwork(1) as network:
        peer = await network[0].raw_peer()
        began = network.clock.monotonic()
        with pytest.raises(WaitFailed, match="waited 20 s for the node to end the connection; saw version, "):
            await peer.wait_closed()
        assert network.clock.monotonic() == began + 20
        with pytest.raises(WaitFailed, match=r"waited 1 s for Pong; saw version, .*; the connection is open"):
            await peer.wait_for(m.Pong, timeout=1)
        with pytest.raises(WaitFailed, match="waited 1 s for two pings; saw version, "):
            await peer.wait_until(lambda: len(peer.of(m.Ping)) == 2, 1, "two pings")
        peer.send_bytes(bytes(24))
        with pytest.raises(
            WaitFailed, match=r"ended before Pong came; saw version, .*; the connection is ended"
        ):
            await peer.wait_for(m.Pong)
    async with await RawListener.open() as listener:
        with pytest.raises(
            WaitFailed, match=r"waited 0.01 s for a node to dial 127.0.0.1:\d+; saw 0 connections"
        ):
            await listener.accept(timeout=0.01)


async def test_an_outside_client() -> None:
    async with BitcoinNetwork(1) as network:
        (node,) = network.nodes
        wallet = await node.wallet("my wallet")
        url = urlsplit(await wallet.rpc_url())
        assert url.scheme == "http" and url.hostname == "127.0.0.1" and url.path == "/wallet/my%20wallet"
        assert await node.rpc_url() == f"http://{url.netloc}/"
        transport = HttpTransport(lambda: url.port or 0, lambda: f"{url.username}:{url.password}")
        client = Rpc(transport)
        assert await client.getblockcount() == 101
        assert (await client.for_wallet("my wallet").getwalletinfo())["walletname"] == "my wallet"
        assert await client.getblockchaininfo() == await node.rpc.getblockchaininfo()
        with pytest.raises(RpcFailure, match="Block height out of range"):
            await client.getblockhash(1000)
        hashes = await asyncio.gather(*(client.getblockhash(height) for height in range(10)))
        assert len(set(hashes)) == 10
        await transport.close()
        wrong = HttpTransport(lambda: url.port or 0, lambda: "test:wrong")
        with pytest.raises(AssertionError, match="HTTP status 401"):
            await Rpc(wrong).getblockcount()
        await wrong.close()
        await node.stop()
        with pytest.raises(AssertionError, match="no answer on port"):
            await client.getblockcount()


async def test_names_are_not_looked_up_without_dns() -> None:
    async with BitcoinNetwork(1, options=["dns=0", "debug=net"]) as network:
        (node,) = network.nodes

        async def refused() -> bool:
            return any("Cannot resolve localhost:1" in line for line in node.log)

        await node.rpc.addnode("localhost:1", "onetry")
        await node.wait_until("the name refused", refused)
