"""Chains of one's own: what a description gives, and the one line that a wrong one gets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pybitcoind.chain.consensus.pow import bits_to_target, check_proof_of_work
from pybitcoind.chain.custom_chain import ChainDefinitionError, parse_chain
from pybitcoind.chain.params import NETWORKS, regtest
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.script.address import PubKeyHash, WitnessV0KeyHash, decode_address, encode_address
from pybitcoind.chain.storage.coin_store import network_name

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = (ROOT / "configs" / "chains" / "example.toml").read_text()
LEAST = 'name = "own"\nmagic = "01020304"\n'
RETARGETS = "pow.no_retargeting = false\n"


def test_what_is_left_out_is_as_on_regtest() -> None:
    own, known = parse_chain(LEAST), regtest()
    assert (own.name, own.subdir, own.magic) == ("own", "own", bytes.fromhex("01020304"))
    assert (
        own.genesis.vtx == known.genesis.vtx and own.genesis.header.raw[:76] == known.genesis.header.raw[:76]
    )
    assert (own.pow_limit, own.difficulty_interval, own.halving_interval) == (2**255 - 1, 144, 150)
    assert own.pow_no_retargeting and own.pow_allow_min_difficulty and own.mockable and own.is_test_chain
    assert (own.bech32_hrp, own.port, own.rpc_port, own.dns_seeds) == ("bcrt", 18444, 18443, ())
    assert own.deployments == known.deployments


def test_the_example_says_all() -> None:
    own = parse_chain(EXAMPLE)
    assert (own.name, own.magic.hex(), own.port, own.rpc_port) == ("example", "d1ffc0de", 28444, 28443)
    assert (own.pow_target_spacing, own.difficulty_interval, own.pow_target_timespan) == (10, 144, 1440)
    assert not own.pow_no_retargeting and not own.pow_allow_min_difficulty and not own.enforce_bip94
    assert own.pow_limit == int("0007ff" + "f" * 58, 16)
    header = own.genesis.header
    assert (header.time, header.version, f"{header.bits:08x}") == (1700000000, 1, "1f07ffff")
    assert own.genesis.vtx[0].vout[0].value == 50 * 10**8
    assert b"a chain of one's own" in own.genesis.vtx[0].vin[0].script_sig
    assert own.deployments["testdummy"].threshold == 108
    key = bytes(range(20))
    assert encode_address(WitnessV0KeyHash(key), own).startswith("ex1q")
    assert decode_address(encode_address(PubKeyHash(key), own), own) == PubKeyHash(key)


def test_a_genesis_without_nonce_is_mined_the_same_each_time() -> None:
    mined = parse_chain(re.sub("(?m)^nonce = .*$", "", EXAMPLE))
    assert mined.genesis == parse_chain(EXAMPLE).genesis
    assert check_proof_of_work(mined.genesis.hash, mined.genesis.header.bits, mined)
    assert int(hash_hex(mined.genesis.hash), 16) <= bits_to_target(0x1F07FFFF)[0]


def test_a_deployment_of_any_name() -> None:
    row = "[deployments.quantum]\nbit = 3\nperiod = 20\nmin_activation_height = 60\n"
    own = parse_chain(LEAST + "[deployments]\nsegwit = 30\n" + row)
    assert own.segwit_height == 30
    quantum = own.deployments["quantum"]
    assert (quantum.bit, quantum.period, quantum.threshold, quantum.min_activation_height) == (3, 20, 15, 60)
    assert list(own.deployments) == ["testdummy", "quantum"]


def test_a_definition_is_told_by_what_it_means() -> None:
    """Ports, comments and order of the text do not count; a rule does."""
    one = parse_chain(EXAMPLE)
    assert network_name(one) == f"example/{one.definition}" and len(one.definition) == 16
    same = parse_chain(EXAMPLE.replace("p2p = 28444", "p2p = 1") + "# the end\n")
    assert same.definition == one.definition
    for old, new in (
        ("spacing = 10 ", "spacing = 11 "),
        ("interval = 144 ", "interval = 100 "),
        ('magic = "d1ffc0de"', 'magic = "d1ffc0df"'),
        ("segwit = 0", "segwit = 1"),
        ("threshold = 108", "threshold = 109"),
        ('hrp = "ex"', 'hrp = "xe"'),
        ("bip94 = false", "bip94 = true"),
    ):
        assert old in EXAMPLE
        assert parse_chain(EXAMPLE.replace(old, new)).definition != one.definition, new


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "name: is missing"),
        ("name = 'own'", "magic: is missing"),
        ("name = [", "not TOML: "),
        ("name = " + "9" * 5000, "not TOML: "),
        ("name = " + "[" * 5000, "not TOML: "),
        ("name = 7\nmagic = '01020304'", "name: 7 is not a name"),
        ("name = '../x'\nmagic = '01020304'", 'name: "../x" is not a name'),
        ("name = '''a\nb'''\nmagic = '01020304'", r'name: "a\nb" is not a name'),
        *(
            (f"name = '{name}'\nmagic = '01020304'", f'name: "{name}" is not free; taken are')
            for name in ("main", "test", "testnet4", "signet", "regtest", "blocks")
        ),
        ("name = 'own'\nmagic = '010203'", 'magic: "010203" is not 4 bytes as hex'),
        ("name = 'own'\nmagic = 16909060", "magic: 16909060 is not 4 bytes as hex"),
        (LEAST + "colour = 1", "colour: unknown key; there are name, magic, halving_interval, ports, pow"),
        (LEAST + '"a b" = 1', '"a b": unknown key'),
        (LEAST + "halving_interval = 0", "halving_interval: 0 is not a whole number from 1"),
        (LEAST + "ports = 5", "ports: 5 is not a table"),
        (LEAST + "ports.p2p = 65536", "ports.p2p: 65536 is not a whole number from 1 to 65535"),
        (LEAST + "ports.p2p = true", "ports.p2p: true is not a whole number"),
        (LEAST + "ports.p2p = 18443", "ports.rpc: 18443 is ports.p2p as well"),
        (LEAST + "ports.udp = 1", "ports.udp: unknown key; there are p2p, rpc"),
        (LEAST + "pow.interval = 0", "pow.interval: 0 is not a whole number from 1"),
        (
            LEAST + "pow.interval = 1\npow.no_retargeting = false",
            "pow.interval: 1 is not a whole number from 2",
        ),
        (LEAST + "pow.spacing = 0", "pow.spacing: 0 is not"),
        (LEAST + "pow.spacing = 1.5", "pow.spacing: 1.5 is not a whole number"),
        (
            LEAST + "pow.spacing = 1\npow.interval = 2\npow.no_retargeting = false",
            "pow.spacing: 1 is too short",
        ),
        (LEAST + "pow.limit = 'xyz'", 'pow.limit: "xyz" is not the leading digits'),
        (LEAST + "pow.limit = '8'", "pow.limit: 8fffffff"),
        (LEAST + "pow.limit = '" + "0" * 64 + "'", "pow.limit: 000000000000"),
        (LEAST + RETARGETS + "pow.limit = '7f'", "pow.limit: 7fffffff"),
        (LEAST + "pow.bip94 = 1", "pow.bip94: 1 is not true or false"),
        (LEAST + "genesis.bits = '207fffff00'", 'genesis.bits: "207fffff00" is not 4 bytes'),
        (LEAST + "genesis.bits = '2100ffff'", "genesis.bits: 2100ffff is no target, or is above pow.limit"),
        (LEAST + "genesis.bits = '00000000'", "genesis.bits: 00000000 is no target"),
        (
            LEAST + "genesis.bits = '1d00ffff'",
            "genesis.nonce: is missing, and to find one would take some 4295032833",
        ),
        (
            LEAST + "genesis.bits = '1d00ffff'\ngenesis.nonce = 0",
            "genesis.nonce: 0 gives a block that does not meet the target of 1d00ffff; without nonce one",
        ),
        (LEAST + "genesis.nonce = -1", "genesis.nonce: -1 is not a whole number from 0"),
        (LEAST + "genesis.time = 0", "genesis.time: 0 is not"),
        (LEAST + "genesis.text = '" + "x" * 92 + "'", "genesis.text: "),
        (LEAST + "genesis.key = '02'", 'genesis.key: "02" is not 33 or 65 bytes'),
        (LEAST + "genesis.reward = 50.0", "genesis.reward: 50.0 is not a whole number from 0"),
        (LEAST + "genesis.version = 4_294_967_296", "genesis.version: 4294967296 is not"),
        (LEAST + "deployments.csv = -1", "deployments.csv: -1 is not"),
        (LEAST + "deployments.taproot = 1", "deployments.taproot: unknown key; there are bip34"),
        (LEAST + "[deployments.a]", "deployments.a.bit: is missing"),
        (LEAST + "[deployments.a]\nbit = 29", "deployments.a.bit: 29 is not a whole number from 0 to 28"),
        (LEAST + "[deployments.a]\nbit = 28", "deployments.a.bit: 28 is testdummy's"),
        (LEAST + "[deployments.a]\nbit = 1\nthreshold = 145", "deployments.a.threshold: 145 is not"),
        (LEAST + "[deployments.A]\nbit = 1", "deployments.A: a deployment's name"),
        (LEAST + "addresses.pubkey = 256", "addresses.pubkey: 256 is not"),
        (LEAST + "addresses.script = 111", "addresses.script: 111 is addresses.pubkey as well"),
        (LEAST + "addresses.hrp = 'BC'", 'addresses.hrp: "BC" is not 1 to 16'),
        (LEAST + "addresses.xprv = '043587cf'", "addresses.xprv: 043587cf is addresses.xpub as well"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ChainDefinitionError) as caught:
        parse_chain(text)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_no_built_in_name_is_free() -> None:
    for name in NETWORKS:
        with pytest.raises(ChainDefinitionError, match="is not free"):
            parse_chain(f"name = '{name}'\nmagic = '01020304'")
