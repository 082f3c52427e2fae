"""scanblocks and getdescriptoractivity, beside Bitcoin Core's daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mini_wallet import Kind, MemoryChain, MiniWallet
from rpc_pair import Pair
from test_index_rpc import submit, wait_synced

from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import TxOut

pytestmark = pytest.mark.interop
NOBODY = "ab" * 32
PAID = "raw(51)"


@pytest.fixture
def pair(bitcoind: Path, tmp_path: Path) -> Iterator[Pair]:
    both = Pair(bitcoind, tmp_path, "-blockfilterindex", "-acceptnonstdtxn", "-rpcdoccheck")
    yield both
    both.close()


def test_as_core_answers(pair: Pair) -> None:
    chain, wallet = MemoryChain(), MiniWallet(Kind.P2WSH_TRUE)
    for block in chain.generate(105, wallet):
        submit(pair, block)
    paying = wallet.spend(wallet.take(105), outputs=[TxOut(500_000, b"\x51"), TxOut(99_000, b"\x6a\x01\x07")])
    for block in chain.generate(3, wallet, [paying]):
        submit(pair, block)
    child = wallet.spend(wallet.take(105), outputs=[TxOut(70_000, b"\x51"), TxOut(80_000, b"\x51")])
    assert pair.same("sendrawtransaction", child.raw.hex(), 0, 1)
    pair.same("syncwithvalidationinterfacequeue")
    wait_synced(pair.core, pair.ours)
    own = f"raw({wallet.script_pubkey.hex()})"
    hashes = [hash_hex(block.hash) for block in chain.blocks]
    objects: list[Any] = [[PAID], [own], [own, PAID], [{"desc": PAID}], [{"desc": own, "range": 3}], []]
    for wanted in objects:
        for heights in ((), (0,), (106,), (106, 106), (0, 105), (None, 107), (108, 108)):
            pair.same("scanblocks", "start", wanted, *heights)
            pair.same(
                "scanblocks",
                "start",
                wanted,
                *(*heights, None, None)[:2],
                "basic",
                {"filter_false_positives": True},
            )
        for blocks in (
            [],
            hashes[106:107],
            hashes[:3],
            hashes[105:],
            [hashes[107], hashes[106], hashes[107]],
        ):
            for more in ((), (True,), (False,)):
                pair.same("getdescriptoractivity", blocks, wanted, *more)
    assert len(pair.same("scanblocks", "start", [PAID])["relevant_blocks"]) == 1
    assert len(pair.same("getdescriptoractivity", hashes[105:], [PAID])["activity"]) == 3
    for wrong in (
        ("status",),
        ("abort",),
        ("bogus",),
        ("start",),
        ("start", None),
        ("start", "raw(51)"),
        ("start", ["bogus"]),
        ("start", [5]),
        ("start", [{}]),
        ("start", [PAID], -1),
        ("start", [PAID], 109),
        ("start", [PAID], 5, 4),
        ("start", [PAID], 5, 109),
        ("start", [PAID], 0, 5, "extended"),
        ("start", [PAID], 0, 5, "basic", {"filter_false_positives": 1}),
        ("start", [PAID], 0, 5, "basic", {"bogus": True}),
    ):
        pair.same("scanblocks", *wrong)
    for wrong in (
        (),
        ([hashes[3]],),
        ([NOBODY], [PAID]),
        (["ab"], [PAID]),
        ([5], [PAID]),
        (hashes[3], [PAID]),
        ([hashes[3]], PAID),
        ([hashes[3]], [PAID], 1),
    ):
        pair.same("getdescriptoractivity", *wrong)
    pair.same("invalidateblock", hashes[108])
    pair.same("getdescriptoractivity", [hashes[108]], [PAID])
    pair.check()


def test_without_the_index(bitcoind: Path, tmp_path: Path) -> None:
    pair = Pair(bitcoind, tmp_path, "-rpcdoccheck")
    try:
        for filtertype in ("basic", "bogus"):
            pair.same("scanblocks", "start", [PAID], 0, 0, filtertype)
        pair.check()
    finally:
        pair.close()
