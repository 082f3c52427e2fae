"""Script bytes: building, reading, recognising, counting and printing."""

from __future__ import annotations

import pytest

from pybitcoind.chain.script import opcodes
from pybitcoind.chain.script.errors import ScriptError
from pybitcoind.chain.script.flags import MANDATORY_FLAGS, STANDARD_FLAGS, ScriptFlags, flag_names
from pybitcoind.chain.script.script import (
    ScriptNumError,
    ScriptParseError,
    count_p2sh_sigops,
    count_sigops,
    decode_num,
    find_and_delete,
    is_minimal_push,
    is_p2pk,
    is_p2sh,
    is_push_only,
    is_unspendable,
    is_witness_program,
    iter_ops,
    push_data,
    push_int,
    script_num,
    to_asm,
)
from pybitcoind.chain.script.solver import multisig_script, solve
from pybitcoind.chain.script.verify import count_witness_sigops

KEY = bytes.fromhex("02" + "11" * 32)
LONG_KEY = bytes.fromhex("04" + "22" * 64)


@pytest.mark.parametrize(
    ("number", "hexes"),
    [
        (0, ""),
        (1, "01"),
        (-1, "81"),
        (127, "7f"),
        (128, "8000"),
        (-128, "8080"),
        (255, "ff00"),
        (-255, "ff80"),
        (256, "0001"),
        (0x7FFFFFFF, "ffffff7f"),
        (-0x7FFFFFFF, "ffffffff"),
        (0x80000000, "0000008000"),
        (2**39 - 1, "ffffffff7f"),
        (-(2**39 - 1), "ffffffffff"),
    ],
)
def test_numbers(number: int, hexes: str) -> None:
    data = bytes.fromhex(hexes)
    assert script_num(number) == data
    assert decode_num(data, True, 5) == number


@pytest.mark.parametrize("hexes", ["00", "80", "0100", "0180", "ff7f00", "0080"])
def test_numbers_that_are_not_minimal(hexes: str) -> None:
    decode_num(bytes.fromhex(hexes), False)
    with pytest.raises(ScriptNumError):
        decode_num(bytes.fromhex(hexes), True)


def test_number_of_five_bytes_is_too_long() -> None:
    with pytest.raises(ScriptNumError):
        decode_num(bytes(5), False)


@pytest.mark.parametrize(
    ("size", "prefix"),
    [(0, "00"), (1, "01"), (75, "4b"), (76, "4c4c"), (255, "4cff"), (256, "4d0001"), (65536, "4e00000100")],
)
def test_push_data(size: int, prefix: str) -> None:
    data = b"\x55" * size
    script = push_data(data)
    assert script == bytes.fromhex(prefix) + data
    assert list(iter_ops(script)) == [(script[0], data, 0)]
    assert is_minimal_push(data, script[0])


def test_push_int() -> None:
    assert [push_int(n).hex() for n in (-1, 0, 1, 16, 17, -2, 500)] == [
        "4f",
        "00",
        "51",
        "60",
        "0111",
        "0182",
        "02f401",
    ]


@pytest.mark.parametrize("hexes", ["01", "4c", "4c01", "4d01", "4d0100", "4e010000", "4e0100000051"[:-2]])
def test_push_cut_short(hexes: str) -> None:
    script = bytes.fromhex("51" + hexes)
    with pytest.raises(ScriptParseError):
        list(iter_ops(script))
    assert not is_push_only(script)
    assert to_asm(script) == "1 [error]"
    assert count_sigops(b"\xac" + script, True) == 1


def test_recognising() -> None:
    assert is_p2pk(push_data(KEY) + b"\xac") and is_p2pk(push_data(LONG_KEY) + b"\xac")
    assert not is_p2pk(push_data(b"\x04" + KEY[1:]) + b"\xac")
    assert is_p2sh(b"\xa9\x14" + bytes(20) + b"\x87")
    assert is_witness_program(b"\x00\x14" + bytes(20)) == (0, bytes(20))
    assert is_witness_program(b"\x60\x02ab") == (16, b"ab")
    assert is_witness_program(b"\x51\x29" + bytes(41)) is None
    assert is_witness_program(b"\x51\x01a") is None
    assert is_witness_program(b"\x4f\x02ab") is None
    assert is_unspendable(b"\x6a") and is_unspendable(bytes(10_001)) and not is_unspendable(bytes(10_000))
    assert is_push_only(b"\x50\x60") and not is_push_only(b"\x61")


def test_sigops() -> None:
    multisig = multisig_script(1, [KEY, LONG_KEY])
    assert count_sigops(multisig, True) == 2
    assert count_sigops(multisig, False) == 20
    assert count_sigops(b"\xae\xaf\xac\xad", True) == 42
    assert count_sigops(push_data(b"\xac" * 5) + b"\x5a\x61\xae", True) == 20
    p2sh = b"\xa9\x14" + bytes(20) + b"\x87"
    assert count_p2sh_sigops(p2sh, b"\x00" + push_data(multisig)) == 2
    assert count_p2sh_sigops(p2sh, b"\x61" + push_data(multisig)) == 0
    assert count_p2sh_sigops(p2sh, push_data(multisig) + b"\x51") == 0
    assert count_p2sh_sigops(multisig, b"") == 2


def test_find_and_delete() -> None:
    """Cases after Core's script_FindAndDelete."""
    cases = [
        ("5152", "", "5152", 0),
        ("515253", "52", "5153", 1),
        ("5351535352535353", "53", "5152", 6),
        ("0302ff03", "0302ff03", "", 1),
        ("0302ff030302ff03", "0302ff03", "", 2),
        ("0302ff030302ff03", "02", "0302ff030302ff03", 0),
        ("0302ff030302ff03", "ff", "0302ff030302ff03", 0),
        ("0302ff030302ff03", "03", "02ff0302ff03", 2),
        ("02feed5169", "feed51", "02feed5169", 0),
        ("02feed5169", "02feed51", "69", 1),
        ("516902feed5169", "feed51", "516902feed5169", 0),
        ("0003feed", "03feed", "00", 1),
        ("0003feed", "00", "03feed", 1),
    ]
    for script, pattern, want, found in cases:
        assert find_and_delete(bytes.fromhex(script), bytes.fromhex(pattern)) == (bytes.fromhex(want), found)


def test_asm() -> None:
    assert to_asm(bytes.fromhex("76a914" + "ab" * 20 + "88ac")) == (
        "OP_DUP OP_HASH160 " + "ab" * 20 + " OP_EQUALVERIFY OP_CHECKSIG"
    )
    assert to_asm(bytes.fromhex("004f5160b1bafeff04ffffffff050000000000")) == (
        "0 -1 1 16 OP_CHECKLOCKTIMEVERIFY OP_CHECKSIGADD OP_UNKNOWN OP_INVALIDOPCODE -2147483647 0000000000"
    )
    signature = bytes.fromhex("3006020101020101")
    assert to_asm(push_data(signature + b"\x81"), True) == signature.hex() + "[ALL|ANYONECANPAY]"
    assert to_asm(push_data(signature + b"\x81")) == signature.hex() + "81"
    assert to_asm(push_data(signature + b"\x04"), True) == signature.hex() + "04"
    assert to_asm(b"\x6a" + push_data(signature + b"\x01"), True) == "OP_RETURN " + signature.hex() + "01"


def test_solve() -> None:
    assert solve(multisig_script(1, [KEY, LONG_KEY])) == ("multisig", [b"\x01", KEY, LONG_KEY, b"\x02"])
    for bad in ("00", "53", "0101"):  # no signature, more than keys, not minimally pushed
        assert solve(bytes.fromhex(bad) + push_data(KEY) * 2 + b"\x52\xae")[0] == "nonstandard"
    keys = [KEY] * 20
    assert solve(multisig_script(17, keys)) == ("multisig", [b"\x11", *keys, b"\x14"])
    assert solve(multisig_script(1, [KEY] * 21))[0] == "nonstandard"
    assert solve(b"\x6a\x50\x01a") == ("nulldata", [])
    assert solve(b"\x6a\x61") == ("nonstandard", [])
    assert solve(b"\x51\x02\x4e\x73") == ("anchor", [])
    assert solve(b"\x52\x02\x4e\x73") == ("witness_unknown", [b"\x02", b"\x4e\x73"])
    assert solve(b"\x00\x02\x4e\x73") == ("nonstandard", [])
    assert solve(b"") == ("nonstandard", [])
    assert solve(push_data(LONG_KEY) + b"\xac") == ("pubkey", [LONG_KEY])


def test_names() -> None:
    assert opcodes.OPCODE_NAMES[0] == "0" and opcodes.OPCODE_NAMES[0xB1] == "OP_CHECKLOCKTIMEVERIFY"
    assert len(opcodes.OPCODE_NAMES) == 113
    assert opcodes.is_op_success(80) and opcodes.is_op_success(254) and not opcodes.is_op_success(255)
    assert len(opcodes.OP_SUCCESSES) == 87  # BIP 342
    assert flag_names(MANDATORY_FLAGS) == [
        "CHECKLOCKTIMEVERIFY",
        "CHECKSEQUENCEVERIFY",
        "DERSIG",
        "NULLDUMMY",
        "P2SH",
        "TAPROOT",
        "WITNESS",
    ]
    assert len(flag_names(STANDARD_FLAGS)) == 20 and ScriptFlags.SIGPUSHONLY not in STANDARD_FLAGS
    assert len(ScriptError) == 54


def test_witness_sigops() -> None:
    """BIP 141: one for a key hash, the count of its script for a script hash, none for taproot."""
    script = multisig_script(1, [KEY, LONG_KEY]) + b"\xac"
    flags = ScriptFlags.P2SH | ScriptFlags.WITNESS
    key_hash, script_hash = b"\x00\x14" + bytes(20), b"\x00\x20" + bytes(32)
    assert count_witness_sigops(b"", key_hash, [], flags) == 1
    assert count_witness_sigops(b"", key_hash, [], ScriptFlags.P2SH) == 0
    assert count_witness_sigops(b"", script_hash, [b"", script], flags) == 3
    assert count_witness_sigops(b"", script_hash, [], flags) == 0
    assert count_witness_sigops(b"", b"\x51" + script_hash[1:], [b"", script], flags) == 0
    p2sh = b"\xa9\x14" + bytes(20) + b"\x87"
    assert count_witness_sigops(push_data(script_hash), p2sh, [b"", script], flags) == 3
    assert count_witness_sigops(b"\x00" + push_data(key_hash), p2sh, [], flags) == 1
    assert count_witness_sigops(b"\x61" + push_data(key_hash), p2sh, [], flags) == 0
    assert count_witness_sigops(push_data(key_hash)[:-1], p2sh, [], flags) == 0
    assert count_witness_sigops(b"", p2sh, [script], flags) == 0
