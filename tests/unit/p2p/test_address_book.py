"""The address book: bounded tables, what one source can do, choice, and keeping."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pybitcoind.chain.storage.database import MemoryStorage
from pybitcoind.node.ports import SystemRandom
from pybitcoind.p2p import address_book
from pybitcoind.p2p.address_book import AddressAnswers, AddressBook
from pybitcoind.p2p.messages import NetAddress, NetworkId, PeerAddress

NOW = 1_700_000_000
SOURCE = NetAddress.parse("252.2.2.2")
DAY = 86_400


def make(seed: int = 1) -> AddressBook:
    return AddressBook(SystemRandom(seed))


def at(text: str, time: int = NOW - 3600, services: int = 9) -> PeerAddress:
    return PeerAddress(time, services, NetAddress.parse(text, 8333))


def many(count: int) -> list[PeerAddress]:
    """Addresses of as many groups."""
    rows = []
    for n in range(count):
        rows.append(at(f"{1 + n // 200 % 9}.{n % 200}.{n // 1800 % 250}.{1 + n % 7}"))
    return rows


def consistent(book: AddressBook) -> None:
    new, tried = list(book.entries(tried=False)), list(book.entries(tried=True))
    assert len({id(entry) for _, _, entry in new}) == book.count(tried=False)
    assert len(tried) == book.count(tried=True) and len(book) == book.count()
    for bucket, position, entry in new:
        assert bucket in entry.buckets and not entry.tried and 0 <= position < 64 and 0 <= bucket < 1024
    for bucket, position, entry in tried:
        assert entry.tried and not entry.buckets and 0 <= position < 64 and 0 <= bucket < 256
    for index, entry in enumerate(book._all):
        assert entry.index == index and book.get(entry.address) is entry
        assert 1 <= len(entry.buckets) <= 8 or entry.tried


def test_constants() -> None:
    a = address_book
    assert (a.TRIED_BUCKETS, a.NEW_BUCKETS, a.BUCKET_SIZE) == (256, 1024, 64)
    assert (a.TRIED_BUCKETS_PER_GROUP, a.NEW_BUCKETS_PER_SOURCE_GROUP, a.NEW_BUCKETS_PER_ADDRESS) == (
        8,
        64,
        8,
    )
    assert (a.HORIZON, a.RETRIES, a.MAX_FAILURES, a.MIN_FAIL) == (30 * DAY, 3, 10, 7 * DAY)
    assert (a.REPLACEMENT, a.TEST_WINDOW, a.MAX_COLLISIONS, a.MAX_PCT_ADDR_TO_SEND) == (14400, 2400, 10, 23)


def test_empty() -> None:
    book = make()
    assert len(book) == 0 and book.select(NOW) is None and book.get_addresses(NOW) == []
    assert book.collision() is None
    book.attempt(SOURCE, NOW)
    book.connected(SOURCE, NOW)
    assert not book.good(SOURCE, NOW)


def test_only_routable_addresses_are_kept() -> None:
    book = make()
    assert book.add([at("127.0.0.1"), at("10.0.0.1"), at("::1"), at("8.8.8.8")], SOURCE, NOW) == 1
    assert book.add([at("8.8.8.8")], SOURCE, NOW) == 0
    assert book.add([at("8.8.8.8:8334")], SOURCE, NOW) == 1
    assert book.count() == book.count("ipv4", tried=False) == 2


def test_time_is_distrusted_unless_the_node_speaks_of_itself() -> None:
    book = make()
    book.add([at("8.8.8.8", NOW)], SOURCE, NOW, penalty=7200)
    book.add([at("9.9.9.9", NOW)], NetAddress.parse("9.9.9.9:1"), NOW, penalty=7200)
    other, own = book.get(NetAddress.parse("8.8.8.8:8333")), book.get(NetAddress.parse("9.9.9.9:8333"))
    assert other and own and (other.time, own.time) == (NOW - 7200, NOW)
    book.add([at("8.8.8.8", NOW + 4000, services=64)], SOURCE, NOW + 4000)
    assert (other.time, other.services) == (NOW + 4000, 64 | 9)


def test_one_source_fills_few_buckets() -> None:
    book = make()
    book.add(many(20_000), SOURCE, NOW)
    consistent(book)
    assert len({bucket for bucket, _, _ in book.entries(tried=False)}) <= 64
    assert book.count() <= 64 * 64
    for n in range(40):
        later = [row._replace(time=row.time + n) for row in many(1000)]
        book.add(later, NetAddress.parse(f"{100 + n}.1.1.1"), NOW)
    consistent(book)
    assert book.count() > 64 * 10
    assert max(len(entry.buckets) for _, _, entry in book.entries(tried=False)) > 1


def test_one_group_is_tried_in_few_buckets() -> None:
    book = make()
    for n in range(2000):
        address = at(f"8.8.{n // 250}.{1 + n % 250}")
        book.add([address], NetAddress.parse(f"{1 + n % 200}.{n % 250}.1.1"), NOW)
        book.good(address.address, NOW, test_before_evict=False)
    consistent(book)
    assert len({bucket for bucket, _, _ in book.entries(tried=True)}) <= 8


def test_terrible_entries_give_way() -> None:
    book = make()
    old = many(3000)
    book.add([row._replace(time=NOW - 31 * DAY) for row in old], SOURCE, NOW)
    held = book.count()
    fresh = [at(f"50.{n % 250}.{n // 250}.1") for n in range(3000)]
    book.add(fresh, SOURCE, NOW)
    consistent(book)
    kept = Counter(entry.is_terrible(NOW) for _, _, entry in book.entries(tried=False))
    assert held > 0 and kept[False] > kept[True]


def test_worth() -> None:
    book = make()
    book.add([at("8.8.8.8")], SOURCE, NOW)
    address = NetAddress.parse("8.8.8.8:8333")
    entry = book.get(address)
    assert entry and not entry.is_terrible(NOW) and entry.chance(NOW) == 1.0
    assert entry.is_terrible(NOW + 31 * DAY) and entry.is_terrible(NOW - 2 * 3600)
    for n in range(1, 4):
        book.attempt(address, NOW + n)
        book._last_good = NOW + n + 1  # another connection works
    assert entry.attempts == 3 and not entry.is_terrible(NOW + 10) and entry.is_terrible(NOW + 100)
    assert entry.chance(NOW + 10) == pytest.approx(0.01 * 0.66**3)
    book.attempt(address, NOW + 1000, count_failure=False)
    assert entry.attempts == 3
    book.good(address, NOW + 2000)
    assert entry.tried and entry.attempts == 0 and entry.time == NOW - 3600
    book.connected(address, NOW + 2000)
    assert entry.time == NOW + 2000


def test_failures_count_once_between_successes_of_any() -> None:
    book = make()
    book.add([at("8.8.8.8")], SOURCE, NOW)
    address = NetAddress.parse("8.8.8.8:8333")
    for n in range(5):
        book.attempt(address, NOW + n)
    entry = book.get(address)
    assert entry and entry.attempts == 1


def test_select() -> None:
    book = make()
    book.add([at("8.8.8.8"), at("[2a00::1]:8333"), at("9.9.9.9")], SOURCE, NOW)
    nine = NetAddress.parse("9.9.9.9:8333")
    assert book.good(nine, NOW - 3600)
    chosen = Counter(str(e.address) for e in (book.select(NOW) for _ in range(300)) if e)
    assert len(chosen) == 3 and 90 < chosen["9.9.9.9:8333"] < 210
    assert {str(e.address) for e in (book.select(NOW, new_only=True) for _ in range(50)) if e} == {
        "8.8.8.8:8333",
        "[2a00::1]:8333",
    }
    only = {str(e.address) for e in (book.select(NOW, networks=["ipv6"]) for _ in range(20)) if e}
    assert only == {"[2a00::1]:8333"}
    assert book.select(NOW, networks=["onion"]) is None
    assert book.select(NOW, networks=[]) is None
    solo = make()
    solo.add([at("9.9.9.9")], SOURCE, NOW)
    solo.good(nine, NOW)
    assert solo.select(NOW, new_only=True) is None
    chosen_entry = solo.select(NOW)
    assert chosen_entry and chosen_entry.address == nine  # however recent the last attempt


def test_get_addresses() -> None:
    book = make()
    for n in range(20):
        book.add(many(500), NetAddress.parse(f"{20 + n}.1.1.1"), NOW)
    size = len(book)
    told = book.get_addresses(NOW)
    assert len(told) == size * 23 // 100 and len(set(told)) == len(told)
    assert len(book.get_addresses(NOW, limit=10)) == 10
    assert len(book.get_addresses(NOW, limit=0, percent=0)) == size
    assert book.get_addresses(NOW + 40 * DAY) == []
    assert len(book.get_addresses(NOW + 40 * DAY, percent=0, limit=0, filtered=False)) == size
    assert book.get_addresses(NOW, network="ipv6", percent=0) == []
    consistent(book)


def test_never_more_than_a_thousand() -> None:
    book = make()
    for n in range(4):
        book.add(many(6000), NetAddress.parse(f"{20 + n}.1.1.1"), NOW)
    assert len(book) > 4400 and len(book.get_addresses(NOW)) == 1000


def collide(book: AddressBook) -> tuple[NetAddress, NetAddress]:
    """Two addresses for one place of the tried table, the first of them in it."""
    places: dict[tuple[int, int], NetAddress] = {}
    for n in range(5000):
        row = at(f"8.8.{n // 250}.{1 + n % 250}")
        if not book.add([row], NetAddress.parse(f"{1 + n % 200}.{n % 250}.1.1"), NOW):
            continue
        entry = book.get(row.address)
        assert entry
        first = places.setdefault(book._tried_place(entry), row.address)
        if first != row.address and first in book and len(book.get(first).buckets) > 0:  # type: ignore[union-attr]
            assert book.good(first, NOW)
            return first, row.address
    raise AssertionError("no collision")


def test_a_tried_address_that_works_keeps_its_place() -> None:
    book = make()
    first, second = collide(book)
    assert not book.good(second, NOW)
    holder = book.collision()
    assert holder and holder.address == first
    book.resolve_collisions(NOW + 100)
    assert book.collision() is None and book.get(first).tried and not book.get(second).tried  # type: ignore[union-attr]


def test_a_tried_address_that_failed_its_test_gives_way() -> None:
    book = make()
    first, second = collide(book)
    later = NOW + 5 * 3600
    assert not book.good(second, later)
    book.resolve_collisions(later)
    assert book.collision()  # not tested yet
    book.attempt(first, later)
    book.resolve_collisions(later + 30)
    assert book.collision()  # it has a minute to answer
    book.resolve_collisions(later + 61)
    assert book.collision() is None and book.get(second).tried and not book.get(first).tried  # type: ignore[union-attr]
    consistent(book)


def test_a_tried_address_that_was_never_tested_gives_way_in_the_end() -> None:
    book = make()
    first, second = collide(book)
    later = NOW + 5 * 3600
    book.good(second, later)
    book.resolve_collisions(later + 2400)
    assert not book.get(second).tried  # type: ignore[union-attr]
    book.resolve_collisions(later + 2401)
    assert book.get(second).tried and first in book  # type: ignore[union-attr]
    consistent(book)


async def test_it_is_kept() -> None:
    book = make()
    for n in range(10):
        book.add(many(800), NetAddress.parse(f"{20 + n}.1.1.1"), NOW)
    book.add([at("[2a00::1]:8333")], SOURCE, NOW)
    cjdns = NetAddress(NetworkId.CJDNS, b"\xfc" + bytes(15), 1)
    book.add([PeerAddress(NOW, 1, cjdns)], NetAddress.internal("seed"), NOW)
    for row in many(300):
        book.good(row.address, NOW)
    async with await MemoryStorage().open("peers.sqlite") as db:
        await book.save(db)
        again = make(2)
        await again.load(db)
        assert again.key == book.key
        assert [(b, p, e.address) for b, p, e in again.entries(tried=False)] == [
            (b, p, e.address) for b, p, e in book.entries(tried=False)
        ]
        assert [(b, p, e.record) for b, p, e in again.entries(tried=True)] == [
            (b, p, e.record) for b, p, e in book.entries(tried=True)
        ]
        consistent(again)
        await again.save(db)
        await db.write(
            lambda conn: conn.execute("UPDATE addresses SET record = x'c1' WHERE address < x'0104'")
        )
        await db.write(
            lambda conn: conn.execute("INSERT INTO addresses VALUES (x'', x'00'), (x'0105', x'00')")
        )
        damaged = make(3)
        await damaged.load(db)
        consistent(damaged)
        assert 0 < len(damaged) < len(book)


async def test_loading_nothing() -> None:
    async with await MemoryStorage().open("peers.sqlite") as db:
        book = make()
        await book.load(db)
        assert len(book) == 0


def test_answers_stay_the_same_for_a_day() -> None:
    book = make()
    book.add(many(800), SOURCE, NOW)
    answers = AddressAnswers(book, SystemRandom(1))
    first = answers.answer("ipv4", ("1.1.1.1", 8333), NOW)
    assert first and answers.answer("ipv4", ("1.1.1.1", 8333), NOW + 21 * 3600) == first
    assert answers.answer("onion", ("1.1.1.1", 8333), NOW) != first
    assert answers.answer("ipv4", ("1.1.1.1", 8333), NOW + 27 * 3600 + 1) != first


def test_any_order_of_events_keeps_the_tables_consistent() -> None:
    rng = random.Random(7)
    book, rows = make(), many(400)
    now = NOW
    for _ in range(4000):
        row = rng.choice(rows)
        now += rng.randrange(600)
        match rng.randrange(6):
            case 0 | 1:
                source = NetAddress.parse(f"{rng.randrange(1, 60)}.1.1.1")
                book.add([row._replace(time=now - rng.randrange(40 * DAY))], source, now)
            case 2:
                book.attempt(row.address, now)
            case 3:
                book.good(row.address, now)
            case 4:
                book.resolve_collisions(now)
            case 5:
                book.select(now)
    consistent(book)
