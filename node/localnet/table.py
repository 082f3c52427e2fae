"""How a local network looks in a terminal: the table of nodes, the chain, the wallets."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from rich import box
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .network import NodeStatus, Pace

TIP_COLOURS = ("green", "yellow", "magenta", "cyan", "red")
ROLE_COLOURS = {"full": "blue", "miner": "yellow", "spv": "cyan"}


def short(block_hash: str | None, digits: int = 12) -> str:
    """A hash by its end, the part that differs."""
    return f"…{block_hash[-digits:]}" if block_hash else "–"


def number(value: object) -> str:
    return "–" if value is None else str(value)


def amount(value: Decimal | None) -> str:
    return "–" if value is None else f"{value:.8f}"


def pace_line(pace: Pace | None) -> str:
    """Difficulty, and what it makes of the miners there are; "" where nothing adjusts it."""
    if pace is None:
        return ""
    seconds = f"{pace.seconds:.1f} s a block" if pace.seconds else "no pace yet"
    return (
        f"difficulty {pace.difficulty:.4g} (bits {pace.bits}, {count(pace.work)} hashes a block): {seconds} "
        f"and {count(pace.hash_rate)} hashes/s over the last {pace.window}, wanted {pace.spacing} s; "
        f"retarget in {pace.until_retarget}"
    )


def count(value: float) -> str:
    """With three digits: 950, 1.05 M."""
    for unit in ("", " k", " M", " G"):
        if value < 999.5:
            return f"{value:.3g}{unit}"
        value /= 1000
    return f"{value:.3g} T"


def status_table(rows: list[NodeStatus], *lines: str) -> Group:
    """Nodes by row, within 80 columns; one colour a tip, so that a fork is seen at once. lines: what stands
    below."""
    tips = list(dict.fromkeys(row.tip for row in rows if row.tip))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.header_style, table.border_style = "bold", "dim"
    for title in ("node", "role", "height", "tip", "peers", "mempool", "balance", "p2p", "rpc"):
        table.add_column(title, justify="left" if title in ("node", "role", "tip") else "right")
    for row in rows:
        colour = TIP_COLOURS[tips.index(row.tip) % len(TIP_COLOURS)] if row.tip else "dim"
        balance = amount(row.balance) + (f"\n+{row.pending}" if row.pending else "")
        table.add_row(
            Text(row.name, style="bold" if row.running else "dim strike"),
            Text(row.role, style=ROLE_COLOURS[row.role]),
            number(row.height),
            Text(short(row.tip, 8) if row.running else "stopped", style=colour),
            number(row.peers),
            number(row.mempool),
            balance,
            number(row.p2p_port),
            number(row.rpc_port),
        )
    return Group(table, *(Text(line, style="dim") for line in lines if line))


def status_lines(rows: list[NodeStatus], pace: Pace | None = None) -> list[str]:
    """The same without a terminal: one plain line a node."""
    lines = [
        f"{row.name:<8} {row.role:<6} "
        + (
            f"height={number(row.height)} tip={short(row.tip)} peers={number(row.peers)} "
            f"mempool={number(row.mempool)} balance={amount(row.balance)} "
            f"p2p={number(row.p2p_port)} rpc={number(row.rpc_port)}"
            if row.running
            else "stopped"
        )
        for row in rows
    ]
    return [*lines, pace_line(pace)] if pace else lines


def block_entry(block: dict[str, Any], now: float | None = None, *, work: bool = False) -> Panel:
    """One block of getblock at verbosity 2, as a readable entry. work: with its difficulty."""
    age = int((time.time() if now is None else now) - block["time"])
    lines = Text()
    for tx in block["tx"]:
        coinbase = "coinbase" in tx["vin"][0]
        total = sum((out["value"] for out in tx["vout"]), Decimal(0))
        lines.append(f"{short(tx['txid'])} ", style="dim")
        if coinbase:
            lines.append(f"coinbase      {total:>15.8f} BTC\n", style="yellow")
        else:
            fee = f"  fee {tx['fee']:.8f}" if "fee" in tx else ""
            shape = f"{len(tx['vin'])} in, {len(tx['vout'])} out"
            lines.append(f"{shape:<13} {total:>15.8f} BTC{fee}\n")
    lines.rstrip()
    title = f"[bold]{block['height']}[/bold]  {block['hash']}"
    facts = [f"{len(block['tx'])} tx", f"{block['size']} bytes", f"weight {block['weight']}"]
    if work:
        facts[2:] = [f"bits {block['bits']}", f"difficulty {block['difficulty']:.4g}"]
    subtitle = " · ".join([*facts, f"{age_text(age)} ago"])
    return Panel(
        lines, title=title, subtitle=subtitle, title_align="left", subtitle_align="left", border_style="dim"
    )


def age_text(seconds: int) -> str:
    if seconds < 120:
        return f"{max(seconds, 0)} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def wallet_table(node: str, balances: dict[str, Any], addresses: list[tuple[str, Decimal, int]]) -> Group:
    """addresses: (address, amount, confirmations) of the coins, largest first."""
    mine = balances["mine"]
    title = Text(f"{node}: {amount(mine['trusted'])} BTC", style="bold")
    for key, word in (("untrusted_pending", "pending"), ("immature", "immature")):
        if mine.get(key):
            title.append(f"  + {amount(mine[key])} {word}", style="dim")
    if not addresses:
        return Group(title)
    table = Table(border_style="dim")
    table.add_column("address", no_wrap=True)
    table.add_column("amount", justify="right")
    table.add_column("confirmations", justify="right")
    for address, value, confirmations in addresses:
        table.add_row(address, amount(value), str(confirmations))
    return Group(title, table)
