"""What a network is at one moment: to be rewound to, opened again as another network, or kept in a folder.

A saved snapshot has one data directory a node, as our daemon has it, which runs on it too:
`pybitcoind -regtest -datadir=FOLDER/NODE`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pybitcoind.chain.primitives.hashes import hash_from_hex, hash_hex
from pybitcoind.chain.primitives.transaction import OutPoint

from .errors import NotPossible
from .faucet import Coin
from .hosted import Spec, Stored

if TYPE_CHECKING:
    from .links import Link
    from .network import BitcoinNetwork

DIRECTORY = "network.json"
SETTINGS = ("delay", "jitter", "bandwidth", "loss")


@dataclass(frozen=True, slots=True)
class LinkState:
    """forward, backward: delay, jitter, bandwidth, loss of the two lines."""

    dialler: str
    listener: str
    is_cut: bool
    forward: tuple[float, ...]
    backward: tuple[float, ...]

    @classmethod
    def of(cls, link: Link) -> LinkState:
        ways = [tuple(getattr(line, name) for name in SETTINGS) for line in link.lines()]
        return cls(link.dialler.name, link.listener.name, link.is_cut, *ways)

    def apply(self, link: Link) -> None:
        for line, values in zip(link.lines(), (self.forward, self.backward), strict=True):
            for name, value in zip(SETTINGS, values, strict=True):
                setattr(line, name, value)


@dataclass(slots=True)
class Snapshot:
    """specs and stores: of each node, by name. time: wall time of the network's clock."""

    mode: str
    clock: str
    seed: int
    time: int
    chain: str
    specs: list[Spec]
    stores: dict[str, Stored]
    running: list[str]
    links: list[LinkState]
    payments: dict[str, tuple[Coin, ...]] = field(default_factory=dict)
    """What the faucet's payments spend."""

    def network(self, **changes: Any) -> BitcoinNetwork:
        """A new network that begins here; `async with` starts it. changes: as of BitcoinNetwork, its mode for
        one."""
        from .network import BitcoinNetwork

        values: dict[str, Any] = {"mode": self.mode, "clock": self.clock, "seed": self.seed}
        if changes.get("mode", self.mode) != self.mode:
            del values["clock"]
        return BitcoinNetwork(self.specs, **(values | {"chain": self.chain} | changes), snapshot=self)

    # In a folder

    def save(self, folder: str | Path) -> None:
        """Writes it below a folder, which is made if need be."""
        folder = Path(folder)
        for name, stored in self.stores.items():
            for file, data in _files(stored):
                path = folder / name / "regtest" / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        record = {
            "mode": self.mode,
            "clock": self.clock,
            "seed": self.seed,
            "time": self.time,
            "chain": self.chain,
            "nodes": [asdict(spec) | {"wallets": self.stores[spec.name].wallets} for spec in self.specs],
            "running": self.running,
            "links": [asdict(link) for link in self.links],
            "payments": {
                txid: [[hash_hex(coin.outpoint.txid), coin.outpoint.vout, coin.value] for coin in coins]
                for txid, coins in self.payments.items()
            },
        }
        (folder / DIRECTORY).write_text(json.dumps(record, indent=1) + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> Snapshot:
        folder = Path(folder)
        try:
            record = json.loads((folder / DIRECTORY).read_text())
        except (OSError, ValueError) as error:
            raise NotPossible(f"there is no snapshot in {folder}: {error}") from None
        specs, stores = [], {}
        for row in record["nodes"]:
            wallets = tuple(row.pop("wallets"))
            spec = Spec(**(row | {"options": tuple(row["options"])}))
            specs.append(spec)
            stores[spec.name] = stored_in(folder / spec.name / "regtest", wallets, ours=spec.program is None)
        links = [
            LinkState(**(row | {way: tuple(row[way]) for way in ("forward", "backward")}))
            for row in record["links"]
        ]
        payments = {
            txid: tuple(Coin(OutPoint(hash_from_hex(h), n), value) for h, n, value in coins)
            for txid, coins in record["payments"].items()
        }
        rest = {name: record[name] for name in ("mode", "clock", "seed", "time", "chain", "running")}
        return cls(specs=specs, stores=stores, links=links, payments=payments, **rest)


def _files(stored: Stored) -> Iterator[tuple[str, bytes]]:
    yield from stored.databases.items()
    if stored.mempool:
        yield "mempool.dat", stored.mempool


def stored_in(net_dir: Path, wallets: tuple[str, ...], *, ours: bool = True) -> Stored:
    """What a node that is stopped has in its network's directory. ours: databases and mempool only."""
    databases = {
        path.relative_to(net_dir).as_posix(): path.read_bytes()
        for path in sorted(net_dir.rglob("*"))
        if path.is_file() and (not ours or path.suffix == ".sqlite") and path.name not in ("lock", ".lock")
    }
    mempool = net_dir / "mempool.dat"
    return Stored(databases, mempool.read_bytes() if ours and mempool.exists() else b"", wallets)


async def take(network: BitcoinNetwork) -> Snapshot:
    """Of all nodes; those that are processes are stopped for it and started again."""
    stores, running = {}, [node.name for node in network.nodes if node.running]
    for node in network.nodes:
        stores[node.name] = await node.snapshot()
    return Snapshot(
        mode=network.mode,
        clock=network.clock.kind,
        seed=network.seed,
        time=network.clock.time(),
        chain=network.chain,
        specs=[node.engine.spec for node in network.nodes],
        stores=stores,
        running=running,
        links=[LinkState.of(link) for link in network.links],
        payments=dict(network.faucet.payments),
    )
