"""The local network as a whole: start, mine, pay, look, stop; and what a crash left behind."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pybitcoind.chain.consensus.pow import block_work
from pybitcoind.chain.params import ChainParams

from .links import Links
from .process import NodeError, NodeProcess, wait_until
from .shape import Shape, chain_params

DEFAULT_FOLDER = Path.home() / ".pybitcoin-localnet"
ADVANCE_BLOCKS = 200
"""Mined before anything else, to the treasury: regtest halves its subsidy every 150 blocks."""
FIRST_PAYMENT = Decimal("100")
"""What each wallet but the treasury's gets at the start, in BTC."""
RESTING = 1e5
"""Interval of miners that shall not mine yet, in seconds."""
MAX_TRIES = 10**9


def default_folder() -> Path:
    """Where the network lives if nobody says otherwise: $PYBITCOIN_LOCALNET, or in the home directory."""
    return Path(os.environ.get("PYBITCOIN_LOCALNET", DEFAULT_FOLDER))


@dataclass(slots=True)
class NodeStatus:
    """A row of the table. height, peers, mempool, balance: None where the node does not run or has none."""

    name: str
    role: str
    running: bool
    height: int | None = None
    tip: str | None = None
    peers: int | None = None
    mempool: int | None = None
    balance: Decimal | None = None
    pending: Decimal | None = None
    p2p_port: int | None = None
    rpc_port: int | None = None
    web_port: int | None = None


@dataclass(slots=True)
class Pace:
    """Difficulty, and how the miners do by it. work: hashes a block; hash_rate: hashes a second.

    seconds: from block to block, over the last `window` blocks. spacing: what it should be.
    """

    difficulty: float
    bits: str
    work: float
    hash_rate: float
    seconds: float
    window: int
    spacing: int
    until_retarget: int


class LocalNetwork:
    """The nodes of one folder. One process at a time supervises them; others attach by `load`."""

    def __init__(self, folder: Path, shape: Shape) -> None:
        self.folder, self.shape = folder, shape
        self.chain = chain_params(Path(shape.chain)) if shape.chain else None
        chain = (self.chain.name, shape.chain) if self.chain else None
        self.nodes = {node.name: NodeProcess(node, folder / node.name, chain) for node in shape.nodes}
        self.links = Links(shape, self.nodes)
        self._interval = shape.interval
        self.control_port = self.board_port = 0
        self.token = secrets.token_hex(16)
        self.supervisor = os.getpid()

    # State: what a second terminal needs to find the network, and the next `up` to clean up after a crash.

    @property
    def state_file(self) -> Path:
        return self.folder / "localnet.json"

    def save(self) -> None:
        state = {
            "shape": self.shape.to_json(),
            "supervisor": self.supervisor,
            "control_port": self.control_port,
            "board_port": self.board_port,
            "token": self.token,
            "nodes": {name: node.to_json() for name, node in self.nodes.items()},
        }
        fresh = self.state_file.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(state, file, indent=1)
        fresh.replace(self.state_file)

    @classmethod
    def load(cls, folder: Path | None = None) -> LocalNetwork:
        """The network that runs in folder (`default_folder`); NodeError if none does."""
        folder = folder or default_folder()
        try:
            state = json.loads((folder / "localnet.json").read_text())
            network = cls(folder, Shape.from_json(state["shape"]))
            network.control_port, network.token = state["control_port"], state["token"]
            network.board_port = state["board_port"]
            network.supervisor = state["supervisor"]
            for name, data in state["nodes"].items():
                network.nodes[name].load_json(data)
        except FileNotFoundError:
            raise NodeError(f"no network runs in {folder}; `pybitcoin-localnet up` starts one") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NodeError(f"{folder / 'localnet.json'} is damaged ({error}); `up` starts anew") from None
        return network

    @classmethod
    def clean_up(cls, folder: Path) -> list[str]:
        """Ends what a crashed run left in folder; the names of the nodes it killed."""
        try:
            left = cls.load(folder)
        except NodeError:
            return []
        killed = [node.name for node in left.nodes.values() if node.running]
        for node in left.nodes.values():
            node.kill()
        left.state_file.unlink(missing_ok=True)
        return killed

    # Life

    def node(self, name: str) -> NodeProcess:
        self.shape.node(name)
        return self.nodes[name]

    def create(self, *, keep: bool = False) -> None:
        """A folder without nodes; keep: the chains of an earlier run stay.

        NodeError if something that is not ours has the place of a node.
        """
        if self.folder.exists():
            ours = _old_nodes(self.folder)
            for name in self.nodes:
                place = self.folder / name
                if place.exists() and name not in ours and not (place.is_dir() and not any(place.iterdir())):
                    raise NodeError(f"{place} is not of a local network; choose another folder with --dir")
            for name in ours if not keep else ():
                shutil.rmtree(self.folder / name, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.save()

    def start(self, names: Iterable[str] | None = None) -> None:
        """All nodes (or names, again) up, answering and linked. Miners at full speed wait for `endow`."""
        if names is None:
            self._interval = self.shape.interval or RESTING
        chosen = [self.nodes[name] for name in self.nodes if names is None or name in names]
        for node in chosen:
            node.start(self._interval)
            self.save()
        for node in chosen:
            node.wait_ready()
        self.save()
        self.links.dial_all()

    def start_node(self, name: str) -> None:
        """One node up again, on its old ports, and linked."""
        node = self.node(name)
        node.start(self._interval)
        self.save()
        node.wait_ready()
        self.save()
        self.links.dial_of(name)

    def stop_node(self, name: str) -> None:
        self.node(name).stop()
        self.save()

    def stop_all(self) -> None:
        """Every node stopped in order, at once."""
        with ThreadPoolExecutor(max(1, len(self.nodes))) as pool:
            list(pool.map(lambda node: node.stop(), self.nodes.values()))

    def stop(self) -> None:
        """The end: nothing left but the folder."""
        self.stop_all()
        self.state_file.unlink(missing_ok=True)

    def running(self) -> list[NodeProcess]:
        return [node for node in self.nodes.values() if node.running]

    # Blocks and money

    @property
    def treasury(self) -> NodeProcess:
        """Whose wallet holds the coins mined in advance: the first miner, else the first full node."""
        shapes = self.shape.with_role("miner") or self.shape.with_role("full")
        return self.nodes[shapes[0].name]

    def mine(self, blocks: int, node: NodeProcess | None = None) -> list[str]:
        """Mines blocks at once to node's wallet (the treasury's); their hashes."""
        miner = node or self.treasury
        address = miner.wallet("getnewaddress")
        if self.chain is None:
            return list(miner.rpc("generatetoaddress", blocks, address))
        return [miner.rpc("generatetoaddress", 1, address, MAX_TRIES)[0] for _ in range(blocks)]

    def _mine_in_the_past(self, blocks: int, chain: ChainParams) -> None:
        """Mines at once, with times that keep difficulty where it is: at full speed it would rise and rise.

        A period is measured from its first to its last block, so that is what must take the whole timespan.
        """
        miner = self.treasury
        address = miner.wallet("getnewaddress")
        gap = -(-chain.pow_target_timespan // (chain.difficulty_interval - 1))
        now = int(time.time())
        start = max(now - blocks * gap, chain.genesis.header.time)
        for i in range(1, blocks + 1):
            miner.rpc("setmocktime", min(start + i * gap, now))
            miner.rpc("generatetoaddress", 1, address, MAX_TRIES)
        miner.rpc("setmocktime", 0)

    def _mine_at_once(self, blocks: int) -> None:
        """Times rise, by a second in six blocks, however fast they come: so they begin in the past."""
        miner = self.treasury
        miner.rpc("setmocktime", int(time.time()) - blocks)
        self.mine(blocks)
        miner.rpc("setmocktime", 0)

    def pay(self, sender: str, receiver: str, amount: Decimal) -> str:
        """Pays from one node's wallet to another's, or to an address; the txid."""
        address = self.nodes[receiver].wallet("getnewaddress") if receiver in self.nodes else receiver
        return str(self.node(sender).wallet("sendtoaddress", address, amount))

    def endow(self) -> None:
        """Mines the chain in advance and gives every other wallet its first payment."""
        height = self.treasury.rpc("getblockcount")
        if height < ADVANCE_BLOCKS:
            if self.chain is None or self.chain.pow_no_retargeting:
                self._mine_at_once(ADVANCE_BLOCKS - height)
            else:
                self._mine_in_the_past(ADVANCE_BLOCKS - height, self.chain)
            self.wait_synced()
            for name in self.nodes:
                if name != self.treasury.name:
                    self.pay(self.treasury.name, name, FIRST_PAYMENT)
            self.mine(1)
        self.wait_synced()
        if self._interval != self.shape.interval:
            self._interval = self.shape.interval
            for miner in self.shape.with_role("miner"):
                self.stop_node(miner.name)
                self.start_node(miner.name)

    def tips(self) -> dict[str, str]:
        return {node.name: node.rpc("getbestblockhash") for node in self.running()}

    def wait_synced(self, names: Iterable[str] | None = None, *, timeout: float = 60.0) -> str:
        """Until all running nodes (or names) have one tip: its hash."""
        chosen = [self.nodes[name] for name in names] if names else self.running()

        def tips() -> dict[str, str]:
            return {node.name: node.rpc("getbestblockhash") for node in chosen}

        wait_until("one tip everywhere", lambda: len({*tips().values()}) == 1, timeout=timeout, saw=tips)
        return next(iter(tips().values()))

    def settle(self) -> None:
        """Until every running node has handled what it was told: wallets and indexes are on the tip."""
        for node in self.running():
            node.rpc("syncwithvalidationinterfacequeue")

    # Looking

    def status(self) -> list[NodeStatus]:
        """One row a node, asked of all at once."""
        with ThreadPoolExecutor(max(1, len(self.nodes))) as pool:
            return list(pool.map(self._status_of, self.nodes.values()))

    def _status_of(self, node: NodeProcess) -> NodeStatus:
        row = NodeStatus(node.name, node.shape.role, node.running)
        if not row.running:
            return row
        row.p2p_port, row.rpc_port = node.p2p_port or None, node.rpc_port
        row.web_port = node.web_port or None
        try:
            info: dict[str, Any] = node.rpc("getblockchaininfo")
            row.height, row.tip = info["blocks"], info["bestblockhash"]
            row.peers = node.rpc("getconnectioncount")
            if node.shape.role != "spv":
                row.mempool = node.rpc("getmempoolinfo")["size"]
            mine = node.wallet("getbalances")["mine"]
            row.balance, row.pending = mine["trusted"], mine["untrusted_pending"]
        except NodeError:
            pass  # on its way up or down: the row shows what there was
        return row

    def pace(self) -> Pace | None:
        """By the first full node or miner that answers; None where nothing adjusts difficulty."""
        if self.chain is None or self.chain.pow_no_retargeting:
            return None
        for node in self.running():
            if node.shape.role != "spv":
                try:
                    return _pace(node, self.chain)
                except NodeError:
                    continue
        return None


def _pace(node: NodeProcess, chain: ChainParams) -> Pace:
    info = node.rpc("getblockchaininfo")
    height, window = info["blocks"], min(chain.difficulty_interval, info["blocks"])
    first = node.rpc("getblockheader", node.rpc("getblockhash", height - window))
    work = block_work(int(info["bits"], 16))
    return Pace(
        difficulty=float(info["difficulty"]),
        bits=info["bits"],
        work=work,
        hash_rate=float(node.rpc("getnetworkhashps", window)) if window else 0,
        seconds=(info["time"] - first["time"]) / window if window else 0,
        window=window,
        spacing=chain.pow_target_spacing,
        until_retarget=chain.difficulty_interval - height % chain.difficulty_interval,
    )


def _old_nodes(folder: Path) -> list[str]:
    """Node folders of an earlier run of another shape."""
    return [path.name for path in folder.iterdir() if (path / "stderr.txt").exists()]
