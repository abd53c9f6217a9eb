"""All that a journal says, taken together: what a moderator goes on with.

`apply` takes one entry after another, as they are written and as they are read again: there is one account of
what an entry means. Nothing here is read from a clock or a file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import assert_never

from actors.messages.moderation import Wish
from actors.messages.session import CloseSession, Invite, Outgoing
from actors.moderation.entries import (
    AnswersKept,
    DataAcknowledged,
    DataKept,
    DataSaid,
    Entry,
    Fired,
    GroupKept,
    GroupOpened,
    GroupOver,
    HeardOf,
    Known,
    MembershipKept,
    MessageOf,
    OperationOver,
    PingSent,
    Reported,
    Reserved,
    Started,
    Step,
    Summary,
    TheEnd,
)
from actors.names import Name
from actors.session.membership.kept import Heard, KeptModerator, KeptSession, SaidMessage
from actors.session.serial import MASK, ahead

BLOCK = 512
"""Message ids and generations that are reserved at a time. A higher number costs fewer waits for the disk,
and leaves a wider gap behind a power cut; members follow one of up to 1024 generations."""
DIRECT_KEPT = 64
"""Ids of what one member said to us alone that are remembered."""


class Book:
    """One group and its script. What stands here is read by others, and changed by `apply` alone."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.forget_group()
        self.over = False
        """The group was closed, and the script was not told."""
        self.started = False
        self.state: bytes | None = None
        self.numbers = 0
        """The last number of an operation or message."""
        self.operations: deque[tuple[int, Wish]] = deque()
        """Changes of the membership to make, the one under way first."""
        self.outgoing: dict[int, Outgoing] = {}
        """To be said, and not said yet."""
        self.timers: dict[str, float] = {}
        """When they are due, in Unix seconds."""
        self.lost: tuple[Name, ...] = ()
        """Members of a group that was away for too long, which the script was not told of."""
        for entry in entries:
            self.apply(entry)

    def forget_group(self) -> None:
        """There is no group, or none any more."""
        self.opened: GroupOpened | None = None
        self.moderator: KeptModerator | None = None
        self.group: GroupKept | None = None
        self.next_id = 1
        """The first id of a message to all that was not used."""
        self.generation = 0
        """The first of ours that was not used in the epoch of `group`."""
        self.reserved = Reserved(1, 0, 0)
        self.said: dict[int, SaidMessage] = {}
        """Not acknowledged by everybody, or asked for: of the latter nobody is awaited."""
        self.asked = 0.0
        self.known: dict[Name, None] = {}
        """The members that the script was told of."""
        self.heard: dict[Name, Heard] = {}

    def apply(self, entry: Entry) -> None:
        """What `entry` says is so now."""
        match entry:
            case GroupOpened():
                self.opened, self.asked = entry, entry.at
            case MembershipKept():
                self.moderator = entry.moderator
                if entry.group is not None:
                    self.group, self.generation = entry.group, entry.group.generation
                self._forget_strangers()
            case AnswersKept():
                if self.moderator is not None:
                    self.moderator = self.moderator._replace(open=entry.open)
            case Reserved():
                self.reserved = entry
            case DataSaid():
                self._said(entry.said)
            case DataAcknowledged():
                for id in entry.ids:
                    self.said.pop(id, None)
            case DataKept():
                for id in entry.ids:
                    if (said := self.said.get(id)) is not None:
                        self.said[id] = said._replace(handle=None, to=())
            case PingSent():
                self.asked = entry.at
            case GroupOver():
                self.forget_group()
                self.over = True
            case Step():
                self._step(entry)
            case OperationOver():
                if self.operations and self.operations[0][0] == entry.number:
                    self.operations.popleft()
            case Summary():
                self._take(entry)
            case _:
                assert_never(entry)

    def summary(self) -> Summary:
        """All of it as one entry."""
        return Summary(
            self.opened,
            self.moderator,
            self.group,
            self.next_id,
            self.generation,
            self.reserved,
            tuple(self.said.values()),
            self.asked,
            self.started,
            self.state,
            self.numbers,
            tuple(self.operations),
            tuple(self.outgoing.values()),
            tuple(self.timers.items()),
            tuple(self.known),
            tuple(HeardOf(name, heard.last, heard.direct) for name, heard in self.heard.items()),
            self.lost,
            self.over,
        )

    # What follows from it

    def next_number(self) -> int:
        """The number that the next operation or message of the script gets."""
        return self.numbers + 1

    def has_taken(self, source: Name, id: int) -> bool:
        """Whether a message was dealt with."""
        heard = self.heard.get(source)
        if heard is None:
            return False
        return id in heard.direct if id > MASK else ahead(heard.last, id) <= 0

    def group_to_resume(self, connection: int | None) -> KeptSession | None:
        """What the session goes on with; None: there is no group to go on with."""
        if self.opened is None or self.moderator is None:
            return None
        group = self.group.group if self.group is not None else None
        said = tuple(self.said.values())
        return KeptSession(self.moderator, group, self.generation, self.next_id, said, self.heard, connection)

    def skip_reserved(self) -> int:
        """What was written last may be lost: go on behind all that may have been used. Returns how many ids
        may have been."""
        skipped = (self.reserved.ids - self.next_id) & MASK
        self.next_id = self.reserved.ids
        if self.group is not None and self.reserved.epoch == self.group.epoch:
            self.generation = max(self.generation, self.reserved.generations)
        return skipped

    def lose_group(self) -> None:
        """The members have given us up: what they were told to do, and who they were, is for the script."""
        members = list(self.known)
        if self.moderator is not None:
            members += [each.name for each in self.moderator.members if each.name not in self.known]
        invited = {wish.name.key for _, wish in self.operations if isinstance(wish, Invite)}
        self.lost += tuple(
            name.without_id()
            for name in members
            if name.without_id() not in self.lost and name.key not in invited
        )
        # One that was to be closed is closed by this.
        self.over = any(isinstance(wish, CloseSession) for _, wish in self.operations)
        self.forget_group()

    def said_handles(self) -> set[int]:
        """Of messages that were said and are not acknowledged."""
        return {said.handle for said in self.said.values() if said.handle is not None}

    def was_said(self, number: int) -> None:
        """A message of the script needs not be said any more."""
        self.outgoing.pop(number, None)

    def is_present(self, name: Name) -> bool:
        """Whether a member has acknowledged its welcome, as far as that was noted."""
        if self.moderator is None:
            return True
        return any(each.name == name and each.present for each in self.moderator.members)

    # Private

    def _begin_anew(self) -> None:
        """The script knows that the group is over; its state stays for the next one."""
        self.over = self.started = False
        self.operations.clear()
        self.outgoing.clear()
        self.timers.clear()
        self.lost = ()

    def _said(self, said: SaidMessage) -> None:
        message = said.message
        self.said[message.message_id] = said
        if message.message_id <= MASK:
            self.next_id = (message.message_id + 1) & MASK
        if self.group is not None and said.epoch == self.group.epoch:
            self.generation = max(self.generation, said.generation + 1)
        if said.handle is not None:
            self.outgoing.pop(said.handle, None)

    def _step(self, step: Step) -> None:
        what = step.what
        match what:
            case MessageOf():
                self._taken(what)
            case Started():
                self.started = True
            case Known():
                if what.there:
                    self.known[what.member] = None
                else:
                    self.known.pop(what.member, None)
            case Fired():
                self.timers.pop(what.name, None)
            case Reported():
                if what.lost:
                    self.lost = ()
            case TheEnd():
                self._begin_anew()
            case _:
                assert_never(what)
        if step.state is not None:
            self.state = step.state
        for number, wish in step.operations:
            self.numbers = max(self.numbers, number)
            self.operations.append((number, wish))
        for item in step.outgoing:
            assert item.handle is not None
            self.numbers = max(self.numbers, item.handle)
            self.outgoing[item.handle] = item
        self.timers.update(step.timers)

    def _taken(self, what: MessageOf) -> None:
        heard = self.heard.get(what.source, Heard(0, ()))
        if what.direct:
            direct = (*heard.direct, what.id)[-DIRECT_KEPT:]
            self.heard[what.source] = heard._replace(direct=direct)
        else:
            self.heard[what.source] = heard._replace(last=what.id)

    def _forget_strangers(self) -> None:
        """Nothing is kept of those who are out."""
        assert self.moderator is not None
        members = {each.name for each in self.moderator.members}
        for name in [name for name in self.heard if name not in members]:
            del self.heard[name]

    def _take(self, all_of_it: Summary) -> None:
        self.opened, self.moderator, self.group = all_of_it.opened, all_of_it.moderator, all_of_it.group
        self.next_id, self.generation = all_of_it.next_id, all_of_it.generation
        self.reserved, self.asked = all_of_it.reserved, all_of_it.asked
        self.said = {said.message.message_id: said for said in all_of_it.said}
        self.started, self.state, self.numbers = all_of_it.started, all_of_it.state, all_of_it.numbers
        self.operations = deque(all_of_it.operations)
        self.outgoing = {item.handle: item for item in all_of_it.outgoing if item.handle is not None}
        self.timers = dict(all_of_it.timers)
        self.known = dict.fromkeys(all_of_it.known)
        self.heard = {each.member: Heard(each.last, each.direct) for each in all_of_it.heard}
        self.lost = all_of_it.lost
        self.over = all_of_it.over
