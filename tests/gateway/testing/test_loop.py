"""The loop on virtual time, alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest
from thespian.actors import ActorAddress, WakeupMessage

from actors.system import LoopActor, LoopSystem, handles
from gateway.testing.errors import Deadlock, Livelock, NotInWorld, TooLong
from gateway.testing.loop import SITE, Site, VirtualLoop, new_loop


def played(test: Coroutine[Any, Any, Any], loop: VirtualLoop | None = None) -> Any:
    return (loop or new_loop(limit=1e6)).run_until_complete(test)


def test_sleeping_takes_no_time_and_wakes_in_order() -> None:
    woken = []

    async def sleeper(seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append((seconds, asyncio.get_running_loop().time()))

    async def main() -> float:
        await asyncio.gather(sleeper(3000), sleeper(0.5), sleeper(20))
        return asyncio.get_running_loop().time()

    assert played(main()) == 4000.0
    assert woken == [(0.5, 1000.5), (20, 1020.0), (3000, 4000.0)]


def test_timers_of_one_moment_fire_in_the_order_they_were_set() -> None:
    fired: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for number in range(100):
            loop.call_at(1001.0, fired.append, number)
        await asyncio.sleep(2)

    played(main())
    assert fired == list(range(100))


def test_who_waits_for_what_never_comes_is_a_deadlock_that_names_him() -> None:
    async def waiter() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match=r"Event\.wait") as caught:
        played(waiter())
    assert "test_loop.py" in str(caught.value)


def test_calling_for_ever_at_one_moment_is_a_livelock_that_names_what_runs() -> None:
    async def spinner() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    with pytest.raises(Livelock, match=r"stands still at 0\.0.*: Task.* at .*test_loop\.py:\d+, in spinner"):
        played(spinner())


def test_a_test_that_goes_on_past_its_limit_is_too_long() -> None:
    async def polling() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(10)

    with pytest.raises(TooLong, match="not over after 500 virtual seconds"):
        played(polling(), new_loop(limit=500))


@pytest.mark.parametrize(
    "ask",
    [
        lambda loop: asyncio.to_thread(print),
        lambda loop: asyncio.create_subprocess_exec("true"),
        lambda loop: asyncio.open_connection("localhost", 1),
        lambda loop: loop.sock_recv(None, 1),
        lambda loop: loop.getaddrinfo("localhost", 1),
    ],
    ids=["thread", "process", "connection", "socket", "resolver"],
)
def test_threads_processes_and_sockets_are_refused(ask: Any) -> None:
    async def main() -> None:
        with pytest.raises(NotInWorld, match="not to be had in a World"):
            await ask(asyncio.get_running_loop())

    played(main())


def test_a_call_from_another_thread_is_refused() -> None:
    caught: list[BaseException] = []

    def call(loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.call_soon_threadsafe(print)
        except NotInWorld as error:
            caught.append(error)

    loop, began = new_loop(limit=1e6), threading.Event()

    def wait_and_call() -> None:
        began.wait(10)
        call(loop)

    thread = threading.Thread(target=wait_and_call)
    thread.start()

    async def main() -> None:
        began.set()
        thread.join()

    played(main(), loop)
    assert len(caught) == 1


def test_a_frozen_place_keeps_its_callbacks_and_one_that_is_gone_loses_them() -> None:
    ran: list[tuple[str, float]] = []
    loop = new_loop(limit=1000)
    frozen, gone = Site("frozen"), Site("gone")

    def note(site: Site) -> None:
        ran.append((site.name, loop.time()))

    async def main() -> None:
        for site in (frozen, gone):
            token = SITE.set(site)
            loop.call_later(1, note, site)
            SITE.reset(token)
        frozen.frozen = gone.gone = True
        await asyncio.sleep(10)
        assert ran == []
        loop.thaw(frozen)
        await asyncio.sleep(1)

    played(main(), loop)
    assert ran == [("frozen", 1010.0)]


def test_what_nobody_caught_is_kept() -> None:
    loop = new_loop(limit=1000)

    async def main() -> None:
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    played(main(), loop)
    assert isinstance(loop.unseen[0]["exception"], ZeroDivisionError)


class Alarm(LoopActor):
    """Notes when it wakes."""

    def __init__(self, seconds: float, woken: list[float]) -> None:
        self._seconds, self._woken = seconds, woken

    def started(self) -> None:
        self.after(self._seconds)

    @handles(WakeupMessage)
    def _on_wakeup(self, _: WakeupMessage, __: ActorAddress) -> None:
        self._woken.append(asyncio.get_running_loop().time())


@pytest.mark.parametrize("seconds", [0.1234567891, 1 / 3, 1e-9])
def test_timers_of_actors_are_not_rounded_so_that_none_comes_early(seconds: float) -> None:
    woken: list[float] = []

    async def main() -> None:
        system = LoopSystem()
        system.spawn(Alarm, seconds, woken)
        await asyncio.sleep(1)
        await system.shutdown()

    played(main())
    assert woken == [1000.0 + seconds]
