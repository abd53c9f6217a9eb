"""Groups that applications lead by themselves, as a core: what a controller may look at (`controller.md` 6).

    session ── members, epoch ──► LedGroups ── news ──► the nodes that this process dialled
    applications that dialled us ── GroupLed ──► LedGroups ── seen ──► the node's controllers

What others report is bounded, and goes with their connection. Each change of a group replaces the one before
it, so that whoever asks seldom gets little.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple

from actors.messages.controller import GroupSeen
from actors.messages.wire import GroupFigures, GroupLed
from actors.names import Name
from actors.record import record
from actors.routing.shares import places

GROUPS = 1024
"""Groups of this process, or of one connection, at most; more are not told."""
LISTED = 1000
"""Members of a group that are told by name."""
NAMES = 50_000
"""Places for the names of all groups reported to a node (`actors.routing.shares`): a short one takes one."""
NEWS = 64
"""Groups that one node is told of at a time."""
EVERY = 10.0
"""Seconds for which a group is not told again for its figures alone."""


@record
class _Led(NamedTuple):
    """A group of our own."""

    channel: Name
    moderator: Name
    number: int


class LedGroups:
    """`fresh` says whether there is anything that `seen` has not given out yet."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._led: dict[Hashable, _Led] = {}
        self._own: dict[int, GroupLed] = {}
        self._counted: dict[int, float] = {}
        """When a group was told last for its figures."""
        self._reported: dict[int, dict[int, GroupLed]] = {}
        self._names = 0
        self._nodes: dict[int, dict[int, GroupLed]] = {}
        """By connection to a node: what it has still to be told, by number."""
        self.refused = 0
        """Reports that had no place."""
        self.fresh = False

    # Our own

    def opened(self, session: Hashable, moderator: Name, channel: Name) -> bool:
        """A session begins to lead a group; whether there is a place for it."""
        if len(self._led) >= GROUPS:
            self.refused += 1
            return False
        self._led[session] = _Led(channel, moderator, next(self._numbers))
        return True

    def changed(self, session: Hashable, members: Iterable[Name] | None, epoch: int | None) -> bool:
        """What has become of it; None where nothing has changed. Whether it is other than before."""
        led = self._led.get(session)
        if led is None:
            return False
        before = self._own.get(led.number) or GroupLed(led.number, led.channel, led.moderator)
        listed = before.members if members is None else tuple(members)[:LISTED]
        now = before._replace(members=listed, epoch=before.epoch if epoch is None else epoch)
        if self._own.get(led.number) == now:
            return False
        self._own[led.number] = now
        self._note(now)
        return True

    def counted(self, session: Hashable, figures: GroupFigures, now: float) -> None:
        """What it counts `now`: told with a change that is still to be told, and otherwise where it is other
        than before and was not told for EVERY seconds. Controllers are not told."""
        led = self._led.get(session)
        own = None if led is None else self._own.get(led.number)
        if own is None or own.figures == figures:
            return
        changed = any(own.number in news for news in self._nodes.values())
        last = self._counted.get(own.number)
        if changed or last is None or now - last >= EVERY:
            self._counted[own.number] = now
            self._own[own.number] = own._replace(figures=figures)
            self._put(self._own[own.number])

    def leaders(self) -> list[tuple[Hashable, Name]]:
        """Our sessions that lead a group, and its channel."""
        return [(session, led.channel) for session, led in self._led.items()]

    def over(self, session: Hashable) -> None:
        """It is not led any more."""
        led = self._led.pop(session, None)
        if led is not None:
            self._counted.pop(led.number, None)
        if led is not None and self._own.pop(led.number, None) is not None:
            self._note(GroupLed(led.number, led.channel, led.moderator, over=True))

    def _note(self, group: GroupLed) -> None:
        self.fresh = True
        self._put(group)

    def _put(self, group: GroupLed) -> None:
        """Among the news for all nodes, last."""
        for news in self._nodes.values():
            news.pop(group.number, None)
            news[group.number] = group

    # The nodes that we dialled

    def tell(self, connection: int) -> None:
        """A node of ours is at the other end: it is told everything."""
        self._nodes[connection] = dict(self._own)

    def tell_no_more(self, connection: int) -> None:
        """It is not, or not now."""
        self._nodes.pop(connection, None)

    def news(self) -> list[tuple[int, tuple[GroupLed, ...]]]:
        """What to tell now, by connection: at most NEWS groups each."""
        told = []
        for connection, news in self._nodes.items():
            some = tuple(itertools.islice(news.values(), NEWS))
            for group in some:
                del news[group.number]
            if some:
                told.append((connection, some))
        return told

    @property
    def counting(self) -> bool:
        """Whether there is a node to be told what our groups count."""
        return bool(self._nodes and self._led)

    @property
    def pending(self) -> bool:
        """Whether there are news for a node."""
        return any(self._nodes.values())

    # Those who dialled us

    def reported(self, connection: int, group: GroupLed) -> None:
        """An application tells of a group that it leads."""
        known = self._reported.get(connection, {})
        before = known.get(group.number)
        if group == before or (group.over and before is None):
            return
        gained = (0 if group.over else _size(group)) - (0 if before is None else _size(before))
        if gained > 0 and (
            self._names + gained > NAMES
            or len(group.members) > LISTED
            or (before is None and len(known) >= GROUPS)
        ):
            self.refused += 1
            return
        self._names += gained
        if before is None or before._replace(figures=None) != group._replace(figures=None):
            self.fresh = True
        if not group.over:
            self._reported.setdefault(connection, {})[group.number] = group
            return
        del known[group.number]
        if not known:
            del self._reported[connection]

    def gone(self, connection: int) -> None:
        """Its connection is over."""
        for group in self._reported.pop(connection, {}).values():
            self._names -= _size(group)
            self.fresh = True
        self.tell_no_more(connection)

    # The controllers

    def seen(
        self, believed: Callable[[int, Name], bool] = lambda connection, moderator: True
    ) -> tuple[GroupSeen, ...]:
        """Everything, as controllers know it.

        Of what was reported only groups whose moderators are `believed` to be there: others may be later.
        """
        reported = [
            (group, believed(connection, group.moderator))
            for connection, groups in self._reported.items()
            for group in groups.values()
        ]
        self.fresh = not all(there for _, there in reported)
        return tuple(map(_seen, (*self._own.values(), *(group for group, there in reported if there))))

    def reports(self) -> list[GroupLed]:
        """Everything as it was told, of this process first."""
        return [group for groups in (self._own, *self._reported.values()) for group in groups.values()]


def _size(group: GroupLed) -> int:
    return sum(map(places, (group.channel, group.moderator, *group.members)))


def _seen(group: GroupLed) -> GroupSeen:
    members = tuple(map(_text, group.members))
    return GroupSeen("/".join(group.channel.strings), (_text(group.moderator),), members, group.epoch)


def _text(name: Name) -> str:
    """With the instance in decimal, as control planes write it."""
    return "/".join((*name.strings, str(name.id)) if name.has_id else name.strings)
