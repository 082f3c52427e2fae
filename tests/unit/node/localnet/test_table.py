"""The table of nodes in a terminal."""

from __future__ import annotations

from decimal import Decimal

from rich.console import Console

from pybitcoind.node.localnet.network import NodeStatus
from pybitcoind.node.localnet.table import status_table

ROW = NodeStatus(
    name="miner1",
    role="miner",
    running=True,
    height=123_456,
    tip="ab" * 24 + "0123456789abcdef",
    peers=3,
    mempool=1_000,
    balance=Decimal("20999.99991720"),
    pending=Decimal("1.50000000"),
    p2p_port=43_613,
    rpc_port=36_281,
)


def test_all_of_a_row_is_seen_in_80_columns() -> None:
    console = Console(width=80)
    with console.capture() as shown:
        console.print(status_table([ROW]))
    text = shown.get()
    for word in ("123456", "…89abcdef", "1000", "20999.99991720", "+1.50000000", "43613", "36281", "mempool"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 80
