"""Spends as they come out: fees to the satoshi, change, dust, who pays the fee, locktime, refusals."""

from __future__ import annotations

import pytest
from wallet_world import NOBODY, SETTINGS, WalletWorld, wallet_world

from pybitcoind.chain.primitives.transaction import OutPoint, TxOut
from pybitcoind.chain.script.address import decode_address
from pybitcoind.chain.script.solver import solve
from pybitcoind.wallet.errors import WalletError, WalletFault
from pybitcoind.wallet.ledger import Confirmed
from pybitcoind.wallet.spending import (
    Created,
    Recipient,
    SpendOptions,
    anti_fee_sniping_locktime,
    available_coins,
    create_transaction,
)
from pybitcoind.wallet.wallet import Wallet

COIN = 100_000_000
KINDS = {
    "legacy": "pubkeyhash",
    "p2sh-segwit": "scripthash",
    "bech32": "witness_v0_keyhash",
    "bech32m": "witness_v1_taproot",
}


async def funded(world: WalletWorld, *amounts: int, kind: str = "bech32") -> Wallet:
    """A wallet with confirmed coins of these amounts, all of one kind."""
    payer, _ = await world.wallets.create("payer", seed=bytes(32))
    await world.mine(3, payer)
    await world.mine(100)
    wallet, _ = await world.wallets.create("wallet", seed=b"\x01" * 32)
    for amount in amounts:
        script = decode_address(await wallet.new_address(kind), wallet.params).script_pubkey
        await world.pay(payer, script, amount)
    await world.mine()
    return wallet


async def create(
    wallet: Wallet, *recipients: Recipient, feerate: int | None = None, replaceable: bool | None = None
) -> Created:
    options = SpendOptions(feerate=feerate, replaceable=replaceable)
    async with wallet.spending:
        return await create_transaction(wallet, recipients, options)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_fee_is_exact_and_the_mempool_takes_it(kind: str) -> None:
    async with wallet_world() as world:
        wallet = await funded(world, COIN, COIN, COIN, kind=kind)
        created = await create(wallet, Recipient(NOBODY, 5 * COIN // 2), feerate=12_345)
        tx = created.tx
        assert len(tx.vin) == 3 and created.change is not None
        spent = sum(wallet.ledger.txos[txin.prevout].value for txin in tx.vin)
        assert created.fee == spent - sum(out.value for out in tx.vout)
        exact = -(-12_345 * tx.vsize // 1000)
        assert exact <= created.fee <= exact + 2 * 13  # a signature in 256 is a byte shorter
        assert solve(tx.vout[created.change].script_pubkey)[0] == "witness_v1_taproot"
        accepted = await world.chain.accept_transaction(tx)
        assert accepted.fee == created.fee


@pytest.mark.parametrize("kind", KINDS)
async def test_change_looks_like_the_payment(kind: str) -> None:
    async with wallet_world() as world:
        wallet = await funded(world, COIN)
        other, _ = await world.wallets.create("other")
        script = decode_address(await other.new_address(kind), other.params).script_pubkey
        created = await create(wallet, Recipient(script, COIN // 2))
        assert created.change is not None
        assert solve(created.tx.vout[created.change].script_pubkey)[0] == KINDS[kind]


async def test_change_that_would_be_dust_goes_to_the_fee() -> None:
    async with wallet_world() as world:
        wallet = await funded(world, COIN)
        before = wallet.book.active("bech32m", True)
        assert before is not None
        fresh = before.next_index
        created = await create(wallet, Recipient(NOBODY, COIN - 3000), feerate=20_000)
        assert created.change is None and len(created.tx.vout) == 1 and created.fee == 3000
        assert before.next_index == fresh  # the change address is free again
        created = await create(wallet, Recipient(NOBODY, COIN - 10_000), feerate=20_000)
        assert created.change is not None


async def test_recipients_pay_the_fee_in_equal_parts() -> None:
    async with wallet_world() as world:
        wallet = await funded(world, COIN)
        other = b"\x00\x20" + b"\x01" * 32
        created = await create(
            wallet, Recipient(NOBODY, COIN // 2, True), Recipient(other, COIN // 2, True), feerate=10_001
        )
        paid = {out.script_pubkey: COIN // 2 - out.value for out in created.tx.vout}
        assert created.change is None
        assert paid[NOBODY] + paid[other] == created.fee
        assert paid[NOBODY] - paid[other] == created.fee % 2
        assert created.fee in range(10 * created.tx.vsize, 10 * created.tx.vsize + 12)


async def test_refusals_in_cores_words() -> None:
    async with wallet_world() as world:
        wallet = await funded(world, COIN)

        async def refused(message: str, *recipients: Recipient, feerate: int | None = None) -> None:
            with pytest.raises(WalletError) as caught:
                await create(wallet, *recipients, feerate=feerate)
            assert str(caught.value) == message
            assert caught.value.fault is WalletFault.INSUFFICIENT_FUNDS

        await refused("Insufficient funds", Recipient(NOBODY, 2 * COIN))
        await refused(
            "The total exceeds your balance when the 0.0000108 transaction fee is included.",
            Recipient(NOBODY, COIN),
        )
        await refused("Transaction amount too small", Recipient(NOBODY, 329))
        await refused("The transaction amount is too small to pay the fee", Recipient(NOBODY, 330, True))
        await refused(
            "The transaction amount is too small to send after the fee has been deducted",
            Recipient(NOBODY, 400, True),
            feerate=1000,
        )
        await refused(
            "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)",
            Recipient(NOBODY, COIN // 2),
            feerate=100_000_000,
        )
        await refused(
            "Fee rate (0.100 sat/vB) is lower than the minimum fee rate setting (1.000 sat/vB).\n"
            "Consider modifying -mintxfee (1.000 sat/vB) or -minrelaytxfee (0.100 sat/vB).",
            Recipient(NOBODY, COIN // 2),
            feerate=100,
        )


async def test_without_estimates_and_fallback_a_feerate_is_asked_for() -> None:
    settings = SETTINGS._replace(fallback_feerate=0, fallback_allowed=False)
    async with wallet_world(settings=settings) as world:
        payer, _ = await world.wallets.create("payer", seed=bytes(32))
        await world.mine(1, payer)
        await world.mine(100)
        with pytest.raises(WalletError, match="Fallbackfee is disabled"):
            await create(payer, Recipient(NOBODY, COIN))
        await create(payer, Recipient(NOBODY, COIN), feerate=1000)


async def test_sequences_and_locktime() -> None:
    async with wallet_world() as world:
        wallet = await funded(world, COIN)
        height = world.chain.tip.height
        locktimes = [anti_fee_sniping_locktime(wallet) for _ in range(200)]
        assert 140 < locktimes.count(height) < 200 and min(locktimes) >= max(0, height - 99)
        created = await create(wallet, Recipient(NOBODY, COIN // 2))
        assert {txin.sequence for txin in created.tx.vin} == {0xFFFFFFFD}
        created = await create(wallet, Recipient(NOBODY, COIN // 2), replaceable=False)
        assert {txin.sequence for txin in created.tx.vin} == {0xFFFFFFFE}
        world.chain.ports.clock.set_mock_time(world.chain.tip.time + 8 * 3600 + 1)
        assert anti_fee_sniping_locktime(wallet) == 0


async def test_kinds_of_inputs_are_not_mixed_without_need() -> None:
    async with wallet_world() as world:
        wallet = await funded(world, COIN, COIN)
        script = decode_address(await wallet.new_address("bech32m"), wallet.params).script_pubkey
        payer = world.wallets.wallets["payer"]
        await world.pay(payer, script, COIN)
        await world.mine()
        created = await create(wallet, Recipient(NOBODY, 3 * COIN // 2))
        kinds = {solve(wallet.ledger.txos[txin.prevout].script_pubkey)[0] for txin in created.tx.vin}
        assert kinds == {"witness_v0_keyhash"}
        created = await create(wallet, Recipient(NOBODY, 5 * COIN // 2))
        assert len(created.tx.vin) == 3


async def test_thousands_of_coins() -> None:
    """Choosing among 3000 coins stays fast enough for the event loop, and the result within the weight."""
    async with wallet_world() as world:
        wallet = await funded(world, COIN)
        txid = next(iter(wallet.ledger.txs))
        place = wallet.ledger.txs[txid].state
        assert isinstance(place, Confirmed)
        script = next(iter(wallet.book.scripts))
        for n in range(1000, 4000):
            wallet.ledger.txos[OutPoint(txid, n)] = TxOut(20_000 + n, script)
        assert len(available_coins(wallet)) == 3001
        with pytest.raises(WalletError, match="The inputs size exceeds the maximum weight"):
            await create(wallet, Recipient(NOBODY, COIN + 50_000_000), feerate=1000)
