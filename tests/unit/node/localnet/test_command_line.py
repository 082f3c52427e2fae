"""The local network's command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybitcoind.node.localnet.main import build_parser, main


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
