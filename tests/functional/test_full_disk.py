"""A disk that fills up, and a limit on the size of files: a clear line, an orderly stop, and nothing lost.

As in Core a node neither starts nor writes blocks and coins with less than 50 MiB left.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash import ARCHIVE, Story, finish, make_story
from node_process import Daemon, run_to_end
from small_disk import fill, small_disk

LOW = 50 << 20
TOO_LOW = "Error: A fatal internal error occurred, see debug.log for details: Disk space is too low!\n"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return make_story(tmp_path_factory.mktemp("story"), length=300, depth=10)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", megabytes=70) as disk:
        yield disk


def test_no_room_for_blocks(disk: Path, story: Story) -> None:
    with Daemon(disk, *ARCHIVE.options, *story.options) as node:
        node.wait_for_log("height=100 ")
        filler = fill(disk, LOW - (1 << 20))
        assert node.process.wait(60) == 1
        assert node.stderr == TOO_LOW
        assert node.log.endswith("Shutdown done\n")
    fill(disk, LOW - (1 << 20))  # the node has tidied up
    code, told = run_to_end(disk)
    assert (code, told) == (1, f'Error: Error: Disk space is low for "{disk}/regtest"\n')
    filler.unlink()
    with Daemon(disk, *ARCHIVE.options, *story.options) as node:
        assert finish(node, story, ARCHIVE).tip == story.tip


def test_no_room_for_a_wallet(disk: Path) -> None:
    """What was handed out before stays; what cannot be written is not handed out."""
    options = ("-keypool=1",)
    given: list[str] = []
    with Daemon(disk, *options) as node:
        node.wait_ready().call("createwallet", "w", load_on_startup=True)
        given.append(node.call("getnewaddress"))
        filler = fill(disk)
        for _ in range(1000):
            try:
                given.append(node.call("getnewaddress"))
            except Exception:
                break
        assert node.process.wait(60) == 1
        line = "Error: Disk full: cannot write wallets/w/wallet.sqlite. Free some disk space and restart.\n"
        assert node.stderr == line
    filler.unlink()
    with Daemon(disk, *options) as node:
        node.wait_ready()
        assert all(node.call("getaddressinfo", address)["ismine"] for address in given)
        assert node.call("getnewaddress") not in given
        node.stop_well()


def test_limit_on_the_size_of_files(story: Story, tmp_path: Path) -> None:
    with Daemon(tmp_path, *ARCHIVE.options, *story.options) as node:
        node.wait_ready()
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
        assert node.process.wait(60) == 1
        assert node.stderr.startswith("Error: Cannot read or write ") and node.stderr.count("\n") == 1
        assert node.stderr.endswith(
            "No file may be larger than 300000 bytes (ulimit -f): raise that limit and restart.\n"
        )
    with Daemon(tmp_path, *ARCHIVE.options, *story.options) as node:
        assert finish(node, story, ARCHIVE).tip == story.tip
