"""A node in a test's hands, whatever it runs as."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote

from pybitcoind.chain.ports import Endpoint
from pybitcoind.chain.primitives.hashes import hash_from_hex, hash_hex
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxOut
from pybitcoind.chain.script.script import push_data

from . import blocks
from .errors import NotPossible, RpcFailure
from .faucet import DUST, Coin
from .hosted import Spec, Stored
from .rpc import Rpc
from .wallet import Amount, BitcoinWallet

if TYPE_CHECKING:
    from .network import BitcoinNetwork
    from .raw_peer import RawPeer

AT_ONCE = 8
"""Transactions of a filling that are under way together."""
T = TypeVar("T")
DEFAULT_WALLET = "wallet"
PLAIN_VSIZE = 110
"""Of a transaction that spends one coin to one output, both P2WPKH; a short signature may make it 109."""
_UNKNOWN_WALLET = -18
_NOT_IN_MEMPOOL = -5
ACCEPTED = (None, "inconclusive", "duplicate")
"""What submitblock answers for a valid block, on whatever branch."""


class Engine(Protocol):
    """How a node runs: in this process, or as one of its own."""

    kind: str
    spec: Spec
    endpoint: Endpoint

    @property
    def running(self) -> bool: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def kill(self) -> None: ...

    def load(self, stored: Stored) -> None: ...

    async def store(self) -> Stored: ...

    def rpc(self) -> Rpc: ...

    async def rpc_endpoint(self) -> tuple[str, int]: ...

    def failure(self) -> str | None: ...

    def last_words(self) -> str: ...

    def log_lines(self) -> list[str]: ...


class BitcoinNode:
    """rpc: every RPC method as a coroutine. network: what it is a part of, be it alone there."""

    def __init__(self, network: BitcoinNetwork, engine: Engine) -> None:
        self.network, self.engine = network, engine
        self.name, self.role = engine.spec.name, engine.spec.role
        self.rpc = engine.rpc()
        self._where: dict[str, str] = {}
        """Block of each transaction seen, by txid."""
        self._seen_blocks: dict[str, None] = {}

    def __repr__(self) -> str:
        return f"<node {self.name}>"

    # Life

    @property
    def running(self) -> bool:
        return self.engine.running

    async def start(self) -> None:
        """Starts it again after `stop` or `kill`, and its links."""
        await self.engine.start()
        await self.network.relink(self)

    async def stop(self) -> None:
        """In order, as by SIGTERM."""
        await self.engine.stop()

    async def kill(self) -> None:
        """At once, as by kill -9."""
        await self.engine.kill()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def snapshot(self) -> Stored:
        """All that it has now. A process is stopped for it, and started again."""
        if self.engine.kind != "process" or not self.running:
            return await self.engine.store()
        await self.engine.stop()
        stored = await self.engine.store()
        await self.start()
        return stored

    async def restore(self, stored: Stored) -> None:
        """Starts it again with what a snapshot has; what it had is gone."""
        if self.running:
            await self.engine.stop()
        self.engine.load(stored)
        self.forget()
        await self.start()

    def forget(self) -> None:
        """What we know of its blocks."""
        self._where.clear()
        self._seen_blocks.clear()

    @property
    def log(self) -> list[str]:
        """Lines of debug.log (in this process: the last ones)."""
        return self.engine.log_lines()

    def last_words(self) -> str:
        return self.engine.last_words()

    # For clients of your own

    async def rpc_url(self, wallet: str | None = None) -> str:
        """http://user:password@127.0.0.1:port/ of the node's RPC server; wallet: that wallet's path of it.

        In the test's process the server starts now. A client that blocks the thread (requests, say) then
        belongs into another one: `await asyncio.to_thread(...)`.
        """
        credentials, port = await self.engine.rpc_endpoint()
        path = "" if wallet is None else f"wallet/{quote(wallet)}"
        return f"http://{credentials}@127.0.0.1:{port}/{path}"

    @property
    def p2p_address(self) -> str:
        """host:port where peers reach it."""
        host, port = self.engine.endpoint
        return f"{host}:{port}"

    async def raw_peer(self, *, handshake: bool = True, **version: Any) -> RawPeer:
        """A peer that does what the test says, connected to this node; a stranger to it, with no permissions.

        version: changes of our version message.
        """
        peer = await self.network.raw_peer(self)
        if handshake:
            await peer.handshake(**version)
        return peer

    # Blocks

    async def height(self) -> int:
        return await self.rpc.getblockcount()

    async def tip(self) -> str:
        """Hash of the best block."""
        return await self.rpc.getbestblockhash()

    async def mine(
        self,
        n: int = 1,
        *,
        to: str | BitcoinWallet | None = None,
        interval: float = 0,
        transactions: Sequence[str] | None = None,
    ) -> list[str]:
        """Mines n blocks with what is in the mempool; their hashes.

        to: who is paid; else the faucet. interval: seconds that pass before each block (on a clock that can
        be advanced). transactions: txids or hex of what the blocks have instead of the mempool, all of it in
        the first.
        """
        address = await self._address(to)
        clock = self.network.clock
        step_by_step = interval or transactions is not None or clock.kind == "stepping"
        if not step_by_step:
            hashes = await self._generate(n, address)
        else:
            hashes = []
            for i in range(n):
                if interval:
                    await clock.advance(interval)
                clock.mined()
                await self.network.tell_time()
                if transactions is None:
                    hashes += await self._generate(1, address)
                else:
                    made = await self.rpc.generateblock(address, list(transactions) if i == 0 else [])
                    hashes.append(made["hash"])
        await self.rpc.syncwithvalidationinterfacequeue()
        return hashes

    async def _generate(self, n: int, address: str) -> list[str]:
        hashes: list[str] = await self.rpc.generatetoaddress(n, address)
        return hashes

    async def _address(self, to: str | BitcoinWallet | None) -> str:
        if to is None:
            return blocks.faucet_address()
        return to if isinstance(to, str) else await to.new_address()

    async def reorg(
        self, depth: int = 1, length: int | None = None, *, transactions: Sequence[str] = ()
    ) -> list[str]:
        """A competing branch takes the place of the last depth blocks; hashes of its blocks.

        length: blocks of the branch, else one more than depth; a branch that is not longer is a fork that
        does not win. transactions: hex of what its first block has; other transactions of the blocks that are
        replaced go back into the mempool, as far as they still can.
        """
        length = depth + 1 if length is None else length
        height = await self.height()
        if not 0 < depth <= height:
            raise ValueError(f"a reorganisation of depth {depth} on a chain of {height} blocks")
        prev = await self.rpc.getblockheader(await self.rpc.getblockhash(height - depth))
        txs = [Transaction.decode(bytes.fromhex(text)) for text in transactions]
        prev_hash, time = hash_from_hex(prev["hash"]), max(prev["time"], self.network.clock.time())
        hashes = []
        for i in range(length):
            block = blocks.make_block(
                prev_hash,
                prev["height"] + 1 + i,
                max(time + i, prev["mediantime"] + 1),
                int(prev["bits"], 16),
                txs=txs if i == 0 else (),
                tail=push_data(self.network.unique()),
            )
            refused = await self.rpc.submitblock(block.raw.hex())
            if refused not in ACCEPTED:
                raise ValueError(f"block {i + 1} of the branch was refused: {refused}")
            prev_hash = block.hash
            hashes.append(hash_hex(block.hash))
        if length > depth:
            await self.wait_for_tip(hashes[-1])
        return hashes

    # Money

    async def wallet(self, name: str = DEFAULT_WALLET) -> BitcoinWallet:
        """The wallet of this name; made or loaded if it is not there."""
        if name not in await self.rpc.listwallets():
            try:
                await self.rpc.loadwallet(name)
            except RpcFailure as failure:
                if failure.code != _UNKNOWN_WALLET:
                    raise
                await self.rpc.createwallet(name)
        return BitcoinWallet(self, name)

    async def new_address(self) -> str:
        """Of the node's own wallet."""
        return await (await self.wallet()).new_address()

    async def fund(self, to: str | BitcoinWallet, amount: Amount = 1, *, confirmations: int = 1) -> str:
        """Pays BTC from the faucet and mines blocks that confirm it; the txid."""
        address = to if isinstance(to, str) else await to.new_address()
        source = self.network.full_node(self)
        txid = await self.network.faucet.pay(source, [(address, amount)])
        if confirmations:
            await source.mine(confirmations)
            if source is not self:
                await self.network.wait_for_sync(source, self)
        return txid

    async def pay(self, to: str | BitcoinWallet, amount: Amount, *, fee_rate: Amount | None = None) -> str:
        """Pays BTC from the node's own wallet, which the faucet fills when it has too little; the txid."""
        wallet = await self.wallet()
        if await wallet.balance() < Decimal(str(amount)) + Decimal("0.01"):
            await self.fund(wallet, Decimal(str(amount)) + 1)
        return await wallet.pay(to, amount, fee_rate=fee_rate)

    async def send(self, tx: str | Transaction) -> str:
        """Takes a transaction (hex) into the mempool, whatever its fee; the txid. Raises RpcFailure."""
        text = tx if isinstance(tx, str) else tx.raw.hex()
        return await self.rpc.sendrawtransaction(text, 0)

    async def mempool(self) -> list[str]:
        """Txids."""
        txids: list[str] = await self.rpc.getrawmempool()
        return txids

    async def fill_mempool(
        self, n: int, feerates: float | Sequence[float] = 10, *, size: int = 0
    ) -> list[str]:
        """Puts n transactions into the mempool that do not depend on each other; their txids.

        feerates: satoshis per vbyte, taken in turn. size: vbytes of each, made up of data; 0 for the usual
        110. Mines one block, which has nothing else of the mempool, and lets those who follow this node get
        it first: who hears of a transaction before its coins would keep it as an orphan.
        """
        rates = [feerates] if isinstance(feerates, (int, float)) else list(feerates)
        ballast = max(0, size - PLAIN_VSIZE - 16)
        outs = [] if not ballast else [TxOut(0, b"\x6a" + push_data(bytes(ballast)))]
        vsize = PLAIN_VSIZE + sum(len(out.serialize()) for out in outs)
        values = [math.ceil(rates[i % len(rates)] * vsize) + DUST for i in range(n)]
        outs_of_fan = [TxOut(value, blocks.FAUCET_SCRIPT) for value in values]
        fan = await self.network.faucet.make(self, outs_of_fan, confirmed=True)
        tip = await self.tip()
        followers = [node for node in self.network.reached_from(self) if node.role != "spv"]
        followers = [node for node in followers if await node.tip() == tip]
        await self.mine(transactions=[fan.raw.hex()])
        for node in followers:
            await node.wait_for_height(await self.height())
        coins = [Coin(OutPoint(fan.txid, i), value) for i, value in enumerate(values)]
        spends = blocks.spend_alike(
            [(coin.outpoint, coin.value) for coin in coins], [TxOut(DUST, blocks.FAUCET_SCRIPT), *outs]
        )
        txids = list[str]()
        for start in range(0, n, AT_ONCE):
            together = coins[start : start + AT_ONCE]
            sent = await asyncio.gather(*(self.send(next(spends)) for _ in together), return_exceptions=True)
            for coin, txid in zip(together, sent, strict=True):
                if isinstance(txid, BaseException):
                    raise txid
                self.network.faucet.remember(txid, [coin], [DUST])
                txids.append(txid)
        return txids

    # Waiting

    async def wait_until(self, what: str, probe: Callable[[], Awaitable[T | None]]) -> T:
        """The first true value of probe, a coroutine function, looked at after everything that happens."""

        async def saw() -> str:
            state = f"{self.name} at height {await self.height()}, tip {await self.tip()}"
            peers = await self.rpc.getconnectioncount()
            state += f", with {peers} connection{'' if peers == 1 else 's'}"
            return f"{state}; its log ends with\n{self.last_words()}"

        return await self.network.wait(f"{self.name}: {what}", probe, saw)

    async def wait_for_height(self, height: int) -> None:
        """Until its chain is at least so high."""

        async def probe() -> bool:
            return await self.height() >= height

        await self.wait_until(f"height {height}", probe)

    async def wait_for_tip(self, block_hash: str) -> None:
        async def probe() -> bool:
            return await self.tip() == block_hash

        await self.wait_until(f"tip {block_hash}", probe)

    async def wait_for_peers(self, count: int) -> None:
        """Until it has exactly so many connections."""

        async def probe() -> bool:
            return await self.rpc.getconnectioncount() == count

        await self.wait_until(f"{count} connections", probe)

    async def wait_for_tx(self, txid: str, *, confirmations: int = 0) -> None:
        """Until it has the transaction, in its mempool or confirmed; confirmations: in a block that deep.

        Blocks before the node was started, or before the first such call, are not looked through.
        """
        if self.role == "spv":
            raise NotPossible("an SPV node knows transactions of its wallets only: ask one of those")

        async def probe() -> bool:
            found = await self.confirmations(txid)
            return found is not None and found >= confirmations

        async def saw() -> str:
            found = await self.confirmations(txid)
            state = {None: "no such transaction", 0: "it unconfirmed"}.get(found, f"{found} confirmations")
            pool = await self.mempool()
            return f"{state}; {self.name} at height {await self.height()} with {len(pool)} in its mempool"

        deep = f" with {confirmations} confirmations" if confirmations else ""
        await self.network.wait(f"{self.name}: transaction {txid}{deep}", probe, saw)

    async def confirmations(self, txid: str) -> int | None:
        """0 in the mempool, None where it is not there (or in a block from before the test)."""
        await self._look_through_blocks()
        if txid in self._where:
            header = await self.rpc.getblockheader(self._where[txid])
            if header["confirmations"] > 0:
                return int(header["confirmations"])
        try:
            await self.rpc.getmempoolentry(txid)
        except RpcFailure as failure:
            if failure.code == _NOT_IN_MEMPOOL:
                return None
            raise
        return 0

    async def _look_through_blocks(self) -> None:
        """Notes what is in the blocks from the tip down to one that is known."""
        block_hash = await self.tip()
        while block_hash not in self._seen_blocks:
            block = await self.rpc.getblock(block_hash, 1)
            self._seen_blocks[block_hash] = None
            for txid in block["tx"]:
                self._where[txid] = block_hash
            if block["height"] <= self.network.first_height or "previousblockhash" not in block:
                return
            block_hash = block["previousblockhash"]
