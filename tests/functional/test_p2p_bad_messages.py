"""A running node does with bad messages what the table says, which Core's daemon confirms (tests/interop)."""

from __future__ import annotations

import pytest
from bad_messages import BAD_MESSAGES, BadMessage, play
from p2p_nodes import P2PNode, until, world
from scripted_peer import ScriptedPeer

from pybitcoind.chain.ports import Network
from pybitcoind.node.tcp_network import TcpNetwork
from pybitcoind.p2p.memory_network import MemoryHub

NOW = 1_700_000_000


@pytest.mark.parametrize("case", BAD_MESSAGES, ids=lambda case: case.name)
async def test_bad_messages(case: BadMessage) -> None:
    hub = MemoryHub()
    async with world(NOW, hub.network) as w:
        node = await w.node("node")
        await _play(case, node, hub.network("peer"))
        async with await ScriptedPeer.connect(node.endpoint, network=hub.nodes["peer"]) as other:
            await other.handshake()
            await other.sync()  # it lives on for others


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_all_of_them_at_one_node_over_tcp(host: str) -> None:
    async with world(NOW, lambda name: TcpNetwork()) as w:
        node = await w.node("node", host=host)
        for number, case in enumerate(BAD_MESSAGES):
            await _play(case, node, TcpNetwork(), number)
            await until(lambda: not node.peers.peers)


async def _play(case: BadMessage, node: P2PNode, network: Network, number: int = 0) -> None:
    async with await ScriptedPeer.connect(node.endpoint, network=network) as peer:
        await play(case, peer)
        line = case.log.format(peer=number)
        assert node.log.find(line), f"no line {line!r} in:\n" + "\n".join(map(str, node.log.find("")))
