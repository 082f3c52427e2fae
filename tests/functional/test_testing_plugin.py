"""The test kit as others have it: pytest in a project of its own, with packages named as ours are inside."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

CONFTEST = """
    import pytest

    {decorated}
    async def rich(bitcoin_wallet):
        await bitcoin_wallet.node.network.fund(bitcoin_wallet, 7)
        yield bitcoin_wallet
        assert await bitcoin_wallet.node.height() >= 103
"""
TESTS = """
    import sys

    import pytest
    import chain, node, p2p, wallet

    {mark}
    async def test_node(bitcoin_node):
        assert node.MINE and chain.MINE and p2p.MINE and wallet.MINE
        assert await bitcoin_node.height() == 101
        assert await bitcoin_node.mine(2)

    {mark}
    @pytest.mark.bitcoin(nodes=["a", "b", "c"], topology="ring", roles={{"c": "spv"}}, funds=0)
    async def test_network(bitcoin_network, bitcoin_node, bitcoin_wallet):
        assert [each.name for each in bitcoin_network.nodes] == ["a", "b", "c"]
        assert bitcoin_node is bitcoin_network[0]
        assert await bitcoin_wallet.balance() == 0

    {mark}
    async def test_fixture_of_mine(rich, tmp_path):
        assert await rich.balance() == 17 and tmp_path.exists()

    {mark}
    @pytest.mark.bitcoin(seed=3)
    class TestAll:
        @pytest.mark.bitcoin(chain="genesis")
        async def test_markers_add_up(self, bitcoin_node):
            assert await bitcoin_node.height() == 0
            assert bitcoin_node.network.seed == 3

    def test_nothing_of_ours_is_in_the_way():
        assert node.__file__.endswith("mine.py") or "site-packages" not in node.__file__
"""
LAZY = """
    import sys

    def test_nothing_is_imported_before_it_is_used():
        ours = sorted(name for name in sys.modules if name.startswith("pybitcoind."))
        assert ours == ["pybitcoind.node", "pybitcoind.node.testing", "pybitcoind.node.testing.plugin"]
        heavy = {"aiohttp", "coincurve", "aiosqlite", "sqlite3", "cryptography"}
        assert not heavy & set(sys.modules)
"""


def project(folder: Path, files: dict[str, str]) -> None:
    for name in ("node", "chain", "wallet", "p2p"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("MINE = True\n")
    for name, text in files.items():
        (folder / name).write_text(textwrap.dedent(text))


def run_pytest(folder: Path, *options: str) -> str:
    """What pytest prints; the test fails where one of its tests does."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *options]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("runner", ["nobody", "pytest-asyncio strict", "pytest-asyncio auto", "anyio"])
def test_in_a_project_of_its_own(tmp_path: Path, runner: str) -> None:
    mark, decorated, options = "", "@pytest.fixture", ["-p", "no:asyncio"]
    if runner == "anyio":
        mark = '@pytest.mark.parametrize("anyio_backend", ["asyncio"])\n    @pytest.mark.anyio'
    elif runner == "pytest-asyncio strict":
        mark, options = "@pytest.mark.asyncio", ["-o", "asyncio_mode=strict"]
        decorated = "import pytest_asyncio\n    @pytest_asyncio.fixture"
    elif runner == "pytest-asyncio auto":
        options = ["-o", "asyncio_mode=auto"]
    project(
        tmp_path,
        {
            "conftest.py": CONFTEST.format(decorated=decorated),
            "test_mine.py": TESTS.format(mark=mark),
            "pytest.ini": "[pytest]\naddopts = --strict-markers\n",
        },
    )
    assert "5 passed" in run_pytest(tmp_path, *options)


def test_nothing_but_pytest_is_imported(tmp_path: Path) -> None:
    project(tmp_path, {"test_lazy.py": LAZY})
    assert "1 passed" in run_pytest(
        tmp_path, "-p", "no:asyncio", "-p", "no:anyio", "-p", "no:hypothesispytest"
    )


def test_options_of_the_command_line(tmp_path: Path) -> None:
    project(
        tmp_path,
        {
            "test_mine.py": """
                import pytest

                async def test_mode(bitcoin_network):
                    assert (bitcoin_network.mode, bitcoin_network.seed) == ("tcp", 5)

                @pytest.mark.bitcoin(mode="memory", seed=6)
                async def test_the_marker_is_stronger(bitcoin_network):
                    assert (bitcoin_network.mode, bitcoin_network.seed) == ("memory", 6)
            """
        },
    )
    printed = run_pytest(tmp_path, "-p", "no:asyncio", "--bitcoin-mode=tcp", "--bitcoin-seed=5")
    assert "2 passed" in printed and "bitcoin mode: tcp" in printed
    help_text = run_pytest(tmp_path, "--help")
    assert "--bitcoin-program" in help_text
    assert "@pytest.mark.bitcoin(nodes, topology" in run_pytest(tmp_path, "--markers")


def test_a_test_that_fails_is_told_and_cleaned_up(tmp_path: Path) -> None:
    project(
        tmp_path,
        {
            "test_mine.py": """
                import pytest

                @pytest.mark.xfail(strict=True, raises=AssertionError)
                async def test_fails(bitcoin_network):
                    assert await bitcoin_network[0].height() == 7

                @pytest.mark.xfail(strict=True, raises=ZeroDivisionError)
                async def test_fails_in_its_fixture(broken):
                    pass

                @pytest.fixture
                async def broken(bitcoin_node):
                    yield 1 / 0

                async def test_goes_on(bitcoin_node):
                    assert await bitcoin_node.height() == 101
            """
        },
    )
    assert "1 passed, 2 xfailed" in run_pytest(tmp_path, "-p", "no:asyncio", "-W", "error")


def test_a_guest_leaves_aiohttp_whole() -> None:
    """Whoever uses the kit may speak TLS with aiohttp's client, whatever was imported first."""
    code = (
        "import pybitcoind.node.testing.network, pybitcoind.node.explorer.server, pybitcoind.node.rpc.server;"
        "import aiohttp.connector, asyncio.sslproto;"
        "assert aiohttp.connector.ssl and asyncio.sslproto.ssl"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
