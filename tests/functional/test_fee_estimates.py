"""Feerate estimates of a running node: a wallet pays by them, and they outlast its end."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from mini_wallet import MiniWallet, Utxo, outputs_of
from node_process import Daemon, running

from pybitcoind.chain.descriptors import add_checksum
from pybitcoind.chain.primitives.transaction import OutPoint

FEERATE = 20_000
PER_BLOCK = 6
HOUR = 3600


def learn(node: Daemon, wallet: MiniWallet, blocks: int) -> None:
    """Blocks that take, each, some transactions of one feerate that came after the one before."""
    descriptor = add_checksum(f"raw({wallet.script_pubkey.hex()})")
    for _ in range(blocks):
        for _ in range(PER_BLOCK):
            tx = wallet.spend(wallet.utxos.pop(), feerate=FEERATE)
            node.call("sendrawtransaction", tx.raw.hex())
        node.call("generatetodescriptor", 1, descriptor)


def estimates(node: Daemon) -> list[object]:
    smart = [
        node.call("estimatesmartfee", n, mode) for n in (1, 2, 6, 100) for mode in ("economical", "unset")
    ]
    return [*smart, *(node.call("estimaterawfee", n, 0.5) for n in (1, 2, 6, 100))]


def feerate(node: Daemon) -> Decimal | None:
    found = node.call("estimatesmartfee", 2).get("feerate")
    return None if found is None else Decimal(str(found))


def test_one_story(tmp_path: Path) -> None:
    coins = MiniWallet()
    descriptor = add_checksum(f"raw({coins.script_pubkey.hex()})")
    file = tmp_path / "regtest" / "fee_estimates.dat"
    with running(tmp_path, "-debug=estimatefee") as node:
        assert f"{file} is not found. Continue anyway." in node.log
        node.call("createwallet", "w")
        node.call("generatetoaddress", 1, node.call("getnewaddress", wallet="w"))
        node.call("generatetodescriptor", 101, descriptor)
        coinbase = node.call("getblock", node.call("getblockhash", 2), 1)["tx"][0]
        utxo = Utxo(OutPoint(bytes.fromhex(coinbase)[::-1], 0), 50 * 10**8, 2, True)
        fan = coins.spend(utxo, change=200, feerate=FEERATE)
        node.call("sendrawtransaction", fan.raw.hex())
        node.call("generatetodescriptor", 1, descriptor)
        coins.utxos = outputs_of(fan, coins.script_pubkey)
        to = node.call("getnewaddress", wallet="w")
        failed = node.failure("sendtoaddress", to, 1, wallet="w")
        assert failed[1].startswith("Fee estimation failed. Fallbackfee is disabled.")
        learn(node, coins, 10)
        assert feerate(node) == Decimal("0.0002")

        # a wallet pays what is estimated, and says why
        sent = node.call("sendtoaddress", to, 1, conf_target=2, verbose=True, wallet="w")
        assert sent["fee_reason"] == "Half Target 60% Threshold"
        entry = node.call("getmempoolentry", sent["txid"])
        paid = Decimal(str(entry["fees"]["base"])) * 10**8
        assert FEERATE * entry["vsize"] <= paid * 1000 < FEERATE * (entry["vsize"] + 3)
        assert "Tgt:2 (requested 2) Reason:" in node.log
        sent = node.call("sendtoaddress", to, 1, fee_rate=5, verbose=True, wallet="w")
        assert sent["fee_reason"] == "None"
        assert node.failure("sendtoaddress", to, 1, conf_target=1009, wallet="w") == (
            -8,
            "Invalid conf_target, must be between 1 and 1008",
        )
        node.call("generatetodescriptor", 1, descriptor)

        # an orderly stop loses nothing
        before = estimates(node)
        node.stop_well()
    with running(tmp_path, "-debug=estimatefee") as node:
        assert estimates(node) == before
        # killed, it comes back with what was written last
        learn(node, coins, 3)
        written = file.read_bytes()
        seen = estimates(node)
        since = len(node.log)
        node.call("mockscheduler", HOUR)
        node.wait_for_log(f"Flushed fee estimates to {file}.", since)
        assert file.read_bytes() != written
        learn(node, coins, 3)
        assert estimates(node) != seen
        node.kill()
    with running(tmp_path, "-blocksonly", "-fallbackfee=0.0001") as node:
        assert node.failure("estimatesmartfee", 2) == (-32603, "Fee estimation disabled")
        assert node.failure("estimaterawfee", 2) == (-32603, "Fee estimation disabled")
        written = file.read_bytes()
        node.call("loadwallet", "w")
        to = node.call("getnewaddress", wallet="w")
        assert node.failure("sendtoaddress", to, 1, conf_target=2, wallet="w") == (
            -8,
            "Invalid conf_target, must be between 1 and 0",
        )
        sent = node.call("sendtoaddress", to, 1, verbose=True, wallet="w")
        assert sent["fee_reason"] == "Fallback fee"
        node.stop_well()
        assert file.read_bytes() == written, "nothing is learnt, nothing is forgotten"
    with running(tmp_path) as node:
        assert feerate(node) == Decimal("0.0002")
        node.stop_well()
    file.write_bytes(b"no such thing")
    with running(tmp_path) as node:
        assert "Unable to read policy estimator data (non-fatal): " in node.log
        assert f"Failed to read fee estimates from {file}. Continue anyway." in node.log
        assert feerate(node) is None
        node.stop_well()
