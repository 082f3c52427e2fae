"""Orphans and requests: parents asked for, packages tried, bounds kept."""

from __future__ import annotations

from p2p_chains import SeededRandom

from pybitcoind.chain.consensus.errors import TxFault
from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut
from pybitcoind.p2p.orphanage import Orphanage
from pybitcoind.p2p.rolling_filter import RollingFilter
from pybitcoind.p2p.tx_download import TxDownload, TxPeer
from pybitcoind.p2p.tx_request import GenTxid


def spend(*parents: Transaction | int, witness: bool = True, inputs: int = 1, tag: int = 0) -> Transaction:
    """A transaction that spends the first output of each parent (or of a made-up one)."""
    vin = []
    for parent in parents:
        txid = parent.to_bytes(32, "little") if isinstance(parent, int) else parent.txid
        vin += [TxIn(OutPoint(txid, i)) for i in range(inputs)]
    stacks = [(b"\x01",)] * len(vin) if witness else ()
    return Transaction.make(vin, [TxOut(1000 + tag, b"\x51")], witness=stacks)


class Pool:
    def __init__(self) -> None:
        self.txs: list[Transaction] = []

    def contains(self, txid: bytes) -> bool:
        return any(tx.txid == txid for tx in self.txs)

    def contains_wtxid(self, wtxid: bytes) -> bool:
        return any(tx.wtxid == wtxid for tx in self.txs)


def download(*peers: int, preferred: bool = True, wtxid: bool = True) -> tuple[TxDownload, Pool]:
    pool = Pool()
    machine = TxDownload(pool, SeededRandom())
    for peer in peers:
        machine.add_peer(peer, TxPeer(preferred, False, wtxid))
    return machine, pool


def asked(machine: TxDownload, peer: int, now: float) -> list[bytes]:
    return [gtxid.hash for gtxid in machine.to_request(peer, now)[0]]


def test_delays_of_announcements() -> None:
    tx = spend(1)
    machine, _ = download(1)
    machine.announced(1, GenTxid(tx.wtxid, True), 0)
    assert asked(machine, 1, 0) == [tx.wtxid]
    machine, _ = download(1, preferred=False)
    machine.announced(1, GenTxid(tx.txid, False), 0)
    assert asked(machine, 1, 3.9) == [] and asked(machine, 1, 4) == [tx.txid]


def test_overloaded_peers_wait_and_announcements_are_bounded() -> None:
    machine, _ = download(1)
    for n in range(6000):
        machine.announced(1, GenTxid(n.to_bytes(32, "big"), True), 0)
        if n == 99:
            assert len(asked(machine, 1, 0)) == 100
    assert machine.requests.count(1) == 5000
    assert asked(machine, 1, 1.9) == [] and len(asked(machine, 1, 2)) == 4900


def test_what_we_have_is_not_asked_for() -> None:
    machine, pool = download(1)
    tx, confirmed = spend(1), spend(2)
    pool.txs.append(tx)
    machine.block_connected(Block(BlockHeader(4, bytes(32), bytes(32), 0, 0, 0), [confirmed]))
    for known in (tx, confirmed):
        assert machine.announced(1, GenTxid(known.wtxid, True), 0)
        assert machine.announced(1, GenTxid(known.txid, False), 0)
    machine.block_disconnected()
    assert not machine.announced(1, GenTxid(confirmed.wtxid, True), 0)


def test_the_parents_of_an_orphan_are_asked_for_and_it_is_tried_again() -> None:
    machine, pool = download(1, 2)
    parent = spend(1)
    child = spend(parent)
    assert machine.received(1, child) == (True, None)
    rejection = machine.rejected(child, TxFault.MISSING_INPUTS, 1, 0, first_time=True)
    assert rejection.parents == [parent.txid]
    assert machine.announced(2, GenTxid(child.wtxid, True), 0), "an orphan we have; its announcer may help"
    assert machine.orphanage.has_from(child.wtxid, 2)
    first = next(peer for peer in (1, 2) if asked(machine, peer, 2) == [parent.txid])
    machine.received(first, parent)
    pool.txs.append(parent)
    machine.accepted(parent)
    worker = next(peer for peer in (1, 2) if machine.has_orphan_work(peer))
    assert machine.next_orphan(worker) is child and machine.next_orphan(worker) is None
    machine.accepted(child)
    assert len(machine.orphanage) == 0 and len(machine.requests) == 0


def test_orphans_of_rejected_parents_are_not_kept() -> None:
    machine, _ = download(1)
    parent = spend(1, witness=False)
    machine.rejected(parent, TxFault.CONSENSUS, 1, 0, first_time=True)
    child = spend(parent)
    assert machine.rejected(child, TxFault.MISSING_INPUTS, 1, 0, first_time=True).parents == []
    assert len(machine.orphanage) == 0
    assert machine.announced(1, GenTxid(child.wtxid, True), 0)
    machine.tip_changed()
    assert not machine.announced(1, GenTxid(child.wtxid, True), 0)


def test_a_stripped_witness_rejects_nothing_for_good() -> None:
    machine, _ = download(1)
    tx = spend(1, witness=False)
    machine.rejected(tx, TxFault.WITNESS_STRIPPED, 1, 0, first_time=True)
    assert not machine.announced(1, GenTxid(tx.txid, False), 0)


def test_a_child_may_pay_for_its_parent() -> None:
    machine, _ = download(1, 2)
    parent = spend(1)
    child = spend(parent)
    machine.rejected(child, TxFault.MISSING_INPUTS, 1, 0, first_time=True)
    package = machine.rejected(parent, TxFault.RECONSIDERABLE, 1, 0, first_time=True).package
    assert package is not None and (package.parent, package.child) == (parent, child)
    should, again = machine.received(1, parent)
    assert not should and again is not None and again.hash == package.hash
    assert machine.received(2, parent) == (False, None), "children of the same peer only"
    machine.package_rejected(package)
    assert machine.received(1, parent) == (False, None)


def test_no_peer_pushes_out_what_another_keeps_within_its_share() -> None:
    orphanage = Orphanage(max_latency=20)
    honest = [spend(1000 + n) for n in range(5)]
    for tx in honest:
        assert orphanage.add(tx, 1)
    flood = [spend(n) for n in range(100)]
    for tx in flood:
        orphanage.add(tx, 2)
    assert all(tx.wtxid in orphanage for tx in honest)
    assert orphanage.announcements == 20 and flood[-1].wtxid in orphanage and flood[0].wtxid not in orphanage
    orphanage.erase_for_peer(2)
    assert len(orphanage) == 5
    orphanage.erase_for_peer(1)
    assert (len(orphanage), orphanage.weight, orphanage.announcements) == (0, 0, 0)


def test_inputs_and_weight_count_too() -> None:
    orphanage = Orphanage(max_latency=20, reserved_weight=3000)
    for n in range(10):
        orphanage.add(spend(n, inputs=30, tag=n), 1)
    assert len(orphanage) < 5 and orphanage.weight <= 3000 + 3000


def test_a_block_erases_what_it_spends() -> None:
    orphanage = Orphanage()
    parent = spend(7)
    child, other = spend(parent, tag=1), spend(8)
    orphanage.add(child, 1)
    orphanage.add(other, 1)
    conflict = spend(parent, tag=2)
    assert orphanage.erase_for_block(Block(BlockHeader(4, bytes(32), bytes(32), 0, 0, 0), [conflict])) == 1
    assert child.wtxid not in orphanage and other.wtxid in orphanage


def test_rolling_filter_remembers_the_last_and_forgets_the_rest() -> None:
    seen = RollingFilter(1000, 0.0001, bytes(16))
    items = [n.to_bytes(32, "little") for n in range(5000)]
    for item in items:
        seen.insert(item)
    assert all(item in seen for item in items[-1000:])
    assert sum(item in seen for item in items[:2900]) < 20
    seen.reset()
    assert items[-1] not in seen
