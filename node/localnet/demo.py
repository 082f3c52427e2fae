"""The whole story by itself: mine, pay, prove, kill, cut, join; each step said and checked."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from .network import LocalNetwork
from .process import NodeDied, NodeError, NodeProcess, wait_until
from .shape import from_counts
from .supervisor import supervised

NEVER = 86_400.0
"""Block interval of the demo's miner: the story mines by itself."""
PAYMENT = Decimal("1.5")


class StepFailed(Exception):
    """A step of the story did not come out as it must."""


def check(holds: bool, what: str) -> None:
    if not holds:
        raise StepFailed(what)


class Demo:
    """The story's steps, in order. Each returns the line that says what was seen."""

    def __init__(self, network: LocalNetwork) -> None:
        self.network = network
        self.full1, self.full2 = network.node("full1"), network.node("full2")
        self.miner, self.spv = network.node("miner1"), network.node("spv1")
        self.servers = [self.full1, self.full2, self.miner]
        self.txid = self.lost = ""

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        return [
            ("the miner mines 101 blocks", self.mine_101),
            (f"the miner pays {PAYMENT} BTC to the SPV wallet", self.pay),
            ("a block confirms the payment, and a merkle proof shows it", self.confirm),
            ("a full node is killed with kill -9 while the others go on", self.kill),
            ("the killed node starts again and catches up", self.catch_up),
            ("the network is cut in two, and both sides mine", self.cut),
            ("the two halves join: the most work wins", self.join),
            ("one UTXO set hash everywhere", self.same_coins),
        ]

    def mine_101(self) -> str:
        self.network.mine(101)
        tip = self.network.wait_synced()
        check(self.height(self.spv) == 101, "the SPV node is not at height 101")
        balance = self.miner.wallet("getbalances")["mine"]
        check(balance["trusted"] == 50, f"the miner has {balance['trusted']} BTC to spend, not 50")
        return f"all four nodes at height 101, tip …{tip[-12:]}; 50 BTC of the miner are mature"

    def pay(self) -> str:
        self.txid = self.network.pay("miner1", "spv1", PAYMENT)
        pending = wait_until(
            "the SPV wallet to see the payment",
            lambda: self.pending() == PAYMENT and self.spv.wallet("gettransaction", self.txid),
            saw=lambda: self.spv.wallet("getbalances"),
        )
        check(pending["confirmations"] == 0, f"it has {pending['confirmations']} confirmations already")
        for node in self.servers:
            wait_until(f"the mempool of {node.name} to have it", partial(self.in_mempool, node, self.txid))
        return f"{self.txid[:16]}… is in three mempools, and pending in the SPV wallet"

    def confirm(self) -> str:
        (block,) = self.network.mine(1)
        self.network.wait_synced()
        wait_until(
            "the SPV wallet to see the confirmation",
            lambda: self.spv.wallet("gettransaction", self.txid)["confirmations"] == 1,
            saw=lambda: self.spv.wallet("gettransaction", self.txid)["confirmations"],
        )
        check(self.spv_balance() == PAYMENT, f"the SPV wallet has {self.spv_balance()} BTC, not {PAYMENT}")
        proof = self.full1.rpc("gettxoutproof", [self.txid])
        check(self.spv.rpc("verifytxoutproof", proof) == [self.txid], "the SPV node refuses the proof")
        return f"1 confirmation in …{block[-12:]}; the SPV node verified a proof of {len(proof) // 2} bytes"

    def kill(self) -> str:
        self.full2.kill()
        self.network.mine(5)
        self.network.wait_synced()
        check(not self.full2.running, "full2 still runs")
        return f"full2 is dead at height 102, the others are at {self.height(self.miner)}"

    def catch_up(self) -> str:
        self.network.start_node("full2")
        self.network.wait_synced()
        check(self.height(self.full2) == 107, f"full2 is at height {self.height(self.full2)}, not 107")
        return "full2 is back on the tip, at height 107"

    def cut(self) -> str:
        self.network.links.partition(["full1", "spv1"], ["full2", "miner1"])
        self.lost = self.network.pay("spv1", "full1", Decimal("0.25"))
        wait_until("full1 to hear of it", partial(self.in_mempool, self.full1, self.lost))
        left = self.network.mine(2, self.full1)
        right = self.network.mine(3, self.miner)
        one = self.network.wait_synced(["full1", "spv1"])
        other = self.network.wait_synced(["full2", "miner1"])
        check((one, other) == (left[-1], right[-1]), "a side is not on its own tip")
        check(
            self.confirmations(self.full1, self.lost) == 2, "the payment on the short side is not confirmed"
        )
        return f"full1 and spv1 at 109 with a payment of 0.25 BTC, full2 and miner1 at 110: …{other[-12:]}"

    def join(self) -> str:
        winner = self.miner.rpc("getbestblockhash")
        self.network.links.join()
        tip = self.network.wait_synced()
        check(tip == winner, "the branch with less work won")
        self.network.settle()
        check(
            self.confirmations(self.full1, self.lost) <= 0, "full1 still takes its lost block for confirmed"
        )
        for node in self.servers:
            wait_until(
                f"the lost payment to be in the mempool of {node.name}",
                partial(self.in_mempool, node, self.lost),
            )
        self.network.mine(1)
        self.network.wait_synced()
        for node in (self.full1, self.spv):
            wait_until(
                f"{node.name} to see the payment confirmed again",
                partial(self.confirmed_once, node, self.lost),
                saw=partial(self.confirmations, node, self.lost),
            )
        balance = self.full1.wallet("getbalances")["mine"]["trusted"]
        check(balance == Decimal("0.25"), f"full1 has {balance} BTC, not the 0.25 it was paid")
        spent = PAYMENT - Decimal("0.25") - self.spv_balance()
        check(
            0 < spent < Decimal("0.001"), f"the SPV wallet has {self.spv_balance()} BTC, which is not right"
        )
        return f"all on …{tip[-12:]}; the payment went back to the mempools and confirmed anew"

    def same_coins(self) -> str:
        sets = [node.rpc("gettxoutsetinfo", "hash_serialized_3") for node in self.servers]
        hashes = {row["hash_serialized_3"] for row in sets}
        check(len(hashes) == 1, f"the UTXO sets differ: {sorted(hashes)}")
        check(self.spv.rpc("getbestblockhash") == sets[0]["bestblock"], "the SPV node has another tip")
        return f"{sets[0]['txouts']} coins, {hashes.pop()}"

    @staticmethod
    def height(node: NodeProcess) -> int:
        return int(node.rpc("getblockcount"))

    @staticmethod
    def confirmations(node: NodeProcess, txid: str) -> int:
        return int(node.wallet("gettransaction", txid)["confirmations"])

    @staticmethod
    def in_mempool(node: NodeProcess, txid: str) -> bool:
        return txid in node.rpc("getrawmempool")

    def confirmed_once(self, node: NodeProcess, txid: str) -> bool:
        return self.confirmations(node, txid) == 1

    def pending(self) -> Any:
        return self.spv.wallet("getbalances")["mine"]["untrusted_pending"]

    def spv_balance(self) -> Decimal:
        return Decimal(self.spv.wallet("getbalances")["mine"]["trusted"])


def play(folder: Path) -> int:
    """The story from start to end: 0, or 1 with the step that failed."""
    started = time.monotonic()
    title = "two full nodes, a miner and an SPV node start"
    try:
        print(f"0. {title}", flush=True)
        with supervised(folder, from_counts(2, 1, 1, interval=NEVER)) as (network, _):
            ports = ", ".join(
                f"{node.name} {node.p2p_port}/{node.rpc_port}" for node in network.nodes.values()
            )
            print(f"   linked; ports p2p/rpc: {ports}", flush=True)
            for number, (title, step) in enumerate(Demo(network).steps(), 1):
                print(f"{number}. {title}", flush=True)
                print(f"   {step()}", flush=True)
    except (StepFailed, NodeError, NodeDied) as error:
        print(f"FAILED: {title}: {error}", flush=True)
        return 1
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        return 130
    print(f"All of it holds; nothing is left running ({time.monotonic() - started:.1f} s).", flush=True)
    return 0
