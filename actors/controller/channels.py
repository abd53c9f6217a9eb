"""Channels: what their moderators are ordered to do, one order at a time (`controller.md` 6).

    question ──► queue of the channel ──► Order to the moderator's node ──► OrderDone ──► answer

Names are checked, and who is in is looked up, before anything leaves. A question whose deadline passes is
answered with its place in the queue; an order that has left goes on, and what comes of it is kept. The
moderator's node is found by the names that the connected nodes hold.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from actors.controller import names
from actors.controller.turn import ControllerTurn, Declined
from actors.messages.controller import (
    AddParticipant,
    ChannelShown,
    CreateChannel,
    DeleteChannel,
    DeleteParticipant,
    GroupSeen,
    Order,
    OrderDone,
    Triple,
)

ORDER_TIME = 60.0
"""Seconds that a moderator has for one order: discovery, join and welcome with their repetitions."""
QUEUE = 256
"""Questions of one channel that wait at most."""
GROUPS = 10_000
"""Groups of one node that are looked at."""
GENERATED = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
GENERATED_SIZE = 18

ChannelQuestion = CreateChannel | DeleteChannel | AddParticipant | DeleteParticipant
Locate = Callable[[Triple, int | None], tuple[str, int] | None]
"""The connected node, and the instance id, of an application; None when no connected node has it."""


@dataclass(slots=True)
class Channel:
    """A channel whose moderator takes our orders."""

    name: str
    moderators: tuple[str, ...]
    participants: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Waiting:
    """A question, and until when somebody waits for its answer."""

    question: ChannelQuestion
    ticket: Hashable
    deadline: float
    answered: bool = False


@dataclass(slots=True)
class _Queue:
    """The questions of one channel; the first is under way when `order` is set."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    order: int = 0
    node: str = ""
    deadline: float = 0.0


class Channels:
    """All channels. `draw` gives a random number below a bound, for names that are made up."""

    def __init__(self, locate: Locate, draw: Callable[[int], int], *, order_time: float = ORDER_TIME) -> None:
        self._locate = locate
        self._draw = draw
        self._order_time = order_time
        self._channels: dict[str, Channel] = {}
        self._queues: dict[str, _Queue] = {}
        self._by_order: dict[int, str] = {}
        self._orders = itertools.count(1)
        self._seen: dict[str, tuple[GroupSeen, ...]] = {}
        """Groups that applications lead by themselves, by their node."""

    def load(self, channel: Channel) -> None:
        """Take over what was stored."""
        self._channels[channel.name] = channel

    def told(self, node: str, groups: tuple[GroupSeen, ...]) -> None:
        """A node reports the groups of its own applications; what is no group's name is left out."""
        self._seen.pop(node, None)
        if found := tuple(itertools.islice(filter(_is_group, groups), GROUPS)):
            self._seen[node] = found

    def shown(self) -> tuple[ChannelShown, ...]:
        """All channels, and the groups that are only looked at, by name."""
        own = [
            ChannelShown(channel.name, channel.moderators, tuple(channel.participants))
            for channel in self._channels.values()
        ]
        seen = [
            ChannelShown(group.channel, group.moderators, group.members, group.epoch, True, node)
            for node, groups in self._seen.items()
            for group in groups
            if group.channel not in self._channels
        ]
        return tuple(sorted([*own, *seen], key=lambda one: one.channel))

    def participants(self, channel: str) -> tuple[str, ...]:
        """Who is in. Raises Declined (NOT_FOUND)."""
        name = names.channel(channel)
        known = self._channels.get(name)
        if known is not None:
            return tuple(known.participants)
        group = self._group_seen(name)
        if group is not None:
            return group.members
        raise _unknown(name)

    # Questions

    def ask(self, question: ChannelQuestion, ticket: Hashable, deadline: float, turn: ControllerTurn) -> None:
        """Take a question; it is answered by `turn`, now or later. Raises Declined."""
        question = self._checked(question)
        name = question.channel
        queue = self._queues.setdefault(name, _Queue())
        if not queue.waiting:
            try:
                self._check_state(question)
            except Declined:
                del self._queues[name]
                raise
        if len(queue.waiting) >= QUEUE:
            raise Declined("RESOURCE_EXHAUSTED", f"{QUEUE} orders wait for {name} already")
        queue.waiting.append(_Waiting(question, ticket, deadline))
        if not queue.order:
            self._next(name, queue, turn)

    def _checked(self, question: ChannelQuestion) -> ChannelQuestion:
        """The question with its names checked and completed."""
        if isinstance(question, CreateChannel):
            if not question.moderators:
                raise Declined("INVALID_ARGUMENT", "moderators: at least one is needed")
            for text in question.moderators:
                names.moderator(text)
            name = (
                names.channel(question.channel) if question.channel else self._made_up(question.moderators[0])
            )
            return CreateChannel(question.moderators, name)
        name = names.channel(question.channel)
        if isinstance(question, DeleteChannel):
            return DeleteChannel(name)
        return type(question)(name, names.channel(question.participant, "participant_name"))

    def _check_state(self, question: ChannelQuestion) -> None:
        """Raise Declined when the channel, as it is now, has no room for the question."""
        name = question.channel
        channel = self._channels.get(name)
        seen = self._group_seen(name) if channel is None else None
        if isinstance(question, CreateChannel):
            if channel is not None or seen is not None:
                raise Declined("ALREADY_EXISTS", f"there is a channel {name} already")
            return
        if seen is not None:
            raise Declined(
                "FAILED_PRECONDITION", f"{name} is led by its own application {', '.join(seen.moderators)}"
            )
        if channel is None:
            raise _unknown(name, wanted=isinstance(question, AddParticipant))
        if isinstance(question, AddParticipant) and question.participant in channel.participants:
            raise Declined("ALREADY_EXISTS", f"{question.participant} is in {name} already")
        if isinstance(question, DeleteParticipant) and question.participant not in channel.participants:
            raise Declined("NOT_FOUND", f"{question.participant} is not in {name}")

    def _next(self, name: str, queue: _Queue, turn: ControllerTurn) -> None:
        """Give the next order of a channel that is possible."""
        while queue.waiting:
            waiting = queue.waiting[0]
            if not waiting.answered:
                try:
                    self._check_state(waiting.question)
                    self._order(name, queue, waiting, turn)
                except Declined as error:
                    turn.refuse(waiting.ticket, error.status, error.text)
                else:
                    return
            queue.waiting.popleft()
        del self._queues[name]

    def _order(self, name: str, queue: _Queue, waiting: _Waiting, turn: ControllerTurn) -> None:
        question = waiting.question
        channel = self._channels.get(name)
        moderators = (
            question.moderators
            if isinstance(question, CreateChannel)
            else channel.moderators
            if channel
            else ()
        )
        triple, id = names.moderator(moderators[0])
        found = self._locate(triple, id)
        if found is None:
            raise Declined("UNAVAILABLE", f"no connected node has the moderator {moderators[0]}")
        node, instance = found
        full = (names.shown(triple, instance), *moderators[1:])
        if isinstance(question, CreateChannel):
            waiting.question = CreateChannel(full, name)
            moderators = full
        queue.order, queue.node = next(self._orders), node
        queue.deadline = turn.now + self._order_time
        self._by_order[queue.order] = name
        participant = question.participant if isinstance(question, AddParticipant | DeleteParticipant) else ""
        turn.to(node, Order(queue.order, _VERBS[type(question)], name, full, participant))

    # What comes of them

    def done(self, message: OrderDone, turn: ControllerTurn) -> None:
        """A node tells what became of an order."""
        name = self._by_order.get(message.order)
        if name is not None and self._queues[name].node == message.node:
            self._finish(name, message.status, message.text, turn)

    def left(self, node: str, cause: str, turn: ControllerTurn) -> None:
        """A node is gone: nobody knows what became of its orders."""
        self._seen.pop(node, None)
        for name in [name for name, queue in self._queues.items() if queue.order and queue.node == node]:
            self._finish(name, "UNAVAILABLE", f"{node} was lost ({cause}) before it reported", turn)

    def _finish(self, name: str, status: str, text: str, turn: ControllerTurn) -> None:
        queue = self._queues[name]
        self._by_order.pop(queue.order, None)
        queue.order = 0
        waiting = queue.waiting.popleft()
        if status == "OK":
            before, after = self._apply(waiting.question, turn)
            if not waiting.answered:
                value = name if isinstance(waiting.question, CreateChannel) else text
                turn.answer(waiting.ticket, value, before=before, after=after)
            else:
                turn.tell(f"a late order of {name} succeeded: {_VERBS[type(waiting.question)]}; {after}")
        elif not waiting.answered:
            turn.refuse(waiting.ticket, status, text or f"{queue.node} gave no reason")
        self._next(name, queue, turn)

    def _apply(self, question: ChannelQuestion, turn: ControllerTurn) -> tuple[str, str]:
        """Keep what was done; what was so before, and what is so now."""
        name = question.channel
        channel = self._channels.get(name)
        before = "absent" if channel is None else f"members {', '.join(channel.participants) or 'none'}"
        if isinstance(question, CreateChannel):
            self._channels[name] = channel = Channel(name, question.moderators)
        elif channel is None:
            return before, "absent"
        elif isinstance(question, DeleteChannel):
            del self._channels[name]
            turn.save("channel", (name,), None)
            return before, "absent"
        elif isinstance(question, AddParticipant):
            channel.participants.append(question.participant)
        else:
            channel.participants.remove(question.participant)
        turn.save("channel", (name,), (channel.moderators, tuple(channel.participants)))
        return before, f"members {', '.join(channel.participants) or 'none'}"

    # Time

    def next_deadline(self) -> float | None:
        """When `expire` is to be called next."""
        times = [queue.deadline for queue in self._queues.values() if queue.order]
        for queue in self._queues.values():
            times += [one.deadline for one in queue.waiting if not one.answered]
        return min(times, default=None)

    def expire(self, turn: ControllerTurn) -> None:
        """Answer those whose time is over."""
        for name, queue in list(self._queues.items()):
            if queue.order and turn.now >= queue.deadline:
                text = f"no report of the moderator within {self._order_time:g} s"
                self._finish(name, "DEADLINE_EXCEEDED", text, turn)
        for name, queue in list(self._queues.items()):
            for place, waiting in enumerate(queue.waiting):
                if not waiting.answered and turn.now >= waiting.deadline:
                    waiting.answered = True
                    text = f"the moderator at {queue.node} is still at it"
                    if place:
                        text = f"number {place + 1} in the queue of {name}; it is not carried out any more"
                    turn.refuse(waiting.ticket, "DEADLINE_EXCEEDED", text)

    # Private

    def _group_seen(self, channel: str) -> GroupSeen | None:
        return next((one for groups in self._seen.values() for one in groups if one.channel == channel), None)

    def _made_up(self, moderator: str) -> str:
        triple, _ = names.moderator(moderator)
        last = "".join(GENERATED[self._draw(len(GENERATED))] for _ in range(GENERATED_SIZE))
        return f"{triple[0]}/{triple[1]}/{last}"


def _is_group(group: GroupSeen) -> bool:
    try:
        return names.channel(group.channel) == group.channel
    except Declined:
        return False


def _unknown(name: str, *, wanted: bool = False) -> Declined:
    """`wanted` by who would have it; whoever asks for it, or would have it gone, may have its name wrong."""
    remedy = (
        f"make it first: callboard ctl channel create {name} moderators=O/N/APP"
        if wanted
        else "callboard ctl channel list shows those there are"
    )
    return Declined("NOT_FOUND", f"there is no channel {name}; {remedy}")


_VERBS: dict[type, str] = {
    CreateChannel: "create",
    DeleteChannel: "delete",
    AddParticipant: "add",
    DeleteParticipant: "remove",
}
