"""Block filters against the vectors of BIP 158 and Core, and what they must say no to."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pybitcoind.chain.block_filter import BlockFilter, basic_elements, filter_header
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_from_hex
from pybitcoind.chain.primitives.serialize import DecodeError
from pybitcoind.chain.primitives.transaction import Coin

VECTORS = ("core/blockfilters.json", "bips/bip-0158-testnet-19.json")
KEY = bytes(range(32))


def rows(shared: Path, name: str) -> list[list[Any]]:
    return [row for row in json.loads((shared / "vectors" / name).read_text()) if len(row) == 8]


def spent(scripts: list[str]) -> list[list[Coin]]:
    return [[Coin(0, bytes.fromhex(script), 1, False)] for script in scripts]


@pytest.mark.parametrize("name", VECTORS)
def test_vectors(shared: Path, name: str, ran: Callable[[str, object], None]) -> None:
    found = rows(shared, name)
    assert len(found) == 10
    ran(name, f"{len(found)} blocks")
    for _, block_hash, raw, scripts, prev_header, encoded, header, note in found:
        block = Block.decode(bytes.fromhex(raw))
        assert block.hash == hash_from_hex(block_hash)
        built = BlockFilter.of_block(block, spent(scripts))
        assert built.encoded.hex() == encoded, note
        assert built.header(hash_from_hex(prev_header)) == hash_from_hex(header)
        assert filter_header(built.hash, hash_from_hex(prev_header)) == hash_from_hex(header)
        received = BlockFilter(block.hash, bytes.fromhex(encoded))
        elements = basic_elements(block, spent(scripts))
        assert received.count == len(elements)
        assert all(received.match(script) for script in elements)


def test_no_elements() -> None:
    empty = BlockFilter.of_elements(KEY, [])
    assert empty.encoded == b"\x00"
    assert not empty.match(b"\x51") and not empty.match_any([])
    assert BlockFilter(KEY, b"\x00").count == 0


def test_matches() -> None:
    seed = 158
    print("seed", seed)
    rng = random.Random(seed)
    inside = [rng.randbytes(rng.randrange(1, 40)) for _ in range(500)]
    outside = [b"no" + rng.randbytes(30) for _ in range(500)]
    made = BlockFilter.of_elements(KEY, [*inside, *inside[:5]])
    assert made.count == 500
    assert made.encoded == BlockFilter.of_elements(KEY, reversed(inside)).encoded
    assert all(made.match(script) for script in inside)
    assert sum(made.match(script) for script in outside) == 0
    assert made.match_any([*outside, inside[77]])
    assert not made.match_any(outside)
    assert not made.match_any([])
    assert not BlockFilter.trusted(bytes(32), made.encoded).match_any(inside)  # another block's key


def test_what_counts_as_an_element(shared: Path) -> None:
    block = Block.decode(bytes.fromhex(rows(shared, VECTORS[0])[0][2]))
    coins = [
        Coin(0, b"\x51", 1, False),
        Coin(0, b"", 1, False),
        Coin(0, b"\x6a", 1, False),
        Coin(0, b"\x51", 2, True),
    ]
    assert basic_elements(block, [coins]) == {block.vtx[0].vout[0].script_pubkey, b"\x51", b"\x6a"}


def test_broken_encodings() -> None:
    good = BlockFilter.of_elements(KEY, [bytes((i,)) for i in range(50)]).encoded
    assert BlockFilter(KEY, good).count == 50
    for size in range(len(good)):
        with pytest.raises(DecodeError):
            BlockFilter(KEY, good[:size])
    with pytest.raises(DecodeError, match="excess data"):
        BlockFilter(KEY, good + b"\x00")
    with pytest.raises(DecodeError):
        BlockFilter(KEY, bytes((51,)) + good[1:])
    with pytest.raises(DecodeError):
        BlockFilter(KEY, b"\xff" + b"\xff" * 8 + good[1:])
    with pytest.raises(DecodeError):
        BlockFilter(KEY, b"\x01\xff\xff\xff\xff")  # ones without end


def test_garbage_only_raises_decode_errors() -> None:
    seed = 2026
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(2000):
        with suppress(DecodeError):
            BlockFilter(KEY, rng.randbytes(rng.randrange(60)))
