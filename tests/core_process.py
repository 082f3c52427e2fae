"""Bitcoin Core's daemon behind the interface of node_process.Daemon: the same test asks both."""

from __future__ import annotations

import os
import socket

from node_process import Daemon, NodeError


class CoreDaemon(Daemon):
    """A regtest node of Bitcoin Core, the program that BITCOIND names, on free ports."""

    def _command(self, network: str) -> list[str]:
        with socket.socket() as rpc, socket.socket() as p2p:
            for free in (rpc, p2p):
                free.bind(("127.0.0.1", 0))
            self._fixed_ports = {"rpc": rpc.getsockname()[1], "p2p": p2p.getsockname()[1]}
        rpc_port, p2p_port = self._fixed_ports.values()
        program = [os.environ["BITCOIND"], f"-chain={network}", f"-datadir={self.datadir}"]
        quiet = ["-printtoconsole=0", "-server", "-listen", "-listenonion=0", "-discover=0", "-dnsseed=0"]
        bind = [f"-bind=127.0.0.1:{p2p_port}", f"-rpcport={rpc_port}"]
        return [*program, *quiet, *bind, "-fixedseeds=0", "-natpmp=0", "-connect=0", "-v2transport=0"]

    def wait_ports(self) -> None:
        self.until("the cookie", (self.net_dir / ".cookie").exists)
        self.ports = dict(self._fixed_ports)

    def _answers(self) -> bool:
        try:
            return super()._answers()
        except NodeError as error:
            if error.__class__ is NodeError:  # no answer yet
                return False
            raise
