"""The test kit drives Bitcoin Core's daemon by the same calls as ours."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from pybitcoind.node.testing import BitcoinNetwork, NotPossible
from pybitcoind.p2p import messages as m

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("program", ["ours", "core"])
async def test_the_same_test_against_both(bitcoind: Path, program: str) -> None:
    path = bitcoind if program == "core" else None
    async with BitcoinNetwork(["a", "b"], mode="process", program=path, options=["txindex"]) as network:
        a, b = network.nodes
        wallet = await b.wallet()
        paid = await network.fund(wallet, 2)
        assert await wallet.balance() == 2
        txid = await wallet.pay(await a.wallet(), "0.5", fee_rate=3)
        await a.wait_for_tx(txid)
        txid = await wallet.bump(txid, 20)
        await a.wait_for_tx(txid)
        await network.mine()
        assert await (await a.wallet()).balance() == Decimal("0.5")
        await network.partition([a], [b])
        await b.mine(2)
        await a.reorg(2, 3, transactions=[network.faucet.double_spend(paid)])
        await a.mine(2)
        await network.heal()
        await network.wait_for_sync()
        assert await wallet.balance() == 0
        await a.fill_mempool(5, [3, 9])
        peer = await a.raw_peer()
        await peer.sync()
        peer.send_payload("headers", b"\xfd\xd1\x07" + bytes(81 * 2001))
        await peer.wait_closed()
        before = await network.snapshot()
        tip = await a.tip()
        await network.mine(2)
        await network.restore(before)
        assert await a.tip() == tip


@pytest.mark.parametrize("clock", ["fixed", "stepping"])
async def test_clocks_of_core(bitcoind: Path, clock: str) -> None:
    async with BitcoinNetwork(2, program=bitcoind, clock=clock) as network:
        await network.mine(3)
        await network.advance(100_000)
        await network.mine(1)
        header = await network[1].rpc.getblockheader(await network[1].tip())
        assert header["time"] == network.clock.time()


async def test_core_beside_ours(bitcoind: Path) -> None:
    async with BitcoinNetwork(["ours"], mode="tcp") as network:
        core = await network.add_node("core", program=bitcoind, links=[network["ours"]])
        await core.mine(2)
        await network.wait_for_sync()
        txid = await core.fund(network.faucet.address, 1, confirmations=0)
        await network["ours"].wait_for_tx(txid)
        peer = await core.raw_peer()
        peer.send(m.Ping(1))
        await peer.wait_for(m.Pong)


async def test_what_core_lacks(bitcoind: Path) -> None:
    with pytest.raises(NotPossible, match="knows no role 'spv'"):
        async with BitcoinNetwork(["a"], roles={"a": "spv"}, program=bitcoind):
            pass
    async with BitcoinNetwork(1) as network:
        with pytest.raises(NotPossible, match="cannot join a network in memory"):
            await network.add_node(program=bitcoind)
