"""The networks: numbers typed anew."""

from __future__ import annotations

import pytest

from pybitcoind.chain import params as networks
from pybitcoind.chain.params import NETWORKS
from pybitcoind.chain.primitives.block import Block

GENESIS = {
    "main": "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
    "testnet4": "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043",
    "signet": "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6",
    "regtest": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
}
WIRE = {
    "main": ("f9beb4d9", 8333, 8332, "bc", 0),
    "testnet4": ("1c163f28", 48333, 48332, "tb", 1),
    "signet": ("0a03cf40", 38333, 38332, "tb", 1),
    "regtest": ("fabfb5da", 18444, 18443, "bcrt", 1),
}
WORK = {
    "main": (2016, 210_000, False, False, False),
    "testnet4": (2016, 210_000, True, False, True),
    "signet": (2016, 210_000, False, False, False),
    "regtest": (144, 150, True, True, False),
}


def test_there_are_four() -> None:
    assert sorted(NETWORKS) == sorted(GENESIS)


@pytest.mark.parametrize("name", sorted(GENESIS))
def test_genesis(name: str) -> None:
    genesis = NETWORKS[name]().genesis
    assert genesis.hash[::-1].hex() == GENESIS[name]
    assert Block.decode(genesis.raw) == genesis
    assert genesis.vtx[0].is_coinbase and genesis.vtx[0].vout[0].value == 5_000_000_000


def test_first_transaction() -> None:
    (coinbase,) = networks.main().genesis.vtx
    assert coinbase.txid[::-1].hex() == "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
    assert b"Chancellor on brink of second bailout for banks" in coinbase.vin[0].script_sig
    assert networks.main().genesis.size == 285


@pytest.mark.parametrize("name", sorted(GENESIS))
def test_numbers(name: str) -> None:
    p = NETWORKS[name]()
    assert (p.magic.hex(), p.port, p.rpc_port, p.bech32_hrp, p.coin_type) == WIRE[name]
    assert p.is_test_chain is (name != "main")
    assert WORK[name] == (
        p.difficulty_interval,
        p.halving_interval,
        p.pow_allow_min_difficulty,
        p.pow_no_retargeting,
        p.enforce_bip94,
    )
    heights = (p.bip34_height, p.bip66_height, p.bip65_height, p.csv_height, p.segwit_height)
    assert heights == {
        "main": (227931, 363725, 388381, 419328, 481824),
        "regtest": (1, 1, 1, 1, 0),
    }.get(name, (1, 1, 1, 1, 1))


def test_signets_differ_by_their_challenge() -> None:
    own = networks.signet(b"\x51")
    assert own.signet_challenge == b"\x51" and own.magic != networks.signet().magic
    assert own.magic.hex() == "54d26fbd"
    assert own.genesis == networks.signet().genesis
    assert own.minimum_chainwork == 0 and own.dns_seeds == ()
