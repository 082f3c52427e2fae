"""A line's delay, jitter, bandwidth and loss, by a clock that a test winds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from ports import TestRandom

from pybitcoind.p2p.line import Line


@dataclass(eq=False)
class HandTimer:
    clock: HandClock
    when: float
    callback: Callable[[], object]

    def cancel(self) -> None:
        if self in self.clock.timers:
            self.clock.timers.remove(self)


class HandClock:
    """Timers that come when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[HandTimer] = []

    def monotonic(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], object]) -> HandTimer:
        self.timers.append(HandTimer(self, when, callback))
        return self.timers[-1]

    def wind(self, to: float) -> None:
        while due := sorted((t for t in self.timers if t.when <= to), key=lambda timer: timer.when)[:1]:
            self.timers.remove(due[0])
            self.now = due[0].when
            due[0].callback()
        self.now = to


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def sender(clock: HandClock, line: Line) -> tuple[Callable[[str, int], None], list[tuple[float, str]]]:
    came: list[tuple[float, str]] = []

    def send(name: str, size: int = 1) -> None:
        line.send(size, lambda: came.append((round(clock.now, 6), name)))

    return send, came


def test_a_perfect_line_is_no_line(clock: HandClock) -> None:
    send, came = sender(clock, Line(clock))  # type: ignore[arg-type]
    send("a", 10**9)
    assert came == [(0.0, "a")] and clock.timers == []


def test_delay_that_gets_shorter_keeps_the_order(clock: HandClock) -> None:
    line = Line(clock, delay=2.0)  # type: ignore[arg-type]
    send, came = sender(clock, line)
    send("a", 1)
    line.delay = 0.5
    send("b", 1)
    line.delay = 0.0
    send("c", 1)
    clock.wind(9)
    assert came == [(2.0, "a"), (2.0, "b"), (2.0, "c")]
    send("d", 1)
    assert came[-1] == (9.0, "d")


def test_bandwidth_is_shared_by_what_is_sent(clock: HandClock) -> None:
    line = Line(clock, delay=1.0)  # type: ignore[arg-type]
    line.bandwidth = 1000.0
    send, came = sender(clock, line)
    send("a", 500)
    send("b", 1500)
    clock.wind(9)
    send("c", 1000)
    clock.wind(20)
    assert came == [(1.5, "a"), (3.0, "b"), (11.0, "c")]


def test_jitter_is_by_chance_and_keeps_the_order(clock: HandClock) -> None:
    line = Line(clock, TestRandom(1), delay=1.0)  # type: ignore[arg-type]
    line.jitter = 1.0
    send, came = sender(clock, line)
    for i in range(20):
        send(str(i), 1)
    clock.wind(9)
    assert [name for _, name in came] == [str(i) for i in range(20)]
    assert all(1.0 <= when <= 2.0 for when, _ in came) and len({when for when, _ in came}) > 1


def test_what_is_lost_comes_later(clock: HandClock) -> None:
    line = Line(clock, TestRandom(1))  # type: ignore[arg-type]
    line.loss = 0.5
    send, came = sender(clock, line)
    for i in range(50):
        send(str(i), 1)
    clock.wind(1000)
    assert [name for _, name in came] == [str(i) for i in range(50)]
    assert came[0][0] in (0.0, 0.2, 0.6, 1.4) and came[-1][0] >= 0.2


def test_a_dead_line_holds_until_it_is_mended(clock: HandClock) -> None:
    line = Line(clock, TestRandom(1))  # type: ignore[arg-type]
    line.loss = 1.0
    send, came = sender(clock, line)
    send("a", 1)
    send("b", 1)
    clock.wind(1000)
    assert line.is_dead and came == []
    line.loss = 0.0
    send("c", 1)
    assert [name for _, name in came] == ["a", "b", "c"]


def test_loss_needs_chance(clock: HandClock) -> None:
    with pytest.raises(ValueError, match="chance"):
        Line(clock).loss = 0.1  # type: ignore[arg-type]


def test_what_has_not_left_goes_by_a_new_bandwidth(clock: HandClock) -> None:
    line = Line(clock, delay=1.0)  # type: ignore[arg-type]
    line.bandwidth = 10.0
    send, came = sender(clock, line)
    for name in "abc":
        send(name, 100)
    clock.wind(10.5)
    line.bandwidth = 1000.0
    clock.wind(60)
    assert came == [(11.0, "a"), (11.6, "b"), (11.7, "c")]
    assert clock.timers == []


def test_what_would_be_sent_again_is_not_if_nothing_is_lost_any_more(clock: HandClock) -> None:
    line = Line(clock, TestRandom(1))  # type: ignore[arg-type]
    line.loss = 0.99
    send, came = sender(clock, line)
    send("a", 1)
    send("b", 1)
    clock.wind(1)
    assert came == []
    line.loss = 0.0
    clock.wind(1)
    assert came == [(1.0, "a"), (1.0, "b")]


def test_who_waited_for_what_was_lost_does_so_no_longer(clock: HandClock) -> None:
    """It has left, and arrives behind what was sent before it: as soon as that does."""
    line = Line(clock, TestRandom(1), delay=1.0)  # type: ignore[arg-type]
    line.loss = 0.999
    send, came = sender(clock, line)
    send("a", 1)
    line._loss = 0.0  # luck: the next one is not lost
    send("b", 1)
    line._loss = 0.999
    clock.wind(3)
    line.loss = 0.0
    clock.wind(4)
    assert came == [(4.0, "a"), (4.0, "b")]


def test_an_ended_connection_is_in_nobodys_way(clock: HandClock) -> None:
    """Those who wait for an arrival hear of it; what comes then is as on a line that was always free."""
    line = Line(clock, TestRandom(1), delay=1.0)  # type: ignore[arg-type]
    line.bandwidth = 1.0
    send, came = sender(clock, line)
    send("a", 1000)
    line.loss = 1.0
    send("b", 1)
    line.end()
    assert came == [(0.0, "a"), (0.0, "b")] and clock.timers == []
    line.loss = 0.0
    line.bandwidth = 1000.0
    send("c", 1000)
    clock.wind(9)
    assert came[2:] == [(2.0, "c")]


def test_who_answers_an_arrival_does_not_overtake(clock: HandClock) -> None:
    line = Line(clock, delay=1.0)  # type: ignore[arg-type]
    came: list[str] = []

    def answered() -> None:
        came.append("a")
        line.send(1, lambda: came.append("c"))

    line.send(1, answered)
    line.send(1, lambda: came.append("b"))
    line.delay = 0.0
    clock.wind(1)
    assert came == ["a", "b", "c"]
