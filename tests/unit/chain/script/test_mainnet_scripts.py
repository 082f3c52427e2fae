"""Every input of two mainnet blocks, and of 220 blocks of regtest with signatures of the common forms."""

from __future__ import annotations

import importlib.util
import random
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from block_files import read_spends
from both_ways import block_verdict, verdict
from oracle.engine import ScriptEngine
from oracle.spends import Spend

from pybitcoind.chain.consensus.blocks import check_block
from pybitcoind.chain.consensus.deployments import script_flags_for
from pybitcoind.chain.params import main
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.serialize import read_compact_size
from pybitcoind.chain.primitives.transaction import Transaction, TxIn, TxOut
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


BLOCKS = {
    300025: (ScriptFlags.P2SH | ScriptFlags.WITNESS | ScriptFlags.TAPROOT, 1427, 1427),
    928828: (MANDATORY_FLAGS, 1972, 1972),
}
"""By height: the rules that hold in the block, its inputs, and how many of them are of a common form."""
CHANGES = 1000


def load(shared: Path, height: int) -> tuple[Block, list[TxDigests]]:
    folder = shared / "data/mainnet"
    block = Block.decode((folder / f"block-{height}.raw").read_bytes())
    spent = outputs((folder / f"block-{height}-prevouts.raw").read_bytes())
    all_digests = [TxDigests(tx, [next(spent) for _ in tx.vin]) for tx in block.vtx[1:]]
    assert next(spent, None) is None
    return block, all_digests


def load_regtest(shared: Path) -> list[TxDigests]:
    """The spends of 220 blocks with signatures of the common forms, those in witnesses among them."""
    return read_spends(shared / "data/regtest-signatures.dat")


@pytest.mark.parametrize("height", BLOCKS)
def test_mainnet_blocks(shared: Path, height: int, ran: Callable[[str, object], None]) -> None:
    flags, count, common = BLOCKS[height]
    block, all_digests = load(shared, height)
    check_block(block, main())
    assert script_flags_for(height, block.hash, main()) == flags
    assert verify(f"block {height}", all_digests, flags) == (count, common)
    assert block_verdict(all_digests, flags) is None
    ran(f"data/mainnet/block-{height}.raw", f"{count} inputs, by all ways")


def changed(rng: random.Random, digests: TxDigests) -> Spend:
    """An input of the transaction with one byte of scriptSig, witness, amount or prevout script changed."""
    tx = digests.tx
    spent = [TxOut(value, script) for value, script, *_ in digests.spent or ()]
    index = rng.randrange(len(tx.vin))
    stacks = [list(tx.witness_of(n)) for n in range(len(tx.vin))]
    vin, (prevout, script_sig, sequence), (value, script) = list(tx.vin), tx.vin[index], spent[index]
    items = [n for n, item in enumerate(stacks[index]) if item]
    there = {"amount": True, "script": script, "script_sig": script_sig, "witness": items}
    part = rng.choice([name for name, what in there.items() if what])
    if part == "amount":
        value = int.from_bytes(one_byte(rng, value.to_bytes(8, "little")), "little", signed=True)
    elif part == "script":
        script = one_byte(rng, script)
    elif part == "script_sig":
        script_sig = one_byte(rng, script_sig)
    else:
        item = rng.choice(items)
        stacks[index][item] = one_byte(rng, stacks[index][item])
    vin[index], spent[index] = TxIn(prevout, script_sig, sequence), TxOut(value, script)
    witness = stacks if any(stacks) else ()
    made = Transaction.make(vin, tx.vout, version=tx.version, locktime=tx.locktime, witness=witness)
    return Spend(part, made, index, spent)


def one_byte(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes((data[at] ^ rng.randrange(1, 256),)) + data[at + 1 :]


@pytest.mark.skipif(importlib.util.find_spec("pbk") is None, reason="py-bitcoinkernel is not installed")
@pytest.mark.parametrize(
    "name", ["mainnet/block-300025.raw", "mainnet/block-928828.raw", "regtest-signatures.dat"]
)
def test_changed_bytes(shared: Path, name: str, ran: Callable[[str, object], None]) -> None:
    """Nearly all that is signed is refused; a few, as a length that the lax DER parser skips, are not."""
    flags, all_digests = MANDATORY_FLAGS, []
    if name.startswith("mainnet"):
        height = int(name[14:20])
        flags, (_, all_digests) = BLOCKS[height][0], load(shared, height)
    else:
        all_digests = load_regtest(shared)
    rng = random.Random(f"20261126 {name}")
    engine = ScriptEngine([flags])
    tried, passed = Counter[str](), Counter[str]()
    try:
        for _ in range(CHANGES):
            spend = changed(rng, rng.choice(all_digests))
            good = verdict(spend.tx, spend.index, spend.spent, flags) is None
            assert good is bool(engine.judge(spend)), spend.as_json()
            tried[spend.kind] += 1
            passed[spend.kind] += good
    finally:
        engine.close()
    assert len(tried) == (4 if name.startswith("regtest") else 3)  # these two blocks hold no witness
    assert sum(passed[part] for part in tried if part != "amount") < CHANGES // 50
    told = ", ".join(f"{part} {count} ({passed[part]} still pass)" for part, count in sorted(tried.items()))
    ran(f"data/{name}", f"{CHANGES} changed bytes: {told}")


@pytest.mark.slow
def test_regtest_signatures(shared: Path) -> None:
    assert verify("regtest-signatures", load_regtest(shared), MANDATORY_FLAGS) == (30052, 30052)
