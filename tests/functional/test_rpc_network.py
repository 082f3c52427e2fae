"""The network methods of two connected daemons; every answer is checked against its documentation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from node_process import Daemon, running

OPTIONS = ("-connect=0", "-rpcdoccheck", "-debug=net", "-whitelist=noban@127.0.0.1")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Daemon]]:
    folder = tmp_path_factory.mktemp("network")
    with Daemon(folder / "a", *OPTIONS) as one, Daemon(folder / "b", *OPTIONS) as other:
        yield one.wait_ready(), other.wait_ready()
        one.stop_well()
        other.stop_well()


def address(node: Daemon) -> str:
    return f"127.0.0.1:{node.ports['p2p']}"


def connect(one: Daemon, other: Daemon) -> None:
    """one dials other; both have completed the handshake and a ping."""
    if one.call("getconnectioncount"):
        return
    one.call("addnode", address(other), "onetry")
    for node in (one, other):
        node.until(
            "a ping to be answered",
            lambda node=node: [p for p in node.call("getpeerinfo") if "pingtime" in p],  # type: ignore[misc]
        )


def test_peerinfo(pair: tuple[Daemon, Daemon]) -> None:
    one, other = pair
    connect(one, other)
    (dialled,), (accepted,) = one.call("getpeerinfo"), other.call("getpeerinfo")
    assert dialled["addr"] == address(other)
    assert (dialled["inbound"], dialled["connection_type"]) == (False, "manual")
    assert (accepted["inbound"], accepted["connection_type"]) == (True, "inbound")
    assert accepted["permissions"] == ["noban", "download"]
    assert dialled["subver"] == other.call("getnetworkinfo")["subversion"]
    assert dialled["servicesnames"] == other.call("getnetworkinfo")["localservicesnames"]
    assert dialled["bytesrecv_per_msg"]["pong"] >= 29
    assert dialled["bytessent"] >= sum(dialled["bytessent_per_msg"].values())
    info = one.call("getnetworkinfo")
    assert [info[key] for key in ("connections", "connections_in", "connections_out")] == [1, 0, 1]
    totals = one.call("getnettotals")
    assert totals["totalbytesrecv"] >= dialled["bytesrecv"] > 0


def test_ping_is_measured(pair: tuple[Daemon, Daemon]) -> None:
    one, other = pair
    connect(one, other)
    before = one.call("getpeerinfo")[0]["bytessent_per_msg"]["ping"]
    assert one.call("ping") is None
    one.until("another ping", lambda: one.call("getpeerinfo")[0]["bytessent_per_msg"]["ping"] > before)


def test_added_nodes(pair: tuple[Daemon, Daemon]) -> None:
    one, other = pair
    connect(one, other)
    one.call("addnode", address(other), "add")
    assert one.failure("addnode", address(other), "add") == (-23, "Error: Node already added")
    (added,) = one.call("getaddednodeinfo", address(other))
    assert added["connected"] and added["addresses"] == [{"address": address(other), "connected": "outbound"}]
    one.call("addnode", address(other), "remove")
    assert one.call("getaddednodeinfo") == []
    assert one.failure("addnode", address(other), "remove")[0] == -24


def test_disconnecting(pair: tuple[Daemon, Daemon]) -> None:
    one, other = pair
    connect(one, other)
    (peer,) = one.call("getpeerinfo")
    assert one.failure("disconnectnode", "127.0.0.1:1") == (-29, "Node not found in connected nodes")
    assert one.failure("disconnectnode", peer["addr"], peer["id"])[0] == -32602
    one.call("disconnectnode", nodeid=peer["id"])
    for node in pair:
        node.until("nobody to be connected", lambda node=node: not node.call("getconnectioncount"))  # type: ignore[misc]
    connect(one, other)
    one.call("disconnectnode", address(other))
    one.until("nobody to be connected", lambda: not one.call("getconnectioncount"))


def test_network_switched_off(pair: tuple[Daemon, Daemon]) -> None:
    one, other = pair
    connect(one, other)
    assert one.call("setnetworkactive", False) is False
    for node in pair:
        node.until("nobody to be connected", lambda node=node: not node.call("getconnectioncount"))  # type: ignore[misc]
    one.call("addnode", address(other), "onetry")
    assert one.call("getconnectioncount") == 0
    assert one.call("getnetworkinfo")["networkactive"] is False
    assert one.call("setnetworkactive", True) is True
    connect(one, other)


def test_connections_of_a_wished_kind(pair: tuple[Daemon, Daemon]) -> None:
    one, other = pair
    there = f"[::1]:{other.ports['p2p']}"
    for _ in range(2):  # the second time it is connected already
        answer = one.call("addconnection", there, "block-relay-only", False)
        assert answer == {"address": there, "connection_type": "block-relay-only"}
    kinds = [peer["connection_type"] for peer in one.call("getpeerinfo")]
    assert kinds.count("block-relay-only") == 1


def test_bans_end_connections_and_keep_peers_away(pair: tuple[Daemon, Daemon]) -> None:
    one, other = pair
    connect(one, other)
    one.call("setban", "127.0.0.0/8", "add", 1000)
    one.until(
        "IPv4 to be gone",
        lambda: (
            not [p for p in one.call("getpeerinfo") if p["network"] == "ipv4" or p["addr"].startswith("127.")]
        ),
    )
    (ban,) = one.call("listbanned")
    assert (ban["address"], ban["ban_duration"]) == ("127.0.0.0/8", 1000)
    one.call("clearbanned")
    assert one.call("listbanned") == []
    connect(one, other)


def test_addresses(pair: tuple[Daemon, Daemon]) -> None:
    node = pair[0]
    assert node.call("addpeeraddress", "1.2.3.4", 8333) == {"success": True}
    assert node.call("addpeeraddress", "2.3.4.5", 8333, True) == {"success": True}
    counts = node.call("getaddrmaninfo")
    assert counts["ipv4"] == {"new": 1, "tried": 1, "total": 2} == counts["all_networks"]
    found = {row["address"] for row in node.call("getnodeaddresses", 0, "ipv4")}
    assert found == {"1.2.3.4", "2.3.4.5"}
    assert [len(node.call("getrawaddrman")[table]) for table in ("new", "tried")] == [1, 1]


def test_raw_message(pair: tuple[Daemon, Daemon]) -> None:
    """A message of a wrong form ends the connection on the other side."""
    one, other = pair
    connect(one, other)
    peer_id = one.call("getpeerinfo")[0]["id"]
    one.call("sendmsgtopeer", peer_id, "nonsense", "ff")
    other.wait_for_log("nonsense")
    assert one.failure("sendmsgtopeer", 10**6, "addr", "ff") == (-1, "Error: Could not send message to peer")


def test_names_that_no_host_can_have(tmp_path: Path) -> None:
    """They are tried in vain, as in Core, and harm nobody; those of the command line too."""
    names = [
        ".1",
        "a..b",
        "x" * 300,
        "é..b",
        "é" * 100,
        "a\0b",
        "1.2.3.4\0",
        "256.1",
        "::1%nothing",
        " ",
        "a b",
    ]
    with running(tmp_path / "node", "-addnode=c..d", "-seednode=e..f") as node:
        for name in names:
            node.call("addnode", name, "add")
            node.call("addnode", name, "onetry")
        assert len(node.call("getaddednodeinfo")) == len(names) + 1
        assert node.call("getconnectioncount") == 0
        for name in names:
            node.call("addnode", name, "remove")
        node.stop_well()


def test_short_addresses(tmp_path: Path) -> None:
    """Numeric look-ups take what inet_aton takes; checked against Core's daemon."""
    with running(tmp_path / "node", "-connect=0") as node:
        for short, full in (
            ("127.1", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"),
            ("017700000001", "127.0.0.1"),
            ("1.2.65535", "1.2.255.255"),
            ("1.0x2.03.4", "1.2.3.4"),
            ("0", "0.0.0.0"),
        ):
            node.call("addnode", f"{full}:5", "add")
            assert node.failure("addnode", f"{short}:5", "add") == (-23, "Error: Node already added")
            node.call("addnode", f"{full}:5", "remove")
        for none in (
            "08.1",
            "1.2.3.256",
            "1.2.65536",
            "256.1",
            "1.",
            "1..2",
            "1.2.3.4.5",
            "4294967296",
            "0x",
        ):
            assert node.failure("addpeeraddress", none, 8333) == (-30, "Invalid IP address")
