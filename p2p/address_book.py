"""Addresses of nodes we heard of (new) and of those we were connected to (tried).

Both tables are bounded and cut into buckets by a secret key, and whoever sends us addresses reaches only a
few buckets, chosen by the group (`NetAddress.group`) of the sender and of the address. So a flood from one
place neither fills the tables nor drives out the rest. Source: Bitcoin Core src/addrman.h, which argues it
in full. Knows no clock: now is wall time in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgpack

from pybitcoind.chain.ports import Log, Random
from pybitcoind.chain.primitives.hashes import sha256

from .messages import NetAddress, PeerAddress
from .messages.addresses import MAX_ADDR_TO_SEND

if TYPE_CHECKING:
    from pybitcoind.chain.storage.database import Connection, Database

TRIED_BUCKETS = 256
NEW_BUCKETS = 1024
BUCKET_SIZE = 64
TRIED_BUCKETS_PER_GROUP = 8
"""Buckets over which the tried addresses of one group spread."""
NEW_BUCKETS_PER_SOURCE_GROUP = 64
"""Buckets that the senders of one group can reach."""
NEW_BUCKETS_PER_ADDRESS = 8
"""Buckets in which one new address may stand."""

HOUR, DAY = 3600, 24 * 3600
HORIZON = 30 * DAY
"""An address nobody was seen at for so long is worth nothing."""
RETRIES = 3
"""Attempts without any success after which a new address is worth nothing."""
MAX_FAILURES = 10
MIN_FAIL = 7 * DAY
"""As many failures in as long a time end the worth of an address that once worked."""
REPLACEMENT = 4 * HOUR
"""A tried address that worked within this time keeps its place."""
TEST_WINDOW = 40 * 60
"""Seconds until a tried address that we did not get to test loses its place to a newer one."""
MAX_COLLISIONS = 10
MAX_PCT_ADDR_TO_SEND = 23
"""Percent of the book that one answer to getaddr gives away."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS addresses (address BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS address_book_key (id INTEGER PRIMARY KEY CHECK (id = 1), key BLOB NOT NULL);
"""
"""In peers.sqlite. address: NetAddress.key; record: msgpack of `_Entry.record`."""

Table = dict[int, dict[int, "Entry"]]
"""Bucket to position to entry; buckets without entries are left out."""


@dataclass(slots=True, eq=False)
class Entry:
    """One address. time: when it was last heard of. source: who told us first. Times: seconds, 0 is never."""

    address: NetAddress
    time: int
    services: int
    source: NetAddress
    last_success: int = 0
    last_try: int = 0
    last_counted: int = 0
    """The last attempt that counted as a failure if it failed."""
    attempts: int = 0
    """Since the last success."""
    tried: bool = False
    buckets: list[int] = field(default_factory=list)
    """New buckets it stands in."""
    index: int = 0
    """In the book's list of all entries."""

    def is_terrible(self, now: int) -> bool:
        """Whether it may be forgotten, and is not to be told to others."""
        if now - self.last_try <= 60:
            return False
        return (
            self.time > now + 600  # from the future
            or now - self.time > HORIZON
            or (self.last_success == 0 and self.attempts >= RETRIES)
            or (now - self.last_success > MIN_FAIL and self.attempts >= MAX_FAILURES)
        )

    def chance(self, now: int) -> float:
        """Weight in `select`: less after a recent attempt and after each failure, but never too little."""
        recent = 0.01 if now - self.last_try < 600 else 1.0
        return recent * 0.66 ** min(self.attempts, 8)

    @property
    def peer_address(self) -> PeerAddress:
        return PeerAddress(self.time, self.services, self.address)

    @property
    def record(self) -> bytes:
        """All that outlives a restart."""
        fields = (self.time, self.services, self.source.key, self.last_success, self.attempts)
        packed: bytes = msgpack.packb((*fields, self.tried, self.buckets))
        return packed

    @classmethod
    def from_record(cls, address: bytes, record: bytes) -> Entry:
        """The inverse; ValueError or TypeError if it is none of ours."""
        time, services, source, success, attempts, tried, buckets = msgpack.unpackb(record)
        entry = cls(NetAddress.from_key(address), time, services, NetAddress.from_key(source), success)
        entry.attempts, entry.tried, entry.buckets = attempts, tried, list(buckets)
        return entry


class AddressBook:
    """See the module. key: 32 secret bytes, kept with the book."""

    def __init__(self, random: Random, log: Log | None = None, *, key: bytes | None = None) -> None:
        self._random, self._log = random, log
        self.key = key or random.bytes(32)
        self._entries: dict[NetAddress, Entry] = {}
        self._all: list[Entry] = []
        """The same, to pick from by number."""
        self._new: Table = {}
        self._tried: Table = {}
        self._counts: dict[str, list[int]] = {}
        """Network name to numbers of new and of tried addresses."""
        self._collisions: dict[NetAddress, None] = {}
        """Addresses that worked, but whose place in the tried table is taken."""
        self._last_good = 1
        self.on_first: Callable[[], object] = lambda: None
        """Called when the book is no longer empty."""

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, address: NetAddress) -> bool:
        return address in self._entries

    def get(self, address: NetAddress) -> Entry | None:
        return self._entries.get(address)

    def count(self, network: str | None = None, *, tried: bool | None = None) -> int:
        """How many addresses. network: NetAddress.network_name. tried: None counts both tables."""
        rows = self._counts.values() if network is None else [self._counts.get(network, [0, 0])]
        return sum(sum(row) if tried is None else row[tried] for row in rows)

    def entries(self, *, tried: bool) -> Iterator[tuple[int, int, Entry]]:
        """(bucket, position, entry) of one table; a new address comes once for each of its buckets."""
        table = self._tried if tried else self._new
        for bucket in sorted(table):
            for position in sorted(table[bucket]):
                yield bucket, position, table[bucket][position]

    # -- learning

    def add(self, addresses: Iterable[PeerAddress], source: NetAddress, now: int, *, penalty: int = 0) -> int:
        """Notes what source told us; returns how many entries were made or strengthened.

        penalty: seconds by which to distrust the times (2 hours for gossip).
        """
        told, empty = list(addresses), not self._all
        added = sum(self._add(row, source, now, penalty) for row in told)
        if added and self._log:
            new, tried = self.count(tried=False), self.count(tried=True)
            self._log.debug(
                "addrman",
                f"Added {added} addresses (of {len(told)}) from {source.host}: {tried} tried, {new} new",
            )
        if added and empty:
            self.on_first()
        return added

    def _add(self, row: PeerAddress, source: NetAddress, now: int, penalty: int) -> bool:
        time, services, address = row
        if not address.is_routable:
            return False
        if address.network == source.network and address.raw == source.raw:
            penalty = 0  # it speaks of itself
        entry = self._entries.get(address)
        if entry is not None:
            interval = HOUR if now - time < DAY else DAY
            if entry.time < time - interval - penalty:
                entry.time = max(0, time - penalty)
            entry.services |= services
            references = len(entry.buckets)
            if time <= entry.time or entry.tried or references == NEW_BUCKETS_PER_ADDRESS:
                return False
            if self._random.below(1 << references):  # each further bucket is twice as hard to get
                return False
        else:
            entry = self._create(Entry(address, max(0, time - penalty), services, source))
        return self._place_new(entry, self._new_bucket(entry, source), now)

    def _place_new(self, entry: Entry, bucket: int, now: int) -> bool:
        """Puts entry into a new bucket if its place there is free or badly used; else forgets it, if that was
        its only one."""
        position = self._position(entry, bucket, new=True)
        holder = self._new.get(bucket, {}).get(position)
        if holder is entry:
            return False
        if holder is not None:
            if not (holder.is_terrible(now) or (len(holder.buckets) > 1 and not entry.buckets)):
                if not entry.buckets:
                    self._delete(entry)
                return False
            self._clear_new(bucket, position)
        self._new.setdefault(bucket, {})[position] = entry
        entry.buckets.append(bucket)
        return True

    # -- what happened to our connections

    def attempt(self, address: NetAddress, now: int, *, count_failure: bool = True) -> None:
        """We try to connect. count_failure: other connections work, so a failure would be the address's."""
        entry = self._entries.get(address)
        if entry is None:
            return
        entry.last_try = now
        if count_failure and entry.last_counted < self._last_good:
            entry.last_counted = now
            entry.attempts += 1

    def good(self, address: NetAddress, now: int, *, test_before_evict: bool = True) -> bool:
        """We did connect: moves the address to the tried table; False if it stays where it is.

        test_before_evict: a tried address in its place is tested first (`collision`, `resolve_collisions`).
        """
        self._last_good = now
        entry = self._entries.get(address)
        if entry is None:
            return False
        entry.last_success = entry.last_try = now  # time stays: it would tell others whom we are connected to
        entry.attempts = 0
        if entry.tried:
            return False
        bucket, position = self._tried_place(entry)
        if test_before_evict and position in self._tried.get(bucket, {}):
            if len(self._collisions) < MAX_COLLISIONS:
                self._collisions[address] = None
            return False
        self._make_tried(entry, bucket, position)
        return True

    def connected(self, address: NetAddress, now: int) -> None:
        """A connection ends that worked: the node was there until now."""
        entry = self._entries.get(address)
        if entry is not None and now - entry.time > 20 * 60:
            entry.time = now

    def set_services(self, address: NetAddress, services: int) -> None:
        """What the node itself said that it offers."""
        entry = self._entries.get(address)
        if entry is not None:
            entry.services = services

    def collision(self) -> Entry | None:
        """A tried address to test by a feeler connection, because a newer one wants its place."""
        if not self._collisions:
            return None
        wanted = self._random.choice(list(self._collisions))
        entry = self._entries.get(wanted)
        if entry is None:
            del self._collisions[wanted]
            return None
        bucket, position = self._tried_place(entry)
        return self._tried.get(bucket, {}).get(position)

    def resolve_collisions(self, now: int) -> None:
        """Decides about tried addresses whose place is wanted, once they were tested or had time enough."""
        for wanted in list(self._collisions):
            entry = self._entries.get(wanted)
            if entry is None:
                del self._collisions[wanted]
                continue
            bucket, position = self._tried_place(entry)
            holder = self._tried.get(bucket, {}).get(position)
            if holder is not None:
                if now - holder.last_success < REPLACEMENT:
                    del self._collisions[wanted]
                    continue
                if now - holder.last_try < REPLACEMENT:
                    if now - holder.last_try <= 60:
                        continue  # it may still answer
                elif now - entry.last_success <= TEST_WINDOW:
                    continue
            self.good(wanted, now, test_before_evict=False)
            del self._collisions[wanted]

    # -- choosing

    def select(
        self, now: int, *, new_only: bool = False, networks: Collection[str] | None = None
    ) -> Entry | None:
        """An address to connect to, at random: half from each table. networks: names to choose from."""
        names = list(self._counts) if networks is None else list(networks)
        counts = [sum(self._counts.get(name, (0, 0))[tried] for name in names) for tried in (0, 1)]
        if counts[0] == 0 and (new_only or counts[1] == 0):
            return None
        if new_only or counts[1] == 0:
            tried = False
        else:
            tried = counts[0] == 0 or self._random.below(2) == 1
        table = self._tried if tried else self._new
        buckets, factor = list(table), 1.0
        while True:
            bucket = table[self._random.choice(buckets)]
            start = self._random.below(BUCKET_SIZE)
            found = [p for p, entry in bucket.items() if entry.address.network_name in names]
            if not found:
                continue
            entry = bucket[min(found, key=lambda p: (p - start) % BUCKET_SIZE)]
            if self._random.uniform() < factor * entry.chance(now):
                return entry
            factor *= 1.2

    def get_addresses(
        self,
        now: int,
        *,
        limit: int = MAX_ADDR_TO_SEND,
        percent: int = MAX_PCT_ADDR_TO_SEND,
        network: str | None = None,
        filtered: bool = True,
    ) -> list[PeerAddress]:
        """Random addresses to tell others: at most limit and percent of all (0: no such limit).

        filtered: leave out those that are probably gone.
        """
        size = len(self._all)
        most = size if percent == 0 else size * percent // 100
        if limit:
            most = min(most, limit)
        out: list[PeerAddress] = []
        for n in range(size):
            if len(out) >= most:
                break
            self._swap(n, n + self._random.below(size - n))
            entry = self._all[n]
            if network is not None and entry.address.network_name != network:
                continue
            if not (filtered and entry.is_terrible(now)):
                out.append(entry.peer_address)
        return out

    # -- tables

    def _hash(self, *parts: bytes) -> int:
        data = b"".join(bytes((len(part),)) + part for part in parts)
        return int.from_bytes(sha256(self.key + data)[:8], "little")

    def _new_bucket(self, entry: Entry, source: NetAddress) -> int:
        group = source.group
        slot = self._hash(b"new", entry.address.group, group) % NEW_BUCKETS_PER_SOURCE_GROUP
        return self._hash(b"new", group, bytes((slot,))) % NEW_BUCKETS

    def _tried_place(self, entry: Entry) -> tuple[int, int]:
        slot = self._hash(b"tried", entry.address.key) % TRIED_BUCKETS_PER_GROUP
        bucket = self._hash(b"tried", entry.address.group, bytes((slot,))) % TRIED_BUCKETS
        return bucket, self._position(entry, bucket, new=False)

    def _position(self, entry: Entry, bucket: int, *, new: bool) -> int:
        kind = b"N" if new else b"K"
        return self._hash(kind, bucket.to_bytes(2, "little"), entry.address.key) % BUCKET_SIZE

    def _count(self, entry: Entry, change: int) -> None:
        row = self._counts.setdefault(entry.address.network_name, [0, 0])
        row[entry.tried] += change

    def _create(self, entry: Entry) -> Entry:
        self._entries[entry.address] = entry
        entry.index = len(self._all)
        self._all.append(entry)
        self._count(entry, 1)
        return entry

    def _delete(self, entry: Entry) -> None:
        self._count(entry, -1)
        self._swap(entry.index, len(self._all) - 1)
        self._all.pop()
        del self._entries[entry.address]

    def _swap(self, i: int, j: int) -> None:
        rows = self._all
        rows[i], rows[j] = rows[j], rows[i]
        rows[i].index, rows[j].index = i, j

    def _take(self, table: Table, bucket: int, position: int) -> Entry | None:
        row = table.get(bucket, {})
        entry = row.pop(position, None)
        if entry is not None and not row:
            del table[bucket]
        return entry

    def _clear_new(self, bucket: int, position: int) -> None:
        entry = self._take(self._new, bucket, position)
        if entry is not None:
            entry.buckets.remove(bucket)
            if not entry.buckets:
                self._delete(entry)

    def _make_tried(self, entry: Entry, bucket: int, position: int) -> None:
        for old in entry.buckets:
            self._take(self._new, old, self._position(entry, old, new=True))
        entry.buckets = []
        self._count(entry, -1)
        evicted = self._take(self._tried, bucket, position)
        if evicted is not None:
            self._count(evicted, -1)
            evicted.tried = False
            back = self._new_bucket(evicted, evicted.source)
            self._clear_new(back, self._position(evicted, back, new=True))
            self._new.setdefault(back, {})[self._position(evicted, back, new=True)] = evicted
            evicted.buckets = [back]
            self._count(evicted, 1)
        entry.tried = True
        self._tried.setdefault(bucket, {})[position] = entry
        self._count(entry, 1)

    # -- keeping

    async def save(self, db: Database) -> None:
        """Writes the whole book in one transaction."""
        rows = [(entry.address.key, entry.record) for entry in self._all]

        def write(conn: Connection) -> None:
            _create_tables(conn)
            conn.execute("INSERT OR REPLACE INTO address_book_key VALUES (1, ?)", (self.key,))
            conn.execute("DELETE FROM addresses")
            conn.executemany("INSERT INTO addresses VALUES (?, ?)", rows)

        await db.write(write)

    async def load(self, db: Database) -> None:
        """Takes over what was saved; the book must be empty. Rows that make no sense are left out."""

        def read(conn: Connection) -> tuple[list[tuple[bytes]], list[tuple[bytes, bytes]]]:
            _create_tables(conn)
            return (
                conn.execute("SELECT key FROM address_book_key").fetchall(),
                conn.execute("SELECT address, record FROM addresses ORDER BY address").fetchall(),
            )

        keys, rows = await db.write(read)
        if keys:
            self.key = keys[0][0]
        for address, record in rows:
            try:
                entry = Entry.from_record(address, record)
            except (ValueError, TypeError, IndexError, msgpack.UnpackException):
                continue
            self._restore(entry)

    def _restore(self, entry: Entry) -> None:
        if not entry.address.is_routable or entry.address in self._entries:
            return
        tried, buckets = entry.tried, entry.buckets
        entry.tried, entry.buckets = False, []
        if tried:
            bucket, position = self._tried_place(entry)
            if position not in self._tried.get(bucket, {}):
                entry.tried = True
                self._create(entry)
                self._tried.setdefault(bucket, {})[position] = entry
            return
        for bucket in buckets[:NEW_BUCKETS_PER_ADDRESS]:
            position = self._position(entry, bucket, new=True)
            if 0 <= bucket < NEW_BUCKETS and position not in self._new.get(bucket, {}):
                if not entry.buckets:
                    self._create(entry)
                entry.buckets.append(bucket)
                self._new.setdefault(bucket, {})[position] = entry


def _create_tables(conn: Connection) -> None:
    for statement in filter(str.strip, _SCHEMA.split(";")):
        conn.execute(statement)


class AddressAnswers:
    """Answers to getaddr, the same for about a day to all who ask over the same network and local address.

    Else many short connections could read the whole book, and from its changes whom we are connected to.
    """

    def __init__(self, book: AddressBook, random: Random) -> None:
        self._book, self._random = book, random
        self._cache: dict[tuple[str, str, int], tuple[int, list[PeerAddress]]] = {}

    def answer(self, network: str, local: tuple[str, int], now: int) -> list[PeerAddress]:
        """network: name of the one the peer came by. local: our endpoint it is connected to."""
        key = (network, *local)
        expires, addresses = self._cache.get(key, (0, []))
        if expires < now:
            addresses = self._book.get_addresses(now)
            self._cache[key] = (now + 21 * HOUR + self._random.below(6 * HOUR), addresses)
        return addresses
