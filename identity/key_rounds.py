"""One task fetches an issuer's keys; whoever misses a key asks it and waits for the round in flight.

There is never more than one round. When to begin one says `identity.key_cache`; how to fetch, who derives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from identity.encoding import Malformed
from identity.errors import AuthError
from identity.jose.key_set import KeySet
from identity.key_cache import KeyCache, RefreshPolicy
from identity.log import logger


class RoundsSource:
    """The part of a `identity.key_source.KeySource` that asks KeyRounds, from `initialize` to `close`."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self._rounds: KeyRounds | None = None

    @property
    def generation(self) -> int:
        """Grows with each set that was fetched."""
        return 0 if self._rounds is None else self._rounds.generation

    def current(self, now: float) -> KeySet | None:
        """The keys at hand, if they may still be trusted. Their age is measured on a clock nobody sets."""
        return None if self._rounds is None else self._rounds.current()

    @property
    def trouble(self) -> str:
        """Why the last fetch failed; empty when it did not."""
        return "" if self._rounds is None else self._rounds.complaint

    def may_refresh(self) -> bool:
        """True while a fetch runs, and when one may be caused; False in the pauses after it."""
        return self._rounds is None or self._rounds.may_refresh()

    async def refreshed(self, now: float) -> KeySet | None:
        """The keys after the fetch in flight, or after one caused now if that is allowed.

        Raises AuthError when it was not initialized.
        """
        if self._rounds is None:
            raise AuthError(f"keys of {self.issuer} are not being fetched: initialize() the verifier")
        await self._rounds.refreshed()
        return self.current(now)


class KeyRounds:
    """Runs from construction to `stop`. `clock` tells seconds that only grow, `total` bounds one fetch."""

    def __init__(self, issuer: str, policy: RefreshPolicy, total: float, clock: Callable[[], float]) -> None:
        self.issuer = issuer
        self.complaint = ""
        """Why the last fetch failed; empty when it did not."""
        self._cache = KeyCache(policy)
        self._total = total
        self._clock = clock
        self._wanted = asyncio.Event()
        self._round: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        """Done when the fetch in flight is over; None between two fetches."""
        self._task = asyncio.create_task(self._live(), name=f"jwks {issuer}")

    async def stop(self) -> None:
        """Fetch no more. Whoever waits gets what is there."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def generation(self) -> int:
        """Grows with each set that was fetched."""
        return self._cache.generation

    def current(self) -> KeySet | None:
        """The keys at hand, if they may still be trusted."""
        return self._cache.current(self._clock())

    def may_refresh(self) -> bool:
        """True while a fetch runs, and when one may be caused; False in the pauses after it."""
        return self._round is not None or self._cache.may_fetch(self._clock())

    async def refreshed(self) -> None:
        """Wait for the fetch in flight, or for one caused now if that is allowed."""
        if self._round is None and self._cache.may_fetch(self._clock()):
            self._cache.forced(self._clock())
            self._round = asyncio.get_running_loop().create_future()
            self._wanted.set()
        if self._round is not None:
            # Shielded: one who gives up waiting must not cancel the round for the others.
            await asyncio.shield(self._round)

    async def fetch(self) -> tuple[KeySet, float | None]:
        """The issuer's keys, and for how many seconds it lets us keep them. Raises AuthError or Malformed."""
        raise NotImplementedError

    async def keep_fresh(self) -> None:
        """Fetch in time and when asked, for ever."""
        while True:
            await self._refresh()
            self._end_round()
            try:
                async with asyncio.timeout(self._cache.next_fetch - self._clock()):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            if self._round is None:
                self._round = asyncio.get_running_loop().create_future()

    async def _live(self) -> None:
        try:
            await self.keep_fresh()
        finally:
            self._end_round()

    def _end_round(self) -> None:
        if self._round is not None:
            self._round.set_result(None)
            self._round = None

    async def _refresh(self) -> None:
        began = self._clock()
        try:
            async with asyncio.timeout(self._total):
                keys, max_age = await self.fetch()
        except TimeoutError:
            self._failed(f"no answer within {self._total:g} s")
            return
        except (AuthError, Malformed) as error:
            self._failed(str(error))
            return
        except Exception as error:  # the one task that can bring keys must outlive whatever a stranger sends
            self._failed(f"unexpected {type(error).__name__}")
            return
        self._cache.fetched(keys, max_age, began)
        self.complaint = ""
        logger.debug("keys of an issuer are in use", issuer=self.issuer, count=len(keys))

    def _failed(self, reason: str) -> None:
        self._cache.failed(self._clock())
        if reason != self.complaint:
            self.complaint = reason
            logger.warning("keys of an issuer cannot be fetched", issuer=self.issuer, cause=reason)
