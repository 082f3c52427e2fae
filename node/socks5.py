"""Outbound connections through SOCKS5 proxies: -proxy and -onion (RFC 1928, RFC 1929).

What goes through which proxy is decided by the network of the address; a name is looked up by the proxy. With
-proxyrandomize each connection has credentials of its own, so that Tor gives it a circuit of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pybitcoind.chain.ports import Endpoint, Listener, Network, OnConnect, Random, Stream
from pybitcoind.p2p.messages.netaddress import NetAddress, NetworkId

from .config import Config, ConfigError
from .ports import look_up

DEFAULT_PORT = 9050
_NETWORKS = {
    "ipv4": NetworkId.IPV4,
    "ipv6": NetworkId.IPV6,
    "onion": NetworkId.TORV3,
    "cjdns": NetworkId.CJDNS,
}
_VERSION, _CONNECT, _IPV4, _NAME, _IPV6 = 5, 1, 1, 3, 4
_NO_AUTH, _USER_PASSWORD = 0, 2
_REPLIES = {
    1: "general failure",
    2: "connection not allowed",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "protocol error",
    8: "address type not supported",
}


class ProxyError(OSError):
    """The proxy does not do what it should, or says why it could not connect."""


@dataclass
class Proxies:
    """Which proxy a network has. names: the one for names that are no onion addresses."""

    by_network: dict[NetworkId, Endpoint] = field(default_factory=dict)
    names: Endpoint | None = None
    randomize: bool = True

    @classmethod
    def of(cls, config: Config) -> Proxies:
        """From -proxy, -onion and -proxyrandomize. Raises ConfigError in Core's words."""
        proxies = cls(randomize=config.flag("proxyrandomize", True))
        names = config.flag("dns", True)
        for text in config.values("proxy"):
            value, equals, net = text.rpartition("=") if "=" in text else (text, "", "")
            if equals and not net:
                raise ConfigError(f"Invalid -proxy address or hostname, ends with '=': '{text}'")
            if net and net.lower() not in _NETWORKS:
                raise ConfigError(f"Unrecognized network in -proxy='{text}': '{net.lower()}'")
            proxies._set(list(_NETWORKS) if not net else [net.lower()], _proxy(value, "proxy", names))
        onion = config.text("onion")
        if onion == "0":
            proxies.by_network.pop(NetworkId.TORV3, None)
        elif onion:
            proxies._set(["onion"], _proxy(onion, "onion", names))
        return proxies

    def _set(self, networks: list[str], proxy: Endpoint | None) -> None:
        for name in networks:
            if proxy is None:
                self.by_network.pop(_NETWORKS[name], None)
            else:
                self.by_network[_NETWORKS[name]] = proxy
            if name in ("ipv4", "ipv6"):
                self.names = proxy

    def text(self, network: str) -> str:
        """What getnetworkinfo shows for a network, by Core's name of it."""
        proxy = self.by_network.get(_NETWORKS[network]) if network in _NETWORKS else None
        return "" if proxy is None else _text(*proxy)

    def find(self, endpoint: Endpoint) -> Endpoint | None:
        """The proxy for an endpoint; None: connect directly. Addresses of one's own network have none."""
        try:
            address = NetAddress.from_host(*endpoint)
        except ValueError:
            return None if endpoint[0] == "localhost" else self.names
        return self.by_network.get(address.network) if address.is_routable else None


def _proxy(text: str, option: str, names: bool) -> Endpoint | None:
    """Where a proxy listens; None for "" and "0". names: those of hosts are looked up, once, at the start."""
    if text in ("", "0"):
        return None
    if text.startswith("unix:"):
        raise ConfigError(f"-{option}={text}: proxies on Unix sockets are not supported yet.")
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, port = text, str(DEFAULT_PORT)
    host = host.strip("[]")
    address = look_up(host, names) if port.isdecimal() and 0 < int(port) < 65536 else None
    if address is None:
        raise ConfigError(f"Invalid -{option} address or hostname: '{text}'")
    return address, int(port)


def _text(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class ProxiedStream:
    """A stream behind a proxy: its remote end is the one that was asked for."""

    def __init__(self, stream: Stream, remote: Endpoint) -> None:
        self._stream, self.remote = stream, remote

    @property
    def local(self) -> Endpoint:
        return self._stream.local

    async def read(self, limit: int) -> bytes:
        return await self._stream.read(limit)

    def write(self, data: bytes) -> None:
        self._stream.write(data)

    @property
    def unsent(self) -> int:
        return self._stream.unsent

    async def drain(self) -> None:
        await self._stream.drain()

    def close(self) -> None:
        self._stream.close()

    async def wait_closed(self) -> None:
        await self._stream.wait_closed()


class ProxyNetwork:
    """ports.Network that dials through proxies where there are any."""

    def __init__(self, network: Network, proxies: Proxies, random: Random) -> None:
        self._network, self._proxies, self._random = network, proxies, random

    async def dial(self, endpoint: Endpoint) -> Stream:
        proxy = self._proxies.find(endpoint)
        if proxy is None:
            return await self._network.dial(endpoint)
        stream = await self._network.dial(proxy)
        try:
            secret = self._random.bytes(8).hex() if self._proxies.randomize else None
            await connect(stream, endpoint, secret)
        except BaseException:
            stream.close()
            raise
        return ProxiedStream(stream, endpoint)

    async def listen(self, endpoint: Endpoint, on_connect: OnConnect) -> Listener:
        return await self._network.listen(endpoint, on_connect)


async def connect(stream: Stream, endpoint: Endpoint, secret: str | None = None) -> None:
    """Has the proxy at the other end of stream connect to endpoint. ProxyError if it does not.

    secret: user name and password to offer, which mean nothing but "not the same circuit as others".
    """
    methods = bytes((_NO_AUTH,)) if secret is None else bytes((_NO_AUTH, _USER_PASSWORD))
    stream.write(bytes((_VERSION, len(methods))) + methods)
    version, chosen = await _exactly(stream, 2)
    if version != _VERSION or chosen not in methods:
        raise ProxyError(f"Proxy requested wrong authentication method {chosen:02x}")
    if chosen == _USER_PASSWORD and secret is not None:
        word = bytes((len(secret),)) + secret.encode()
        stream.write(b"\x01" + word + word)
        if (await _exactly(stream, 2))[1] != 0:
            raise ProxyError("Proxy authentication unsuccessful")
    host, port = endpoint
    try:
        name = host.encode("idna" if not host.isascii() else "ascii")
    except UnicodeError as error:
        raise ProxyError(f"{host!r} is no host: {error}") from None
    if len(name) > 255:
        raise ProxyError("Hostname too long")
    # Always by name, as Core does: so that the proxy's answer is the same for addresses and names.
    stream.write(bytes((_VERSION, _CONNECT, 0, _NAME, len(name))) + name + port.to_bytes(2, "big"))
    version, reply, _, kind = await _exactly(stream, 4)
    if version != _VERSION:
        raise ProxyError("Proxy failed to accept request")
    if reply != 0:
        raise ProxyError(
            f"Socks5() connect to {host}:{port} failed: {_REPLIES.get(reply, f'unknown ({reply})')}"
        )
    lengths = {_IPV4: 4, _IPV6: 16}
    length = (await _exactly(stream, 1))[0] if kind == _NAME else lengths.get(kind)
    if length is None:
        raise ProxyError("malformed proxy response")
    await _exactly(stream, length + 2)  # where the proxy connected from


async def _exactly(stream: Stream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = await stream.read(count - len(data))
        if not more:
            raise ProxyError("Error reading proxy response")
        data += more
    return data
