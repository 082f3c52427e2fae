"""Ports for tests of chain/: a clock that stands still until moved, a log that is kept, work done inline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar, cast

from pybitcoind.chain.ports import Network, Ports, Random, Storage

T = TypeVar("T")
START = 1_700_000_000


class StillClock:
    def __init__(self, now: int = START) -> None:
        self.now = now
        self.mocked = True

    def time(self) -> int:
        return self.now

    def time_micros(self) -> int:
        return self.now * 1_000_000

    def set_mock_time(self, when: int) -> None:
        self.now = when

    def monotonic(self) -> float:
        return float(self.now)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")

    def timeout(self, seconds: float | None) -> Any:
        return nullcontext()

    def call_at(self, when: float, callback: Callable[[], object]) -> Any:
        raise AssertionError("nothing here sets timers")


class KeptLog:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def enabled(self, category: str) -> bool:
        return True

    def debug(self, category: str, message: str) -> None:
        self.lines.append(f"[{category}] {message}")

    def info(self, message: str) -> None:
        self.lines.append(message)

    def warning(self, message: str) -> None:
        self.lines.append(f"[warning] {message}")

    def error(self, message: str) -> None:
        self.lines.append(f"[error] {message}")


class InlineWorkers:
    count = 1

    async def run(self, fn: Callable[..., T], *args: Any) -> T:
        return fn(*args)

    def map_now(self, fn: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
        return [fn(item) for item in items]


def still_ports(clock: StillClock | None = None, log: KeptLog | None = None) -> Ports:
    """No randomness, network or storage: whoever reaches for them fails."""
    return Ports(
        clock=clock or StillClock(),
        random=cast(Random, None),
        network=cast(Network, None),
        workers=InlineWorkers(),
        storage=cast(Storage, None),
        log=log or KeptLog(),
    )
