"""Packages: tested in order, or a child taken in with its parents. Core's daemon agrees: tests/interop."""

from __future__ import annotations

import pytest
from mini_wallet import outputs_of
from ports import make_ports
from refused_transactions import PAY_TO_ANCHOR, Stage

from pybitcoind.chain.consensus.errors import TxFault, TxInvalid
from pybitcoind.chain.events import EventBus
from pybitcoind.chain.mempool.acceptance import Acceptance
from pybitcoind.chain.mempool.package_acceptance import check_dependent, submit_package
from pybitcoind.chain.mempool.pool import Mempool
from pybitcoind.chain.mempool.results import AlreadyInMempool, OtherWitness, PackageFault, TxAccept
from pybitcoind.chain.policy.packages import package_hash
from pybitcoind.chain.policy.settings import PolicySettings
from pybitcoind.chain.primitives.hashes import sha256
from pybitcoind.chain.primitives.transaction import Transaction, TxOut


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage()


@pytest.fixture
def acceptance(stage: Stage) -> Acceptance:
    ports = make_ports(now=1_700_000_000)
    pool = Mempool(PolicySettings(), ports.clock, ports.log, EventBus())
    return Acceptance(pool, stage.chain, stage.chain.params, ports)


def refusal(result: object) -> str:
    assert isinstance(result, TxInvalid)
    return result.reason


async def test_dependent_ones_are_tested_together(stage: Stage, acceptance: Acceptance) -> None:
    parent = stage.pay(fee=1000)
    child = stage.child(parent, fee=1000)
    result = await check_dependent(acceptance, [parent, child])
    assert result.fault is None and len(result.results) == 2
    assert len(acceptance.pool) == 0
    with pytest.raises(TxInvalid, match="missingorspent"):
        await acceptance.accept(child, test_only=True)


async def test_the_first_failure_ends_the_test(stage: Stage, acceptance: Acceptance) -> None:
    good, cheap, last = stage.pay(fee=1000), stage.pay(fee=1), stage.pay(fee=1000)
    result = await check_dependent(acceptance, [good, cheap, last])
    assert (result.fault, str(result)) == (PackageFault.TX, "transaction failed")
    assert {wtxid: refusal(one) for wtxid, one in result.results.items()} == {
        cheap.wtxid: "min relay fee not met"
    }


async def test_shapes(stage: Stage, acceptance: Acceptance) -> None:
    parent = stage.pay(fee=1000)
    child = stage.child(parent, fee=1000)
    rival = stage.wallet.spend(stage.coin(), fee=1000)
    twin = stage.wallet.sign(Transaction.make(rival.vin, [TxOut(5000, stage.wallet.script_pubkey)]), [])
    for txs, reason in (
        ([child, parent], "package-not-sorted"),
        ([parent, parent], "package-contains-duplicates"),
        ([rival, twin], "conflict-in-package"),
        ([stage.pay(fee=1000) for _ in range(26)], "package-too-many-transactions"),
        ([stage.pay(TxOut(0, b"\x6a" + bytes(90_000)), fee=10**6) for _ in range(2)], "package-too-large"),
    ):
        for judge in (check_dependent, submit_package):
            result = await judge(acceptance, txs)
            assert (result.fault, result.reason) == (PackageFault.POLICY, reason)
    result = await submit_package(acceptance, [parent, stage.pay()])
    assert result.reason == "package-not-child-with-parents"


async def test_child_pays_for_parents(stage: Stage, acceptance: Acceptance) -> None:
    parents = [stage.pay(fee=0), stage.pay(fee=2000)]
    own = [outputs_of(tx, stage.wallet.script_pubkey)[0] for tx in parents]
    child = stage.wallet.spend(*own, fee=5000)
    result = await submit_package(acceptance, [*parents, child])
    assert result.fault is None and len(acceptance.pool) == 3
    free, paying, last = (result.results[tx.wtxid] for tx in (*parents, child))
    assert isinstance(free, TxAccept) and isinstance(paying, TxAccept) and isinstance(last, TxAccept)
    assert list(paying.effective_wtxids) == [parents[1].wtxid], "it was taken in by itself"
    assert list(free.effective_wtxids) == [parents[0].wtxid, child.wtxid]
    assert free.effective_feerate == 5_000_000 // (free.vsize + last.vsize)
    again = await submit_package(acceptance, [*parents, child])
    assert {type(one) for one in again.results.values()} == {AlreadyInMempool}


async def test_fees_of_parents_do_not_pay_for_the_child(stage: Stage, acceptance: Acceptance) -> None:
    parent = stage.pay(fee=9000)
    child = stage.child(parent, fee=0)
    result = await submit_package(acceptance, [parent, child])
    assert result.fault is PackageFault.TX
    assert refusal(result.results[child.wtxid]) == "min relay fee not met"
    assert list(acceptance.pool.entries) == [parent.txid]


async def test_other_witness_is_told(stage: Stage, acceptance: Acceptance) -> None:
    parent = stage.pay(fee=1000)
    child = stage.child(parent, fee=1000)
    await acceptance.accept(parent)
    result = await submit_package(acceptance, [Transaction.decode(parent.stripped), child])
    assert result.fault is None
    assert result.results[Transaction.decode(parent.stripped).wtxid] == OtherWitness(parent.wtxid)


async def test_ephemeral_dust(stage: Stage, acceptance: Acceptance) -> None:
    parent = stage.wallet.spend(stage.coin(), outputs=[TxOut(0, PAY_TO_ANCHOR)], fee=0, version=3)
    idle = stage.child(parent, fee=5000, version=3)
    result = await submit_package(acceptance, [parent, idle])
    assert refusal(result.results[idle.wtxid]) == "missing-ephemeral-spends"
    assert len(acceptance.pool) == 0
    own = outputs_of(parent, stage.wallet.script_pubkey)[0]
    both = stage.wallet.spend(own, fee=5000, version=3)
    vin = [*both.vin, both.vin[0]._replace(prevout=own.outpoint._replace(vout=0))]
    bump = stage.wallet.sign(Transaction.make(vin, both.vout, version=3), [own])
    result = await submit_package(acceptance, [parent, bump])
    assert result.fault is None and len(acceptance.pool) == 2
    assert parent.vout[0].script_pubkey == PAY_TO_ANCHOR


async def test_a_package_replaces_as_one(stage: Stage, acceptance: Acceptance) -> None:
    coin = stage.coin()
    old = stage.wallet.spend(coin, fee=1000)
    await acceptance.accept(old)
    new = stage.wallet.spend(coin, fee=0)
    poor = stage.child(new, fee=1001)
    result = await submit_package(acceptance, [new, poor])
    assert result.reason == "package RBF failed: insufficient anti-DoS fees"
    rich = stage.child(new, fee=9000)
    result = await submit_package(acceptance, [new, rich])
    assert result.fault is None
    assert set(acceptance.pool.entries) == {new.txid, rich.txid}
    first = result.results[new.wtxid]
    assert isinstance(first, TxAccept) and list(first.replaced) == [old]


async def test_family_rules_of_version_3_in_a_package(stage: Stage, acceptance: Acceptance) -> None:
    parent = stage.pay(version=3, change=2, fee=1000)
    children = [stage.child(parent, i, version=3, fee=1000) for i in range(2)]
    result = await check_dependent(acceptance, [parent, *children])
    assert (result.fault, result.reason) == (PackageFault.POLICY, "TRUC-violation")
    assert "would exceed descendant count limit" in result.detail
    plain = stage.child(parent, 0, fee=1000)
    result = await check_dependent(acceptance, [parent, plain])
    assert result.reason == "TRUC-violation" and "cannot spend from version=3" in result.detail
    grandchild = stage.child(children[0], version=3, fee=1000)
    result = await check_dependent(acceptance, [parent, children[0], grandchild])
    assert "would have too many ancestors" in result.detail


async def test_clusters_of_packages(stage: Stage, acceptance: Acceptance) -> None:
    txs = [stage.pay(fee=1000)]
    while len(txs) < 63:
        txs.append(stage.child(txs[-1], fee=1000))
    for tx in txs:
        await acceptance.accept(tx)
    child = stage.child(txs[-1], fee=1000)
    grandchild = stage.child(child, fee=1000)
    result = await check_dependent(acceptance, [child, grandchild])
    assert (result.fault, str(result)) == (PackageFault.POLICY, "too-large-cluster")
    assert (await check_dependent(acceptance, [child])).fault is None


async def test_max_feerate_of_the_sender(stage: Stage, acceptance: Acceptance) -> None:
    parent = stage.pay(fee=0)
    child = stage.child(parent, feerate=50_000)
    result = await submit_package(acceptance, [parent, child], max_feerate=40_000)
    assert result.fault is PackageFault.TX
    fault = result.results[child.wtxid]
    assert isinstance(fault, TxInvalid)
    assert (fault.fault, fault.reason) == (TxFault.MEMPOOL_POLICY, "max feerate exceeded")
    assert len(acceptance.pool) == 0


def test_package_hash() -> None:
    """The wtxids are sorted as little-endian numbers."""
    txs = [Transaction.make([], [TxOut(n, b"")]) for n in range(5)]
    ordered = sorted((tx.wtxid for tx in txs), key=lambda w: int.from_bytes(w, "little"))
    assert package_hash(txs) == package_hash(txs[::-1]) == sha256(b"".join(ordered))
