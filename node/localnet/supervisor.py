"""`up`: starts the network, shows it, obeys orders from other terminals, and leaves nothing behind."""

from __future__ import annotations

import signal
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .board import Board
from .board_address import page_address
from .control import ControlServer, send_order
from .network import LocalNetwork
from .orders import Orders
from .process import NodeDied, NodeError
from .shape import Shape

REFRESH = 1.0
PLAIN_EVERY = 10.0
"""Seconds between two reports: of the live table, and of plain lines where there is no terminal."""


@contextmanager
def supervised(
    folder: Path, shape: Shape, *, keep: bool = False
) -> Iterator[tuple[LocalNetwork, threading.Event]]:
    """A network that runs inside the with, and the event that says it shall end.

    NodeError if one runs in folder already. SIGINT, SIGTERM and SIGHUP set the event; while the network
    starts they interrupt it.
    """
    refuse_second(folder)
    for name in LocalNetwork.clean_up(folder):
        print(f"ended {name}, left by a run that crashed", flush=True)
    network = LocalNetwork(folder, shape)
    network.create(keep=keep)
    ending = threading.Event()
    starting = True

    def on_signal(number: int, frame: types.FrameType | None) -> None:
        ending.set()
        if starting:
            raise KeyboardInterrupt

    orders = Orders(network, ending.set)
    board = Board(network, orders, _Quiet())
    orders.loop = board
    handlers = {n: signal.signal(n, on_signal) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    control = ControlServer(network.token, orders.obey)
    network.control_port = control.port
    try:
        board.start_thread()
        network.board_port = board.port
        network.start()
        starting = False
        yield network, ending
    finally:
        starting = False
        control.close()
        board.stop_thread()
        network.stop()
        for number, handler in handlers.items():
            signal.signal(number, handler)


class _Quiet:
    """`Log` of the board: a bug of a page is shown on it, and on stderr; nothing else is told."""

    def enabled(self, category: str) -> bool:
        return False

    def debug(self, category: str, text: str) -> None: ...

    def info(self, text: str) -> None: ...

    def warning(self, text: str) -> None: ...

    def error(self, text: str) -> None:
        print(text, file=sys.stderr)


def refuse_second(folder: Path) -> None:
    """NodeError if a supervisor answers for folder."""
    try:
        network = LocalNetwork.load(folder)
        send_order(network.control_port, network.token, "ping", timeout=2)
    except NodeError:
        return
    raise NodeError(f"a network runs in {folder} already; `pybitcoin-localnet down` ends it")


def up(folder: Path, shape: Shape, *, keep: bool = False, plain: bool = False) -> int:
    """Runs a network until Ctrl-C or `down`. plain: no live table."""
    print(f"starting {len(shape.nodes)} nodes in {folder} ...", flush=True)
    try:
        with supervised(folder, shape, keep=keep) as (network, ending):
            print("mining a chain in advance ...", flush=True)
            network.endow()
            if plain or not sys.stdout.isatty():
                _show_lines(network, ending)
            else:
                _show_table(network, ending)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        return 130
    except NodeDied as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("the network is down", flush=True)
    return 0


def _show_lines(network: LocalNetwork, ending: threading.Event) -> None:
    from .table import status_lines

    print("the network is up; Ctrl-C ends it", flush=True)
    print(f"its page: {page_address(network.board_port, network.token)}", flush=True)
    while True:
        print("\n".join(status_lines(network.status(), network.pace())), flush=True)
        if ending.wait(PLAIN_EVERY):
            return


def _show_table(network: LocalNetwork, ending: threading.Event) -> None:
    from rich.console import Group
    from rich.live import Live

    from .table import pace_line, status_table

    footer = (
        "from a second terminal, pybitcoin-localnet and:\n"
        "  status | chain NODE | wallets | send FROM TO AMOUNT | mine N | cli NODE METHOD …\n"
        "  faucet TO AMOUNT | stop NODE | start NODE | partition NODES … | heal | delay NODE NODE MS\n"
        "  reorg [DEPTH] | snapshot NAME | restore NAME | logs NODE | open | down\n"
        f"its page: {page_address(network.board_port, network.token)}\n"
        "Ctrl-C ends the network"
    )

    def shown() -> Group:
        return status_table(network.status(), pace_line(network.pace()), footer)

    with Live(shown(), auto_refresh=False) as live:
        while not ending.wait(REFRESH):
            live.update(shown(), refresh=True)
