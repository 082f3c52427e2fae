"""Our peers and Bitcoin Core's: blocks, transactions, filters and reorganisations in both directions."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mini_wallet import MiniWallet, mine
from p2p_nodes import P2PNode, until, world

from pybitcoind.chain.block_filter import BlockFilter
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import Transaction
from pybitcoind.node.tcp_network import TcpNetwork
from pybitcoind.p2p.handshake import ConnectionType

pytestmark = pytest.mark.interop


class Core:
    """One regtest daemon. v1 transport; it trusts us, so that it relays at once."""

    def __init__(self, daemon: Path, folder: Path, port: int) -> None:
        self.port = port
        self._cli = [str(daemon.parent / "bitcoin-cli"), f"-datadir={folder}", "-regtest"]
        self._cli.append(f"-rpcport={port + 1}")
        self._process = subprocess.Popen(
            [
                str(daemon),
                f"-datadir={folder}",
                "-regtest",
                f"-bind=127.0.0.1:{port}",
                f"-rpcport={port + 1}",
                "-v2transport=0",
                "-blockfilterindex=1",
                "-peerblockfilters=1",
                "-whitelist=noban@127.0.0.1",
                "-listenonion=0",
                "-debug=net",
                "-printtoconsole=0",
                "-fallbackfee=0.0001",
            ]
        )

    async def rpc(self, *args: str) -> Any:
        process = await asyncio.create_subprocess_exec(
            *self._cli, "-rpcwait", *args, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        text = out.decode().strip()
        try:
            return json.loads(text)
        except ValueError:
            return text

    async def tip(self) -> str:
        return str(await self.rpc("getbestblockhash"))

    async def until(self, expected: Any, *args: str) -> None:
        async with asyncio.timeout(30):
            while await self.rpc(*args) != expected:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        await self.rpc("stop")
        async with asyncio.timeout(30):
            while self._process.poll() is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@asynccontextmanager
async def core_and_node(
    daemon: Path, folder: Path, port: int, **options: Any
) -> AsyncIterator[tuple[Core, P2PNode]]:
    core = Core(daemon, folder, port)
    try:
        await core.rpc("getblockcount")
        async with world(time.time(), lambda name: TcpNetwork()) as w:
            yield core, await w.node("ours", **options)
    finally:
        await core.stop()


async def mine_on(node: P2PNode, wallet: MiniWallet, *txs: Transaction) -> Block:
    block = mine(node.chain.tip, node.chain.params, wallet.script_pubkey, txs, time=node.ports.clock.time())
    await node.feed([block])
    wallet.scan_block(block, node.height)
    return block


async def test_blocks_and_transactions_both_ways(bitcoind: Path, tmp_path: Path) -> None:
    async with core_and_node(bitcoind, tmp_path, 28611) as (core, node):
        wallet = MiniWallet()
        script = f"raw({wallet.script_pubkey.hex()})#"
        script = (await core.rpc("getdescriptorinfo", script[:-1]))["descriptor"]
        hashes = await core.rpc("generatetodescriptor", "110", script)
        await node.dial(("127.0.0.1", core.port))
        await until(lambda: node.height == 110)
        assert hash_hex(node.chain.tip.hash) == hashes[-1]
        for height in range(1, 111):
            wallet.scan_block(await node.chain.read_block(node.chain.headers.chain[height]), height)
        await mine_on(node, wallet)
        await core.until(hash_hex(node.chain.tip.hash), "getbestblockhash")
        ours = wallet.spend(wallet.take(111))
        await node.send(ours)
        await core.until([hash_hex(ours.txid)], "getrawmempool")
        theirs = wallet.spend(wallet.take(111))
        await core.rpc("sendrawtransaction", theirs.raw.hex())
        await until(lambda: node.mempool.contains(theirs.txid))
        await core.rpc("generatetodescriptor", "1", script)
        await until(lambda: node.height == 112)
        assert not node.mempool.entries
        info = (await core.rpc("getpeerinfo"))[0]
        assert info["subver"] == "/pybitcoind:0.1.0/" and info["relaytxes"] and info["synced_headers"] >= 111
        assert not node.log.find("Misbehaving")


async def test_the_longer_chain_wins_on_both_sides(bitcoind: Path, tmp_path: Path) -> None:
    async with core_and_node(bitcoind, tmp_path, 28621) as (core, node):
        wallet = MiniWallet()
        for _ in range(5):
            await mine_on(node, wallet)
        script = "raw(51)#8lvh9jxk"
        await core.rpc("generatetodescriptor", "3", script)
        await core.rpc("addnode", f"127.0.0.1:{node.endpoint[1]}", "onetry")
        await core.until(hash_hex(node.chain.tip.hash), "getbestblockhash")
        node.peers.disconnect(peer_id=0)
        await until(lambda: not node.peers.peers)
        await mine_on(node, wallet)
        await core.rpc("generatetodescriptor", "4", script)
        await core.rpc("addnode", f"127.0.0.1:{node.endpoint[1]}", "onetry")
        await until(lambda: node.height == 9)
        assert hash_hex(node.chain.tip.hash) == await core.tip()


async def test_a_light_client_of_core(bitcoind: Path, tmp_path: Path) -> None:
    async with core_and_node(bitcoind, tmp_path, 28631, headers_only=True, services=0) as (core, node):
        await core.rpc("generatetodescriptor", "130", "raw(51)#8lvh9jxk")
        await node.dial(("127.0.0.1", core.port))
        await until(lambda: node.height == 130)
        sync = node.peers.filters
        assert sync is not None and await sync.wait_height(130, timeout=20)
        nodes = node.chain.headers.chain[1:]
        encoded = await sync.filters(nodes)
        assert encoded is not None
        found = [BlockFilter.trusted(one.hash, encoded[one.hash] or b"") for one in nodes]
        assert len(found) == 130 and all(one.match(b"\x51") for one in found)
        assert not any(one.match(b"\x52") for one in found)
        block = await node.peers.sync.fetcher.fetch_block(node.chain.tip.hash)
        assert block is not None and hash_hex(block.hash) == await core.tip()


async def test_core_accepts_every_kind_of_connection(bitcoind: Path, tmp_path: Path) -> None:
    async with core_and_node(bitcoind, tmp_path, 28641) as (core, node):
        for kind in (ConnectionType.BLOCK_RELAY, ConnectionType.FEELER, ConnectionType.ADDR_FETCH):
            peer = await node.peers.connect(f"127.0.0.1:{core.port}", kind)
            assert peer is not None
            await until(lambda peer=peer: peer.complete or peer.disconnecting)
            if kind is ConnectionType.BLOCK_RELAY:
                assert not (await core.rpc("getpeerinfo"))[0]["relaytxes"]
            peer.disconnect("")
            await until(lambda: not node.peers.peers)


async def test_compact_blocks_both_ways(bitcoind: Path, tmp_path: Path) -> None:
    """Each becomes the other's announcer with the first new block; the next comes without being asked for."""
    async with core_and_node(bitcoind, tmp_path, 28651) as (core, node):
        wallet = MiniWallet()
        script = (await core.rpc("getdescriptorinfo", f"raw({wallet.script_pubkey.hex()})"))["descriptor"]
        await core.rpc("generatetodescriptor", "115", script)
        await node.dial(("127.0.0.1", core.port))
        await until(lambda: node.height == 115)
        for height in range(1, 116):
            wallet.scan_block(await node.chain.read_block(node.chain.headers.chain[height]), height)

        async def counts() -> tuple[int, ...]:
            """Of cmpctblock and getblocktxn, sent and received by Core."""
            info = (await core.rpc("getpeerinfo"))[0]
            found = [info[f"bytes{way}_per_msg"] for way in ("sent", "recv")]
            return tuple(way.get(name, 0) for way in found for name in ("cmpctblock", "getblocktxn"))

        for _ in range(3):
            txs = [wallet.spend(wallet.take(node.height)) for _ in range(3)]
            for tx in txs:
                await core.rpc("sendrawtransaction", tx.raw.hex())
            await until(lambda txs=txs: all(node.mempool.contains(tx.txid) for tx in txs))
            before = await counts()
            await core.rpc("generatetodescriptor", "1", script)
            tip = await core.tip()
            await until(lambda tip=tip: hash_hex(node.chain.tip.hash) == tip)
            after = await counts()
            assert after[0] > before[0], "Core sent a compact block"
            assert not node.mempool.entries

            own = wallet.spend(wallet.take(node.height))
            await node.send(own)
            await core.until([hash_hex(own.txid)], "getrawmempool")
            await mine_on(node, wallet, own)
            await core.until(hash_hex(node.chain.tip.hash), "getbestblockhash")
            assert (await counts())[2] > after[2], "we sent one"
        info = (await core.rpc("getpeerinfo"))[0]
        assert info["bip152_hb_to"] and info["bip152_hb_from"]
        ours = node.peers.peer_infos()[0]
        assert ours["bip152_hb_to"] and ours["bip152_hb_from"]
        assert (await counts())[1::2] == (0, 0), "nothing was missing"
        assert node.log.find("Successfully reconstructed block")
