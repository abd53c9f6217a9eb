"""Groups that applications lead by themselves, told to the node that they dialled and by it to controllers.

A shell around `actors.controlled.led_groups`: whatever changes is told once a second at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actors.controlled.led_groups import LedGroups
from actors.messages.controller import GroupSeen
from actors.messages.routing import ConnectionState, GroupReported, Status, StatusReport
from actors.messages.session import (
    EpochChanged,
    GroupBegun,
    MemberJoined,
    MemberLeft,
    Membership,
    Watch,
    WatchEnded,
)
from actors.messages.wire import GroupFigures, GroupLed, Role
from actors.names import Key, Name
from actors.routing.link import Link
from actors.routing.view import RouteView
from actors.system import Address, LoopSystem

PERIOD = 1.0
"""Seconds between two times that anybody is told."""
FIRST = 0.1
"""Seconds after which the first change is told."""
LOOK = 5.0
"""Seconds between two times that our sessions are asked what they count."""
ASKED = 64
"""Sessions that are asked at a time."""

Follower = Callable[[Sequence[GroupSeen]], None]
_NODE = Role.NODE.name.lower()


class GroupReports:
    """`links` by connection. Who tells of a group is believed where, by `routes`, its moderator is."""

    def __init__(
        self,
        system: LoopSystem,
        loop: asyncio.AbstractEventLoop,
        links: Mapping[int, Link],
        routes: RouteView,
    ) -> None:
        self._system, self._loop = system, loop
        self._links, self._routes = links, routes
        self._core = LedGroups()
        self._followers: dict[Follower, None] = {}
        self._seen: tuple[GroupSeen, ...] = ()
        """What followers were told last."""
        self._timer: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self._unasked: list[Any] = []
        """Sessions that are to be asked in this round."""
        self._closed = False
        self._told_at = loop.time() - PERIOD
        self.inbox: Address = system.inbox(self._heard)
        """Where applications of this process say which groups they lead."""

    @property
    def refused(self) -> int:
        """Reports that had no place."""
        return self._core.refused

    def reports(self) -> list[GroupLed]:
        """Every group that is told here."""
        return self._core.reports()

    def leaders(self) -> dict[Key, Any]:
        """The sessions of this process that lead a group, by its channel."""
        return {channel.key: session for session, channel in self._core.leaders()}

    def _heard(self, message: Any, sender: Any) -> None:
        """Of an application, or of a session that is watched."""
        core = self._core
        match message:
            case GroupBegun():
                if core.opened(message.session, message.moderator, message.channel):
                    self._system.tell(message.session, Watch(self.inbox), self.inbox)
            case Membership():
                self._changed(sender, message.members, message.epoch)
            case MemberJoined() | MemberLeft():
                self._changed(sender, message.members, None)
            case EpochChanged():
                self._changed(sender, None, message.epoch)
            case StatusReport():
                if (figures := figures_of(message.figures)) is not None:
                    core.counted(sender, figures, self._loop.time())
            case WatchEnded():
                core.over(sender)
        self._arm()

    def _changed(self, session: Any, members: Sequence[Name] | None, epoch: int | None) -> None:
        if self._core.changed(session, members, epoch):
            self._ask([session])

    def _ask(self, sessions: Sequence[Any]) -> None:
        """What they count, if somebody is to be told."""
        if self._core.counting:
            for session in sessions:
                self._system.tell(session, Status(), self.inbox)

    def _ask_all(self) -> None:
        """A part at a time, so that the loop does its other work meanwhile."""
        self._look = None
        waiting = self._unasked or [session for session, _ in self._core.leaders()]
        some, self._unasked = waiting[:ASKED], waiting[ASKED:]
        self._ask(some)
        self._arm()

    def dialled(self, state: ConnectionState) -> None:
        """How a connection stands that an application of this process opened."""
        if state.state == "negotiated" and state.detail.endswith(_NODE):
            self._core.tell(state.connection)
            self._arm()
        elif state.state in ("lost", "closed", "moved"):
            self._core.tell_no_more(state.connection)

    def callers(self, note: Callable[[ConnectionState], None]) -> Address:
        """An inbox for connections that others open: `note` is told how they stand."""

        def take(message: Any, _: Any) -> None:
            if isinstance(message, GroupReported):
                self._core.reported(message.connection, message.group)
                self._arm()
                return
            if message.state == "closed":
                self._core.gone(message.connection)
                self._arm()
            note(message)

        return self._system.inbox(take)

    def _believed(self, connection: int, moderator: Name) -> bool:
        targets = self._routes.exact(moderator.key, moderator.instance)
        return targets is not None and connection in targets.all

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Tell `follower` all groups, and again when something has changed; until what is returned is
        called."""
        self._followers[follower] = None
        self._tell_followers(self._core.seen(self._believed))
        # Some may be reported whose moderators are not here yet.
        self._arm()

        def stop() -> None:
            self._followers.pop(follower, None)

        return stop

    def close(self) -> None:
        """Tell nobody any more."""
        self._closed = True
        self._followers.clear()
        for timer in (self._timer, self._look):
            if timer is not None:
                timer.cancel()
        self._timer = self._look = None

    def _arm(self) -> None:
        if self._core.counting and self._look is None and not self._closed:
            wait = FIRST if self._unasked else LOOK
            self._look = self._loop.call_later(wait, self._ask_all)
        wanted = self._core.pending or (self._core.fresh and self._followers)
        if wanted and self._timer is None:
            wait = max(FIRST, self._told_at + PERIOD - self._loop.time())
            self._timer = self._loop.call_later(wait, self._tell)

    def _tell(self) -> None:
        self._timer, self._told_at = None, self._loop.time()
        for connection, groups in self._core.news():
            if (link := self._links.get(connection)) is not None:
                link.transmit(groups)
        if self._core.fresh and self._followers:
            seen = self._core.seen(self._believed)
            if seen != self._seen:
                self._tell_followers(seen)
        self._arm()

    def _tell_followers(self, seen: tuple[GroupSeen, ...]) -> None:
        self._seen = seen
        for follower in list(self._followers):
            follower(seen)


def figures_of(told: Mapping[str, Any]) -> GroupFigures | None:
    """Of what a session told about itself; None when it told nothing of the kind."""
    if not told.keys() >= set(GroupFigures._fields):
        return None
    return GroupFigures(*(told[figure] for figure in GroupFigures._fields))
