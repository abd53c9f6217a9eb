"""Who goes first when somebody has more to do than a turn has room for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.http2.turns import call_after_others


async def test_what_comes_meanwhile_is_through_in_its_three_steps() -> None:
    loop = asyncio.get_running_loop()
    order: list[str] = []
    over = asyncio.Event()

    def step(*left: str) -> Callable[[], None]:
        def take() -> None:
            order.append(left[0])
            if len(left) > 1:
                loop.call_soon(step(*left[1:]))
            elif left[0] == "end":
                over.set()

        return take

    def go_on(who: str, then: Callable[[], object]) -> Callable[[], None]:
        def take() -> None:
            order.append(who)
            then()

        return take

    loop.call_soon(step("read", "route", "write"))
    call_after_others(loop, go_on("a", lambda: loop.call_soon(step("read", "route", "write"))))
    call_after_others(loop, go_on("b", step("end")))
    await asyncio.wait_for(over.wait(), 5)
    assert order == ["read", "route", "write", "a", "read", "route", "write", "b", "end"]


async def test_one_that_fails_does_not_keep_the_others_from_their_turn() -> None:
    loop = asyncio.get_running_loop()
    errors: list[BaseException] = []
    over = asyncio.Event()

    def fail() -> None:
        raise RuntimeError("broken")

    loop.set_exception_handler(lambda loop, context: errors.append(context["exception"]))
    call_after_others(loop, fail)
    call_after_others(loop, over.set)
    await asyncio.wait_for(over.wait(), 5)
    assert list(map(str, errors)) == ["broken"]
