"""What an App must await (a token with claims, a peer's keys), and who goes on with the outcome."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

from actors.app.collaborators import Collaborators
from actors.messages.session import Resolved
from identity.errors import AuthError, InvalidToken, SlimError
from identity.log import logger
from identity.protocols import KeysMissing, Verifier

Then = Callable[[Resolved], None]

_tags = count(1)
"""Of all actors and all times: an outcome that comes after its actor was restarted is nobody's."""


class Resolving:
    """Each outcome goes to `tell` as a Resolved, and comes back to `resolved`: `then` is called in a turn."""

    def __init__(self, collaborators: Collaborators, tell: Callable[[Resolved], object]) -> None:
        self._with = collaborators
        self._tell = tell
        self._waiting: dict[int, Then] = {}
        self.threads = self._in_thread if collaborators.threads is not None else None
        """What sessions compute with; None: in their own turns."""

    def verify(self, identity: str, then: Then) -> None:
        """Verify a token by awaiting its keys."""
        self._start(self._with.verifier.verify(identity, self._with.wall()), then)

    def look_at(self, tokens: tuple[tuple[str, float], ...], then: Then) -> None:
        """Have what is needed to judge these tokens, each with its time."""
        self._start(_look_at(self._with.verifier, tokens), then)

    def get_token(self, claims: dict[str, Any], then: Then) -> None:
        """Have a token of ours with these claims."""
        self._start(self._with.provider.get_token_with_claims(claims, self._with.wall()), then)

    def _in_thread(self, function: Callable[[], None], then: Callable[[], None]) -> None:
        assert self._with.threads is not None
        self._with.spawn_task(self._with.threads(function), lambda *_: then())

    def _start(self, coroutine: Coroutine[Any, Any, Any], then: Then) -> None:
        tag = next(_tags)
        self._waiting[tag] = then

        def done(result: Any, error: Exception | None) -> None:
            if error is not None and not isinstance(error, SlimError):
                # Its text may quote anything.
                cause = type(error).__name__
                logger.warning("the identity provider or verifier failed", cause=cause)
                error = AuthError(f"the identity provider or verifier failed: {cause}")
            self._tell(Resolved(tag, result if isinstance(result, str) else "", error))

        self._with.spawn_task(coroutine, done)

    def resolved(self, message: Resolved) -> None:
        """An outcome is there."""
        then = self._waiting.pop(message.tag, None)
        if then is not None:
            then(message)


async def _look_at(verifier: Verifier, tokens: tuple[tuple[str, float], ...]) -> None:
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
