"""The pytest plugin: fixtures bitcoin_node, bitcoin_network and bitcoin_wallet, and the marker `bitcoin`.

pytest loads this file in every run of whoever has pybitcoind installed, so it imports nothing but pytest
until one of the fixtures is used.

Tests that use the fixtures are coroutines. pytest-asyncio runs them where it is installed (in strict mode
with its marker, as always), anyio where the test asks for it; else this plugin does, and async fixtures that
such tests use too.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .network import BitcoinNetwork
    from .node import BitcoinNode
    from .wallet import BitcoinWallet

FIXTURES = ("bitcoin_node", "bitcoin_network", "bitcoin_wallet")
MARKER = (
    "bitcoin(nodes, topology, roles, mode, program, clock, chain, seed, options, limit, funds): how the "
    "fixtures of pybitcoind run their nodes; see docs/testing.md of pybitcoind"
)
_RUNNER = pytest.StashKey["asyncio.Runner"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("bitcoin", "pybitcoind's nodes for tests")
    group.addoption("--bitcoin-mode", help="memory, tcp or process, where a test's marker does not say")
    group.addoption("--bitcoin-program", help="path of a bitcoind to run the tests against, as processes")
    group.addoption(
        "--bitcoin-seed", type=int, help="of all that is random, where a test's marker does not say"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    config.pluginmanager.register(_fixtures(config), "pybitcoind-fixtures")


def _fixtures(config: pytest.Config) -> ModuleType:
    """A plugin of its own, made once it is known who runs coroutines: pytest-asyncio in its strict mode knows
    its own fixtures only."""
    fixture: Any = pytest.fixture
    if (asyncio_plugin := config.pluginmanager.get_plugin("asyncio")) is not None:
        fixture = getattr(asyncio_plugin, "fixture", pytest.fixture)
    plugin = ModuleType("pybitcoind-fixtures")
    for function in (_bitcoin_network_of_test, _bitcoin_network, _bitcoin_node, _bitcoin_wallet):
        name = function.__name__
        name = name if name == _bitcoin_network_of_test.__name__ else name.removeprefix("_")
        setattr(plugin, name, fixture(name=name)(function))
    return plugin


async def _bitcoin_network_of_test(request: pytest.FixtureRequest) -> AsyncIterator[BitcoinNetwork]:
    """The network of this test, as its marker says."""
    from .network import BitcoinNetwork

    settings = settings_of(request.node, request.config)
    settings.pop("funds", None)
    settings.setdefault("nodes", 2 if "bitcoin_network" in request.fixturenames else 1)
    async with BitcoinNetwork(**settings) as network:
        yield network


async def _bitcoin_network(_bitcoin_network_of_test: BitcoinNetwork) -> BitcoinNetwork:
    """Two nodes (or as the marker says), linked, on a chain of 101 blocks."""
    return _bitcoin_network_of_test


async def _bitcoin_node(_bitcoin_network_of_test: BitcoinNetwork) -> BitcoinNode:
    """A node on a chain of 101 blocks; the first of bitcoin_network where the test has that too."""
    return _bitcoin_network_of_test[0]


async def _bitcoin_wallet(
    request: pytest.FixtureRequest, _bitcoin_network_of_test: BitcoinNetwork
) -> BitcoinWallet:
    """A wallet of bitcoin_node with 10 BTC, confirmed (marker: funds)."""
    network = _bitcoin_network_of_test
    wallet = await network[0].wallet()
    funds = settings_of(request.node, request.config).get("funds", 10)
    if funds:
        await network.fund(wallet, funds)
    return wallet


def settings_of(item: pytest.Item, config: pytest.Config) -> dict[str, Any]:
    """Arguments of BitcoinNetwork: of the markers, nearest first, then of the command line."""
    settings: dict[str, Any] = {}
    for marker in item.iter_markers("bitcoin"):
        if marker.args:
            raise pytest.UsageError("the marker bitcoin takes named arguments only")
        settings = dict(marker.kwargs) | settings
    for name in ("mode", "program", "seed"):
        value = config.getoption(f"bitcoin_{name}")
        if value is not None:
            settings.setdefault(name, value)
    return settings


# Where nobody else runs coroutines


def _ours(item: pytest.Item) -> bool:
    """A test with a fixture of ours that no other plugin runs."""
    names = getattr(item, "fixturenames", ())
    if not any(name in names for name in FIXTURES) or "anyio_backend" in names:
        return False
    return item.config.pluginmanager.get_plugin("asyncio") is None


def _runner(item: pytest.Item) -> asyncio.Runner:
    if _RUNNER not in item.stash:
        runner = asyncio.Runner()
        item.stash[_RUNNER] = runner
        item.addfinalizer(runner.close)
    return item.stash[_RUNNER]


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> object | None:
    """Runs async fixtures of tests that are ours: as they are, or up to their yield and after the test on."""
    function: Any = fixturedef.func
    is_generator = inspect.isasyncgenfunction(function)
    item = request.node
    if not (is_generator or inspect.iscoroutinefunction(function)):
        return None
    if not isinstance(item, pytest.Item) or not _ours(item):
        return None
    runner = _runner(item)
    values = {name: request.getfixturevalue(name) for name in fixturedef.argnames}
    result: object
    if not is_generator:
        result = runner.run(function(**values))
    else:
        generator = function(**values)
        result = runner.run(anext(generator))

        async def finish() -> None:
            async for _ in generator:
                raise AssertionError(f"{fixturedef.argname} yields twice")

        request.addfinalizer(lambda: runner.run(finish()))
    fixturedef.cached_result = (result, fixturedef.cache_key(request), None)  # type: ignore[arg-type]
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    """Runs coroutine tests that are ours."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj) or not _ours(pyfuncitem):
        return None
    values = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    _runner(pyfuncitem).run(pyfuncitem.obj(**values))
    return True


def pytest_report_header(config: pytest.Config) -> Iterator[str]:
    """What the command line changes about the nodes."""
    for name in ("mode", "program", "seed"):
        value = config.getoption(f"bitcoin_{name}")
        if value is not None:
            yield f"bitcoin {name}: {value}"
