"""Addresses of peers from DNS, when the address book is empty or nobody answers.

As Core's ThreadDNSAddressSeed: a node that knows addresses first tries those.
"""

from __future__ import annotations

from typing import Protocol

from pybitcoind.chain.params import ChainParams
from pybitcoind.chain.ports import Ports
from pybitcoind.p2p.handshake import ConnectionType
from pybitcoind.p2p.messages import NetAddress, PeerAddress, ServiceFlags
from pybitcoind.p2p.peer_manager import PeerManager

PATIENCE = 11.0
"""Seconds that known addresses get before DNS is asked."""
ENOUGH_PEERS = 2
LOOKUP_TIMEOUT = 30.0
WANTED = ServiceFlags.NETWORK | ServiceFlags.WITNESS
_DAY = 24 * 60 * 60


class Resolver(Protocol):
    async def resolve(self, name: str) -> list[str]:
        """Numeric addresses of a host name."""


async def seed_from_dns(
    peers: PeerManager, params: ChainParams, ports: Ports, resolver: Resolver, *, forced: bool = False
) -> None:
    """Asks the network's seeds, unless enough outbound peers are there. forced: in any case."""
    log, clock, book = ports.log, ports.clock, peers.book
    assert book is not None
    if len(book) and not forced:
        log.info(f"Waiting {PATIENCE:.0f} seconds before querying DNS seeds.")
        await clock.sleep(PATIENCE)
        if sum(not peer.inbound and peer.complete for peer in peers.peers.values()) >= ENOUGH_PEERS:
            log.info("P2P peers available. Skipped DNS seeding.")
            return
    found = 0
    for seed in ports.random.shuffled(_seeds(params)):
        log.info(f"Loading addresses from DNS seed {seed}")
        try:
            async with clock.timeout(LOOKUP_TIMEOUT):
                hosts = await resolver.resolve(f"x{WANTED:x}.{seed}")
        except TimeoutError:
            continue
        rows = [_row(host, params.port, clock.time(), ports.random.below(4 * _DAY)) for host in hosts]
        for row in rows:
            book.add([row], row.address, clock.time())
        found += len(rows)
    log.info(f"{found} addresses found from DNS seeds")


async def ask_seeds_themselves(peers: PeerManager, params: ChainParams, ports: Ports) -> None:
    """Behind a proxy: connects to the seeds by their names and asks these nodes for addresses."""
    for seed in ports.random.shuffled(_seeds(params)):
        await peers.connect(f"{seed}:{params.port}", ConnectionType.ADDR_FETCH)
    ports.log.info("0 addresses found from DNS seeds")


def _seeds(params: ChainParams) -> list[str]:
    """Without regtest's, which is none."""
    return [seed for seed in params.dns_seeds if not seed.endswith(".invalid.")]


def _row(host: str, port: int, now: int, spread: int) -> PeerAddress:
    """Heard of three to seven days ago, so that fresh gossip counts for more."""
    return PeerAddress(now - 3 * _DAY - spread, int(WANTED), NetAddress.parse(host, port))
