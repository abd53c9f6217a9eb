"""Which message is the answer to a request."""

from __future__ import annotations

import asyncio
import itertools

from actors.errors import MessageUndelivered
from actors.messages.wire import REQUEST_KEY, MessageType, Payload, SessionKind, SessionMessage
from actors.names import Name
from gateway import CompletionHandle
from gateway.api.requests import OpenRequests

ALICE, BOB = Name("o", "n", "alice", 1), Name("o", "n", "bob", 2)


def message(mark: str | None = None) -> SessionMessage:
    metadata = None if mark is None else {REQUEST_KEY: mark}
    kind = SessionKind.POINT_TO_POINT
    return SessionMessage(BOB, ALICE, kind, MessageType.MSG, 5, 9, Payload("", b""), metadata=metadata)


class Asked:
    """Requests 1, 2, ... and their handles."""

    def __init__(self, *, marked: bool = False, count: int = 1) -> None:
        numbers = itertools.count(1)
        self.open = OpenRequests[str](lambda: next(numbers), marked=marked)
        loop = asyncio.get_running_loop()
        self.answers: list[asyncio.Future[str]] = [loop.create_future() for _ in range(count)]
        self.handles = [CompletionHandle() for _ in range(count)]
        for answer, handle in zip(self.answers, self.handles, strict=True):
            self.open.sent(self.open.add(answer), handle)


async def test_a_marked_answer_counts_at_any_time() -> None:
    asked = Asked(count=2)
    assert asked.open.answered(message("re:2")) is asked.answers[1]
    assert asked.open.answered(message("re:2")) is None


async def test_without_a_mark_only_what_comes_after_the_acknowledgement_counts() -> None:
    asked = Asked(count=2)
    assert asked.open.answered(message()) is None
    asked.handles[1].finish()
    assert asked.open.answered(message()) is asked.answers[1]
    assert asked.open.answered(message()) is None
    asked.handles[0].finish()
    assert asked.open.answered(message()) is asked.answers[0]


async def test_of_a_peer_that_marks_nothing_else_counts() -> None:
    asked = Asked(marked=True)
    asked.handles[0].finish()
    assert asked.open.answered(message()) is None
    assert asked.open.answered(message("re:1")) is asked.answers[0]


async def test_who_marked_once_marks_always() -> None:
    asked = Asked(count=2)
    for handle in asked.handles:
        handle.finish()
    assert asked.open.answered(message("re:1")) is asked.answers[0]
    assert asked.open.answered(message()) is None


async def test_a_request_of_the_peer_and_an_error_answer_nothing() -> None:
    asked = Asked()
    asked.handles[0].finish()
    assert asked.open.answered(message("1")) is None
    assert asked.open.answered(MessageUndelivered(3)) is None
    assert len(asked.open) == 1


async def test_nothing_is_kept_of_a_request_that_nobody_waits_for() -> None:
    asked = Asked()
    asked.open.discard("1")
    asked.handles[0].finish()
    assert (len(asked.open), asked.open._sent) == (0, {})
    assert asked.open.answered(message()) is None
