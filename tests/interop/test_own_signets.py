"""Bitcoin Core's daemon on signets of our own takes and refuses the blocks that we do (BIP 325).

Work takes seconds a block, so some blocks have their nonces here. Others share a header with work whose
merkle root is of no transactions: the solution is looked at before that, so hypothesis draws any number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from core_daemon import Core
from hypothesis import strategies as st
from ports import make_ports
from running import running_chain
from test_daemon_oracle_drawn import drawn

from pybitcoind.chain.consensus.blocks import check_block
from pybitcoind.chain.consensus.errors import BlockInvalid
from pybitcoind.chain.consensus.signet import SIGNET_HEADER, _with_commitment, encode_solution, sign_block
from pybitcoind.chain.consensus.witness_commitment import generate_commitment
from pybitcoind.chain.nonce_search import grind
from pybitcoind.chain.params import signet
from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.hashes import hash160, sha256
from pybitcoind.chain.primitives.merkle import merkle_root
from pybitcoind.chain.primitives.transaction import NULL_OUTPOINT, OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script.script import push_data
from pybitcoind.chain.script.secp import pubkey_of, sign_ecdsa
from pybitcoind.chain.script.sighash import TxDigests, legacy_sighash, segwit_v0_sighash

pytestmark = pytest.mark.interop

KEY = b"\x07" * 32
SCRIPT = b"\x21" + pubkey_of(KEY) + b"\xac"
KEY_CHALLENGE = b"\x00\x20" + sha256(SCRIPT)
TRUE_CHALLENGE = b"\x51"
BITS, TARGET = 0x1E0377AE, 0x377AE << 216
TIME = 1_600_000_000

Solution = tuple[bytes, list[bytes]]
"""scriptSig and witness."""
Sign = Callable[[Transaction, Transaction], Solution]


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


HEADER_NONCE = 64_423
"""Of a header that commits to no transactions."""
OTHER_KEY = b"\x08" * 32
KEY_HASH = hash160(pubkey_of(KEY))
EITHER = b"\x51\x21" + pubkey_of(OTHER_KEY) + b"\x21" + pubkey_of(KEY) + b"\x52\xae"
CHALLENGES = {
    "anyone": TRUE_CHALLENGE,
    "p2wsh": KEY_CHALLENGE,
    "p2wpkh": b"\x00\x14" + KEY_HASH,
    "bare multisig": EITHER,
    "p2sh-p2wsh": b"\xa9\x14" + hash160(b"\x00\x20" + sha256(EITHER)) + b"\x87",
    "taproot": b"\x51\x20" + pubkey_of(KEY)[1:],
}
TYPES = (1, 1, 1, 2, 3, 0x81, 0x82, 0x83, 0, 4)
small = st.binary(max_size=5)


def header_of_nothing() -> BlockHeader:
    genesis = signet(TRUE_CHALLENGE).genesis
    header = BlockHeader(0x20000000, genesis.hash, bytes(32), TIME, BITS, HEADER_NONCE)
    nonce, _ = grind(header.raw, TARGET, HEADER_NONCE)
    assert nonce == HEADER_NONCE, f"search found {nonce}: write it into HEADER_NONCE"
    return header


def solve(name: str, kind: int, key: bytes, to_spend: Transaction, to_sign: Transaction) -> Solution:
    """The scriptSig and witness by which key opens the challenge, with that hash type."""
    digests = TxDigests(to_sign, to_spend.vout)
    tail = bytes((kind,))
    if name == "bare multisig":
        return b"\x00" + push_data(sign_ecdsa(key, legacy_sighash(EITHER, to_sign, 0, kind)) + tail), []
    if name == "p2wpkh":
        code = b"\x76\xa9\x14" + KEY_HASH + b"\x88\xac"
        signature = sign_ecdsa(key, segwit_v0_sighash(code, to_sign, 0, kind, 0, digests)) + tail
        return b"", [signature, pubkey_of(KEY)]
    script = EITHER if name == "p2sh-p2wsh" else SCRIPT
    signature = sign_ecdsa(key, segwit_v0_sighash(script, to_sign, 0, kind, 0, digests)) + tail
    if name == "p2sh-p2wsh":
        return push_data(b"\x00\x20" + sha256(EITHER)), [b"", signature, EITHER]
    return (b"", [signature, SCRIPT]) if name == "p2wsh" else (b"", [])


def drawn_block(name: str, header: BlockHeader, data: st.DataObject) -> Block:
    """A block of that header whose solution is right, or anything but."""
    draw, challenge = data.draw, CHALLENGES[name]
    coinbase = Transaction.make([TxIn(NULL_OUTPOINT, b"\x51\x00")], [TxOut(50 * 10**8, b"\x51")])
    txs = [
        coinbase,
        *(
            Transaction.make([TxIn(OutPoint(bytes([n]) * 32, 0))], [TxOut(1, b"")])
            for n in range(draw(st.integers(0, 2)))
        ),
    ]
    txs[0] = generate_commitment(txs)
    block = Block(header, txs)
    kind, key = draw(st.sampled_from(TYPES)), draw(st.sampled_from([KEY, KEY, KEY, OTHER_KEY]))
    before, behind, other = draw(small), draw(small), draw(st.integers(0, 9))

    def sign(to_spend: Transaction, to_sign: Transaction) -> Solution:
        script_sig, witness = solve(name, kind, key, to_spend, to_sign)
        if other == 1:
            witness = [*witness, draw(small)]
        elif other == 2:
            script_sig += draw(small)
        elif other == 3 and witness:
            at = draw(st.integers(0, len(witness) - 1))
            witness = [*witness[:at], draw(small), *witness[at + 1 :]]
        return script_sig, witness

    script = txs[0].vout[1].script_pubkey + (push_data(before) if before else b"")
    block = _with_commitment(block, 1, script)
    if other == 4:
        return Block(header, block.vtx)
    signed = sign_block(block, challenge, sign)
    script = signed.vtx[0].vout[1].script_pubkey
    if other == 5:
        script = script[: len(script) - draw(st.integers(1, 8))]
    elif other == 6:
        at = draw(st.integers(38, len(script) - 1))
        script = script[:at] + bytes((script[at] ^ draw(st.integers(1, 255)),)) + script[at + 1 :]
    elif other == 7:
        script += push_data(SIGNET_HEADER + draw(small))
    elif other == 8:
        script += push_data(behind) if behind else b"\x60"
    elif other == 9:
        script = block.vtx[0].vout[1].script_pubkey + push_data(SIGNET_HEADER + draw(st.binary(max_size=40)))
    return Block(header, _with_commitment(signed, 1, script).vtx)


@pytest.fixture(scope="module", params=CHALLENGES)
def own_signet(
    request: pytest.FixtureRequest, bitcoind: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Core, Counter[str]]]:
    name: str = request.param
    told = Counter[str]()
    with daemon(bitcoind, tmp_path_factory.mktemp("signet"), CHALLENGES[name]) as core:
        yield name, core, told
    print(name, dict(told))


@drawn(60, data=st.data())
def test_solutions_that_hypothesis_draws(
    own_signet: tuple[str, Core, Counter[str]], data: st.DataObject
) -> None:
    name, core, told = own_signet
    block = drawn_block(name, header_of_nothing(), data)
    with pytest.raises(BlockInvalid) as caught:
        check_block(block, signet(CHALLENGES[name]))
    token = core.call("submitblock", block.raw.hex())
    told[token] += 1
    assert token == caught.value.reason
    assert token in (BAD, "bad-txnmrklroot"), "nothing but the solution is looked at before the merkle root"
