"""The local network's command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from pybitcoind.node.localnet import demo
from pybitcoind.node.localnet.main import build_parser, main
from pybitcoind.node.localnet.network import LocalNetwork
from pybitcoind.node.localnet.process import NodeError
from pybitcoind.node.localnet.shape import Shape


@pytest.mark.parametrize(
    "words",
    [
        ["--dir", "x", "status"],
        ["status", "--dir", "x"],
        ["--dir", "y", "status", "--dir", "x"],
        ["cli", "--dir", "x", "full1", "help"],
        ["down", "--dir=x"],
    ],
)
def test_the_folder_before_or_behind_the_command(words: list[str]) -> None:
    assert build_parser().parse_args(words).dir == Path("x")


def test_the_folder_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYBITCOIN_LOCALNET", "z")
    assert build_parser().parse_args(["status"]).dir == Path("z")


def test_what_follows_a_method_is_the_methods() -> None:
    assert build_parser().parse_args(["cli", "full1", "help", "--dir", "x"]).words == ["help", "--dir", "x"]


def test_no_network_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"error: no network runs in {tmp_path}; `pybitcoin-localnet up` starts one\n"
    )


@pytest.mark.parametrize("blocks", ["0", "-1"])
def test_no_block_at_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], blocks: str
) -> None:
    monkeypatch.setattr(LocalNetwork, "load", lambda folder: None)
    assert main(["mine", "--", blocks]) == 1
    assert capsys.readouterr().err == "error: at least one block\n"


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(folder: Path) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalNetwork, "load", interrupted)
    assert main(["status"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_step_of_the_story_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It is named, and the exit code is 1."""
    network = SimpleNamespace(nodes={}, node=lambda name: None, mine=lambda count: None)

    @contextmanager
    def supervised(folder: Path, shape: Shape) -> Iterator[tuple[Any, None]]:
        yield network, None

    def out_of_step() -> NoReturn:
        raise NodeError("the nodes do not agree")

    network.wait_synced = out_of_step
    monkeypatch.setattr(demo, "supervised", supervised)
    assert main(["--demo", "--dir", str(tmp_path)]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "FAILED: the miner mines 101 blocks: the nodes do not agree"
