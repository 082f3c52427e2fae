"""Every message: its bytes, round trip, limits, and that garbage raises DecodeError alone."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybitcoind.chain import params
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.merkle import PartialMerkleTree
from pybitcoind.chain.primitives.serialize import DecodeError
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut
from pybitcoind.p2p import messages as m

GENESIS = params.regtest().genesis
HASH = bytes(range(32))
WITNESS_TX = Transaction.make(
    [TxIn(OutPoint(HASH, 1), b"\x51")], [TxOut(5000, b"\x6a")], witness=[[b"sig", b"key"]]
)
V4 = m.NetAddress.parse("1.2.3.4:8333")
V6 = m.NetAddress.parse("[2a00::7]:18444")
ONION = m.NetAddress.parse("pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion:8333")

SAMPLES: list[m.Message] = [
    m.Version(70016, 1033, 1700000000, 1, V4, 1033, m.UNKNOWN_ADDRESS, 2**64 - 1, b"/x:1/", 7, False),
    m.Verack(),
    m.WtxidRelay(),
    m.SendAddrV2(),
    m.SendHeaders(),
    m.SendCmpct(True, 2),
    m.SendTxRcncl(1, 2**64 - 1),
    m.Ping(2**64 - 1),
    m.Ping(None),
    m.Pong(1),
    m.FeeFilter(1000),
    m.GetAddr(),
    m.MempoolRequest(),
    m.Addr([m.PeerAddress(1, 1033, V4), m.PeerAddress(2**32 - 1, 0, V6)]),
    m.AddrV2([m.PeerAddress(1, 2**63, V4), m.PeerAddress(2, 9, V6), m.PeerAddress(3, 1, ONION)]),
    m.InvMessage([m.Inv(1, HASH), m.Inv(0x40000002, HASH), m.Inv(77, HASH)]),
    m.GetData([]),
    m.NotFound([m.Inv(5, HASH)]),
    m.GetHeaders([HASH, bytes(32)], HASH),
    m.GetBlocks([], HASH, 70001),
    m.Headers([GENESIS.header] * 3),
    m.BlockMessage(GENESIS),
    m.BlockMessage(Block(GENESIS.header, [GENESIS.vtx[0], WITNESS_TX])),
    m.MerkleBlockMessage(GENESIS.header, PartialMerkleTree(3, [True] * 2 + [False] * 6, [HASH, bytes(32)])),
    m.CmpctBlock(GENESIS.header, 2**64 - 1, [0, 2**48 - 1], [(0, GENESIS.vtx[0]), (1, WITNESS_TX)]),
    m.GetBlockTxn(HASH, [0, 1, 300, 65535]),
    m.BlockTxn(HASH, [WITNESS_TX, GENESIS.vtx[0]]),
    m.TxMessage(WITNESS_TX),
    m.GetCFilters(0, 2**32 - 1, HASH),
    m.CFilter(0, HASH, b"\x01\x02"),
    m.GetCFHeaders(0, 1, HASH),
    m.CFHeaders(0, HASH, bytes(32), [HASH] * 3),
    m.GetCFCheckpt(0, HASH),
    m.CFCheckpt(0, HASH, [HASH]),
    m.FilterLoad(b"\xff" * 9, 50, 2**32 - 1, 1),
    m.FilterAdd(b"\x00" * 520),
    m.FilterClear(),
]


def test_samples_cover_the_table() -> None:
    assert {sample.COMMAND for sample in SAMPLES} == set(m.MESSAGES)
    assert set(m.MESSAGES) == set(m.KNOWN_COMMANDS)


@pytest.mark.parametrize("message", SAMPLES, ids=lambda sample: sample.COMMAND)
def test_round_trip_and_truncation(message: m.Message) -> None:
    payload = m.encode_payload(message)
    assert m.decode_message(message.COMMAND, payload) == message
    if message != m.Ping(None):
        assert m.decode_message(message.COMMAND, payload + b"more") == message
    for cut in range(len(payload)):
        with suppress(DecodeError):
            short = m.decode_message(message.COMMAND, payload[:cut])
            assert not isinstance(short, m.Unknown) and m.encode_payload(short) != payload


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(m.MESSAGES)), st.binary(max_size=300))
def test_garbage_raises_decode_error_alone(command: str, payload: bytes) -> None:
    try:
        message = m.decode_message(command, payload)
    except DecodeError:
        return
    assert not isinstance(message, m.Unknown)
    again = m.decode_message(command, m.encode_payload(message))
    assert again == message or command in ("version", "addr", "addrv2")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(range(len(SAMPLES))), st.data())
def test_a_changed_byte_raises_decode_error_alone(index: int, data: st.DataObject) -> None:
    payload = bytearray(m.encode_payload(SAMPLES[index]))
    if payload:
        at = data.draw(st.integers(0, len(payload) - 1))
        payload[at] = data.draw(st.integers(0, 255))
    with suppress(DecodeError):
        m.decode_message(SAMPLES[index].COMMAND, bytes(payload))


def test_short_ids_of_bip_324() -> None:
    ids = {1: "addr", 2: "block", 3: "blocktxn", 4: "cmpctblock", 5: "feefilter", 6: "filteradd"}
    ids |= {7: "filterclear", 8: "filterload", 9: "getblocks", 10: "getblocktxn", 11: "getdata"}
    ids |= {12: "getheaders", 13: "headers", 14: "inv", 15: "mempool"}
    ids |= {16: "merkleblock", 17: "notfound", 18: "ping", 19: "pong", 20: "sendcmpct", 21: "tx"}
    ids |= {22: "getcfilters", 23: "cfilter", 24: "getcfheaders", 25: "cfheaders", 26: "getcfcheckpt"}
    ids |= {27: "cfcheckpt", 28: "addrv2"}
    assert {number: kind.COMMAND for number, kind in m.BY_V2_ID.items()} == ids


# -- bytes


def test_version_bytes() -> None:
    message = m.Version(70016, 0x409, 0x11, 1, V4, 0x409, m.UNKNOWN_ADDRESS, 0x22, b"/A:1/", 3, True)
    assert m.encode_payload(message) == b"".join(
        (
            struct.pack("<iQq", 70016, 0x409, 0x11),
            struct.pack("<Q", 1) + bytes(10) + b"\xff\xff\x01\x02\x03\x04\x20\x8d",
            struct.pack("<Q", 0x409) + bytes(18),
            struct.pack("<Q", 0x22) + b"\x05/A:1/" + struct.pack("<i", 3) + b"\x01",
        )
    )


@pytest.mark.parametrize(
    ("size", "missing"),
    [
        (46, {"nonce": 1, "user_agent": b"", "start_height": -1, "relay": True}),
        (80, {"nonce": 0x22, "user_agent": b"", "start_height": -1, "relay": True}),
        (86, {"nonce": 0x22, "user_agent": b"/A:1/", "start_height": -1, "relay": True}),
        (90, {"nonce": 0x22, "user_agent": b"/A:1/", "start_height": 3, "relay": True}),
        (91, {"nonce": 0x22, "user_agent": b"/A:1/", "start_height": 3, "relay": False}),
    ],
)
def test_version_messages_of_old_nodes_end_early(size: int, missing: dict[str, object]) -> None:
    whole = m.encode_payload(
        m.Version(70001, 1, 5, nonce=0x22, user_agent=b"/A:1/", start_height=3, relay=False)
    )
    message = m.decode_message("version", whole[:size])
    assert {name: getattr(message, name) for name in missing} == missing


def test_a_version_between_two_ends_is_malformed() -> None:
    whole = m.encode_payload(m.Version(70001, 1, 5, user_agent=b"/A:1/", start_height=3))
    for size in set(range(91)) - {46, 80, 86, 90}:
        with pytest.raises(DecodeError):
            m.decode_message("version", whole[:size])


def test_user_agent_is_limited_and_made_safe() -> None:
    agent = b"/a\n\x1b[31m<b>:0.1/"
    message = m.Version(70016, 0, 0, user_agent=agent)
    assert message.subver == "/a31mb:0.1/"
    message.user_agent = b"x" * 257
    with pytest.raises(DecodeError, match="String length limit exceeded"):
        m.decode_message("version", m.encode_payload(message))


def test_negative_time_counts_as_zero() -> None:
    message = m.decode_message("version", m.encode_payload(m.Version(70016, 0, -5)))
    assert isinstance(message, m.Version) and message.time == 0


def test_blocks_and_transactions_with_and_without_witness() -> None:
    assert m.encode_payload(m.TxMessage(WITNESS_TX)) == WITNESS_TX.raw
    assert m.encode_payload(m.TxMessage(WITNESS_TX, witness=False)) == WITNESS_TX.stripped
    block = Block(GENESIS.header, [GENESIS.vtx[0], WITNESS_TX])
    assert m.encode_payload(m.BlockMessage(block)) == block.raw
    assert m.encode_payload(m.BlockMessage(block, witness=False)) == block.stripped


def test_bytes_behind_a_block_are_not_part_of_it() -> None:
    message = m.decode_message("block", GENESIS.raw + b"\x00\x01")
    assert isinstance(message, m.BlockMessage) and message.block.raw == GENESIS.raw


def test_headers_carry_a_count_that_is_not_looked_at() -> None:
    payload = m.encode_payload(m.Headers([GENESIS.header]))
    assert payload == b"\x01" + GENESIS.header.raw + b"\x00"
    assert m.decode_message("headers", payload[:-1] + b"\xfd\x00\x01") == m.Headers([GENESIS.header])


def test_addrv2_bytes() -> None:
    payload = m.encode_payload(m.AddrV2([m.PeerAddress(0x01020304, 0x409, V4)]))
    assert payload.hex() == "0104030201fd0904010401020304208d"


def test_inventory_names() -> None:
    text = bytes(range(32))[::-1].hex()
    names = {
        1: "tx",
        2: "block",
        5: "wtx",
        0x40000001: "witness-tx",
        0x40000002: "witness-block",
        99: "0x00000063",
    }
    assert {kind: str(m.Inv(kind, HASH)) for kind in names} == {k: f"{v} {text}" for k, v in names.items()}


# -- limits


def _counted(count: int, item: bytes) -> bytes:
    return b"\xfd" + struct.pack("<H", count) + item * count


@pytest.mark.parametrize(
    ("command", "payload", "error", "text"),
    [
        ("inv", _counted(50_001, bytes(36)), m.Misbehaviour, "inv message size = 50001"),
        ("getdata", _counted(50_001, bytes(36)), m.Misbehaviour, "getdata message size = 50001"),
        ("headers", b"\xfd\xd1\x07", m.Misbehaviour, "headers message size = 2001"),
        ("addr", b"\xfd\xe9\x03" + bytes(30) * 1001, m.Misbehaviour, "addr message size = 1001"),
        ("addrv2", b"\xfd\xe9\x03" + bytes(9) * 1001, m.Misbehaviour, "addrv2 message size = 1001"),
        (
            "getheaders",
            bytes(4) + b"\x66" + bytes(33 * 102),
            m.Disconnect,
            "getheaders locator size 102 > 101",
        ),
        ("getblocks", bytes(4) + b"\x66" + bytes(33 * 102), m.Disconnect, "getblocks locator size 102 > 101"),
        ("filteradd", b"\xfd\x09\x02" + bytes(521), m.Misbehaviour, "bad filteradd message"),
        ("filterload", b"\x00\x33" + bytes(8), m.Misbehaviour, "too-large bloom filter"),
        (
            "cfheaders",
            bytes(65) + b"\xfd\xd1\x07" + bytes(32 * 2001),
            m.Misbehaviour,
            "cfheaders message size = 2001",
        ),
    ],
)
def test_limits(command: str, payload: bytes, error: type[DecodeError], text: str) -> None:
    with pytest.raises(error) as raised:
        m.decode_message(command, payload)
    assert str(raised.value) == text


@pytest.mark.parametrize("command", ["inv", "getdata", "notfound", "addr", "addrv2"])
def test_a_count_without_its_items_is_only_malformed(command: str) -> None:
    with pytest.raises(DecodeError) as raised:
        m.decode_message(command, b"\xfe\xff\xff\xff\x01" + bytes(1000))
    assert type(raised.value) is DecodeError


def test_as_many_as_are_allowed() -> None:
    items = [m.Inv(1, HASH)] * 50_000
    assert m.decode_message("inv", m.encode_payload(m.InvMessage(items))) == m.InvMessage(items)
    headers = m.Headers([GENESIS.header] * 2_000)
    assert m.decode_message("headers", m.encode_payload(headers)) == headers
    locator = m.GetHeaders([HASH] * 101)
    assert m.decode_message("getheaders", m.encode_payload(locator)) == locator


# -- small things


def test_unknown_commands() -> None:
    assert m.decode_message("sendtemplate", b"abc") == m.Unknown("sendtemplate", b"abc")


def test_service_names() -> None:
    assert m.service_names(0x409 | 1 << 30) == ["NETWORK", "WITNESS", "NETWORK_LIMITED", "UNKNOWN[2^30]"]
    assert m.service_names(2) == ["UNKNOWN[2^1]"]
