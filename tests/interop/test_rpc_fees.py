"""Feerate estimates beside Core's daemon, which has seen blocks but no transactions: the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rpc_pair import Pair

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def pair(bitcoind: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    both = Pair(bitcoind, tmp_path_factory.mktemp("pair"), "-rpcdoccheck")
    yield both
    both.close()


def test_without_data(pair: Pair) -> None:
    for name in ("estimatesmartfee", "estimaterawfee"):
        pair.same("help", name)
        pair.same(name)
        for target in (-1, 0, 1, 2, 12, 13, 48, 49, 1008, 1009, 2**31, 1.5, "1", None):
            pair.same(name, target)
        pair.same(name, 6, None)
        pair.same(name, 6, None, 1)
    for mode in ("unset", "ECONOMICAL", "Conservative", "", "foo", 1):
        pair.same("estimatesmartfee", 6, mode)
        pair.same("estimatesmartfee", 0, mode)
    for threshold in (0, 1, 0.5, -0.01, 1.01, "1"):
        pair.same("estimaterawfee", 6, threshold)
    pair.same("setmocktime", 1_800_000_000)  # so that both mine the same blocks
    pair.same("generatetodescriptor", 30, "raw(51)#8lvh9jxk")
    pair.same("estimatesmartfee", 6)
    pair.same("estimaterawfee", 6)
    pair.check()
