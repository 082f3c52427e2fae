"""A connection over TCP from an address that the nodes of a network do not trust."""

from __future__ import annotations

import asyncio

from pybitcoind.chain.ports import Endpoint, Stream
from pybitcoind.node.tcp_network import TcpStream

STRANGER = "127.0.0.2"


async def dial_from(endpoint: Endpoint, host: str = STRANGER) -> Stream:
    """From host, or from wherever the machine allows where it has no such address (macOS)."""
    loop = asyncio.get_running_loop()
    try:
        _, stream = await loop.create_connection(TcpStream, *endpoint, local_addr=(host, 0))
    except OSError:
        _, stream = await loop.create_connection(TcpStream, *endpoint)
    return stream
