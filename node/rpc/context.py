"""What an RPC method is handed: the node, who asks, and for which wallet."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .amounts import Json
from .errors import RpcCode, RpcError, misc_error

if TYPE_CHECKING:
    from pybitcoind.chain.indexes.block_filters import BlockFilterIndex
    from pybitcoind.chain.indexes.coin_stats import CoinStatsIndex
    from pybitcoind.chain.indexes.scripts import ScriptIndex
    from pybitcoind.chain.indexes.spenders import SpenderIndex
    from pybitcoind.chain.indexes.transactions import TxIndex
    from pybitcoind.chain.manager import ChainManager
    from pybitcoind.chain.mempool.pool import Mempool
    from pybitcoind.chain.params import ChainParams
    from pybitcoind.chain.ports import Clock, Ports
    from pybitcoind.p2p.peer_manager import PeerManager

    from ..app import Node
    from .registry import Registry


class RpcContext(NamedTuple):
    """wallet_name: from the path /wallet/NAME, None for "/". user: who authenticated.

    given: how many arguments the caller passed, for the few methods that act on it.
    """

    node: Node
    wallet_name: str | None = None
    user: str = ""
    given: int = 0

    @property
    def params(self) -> ChainParams:
        return self.node.params

    @property
    def ports(self) -> Ports:
        return self.node.ports

    @property
    def clock(self) -> Clock:
        return self.node.ports.clock

    @property
    def registry(self) -> Registry:
        return self.node.registry

    @property
    def chain(self) -> ChainManager:
        return self.node.chain

    @property
    def mempool(self) -> Mempool:
        """RpcError -33 where the node has none."""
        if self.node.mempool is None:
            if self.node.spv is not None:
                raise RpcError(
                    RpcCode.CLIENT_MEMPOOL_DISABLED,
                    "This node runs as SPV: it has no mempool. Ask a full node.",
                )
            raise RpcError(RpcCode.CLIENT_MEMPOOL_DISABLED, "Mempool disabled or instance not found")
        return self.node.mempool

    @property
    def peers(self) -> PeerManager:
        """RpcError -31 where the node has none."""
        if self.node.peers is None:
            raise RpcError(
                RpcCode.CLIENT_P2P_DISABLED, "Error: Peer-to-peer functionality missing or disabled"
            )
        return self.node.peers

    @property
    def tx_index(self) -> TxIndex | None:
        """None without -txindex."""
        return self.node.indexes.get("txindex")  # type: ignore[return-value]

    @property
    def coin_stats_index(self) -> CoinStatsIndex | None:
        """None without -coinstatsindex."""
        return self.node.indexes.get("coinstatsindex")  # type: ignore[return-value]

    @property
    def spender_index(self) -> SpenderIndex | None:
        """None without -txospenderindex."""
        return self.node.indexes.get("txospenderindex")  # type: ignore[return-value]

    @property
    def script_index(self) -> ScriptIndex | None:
        """None without -scriptindex."""
        return self.node.indexes.get("scriptindex")  # type: ignore[return-value]

    @property
    def filter_index(self) -> BlockFilterIndex | None:
        """None without -blockfilterindex."""
        return self.node.indexes.get("basic block filter index")  # type: ignore[return-value]

    def deprecated_enabled(self, name: str) -> bool:
        """-deprecatedrpc=name is set."""
        return name in self.node.config.values("deprecatedrpc")

    def warnings(self) -> Json:
        """What the node warns of; with -deprecatedrpc=warnings the last one as text."""
        warnings = self.node.warnings()
        if self.deprecated_enabled("warnings"):
            return warnings[-1] if warnings else ""
        return list(warnings)

    def only_regtest(self, message: str) -> None:
        """RpcError -1 with message on networks without mock time."""
        if not self.params.mockable:
            raise misc_error(message)
