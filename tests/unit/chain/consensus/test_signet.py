"""Signet solutions: blocks of the public signet, and blocks with challenges of our own."""

from __future__ import annotations

import pytest
from scene import Scene, make_scene

from pybitcoind.chain.consensus.blocks import check_block
from pybitcoind.chain.consensus.errors import BlockInvalid
from pybitcoind.chain.consensus.signet import check_signet_solution, sign_block, signet_transactions
from pybitcoind.chain.params import signet
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import sha256
from pybitcoind.chain.primitives.transaction import Transaction, TxOut
from pybitcoind.chain.script.secp import pubkey_of, sign_ecdsa
from pybitcoind.chain.script.sighash import TxDigests, segwit_v0_sighash

BLOCK_1 = bytes.fromhex(
    "00000020f61eee3b63a380a477a063af32b2bbc97c9ff9f01f2c4225e973988108000000f575c83235984e7dc4afc1f30944c1"
    "70462e84437ab6f2d52e16878a79e4678bd1914d5fae77031eccf4070001010000000001010000000000000000000000000000"
    "000000000000000000000000000000000000ffffffff025151feffffff0200f2052a010000001600149243f727dd5343293eb8"
    "3174324019ec16c2630f0000000000000000776a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48beb"
    "d836974e8cf94c4fecc7daa2490047304402205e423a8754336ca99dbe16509b877ef1bf98d008836c725005b3c787c41ebe46"
    "022047246e4467ad7cc7f1ad98662afcaf14c115e0095a227c7b05c5182591c23e7e0100012000000000000000000000000000"
    "0000000000000000000000000000000000000000000000"
)
BLOCK_2 = bytes.fromhex(
    "00000020533b53ded9bff4adc94101d32400a144c54edc5ed492a3b26c63b2d686000000b38fef50592017cfafbcab88eb3d9c"
    "f50b2c801711cad8299495d26df5e54812e7914d5fae77031ecfdd0b0001010000000001010000000000000000000000000000"
    "000000000000000000000000000000000000ffffffff025251feffffff0200f2052a01000000160014fd09839740f0e0b4fc6d"
    "5e2527e4022aa9b89dfa0000000000000000776a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48beb"
    "d836974e8cf94c4fecc7daa24900473044022031d64a1692cdad1fc0ced69838169fe19ae01be524d831b95fcf5ea4e6541c3c"
    "02204f9dea0801df8b4d0cd0857c62ab35c6c25cc47c930630dc7fe723531daa3e9b0100012000000000000000000000000000"
    "0000000000000000000000000000000000000000000000"
)
TRUE = signet(b"\x51")


@pytest.mark.parametrize("raw", [BLOCK_1, BLOCK_2], ids=["1", "2"])
def test_public_blocks(raw: bytes) -> None:
    block = Block.decode(raw)
    check_block(block, signet())
    two_of_two = b"\x52" + signet().signet_challenge[1:]
    with pytest.raises(BlockInvalid) as caught:
        check_block(block, signet(two_of_two))
    assert str(caught.value) == "bad-signet-blksig, signet block signature validation failure"
    check_block(block, signet(two_of_two), check_pow=False)  # looked at with the work only


@pytest.mark.parametrize("offset", [0, 5, 40, 70])
def test_all_of_the_header_but_bits_and_nonce_is_signed(offset: int) -> None:
    raw = bytearray(BLOCK_1)
    raw[offset] ^= 1
    block = Block.decode(bytes(raw))
    # the root that stands in the header is not signed as such, but made anew from the transactions
    assert check_signet_solution(block, signet()) is (offset == 40)
    for free in (72, 76):
        raw = bytearray(BLOCK_1)
        raw[free] ^= 1
        assert check_signet_solution(Block.decode(bytes(raw)), signet())


def test_the_transactions_are_signed() -> None:
    block = Block.decode(BLOCK_1)
    coinbase = block.vtx[0]
    more = Transaction.make(coinbase.vin, [TxOut(1, b"\x51"), *coinbase.vout], witness=coinbase.witness)
    assert not check_signet_solution(Block(block.header, [more]), signet())
    assert not check_signet_solution(Block(block.header, [coinbase, coinbase]), signet())


def with_script(script: bytes) -> Block:
    block = Block.decode(BLOCK_1)
    coinbase = block.vtx[0]
    return Block(block.header, [Transaction.make(coinbase.vin, [TxOut(0, script)], witness=coinbase.witness)])


COMMITMENT = bytes.fromhex("6a24aa21a9ed") + bytes(32)


@pytest.mark.parametrize(
    ("rest", "read"),
    [
        ("", True),  # no solution at all
        ("04ecc7daa2", True),  # the header alone is none
        ("05ecc7daa200", False),  # cut short
        ("06ecc7daa20000", True),  # both empty
        ("07ecc7daa2000000", False),  # a byte too much
        ("08ecc7daa200010100", True),
        ("06ecc7daa20001", False),
        ("06ecc7daa20000" + "06ecc7daa2ffff", True),  # the first counts
    ],
)
def test_how_solutions_are_read(rest: str, read: bool) -> None:
    block = with_script(COMMITMENT + bytes.fromhex(rest))
    assert (signet_transactions(block, b"\x51") is not None) is read


def test_challenge_that_anyone_meets() -> None:
    assert check_signet_solution(with_script(COMMITMENT), TRUE)
    assert check_signet_solution(with_script(COMMITMENT + b"\x06\xec\xc7\xda\xa2\x00\x00"), TRUE)
    # A witness where none is asked for.
    assert not check_signet_solution(with_script(COMMITMENT + b"\x08\xec\xc7\xda\xa2\x00\x01\x01\x00"), TRUE)
    assert not check_signet_solution(with_script(b"\x51"), TRUE)  # no commitment
    assert check_signet_solution(TRUE.genesis, signet(b"\x00"))


def test_the_solution_is_cut_out_and_the_rest_pushed_anew() -> None:
    """What is signed has the shortest pushes, whatever the block has, and ends where a push is cut short."""
    solution = b"\x06\xec\xc7\xda\xa2\x00\x00"
    plain = signet_transactions(with_script(COMMITMENT + solution + b"\x01a"), b"\x51")
    long = signet_transactions(with_script(COMMITMENT + b"\x4c" + solution + b"\x4c\x01a"), b"\x51")
    cut = signet_transactions(with_script(COMMITMENT + solution + b"\x01a\x09abc"), b"\x51")
    assert plain is not None and long is not None and cut is not None
    assert plain[0] == long[0] == cut[0]
    unsolved = signet_transactions(with_script(COMMITMENT + b"\x04\xec\xc7\xda\xa2\x01a"), b"\x51")
    assert unsolved is not None and unsolved[0] == plain[0]


def test_signing() -> None:
    """A witness challenge of one key; what is signed is what is checked."""
    key = b"\x07" * 32
    script = b"\x21" + pubkey_of(key) + b"\xac"
    challenge = b"\x00\x20" + sha256(script)
    params = signet(challenge)
    scene: Scene = make_scene()
    unsigned = scene.block(scene.spend(scene.mature[0]))
    assert not check_signet_solution(unsigned, params)

    def sign(to_spend: Transaction, to_sign: Transaction) -> tuple[bytes, list[bytes]]:
        digests = TxDigests(to_sign, to_spend.vout)
        digest = segwit_v0_sighash(script, to_sign, 0, 1, 0, digests)
        return b"", [sign_ecdsa(key, digest) + b"\x01", script]

    signed = sign_block(unsigned, challenge, sign)
    assert check_signet_solution(signed, params)
    assert not check_signet_solution(signed, signet(b"\x00\x20" + sha256(b"\x51")))
    assert signed.vtx[1:] == unsigned.vtx[1:]
    with pytest.raises(ValueError, match="needs a witness commitment"):
        sign_block(scene.block(), challenge, sign)
