"""Named points of an application at which somebody may look on: telemetry, tests (`api.md` 5).

    observing.current = observer

While `current` is None each point costs one comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from actors.messages.wire import SessionMessage
from actors.names import Name
from gateway.api.completion import CompletionHandle
from identity.errors import SlimError

Metadata = Mapping[str, str] | None


class Observer(Protocol):
    """Called in the loop of the application; it must return quickly and raise nothing."""

    def opening(
        self, kind: str, destination: Name, metadata: Metadata
    ) -> tuple[CompletionHandle, dict[str, str] | None]:
        """A session of ours is to begin. Returns the handle that completes when it stands, and the metadata
        with which others are invited."""

    def opened(self, handle: CompletionHandle, session_id: int) -> None:
        """It has begun; `handle` is the one that `opening` returned."""

    def accepted(self, session_id: int, kind: str, destination: Name, metadata: Metadata) -> None:
        """The application takes over a session that others opened, invited with this `metadata`."""

    def publishing(
        self, session_id: int, destination: Name, size: int, metadata: Metadata, answered: Any = None
    ) -> tuple[CompletionHandle, dict[str, str] | None]:
        """A message of `size` bytes leaves. Returns its handle, and the metadata it leaves with.

        `answered` is what `received` returned for the message that it answers.
        """

    def received(self, session_id: int, message: SessionMessage, size: int) -> Any:
        """The application takes a message. What it returns is kept with the message."""

    def handling(self, seen: Any) -> AbstractContextManager[object]:
        """Around a handler's work on the message for which `received` returned `seen`."""

    def requesting(self, session_id: int, destination: Name) -> AbstractContextManager[object]:
        """Around a request, from its message to its answer."""

    def failed(self, session_id: int, error: SlimError) -> None:
        """The application takes an error that stands in a message's place."""


current: Observer | None = None
