"""docs/tour.md as it runs: every block in order, against a local network of its own, one shell and one Python
session for the whole page; `...` in what is printed stands for what differs from run to run, as in doctest.

scripts/tour says where the page is not true; scripts/tour --write puts down what is printed now and draws the
pictures again; scripts/tour --python is a session to type the page's Python into.
"""

from __future__ import annotations

import argparse
import code
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tour_pictures

from pybitcoind.node.localnet.network import LocalNetwork
from pybitcoind.node.localnet.process import NodeProcess, wait_until

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "tour.md"
PICTURES = ROOT / "docs" / "tour"
_DONE = "the tour's shell is done with it"


@dataclass(slots=True)
class Example:
    """Something to type. line: of the page, from 0, on which want begins."""

    stop: str
    session: str
    """console or pycon."""
    source: str
    want: str
    line: int
    got: str = ""

    @property
    def true(self) -> bool:
        return doctest.OutputChecker().check_output(self.want, self.got, doctest.ELLIPSIS)

    def __str__(self) -> str:
        mark = "$" if self.session == "console" else ">>>"
        return (
            f"{PAGE.name}, line {self.line}, stop {self.stop!r}: {mark} {self.source.rstrip()}\n"
            f"the page says:\n{_indented(self.want)}it printed:\n{_indented(self.got)}"
        )


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines() or ["(nothing)"])


def read_page(text: str) -> list[list[Example]]:
    """The blocks of the page, each with its examples."""
    blocks, stop, lines = [], "", text.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("## "):
            stop = line[3:]
        if line in ("```console", "```pycon"):
            body = lines[number + 1 : lines.index("```", number)]
            parse = _shell_examples if line == "```console" else _python_examples
            blocks.append([Example(stop, line[3:], *rest) for rest in parse(body, number + 1)])
    return blocks


def _shell_examples(lines: list[str], first: int) -> Iterator[tuple[str, str, int]]:
    starts = [i for i, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        want = "".join(f"{line}\n" for line in lines[start + 1 : end])
        yield lines[start][2:] + "\n", want, first + start + 1


def _python_examples(lines: list[str], first: int) -> Iterator[tuple[str, str, int]]:
    for example in doctest.DocTestParser().get_examples("\n".join(lines) + "\n"):
        yield example.source, example.want, first + example.lineno + example.source.count("\n")


def start_command(text: str) -> list[str]:
    """What the page has its reader type into the first terminal, behind scripts/localnet."""
    found = re.search(r"^```sh\nscripts/localnet (up .*)$", text, re.MULTILINE)
    assert found, "the page says how the network is started"
    return shlex.split(found[1])


class Tour:
    """The reader's three terminals: the network, a shell, Python."""

    def __init__(self, folder: Path) -> None:
        self._network = LocalNetwork.load(folder)
        self._shell = subprocess.Popen(
            ["bash", "--norc"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )
        self._names: dict[str, Any] = {"__name__": "__main__"}

    def close(self) -> None:
        self._shell.communicate("exit\n", timeout=60)
        for network in (self._network, *self._names.values()):
            if isinstance(network, LocalNetwork):
                for node in network.nodes.values():
                    node.hang_up()

    def run(self, block: list[Example]) -> None:
        """Fills in what is printed. Then the nodes agree: a reader is slower than they are."""
        for example in block:
            if example.session == "console":
                example.got = self._type_into_shell(example.source)
                self._settle()
            else:
                example.got = self._type_into_python(example.source)
        self._settle()

    def _type_into_shell(self, command: str) -> str:
        assert self._shell.stdin and self._shell.stdout
        self._shell.stdin.write(f"{command}echo {shlex.quote(_DONE)}\n")
        self._shell.stdin.flush()
        got = []
        for line in self._shell.stdout:
            if line == f"{_DONE}\n":
                return "".join(got)
            got.append(line)
        raise AssertionError("the shell ended: " + "".join(got))

    def _type_into_python(self, source: str) -> str:
        shown, before = io.StringIO(), sys.displayhook
        sys.displayhook = lambda value: None if value is None else print(repr(value))
        try:
            with redirect_stdout(shown):
                exec(compile(source, "<tour>", "single"), self._names)
        except Exception:
            shown.write(traceback.format_exc())
        finally:
            sys.displayhook = before
        return shown.getvalue()

    def _settle(self) -> None:
        """Until nodes that are linked agree, and their wallets and indexes have followed."""
        if not self._network.state_file.exists():
            return  # the page has ended it
        nodes = self._network.nodes
        for one, other in self._network.links.all:
            if self._network.links.linked(one, other):
                wait_until(f"{one} and {other} to agree", partial(_agree, nodes[one], nodes[other]))
        self._network.settle()
        for node in self._network.running():
            wait_until(f"the wallet of {node.name} to follow", partial(_has_followed, node))


def _agree(one: NodeProcess, other: NodeProcess) -> bool:
    """Both have one tip and, where both have one, one mempool."""
    methods = ["getbestblockhash"]
    if "spv" not in (one.shape.role, other.shape.role):
        methods.append("getrawmempool")
    return all(sorted(one.rpc(method)) == sorted(other.rpc(method)) for method in methods)


def _has_followed(node: NodeProcess) -> bool:
    processed = node.wallet("getwalletinfo")["lastprocessedblock"]
    return bool(processed["hash"] == node.rpc("getbestblockhash"))


@contextmanager
def tour(text: str, folder: Path) -> Iterator[Tour]:
    """The network that the page starts, in folder, and the sessions beside it."""
    before = os.environ.get("PYBITCOIN_LOCALNET")
    os.environ["PYBITCOIN_LOCALNET"] = str(folder)
    command = [sys.executable, "-m", "pybitcoind.node.localnet.main", *start_command(text), "--plain"]
    network = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert network.stdout
    try:
        said = []
        for line in network.stdout:
            if "the network is up" in line:
                break
            said.append(line)
        else:
            raise AssertionError(f"the network did not start: {''.join(said)}")
        reader = Tour(folder)
        try:
            yield reader
        finally:
            reader.close()
    finally:
        network.terminate()
        network.communicate(timeout=60)
        if before is None:
            del os.environ["PYBITCOIN_LOCALNET"]
        else:
            os.environ["PYBITCOIN_LOCALNET"] = before


def corrected(text: str, blocks: list[list[Example]]) -> str:
    """The page with what was printed where it says something else."""
    lines = text.splitlines()
    for example in reversed([example for block in blocks for example in block]):
        if not example.true:
            lines[example.line : example.line + example.want.count("\n")] = example.got.splitlines()
    return "\n".join(lines) + "\n"


class Session(code.InteractiveConsole):
    """Python for a reader, who may paste the page's lines with their prompts."""

    def raw_input(self, prompt: str = "") -> str:
        return re.sub(r"^(>>>|\.\.\.) ?", "", super().raw_input(prompt))


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/tour", description="Says where docs/tour.md is not true.")
    parser.add_argument("--write", action="store_true", help="put down what is printed, draw the pictures")
    parser.add_argument("--python", action="store_true", help="a session to paste the page's Python into")
    args = parser.parse_args()
    if args.python:
        with suppress(ImportError):
            import readline  # noqa: F401  # arrow keys and history
        Session({"__name__": "__main__"}).interact(exitmsg="")
        return 0
    return check(args.write)


def check(write: bool) -> int:
    """Runs the page and prints what differs; its exit code. write: mends it."""
    text = PAGE.read_text()
    blocks = read_page(text)
    with tempfile.TemporaryDirectory() as temporary, tour(text, Path(temporary) / "net") as reader:
        for block in blocks:
            reader.run(block)
    wrong = [example for block in blocks for example in block if not example.true]
    drawn = tour_pictures.draw_all()
    stale = [name for name in drawn if not _is(PICTURES / name, drawn[name])]
    for example in wrong:
        print(example)
    for name in stale:
        print(f"{PICTURES.name}/{name} is not what is drawn today")
    if write:
        PAGE.write_text(corrected(text, blocks))
        PICTURES.mkdir(exist_ok=True)
        for name in stale:
            (PICTURES / name).write_text(drawn[name])
    print(
        f"{len(wrong)} of {sum(map(len, blocks))} examples and {len(stale)} of {len(drawn)} pictures differ"
    )
    return 0 if write else bool(wrong or stale)


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
