"""A wallet and the chain: balances, reorganisations, restarts, conflicts, look-ahead. Amounts retyped."""

from __future__ import annotations

import asyncio

import pytest
from ports import make_ports
from wallet_world import NOBODY, SETTINGS, START, WalletWorld, wallet_world

from pybitcoind.wallet.errors import WalletError
from pybitcoind.wallet.history import entries
from pybitcoind.wallet.ledger import Confirmed, Conflicted, Inactive, InMempool
from pybitcoind.wallet.spending import Recipient, SpendOptions, available_coins, create_transaction
from pybitcoind.wallet.store import WalletStore
from pybitcoind.wallet.wallet import Wallet

COIN = 100_000_000
SUBSIDY = 50 * COIN


async def funded(world: WalletWorld, name: str = "alice", coins: int = 1) -> Wallet:
    """A wallet with mature coinbases of 50 BTC each."""
    wallet, warnings = await world.wallets.create(name, seed=name.encode().ljust(32, b"\0"))
    assert warnings == []
    await world.mine(coins, wallet)
    await world.mine(100)
    return wallet


async def test_a_coinbase_is_immature_for_a_hundred_blocks() -> None:
    async with wallet_world() as world:
        wallet, _ = await world.wallets.create("alice")
        await world.mine(1, wallet)
        await world.mine(99)
        balance = wallet.balance()
        assert (balance.trusted, balance.immature) == (0, SUBSIDY)
        assert available_coins(wallet) == []
        (entry,) = entries(wallet, next(iter(wallet.ledger)))
        assert (entry.category, entry.amount) == ("immature", SUBSIDY)
        await world.mine()
        balance = wallet.balance()
        assert (balance.trusted, balance.immature) == (SUBSIDY, 0)
        assert [entry.category for entry in entries(wallet, next(iter(wallet.ledger)))] == ["generate"]


async def test_own_change_is_trusted_and_incoming_is_pending() -> None:
    async with wallet_world() as world:
        alice = await funded(world)
        bob, _ = await world.wallets.create("bob")
        tx = await world.pay(alice, bob, 3 * COIN)
        fee = SUBSIDY - sum(out.value for out in tx.vout)
        assert alice.balance().trusted == SUBSIDY - 3 * COIN - fee
        assert (bob.balance().trusted, bob.balance().pending) == (0, 3 * COIN)
        again = await world.pay(alice, bob, COIN)  # spends the unconfirmed change
        assert again.vin[0].prevout.txid == tx.txid
        with pytest.raises(WalletError, match="Insufficient funds"):
            await world.pay(bob, alice, COIN)
        await world.mine()
        assert (bob.balance().trusted, bob.balance().pending) == (4 * COIN, 0)
        sent = [entry for wtx in alice.ledger for entry in entries(alice, wtx) if entry.category == "send"]
        assert (sent[0].amount, sent[0].fee) == (-3 * COIN, -fee)
        assert len(sent) == 2  # change is not listed


async def test_a_reorganisation_makes_pending_what_was_confirmed_and_orphans_coinbases() -> None:
    async with wallet_world() as world:
        alice = await funded(world)
        bob, _ = await world.wallets.create("bob")
        fork = world.chain.tip
        tx = await world.pay(alice, bob, COIN)
        await world.mine(1, alice)
        assert isinstance(bob.ledger.txs[tx.txid].state, Confirmed)
        coinbase = next(w for w in alice.ledger if w.tx.is_coinbase and alice.ledger.depth(w) == 1)
        tip = await world.mine(2, on=fork, txs=[])
        assert world.chain.tip is tip and alice.best is not None and alice.best.hash == tip.hash
        assert isinstance(bob.ledger.txs[tx.txid].state, InMempool)
        assert (bob.balance().trusted, bob.balance().pending) == (0, COIN)
        assert coinbase.abandoned and alice.balance().immature == 0
        assert [entry.category for entry in entries(alice, coinbase)] == ["orphan"]
        await world.mine()
        assert bob.balance().trusted == COIN
        await world.mine(3, on=fork, txs=[tx])  # behind: nothing changes
        assert bob.balance().trusted == COIN


async def test_two_own_spends_that_conflict_after_a_reorganisation_are_told_apart() -> None:
    """The first spend is mined, the chain it is in is left, and a second spend of the coin is mined."""
    async with wallet_world() as world:
        alice = await funded(world)
        bob, _ = await world.wallets.create("bob")
        fork = world.chain.tip
        async with alice.spending:
            rival = await create_transaction(
                alice, [Recipient(await world.script_of(bob), 2 * COIN)], SpendOptions()
            )
        first = await world.pay(alice, bob, COIN)
        child = await world.pay(alice, NOBODY, COIN // 2)
        await world.mine()
        assert bob.balance().trusted == COIN
        tip = await world.mine(2, on=fork, txs=[rival.tx])
        assert world.chain.tip is tip
        ledger = alice.ledger
        assert isinstance(ledger.txs[rival.tx.txid].state, Confirmed)
        assert isinstance(ledger.txs[first.txid].state, Conflicted)
        assert isinstance(ledger.txs[child.txid].state, Conflicted)  # it spends the first one's change
        assert ledger.depth(ledger.txs[first.txid]) == -2
        assert ledger.rivals(ledger.txs[first.txid].tx) == [rival.tx.txid]
        assert bob.balance().trusted == 2 * COIN and bob.balance().pending == 0
        assert alice.balance().trusted == SUBSIDY - 2 * COIN - rival.fee
        # and back: the first chain grows past the second
        await world.mine(3, on=fork, txs=[first, child])
        assert isinstance(ledger.txs[first.txid].state, Confirmed)
        assert isinstance(ledger.txs[rival.tx.txid].state, Conflicted)
        assert bob.balance().trusted == COIN


async def test_a_replacement_frees_nothing_twice() -> None:
    async with wallet_world() as world:
        alice = await funded(world)
        async with alice.spending:
            rival = await create_transaction(
                alice, [Recipient(NOBODY, 2 * COIN)], SpendOptions(feerate=100_000)
            )
        first = await world.pay(alice, NOBODY, COIN)
        await world.chain.accept_transaction(rival.tx)
        await world.drained()
        wtx = alice.ledger.txs[first.txid]
        assert isinstance(wtx.state, Inactive)
        assert list(wtx.mempool_conflicts) == [rival.tx.txid]
        assert alice.balance().trusted == SUBSIDY - 2 * COIN - rival.fee


async def test_restart_between_broadcast_and_confirmation() -> None:
    ports = make_ports(now=START)
    async with wallet_world(ports) as world:
        alice = await funded(world)
        tx = await world.pay(alice, NOBODY, COIN)
        balance = alice.balance().trusted
    async with wallet_world(ports, names=["alice"]) as world:
        alice = world.wallets.wallets["alice"]
        assert list(world.pool.entries) == [tx.txid]  # the mempool was empty: the wallet sent it again
        assert isinstance(alice.ledger.txs[tx.txid].state, InMempool)
        assert alice.balance().trusted == balance
        await world.mine()
        assert alice.ledger.depth(alice.ledger.txs[tx.txid]) == 1


async def test_a_wallet_that_was_not_loaded_catches_up_over_a_reorganisation() -> None:
    async with wallet_world() as world:
        alice = await funded(world)
        bob, _ = await world.wallets.create("bob")
        fork = world.chain.tip
        async with alice.spending:
            rival = await create_transaction(
                alice, [Recipient(await world.script_of(bob), 2 * COIN)], SpendOptions()
            )
        lost = await world.pay(alice, bob, COIN)
        await world.mine()
        assert bob.balance().trusted == COIN
        await world.wallets.unload("bob")
        assert list(world.wallets.wallets) == ["alice"]
        with pytest.raises(WalletError, match="does not exist or is not loaded"):
            await world.wallets.unload("bob")
        await world.mine(3, on=fork, txs=[rival.tx])
        bob, _ = await world.wallets.load("bob")
        with pytest.raises(WalletError, match='Wallet "bob" is already loaded'):
            await world.wallets.load("bob")
        assert bob.best is not None and bob.best.hash == world.chain.tip.hash
        assert isinstance(bob.ledger.txs[lost.txid].state, Conflicted)
        assert isinstance(bob.ledger.txs[rival.tx.txid].state, Confirmed)
        assert (bob.balance().trusted, bob.balance().pending) == (2 * COIN, 0)


async def test_look_ahead_grows_while_blocks_are_read() -> None:
    """A copy of a wallet finds payments to far addresses, as each one used moves the look-ahead on."""
    seed = bytes(range(32))
    async with wallet_world() as world:
        alice = await funded(world)
        carol, _ = await world.wallets.create("carol", seed=seed)
        for _ in range(9):
            await world.pay(alice, carol, COIN // 100)
            for _ in range(7):  # a gap below the look-ahead of 10
                await carol.new_address()
            await world.mine()
        far = await world.script_of(carol)
        copy, _ = await world.wallets.create("copy", seed=seed)
        assert far not in copy.book and copy.balance().trusted == 0
        follower = world.wallets.followers["copy"]
        scan = follower.reserve()
        with pytest.raises(WalletError, match="currently rescanning"):
            follower.reserve()
        await follower.rescan(scan, 0)
        follower.release()
        assert copy.balance().trusted == 9 * COIN // 100 == carol.balance().trusted
        entry = copy.book.active("bech32", False)
        assert entry is not None and entry.next_index == 65 and entry.range_end == 75
        assert len(copy.addresses) == 65


async def test_abandoned_inputs_may_be_spent_again() -> None:
    async with wallet_world(settings=SETTINGS._replace(broadcast=False)) as world:
        alice = await funded(world)
        tx = await world.pay(alice, NOBODY, COIN)
        assert alice.balance().trusted == 0
        assert alice.balance(include_nonmempool=True).nonmempool == -SUBSIDY
        await alice.abandon(alice.ledger.txs[tx.txid])
        assert alice.balance().trusted == SUBSIDY
        with pytest.raises(WalletError, match="not eligible for abandonment"):
            await alice.abandon(alice.ledger.txs[tx.txid])


async def test_the_file_holds_what_the_wallet_knows() -> None:
    ports = make_ports(now=START)
    async with wallet_world(ports) as world:
        alice = await funded(world)
        first = await alice.new_address("legacy", "rent")
        coin = available_coins(alice)[0]
        await alice.lock_coins([coin.outpoint], persistent=True)
        texts = [str(entry.descriptor) for entry in alice.book.descriptors.values()]
        scripts = list(alice.book.scripts)
    async with wallet_world(ports, names=["alice"]) as world:
        alice = world.wallets.wallets["alice"]
        assert [str(entry.descriptor) for entry in alice.book.descriptors.values()] == texts
        assert sorted(alice.book.scripts) == sorted(scripts)
        assert alice.addresses[first].label == "rent"
        assert list(alice.locked) == [coin.outpoint] and available_coins(alice) == []
        assert alice.balance().trusted == SUBSIDY
        assert await alice.new_address("legacy") != first
        await alice.unlock_coins([coin.outpoint])
        async with alice.spending:
            created = await create_transaction(alice, [Recipient(NOBODY, COIN)], SpendOptions())
        await alice.lock_coins([coin.outpoint], persistent=True)
        await world.chain.accept_transaction(created.tx)  # the private keys are there
        await world.drained()
        assert list(alice.locked) == []
        assert (await alice.store.load()).locked == []


async def test_a_wallet_that_was_never_finished_is_refused() -> None:
    async with wallet_world() as world:
        store = await WalletStore.open(world.chain.ports.storage, "wallets/half", world.chain.params)
        await store.close()
        with pytest.raises(WalletError, match="Error loading half: Wallet corrupted"):
            await world.wallets.load("half")


async def test_payments_at_once_do_not_take_the_same_coin() -> None:
    async with wallet_world() as world:
        alice = await funded(world, coins=3)
        txs = await asyncio.gather(*(world.pay(alice, NOBODY, 40 * COIN) for _ in range(3)))
        assert len({txin.prevout for tx in txs for txin in tx.vin}) == 3
