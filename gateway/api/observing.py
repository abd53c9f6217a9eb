"""Named points of an application at which somebody may look on: telemetry, tests (`api.md` 5).

    observing.current = observer

While `current` is None each point costs one comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from actors.messages.wire import SessionMessage
from actors.names import Name
from gateway.api.completion import CompletionHandle
from identity.errors import SlimError

Metadata = Mapping[str, str] | None


class Observer(Protocol):
    """Called in the loop of the application; it must return quickly and raise nothing."""

    def opening(self, session_id: int, kind: str, destination: Name) -> CompletionHandle:
        """A session of ours begins. The handle returned is the one that completes when it stands."""

    def accepted(self, session_id: int, kind: str, destination: Name) -> None:
        """The application takes over a session that others opened."""

    def publishing(
        self, session_id: int, destination: Name, size: int, metadata: Metadata
    ) -> tuple[CompletionHandle, dict[str, str] | None]:
        """A message of `size` bytes leaves. Returns its handle, and the metadata it leaves with."""

    def received(self, session_id: int, message: SessionMessage, size: int) -> None:
        """The application takes a message."""

    def failed(self, session_id: int, error: SlimError) -> None:
        """The application takes an error that stands in a message's place."""


current: Observer | None = None
