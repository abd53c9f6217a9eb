"""The life of an application: where it runs, and whether it may be used (`api.md` 3).

NEW ── placed ──► PLACED ── ready ──► OPENING ──► OPEN
                    ▲                    │
                    └────── failed ──────┘
each of them ── end ──► CLOSED
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from actors.errors import SessionClosed
from actors.messages.session import AppSettings, Listen
from actors.names import Name
from actors.record import record
from actors.system import Address
from gateway.codec import WireCodec
from gateway.node import forks
from gateway.node.data_plane import DataPlane
from gateway.node.shared import Keeper, Member, keeper
from identity.errors import ConfigError
from identity.protocols import Provider, Verifier


class AppState(Enum):
    """Where an application stands."""

    NEW = "it runs in no loop yet"
    PLACED = "its actor runs in a data plane"
    OPENING = "its provider and verifier are being initialized"
    OPEN = "it may be used"
    CLOSED = "it is over"


_NEXT = {
    AppState.NEW: (AppState.PLACED, AppState.CLOSED),
    AppState.PLACED: (AppState.OPENING, AppState.CLOSED),
    AppState.OPENING: (AppState.OPEN, AppState.PLACED, AppState.CLOSED),
    AppState.OPEN: (AppState.CLOSED,),
    AppState.CLOSED: (),
}


@record
class Residence(NamedTuple):
    """Where an application runs."""

    plane: DataPlane
    actor: Address
    """Its App actor."""
    inbox: Address
    """Where that actor answers."""
    keeper: Keeper | None
    """Of the loop, when the data plane was not given: it closes the application with the loop."""


# Asking an enum's class for a member costs ten times as much, and each session begins with these questions.
_PLACED, _OPENING, _OPEN, _CLOSED = AppState.PLACED, AppState.OPENING, AppState.OPEN, AppState.CLOSED


class Life:
    """Of one application, `member`; what its actor tells it goes to `receive`."""

    def __init__(
        self,
        member: Member,
        name: Name,
        identity: tuple[Provider, Verifier],
        settings: AppSettings,
        receive: Callable[[Any], None],
        *,
        alone: bool,
        plane: DataPlane | None,
    ) -> None:
        self.alone = alone and plane is None
        """Whether it has a data plane of its own, which ends with it."""
        self._birth = forks.birth()
        self._member = member
        self._name = name
        self._identity = identity
        self._settings = settings
        self._receive = receive
        self._given = plane
        self._state = AppState.NEW
        self._place: Residence | None = None
        """From PLACED on."""
        self._opening: asyncio.Task[None] | None = None
        """From OPENING on: raises why it failed."""

    @property
    def state(self) -> AppState:
        return self._state

    @property
    def place(self) -> Residence | None:
        """Where it runs; None before it does."""
        return self._place

    def placed(self) -> Residence:
        """Start in the running loop, once."""
        forks.check(self._birth)
        if self._place is None:
            held = keeper() if self._given is None else None
            if self._given is not None:
                plane = self._given
            else:
                assert held is not None
                held.add(self._member)
                plane = held.own() if self.alone else held.shared()
            inbox = plane.system.inbox(lambda message, _: self._receive(message))
            actor = plane.spawn_app(self._name, *self._identity, WireCodec(), self._settings)
            plane.system.tell(actor, Listen(inbox), inbox)
            self._place = Residence(plane, actor, inbox, held)
            self._move(AppState.PLACED)
        return self._place

    def check_mls(self) -> None:
        """Raises ConfigError where our provider says that its tokens cannot be credentials of MLS."""
        provider = self._identity[0]
        if not getattr(provider, "carries_claims", True):
            raise ConfigError(
                f"mls_enabled: tokens of {type(provider).__name__} cannot carry the MLS key; "
                "use SharedSecret, Jwt or Spire (or lay the X.509-SVID beside a StaticJwt: tls.crt, tls.key)",
                field="mls_enabled",
            )

    async def ready(self) -> Residence:
        """Where it runs, with identity initialized. Raises SessionClosed, and why identity cannot be had."""
        self.check()
        place = self.placed()
        if self._state is _OPEN:
            return place
        if self._state is _PLACED:
            self._move(AppState.OPENING)
            self._opening = asyncio.ensure_future(self._open())
        if self._state is _OPENING:
            assert self._opening is not None
            opening = self._opening
            await asyncio.wait({opening})
            if opening.cancelled():
                self.check()
            opening.result()
        return place

    def check(self) -> None:
        """Raise SessionClosed when it is over, or its data plane is."""
        forks.check(self._birth)
        if self._state is _CLOSED:
            raise SessionClosed("the application is closed")
        if self._place is not None and self._place.plane.closed:
            raise SessionClosed("the data plane of the application is closed")

    def end(self) -> Residence | None:
        """It may not be used any more. Returns the place to leave, once."""
        if self._state is _CLOSED:
            return None
        forks.check(self._birth)
        self._move(AppState.CLOSED)
        if self._place is not None and self._place.keeper is not None:
            self._place.keeper.discard(self._member)
        return self._place

    async def release(self) -> None:
        """Give provider and verifier up, behind `end`."""
        opening, self._opening = self._opening, None
        if opening is None:
            return
        opening.cancel()
        (outcome,) = await asyncio.gather(opening, return_exceptions=True)
        if outcome is None:
            await self.placed().plane.surroundings.identities.release(*self._identity)

    async def _open(self) -> None:
        try:
            await self.placed().plane.surroundings.identities.acquire(*self._identity)
        except BaseException:
            if self._state is _OPENING:
                self._move(AppState.PLACED)
            raise
        if self._state is _OPENING:
            self._move(AppState.OPEN)

    def _move(self, state: AppState) -> None:
        assert state in _NEXT[self._state], f"{self._state} cannot become {state}"
        self._state = state
