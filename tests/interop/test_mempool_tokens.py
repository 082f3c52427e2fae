"""Bitcoin Core's own daemon refuses the templates with the same words, and takes in the same as we do."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from core_daemon import Core
from mini_wallet import Utxo, outputs_of
from ports import make_ports
from refused_transactions import PAY_TO_ANCHOR, REFUSED, Stage

from pybitcoind.chain.block_template import assemble, solve, with_transactions
from pybitcoind.chain.events import EventBus
from pybitcoind.chain.mempool.acceptance import Acceptance
from pybitcoind.chain.mempool.package_acceptance import check_dependent, submit_package
from pybitcoind.chain.mempool.pool import Mempool
from pybitcoind.chain.mempool.results import AlreadyInMempool, OtherWitness, PackageFault, TxAccept
from pybitcoind.chain.policy.settings import PolicySettings
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import COIN, Transaction, TxOut

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage()


@pytest.fixture
def core(bitcoind: Path, stage: Stage, tmp_path: Path) -> Iterator[Core]:
    scene = SimpleNamespace(now=stage.chain.tip.time + 60, blocks=stage.chain.blocks[1:])
    daemon = Core(bitcoind, tmp_path, cast(Any, scene))
    yield daemon
    daemon.stop()


def send(core: Core, *txs: Transaction) -> None:
    for tx in txs:
        assert core.call("sendrawtransaction", tx.raw.hex(), 0, "21000000") == hash_hex(tx.txid)


def own_pool(stage: Stage) -> tuple[Mempool, Acceptance]:
    ports = make_ports(now=stage.chain.tip.time + 60)
    pool = Mempool(PolicySettings(), ports.clock, ports.log, EventBus())
    return pool, Acceptance(pool, stage.chain, stage.chain.params, ports)


def test_refusals(core: Core, stage: Stage) -> None:
    for case in REFUSED:
        before, tx = case.build(stage)
        send(core, *before)
        (answer,) = core.call("testmempoolaccept", [tx.raw.hex()], 0)
        detail = case.detail_for(before, tx)
        told = (answer["allowed"], answer.get("reject-reason"), answer.get("reject-details"))
        assert told == (False, case.reason, f"{case.reason}, {detail}" if detail else case.reason), case.name


@pytest.mark.parametrize("seed", range(3))
async def test_a_wild_mempool_is_the_same(seed: int, core: Core, stage: Stage) -> None:
    """Chains, merges, replacements and deltas at random: the same is taken in, in the same chunks."""
    rng = random.Random(seed)
    pool, acceptance = own_pool(stage)
    free: list[Utxo] = [stage.coin() for _ in range(20)]
    spent: list[Utxo] = []
    refused: dict[str, int] = {}
    for _ in range(200):
        coins = rng.sample(free, min(len(free), rng.choice((1, 1, 1, 2, 3))))
        if spent and rng.random() < 0.2:
            coins[0] = rng.choice(spent)
        tx = stage.wallet.spend(
            *coins, change=rng.choice((1, 1, 2, 5)), feerate=rng.choice((90, 100, 500, 3000, 9000))
        )
        if rng.random() < 0.1:
            delta = rng.randint(-500, 2000)
            pool.prioritise(tx.txid, delta)
            core.call("prioritisetransaction", hash_hex(tx.txid), 0, delta)
        (answer,) = core.call("testmempoolaccept", [tx.raw.hex()], 0)
        try:
            accepted = await acceptance.accept(tx)
        except Exception as fault:
            reason = "missing-inputs" if "missing" in str(fault) else str(fault)
            assert answer.get("reject-details", answer.get("reject-reason")) == reason
            refused[reason.split(",")[0]] = refused.get(reason.split(",")[0], 0) + 1
            continue
        assert answer["allowed"], answer
        assert answer["vsize"] == accepted.vsize
        assert round(float(answer["fees"]["base"]) * COIN) == accepted.fee
        assert round(float(answer["fees"]["effective-feerate"]) * COIN) == accepted.effective_feerate
        send(core, tx)
        free = [coin for coin in free if coin not in coins]
        spent += coins
        free += outputs_of(tx, stage.wallet.script_pubkey)
        free = [coin for coin in free if coin.height != 0x7FFFFFFF or pool.contains(coin.outpoint.txid)]
    assert len(pool) > 50 and {"insufficient fee", "min relay fee not met"} <= set(refused)
    theirs, chunks = core.call("getrawmempool"), pool.chunks()
    for chunk in chunks:  # inside of a chunk Core's order depends on what came before
        ours = {hash_hex(txid) for txid in chunk.txids}
        assert set(theirs[: len(ours)]) == ours
        del theirs[: len(ours)]
    info = core.call("getmempoolinfo")
    assert (info["size"], info["bytes"]) == (len(pool), pool.total_vsize)
    assert round(float(info["total_fee"]) * COIN) == pool.total_fee
    assert pool.usage == pytest.approx(info["usage"], rel=0.02)
    for txid, entry in pool.entries.items():
        told = core.call("getmempoolentry", hash_hex(txid))
        assert told["ancestorcount"] == len(pool.ancestors(txid))
        assert told["descendantcount"] == len(pool.descendants(txid))
        assert told["depends"] == sorted(hash_hex(parent) for parent in pool.parents(txid))
        assert sorted(told["spentby"]) == sorted(hash_hex(child) for child in pool.children(txid))
        chunk = pool.graph.chunk_of(txid)
        assert told["chunkweight"] == chunk.weight
        assert round(float(told["fees"]["chunk"]) * COIN) == chunk.fee
        assert round(float(told["fees"]["modified"]) * COIN) == entry.modified_fee
    template = assemble(stage.chain.tip, pool, stage.chain.params, b"\x51", stage.chain.tip.time + 60)
    told = core.call("getblocktemplate", {"rules": ["segwit"]})
    rows = zip(template.block.vtx[1:], template.fees, template.sigops, strict=True)
    assert sorted((row["txid"], row["fee"], row["sigops"]) for row in told["transactions"]) == sorted(
        (hash_hex(tx.txid), fee, sigops) for tx, fee, sigops in rows
    )
    assert told["coinbasevalue"] == template.coinbase.vout[0].value
    header = template.block.header
    assert (told["version"], told["curtime"], told["mintime"]) == (
        header.version,
        header.time,
        stage.chain.tip.mtp() + 1,
    )


def test_generated_blocks_are_byte_for_byte_the_same(core: Core, stage: Stage) -> None:
    tx = stage.pay()
    address = core.call("decodescript", "0020" + "11" * 32)["address"]
    for txs in ([], [tx]):
        answer = core.call("generateblock", address, [t.raw.hex() for t in txs], False)
        script = bytes.fromhex("0020" + "11" * 32)
        block = assemble(stage.chain.tip, None, stage.chain.params, script, stage.chain.tip.time + 60).block
        solved, _ = solve(with_transactions(block, txs), 1_000_000)
        assert solved is not None and answer["hex"] == solved.raw.hex()


async def test_packages(core: Core, stage: Stage) -> None:
    """testmempoolaccept with several transactions."""
    _, acceptance = own_pool(stage)
    parent = stage.pay(fee=1000)
    child = stage.child(parent, fee=1000)
    other = stage.pay(fee=1000)
    in_pool = stage.pay(fee=1000)
    await acceptance.accept(in_pool)
    send(core, in_pool)
    cheap = stage.pay(fee=1)
    truc = stage.pay(version=3, fee=1000)
    dusty = stage.wallet.spend(stage.coin(), change=2, fee=0)
    many = [stage.pay(fee=1000) for _ in range(25)]
    rival = stage.wallet.spend(Utxo(in_pool.vin[0].prevout, 10**9), fee=900_000_000)
    packages = [
        [parent, child],
        [child, parent],
        [parent, child, other],
        [parent, parent],
        [parent, stage.wallet.spend(Utxo(parent.vin[0].prevout, 10**8), fee=5000)],
        [cheap, stage.child(cheap, fee=5000)],
        [other, in_pool],
        [other, rival],
        [truc, stage.child(truc, fee=1000)],
        [truc, stage.child(truc, version=3, fee=1000)],
        [dusty, stage.child(dusty, fee=1000)],
        many,
        [other, Transaction.decode(child.stripped)],
    ]
    for txs in packages:
        answer = core.call("testmempoolaccept", [tx.raw.hex() for tx in txs], 0)
        result = await check_dependent(acceptance, txs)
        policy = str(result) if result.fault is PackageFault.POLICY else None
        assert [row.get("package-error") for row in answer] == [policy] * len(txs)
        for row, tx in zip(answer, txs, strict=True):
            ours: Any = result.results.get(tx.wtxid)
            if ours is None:
                assert "allowed" not in row
            elif isinstance(ours, TxAccept):
                assert row["allowed"] and row["vsize"] == ours.vsize
            elif row["reject-reason"] == "missing-inputs":
                assert ours.reason == "bad-txns-inputs-missingorspent"
            else:
                assert row["reject-details"] == str(ours)


def packages(stage: Stage) -> list[tuple[str, list[Transaction], list[Transaction]]]:
    """(name, what is in the mempool before, the package)."""
    made: list[tuple[str, list[Transaction], list[Transaction]]] = []

    def add(name: str, txs: list[Transaction], before: list[Transaction] | None = None) -> None:
        made.append((name, before or [], txs))

    def family(parent_fee: int, child_fee: int, version: int = 2) -> list[Transaction]:
        parent = stage.pay(fee=parent_fee, version=version)
        return [parent, stage.child(parent, fee=child_fee, version=version)]

    add("child pays for its parent", family(0, 5000))
    add("each pays for itself", family(1000, 1000))
    add("too little together", family(0, 5))
    add("version 3", family(0, 5000, version=3))
    parent, child = family(1000, 1000)
    add("the parent is there", [parent, child], [parent])
    add("both are there", family_there := family(1000, 1000), family_there)
    parent, child = family(0, 5000)
    add("the child is bad", [parent, Transaction.decode(child.stripped)])
    bad, child = family(0, 5000)
    add("the parent is bad", [Transaction.decode(bad.stripped), child])
    parents = [stage.pay(fee=0), stage.pay(fee=400), stage.pay(fee=0)]
    own = [outputs_of(tx, stage.wallet.script_pubkey)[0] for tx in parents]
    add("three parents", [*parents, stage.wallet.spend(*own, fee=9000)])
    dusty = stage.wallet.spend(stage.coin(), change=1, outputs=[TxOut(0, PAY_TO_ANCHOR)], fee=0)
    add("dust that is not spent", [dusty, stage.child(dusty, fee=5000)])
    coin = stage.coin()
    old = stage.wallet.spend(coin, fee=1000)
    new = stage.wallet.spend(coin, fee=0)
    add("a package replaces", [new, stage.child(new, fee=9000)], [old])
    coin = stage.coin()
    old = stage.wallet.spend(coin, fee=5000)
    new = stage.wallet.spend(coin, fee=0)
    add("a package replaces for too little", [new, stage.child(new, fee=5001)], [old])
    add("no family", [stage.pay(fee=1000), stage.pay(fee=1000)])
    add("the wrong way round", list(reversed(family(1000, 1000))))
    add("alone", [stage.pay(fee=1000)])
    add("alone and cheap", [stage.pay(fee=1)])
    orphan = family(1000, 1000)[1]
    add("an orphan", [orphan])
    return made


async def test_submitted_packages(core: Core, stage: Stage) -> None:
    _, acceptance = own_pool(stage)
    for name, before, txs in packages(stage):
        send(core, *before)
        for tx in before:
            await acceptance.accept(tx)
        result = await submit_package(acceptance, txs)
        ours: dict[str, Any] = {"package_msg": str(result) or "success", "tx-results": {}}
        for wtxid, one in result.results.items():
            row = ours["tx-results"][hash_hex(wtxid)] = {}
            if isinstance(one, TxAccept):
                row |= {"vsize": one.vsize, "base": one.fee, "effective": one.effective_feerate}
                row["includes"] = [hash_hex(w) for w in one.effective_wtxids]
            elif isinstance(one, AlreadyInMempool):
                row |= {"vsize": one.vsize, "base": one.fee}
            elif isinstance(one, OtherWitness):
                row["other-wtxid"] = hash_hex(one.wtxid)
            else:
                row["error"] = str(one)
        try:
            answer = core.call("submitpackage", [tx.raw.hex() for tx in txs], 0)
        except AssertionError:  # the method itself looks at the shape of the package
            assert result.fault is PackageFault.POLICY, name
            continue
        theirs: dict[str, Any] = {"package_msg": answer["package_msg"], "tx-results": {}}
        for wtxid_hex, told in answer["tx-results"].items():
            row = theirs["tx-results"][wtxid_hex] = {
                key: told[key] for key in ("vsize", "error", "other-wtxid") if key in told
            }
            if "fees" in told:
                row["base"] = round(float(told["fees"]["base"]) * COIN)
                if "effective-feerate" in told["fees"]:
                    row["effective"] = round(float(told["fees"]["effective-feerate"]) * COIN)
                    row["includes"] = told["fees"]["effective-includes"]
        assert ours == theirs, name
        assert sorted(core.call("getrawmempool")) == sorted(map(hash_hex, acceptance.pool.entries)), name
