"""A session being opened by the short spelling, `Slim.session` and `Slim.group`: await it, or enter it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, NoReturn

from actors.names import Name
from gateway.api.session import Session
from identity.errors import SlimError


class Opening(Awaitable[Session]):
    """`create` makes the session; `guests` are invited when it stands.

    What became of each guest stands in `Session.invited`; with `all_or_nothing` the first that does not
    come closes the session, and its error is raised.
    """

    def __init__(
        self,
        create: Callable[[], Awaitable[Session]],
        guests: tuple[Name, ...] = (),
        *,
        all_or_nothing: bool = False,
    ) -> None:
        self._create, self._guests, self._all = create, guests, all_or_nothing
        self._session: Session | None = None

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"no {name!r} before the session is open: await app.session(...), or enter it by async with",
            name=name,
            obj=self,
        )

    def __repr__(self) -> str:
        return "<Opening: await it, or enter it by async with>"

    def __await__(self) -> Generator[Any, Any, Session]:
        return self._open().__await__()

    async def _open(self) -> Session:
        session = await self._create()
        try:
            await session.established
            handles = [await session.invite(name) for name in self._guests]
            for name, handle in zip(self._guests, handles, strict=True):
                try:
                    await handle
                except SlimError as error:
                    if self._all or session.over:
                        raise
                    session.invited[name] = error
                else:
                    session.invited[name] = None
        except BaseException:
            if not session.closed:
                session.close()
            raise
        return session

    async def __aenter__(self) -> Session:
        self._session = await self._open()
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.__aexit__(kind, error, trace)
