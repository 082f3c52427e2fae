"""When DNS is asked for addresses, and what is kept of the answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ports import ListLog, make_ports

from pybitcoind.chain.params import main, regtest
from pybitcoind.node.dns_seeding import seed_from_dns
from pybitcoind.p2p.address_book import AddressBook
from pybitcoind.p2p.messages import NetAddress, PeerAddress


class Names:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def resolve(self, name: str) -> list[str]:
        self.asked.append(name)
        return ["8.8.8.8", "2001:4860:4860::8888"] if "sipa" in name else []


def made() -> tuple[Any, Any, ListLog]:
    ports = make_ports()
    assert isinstance(ports.log, ListLog)

    async def sleep(seconds: float) -> None:
        assert seconds == 11

    ports.clock.sleep = sleep  # type: ignore[method-assign]
    return SimpleNamespace(book=AddressBook(ports.random), peers={}), ports, ports.log


async def test_an_empty_book_is_filled() -> None:
    peers, ports, log = made()
    names = Names()
    await seed_from_dns(peers, main(), ports, names)
    assert sorted(names.asked) == sorted(f"x9.{seed}" for seed in main().dns_seeds)
    assert len(peers.book) == 2
    entry = peers.book.get(NetAddress.parse("8.8.8.8", 8333))
    assert entry is not None
    assert log.find("2 addresses found from DNS seeds")


async def test_the_test_network_asks_nobody() -> None:
    peers, ports, log = made()
    names = Names()
    await seed_from_dns(peers, regtest(), ports, names)
    assert names.asked == [] and log.find("0 addresses found from DNS seeds")


async def test_enough_peers_make_it_unnecessary() -> None:
    peers, ports, log = made()
    address = NetAddress.parse("8.8.4.4", 8333)
    peers.book.add([PeerAddress(ports.clock.time(), 9, address)], address, ports.clock.time())
    peers.peers = {i: SimpleNamespace(inbound=False, complete=True) for i in range(2)}
    names = Names()
    await seed_from_dns(peers, main(), ports, names)
    assert names.asked == [] and log.find("P2P peers available. Skipped DNS seeding.")
    await seed_from_dns(peers, main(), ports, names, forced=True)
    assert names.asked
