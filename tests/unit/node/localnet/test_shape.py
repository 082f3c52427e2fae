"""Shapes of local networks: from counts, from files, and what is wrong with some."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybitcoind.node.localnet.shape import Shape, ShapeError, from_counts, from_file

ROOT = Path(__file__).resolve().parents[4]


def test_the_default_is_two_full_nodes_a_miner_and_an_spv_node() -> None:
    shape = from_counts()
    assert [(node.name, node.role) for node in shape.nodes] == [
        ("full1", "full"),
        ("full2", "full"),
        ("miner1", "miner"),
        ("spv1", "spv"),
    ]
    assert shape.interval == 10
    assert shape.node("miner1").links == ["full1", "full2"]
    assert shape.node("spv1").links == ["full1", "full2"]


def test_the_default_file_says_the_same() -> None:
    described, counted = from_file(ROOT / "configs" / "default.toml"), from_counts()
    assert [(n.name, n.role, n.links) for n in described.nodes] == [
        (n.name, n.role, n.links) for n in counted.nodes
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda p: p.name)
def test_every_shape_that_comes_along_reads(path: Path) -> None:
    shape = from_file(path)
    assert Shape.from_json(shape.to_json()) == shape


def test_a_chain_with_retargets_sets_the_pace() -> None:
    shape = from_file(ROOT / "configs" / "difficulty.toml")
    assert Path(shape.chain) == ROOT / "configs" / "chains" / "difficulty.toml"
    assert shape.interval == 0
    counted = from_counts()
    counted.set_chain(ROOT / "configs" / "chains" / "difficulty.toml")
    assert counted.interval == 0


def test_a_chain_without_retargets_leaves_it(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('name = "own"\nmagic = "01020304"\n')
    (tmp_path / "shape.toml").write_text('chain = "own.toml"\n[[node]]\nname = "a"\n')
    shape = from_file(tmp_path / "shape.toml")
    assert (shape.chain, shape.interval) == (str(tmp_path / "own.toml"), 10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chain = 5\n[[node]]\nname = 'a'", "chain is the path of a chain's description, in quotes"),
        ("chain = 'none.toml'\n[[node]]\nname = 'a'", "none.toml: No such file"),
        ("chain = 'shape.toml'\n[[node]]\nname = 'a'", "shape.toml: name: is missing"),
        ("[[node]\n", "Expected"),
        ("speed = 1", "unknown key 'speed'"),
        ("interval = 0\n[[node]]\nname = 'a'", "interval is a number of seconds above 0"),
        ("interval = true\n[[node]]\nname = 'a'", "interval is a number of seconds above 0"),
        ("[[node]]\nname = 'a b'", "node 1: name is a word"),
        ("[[node]]\nname = 'a'\nrole = 'king'", "node 1: role is one of full, miner, spv"),
        ("[[node]]\nname = 'a'\ncolour = 'red'", "node 1: unknown key 'colour'"),
        ("[[node]]\nname = 'a'\nlinks = 'b'", "node 1: links is a list of strings"),
        ("[[node]]\nname = 'a'\nlinks = ['b']", "links to 'b', which is no other node"),
        ("[[node]]\nname = 'a'\nlinks = ['a']", "links to 'a', which is no other node"),
        ("[[node]]\nname = 'a'\n[[node]]\nname = 'a'", "two nodes are named 'a'"),
        ("[[node]]\nname = 'a'\nrole = 'spv'", "at least one full node or miner"),
        ("", "at least one full node or miner"),
    ],
)
def test_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "shape.toml"
    path.write_text(text)
    with pytest.raises(ShapeError) as caught:
        from_file(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="No such file"):
        from_file(tmp_path / "none.toml")


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(ShapeError, match="no node is named 'full9'; there are full1, full2, miner1, spv1"):
        from_counts().node("full9")
