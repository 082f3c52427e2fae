"""SOCKS5: which proxy an address has, and the conversation with a proxy over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from ports import TestRandom

from pybitcoind.node.config import Config, ConfigError
from pybitcoind.node.socks5 import Proxies, ProxyError, ProxyNetwork
from pybitcoind.node.tcp_network import TcpNetwork

ONION = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"


def proxies(*arguments: str) -> Proxies:
    config = Config()
    config.parse_command_line(arguments)
    return Proxies.of(config)


def test_which_proxy() -> None:
    p = proxies("-proxy=127.0.0.1:9000", "-onion=[::1]:9100")
    assert p.find(("8.8.8.8", 8333)) == p.find(("seed.example", 8333)) == ("127.0.0.1", 9000)
    assert p.find((ONION, 8333)) == ("::1", 9100)
    assert p.find(("127.0.0.1", 8333)) is None and p.find(("localhost", 1)) is None
    assert (p.text("ipv4"), p.text("onion"), p.text("i2p")) == ("127.0.0.1:9000", "[::1]:9100", "")
    p = proxies("-proxy=127.0.0.1", "-noonion", "-proxyrandomize=0")
    assert p.find((ONION, 8333)) is None and p.find(("8.8.8.8", 1)) == ("127.0.0.1", 9050)
    assert not p.randomize
    p = proxies("-proxy=localhost:7")
    assert p.text("ipv4") in ("127.0.0.1:7", "[::1]:7")  # looked up once, as in Core
    p = proxies("-proxy=127.0.0.1:1=onion")
    assert p.find(("8.8.8.8", 1)) is None and p.find((ONION, 1)) == ("127.0.0.1", 1)
    p = proxies("-proxy=127.0.0.1:1", "-proxy=0")
    assert p.find(("8.8.8.8", 1)) is None


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("-proxy=127.0.0.1:1=", "Invalid -proxy address or hostname, ends with '=': '127.0.0.1:1='"),
        ("-proxy=127.0.0.1:1=x", "Unrecognized network in -proxy='127.0.0.1:1=x': 'x'"),
        ("-proxy=:1", "Invalid -proxy address or hostname: ':1'"),
        ("-proxy=a\0b", "Invalid -proxy address or hostname: 'a\0b'"),
        ("-proxy=localhost -dns=0", "Invalid -proxy address or hostname: 'localhost'"),
        ("-onion=name.invalid:9 -dns=0", "Invalid -onion address or hostname: 'name.invalid:9'"),
        ("-onion=127.0.0.1:x", "Invalid -onion address or hostname: '127.0.0.1:x'"),
        ("-proxy=unix:/x", "-proxy=unix:/x: proxies on Unix sockets are not supported yet."),
    ],
)
def test_bad_proxies(argument: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        proxies(*argument.split())
    assert str(error.value) == message


@asynccontextmanager
async def proxy_that_says(*answers: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that sends the next answer for each thing it hears; then it is an echo."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            heard.append(await reader.read(1000))
            writer.write(answer)
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)


OK = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"


async def test_conversation() -> None:
    async with proxy_that_says(b"\x05\x02", b"\x01\x00", OK) as (port, heard):
        network = ProxyNetwork(TcpNetwork(), proxies(f"-proxy=127.0.0.1:{port}"), TestRandom())
        stream = await network.dial(("8.8.8.8", 8333))
        assert stream.remote == ("8.8.8.8", 8333) and stream.local[0] == "127.0.0.1"
        stream.write(b"hello")
        await stream.drain()
        assert await stream.read(100) == b"hello"
        stream.close()
        await stream.wait_closed()
        assert heard[0] == b"\x05\x02\x00\x02"
        assert heard[1][:2] == b"\x01\x10" and heard[1][2:18] == heard[1][19:]
        assert heard[2] == b"\x05\x01\x00\x03\x078.8.8.8\x20\x8d"


async def test_conversation_without_credentials_and_by_name() -> None:
    async with proxy_that_says(b"\x05\x00", b"\x05\x00\x00\x03\x01x\x00\x00") as (port, heard):
        given = proxies(f"-proxy=127.0.0.1:{port}", "-proxyrandomize=0")
        stream = await ProxyNetwork(TcpNetwork(), given, TestRandom()).dial(("seed.example", 1))
        stream.close()
        await stream.wait_closed()
        assert heard == [b"\x05\x01\x00", b"\x05\x01\x00\x03\x0cseed.example\x00\x01"]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([b"\x04\x00"], "wrong authentication method"),
        ([b"\x05\xff"], "wrong authentication method ff"),
        ([b"\x05\x02", b"\x01\x01"], "authentication unsuccessful"),
        ([b"\x05\x00", b"\x05\x05\x00\x01"], "connect to 8.8.8.8:8333 failed: connection refused"),
        ([b"\x05\x00", b"\x05\x00\x00\x09"], "malformed proxy response"),
    ],
)
async def test_refusals(answers: list[bytes], message: str) -> None:
    async with proxy_that_says(*answers) as (port, _):
        network = ProxyNetwork(TcpNetwork(), proxies(f"-proxy=127.0.0.1:{port}"), TestRandom())
        with pytest.raises(ProxyError, match=message):
            await network.dial(("8.8.8.8", 8333))
