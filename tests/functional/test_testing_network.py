"""The test kit's nodes: blocks, money, reorganisations, snapshots; in memory, over TCP and as processes."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from pybitcoind.node.testing import (
    BitcoinNetwork,
    NodeFailed,
    NotPossible,
    RpcFailure,
    Snapshot,
    Spec,
    WaitFailed,
)

MODES = ["memory", "tcp", "process"]


@pytest.mark.parametrize("mode", MODES)
async def test_pay_confirm_and_reorganise(mode: str) -> None:
    async with BitcoinNetwork(["a", "b"], mode=mode) as network:
        a, b = network.nodes
        assert await a.height() == await b.height() == 101
        wallet = await b.wallet()
        txid = await a.pay(wallet, 1)
        await b.wait_for_tx(txid)
        assert await wallet.pending() == 1
        await b.mine()
        await network.wait_for_sync()
        await network.wait_for_tx(txid, confirmations=1)
        assert await wallet.balance() == 1
        branch = await a.reorg(1)
        assert await network.wait_for_sync() == branch[-1]
        assert await b.height() == await a.height() == 104
        assert await b.mempool() == [txid] and await wallet.balance() == 0


async def test_roles() -> None:
    async with BitcoinNetwork(
        ["full", "miner", "light"], roles={"miner": "miner", "light": "spv"}, topology="mesh"
    ) as network:
        full, _, light = network.nodes
        wallet = await light.wallet()
        await network.fund(wallet, "0.5")
        assert await wallet.balance() == Decimal("0.5")
        txid = await wallet.pay(await full.wallet(), "0.2")
        await full.wait_for_tx(txid)
        await network.sleep(600)  # a miner finds a block every ten minutes
        await full.wait_for_tx(txid, confirmations=1)
        await network.wait_for_sync()
        assert await (await full.wallet()).balance() == Decimal("0.2")
        with pytest.raises(NotPossible, match="SPV"):
            await light.wait_for_tx(txid)
        with pytest.raises(RpcFailure, match="SPV"):
            await light.mine()


async def test_one_seed_gives_one_run() -> None:
    async def run(seed: int) -> list[object]:
        async with BitcoinNetwork(5, topology="random", seed=seed) as network:
            for link in network.links:
                link.delay(0.05)
                link.jitter(0.1)
            wallet = await network[3].wallet()
            await network.fund(wallet, 3)
            txid = await wallet.pay(await network[1].wallet(), 1)
            await network.wait_for_tx(txid)
            await network.mine()
            seen = [[line.split(" ", 1)[-1] for line in node.log] for node in network.nodes]
            pairs = [(link.dialler.name, link.listener.name) for link in network.links]
            nonces = [(await network[0].raw_peer()).version().nonce for _ in range(2)]
            assert nonces[0] != nonces[1]
            return [txid, await network[0].tip(), network.clock.monotonic(), pairs, seen, nonces]

    first = await run(7)
    assert await run(7) == first
    assert (await run(8))[0] != first[0]


async def test_a_wait_in_vain_says_what_it_saw() -> None:
    async with BitcoinNetwork(["a", "b"], topology="none", limit=3) as network:
        a, b = network.nodes
        await a.mine()
        with pytest.raises(WaitFailed) as failed:
            await network.wait_for_sync()
        assert "waited 3 s for one tip everywhere; saw a at 102 " in str(failed.value)
        assert ", b at 101 " in str(failed.value)
        with pytest.raises(
            WaitFailed, match=r"b: transaction f{64}; saw no such transaction; b at height 101"
        ):
            await b.wait_for_tx("f" * 64)
        with pytest.raises(WaitFailed, match="its log ends with\n"):
            await b.wait_for_height(102)
        with pytest.raises(
            WaitFailed, match=f"b: tip f{{64}}; saw b at height 101, tip {await b.tip()}, with 0 c"
        ):
            await b.wait_for_tip("f" * 64)
        with pytest.raises(
            WaitFailed, match=r"b: 2 connections; saw b .* with 0 connections; its log ends with"
        ):
            await b.wait_for_peers(2)


async def test_rpc_is_typed_and_says_what_http_says() -> None:
    async with BitcoinNetwork(1) as network:
        node = network[0]
        assert await node.rpc.getblockcount() == 101
        info = await node.rpc.getblockchaininfo()
        assert isinstance(info["difficulty"], Decimal) and info["blocks"] == 101
        address = await node.new_address()
        assert (await node.rpc.validateaddress(address))["isvalid"]
        assert (await node.rpc.call("getblockhash", height=0)) == await node.rpc.getblockhash(0)
        with pytest.raises(
            RpcFailure, match=r"getblockhash: Block height out of range \(code -8\)"
        ) as failed:
            await node.rpc.getblockhash(500)
        assert failed.value.code == -8
        with pytest.raises(RpcFailure, match="Method not found"):
            await node.rpc.call("nosuchmethod")
        with pytest.raises(RpcFailure, match="Requested wallet does not exist"):
            await node.rpc.for_wallet("nobody").getbalance()


async def test_stop_start_and_kill() -> None:
    async with BitcoinNetwork(["a", "b"]) as network:
        a, b = network.nodes
        wallet = await b.wallet()
        await network.fund(wallet, 2)
        txid = await wallet.pay(await a.wallet(), 1)
        await a.wait_for_tx(txid)
        await b.restart()
        assert await b.mempool() == [txid] and await b.rpc.listwallets() == ["wallet"]
        await b.stop()
        with pytest.raises(NodeFailed, match="b does not run"):
            await b.height()
        await a.mine(2)
        await b.start()
        await network.wait_for_sync()
        assert await wallet.balance() == await wallet.balance() > 0
        await b.kill()
        await a.mine(2)
        await b.start()
        await network.wait_for_sync()
        assert await b.height() == await a.height()


async def test_a_node_that_does_not_start_says_why() -> None:
    with pytest.raises(NodeFailed, match="Invalid parameter -nosuchoption"):
        async with BitcoinNetwork(1, options=["nosuchoption"]):
            pass
    with pytest.raises(NodeFailed, match="Prune mode is incompatible with -txindex"):
        async with BitcoinNetwork(1, options=["prune=1", "txindex"]):
            pass


async def test_a_node_that_fails_fails_the_test() -> None:
    with pytest.raises(NodeFailed, match="node0: out of ink"):
        async with BitcoinNetwork(1) as network:
            node = network[0]
            node.engine.node.fail("out of ink")  # type: ignore[attr-defined]
            await network.sleep(1)


async def test_double_spends() -> None:
    async with BitcoinNetwork(1) as network:
        (node,) = network.nodes
        wallet = await node.wallet()
        paid = await node.fund(wallet, 5)
        assert await wallet.balance() == 5
        await node.reorg(1, transactions=[network.faucet.double_spend(paid)])
        assert await wallet.balance() == 0 and await node.mempool() == []
        await node.fund(wallet, 5)
        spent = await wallet.pay(network.faucet.address, 1)
        conflict = await wallet.double_spend(spent)
        replaced = await node.send(conflict)
        assert await node.mempool() == [replaced]
        await node.mine()
        assert 0 < 5 - await wallet.balance() < Decimal("0.001")
        with pytest.raises(ValueError, match="no payment of the faucet's"):
            network.faucet.double_spend(spent)


async def test_forks_that_do_not_win() -> None:
    async with BitcoinNetwork(1) as network:
        (node,) = network.nodes
        await node.mine(3)
        tip = await node.tip()
        hashes = await node.reorg(2, 1)
        assert await node.tip() == tip and len(hashes) == 1
        tips = {tip["hash"]: tip["status"] for tip in await node.rpc.getchaintips()}
        assert tips == {tip: "active", hashes[0]: "valid-headers"}
        with pytest.raises(ValueError, match="depth 200 on a chain of 104 blocks"):
            await node.reorg(200)


async def test_fill_mempool_and_bump() -> None:
    async with BitcoinNetwork(1) as network:
        (node,) = network.nodes
        txids = await node.fill_mempool(20, [5, 50])
        entries = await node.rpc.getrawmempool(True)
        assert sorted(entries) == sorted(txids)
        rates = sorted(float(entry["fees"]["base"]) * 1e8 / entry["vsize"] for entry in entries.values())
        assert all(5 <= rate < 5.1 for rate in rates[:10]) and all(50 <= rate < 50.1 for rate in rates[10:])
        (big,) = await node.fill_mempool(1, 7, size=5000)
        assert abs((await node.rpc.getmempoolentry(big))["vsize"] - 5000) < 20


async def test_fill_mempool_beside_payments_that_wait() -> None:
    """What it spends is confirmed, whatever of the faucet's is not."""
    async with BitcoinNetwork(1) as network:
        (node,) = network.nodes
        waiting = [await network.faucet.pay(node, [(network.faucet.address, 1)]) for _ in range(2)]
        txids = await node.fill_mempool(3)
        assert sorted(await node.mempool()) == sorted(waiting + txids)


@pytest.mark.parametrize("mode", ["memory", "tcp"])
async def test_a_filled_mempool_travels_over_slow_links(mode: str) -> None:
    """Nobody hears of the transactions before the block that they spend."""
    async with BitcoinNetwork(4, mode=mode, topology="line", clock="virtual") as network:
        node, near, far, apart = network.nodes
        network.link(node, near).bandwidth(5000)
        network.link(near, far).delay(0.5)
        await network.link(far, apart).cut()
        txids = await node.fill_mempool(2, size=2000)
        await network.wait_for_sync(node, near, far, mempools=True)
        assert sorted(await far.mempool()) == sorted(txids)
        assert await apart.height() == 101


async def test_wallet_bump() -> None:
    async with BitcoinNetwork(1) as network:
        (node,) = network.nodes
        wallet = await node.wallet()
        await node.fund(wallet, 2)
        txid = await wallet.pay(network.faucet.address, 1, fee_rate=2)
        bumped = await wallet.bump(txid, 25)
        assert await node.mempool() == [bumped]
        entry = await node.rpc.getmempoolentry(bumped)
        assert 25 <= float(entry["fees"]["base"]) * 1e8 / entry["vsize"] < 25.5


async def test_the_faucet_says_when_it_is_dry() -> None:
    async with BitcoinNetwork(1) as network:
        (node,) = network.nodes
        await node.fund(network.faucet.address, 60)
        with pytest.raises(ValueError, match="mine more blocks"):
            await node.fund(network.faucet.address, 200)
        with pytest.raises(ValueError, match="no amount in BTC"):
            await node.fund(network.faucet.address, "0.000000001")


@pytest.mark.parametrize("mode", ["memory", "process"])
async def test_snapshot_and_rewind(mode: str) -> None:
    async with BitcoinNetwork(["a", "b"], mode=mode) as network:
        a, b = network.nodes
        wallet = await a.wallet()
        await network.fund(wallet, 3)
        txid = await wallet.pay(await b.wallet(), 1)
        await b.wait_for_tx(txid)
        before = await network.snapshot()
        tip, balance, time = await a.tip(), await wallet.balance(), network.clock.time()
        await network.mine(3)
        network.link(a, b).delay(0.01)
        await network.restore(before)
        assert (await a.tip(), await b.tip(), await wallet.balance()) == (tip, tip, balance)
        assert await a.mempool() == await b.mempool() == [txid]
        assert mode == "process" or network.clock.time() == time
        await network.mine(1)
        assert await (await b.wallet()).balance() == 1


async def test_snapshots_in_a_folder_open_anywhere(tmp_path: Path) -> None:
    async with BitcoinNetwork(["a", "b", "light"], roles={"light": "spv"}) as network:
        wallet = await network["light"].wallet()
        paid = await network.fund(wallet, 3)
        await network.link(network["a"], network["b"]).cut()
        await network["a"].mine()
        (await network.snapshot()).save(tmp_path)
        tips = [await node.tip() for node in network.nodes]
    again = Snapshot.load(tmp_path)
    async with again.network() as network:
        assert [await node.tip() for node in network.nodes] == tips
        assert network.link(network["a"], network["b"]).is_cut
        assert await (await network["light"].wallet()).balance() == 3
        assert network.faucet.double_spend(paid)
        await network.heal()
        await network.wait_for_sync()
    async with again.network(mode="process") as network:
        assert await network["a"].tip() == tips[0]
        await network.heal()
        await network.wait_for_sync()
        assert await (await network["light"].wallet()).balance() == 3
    with pytest.raises(NotPossible, match="there is no snapshot in"):
        Snapshot.load(tmp_path / "elsewhere")


async def test_one_node_is_rewound() -> None:
    async with BitcoinNetwork(1) as network:
        (node,) = network.nodes
        before = await node.snapshot()
        await node.mine(5)
        await node.restore(before)
        assert await node.height() == 101


async def test_from_genesis_and_more_nodes() -> None:
    async with BitcoinNetwork([Spec("a", options=("txindex",))], chain="genesis") as network:
        a = network["a"]
        assert await a.height() == 0
        b = await network.add_node("b", links=[a])
        await network.mine(2)
        assert await b.height() == 2
        assert (await a.rpc.getindexinfo())["txindex"]["best_block_height"] == 2
        with pytest.raises(ValueError, match="there is a node b already"):
            await network.add_node("b")
        with pytest.raises(KeyError, match="no node is named 'c'"):
            network["c"]


@pytest.mark.parametrize(
    ("what", "complaint"),
    [
        ({"mode": "cloud"}, "there is no mode 'cloud'; there are memory, tcp, process"),
        ({"clock": "sundial"}, "there is no clock 'sundial'"),
        ({"chain": "mainnet"}, "there is no chain 'mainnet'"),
        ({"topology": "heap"}, "there is no topology 'heap'"),
        ({"roles": {"x": "spv"}}, "no node is named x"),
    ],
)
async def test_what_makes_no_sense(what: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        async with BitcoinNetwork(2, **what):  # type: ignore[arg-type]
            pass


async def test_what_a_mode_lacks() -> None:
    with pytest.raises(NotPossible, match="virtual time ends at the border of the test's process"):
        async with BitcoinNetwork(1, mode="process", clock="virtual"):
            pass
    with pytest.raises(NotPossible, match="runs as a process only"):
        BitcoinNetwork(1, mode="memory", program="/usr/bin/bitcoind")
    async with BitcoinNetwork(1, mode="tcp") as network:
        with pytest.raises(NotPossible, match="a real clock cannot be set forward"):
            await network.advance(1)
