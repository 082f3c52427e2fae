"""Whom we do not talk to: bans by subnet until a time, which are kept, and discouraged addresses.

Source: Bitcoin Core src/banman.cpp, netaddress.cpp (CSubNet).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pybitcoind.chain.ports import Clock, Log

from .messages import NetAddress, NetworkId

if TYPE_CHECKING:
    from pybitcoind.chain.storage.database import Connection, Database

DEFAULT_BAN_TIME = 24 * 3600
"""Seconds (-bantime)."""
MAX_DISCOURAGED = 50_000
"""Addresses; the oldest is forgotten first."""

_SCHEMA = """CREATE TABLE IF NOT EXISTS bans
    (subnet TEXT PRIMARY KEY, created INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID"""
"""In peers.sqlite. Times in seconds."""


class Subnet(NamedTuple):
    """All addresses of a network that begin with the first bits of raw; the others of raw are zero.

    Only IPv4 and IPv6 have parts; of the other networks it is always one address whole.
    """

    network: NetworkId
    raw: bytes
    bits: int

    @classmethod
    def of(cls, address: NetAddress, bits: int | None = None) -> Subnet:
        """The subnet around an address; None: the address alone. ValueError if it has no such bits."""
        size = len(address.raw) * 8
        if bits is None:
            return cls(address.network, address.raw, size)
        if address.network not in (NetworkId.IPV4, NetworkId.IPV6) or not 0 <= bits <= size:
            raise ValueError(f"no /{bits} around {address.host}")
        mask = (1 << size) - (1 << (size - bits))
        raw = (int.from_bytes(address.raw, "big") & mask).to_bytes(size // 8, "big")
        return cls(address.network, raw, bits)

    @classmethod
    def parse(cls, text: str) -> Subnet:
        """From "1.2.3.4", "1.2.3.0/24", "1.2.3.0/255.255.255.0", "2001:db8::/32"; ValueError otherwise."""
        host, slash, suffix = text.rpartition("/")
        if not slash:
            return cls.of(_numeric(text))
        address = _numeric(host)
        if suffix.isascii() and suffix.isdigit():
            return cls.of(address, int(suffix))
        mask = _numeric(suffix)
        if mask.network is not address.network:
            raise ValueError(f"{suffix} is no mask of {host}")
        text_bits = "".join(f"{byte:08b}" for byte in mask.raw)
        ones = text_bits.rstrip("0")
        if "0" in ones:
            raise ValueError(f"{suffix} is no mask")
        return cls.of(address, len(ones))

    def matches(self, address: NetAddress) -> bool:
        if address.network is not self.network or not address.is_valid:
            return False
        shift = len(self.raw) * 8 - self.bits
        return int.from_bytes(address.raw, "big") >> shift == int.from_bytes(self.raw, "big") >> shift

    def __str__(self) -> str:
        host = NetAddress(self.network, self.raw, 0).host
        return f"{host}/{self.bits}" if self.network in (NetworkId.IPV4, NetworkId.IPV6) else host


def _numeric(host: str) -> NetAddress:
    if host[:1] == "[" and host[-1:] == "]":
        host = host[1:-1]
    return NetAddress.from_host(host, 0)


class Ban(NamedTuple):
    """created, until: wall time, seconds."""

    created: int
    until: int


class BanList:
    """See the module. Bans that are over drop out by themselves."""

    def __init__(self, clock: Clock, log: Log | None = None, *, ban_time: int = DEFAULT_BAN_TIME) -> None:
        self._clock, self._log = clock, log
        self._ban_time = ban_time
        self._bans: dict[Subnet, Ban] = {}
        self._discouraged: dict[tuple[NetworkId, bytes], None] = {}
        self.dirty = False
        """Bans changed since the last `save`."""

    def ban(self, whom: NetAddress | Subnet, seconds: int = 0, *, absolute: bool = False) -> bool:
        """Bans for so long, or until the time seconds if absolute; 0 takes the default length. False if a ban
        of the same subnet lasts longer already."""
        subnet, now = _subnet(whom), self._clock.time()
        until = now + self._ban_time if seconds <= 0 else seconds if absolute else now + seconds
        present = self._bans.get(subnet)
        if until <= (present.until if present else 0):
            return False
        self._bans[subnet] = Ban(now, until)
        self.dirty = True
        return True

    def unban(self, whom: NetAddress | Subnet) -> bool:
        """Ends the ban of exactly this subnet; False if there is none."""
        if self._bans.pop(_subnet(whom), None) is None:
            return False
        self.dirty = True
        return True

    def clear(self) -> None:
        self.dirty = self.dirty or bool(self._bans)
        self._bans.clear()

    def is_banned(self, whom: NetAddress | Subnet) -> bool:
        """Of an address: by any subnet around it. Of a subnet: as a whole, by its own name."""
        now = self._clock.time()
        if isinstance(whom, Subnet):
            ban = self._bans.get(whom)
            return ban is not None and now < ban.until
        return any(now < ban.until and subnet.matches(whom) for subnet, ban in self._bans.items())

    def banned(self) -> list[tuple[Subnet, Ban]]:
        """Bans in force, by network and address."""
        self._sweep()
        return sorted(self._bans.items(), key=lambda row: row[0])

    def _sweep(self) -> None:
        now = self._clock.time()
        for subnet in [subnet for subnet, ban in self._bans.items() if now > ban.until]:
            del self._bans[subnet]
            self.dirty = True
            if self._log:
                self._log.debug("net", f"Removed banned node address/subnet: {subnet}")

    def discourage(self, address: NetAddress) -> None:
        """It misbehaved: it may come in while there is room, and we do not dial or name it."""
        key = (address.network, address.raw)
        self._discouraged.pop(key, None)
        self._discouraged[key] = None
        if len(self._discouraged) > MAX_DISCOURAGED:
            del self._discouraged[next(iter(self._discouraged))]

    def is_discouraged(self, address: NetAddress) -> bool:
        return (address.network, address.raw) in self._discouraged

    # -- keeping

    async def save(self, db: Database) -> None:
        """Writes the bans if they changed."""
        rows = [(str(subnet), ban.created, ban.until) for subnet, ban in self.banned()]
        if not self.dirty:
            return
        self.dirty = False

        def write(conn: Connection) -> None:
            conn.execute(_SCHEMA)
            conn.execute("DELETE FROM bans")
            conn.executemany("INSERT INTO bans VALUES (?, ?, ?)", rows)

        try:
            await db.write(write)
        except BaseException:
            self.dirty = True
            raise

    async def load(self, db: Database) -> None:
        """Takes over what was saved and still holds; rows that make no sense are left out."""

        def read(conn: Connection) -> list[tuple[str, int, int]]:
            conn.execute(_SCHEMA)
            return conn.execute("SELECT subnet, created, until FROM bans ORDER BY subnet").fetchall()

        for text, created, until in await db.write(read):
            try:
                subnet = Subnet.parse(text)
            except ValueError:
                continue
            if "/" not in text and subnet.network is NetworkId.IPV6:  # IPv6 itself is saved with its length
                subnet = subnet._replace(network=NetworkId.CJDNS)
            self._bans[subnet] = Ban(created, until)
        self._sweep()


def _subnet(whom: NetAddress | Subnet) -> Subnet:
    return whom if isinstance(whom, Subnet) else Subnet.of(whom)
