"""Who uses a provider or verifier, and an application's id before its loop runs.

Several applications of a process may share one: the first that uses it opens it, the last closes it.
"""

from __future__ import annotations

import asyncio
import threading
from typing import NamedTuple

from actors.record import record
from identity.errors import AuthError, SlimError
from identity.protocols import Provider, Verifier

FIRST_TOKEN_WAIT = 30.0
"""Seconds that a constructor waits for a provider whose id is known only when its first token came."""


@record
class _Used(NamedTuple):
    part: Provider | Verifier
    users: int


class IdentityUse:
    """The providers and verifiers in use in one process, or on one host of a test."""

    def __init__(self) -> None:
        self._used: dict[int, _Used] = {}
        """By the object's identity: it need not be hashable. Only its loop opens and closes a part."""

    def __len__(self) -> int:
        """How many are in use."""
        return len(self._used)

    async def acquire(self, *parts: Provider | Verifier) -> None:
        """Use providers and verifiers: initialized when this returns. Each `acquire` needs one `release`.

        Raises what `initialize` raises; nothing is held then.
        """
        for part in parts:
            self._used[id(part)] = _Used(part, self._users(part) + 1)
        try:
            await asyncio.gather(*(part.initialize() for part in parts))
        except BaseException:
            await self.release(*parts)
            raise

    async def release(self, *parts: Provider | Verifier) -> None:
        """Use them no longer; what nobody uses is closed."""
        unused = []
        for part in parts:
            left = self._users(part) - 1
            if left > 0:
                self._used[id(part)] = _Used(part, left)
            else:
                self._used.pop(id(part), None)
                unused.append(part)
        await asyncio.gather(*(part.close() for part in unused))

    def _users(self, part: Provider | Verifier) -> int:
        known = self._used.get(id(part))
        return known.users if known is not None else 0


def identity_id(provider: Provider) -> str:
    """The provider's id, if need be after fetching a first token, which blocks the caller meanwhile.

    A provider that learns its id from an agent or a server is opened and closed again in a loop of its own,
    in a thread: it keeps the id. Where waiting must not block, `await provider.initialize()` before. Raises
    ConfigError or AuthError.
    """
    try:
        return provider.get_id()
    except AuthError:
        pass
    failed: list[SlimError] = []

    def learning() -> None:
        try:
            asyncio.run(learn())
        except SlimError as error:
            failed.append(error)
        except Exception as error:
            # Of an unknown error not even the text is told: it may hold anything.
            failed.append(AuthError(f"the identity provider failed: {type(error).__name__}"))

    async def learn() -> None:
        try:
            async with asyncio.timeout(FIRST_TOKEN_WAIT):
                await provider.initialize()
        except TimeoutError:
            raise AuthError(f"the identity provider has no token after {FIRST_TOKEN_WAIT:g} s") from None
        finally:
            await provider.close()

    thread = threading.Thread(target=learning, name="callboard first token", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return provider.get_id()
