"""Subnets as Core reads and prints them (expected values: its netbase_tests.cpp), and bans over time."""

from __future__ import annotations

import pytest

from pybitcoind.chain.storage.database import MemoryStorage
from pybitcoind.p2p.ban_list import MAX_DISCOURAGED, BanList, Subnet
from pybitcoind.p2p.messages import NetAddress, NetworkId

ONION = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"


class Clock:
    now = 1_700_000_000

    def time(self) -> int:
        return self.now


def make(clock: Clock | None = None) -> BanList:
    return BanList(clock or Clock())  # type: ignore[arg-type]


def ip(text: str) -> NetAddress:
    return NetAddress.parse(text, 1)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("1.2.3.0/24", "1.2.3.0/24"),
        ("1.2.3.4/24", "1.2.3.0/24"),
        ("1.2.3.4", "1.2.3.4/32"),
        ("1.2.3.4/0", "0.0.0.0/0"),
        ("1.2.3.4/255.255.255.0", "1.2.3.0/24"),
        ("1.2.3.4/255.255.252.0", "1.2.0.0/22"),
        ("1.2.3.4/0.0.0.0", "0.0.0.0/0"),
        ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8/128"),
        ("1:2:3:4:5:6:7:8/ffff:ffff:ffff:fffe:ffff:ffff:ffff:ff0f", None),
        ("1:2:3:4:5:6:7:8/ffff:ffff:ffff:fffe::", "1:2:3:4::/63"),
        ("1:2:3:4:5:6:7:8/8", "::/8"),
        ("[::1]/128", "::1/128"),
        ("::ffff:1.2.3.4/24", "1.2.3.0/24"),
        (ONION, ONION),
        ("1.2.3.4/33", None),
        ("1.2.3.4/-1", None),
        ("1.2.3.4/", None),
        ("1.2.3.4/255.0.255.0", None),
        ("::1/129", None),
        ("::1/255.255.255.0", None),
        ("fuzzy", None),
        (ONION + "/24", None),
        ("", None),
    ],
)
def test_text(text: str, printed: str | None) -> None:
    if printed is None:
        with pytest.raises(ValueError):
            Subnet.parse(text)
    else:
        assert str(Subnet.parse(text)) == printed
        assert Subnet.parse(printed) == Subnet.parse(text)


@pytest.mark.parametrize(
    ("subnet", "address", "inside"),
    [
        ("1.2.2.1/24", "1.2.2.4", True),
        ("1.2.2.110/31", "1.2.2.111", True),
        ("1.2.2.110/31", "1.2.2.112", False),
        ("1.2.3.0/24", "::ffff:1.2.3.4", True),
        ("0.0.0.0/0", "1.2.3.4", True),
        ("0.0.0.0/0", "::1", False),
        ("::/0", "1.2.3.4", False),
        ("1:2:3:4:5:6:7:0/112", "1:2:3:4:5:6:7:1234", True),
        ("::/0", "::", False),
        (ONION, ONION, True),
    ],
)
def test_matching(subnet: str, address: str, inside: bool) -> None:
    assert Subnet.parse(subnet).matches(ip(address)) is inside


def test_bans_end() -> None:
    clock = Clock()
    bans = make(clock)
    assert bans.ban(ip("1.2.3.4"), 100) and bans.ban(
        Subnet.parse("10.0.0.0/8"), clock.now + 50, absolute=True
    )
    assert bans.ban(ip("::1"))
    assert [(str(s), b.until - clock.now) for s, b in bans.banned()] == [
        ("1.2.3.4/32", 100),
        ("10.0.0.0/8", 50),
        ("::1/128", 86_400),
    ]
    assert (
        bans.is_banned(ip("1.2.3.4:99"))
        and bans.is_banned(ip("10.9.8.7"))
        and not bans.is_banned(ip("1.2.3.5"))
    )
    clock.now += 50
    assert not bans.is_banned(ip("10.9.8.7")) and bans.is_banned(ip("1.2.3.4"))
    clock.now += 51
    assert [str(subnet) for subnet, _ in bans.banned()] == ["::1/128"]


def test_a_longer_ban_stays() -> None:
    bans = make()
    assert bans.ban(ip("1.2.3.4"), 100)
    assert (
        not bans.ban(ip("1.2.3.4"), 100) and not bans.ban(ip("1.2.3.4"), 50) and bans.ban(ip("1.2.3.4"), 101)
    )


def test_unban_wants_the_same_subnet() -> None:
    bans = make()
    bans.ban(Subnet.parse("1.2.3.0/24"))
    assert not bans.unban(ip("1.2.3.4")) and bans.is_banned(ip("1.2.3.4"))
    assert not bans.is_banned(Subnet.parse("1.2.3.0/25")) and bans.is_banned(Subnet.parse("1.2.3.0/24"))
    assert bans.unban(Subnet.parse("1.2.3.77/24")) and not bans.is_banned(ip("1.2.3.4"))
    bans.ban(ip("5.5.5.5"))
    bans.clear()
    assert bans.banned() == []


def test_discouraged() -> None:
    bans = make()
    bans.discourage(ip("1.2.3.4:1"))
    assert bans.is_discouraged(ip("1.2.3.4:2")) and not bans.is_banned(ip("1.2.3.4"))
    for n in range(MAX_DISCOURAGED):
        bans.discourage(NetAddress(NetworkId.IPV4, (0x08000000 + n).to_bytes(4, "big"), 1))
    assert not bans.is_discouraged(ip("1.2.3.4")) and bans.is_discouraged(ip("8.0.0.0"))


async def test_bans_are_kept() -> None:
    clock = Clock()
    bans = make(clock)
    cjdns = NetAddress(NetworkId.CJDNS, b"\xfc" + bytes(14) + b"\x01", 1)
    for whom in (ip("1.2.3.4"), Subnet.parse("2001:db8::/32"), ip(ONION), cjdns):
        bans.ban(whom, 1000)
    bans.ban(ip("9.9.9.9"), 10)
    async with await MemoryStorage().open("peers.sqlite") as db:
        await bans.save(db)
        assert not bans.dirty
        clock.now += 100
        again = make(clock)
        await again.load(db)
        assert again.banned() == bans.banned() and len(again.banned()) == 4
        assert again.is_banned(cjdns) and again.is_banned(ip(ONION))
        await again.save(db)
        assert await db.read(lambda conn: conn.execute("SELECT count(*) FROM bans").fetchone()) == (4,)
        await db.write(lambda conn: conn.execute("INSERT INTO bans VALUES ('junk', 1, 99999999999)"))
        third = make(clock)
        await third.load(db)
        assert third.banned() == bans.banned()
