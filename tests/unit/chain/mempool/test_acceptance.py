"""Acceptance: every refusal with its token, replacement, eviction, and what a reorganisation leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from invalid_transactions import INVALID_TRANSACTIONS, InvalidTransaction
from mini_wallet import UNCONFIRMED, MemoryChain, MiniWallet, Utxo, outputs_of
from ports import ListLog, TestClock, make_ports
from refused_transactions import MULTISIG_1_OF_1, PAY_TO_ANCHOR, REFUSED, Refused, Stage
from scene import make_scene

from pybitcoind.chain.consensus.errors import TxFault, TxInvalid
from pybitcoind.chain.events import Event, EventBus, RemovalReason, TxAdded, TxRemoved
from pybitcoind.chain.mempool.acceptance import Acceptance
from pybitcoind.chain.mempool.pool import Mempool
from pybitcoind.chain.policy.settings import PolicySettings
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import ZERO_HASH
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut

START = 1_700_000_000


class KeptEvents(EventBus):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Event] = []

    def emit(self, event: Event) -> None:
        self.seen.append(event)

    def told(self) -> list[tuple[str, bytes]]:
        """(added, or why removed; txid) in order; forgets them."""
        seen, self.seen = self.seen, []
        told = []
        for event in seen:
            if isinstance(event, TxAdded):
                told.append(("added", event.tx.txid))
            elif isinstance(event, TxRemoved):
                told.append((event.reason.value, event.tx.txid))
        return told


@dataclass
class Rig:
    """A pool on a chain in memory."""

    chain: MemoryChain
    settings: PolicySettings = field(default_factory=PolicySettings)
    events: KeptEvents = field(default_factory=KeptEvents)

    def __post_init__(self) -> None:
        ports = make_ports(now=START)
        assert isinstance(ports.clock, TestClock) and isinstance(ports.log, ListLog)
        self.clock, self.log = ports.clock, ports.log
        self.pool = Mempool(self.settings, self.clock, self.log, self.events)
        self.acceptance = Acceptance(self.pool, self.chain, self.chain.params, ports)

    async def accept(self, *txs: Transaction) -> None:
        for tx in txs:
            await self.acceptance.accept(tx)

    async def refused(self, tx: Transaction, *, test_only: bool = False) -> TxInvalid:
        with pytest.raises(TxInvalid) as caught:
            await self.acceptance.accept(tx, test_only=test_only)
        return caught.value

    def connect(self, block: Block) -> None:
        self.chain.connect(block)
        self.pool.block_connected(block)

    def generate(self, wallet: MiniWallet, txs: Sequence[Transaction] = ()) -> Block:
        (block,) = self.chain.generate(1, wallet, txs)
        self.pool.block_connected(block)
        return block

    async def reorganise(self, depth: int, blocks: Sequence[Block] = ()) -> None:
        for _ in range(depth):
            self.pool.block_disconnected(self.chain.disconnect())
        for block in blocks:
            self.connect(block)
        await self.acceptance.mend_after_reorg()

    def check(self) -> None:
        """What must hold at any time."""
        pool, coins = self.pool, dict(self.chain.coins)
        assert pool.total_fee == sum(e.fee for e in pool.entries.values())
        assert pool.usage >= sum(e.usage for e in pool.entries.values())
        for entry in pool.in_mining_order():
            assert pool.get_by_wtxid(entry.tx.wtxid) is entry
            for txin in entry.tx.vin:
                assert txin.prevout in coins, "spent twice, or before its parent"
                del coins[txin.prevout]
                assert pool.spender_of(txin.prevout) is entry.tx
            for i in range(len(entry.tx.vout)):
                coin = pool.coin(OutPoint(entry.txid, i))
                assert coin is not None
                coins[OutPoint(entry.txid, i)] = coin


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage()


@pytest.fixture
def rig(stage: Stage) -> Rig:
    return Rig(stage.chain)


@pytest.fixture
def own() -> tuple[Rig, MiniWallet]:
    """A chain of one's own, 130 blocks, and a wallet that owns them."""
    chain, wallet = MemoryChain(), MiniWallet()
    chain.generate(130, wallet)
    return Rig(chain), wallet


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
async def test_refused(case: Refused, stage: Stage, rig: Rig) -> None:
    before, tx = case.build(stage)
    await rig.accept(*before)
    rig.events.told()
    for test_only in (True, False):
        fault = await rig.refused(tx, test_only=test_only)
        assert fault.reason == case.reason
        assert fault.detail == case.detail_for(before, tx)
    assert not rig.events.told(), "a refusal changes nothing"
    rig.check()


async def test_faults_tell_what_to_do_with_the_sender(stage: Stage, rig: Rig) -> None:
    coin = stage.coin()
    tx = stage.wallet.spend(coin)
    assert (await rig.refused(Transaction.decode(tx.stripped))).fault is TxFault.WITNESS_STRIPPED
    orphan = stage.wallet.spend(Utxo(OutPoint(b"\x07" * 32, 0), 10_000))
    fault = await rig.refused(orphan)
    assert (fault.fault, fault.reason) == (TxFault.MISSING_INPUTS, "bad-txns-inputs-missingorspent")
    wrong_output = stage.wallet.spend(Utxo(OutPoint(stage.fan.txid, 9999), 10_000))
    assert (await rig.refused(wrong_output)).fault is TxFault.MISSING_INPUTS
    cheap = stage.wallet.spend(coin, fee=1)
    assert (await rig.refused(cheap)).fault is TxFault.RECONSIDERABLE
    coinbase = stage.chain.blocks[-1].vtx[0]
    assert (await rig.refused(coinbase)).reason == "coinbase"


async def test_accepted(stage: Stage, rig: Rig) -> None:
    tx = stage.wallet.spend(stage.coin(), fee=1000)
    tried = await rig.acceptance.accept(tx, test_only=True)
    assert (tried.fee, tried.vsize, tried.effective_feerate) == (1000, tx.vsize, 1_000_000 // tx.vsize)
    assert len(rig.pool) == 0 and rig.pool.sequence == 1
    trips = rig.chain.trips
    assert await rig.acceptance.accept(tx) == tried
    assert rig.chain.trips == trips + 1
    entry = rig.pool.get(tx.txid)
    assert entry is not None and entry is rig.pool.get_by_wtxid(tx.wtxid)
    assert (entry.time, entry.height, entry.sequence) == (START, rig.chain.height, 1)
    assert rig.events.seen == [TxAdded(tx, 1000, 1, tx.vsize, rig.chain.height, True)]
    rig.check()


@pytest.mark.parametrize("wallet", ["wallet", "taproot", "keys"])
async def test_kinds_of_spends(wallet: str, stage: Stage, rig: Rig) -> None:
    owner: MiniWallet = getattr(stage, wallet)
    tx = owner.spend(stage.coin(owner), stage.coin(owner))
    await rig.accept(tx, owner.spend(outputs_of(tx, owner.script_pubkey)[0]))
    rig.check()


async def test_standard_outputs(stage: Stage, rig: Rig) -> None:
    await rig.accept(
        stage.pay(TxOut(330, stage.wallet.script_pubkey)),
        stage.pay(TxOut(0, b"\x6a" + bytes(80_000)), fee=100_000),
        stage.pay(TxOut(10_000, MULTISIG_1_OF_1)),
        stage.pay(TxOut(240, PAY_TO_ANCHOR)),
        stage.pay(version=1),
        stage.pay(version=3),
    )


async def test_settings_refuse_more(stage: Stage) -> None:
    rig = Rig(stage.chain, PolicySettings(permit_bare_multisig=False, max_datacarrier_bytes=40))
    assert (await rig.refused(stage.pay(TxOut(10_000, MULTISIG_1_OF_1)))).reason == "bare-multisig"
    data = TxOut(0, b"\x6a\x13" + bytes(19))
    await rig.accept(stage.pay(data))
    assert (await rig.refused(stage.pay(data, data))).reason == "datacarrier"
    rig = Rig(stage.chain, PolicySettings(max_datacarrier_bytes=None))
    assert (await rig.refused(stage.pay(TxOut(0, b"\x6a")))).reason == "datacarrier"
    rig = Rig(stage.chain, PolicySettings(require_standard=False))
    await rig.accept(stage.pay(TxOut(1, b"\x51\x75"), version=9))


async def test_max_feerate(stage: Stage, rig: Rig) -> None:
    tx = stage.pay(feerate=10_000)
    with pytest.raises(TxInvalid, match="max feerate exceeded"):
        await rig.acceptance.accept(tx, max_feerate=9_999)
    await rig.acceptance.accept(tx, max_feerate=11_000)


# replacement


async def test_replacement_takes_descendants_along(stage: Stage, rig: Rig) -> None:
    coin = stage.coin()
    parent = stage.wallet.spend(coin, fee=1000)
    child = stage.child(parent, fee=1000)
    await rig.accept(parent, child)
    rig.events.told()
    assert (await rig.refused(stage.wallet.spend(coin, fee=1999))).reason == "insufficient fee"
    better = stage.wallet.spend(coin, fee=2100)
    accepted = await rig.acceptance.accept(better)
    assert list(accepted.replaced) == [parent, child]
    assert rig.events.told() == [
        ("replaced", parent.txid),
        ("replaced", child.txid),
        ("added", better.txid),
    ]
    assert any("replacing mempool tx" in line for line in rig.log.lines)
    rig.check()


async def test_final_sequence_is_replaced_too(stage: Stage, rig: Rig) -> None:
    coin = stage.coin()
    await rig.accept(
        stage.wallet.spend(coin, fee=1000, sequence=0xFFFFFFFF), stage.wallet.spend(coin, fee=2000)
    )
    assert len(rig.pool) == 1


async def test_replacement_of_several(stage: Stage, rig: Rig) -> None:
    coins = [stage.coin() for _ in range(3)]
    await rig.accept(*(stage.wallet.spend(coin, fee=500) for coin in coins))
    merged = stage.wallet.spend(*coins, fee=20_000)
    accepted = await rig.acceptance.accept(merged)
    assert len(accepted.replaced) == 3 and len(rig.pool) == 1


async def test_deltas_count_for_replacement(stage: Stage, rig: Rig) -> None:
    coin = stage.coin()
    first, second = stage.wallet.spend(coin, fee=1000), stage.wallet.spend(coin, fee=1500)
    await rig.accept(first)
    rig.pool.prioritise(first.txid, 1000)
    assert (await rig.refused(second)).reason == "insufficient fee"
    rig.pool.prioritise(second.txid, 1000)
    await rig.accept(second)
    assert rig.pool.contains(second.txid)


async def test_sibling_eviction(stage: Stage, rig: Rig) -> None:
    parent = stage.pay(version=3, change=2)
    child = stage.child(parent, 0, version=3, fee=1000)
    sibling = stage.child(parent, 1, version=3, fee=3000)
    await rig.accept(parent, child)
    accepted = await rig.acceptance.accept(sibling)
    assert list(accepted.replaced) == [child]
    rig.check()


# limits


async def filled(rig: Rig, stage: Stage, count: int, least: int = 1_000) -> list[Transaction]:
    """count transactions of 20 kvB, each paying more than the one before."""
    data = TxOut(0, b"\x6a\x4d\x20\x4e" + bytes(20_000))
    txs = [stage.pay(data, fee=(least + 100 * i) * 21) for i in range(count)]
    await rig.accept(*txs)
    return txs


async def test_a_full_pool_drops_the_worst(stage: Stage) -> None:
    rig = Rig(stage.chain, PolicySettings(max_size_bytes=4_040_000))
    txs = await filled(rig, stage, 20)
    assert rig.pool.min_feerate() == 0
    limit = rig.pool.usage - 1
    rig.events.told()
    rig.pool.trim(limit)
    assert rig.events.told() == [("sizelimit", txs[0].txid)]
    worst = txs[0]
    fee = (1_000) * 21
    assert rig.pool.min_feerate() == fee * 1000 // worst.vsize + 100
    refused = await rig.refused(stage.pay(feerate=rig.pool.min_feerate() - 10))
    assert refused.reason == "mempool min fee not met" and refused.fault is TxFault.RECONSIDERABLE
    rig.check()


async def test_no_room_for_the_newcomer_itself(stage: Stage) -> None:
    rig = Rig(stage.chain, PolicySettings(max_size_bytes=4_040_000))
    await filled(rig, stage, 3, least=2_000)
    rig.pool.settings = rig.settings._replace(max_size_bytes=rig.pool.usage)
    cheap = stage.pay(feerate=150)
    fault = await rig.refused(cheap)
    assert (fault.fault, fault.reason) == (TxFault.RECONSIDERABLE, "mempool full")
    assert ("sizelimit", cheap.txid) in rig.events.told()
    assert len(rig.pool) == 3


async def test_the_minimum_decays_after_a_block(stage: Stage) -> None:
    rig = Rig(stage.chain, PolicySettings(max_size_bytes=4_040_000))
    await filled(rig, stage, 5, least=3_000)
    rig.pool.trim(rig.pool.usage - 1)
    high = rig.pool.min_feerate()
    rig.clock.mock_time += 3600 * 12
    assert rig.pool.min_feerate() == high, "no block yet"
    rig.pool.block_connected(stage.chain.blocks[-1])
    rig.clock.mock_time += 3600 * 3  # a nearly empty pool: four times as fast
    assert rig.pool.min_feerate() == pytest.approx(high / 2, abs=1)
    rig.clock.mock_time += 3600 * 24
    assert rig.pool.min_feerate() == 0


async def test_a_chunk_goes_as_a_whole(stage: Stage, rig: Rig) -> None:
    parent = stage.pay(fee=20)
    child = stage.child(parent, fee=500)
    other = stage.pay(fee=2_000)
    await rig.accept(parent, child, other)
    rig.events.told()
    rig.pool.trim(rig.pool.usage - 1)
    assert sorted(rig.events.told()) == sorted([("sizelimit", parent.txid), ("sizelimit", child.txid)])


async def test_expiry(stage: Stage, rig: Rig) -> None:
    old = stage.pay()
    child = stage.child(old)
    await rig.accept(old)
    rig.clock.mock_time += 336 * 3600 + 1
    assert (await rig.refused(child)).reason == "mempool full", "it goes with its parent"
    assert len(rig.pool) == 0
    young = stage.pay()
    await rig.accept(young)
    assert [txid for what, txid in rig.events.told() if what == "expiry"] == [old.txid, child.txid]
    assert rig.pool.contains(young.txid)


def test_least_size_of_the_pool(stage: Stage) -> None:
    with pytest.raises(ValueError, match="-maxmempool must be at least 5 MB"):
        Rig(stage.chain, PolicySettings(max_size_bytes=4_000_000))


# following the chain


async def test_block_takes_out_what_it_confirms_and_conflicts(own: tuple[Rig, MiniWallet]) -> None:
    rig, wallet = own
    coin, other = wallet.take(130), wallet.take(130)
    tx = wallet.spend(coin)
    child = wallet.spend(outputs_of(tx, wallet.script_pubkey)[0])
    loser = wallet.spend(other, fee=1000)
    loser_child = wallet.spend(outputs_of(loser, wallet.script_pubkey)[0])
    winner = wallet.spend(other, fee=500)
    await rig.accept(tx, child, loser, loser_child)
    rig.pool.prioritise(loser.txid, 7)
    rig.pool.prioritise(tx.txid, 7)
    rig.events.told()
    rig.generate(wallet, [tx, winner])
    assert rig.events.told() == [
        ("block", tx.txid),
        ("conflict", loser.txid),
        ("conflict", loser_child.txid),
    ]
    assert list(rig.pool.entries) == [child.txid] and not rig.pool.deltas
    assert rig.pool.parents(child.txid) == []
    rig.check()


async def test_reorganisation_puts_back(own: tuple[Rig, MiniWallet]) -> None:
    rig, wallet = own
    tx = wallet.spend(wallet.take(130))
    child = wallet.spend(outputs_of(tx, wallet.script_pubkey)[0])
    grandchild = wallet.spend(outputs_of(child, wallet.script_pubkey)[0])
    rig.generate(wallet, [tx, child])
    await rig.accept(grandchild)
    rig.events.told()
    await rig.reorganise(1)
    assert rig.events.told() == [("added", tx.txid), ("added", child.txid)]
    assert rig.pool.cluster(tx.txid)[0].txids[0] == tx.txid
    assert [e.txid for e in rig.pool.ancestors(grandchild.txid)] == [grandchild.txid, child.txid, tx.txid]
    assert rig.pool.entries[tx.txid].sequence == 0
    rig.check()


async def test_reorganisation_keeps_what_the_new_branch_confirms(own: tuple[Rig, MiniWallet]) -> None:
    rig, wallet = own
    both, once = wallet.spend(wallet.take(130)), wallet.spend(wallet.take(130))
    child = wallet.spend(outputs_of(both, wallet.script_pubkey)[0])
    fork = MemoryChain()
    for block in rig.chain.blocks[1:]:
        fork.connect(block)
    branch = fork.generate(2, MiniWallet(), [both], time=rig.chain.tip.time + 700)
    rig.generate(wallet, [both, once])
    await rig.accept(child)
    await rig.reorganise(1, branch)
    assert set(rig.pool.entries) == {once.txid, child.txid}
    rig.check()


async def test_reorganisation_drops_spends_of_lost_coinbases(own: tuple[Rig, MiniWallet]) -> None:
    rig, wallet = own
    young = next(u for u in wallet.utxos if u.height == 31)
    tx = wallet.spend(young)
    child = wallet.spend(outputs_of(tx, wallet.script_pubkey)[0])
    await rig.accept(tx, child)
    rig.events.told()
    await rig.reorganise(1)
    assert rig.events.told() == [("reorg", tx.txid), ("reorg", child.txid)]
    for _ in range(2):
        rig.generate(wallet)
    coinbase = next(u for u in wallet.utxos if u.height == 131)
    assert coinbase.height != UNCONFIRMED
    lost = wallet.spend(coinbase)
    fault = await rig.refused(lost)
    assert fault.reason == "bad-txns-premature-spend-of-coinbase"


async def test_reorganisation_drops_what_is_not_final_any_more(own: tuple[Rig, MiniWallet]) -> None:
    rig, wallet = own
    by_height = wallet.spend(wallet.take(130), locktime=130, sequence=0)
    coin = wallet.take(130)
    relative = wallet.spend(coin, sequence=131 - coin.height)
    fine = wallet.spend(wallet.take(130), locktime=129, sequence=0)
    await rig.accept(by_height, relative, fine)
    await rig.reorganise(1)
    assert list(rig.pool.entries) == [fine.txid]
    rig.check()


async def test_reorganisation_drops_descendants_of_what_does_not_come_back(
    own: tuple[Rig, MiniWallet],
) -> None:
    rig, wallet = own
    coin = wallet.take(130)
    nonstandard = wallet.spend(coin, version=9)
    child = wallet.spend(outputs_of(nonstandard, wallet.script_pubkey)[0])
    rig.generate(wallet, [nonstandard])
    await rig.accept(child)
    rig.events.told()
    await rig.reorganise(1)
    assert rig.events.told() == [("reorg", child.txid)]
    assert len(rig.pool) == 0


async def test_reorganisation_keeps_clusters_within_limits(own: tuple[Rig, MiniWallet]) -> None:
    rig, wallet = own
    chain = [wallet.spend(wallet.take(130))]
    while len(chain) < 100:
        chain.append(wallet.spend(outputs_of(chain[-1], wallet.script_pubkey)[0], feerate=1000))
    rig.generate(wallet, chain[:50])
    await rig.accept(*chain[50:])
    await rig.reorganise(1)
    assert 50 <= len(rig.pool) <= 64
    assert rig.pool.contains(chain[49].txid)
    rig.check()


async def test_given_up_after_too_many_blocks(own: tuple[Rig, MiniWallet]) -> None:
    rig, wallet = own
    tx = wallet.spend(wallet.take(130))
    child = wallet.spend(outputs_of(tx, wallet.script_pubkey)[0])
    rig.generate(wallet, [tx])
    await rig.accept(child)
    rig.pool.block_disconnected(rig.chain.disconnect())
    await rig.acceptance.mend_after_reorg(lambda: False)
    assert len(rig.pool) == 0 and len(rig.pool.disconnected) == 0


async def test_unbroadcast(stage: Stage, rig: Rig) -> None:
    tx = stage.pay()
    rig.pool.add_unbroadcast(tx.txid)
    assert not rig.pool.unbroadcast
    await rig.accept(tx)
    rig.pool.add_unbroadcast(tx.txid)
    assert list(rig.pool.unbroadcast) == [tx.txid]
    rig.pool.remove([tx.txid], RemovalReason.EXPIRY)
    assert not rig.pool.unbroadcast


def test_null_prevout_is_no_coinbase(stage: Stage) -> None:
    tx = Transaction.make([TxIn(OutPoint(ZERO_HASH, 0))], [TxOut(1, b"\x51")])
    assert not tx.is_coinbase


@pytest.mark.parametrize("template", INVALID_TRANSACTIONS, ids=lambda template: template.name)
async def test_invalid_transactions(template: InvalidTransaction) -> None:
    """What breaks the rules by itself, on the scene that blocks are tested on."""
    scene = make_scene()
    chain = MemoryChain(scene.params)
    for block in scene.blocks:
        chain.connect(block)
    fault = await Rig(chain).refused(template.build(scene))
    missing = fault.fault is TxFault.MISSING_INPUTS
    assert ("missing-inputs" if missing else fault.reason) == template.in_mempool
