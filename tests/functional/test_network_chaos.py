"""Networks to which anything happens: links cut and spoiled, nodes killed, branches mined, payments bumped.

Whatever it was, once all is whole again there are one tip, one UTXO set and wallets that add up. By the
virtual clock; the seed is the test's name, and the same each time.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal

import pytest

from pybitcoind.node.testing import BitcoinNetwork, BitcoinNode, BitcoinWallet, RpcFailure, WaitFailed

STEPS = 60
TOPOLOGIES = ("line", "ring", "star", "mesh", "random")
NEVER_LOGGED = ("Traceback", "Internal bug", "[error]")


class Chaos:
    """What may happen to a network, each as a method; by one source of chance."""

    def __init__(self, network: BitcoinNetwork, wallets: dict[BitcoinNode, BitcoinWallet], seed: int) -> None:
        self.network, self.wallets, self.chance = network, wallets, random.Random(seed)
        self.paid: list[tuple[BitcoinNode, str]] = []
        often = [self.mine, self.pay] * 3
        self.events: list[Callable[[], Awaitable[None]]] = [
            *often,
            *(self.bump, self.reorganise, self.kill, self.start, self.advance),
            *(
                self.cut,
                self.cut_one_way,
                self.heal,
                self.part,
                self.heal_all,
                self.spoil,
                self.spoil,
                self.spoil,
            ),
        ]

    async def step(self) -> None:
        """Something happens, or cannot: no money, no way, no time to wait for it."""
        with suppress(RpcFailure, WaitFailed, ValueError):
            await self.chance.choice(self.events)()

    def running(self, *roles: str) -> list[BitcoinNode]:
        return [node for node in self.network.nodes if node.running and (not roles or node.role in roles)]

    async def mine(self) -> None:
        await self.chance.choice(self.running("full")).mine(self.chance.randint(1, 3))

    async def pay(self) -> None:
        payer, payee = self.chance.choice(self.running()), self.chance.choice(self.running())
        amount, rate = Decimal(self.chance.randint(1, 100)) / 100, self.chance.randint(1, 30)
        self.paid.append((payer, await payer.pay(self.wallets[payee], amount, fee_rate=rate)))

    async def bump(self) -> None:
        payer, txid = self.chance.choice(self.paid or [(self.network.nodes[0], "00" * 32)])
        if payer.running:
            await self.wallets[payer].bump(txid, fee_rate=self.chance.randint(20, 80))

    async def reorganise(self) -> None:
        depth = self.chance.randint(1, 4)
        await self.chance.choice(self.running("full")).reorg(depth, self.chance.randint(1, 5))

    async def kill(self) -> None:
        if len(self.running("full")) > 1:
            await self.chance.choice(self.running()[1:]).kill()

    async def start(self) -> None:
        for node in self.network.nodes:
            if not node.running:
                return await node.start()

    async def advance(self) -> None:
        await self.network.advance(self.chance.choice((1, 30, 600)))

    async def cut(self) -> None:
        await self.chance.choice(self.network.links).cut()

    async def cut_one_way(self) -> None:
        link = self.chance.choice(self.network.links)
        await link.cut(to=self.chance.choice(link.ends))

    async def heal(self) -> None:
        await self.chance.choice(self.network.links).heal(wait=False)

    async def part(self) -> None:
        nodes = list(self.network.nodes)
        self.chance.shuffle(nodes)
        at = self.chance.randrange(1, len(nodes))
        await self.network.partition(nodes[:at], nodes[at:])

    async def heal_all(self) -> None:
        await self.network.heal()

    async def spoil(self) -> None:
        link = self.chance.choice(self.network.links)
        how, values = self.chance.choice(
            (
                (link.delay, (0, 0.05, 1, 5)),
                (link.jitter, (0, 0.2, 2)),
                (link.loss, (0, 0.1, 0.4)),
                (link.bandwidth, (0, 2_000, 100_000)),
            )
        )
        how(self.chance.choice(values))

    async def make_whole(self) -> None:
        for link in self.network.links:
            await link.heal(wait=False)
            for how in (link.delay, link.jitter, link.loss, link.bandwidth):
                how(0)
        for node in self.network.nodes:
            if not node.running:
                await node.start()
        await self.network.heal()


async def live_through(seed: int) -> None:
    chance = random.Random(seed)
    names = [f"node{i}" for i in range(chance.randint(3, 7))]
    roles = {names[-1]: "spv"} if chance.random() < 0.5 else {}
    async with BitcoinNetwork(names, roles=roles, topology=chance.choice(TOPOLOGIES), seed=seed) as network:
        wallets = {node: await node.wallet() for node in network.nodes}
        for wallet in wallets.values():
            await network.fund(wallet, 20)
        await network.wait_for_sync()
        chaos = Chaos(network, wallets, seed)
        for _ in range(STEPS):
            await chaos.step()
        await chaos.make_whole()
        full = chaos.running("full")
        heights = {node: await node.height() for node in full}
        await max(heights, key=lambda node: heights[node]).mine(2)
        await network.wait_for_sync()
        hashes = {(await node.rpc.gettxoutsetinfo("muhash"))["muhash"] for node in full}
        assert len(hashes) == 1, "one UTXO set"
        for node, wallet in wallets.items():
            mine = (await wallet.rpc.getbalances())["mine"]
            spendable = sum(coin["amount"] for coin in await wallet.rpc.listunspent(0))
            total = mine["trusted"] + mine["untrusted_pending"] + mine.get("nonmempool", 0)
            assert spendable == total, (node, mine)
            assert not [line for line in node.log for word in NEVER_LOGGED if word in line]


@pytest.mark.parametrize("seed", range(6))
async def test_anything_happens(seed: int) -> None:
    await live_through(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6, 200))
async def test_anything_happens_at_length(seed: int) -> None:
    await live_through(seed)
