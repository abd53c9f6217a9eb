"""Whether the identity that an application proves was replaced: only a new token can come of that."""

from __future__ import annotations

from identity.protocols import Provider, RotatingProvider


class Rotation:
    """Watches the tokens of `provider` go by."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._token = ""
        self._generation: int | None = None

    def seen(self, token: str) -> int | None:
        """The new generation, when this token is the first since the provider's identity was replaced."""
        if token is self._token:
            return None
        self._token = token
        if not isinstance(self._provider, RotatingProvider):
            return None
        before, self._generation = self._generation, self._provider.generation
        return self._generation if before not in (None, self._generation) else None
