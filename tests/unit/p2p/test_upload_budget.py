"""-maxuploadtarget: what is left of a day's bytes, second by second."""

from __future__ import annotations

import pytest

from pybitcoind.chain.params import regtest
from pybitcoind.node.config import Config, ConfigError
from pybitcoind.node.peer_options import p2p_options
from pybitcoind.p2p.upload_budget import UploadBudget

DAY = 24 * 60 * 60
RESERVE = 144 * 4_000_000
"""A day's new blocks of the greatest size."""


class World:
    def __init__(self, limit: int) -> None:
        self.now, self.sent = 1000.0, 0
        self.budget = UploadBudget(limit, lambda: self.now, lambda: self.sent)

    def state(self) -> tuple[bool, bool, int, int]:
        budget = self.budget
        return budget.reached, budget.serves_historical, budget.bytes_left, budget.seconds_left


def test_no_limit() -> None:
    world = World(0)
    world.sent = 10**15
    assert world.state() == (False, True, 0, 0)


def test_old_blocks_go_first_then_all() -> None:
    world = World(RESERVE + 100)
    assert world.state() == (False, True, RESERVE + 100, DAY)
    world.now -= 500  # nothing was sent yet, so no cycle has begun
    world.sent = 99
    assert world.state() == (False, True, RESERVE + 1, DAY)
    world.sent = 100
    assert world.state() == (False, False, RESERVE, DAY)
    world.now += 600  # one block less to keep room for
    assert world.state() == (False, True, RESERVE, DAY - 600)
    world.sent = RESERVE + 100
    assert world.state() == (True, False, 0, DAY - 600)


def test_a_day_later_all_is_there_again() -> None:
    world = World(RESERVE + 100)
    world.sent = 1
    assert not world.budget.reached
    world.sent = RESERVE + 500
    world.now += DAY
    assert world.state() == (True, False, 0, 0)
    world.now += 1
    assert world.state() == (False, True, RESERVE + 100, DAY)


def test_less_than_the_new_blocks_need_serves_nothing_old() -> None:
    world = World(1_000_000)
    assert world.state() == (False, False, 1_000_000, DAY)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", None),
        ("0", 0),
        ("5", 5 << 20),
        ("5M", 5 << 20),
        ("5m", 5_000_000),
        ("1k", 1000),
        ("1K", 1024),
        ("2G", 2 << 30),
        ("2g", 2 * 10**9),
        ("1T", 1 << 40),
        ("1t", 10**12),
        ("M", None),
        ("1.5", None),
        ("-1", None),
        ("5 M", None),
        ("16777216T", None),
        ("16777215T", 16777215 << 40),
        ("x", None),
    ],
)
def test_units(text: str, count: int | None) -> None:
    config = Config()
    config.parse_command_line([f"-maxuploadtarget={text}"])
    if count is None:
        with pytest.raises(ConfigError, match=f"Unable to parse -maxuploadtarget: '{text}'"):
            p2p_options(config, regtest())
    else:
        assert p2p_options(config, regtest()).max_upload == count
