"""-role=miner as a real process: it mines by itself, pays as told, and takes in what is sent to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from mini_wallet import MiniWallet, Utxo
from node_process import Daemon, run_to_end, running

from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import OutPoint
from pybitcoind.chain.script.address import encode_address, extract_destination


@pytest.fixture
def wallet() -> MiniWallet:
    return MiniWallet()


def pays_to(wallet: MiniWallet) -> str:
    destination = extract_destination(wallet.script_pubkey)
    assert destination is not None
    return f"-mineraddress={encode_address(destination, regtest())}"


def block_at(daemon: Daemon, height: int) -> Block:
    return Block.decode(bytes.fromhex(daemon.call("getblock", daemon.call("getblockhash", height), 0)))


def test_mines_what_is_sent_to_it(tmp_path: Path, wallet: MiniWallet) -> None:
    with running(tmp_path / "node", "-role=miner", pays_to(wallet), "-minerinterval=0.01") as daemon:
        daemon.until("101 blocks", lambda: daemon.call("getblockcount") >= 101)
        coinbase = block_at(daemon, 1).vtx[0]
        assert coinbase.vout[0].script_pubkey == wallet.script_pubkey
        tx = wallet.spend(Utxo(OutPoint(coinbase.txid, 0), coinbase.vout[0].value), fee=12_345)
        assert daemon.call("sendrawtransaction", tx.raw.hex()) == hash_hex(tx.txid)
        daemon.until("the transaction to be mined", lambda: daemon.call("getrawmempool") == [])
        daemon.wait_for_log("fees=12345")
        height = daemon.call("getblockcount")
        found = [h for h in range(101, height + 1) if tx in block_at(daemon, h).vtx]
        assert len(found) == 1
        assert block_at(daemon, found[0]).vtx[0].vout[0].value == 50 * 10**8 + 12_345


def test_a_kept_mempool_is_mined_after_a_restart(tmp_path: Path, wallet: MiniWallet) -> None:
    folder = tmp_path / "node"
    with running(folder) as daemon:
        daemon.call("generatetodescriptor", 101, f"raw({wallet.script_pubkey.hex()})")
        coinbase = block_at(daemon, 1).vtx[0]
        tx = wallet.spend(Utxo(OutPoint(coinbase.txid, 0), coinbase.vout[0].value))
        daemon.call("sendrawtransaction", tx.raw.hex())
        daemon.call("prioritisetransaction", hash_hex(tx.txid), 0, 777)
    with running(folder) as daemon:
        daemon.until("the mempool", lambda: daemon.call("getmempoolinfo")["loaded"])
        assert daemon.call("getrawmempool") == [hash_hex(tx.txid)]
        entry = daemon.call("getmempoolentry", hash_hex(tx.txid))
        assert round(float(entry["fees"]["modified"] - entry["fees"]["base"]) * 10**8) == 777
    with running(folder, "-role=miner", pays_to(wallet), "-minerinterval=0.1") as daemon:
        daemon.until(
            "the transaction to be mined", lambda: tx in block_at(daemon, daemon.call("getblockcount")).vtx
        )


def test_mines_to_its_own_wallet(tmp_path: Path) -> None:
    """It makes one if there is none, and takes the same after a restart."""
    options = ("-role=miner", "-minerinterval=0.05")
    with running(tmp_path / "node", *options) as daemon:
        daemon.until("a block", lambda: daemon.call("getblockcount") >= 2)
        assert daemon.call("listwallets") == ["miner"]
        script = block_at(daemon, 1).vtx[0].vout[0].script_pubkey
        address = daemon.call("decodescript", script.hex())["address"]
        assert daemon.call("getaddressinfo", address)["ismine"] is True
    with running(tmp_path / "node", *options) as daemon:
        before = daemon.call("getblockcount")
        daemon.until("a block", lambda: daemon.call("getblockcount") > before)
        assert daemon.call("listwallets") == ["miner"]
        balances = daemon.call("getbalances")["mine"]
        assert balances["immature"] >= 50 * (before + 1)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("-mineraddress=nonsense", "Error: Invalid -mineraddress 'nonsense': "),
        ("-minerinterval=-1", "Error: Invalid -minerinterval '-1': seconds, 0 for full speed"),
        ("-disablewallet", "Error: -role=miner needs -mineraddress or a wallet"),
    ],
)
def test_bad_options(option: str, message: str, tmp_path: Path) -> None:
    code, stderr = run_to_end(tmp_path / "node", "-role=miner", option)
    assert code == 1 and stderr.startswith(message) and stderr.count("\n") == 1
