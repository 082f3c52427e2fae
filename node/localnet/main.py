"""pybitcoin-localnet: a Bitcoin network of several nodes on this machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..stdout import reader_gone
from . import commands
from .network import LocalNetwork, default_folder
from .process import NodeError
from .shape import DEFAULT_INTERVAL, Shape, ShapeError, from_counts, from_file


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pybitcoin-localnet",
        description="Runs a Bitcoin network of several nodes on this machine: full nodes, miners, SPV nodes.",
    )
    default = default_folder()
    where = f"the network's folder (default: $PYBITCOIN_LOCALNET, else {default})"
    parser.add_argument("--dir", type=Path, default=default, help=where)
    # the same behind the command, where a default would undo what stands before it
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--dir", type=Path, default=argparse.SUPPRESS, help=where)
    parser.add_argument("--demo", action="store_true", help="play the whole story, check it, and end")
    sub = parser.add_subparsers(dest="command", metavar="COMMAND")

    up = sub.add_parser("up", help="start the network and show it until Ctrl-C", parents=[common])
    up.add_argument("--full", type=int, default=2, metavar="N", help="full nodes (default: 2)")
    up.add_argument("--miners", type=int, default=1, metavar="N", help="miners (default: 1)")
    up.add_argument("--spv", type=int, default=1, metavar="N", help="SPV nodes (default: 1)")
    up.add_argument(
        "--shape", type=Path, metavar="FILE", help="nodes and links from a TOML file (see configs/)"
    )
    up.add_argument(
        "--chain", type=Path, metavar="FILE", help="a chain of one's own (see docs/custom-chain.md)"
    )
    up.add_argument(
        "--interval",
        type=float,
        metavar="SECONDS",
        help=f"from block to block (default: {DEFAULT_INTERVAL:g}; where difficulty is adjusted, full speed)",
    )
    up.add_argument("--keep", action="store_true", help="go on with the chains of the last run")
    up.add_argument("--plain", action="store_true", help="plain lines instead of the live table")

    sub.add_parser("status", help="the nodes, one row each", parents=[common]).set_defaults(
        run=commands.status
    )

    cli = sub.add_parser("cli", help="pybitcoin-cli on one node", parents=[common])
    cli.add_argument("node", metavar="NODE")
    cli.add_argument("words", metavar="METHOD …", nargs=argparse.REMAINDER)
    cli.set_defaults(run=commands.cli)

    chain = sub.add_parser("chain", help="a node's blocks, newest first", parents=[common])
    chain.add_argument("node", metavar="NODE")
    chain.add_argument(
        "-n", "--count", type=int, default=commands.CHAIN_ENTRIES, help="how many (default: 10)"
    )
    chain.set_defaults(run=commands.chain)

    wallets = sub.add_parser("wallets", help="every node's addresses and balances", parents=[common])
    wallets.add_argument("-n", "--count", type=int, default=5, help="addresses of each wallet (default: 5)")
    wallets.set_defaults(run=commands.wallets)

    send = sub.add_parser(
        "send", help="pay from one node's wallet to another's, or to an address", parents=[common]
    )
    send.add_argument("sender", metavar="FROM")
    send.add_argument("receiver", metavar="TO")
    send.add_argument("amount", metavar="AMOUNT", help="in BTC")
    send.set_defaults(run=commands.send)

    mine = sub.add_parser("mine", help="mine blocks at once", parents=[common])
    mine.add_argument("blocks", type=int, metavar="N", nargs="?", default=1)
    mine.set_defaults(run=commands.mine)

    def order(name: str, text: str, *arguments: str) -> argparse.ArgumentParser:
        """A command that the process in the first terminal carries out."""
        one = sub.add_parser(name, help=text, parents=[common])
        one.set_defaults(run=commands.obey, order=name, arguments=arguments)
        return one

    for name, text in (("stop", "stop one node"), ("start", "start it again")):
        order(name, text, "node").add_argument("node", metavar="NODE")

    faucet = order("faucet", "pay from the coins mined in advance, and mine a block with it", "to", "amount")
    faucet.add_argument("to", metavar="TO", help="a node, or an address")
    faucet.add_argument("amount", metavar="AMOUNT", nargs="?", default="1", help="in BTC (default: 1)")

    partition = sub.add_parser("partition", help="cut every link between the sides", parents=[common])
    partition.add_argument(
        "groups",
        metavar="NODE,NODE…",
        nargs="+",
        help="the nodes of one side, joined by commas; if only one side is given, the other is all the rest",
    )
    partition.set_defaults(run=commands.partition)
    order("heal", "every link is whole again")

    for name, text in (("cut", "cut one link"), ("link", "heal it again")):
        one = order(name, text, "one", "other")
        one.add_argument("one", metavar="NODE")
        one.add_argument("other", metavar="NODE")

    delay = order("delay", "make one link slow", "one", "other", "ms")
    delay.add_argument("one", metavar="NODE")
    delay.add_argument("other", metavar="NODE")
    delay.add_argument("ms", type=int, metavar="MS", help="milliseconds one way; 0 ends it")

    reorg = order("reorg", "take blocks back by a longer branch", "depth", "node")
    reorg.add_argument("depth", type=int, metavar="DEPTH", nargs="?", default=1, help="blocks (default: 1)")
    reorg.add_argument("--node", default="", metavar="NODE", help="who mines it (default: the treasury's)")

    for name, text in (
        ("snapshot", "keep the state of all nodes (they stop for a moment)"),
        ("restore", "take all nodes back to a snapshot"),
    ):
        order(name, text, "name").add_argument("name", metavar="NAME")

    sub.add_parser("open", help="print the address of the network's page", parents=[common]).set_defaults(
        run=commands.open_page
    )

    logs = sub.add_parser("logs", help="the end of a node's debug.log", parents=[common])
    logs.add_argument("node", metavar="NODE")
    logs.add_argument("-n", "--lines", type=int, default=40, help="how many lines (default: 40)")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    logs.set_defaults(run=commands.logs)

    sub.add_parser("down", help="end the network", parents=[common]).set_defaults(run=commands.down)
    return parser


def shape_of(args: argparse.Namespace) -> Shape:
    shape = from_file(args.shape) if args.shape else from_counts(args.full, args.miners, args.spv)
    if args.chain:
        shape.set_chain(args.chain)
    if args.interval is not None:
        if args.interval <= 0:
            raise ShapeError("--interval is a number of seconds above 0")
        shape.interval = args.interval
    return shape


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0; 1 with one line on stderr where something failed; 2 for a wrong command line; 130 after
    Ctrl-C."""
    parser = build_parser()
    args = parser.parse_args(argv)
    folder = args.dir.expanduser().absolute()
    try:
        if args.demo:
            from .demo import play

            return play(folder.with_name(folder.name + "-demo"))
        if args.command == "up":
            from .supervisor import up

            return up(folder, shape_of(args), keep=args.keep, plain=args.plain)
        if args.command is None:
            parser.print_help()
            return 2
        code = int(args.run(LocalNetwork.load(folder), args))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        return reader_gone()
    except (NodeError, ShapeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
