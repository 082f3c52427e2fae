"""Every input of two mainnet blocks, and of 220 blocks of regtest with signatures of the common forms."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.serialize import read_compact_size
from pybitcoind.chain.primitives.transaction import OutPoint, TxOut
from pybitcoind.chain.script import templates
from pybitcoind.chain.script.flags import MANDATORY_FLAGS, ScriptFlags
from pybitcoind.chain.script.sighash import TxDigests
from pybitcoind.chain.script.verify import split_checks, verify_run


def outputs(raw: bytes) -> Iterator[TxOut]:
    pos = 0
    while pos < len(raw):
        (value,) = struct.unpack_from("<q", raw, pos)
        size, pos = read_compact_size(raw, pos + 8)
        yield TxOut(value, raw[pos : pos + size])
        pos += size


def verify(name: str, all_digests: list[TxDigests], flags: ScriptFlags) -> tuple[int, int]:
    """Check all inputs both ways, print what it took; (inputs, how many of them templates take)."""
    (runs,) = split_checks(all_digests, 1)
    inputs = [(run.digests, n) for run in runs for n in range(run.start, run.stop)]
    taken = sum(templates.accepts(d.tx, n, *d.spent[n], int(flags), d) for d, n in inputs if d.spent)
    for enabled in (True, False):
        fresh = [TxDigests(digests.tx, digests.spent) for digests in all_digests]
        begin = time.perf_counter()
        assert verify_run(split_checks(fresh, 1)[0], flags, templates_enabled=enabled) is None
        each = (time.perf_counter() - begin) / len(inputs) * 1e6
        print(f"{name}: {len(inputs)} inputs, {taken} common, templates {enabled}: {each:.1f} us each")
    return len(inputs), taken


@pytest.mark.parametrize(
    ("height", "flags", "count", "common"),
    [(300025, ScriptFlags.P2SH, 1427, 1424), (928828, MANDATORY_FLAGS, 1972, 1972)],
)
def test_mainnet_blocks(shared: Path, height: int, flags: ScriptFlags, count: int, common: int) -> None:
    folder = shared / "data/mainnet"
    block = Block.decode((folder / f"block-{height}.raw").read_bytes())
    spent = outputs((folder / f"block-{height}-prevouts.raw").read_bytes())
    all_digests = [TxDigests(tx, [next(spent) for _ in tx.vin]) for tx in block.vtx[1:]]
    assert next(spent, None) is None
    assert verify(f"block {height}", all_digests, flags) == (count, common)


@pytest.mark.slow
def test_regtest_signatures(shared: Path) -> None:
    raw = (shared / "data/regtest-signatures.dat").read_bytes()
    coins: dict[OutPoint, TxOut] = {}
    all_digests = []
    pos = 0
    while pos < len(raw):
        (size,) = struct.unpack_from("<I", raw, pos + 4)
        block = Block.decode(raw[pos + 8 : pos + 8 + size])
        pos += 8 + size
        for tx in block.vtx:
            if not tx.is_coinbase:
                all_digests.append(TxDigests(tx, [coins.pop(txin.prevout) for txin in tx.vin]))
            coins.update((OutPoint(tx.txid, n), output) for n, output in enumerate(tx.vout))
    assert verify("regtest-signatures", all_digests, MANDATORY_FLAGS) == (30052, 30052)
