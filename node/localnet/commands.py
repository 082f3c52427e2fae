"""What a second terminal can ask of a running network."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from decimal import Decimal, InvalidOperation
from pathlib import Path

from .board_address import page_address
from .control import send_order
from .network import LocalNetwork
from .process import NodeError, wait_until

CHAIN_ENTRIES = 10


def status(network: LocalNetwork, args: argparse.Namespace) -> int:
    from .table import pace_line, status_lines, status_table

    rows, pace = network.status(), network.pace()
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print(status_table(rows, pace_line(pace)))
    else:
        print("\n".join(status_lines(rows, pace)))
    return 0


def cli(network: LocalNetwork, args: argparse.Namespace) -> int:
    """pybitcoin-cli, pointed at the node; its exit code."""
    node = network.node(args.node)
    command = [
        sys.executable,
        "-m",
        "pybitcoind.node.cli",
        node.chain_option,
        f"-datadir={node.folder}",
        f"-rpcport={node.rpc_port}",
        *args.words,
    ]
    return subprocess.run(command, check=False).returncode


def chain(network: LocalNetwork, args: argparse.Namespace) -> int:
    from rich.console import Console

    from .table import block_entry

    node = network.node(args.node)
    if node.shape.role == "spv":
        raise NodeError(f"{node.name} keeps headers only; ask a full node for its blocks")
    console = Console()
    block_hash = node.rpc("getbestblockhash")
    for _ in range(args.count):
        block = node.rpc("getblock", block_hash, 2)
        console.print(block_entry(block, work=bool(network.shape.chain)))
        if "previousblockhash" not in block:
            break
        block_hash = block["previousblockhash"]
    return 0


def wallets(network: LocalNetwork, args: argparse.Namespace) -> int:
    from rich.console import Console

    from .table import wallet_table

    console = Console()
    for node in network.running():
        coins: dict[str, tuple[Decimal, int]] = {}
        for coin in node.wallet("listunspent", 0):
            total, least = coins.get(coin["address"], (Decimal(0), coin["confirmations"]))
            coins[coin["address"]] = total + coin["amount"], min(least, coin["confirmations"])
        rows = sorted(((address, *rest) for address, rest in coins.items()), key=lambda row: -row[1])
        shown = rows[: args.count]
        console.print(wallet_table(node.name, node.wallet("getbalances"), shown))
        if len(rows) > len(shown):
            console.print(f"  … and {len(rows) - len(shown)} more addresses (--count)")
    return 0


def send(network: LocalNetwork, args: argparse.Namespace) -> int:
    try:
        amount = Decimal(args.amount)
    except InvalidOperation:
        raise NodeError(f"{args.amount!r} is no amount in BTC") from None
    print(network.pay(args.sender, args.receiver, amount))
    return 0


def mine(network: LocalNetwork, args: argparse.Namespace) -> int:
    if args.blocks < 1:
        raise NodeError("at least one block")
    for block_hash in network.mine(args.blocks):
        print(block_hash)
    return 0


def obey(network: LocalNetwork, args: argparse.Namespace) -> int:
    """Gives the order to the process that supervises the network; prints what was done."""
    arguments = {str(name): str(getattr(args, name)) for name in args.arguments}
    print(send_order(network.control_port, network.token, args.order, arguments))
    return 0


def partition(network: LocalNetwork, args: argparse.Namespace) -> int:
    groups = " ".join(args.groups)
    print(send_order(network.control_port, network.token, "partition", {"groups": groups}))
    return 0


def open_page(network: LocalNetwork, args: argparse.Namespace) -> int:
    print(page_address(network.board_port, network.token))
    return 0


def logs(network: LocalNetwork, args: argparse.Namespace) -> int:
    """The end of a node's log; -f goes on with what comes, until Ctrl-C."""
    path = network.node(args.node).log_file
    try:
        with path.open(errors="replace") as file:
            print("".join(file.readlines()[-args.lines :]), end="")
            while args.follow:
                line = file.readline()
                if line:
                    print(line, end="", flush=True)
                else:
                    time.sleep(0.2)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise NodeError(f"{path}: {error.strerror}") from None
    except KeyboardInterrupt:
        pass
    return 0


def down(network: LocalNetwork, args: argparse.Namespace) -> int:
    try:
        print(send_order(network.control_port, network.token, "down"))
        wait_until("the nodes to stop", lambda: not network.state_file.exists(), timeout=60)
    except NodeError:
        killed = LocalNetwork.clean_up(Path(network.folder))
        print(f"the first terminal is gone; ended {', '.join(killed) or 'nothing'}")
    return 0
