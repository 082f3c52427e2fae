"""What waits for a block on an SPV node: order, replacement, confirmation, conflict and age."""

from __future__ import annotations

from scene import SCRIPT_PUBKEY, make_scene

from pybitcoind.chain.events import Event, EventBus, RemovalReason, TxAdded, TxRemoved
from pybitcoind.chain.primitives.transaction import Transaction, TxOut
from pybitcoind.node.spv_pending import Pending

SCENE = make_scene(110)
PARENT = SCENE.spend(SCENE.mature[0], fee=1000)
CHILD = SCENE.spend(SCENE.output(PARENT), fee=2000)
RIVAL = SCENE.spend(SCENE.mature[0], fee=3000)


class Bus(EventBus):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, bytes]] = []

    def emit(self, event: Event) -> None:
        match event:
            case TxAdded(tx=tx):
                self.told.append(("added", tx.txid))
            case TxRemoved(tx=tx, reason=reason):
                self.told.append((reason.value, tx.txid))


def txids(txs: list[Transaction]) -> list[bytes]:
    return [tx.txid for tx in txs]


def test_parents_come_first_whatever_came_first() -> None:
    pending = Pending(Bus())
    grandchild = SCENE.spend(SCENE.output(CHILD), SCENE.mature[1])
    for tx in (grandchild, CHILD, PARENT):
        pending.add(tx, 0, own=False)
    assert pending.transactions() == [PARENT, CHILD, grandchild]


def test_a_replacement_takes_the_children_along() -> None:
    bus = Bus()
    pending = Pending(bus)
    pending.add(PARENT, 0, own=True)
    pending.add(CHILD, 0, own=True)
    assert pending.add(CHILD, 5, own=False) == [], "known"
    assert txids(pending.add(RIVAL, 0, own=False)) == [PARENT.txid, CHILD.txid]
    assert bus.told == [
        ("added", PARENT.txid),
        ("added", CHILD.txid),
        ("replaced", PARENT.txid),
        ("replaced", CHILD.txid),
        ("added", RIVAL.txid),
    ]
    assert pending.transactions() == [RIVAL]


def test_a_block_confirms_and_refutes() -> None:
    pending = Pending(Bus())
    pending.add(PARENT, 0, own=False)
    pending.add(CHILD, 0, own=False)
    assert txids(pending.block_connected(SCENE.block(PARENT))) == [PARENT.txid]
    assert CHILD.txid in pending and PARENT.txid not in pending
    pending.add(PARENT, 0, own=False)
    gone = pending.block_connected(SCENE.block(RIVAL))
    assert txids(gone) == [PARENT.txid, CHILD.txid] and len(pending) == 0


def test_what_is_old_is_forgotten() -> None:
    bus = Bus()
    pending = Pending(bus)
    pending.add(PARENT, 100, own=False)
    pending.add(SCENE.spend(SCENE.mature[1]), 200, own=False)
    assert pending.expire(100) == []
    assert txids(pending.expire(101)) == [PARENT.txid]
    assert bus.told[-1] == (RemovalReason.EXPIRY.value, PARENT.txid) and len(pending) == 1


def test_what_it_spends_and_what_we_send_for_others_is_watched() -> None:
    pending = Pending(Bus())
    pending.add(PARENT, 0, own=False)
    assert pending.watched_scripts() == [SCRIPT_PUBKEY]
    away = b"\x51\x20" + bytes(32)
    sent = SCENE.spend(SCENE.mature[1], outputs=[TxOut(1, away), TxOut(2, b"\x51")])
    pending.add(sent, 0, own=True)
    assert away in pending.watched_scripts()
