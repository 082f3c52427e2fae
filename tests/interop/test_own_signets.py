"""Bitcoin Core's daemon on signets of our own takes and refuses the blocks that we do (BIP 325)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from core_daemon import Core
from ports import make_ports
from running import running_chain

from pybitcoind.chain.consensus.signet import encode_solution, sign_block
from pybitcoind.chain.consensus.witness_commitment import generate_commitment
from pybitcoind.chain.nonce_search import grind
from pybitcoind.chain.params import signet
from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.hashes import sha256
from pybitcoind.chain.primitives.merkle import merkle_root
from pybitcoind.chain.primitives.transaction import NULL_OUTPOINT, Transaction, TxIn, TxOut
from pybitcoind.chain.script.secp import pubkey_of, sign_ecdsa
from pybitcoind.chain.script.sighash import TxDigests, segwit_v0_sighash

pytestmark = pytest.mark.interop

KEY = b"\x07" * 32
SCRIPT = b"\x21" + pubkey_of(KEY) + b"\xac"
KEY_CHALLENGE = b"\x00\x20" + sha256(SCRIPT)
TRUE_CHALLENGE = b"\x51"
BITS, TARGET = 0x1E0377AE, 0x377AE << 216
TIME = 1_600_000_000

Sign = Callable[[Transaction, Transaction], tuple[bytes, list[bytes]]]


def good(to_spend: Transaction, to_sign: Transaction) -> tuple[bytes, list[bytes]]:
    digest = segwit_v0_sighash(SCRIPT, to_sign, 0, 1, 0, TxDigests(to_sign, to_spend.vout))
    return b"", [sign_ecdsa(KEY, digest) + b"\x01", SCRIPT]


def other_key(to_spend: Transaction, to_sign: Transaction) -> tuple[bytes, list[bytes]]:
    digest = segwit_v0_sighash(SCRIPT, to_sign, 0, 1, 0, TxDigests(to_sign, to_spend.vout))
    return b"", [sign_ecdsa(b"\x08" * 32, digest) + b"\x01", SCRIPT]


def empty(to_spend: Transaction, to_sign: Transaction) -> tuple[bytes, list[bytes]]:
    return b"", []


@dataclass(frozen=True)
class Case:
    challenge: bytes
    sign: Sign | None
    """None: the block has no solution."""
    nonce: int
    """Found once: the search takes seconds."""
    token: str | None


BAD = "bad-signet-blksig"
CASES = {
    "signed": Case(KEY_CHALLENGE, good, 2_179_542, None),
    "another key": Case(KEY_CHALLENGE, other_key, 9_128_374, BAD),
    "empty solution": Case(KEY_CHALLENGE, empty, 5_610_992, BAD),
    "no solution": Case(KEY_CHALLENGE, None, 3_267_094, BAD),
    "anyone, no solution": Case(TRUE_CHALLENGE, None, 3_267_094, None),
    "anyone, a witness too many": Case(TRUE_CHALLENGE, good, 14_184_275, BAD),
}


def block_one(case: Case) -> Block:
    """The first block of the signet, with its proof of work."""
    params = signet(case.challenge)
    coinbase = Transaction.make([TxIn(NULL_OUTPOINT, b"\x51\x00")], [TxOut(50 * 10**8, b"\x51")])
    coinbase = generate_commitment([coinbase])
    root, _ = merkle_root([coinbase.txid])
    block = Block(BlockHeader(0x20000000, params.genesis.hash, root, TIME, BITS, 0), [coinbase])
    if case.sign is not None:
        block = sign_block(block, case.challenge, case.sign)
    h = block.header
    nonce, _ = grind(h.raw, TARGET, case.nonce)
    assert nonce is not None
    assert nonce == case.nonce, f"search found {nonce}: write it into CASES"
    return Block(BlockHeader(h.version, h.prev_hash, h.merkle_root, h.time, h.bits, nonce), block.vtx)


@contextmanager
def daemon(bitcoind: Path, folder: Path, challenge: bytes) -> Iterator[Core]:
    scene = SimpleNamespace(now=TIME, blocks=[])
    core = Core(bitcoind, folder, cast(Any, scene), f"-signetchallenge={challenge.hex()}", chain="signet")
    try:
        yield core
    finally:
        core.stop()


@pytest.mark.parametrize("challenge", [KEY_CHALLENGE, TRUE_CHALLENGE], ids=["key", "anyone"])
async def test_blocks(bitcoind: Path, tmp_path: Path, challenge: bytes) -> None:
    cases = {name: case for name, case in CASES.items() if case.challenge == challenge}
    with daemon(bitcoind, tmp_path, challenge) as core:
        async with running_chain(make_ports(now=TIME), params=signet(challenge)) as chain:
            for name in sorted(cases, key=lambda name: cases[name].token is None):  # the good one last
                block = block_one(cases[name])
                result = await chain.process_block(block, requested=True)
                ours = result.error.reason if result.error else None
                assert core.call("submitblock", block.raw.hex()) == ours == cases[name].token, name
            assert core.call("getbestblockhash") == chain.tip.hash[::-1].hex()
            assert chain.tip.height == 1


def test_a_solution_of_nothing_is_two_zeros() -> None:
    assert encode_solution(*empty(cast(Any, None), cast(Any, None))) == b"\0\0"
