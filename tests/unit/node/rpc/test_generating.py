"""The search for a nonce by RPC: how many hashes it tries, and that it leaves the loop to others."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ports import make_ports

from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.node.rpc.errors import RpcError
from pybitcoind.node.rpc.generating import PIECE, descriptor_script, search

HOPELESS = 0x03000001
"""Bits of the target 1."""
KEY = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"


def context() -> Any:
    return cast(
        Any, SimpleNamespace(clock=make_ports().clock, node=SimpleNamespace(stopping=asyncio.Event()))
    )


def block(bits: int) -> Block:
    genesis = regtest().genesis
    old = genesis.header
    return Block(BlockHeader(4, old.prev_hash, old.merkle_root, old.time, bits, 0), genesis.vtx)


async def test_hopeless_search_lets_others_run() -> None:
    ctx, turns = context(), 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(other())
    assert await search(ctx, block(HOPELESS), 20 * PIECE) == (None, 0)
    task.cancel()
    assert turns >= 19


async def test_search_ends_when_the_node_stops() -> None:
    ctx = context()
    ctx.node.stopping.set()
    assert await search(ctx, block(HOPELESS), 10**9) == (None, 10**9)


async def test_tries_are_counted_as_by_core() -> None:
    """The hash that meets the target costs no try; with no tries left none is looked at."""
    ctx, easy = context(), block(0x207FFFFF)
    found, left = await search(ctx, easy, 1000)
    assert found is not None and left == 1000 - found.header.nonce
    assert await search(ctx, easy, found.header.nonce) == (None, 0)
    assert await search(ctx, easy, found.header.nonce + 1) == (found, 1)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("raw(51)", "51"),
        (f"pk({KEY})", f"21{KEY}ac"),
        (f"combo({KEY})", "0014751e76e8199196d454941c45d1b3a323f1433bd6"),
    ],
)
def test_script_of_descriptor(text: str, script: str) -> None:
    assert descriptor_script(text, regtest()).hex() == script


def test_descriptor_of_many_scripts() -> None:
    xpub = (
        "tpubD6NzVbkrYhZ4WaWSyoBvQwbpLkojyoTZPRsgXELWz3Popb3qkjcJyJUGLnL4q"
        "HHoQvao8ESaAstxYSnhyswJ76uZPStJRJCTKvosUCJZL5B"
    )
    for path, why in (
        ("/*", "Ranged descriptor not accepted"),
        ("/<0;1>", "Multipath descriptor not accepted"),
    ):
        with pytest.raises(RpcError, match=why):
            descriptor_script(f"wpkh({xpub}{path})", regtest())
