"""Who spends an output, over reorganisations and restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_indexes import Chain, Quiet, running, spend

from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.indexes.spenders import SpenderIndex
from pybitcoind.chain.ports import Ports
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.storage.database import FileStorage, MemoryStorage


class Salt:
    def __init__(self, byte: int) -> None:
        self.byte = byte

    def bytes(self, n: int) -> bytes:
        return bytes([self.byte]) * n


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture(params=["files", "memory"])
def ports(request: pytest.FixtureRequest, tmp_path: Path) -> Ports:
    storage = FileStorage(tmp_path) if request.param == "files" else MemoryStorage()
    return ports_with(storage, 7)


def ports_with(storage: Any, salt: int) -> Ports:
    quiet: Any = Quiet()
    random: Any = Salt(salt)
    return Ports(quiet, random, quiet, quiet, storage, quiet)


def output(n: int) -> OutPoint:
    """What spend(n) spends."""
    return OutPoint(n.to_bytes(32, "big"), 0)


def other(n: int) -> Transaction:
    """Another spend of the same output, of one more besides."""
    return Transaction.make([TxIn(OutPoint(b"\x09" * 32, n)), TxIn(output(n))], [TxOut(0, b"\x52")])


async def found(index: SpenderIndex, n: int) -> tuple[bytes, Transaction] | None:
    spender = await index.find(output(n))
    return None if spender is None else (spender.block_hash, spender.tx)


def at(node: HeaderNode, tx: Transaction) -> tuple[bytes, Transaction]:
    return node.hash, tx


async def test_spends(chain: Chain, ports: Ports) -> None:
    for n in range(5):
        chain.connect(chain.extend(None, spend(2 * n), spend(2 * n + 1)))
    async with running(SpenderIndex, chain, ports) as index:
        assert (index.best_height, index.synced) == (5, True)
        last = chain.extend(None, other(50), spend(51))
        chain.connect(last)
        await chain.events.drained()
        for n in range(10):
            assert await found(index, n) == at(chain.headers.chain[n // 2 + 1], spend(n))
        assert await found(index, 50) == at(last, other(50))
        assert await index.find(OutPoint(b"\x09" * 32, 50)) == at(last, other(50))
        assert await found(index, 52) is None
        assert await index.find(OutPoint(output(1).txid, 1)) is None
        assert await index.find(OutPoint(bytes(32), 0xFFFFFFFF)) is None


async def test_reorganisation(chain: Chain, ports: Ports) -> None:
    """As in Core: what a disconnected block spent is spent until another block is connected."""
    chain.connect(chain.extend(None, spend(1)))
    fork = chain.tip
    old = chain.extend(fork, spend(2), spend(3), salt=1)
    new = chain.extend(fork, other(2), salt=2)
    async with running(SpenderIndex, chain, ports) as index:
        chain.connect(old)
        await chain.events.drained()
        assert await found(index, 2) == at(old, spend(2))
        chain.connect(fork)
        await chain.events.drained()
        assert await found(index, 3) == at(old, spend(3))
        chain.connect(new)
        await chain.events.drained()
        assert await found(index, 1) == at(fork, spend(1))
        assert await found(index, 2) == at(new, other(2))
        assert await found(index, 3) is None
        chain.connect(old)
        await chain.events.drained()
        assert await found(index, 2) == at(old, spend(2))
        assert await found(index, 3) == at(old, spend(3))


async def test_restart(chain: Chain, tmp_path: Path) -> None:
    """The salt stays what it was; a reorganisation meanwhile is followed."""
    chain.connect(chain.extend(None, spend(1)))
    fork = chain.tip
    chain.connect(chain.extend(None, spend(2)))
    async with running(SpenderIndex, chain, ports_with(FileStorage(tmp_path), 1)):
        pass
    chain.connect(chain.extend(fork, spend(3), salt=1))
    chain.connect(chain.extend(None, other(2), salt=1))
    async with running(SpenderIndex, chain, ports_with(FileStorage(tmp_path), 2)) as index:
        assert chain.reads == 5
        assert await found(index, 1) == at(fork, spend(1))
        assert await found(index, 2) == at(chain.tip, other(2))
        assert await found(index, 3) == at(chain.headers.chain[2], spend(3))


async def test_outputs_with_one_hash(chain: Chain, ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    """The transactions decide, not the hashes."""
    monkeypatch.setattr(SpenderIndex, "_output", lambda self, outpoint: -1)
    chain.connect(chain.extend(None, spend(1), spend(2)))
    chain.connect(chain.extend(None, spend(3)))
    async with running(SpenderIndex, chain, ports) as index:
        for n in (1, 2, 3):
            assert await found(index, n) == at(chain.headers.chain[1 if n < 3 else 2], spend(n))
        assert await found(index, 4) is None
