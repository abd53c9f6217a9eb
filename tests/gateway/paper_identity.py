"""A provider as somebody would add one: this module, and the line in `test_registered_identity`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from identity.variant import Variant


class PaperProvider(Variant, secrets=("signature",)):
    """Says who it is on paper. For tests."""

    name: str
    signature: str

    def __init__(self, name: str, signature: str = "") -> None:
        self._token = f"{name} {signature}"

    async def initialize(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to release."""

    def get_id(self) -> str:
        return self.name

    @property
    def generation(self) -> int:
        return 0

    def get_token(self, now: float) -> str:
        return self._token

    async def get_token_with_claims(self, claims: Mapping[str, Any], now: float) -> str:
        return self._token
