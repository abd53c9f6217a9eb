"""How many files and actors a payload passes between an application and its socket: one more is a decision.

A file counts when one of its functions has the payload in an argument, a local variable or its result, by
itself or inside of records and lists.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from actors.system import LoopActor
from gateway import Message, Session, Slim
from tests.gateway.app_stage import AppStage, name

ROOT = Path(__file__).resolve().parents[2]
FLOORS = tuple(f"{ROOT / floor}/" for floor in ("actors", "gateway", "identity"))
MARK = b"the payload that is followed" * 4

FILES_OUT, FILES_IN = 18, 21
"""With the three files of the actor system."""


def has_payload(value: Any, depth: int = 6) -> bool:
    if isinstance(value, bytes | bytearray | memoryview):
        return MARK in bytes(value)
    if isinstance(value, tuple | list | deque) and depth:
        return any(has_payload(one, depth - 1) for one in list(value))
    if isinstance(value, dict) and depth:
        return any(has_payload(one, depth - 1) for one in list(value.values()))
    return isinstance(value, Message) and has_payload(value.payload)


class Follower:
    """What calls handle the payload: from `begins` on, each time anew, and until `ends`."""

    def __init__(self, begins: Callable[[Any], bool], ends: Callable[[Any], bool]) -> None:
        self._begins, self._ends = begins, ends
        self._over = False
        self.files: dict[str, None] = {}
        self.actors: list[str] = []

    def __call__(self, frame: FrameType, event: str, result: Any) -> None:
        code, called = frame.f_code, event == "call"
        if self._over or event not in ("call", "return"):
            return
        if called and self._ends(code):
            self._over = True
        elif called and self._begins(code):
            self.files.clear()
            self.actors.clear()
        if not code.co_filename.startswith(FLOORS):
            return
        held = dict(frame.f_locals)
        own = held.pop("self", None)
        if has_payload(held) or (not called and has_payload(result)):
            self.files[code.co_filename.removeprefix(f"{ROOT}/")] = None
            if called and isinstance(own, LoopActor) and code.co_name.startswith("_on_"):
                self.actors.append(type(own).__name__)


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Session, Session]]:
    stage = AppStage("server", strict=False)
    await stage.start()
    alice: Slim = await stage.app("alice")
    bob: Slim = await stage.app("bob")
    await stage.route(alice, "bob")
    sent = await alice.session(name("bob"))
    got = await bob.listen_for_session()
    for _ in range(3):
        await (await sent.publish(bytes(len(MARK))))
        await got.get_message(5.0)
    yield sent, got
    await stage.close()


async def followed(pair: tuple[Session, Session], follower: Follower) -> None:
    """Publish and receive one message, with a look at each call."""
    sent, got = pair
    sys.setprofile(follower)
    try:
        handle = await sent.publish(MARK)
        message = await got.get_message(5.0)
    finally:
        sys.setprofile(None)
    await handle
    assert message.payload == MARK


async def test_files_and_actors_on_the_way_out(pair: tuple[Session, Session]) -> None:
    follower = Follower(
        lambda code: False, lambda code: code.co_name == "write" and "asyncio" in code.co_filename
    )
    await followed(pair, follower)
    assert follower.actors == ["SessionActor", "Connection"]
    assert len(follower.files) <= FILES_OUT, "\n".join(follower.files)


async def test_files_and_actors_on_the_way_in(pair: tuple[Session, Session]) -> None:
    follower = Follower(lambda code: code.co_name == "data_received", lambda code: False)
    await followed(pair, follower)
    assert follower.actors == ["Connection", "AppActor", "SessionActor"]
    assert len(follower.files) <= FILES_IN, "\n".join(follower.files)
