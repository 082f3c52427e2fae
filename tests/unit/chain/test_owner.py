"""The owner: order, fairness between requests and steps, cancellation, failure and the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from pybitcoind.chain.consensus.errors import TxFault, TxInvalid
from pybitcoind.chain.owner import Owner, OwnerStopped


async def no_step() -> bool:
    return False


@asynccontextmanager
async def running(
    step: Callable[[], Awaitable[bool]] = no_step, idle_step: Callable[[], Awaitable[bool]] = no_step
) -> AsyncIterator[Owner]:
    owner = Owner(step, idle_step)
    task = asyncio.create_task(owner.run())
    yield owner
    owner.stop()
    await task


def answer(value: int) -> Callable[[], Awaitable[int]]:
    async def fn() -> int:
        await asyncio.sleep(0)
        return value

    return fn


async def test_requests_are_served_in_order_one_at_a_time() -> None:
    log: list[str] = []

    def request(name: str) -> Callable[[], Awaitable[None]]:
        async def fn() -> None:
            log.append(f"{name} begins")
            await asyncio.sleep(0)
            log.append(f"{name} ends")

        return fn

    async with running() as owner:
        await asyncio.gather(*(owner.submit(request(name)) for name in "abc"))
    assert log == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")]


async def test_a_request_made_on_the_owner_runs_at_once() -> None:
    async with running() as owner:

        async def outer() -> int:
            assert owner.on_owner()
            return await owner.submit(answer(2)) + 1

        assert await owner.submit(outer) == 3
        assert not owner.on_owner()


async def test_steps_go_on_between_requests() -> None:
    log: list[str] = []

    async def step() -> bool:
        log.append("step")
        await asyncio.sleep(0)
        return log.count("step") < 4

    async def note() -> None:
        log.append("request")

    async with running(step) as owner:
        owner.want_step()
        done = asyncio.ensure_future(owner.steps_done())
        await asyncio.sleep(0)
        await owner.submit(note)
        await owner.submit(note)
        await done
    assert log.count("step") == 4 and log.index("request") < 3
    assert log[-1] == "step"


async def test_cancelling_the_caller_does_not_cancel_the_work() -> None:
    started, done = asyncio.Event(), asyncio.Event()
    go_on = asyncio.Event()

    async def work() -> None:
        started.set()
        await go_on.wait()
        done.set()

    async with running() as owner:
        task = asyncio.create_task(owner.submit(work))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not done.is_set()
        go_on.set()
        assert await owner.submit(answer(1)) == 1
        assert done.is_set()


async def test_expected_errors_go_to_the_caller_only() -> None:
    async def refuse() -> None:
        raise TxInvalid(TxFault.CONSENSUS, "no")

    async def miss() -> None:
        raise KeyError("x")

    async with running() as owner:
        with pytest.raises(TxInvalid):
            await owner.submit(refuse)
        with pytest.raises(KeyError):
            await owner.submit(miss, expected=(KeyError,))
        assert await owner.submit(answer(5)) == 5


async def test_other_errors_end_the_owner() -> None:
    async def break_down() -> None:
        raise RuntimeError("disk on fire")

    owner = Owner(no_step)
    task = asyncio.create_task(owner.run())
    first = asyncio.ensure_future(owner.submit(break_down))
    second = asyncio.ensure_future(owner.submit(answer(1)))
    with pytest.raises(RuntimeError, match="disk on fire"):
        await task
    for future in (first, second):
        with pytest.raises(OwnerStopped):
            await future
    with pytest.raises(OwnerStopped):
        await owner.submit(answer(1))
    await owner.steps_done()


async def test_stop_serves_what_was_asked_before_and_takes_no_step() -> None:
    steps = 0

    async def step() -> bool:
        nonlocal steps
        steps += 1
        await asyncio.sleep(0)
        return True

    owner = Owner(step)
    before = asyncio.ensure_future(owner.submit(answer(4)))
    waiting = asyncio.ensure_future(owner.steps_done())
    await asyncio.sleep(0)
    owner.stop()
    await owner.run()
    assert await before == 4 and steps == 0
    await waiting


async def test_what_can_wait_gets_its_steps_between_the_others() -> None:
    """It delays neither requests nor who waits for the other steps, and ends with the owner."""
    log: list[str] = []
    left = 3

    async def step() -> bool:
        nonlocal left
        left -= 1
        log.append("step")
        return left > 0

    async def idle_step() -> bool:
        log.append("idle")
        await asyncio.sleep(0)
        return True  # there is always more

    async with running(step, idle_step) as owner:
        owner.want_idle_step()
        await owner.steps_done()
        assert log[:3] == ["step"] * 3, "none as long as there are others"
        await owner.idle_step_taken()
        await owner.idle_step_taken()
        assert log.count("idle") >= 2
        for _ in range(5):
            await owner.submit(answer(1))
        waiting = asyncio.create_task(owner.idle_step_taken())
    await waiting
    await owner.idle_step_taken()
