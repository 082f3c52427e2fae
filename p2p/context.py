"""What all parts of the network side of one node share: its options, its ports, its chain and its peers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import log1p
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pybitcoind.chain.header_tree import HeaderNode, HeaderTree
from pybitcoind.chain.params import ChainParams
from pybitcoind.chain.ports import Endpoint, Ports

from .messages import ServiceFlags
from .permissions import Permission, WhitelistEntry
from .upload_budget import UploadBudget

if TYPE_CHECKING:
    from pybitcoind.chain.block_filter import BlockFilter
    from pybitcoind.chain.manager import ChainManager

    from .peer import Peer

NAME, VERSION = "pybitcoind", "0.1.0"


def user_agent(comments: Sequence[str] = ()) -> bytes:
    """BIP 14: /pybitcoind:0.1.0(comment; comment)/."""
    return f"/{NAME}:{VERSION}{'(' + '; '.join(comments) + ')' if comments else ''}/".encode()


class Bind(NamedTuple):
    """Where to listen, and what peers that connect there may do (-whitebind)."""

    endpoint: Endpoint
    permissions: Permission = Permission.NONE


@dataclass(slots=True)
class P2POptions:
    """Options by Core's names. Addresses are text, with the port or without (then it is the network's)."""

    binds: list[Bind] = field(default_factory=list)
    """Empty: not listening."""
    connect: list[str] | None = None
    """-connect: only these, and no automatic outbound connections; [] for -connect=0."""
    addnodes: list[str] = field(default_factory=list)
    seednodes: list[str] = field(default_factory=list)
    """Asked for addresses, one after the other, as long as we have hardly any peers."""
    automatic_outbound: bool = True
    """Connections to addresses from the address book, as long as there is no -connect."""
    max_connections: int = 125
    peer_timeout: int = 60
    """Seconds a new peer has to complete the handshake, and before its silence is judged."""
    connect_timeout: float = 5.0
    look_up_names: bool = True
    """-dns: peers may be given by name."""
    user_agent: bytes = user_agent()
    services: int = ServiceFlags.NETWORK | ServiceFlags.WITNESS | ServiceFlags.NETWORK_LIMITED
    blocks_only: bool = False
    tx_reconciliation: bool = False
    """-txreconciliation: settle with peers that both sides can reconcile transactions (BIP 330)."""
    extra_transactions: int = 100
    """-blockreconstructionextratxn: refused and replaced transactions kept to put compact blocks together."""
    whitelist: list[WhitelistEntry] = field(default_factory=list)
    whitelist_relay: bool = True
    whitelist_force_relay: bool = False
    log_ips: bool = False
    network_active: bool = True
    headers_only: bool = False
    """The SPV role: no blocks and no mempool of our own, transactions only by the hooks of TxRelay."""
    external_addresses: list[str] = field(default_factory=list)
    """-externalip: where we tell others that we are."""
    max_upload: int = 0
    """-maxuploadtarget: bytes a day, 0 for no limit."""
    capture: Callable[[str, bool, str, bytes], None] | None = None
    """-capturemessages: is told of each message: the peer's address, whether it came in, command, payload."""


class FilterIndex(Protocol):
    """What serving compact filters needs of the index (BlockFilterIndex has it). None: not indexed yet."""

    async def filters(self, start_height: int, stop: HeaderNode) -> list[BlockFilter] | None:
        """The filters from start_height to stop on stop's branch."""

    async def filter_hashes(self, start_height: int, stop: HeaderNode) -> list[bytes] | None: ...

    async def headers_of(self, nodes: Sequence[HeaderNode]) -> list[bytes] | None:
        """The filter headers of nodes, in their order."""


class Context:
    """See the module. peers: by id, in the order of connecting."""

    def __init__(self, ports: Ports, params: ChainParams, chain: ChainManager, options: P2POptions) -> None:
        self.ports, self.params, self.chain, self.options = ports, params, chain, options
        self.log = ports.log
        self._wall: float | None = None
        self.peers: dict[int, Peer] = {}
        self.filter_index: FilterIndex | None = None
        self.upload = UploadBudget(options.max_upload, self.now, lambda: self.sent_total())
        self.sent_total: Callable[[], int] = lambda: 0
        """Bytes sent to all peers there were."""
        self.wake: Callable[[], None] = lambda: None
        """Has what is due for each peer sent soon."""

    def now(self) -> float:
        """Seconds since 1970 for all timers: the mock time where it is set, else in fractions too."""
        clock = self.ports.clock
        if clock.mocked:
            self._wall = None
            return float(clock.time())
        time, monotonic = clock.time(), clock.monotonic()
        if self._wall is None or not -1.0 <= self._wall + monotonic - time <= 2.0:
            self._wall = time - monotonic
        return self._wall + monotonic

    def exponential(self, mean: float) -> float:
        """A random delay with this mean (Poisson process), seconds."""
        return -log1p(-self.ports.random.uniform()) * mean

    @property
    def services(self) -> int:
        """What we offer; without the old blocks as long as those below a loaded snapshot are missing."""
        services = self.options.services
        return services if self.chain.background is None else services & ~ServiceFlags.NETWORK

    @property
    def headers(self) -> HeaderTree:
        return self.chain.headers

    @property
    def tip(self) -> HeaderNode:
        """Of the active chain; with headers only, the best header."""
        return self.chain.tip

    @property
    def best_header(self) -> HeaderNode:
        return self.chain.best_header

    @property
    def is_ibd(self) -> bool:
        return self.chain.is_ibd

    @property
    def can_direct_fetch(self) -> bool:
        """Our tip is of the last 20 block intervals, so that what is announced is asked for at once."""
        return self.tip.time > self.now() - 20 * self.params.pow_target_spacing

    def complete_peers(self) -> list[Peer]:
        """Peers whose handshake is complete and that are not being disconnected."""
        return [peer for peer in self.peers.values() if peer.complete]
