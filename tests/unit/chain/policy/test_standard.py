"""Numbers of policy, retyped: dust, feerates, sizes; forms of scripts."""

from __future__ import annotations

import pytest

from pybitcoind.chain.policy.feerate import adjusted_weight, fee_for, feerate_of, format_feerate, format_money
from pybitcoind.chain.policy.push_stack import push_stack
from pybitcoind.chain.policy.settings import PolicySettings
from pybitcoind.chain.policy.standard import dust_threshold, is_standard_script
from pybitcoind.chain.primitives.transaction import TxOut

KEY = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")


def multisig(required: int, keys: int) -> bytes:
    return bytes((0x50 + required,)) + (b"\x21" + KEY) * keys + bytes((0x50 + keys, 0xAE))


@pytest.mark.parametrize(
    ("script", "least"),
    [
        (b"\x76\xa9\x14" + bytes(20) + b"\x88\xac", 546),
        (b"\xa9\x14" + bytes(20) + b"\x87", 540),
        (b"\x00\x14" + bytes(20), 294),
        (b"\x00\x20" + bytes(32), 330),
        (b"\x51\x20" + bytes(32), 330),
        (bytes.fromhex("51024e73"), 240),
        (b"\x6a\x04abcd", 0),
        (bytes(10_001), 0),
        (b"\x21" + KEY + b"\xac", 576),
    ],
)
def test_dust(script: bytes, least: int) -> None:
    assert dust_threshold(TxOut(0, script), 3000) == least
    assert dust_threshold(TxOut(0, script), 0) == 0


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (multisig(1, 1), "multisig"),
        (multisig(3, 3), "multisig"),
        (multisig(1, 4), None),
        (multisig(2, 1), None),
        (b"\x6a", "nulldata"),
        (b"\x6a\x4c\x01", None),
        (b"\x51\x20" + bytes(32), "witness_v1_taproot"),
        (b"\x52\x20" + bytes(32), "witness_unknown"),
        (bytes.fromhex("51024e73"), "anchor"),
        (b"\x00\x15" + bytes(21), None),
        (b"\x51", None),
        (b"", None),
    ],
)
def test_standard_scripts(script: bytes, kind: str | None) -> None:
    assert is_standard_script(script) == kind


def test_fees_round_up_and_feerates_down() -> None:
    assert [fee_for(100, vsize) for vsize in (0, 1, 10, 11, 141)] == [0, 1, 1, 2, 15]
    assert fee_for(3000, 182) == 546
    assert [feerate_of(fee, 141) for fee in (0, 14, 15)] == [0, 99, 106]
    assert feerate_of(5, 0) == 0


def test_sigops_count_as_weight() -> None:
    assert adjusted_weight(400, 5, 20) == 400
    assert adjusted_weight(400, 100, 20) == 2000


def test_amounts_in_details() -> None:
    assert format_money(0) == "0.00"
    assert format_money(150_000_000) == "1.50"
    assert format_money(1) == "0.00000001"
    assert format_money(-123_456_789) == "-1.23456789"
    assert format_feerate(1000) == "0.00001000 BTC/kvB"


def test_defaults_are_those_of_31_99() -> None:
    settings = PolicySettings()
    assert (settings.min_relay_feerate, settings.incremental_relay_feerate) == (100, 100)
    assert (settings.dust_relay_feerate, settings.max_datacarrier_bytes) == (3000, 100_000)
    assert (settings.cluster_count, settings.cluster_size_vbytes) == (64, 101_000)
    assert (settings.max_size_bytes, settings.expiry) == (300_000_000, 14 * 24 * 3600)
    assert (settings.block_reserved_weight, settings.block_min_feerate) == (8000, 1)


def test_push_stack() -> None:
    pushed = push_stack(b"\x00\x51\x60\x4f\x02ab\x4c\x01c")
    assert pushed == ([b"", b"\x01", b"\x10", b"\x81", b"ab", b"c"], None)
    assert push_stack(b"\x51" * 1001)[1] == "Stack size limit exceeded"
    assert push_stack(b"\x4d\x09\x02" + bytes(521))[1] == "Push value size limit exceeded"
    for broken in (b"\x02a", b"\x4c", b"\x4d\x01", b"\x4e\x01\x00\x00\x00", b"\x50", b"\x76"):
        assert push_stack(broken)[1] == "Opcode missing or not understood"
