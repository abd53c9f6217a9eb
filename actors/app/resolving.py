"""What an App must await (a token with claims, a peer's keys), and who goes on with the outcome."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

from actors.messages.session import Resolved
from actors.system.tasks import SpawnTask
from identity.errors import AuthError, InvalidToken, SlimError
from identity.log import logger
from identity.protocols import KeysMissing, Verifier

Then = Callable[[Resolved], None]

_tags = count(1)
"""Of all actors and all times: an outcome that comes after its actor was restarted is nobody's."""


class Resolving:
    """Awaits by `spawn_task`; each outcome goes to `tell` as a Resolved, and comes back to `resolved`."""

    def __init__(self, spawn_task: SpawnTask, tell: Callable[[Resolved], object]) -> None:
        self._spawn_task = spawn_task
        self._tell = tell
        self._waiting: dict[int, Then] = {}

    def start(self, coroutine: Coroutine[Any, Any, Any], then: Then) -> None:
        """Run what must be awaited; `then` is called in a turn of the actor."""
        tag = next(_tags)
        self._waiting[tag] = then

        def done(result: Any, error: Exception | None) -> None:
            if error is not None and not isinstance(error, SlimError):
                # Its text may quote anything.
                cause = type(error).__name__
                logger.warning("the identity provider or verifier failed", cause=cause)
                error = AuthError(f"the identity provider or verifier failed: {cause}")
            self._tell(Resolved(tag, result if isinstance(result, str) else "", error))

        self._spawn_task(coroutine, done)

    def resolved(self, message: Resolved) -> None:
        """An outcome is there."""
        then = self._waiting.pop(message.tag, None)
        if then is not None:
            then(message)


async def look_at(verifier: Verifier, tokens: tuple[tuple[str, float], ...]) -> None:
    """Make a verifier fetch what it needs to judge these tokens. What it thinks of them is asked later."""
    for token, at in tokens:
        try:
            verifier.try_verify(token, at)
        except InvalidToken:
            continue
        except KeysMissing:
            try:
                await verifier.verify(token, at)
            except AuthError:
                continue
