"""The life of an application: one state, and what leads from one to the next."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.errors import SessionClosed
from actors.messages.session import AppSettings
from gateway.api.life import AppState, Life
from gateway.node.data_plane import DataPlane
from identity.errors import AuthError
from tests.gateway.app_stage import identity, name


class Slow:
    """A provider that takes its time, and may fail at first."""

    def __init__(self, *, failures: int = 0) -> None:
        self._inner, self.verifier = identity("slow")
        self._failures = failures
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()
        self.opened = self.closed = 0

    async def initialize(self) -> None:
        self.asked.set()
        await self.go_on.wait()
        if self._failures:
            self._failures -= 1
            raise AuthError("not yet")
        await self._inner.initialize()
        self.opened += 1

    async def close(self) -> None:
        self.closed += 1
        await self._inner.close()

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._inner, attribute)


class Nobody:
    async def close(self, grace: float) -> None:
        """Is not called: the data plane is given."""


def life(provider: Slow, plane: DataPlane) -> Life:
    parts = (provider, provider.verifier)
    full = name("slow").with_id(1)
    return Life(Nobody(), full, parts, AppSettings(), lambda _: None, alone=False, plane=plane)


def state(made: Life) -> AppState:
    return made.state


async def test_it_opens_once_for_all_who_wait() -> None:
    plane = DataPlane(strict=True)
    provider = Slow()
    made = life(provider, plane)
    assert (state(made), made.place) == (AppState.NEW, None)
    waits = [asyncio.ensure_future(made.ready()) for _ in range(3)]
    await provider.asked.wait()
    assert state(made) is AppState.OPENING
    provider.go_on.set()
    places = await asyncio.gather(*waits)
    assert state(made) is AppState.OPEN
    assert places == [made.place] * 3
    assert provider.opened == 1
    assert made.end() is made.place
    assert made.end() is None
    assert state(made) is AppState.CLOSED
    await made.release()
    await made.release()
    assert provider.closed == 1
    with pytest.raises(SessionClosed, match="the application is closed"):
        await made.ready()
    await plane.close(0.1)


async def test_what_failed_to_open_may_be_tried_again() -> None:
    plane = DataPlane(strict=True)
    provider = Slow(failures=1)
    provider.go_on.set()
    made = life(provider, plane)
    with pytest.raises(AuthError, match="not yet"):
        await made.ready()
    assert state(made) is AppState.PLACED
    assert await made.ready() is made.place
    assert state(made) is AppState.OPEN
    made.end()
    await made.release()
    await plane.close(0.1)


async def test_one_that_ends_while_it_opens_holds_nothing() -> None:
    plane = DataPlane(strict=True)
    provider = Slow()
    made = life(provider, plane)
    waiting = asyncio.ensure_future(made.ready())
    await provider.asked.wait()
    made.end()
    await made.release()
    with pytest.raises(SessionClosed):
        await waiting
    # `acquire` gives back what it could not open.
    assert (provider.opened, provider.closed) == (0, 1)
    await plane.close(0.1)
