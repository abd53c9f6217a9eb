"""The product, broken where it is about tokens (`tests.simulation.broken`)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from actors.session.sender import DataSender
from identity.mls.authentication_service import Occasion
from identity.mls.slim_identity import SlimIdentity
from identity.renewal import RenewalSchedule
from identity.verified import VerifiedTokens
from tests.simulation.broken import Patch, breaks


@breaks("sessions", "expiring")
def a_token_that_was_verified_once_is_good_for_ever() -> Iterator[Patch]:
    def get(self: Any, token: str, now: float) -> Any:
        entry = self._entries.get(token)
        return None if entry is None else entry[2]

    yield VerifiedTokens, "get", lambda honest: get


@breaks("groups", "renewing")
def a_tree_is_judged_by_the_tokens_that_are_good_now() -> Iterator[Patch]:
    def make(honest: Any) -> Any:
        return lambda self, leaf, occasion, now: honest(self, leaf, Occasion.ENTERS, now)

    yield SlimIdentity, "identify", make


@breaks("sessions", "renewing")
def what_is_said_without_a_token_is_given_up_at_once() -> Iterator[Patch]:
    def unroutable(self: Any, message: Any, error: Any, turn: Any) -> None:
        if message.message_id in self._pending:
            self._give_up(message.message_id, error, turn)

    yield DataSender, "unroutable", lambda honest: unroutable


@breaks("sessions", "expiring")
def a_renewal_waits_for_what_a_wrong_clock_planned() -> Iterator[Patch]:
    async def wait(self: Any, pause: float, clock: Any) -> None:
        await asyncio.sleep(pause)

    yield RenewalSchedule, "wait", lambda honest: wait
