"""What the scripts of the test kit have written is what they would write: typed methods, the ready chain."""

from __future__ import annotations

import inspect

import pytest

from pybitcoind.chain.primitives.transaction import OutPoint, TxOut
from pybitcoind.node.rpc.methods import declared
from pybitcoind.node.rpc.registry import Registry
from pybitcoind.node.testing import blocks
from pybitcoind.node.testing.rpc_methods import NodeMethods
from pybitcoind.node.testing.rpc_wallet_methods import WalletMethods

REGISTRY = Registry(declared())
TYPED = [
    (name, function)
    for owner in (NodeMethods, WalletMethods)
    for name, function in vars(owner).items()
    if inspect.iscoroutinefunction(function) and name != "call"
]


@pytest.mark.parametrize(("name", "function"), TYPED, ids=[name for name, _ in TYPED])
def test_typed_methods_are_those_of_the_node(name: str, function: object) -> None:
    """Where this fails, run scripts/testing_methods.py."""
    declared = [arg.name for arg in REGISTRY.find(name).args]
    parameters = list(inspect.signature(function).parameters)[1:]  # type: ignore[arg-type]
    assert parameters == declared[: len(parameters)]
    required = [arg.name for arg in REGISTRY.find(name).args if not arg.optional]
    assert not set(required) - set(parameters)


def test_all_methods_are_typed() -> None:
    """But for a few that came since; then run scripts/testing_methods.py."""
    untyped = {method.name for method in REGISTRY.all()} - {name for name, _ in TYPED} - {"generate"}
    assert len(untyped) <= 40, sorted(untyped)


def test_spends_alike_are_spends() -> None:
    """The short way, with all that the outputs have in common done once."""
    coins = [(OutPoint(bytes([i]) * 32, i), 5000 + i) for i in range(3)]
    outputs = [TxOut(1000, blocks.FAUCET_SCRIPT), TxOut(0, b"\x6a" + bytes(300))]
    made = [blocks.spend_faucet([coin], outputs).raw.hex() for coin in coins]
    assert list(blocks.spend_alike(coins, outputs)) == made


def test_the_ready_chain_is_what_the_script_makes() -> None:
    built = blocks.build_ready_chain()
    assert [block.raw for block in built] == [block.raw for block in blocks.ready_blocks()]
    assert len(built) == blocks.READY_HEIGHT == 101
    assert built[-1].header.time == blocks.READY_END - blocks.SPACING


async def test_a_node_takes_the_ready_chain() -> None:
    images = await blocks.ready_images()
    assert sorted(images) == ["blocks/blk00000.sqlite", "blocks/index.sqlite", "chainstate/chainstate.sqlite"]


@pytest.mark.parametrize(
    ("amount", "wanted"), [(1, 10**8), ("0.1", 10**7), (0.1, 10**7), (21_000_000, 21 * 10**14)]
)
def test_amounts(amount: float | str, wanted: int) -> None:
    assert blocks.satoshis(amount) == wanted


@pytest.mark.parametrize("amount", [-1, "much", 0.000000001, 21_000_001, "nan"])
def test_what_is_no_amount(amount: float | str) -> None:
    with pytest.raises(ValueError, match="is no amount in BTC"):
        blocks.satoshis(amount)
