"""The handshake state machine from both sides, message by message."""

from __future__ import annotations

import pytest

from pybitcoind.chain.primitives.serialize import DecodeError
from pybitcoind.p2p.handshake import ConnectionType, Handshake, LocalVersion, State, Step, desirable_services
from pybitcoind.p2p.messages import Message, NetAddress, SendTxRcncl, Version, encode_payload

NOW = 1_700_000_000
PEER = NetAddress.parse("1.2.3.4:8333")
FULL = 0x409


def make(kind: ConnectionType = ConnectionType.MANUAL, **options: object) -> Handshake:
    return Handshake(kind, LocalVersion(FULL, 42, b"/us:1/", 7), PEER, **options)  # type: ignore[arg-type]


def version(**changes: object) -> bytes:
    values = {"version": 70016, "services": FULL, "time": NOW + 3, "nonce": 99, "user_agent": b"/them:2/"}
    return encode_payload(Version(**{**values, **changes}))  # type: ignore[arg-type]


def commands(messages: list[Message]) -> list[str]:
    return [message.COMMAND for message in messages]


def test_outbound() -> None:
    h = make()
    (ours,) = h.start(NOW)
    assert isinstance(ours, Version)
    assert (ours.version, ours.nonce, ours.start_height, ours.receiver, ours.relay) == (
        70016,
        42,
        7,
        PEER,
        True,
    )
    step = h.receive("version", version(start_height=5, relay=False), NOW)
    assert step.version_received and commands(step.send) == ["wtxidrelay", "sendaddrv2", "verack"]
    assert step.log == (
        "receive version message: /them:2/: version 70016, blocks=5, us=[::]:0, txrelay=0, {peer}"
    )
    assert h.receive("wtxidrelay", b"", NOW) == Step()
    assert h.receive("sendaddrv2", b"", NOW) == Step()
    assert not h.complete and h.receive("verack", b"", NOW).completed and h.complete
    f = h.features
    assert (f.version, f.common_version, f.services, f.subver) == (70016, 70016, FULL, "/them:2/")
    assert (f.start_height, f.relay, f.time_offset, f.wtxid_relay, f.addrv2) == (5, False, 3, True, True)


def test_inbound_answers_with_its_version_first() -> None:
    h = make(ConnectionType.INBOUND)
    assert h.start(NOW) == []
    step = h.receive("version", version(), NOW)
    assert commands(step.send) == ["version", "wtxidrelay", "sendaddrv2", "verack"]


def test_an_address_that_is_not_public_is_not_told() -> None:
    h = Handshake(ConnectionType.MANUAL, LocalVersion(FULL, 42, b"", 0), NetAddress.parse("127.0.0.1:5"))
    (ours,) = h.start(NOW)
    assert isinstance(ours, Version) and str(ours.receiver) == "[::]:0"


@pytest.mark.parametrize("common", [70015, 31800])
def test_old_peers_are_not_asked_for_what_they_do_not_know(common: int) -> None:
    h = make()
    assert commands(h.receive("version", version(version=common), NOW).send) == ["verack"]
    step = h.receive("wtxidrelay", b"", NOW)
    assert step.log == f"ignoring wtxidrelay due to old common version={common} from {{peer}}"
    assert not h.features.wtxid_relay and h.features.common_version == common


def test_later_versions_of_the_protocol() -> None:
    h = make()
    h.receive("version", version(version=99999) + b"future", NOW)
    assert (h.features.version, h.features.common_version) == (99999, 70016)


def test_version_comes_first() -> None:
    h = make()
    step = h.receive("ping", bytes(8), NOW)
    assert step == Step(log='non-version message before version handshake. Message "ping" from {peer}')
    assert (
        h.receive("verack", b"", NOW).log
        == 'non-version message before version handshake. Message "verack" from {peer}'
    )
    assert h.receive("version", version(), NOW).version_received


def test_messages_before_verack_are_ignored() -> None:
    h = make()
    h.receive("version", version(), NOW)
    assert h.receive("tx\x1b[", b"junk", NOW).log == 'Unsupported message "tx" prior to verack from {peer}'
    assert h.wants("ping")
    h.receive("verack", b"", NOW)
    assert not h.wants("ping") and h.wants("version")


def test_the_second_version_and_verack_are_ignored() -> None:
    h = make()
    h.receive("version", version(), NOW)
    assert h.receive("version", version(services=0), NOW) == Step(log="redundant version message from {peer}")
    h.receive("verack", b"", NOW)
    assert h.receive("verack", b"", NOW) == Step(log="ignoring redundant verack message from {peer}")
    assert h.features.services == FULL and h.complete


@pytest.mark.parametrize("command", ["wtxidrelay", "sendaddrv2"])
def test_features_are_settled_before_verack(command: str) -> None:
    h = make()
    h.receive("version", version(), NOW)
    h.receive("verack", b"", NOW)
    assert h.receive(command, b"", NOW).disconnect == f"{command} received after verack"
    assert h.state is State.FAILED
    assert h.receive("ping", b"", NOW) == Step()


def test_wtxidrelay_twice() -> None:
    h = make()
    h.receive("version", version(), NOW)
    h.receive("wtxidrelay", b"", NOW)
    assert h.receive("wtxidrelay", b"", NOW).log == "ignoring duplicate wtxidrelay from {peer}"


def test_obsolete_version_even_if_the_rest_is_missing() -> None:
    step = make().receive("version", version(version=31799)[:46], NOW)
    assert step.disconnect == "peer using obsolete version 31799" and not step.send


def test_connection_to_self() -> None:
    h = make(ConnectionType.INBOUND, is_own_nonce=lambda nonce: nonce == 99)
    assert h.receive("version", version(), NOW).disconnect == "connected to self at 1.2.3.4:8333"
    outbound = make(is_own_nonce=lambda nonce: True)
    assert not outbound.receive("version", version(), NOW).disconnect


@pytest.mark.parametrize(
    ("kind", "services", "kept"),
    [
        (ConnectionType.OUTBOUND_FULL_RELAY, 0x400, False),
        (ConnectionType.BLOCK_RELAY, 0x1, False),
        (ConnectionType.ADDR_FETCH, 0x8, False),
        (ConnectionType.OUTBOUND_FULL_RELAY, 0x9, True),
        (ConnectionType.MANUAL, 0, True),
        (ConnectionType.FEELER, 0, True),
        (ConnectionType.INBOUND, 0, True),
    ],
)
def test_services_of_peers_we_chose(kind: ConnectionType, services: int, kept: bool) -> None:
    step = make(kind).receive("version", version(services=services), NOW)
    expected = f"peer does not offer the expected services ({services:08x} offered, 00000009 expected)"
    assert step.disconnect == ("" if kept else expected)


def test_pruned_peers_will_do_near_the_tip() -> None:
    assert desirable_services(0x408, near_tip=True) == 0x408
    assert desirable_services(0x408) == 0x9


def test_sendheaders_and_sendcmpct_count_at_any_time_after_version() -> None:
    h = make()
    h.receive("version", version(), NOW)
    h.receive("sendheaders", b"", NOW)
    h.receive("sendcmpct", b"\x01" + (1).to_bytes(8, "little"), NOW)
    assert h.features.prefers_headers and not h.features.provides_cmpctblocks
    h.receive("verack", b"", NOW)
    h.receive("sendcmpct", b"\x01" + (2).to_bytes(8, "little"), NOW)
    assert h.features.provides_cmpctblocks and h.features.high_bandwidth


def test_a_malformed_version_can_be_followed_by_a_good_one() -> None:
    h = make()
    with pytest.raises(DecodeError):
        h.receive("version", version()[:50], NOW)
    assert h.receive("version", version(), NOW).version_received


# -- reconciliation of transactions (BIP 330)


def reconciling(kind: ConnectionType = ConnectionType.INBOUND, **options: object) -> Handshake:
    return make(kind, salt=lambda: 7, **options)


def offer(number: int = 1) -> bytes:
    return encode_payload(SendTxRcncl(number, 2))


def test_reconciliation_is_settled() -> None:
    h = reconciling()
    step = h.receive("version", version(), NOW)
    assert commands(step.send) == ["version", "wtxidrelay", "sendaddrv2", "sendtxrcncl", "verack"]
    assert step.send[3] == SendTxRcncl(1, 7) and step.reconciliation_log == "Pre-register {peer}"
    h.receive("wtxidrelay", b"", NOW)
    step = h.receive("sendtxrcncl", offer(2), NOW)
    assert step == Step(reconciliation_log="Register {peer} (inbound=1)")
    assert h.receive("verack", b"", NOW) == Step(completed=True) and h.features.reconciliation


@pytest.mark.parametrize(
    ("kind", "said", "options"),
    [
        (ConnectionType.INBOUND, {"version": 70015}, {}),
        (ConnectionType.INBOUND, {"relay": False}, {}),
        (ConnectionType.INBOUND, {}, {"offer_reconciliation": False}),
        (ConnectionType.BLOCK_RELAY, {}, {}),
        (ConnectionType.FEELER, {}, {}),
        (ConnectionType.ADDR_FETCH, {}, {}),
    ],
)
def test_reconciliation_is_not_offered(
    kind: ConnectionType, said: dict[str, object], options: dict[str, object]
) -> None:
    h = reconciling(kind, **options)
    step = h.receive("version", version(**said), NOW)
    assert "sendtxrcncl" not in commands(step.send) and not step.reconciliation_log
    step = h.receive("sendtxrcncl", offer(), NOW)
    if said.get("relay") is False:
        assert step.disconnect == "sendtxrcncl received which indicated no tx relay to us"
    else:
        assert step.log == "Ignore unexpected txreconciliation signal from {peer}"
    assert not h.features.reconciliation


def test_reconciliation_without_wtxidrelay_is_forgotten() -> None:
    h = reconciling()
    h.receive("version", version(), NOW)
    h.receive("sendtxrcncl", offer(), NOW)
    step = h.receive("verack", b"", NOW)
    assert step == Step(completed=True, reconciliation_log="Forget txreconciliation state of {peer}")
    assert not h.features.reconciliation
    assert h.receive("sendtxrcncl", offer(), NOW).disconnect == "sendtxrcncl received after verack"


def test_violations_of_reconciliation() -> None:
    twice, zero = reconciling(), reconciling()
    for h in (twice, zero):
        h.receive("version", version(), NOW)
    assert zero.receive("sendtxrcncl", offer(0), NOW).disconnect == "txreconciliation protocol violation"
    twice.receive("sendtxrcncl", offer(), NOW)
    assert twice.receive("sendtxrcncl", offer(), NOW).disconnect == (
        "txreconciliation protocol violation (sendtxrcncl received from already registered peer)"
    )
    silent = Handshake(
        ConnectionType.BLOCK_RELAY, LocalVersion(FULL, 42, b"", 7, False), PEER, salt=lambda: 7
    )
    silent.receive("version", version(), NOW)
    assert silent.receive("sendtxrcncl", offer(), NOW).disconnect == (
        "sendtxrcncl received to which we indicated no tx relay"
    )


def test_without_the_option_reconciliation_is_ignored() -> None:
    h = make()
    h.receive("version", version(), NOW)
    assert "does not have txreconciliation enabled" in h.receive("sendtxrcncl", offer(), NOW).log
