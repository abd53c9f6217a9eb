"""The product, broken in one place at a time: what scenarios must see.

Each break is a function that yields what to put in the place of what: the owner, the name of its attribute,
and the new value, made of the honest one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import actors.controller.controller as controller_module
import actors.session.sender as sender_module
from actors.app.actor import AppActor
from actors.app.invitations import Invitations
from actors.app.routes import Routes
from actors.controller.controller import Controller
from actors.errors import MessageLost
from actors.messages.controller import OrderDone
from actors.messages.wire import GroupAdd, MessageType
from actors.moderation.book import Book
from actors.moderation.journal import Journal
from actors.moderation.keeper import JournalKeeper
from actors.routing.backpressure import Backpressure
from actors.routing.control import RouteControl
from actors.routing.table import SubscriptionTable
from actors.routing.view import Targets
from actors.session.core import SessionCore
from actors.session.data_path import DataPath
from actors.session.membership.adding import Adding
from actors.session.membership.liveness import Rounds, Watchdog
from actors.session.membership.member_list import MemberList
from actors.session.membership.moderator import Moderator
from actors.session.membership.participant import Participant
from actors.session.membership.parting import Parting
from actors.session.membership.requests import Requests
from actors.session.mls_session import MlsSession
from actors.session.receiver import DataReceiver
from actors.session.retry import ResendPolicy, Review
from actors.session.sender import DataSender
from gateway.api.publishing import Publishing
from gateway.api.session import Session
from gateway.api.waiters import Turns
from gateway.links.link import AcceptedLink, DialledLink
from gateway.links.nats import NatsLink
from gateway.node.controlled import ControlledNode

Patch = tuple[Any, str, Callable[[Any], Any]]
"""Owner, attribute, and what makes the broken value of the honest one."""


class Break(NamedTuple):
    """One place that is broken."""

    name: str
    room: str
    profiles: tuple[str, ...]
    """Where it should show."""
    patches: Callable[[], Iterator[Patch]]


BREAKS: dict[str, Break] = {}


def breaks(room: str, *profiles: str) -> Callable[[Callable[[], Iterator[Patch]]], None]:
    """Register a break under its function's name."""

    def register(patches: Callable[[], Iterator[Patch]]) -> None:
        name = patches.__name__
        BREAKS[name] = Break(name, room, profiles, patches)

    return register


def nothing(*_: Any, **__: Any) -> None:
    """What is done in place of something."""


# Sessions: messages


@breaks("sessions", "perfect")
def a_message_is_handed_out_twice() -> Iterator[Patch]:
    yield (
        Session,
        "_delivered",
        lambda honest: lambda self, items: honest(self, items + items[:1]),
    )


@breaks("sessions", "perfect")
def a_message_is_dropped_behind_its_acknowledgement() -> Iterator[Patch]:
    yield Session, "_delivered", lambda honest: lambda self, items: honest(self, items[1:])


@breaks("sessions", "loss", "single")
def a_copy_is_taken_for_new() -> Iterator[Patch]:
    def again(self: Any, stream: Any, message: Any, turn: Any) -> None:
        opened = self._opened(message, turn)
        if opened is not None:
            self._place(opened, turn)
        turn.send(self._ack(message))

    yield DataReceiver, "_again", lambda honest: again


@breaks("sessions", "loss", "single")
def what_comes_after_a_hole_does_not_wait() -> Iterator[Patch]:
    def after(self: Any, stream: Any, message: Any, policy: Any, turn: Any) -> None:
        opened = self._opened(message, turn)
        if opened is not None:
            self._place(opened, turn)
            stream.last = stream.newest = message.message_id - 2 & 0xFFFFFFFF
            turn.send(self._ack(message))

    yield DataReceiver, "_after_a_hole", lambda honest: after


@breaks("sessions", "loss", "single")
def what_comes_after_a_hole_is_acknowledged_and_dropped() -> Iterator[Patch]:
    def after(self: Any, stream: Any, message: Any, policy: Any, turn: Any) -> None:
        turn.send(self._ack(message))

    yield DataReceiver, "_after_a_hole", lambda honest: after


@breaks("sessions", "loss", "single")
def what_is_missing_is_never_asked_for() -> Iterator[Patch]:
    yield DataReceiver, "_request", lambda honest: nothing


@breaks("sessions", "loss", "single")
def what_is_asked_for_is_said_to_be_gone() -> Iterator[Patch]:
    def retransmit(self: Any, request: Any, turn: Any) -> None:
        self._pending.pop(request.message_id, None)
        turn.freed += 1
        reply = request._replace(source=request.destination, destination=request.source)
        turn.send(reply._replace(kind=MessageType.RTX_REPLY, error=True))

    yield DataSender, "retransmit", lambda honest: retransmit


@breaks("sessions", "loss")
def nothing_is_sent_again() -> Iterator[Patch]:
    def review(honest: Any) -> Any:
        return lambda attempts, now: Review([], *honest(attempts, now)[1:])

    yield sender_module, "review", review


@breaks("sessions", "busy")
def one_acknowledgement_counts_for_all() -> Iterator[Patch]:
    def acknowledged(honest: Any) -> Any:
        def broken(self: Any, source: Any, id: int, turn: Any) -> None:
            if (pending := self._pending.get(id)) is not None:
                pending.missing &= {source}
                honest(self, source, id, turn)

        return broken

    yield DataSender, "acknowledged", acknowledged


@breaks("sessions", "perfect")
def each_tenth_message_has_the_number_of_the_one_before() -> Iterator[Patch]:
    def publish(honest: Any) -> Any:
        def broken(self: Any, item: Any, blob: bytes, turn: Any) -> None:
            if self._next_id % 10 == 5:
                self._next_id -= 1
                honest(self, item, blob, turn)
                self._next_id += 1
            else:
                honest(self, item, blob, turn)

        return broken

    yield DataSender, "publish", publish


@breaks("sessions", "perfect")
def each_tenth_number_is_left_out() -> Iterator[Patch]:
    def publish(honest: Any) -> Any:
        def broken(self: Any, item: Any, blob: bytes, turn: Any) -> None:
            self._next_id += self._next_id % 10 == 5
            honest(self, item, blob, turn)

        return broken

    yield DataSender, "publish", publish


@breaks("sessions", "death", "doze")
def retries_have_no_end() -> Iterator[Patch]:
    def policy(honest: Any) -> Any:
        return lambda self, item, blob, turn: (
            setattr(self, "policy", self.policy and ResendPolicy(self.policy.interval, 1000)),
            honest(self, item, blob, turn),
        )

    yield DataSender, "publish", policy


@breaks("sessions", "small")
def places_in_the_inbox_are_not_given_back() -> Iterator[Patch]:
    yield DataReceiver, "taken", lambda honest: nothing


@breaks("sessions", "crowd")
def credit_is_not_given_back() -> Iterator[Patch]:
    yield Publishing, "release", lambda honest: nothing


@breaks("sessions", "crowd")
def who_finds_room_overtakes_who_waits() -> Iterator[Patch]:
    def take(honest: Any) -> Any:
        async def broken(self: Any) -> None:
            if not self._room():
                await honest(self)

        return broken

    yield Turns, "take", take


@breaks("sessions", "loss", "perfect")
def any_message_is_an_answer() -> Iterator[Patch]:
    def answers(self: Any, item: Any) -> bool:
        for key, answer in list(self._requests._waiting.items()):
            if not isinstance(item, Exception) and not answer.done():
                self._requests.discard(key)
                answer.set_result(self._taken_message(item))
                return True
        return False

    yield Session, "_answers", lambda honest: answers


@breaks("sessions", "sleep", "doze", "death")
def a_request_takes_three_times_its_time() -> Iterator[Patch]:
    def request(honest: Any) -> Any:
        return lambda self, msg, timeout=10.0, *rest: honest(self, msg, 3 * timeout, *rest)

    yield Session, "request", request


@breaks("sessions", "loss")
def a_lost_message_is_not_told_and_the_next_one_is_lost_too() -> Iterator[Patch]:
    def place(honest: Any) -> Any:
        def broken(self: Any, item: Any, turn: Any) -> None:
            if not isinstance(item, MessageLost) and not turn.now % 7 < 0.1:
                honest(self, item, turn)

        return broken

    yield DataReceiver, "_place", place


# Groups


@breaks("groups", "perfect")
def the_others_are_not_told_of_a_new_member() -> Iterator[Patch]:
    def welcome(honest: Any) -> Any:
        def broken(self: Any, *rest: Any) -> None:
            names, MemberList.names = MemberList.names, property(lambda self: [])  # type: ignore[assignment]
            try:
                honest(self, *rest)
            finally:
                MemberList.names = names  # type: ignore[method-assign]

        return broken

    yield Adding, "_welcome", welcome


@breaks("groups", "perfect")
def the_others_are_not_told_of_a_removal() -> Iterator[Patch]:
    def tell(self: Any, task: Any, member: Any, commit: Any, turn: Any) -> None:
        self._agenda.strike(member.name, "removed", turn)
        self.acknowledged(task, member, turn)

    yield Parting, "_tell_without", lambda honest: tell


@breaks("groups", "perfect")
def who_is_removed_is_not_told() -> Iterator[Patch]:
    yield (
        Parting,
        "acknowledged",
        lambda honest: lambda self, task, member, turn: self._agenda.finish(task, None, turn),
    )


@breaks("groups", "perfect")
def a_change_is_acknowledged_and_not_carried_out() -> Iterator[Patch]:
    yield (
        Participant,
        "_carry_out",
        lambda honest: lambda self, message, content, turn: self._conversation.acknowledge(message, turn),
    )


@breaks("groups", "perfect")
def a_change_is_carried_out_and_not_acknowledged() -> Iterator[Patch]:
    def membership(honest: Any) -> Any:
        def broken(self: Any, message: Any, content: Any, turn: Any) -> None:
            if isinstance(content, GroupAdd) and self._conversation.encryption is None:
                self._add(content.new_participant, turn)
            else:
                honest(self, message, content, turn)

        return broken

    yield Participant, "_membership", membership


@breaks("groups", "perfect")
def the_end_of_a_session_is_not_told() -> Iterator[Patch]:
    yield Moderator, "_take_leave", lambda honest: lambda self, task, turn: self._closed(task, None, turn)


@breaks("groups", "perfect")
def who_leaves_stays_on_the_list() -> Iterator[Patch]:
    yield Moderator, "_gone", lambda honest: nothing


@breaks("groups", "death")
def nobody_is_asked_whether_it_is_there() -> Iterator[Patch]:
    yield Moderator, "_ping", lambda honest: lambda self, turn: self._agenda.rounds.postpone(turn.now)
    yield Watchdog, "next_deadline", lambda honest: lambda self: None


@breaks("groups", "perfect", "sleep")
def silence_counts_from_the_first_round_on() -> Iterator[Patch]:
    yield Rounds, "answered", lambda honest: nothing


@breaks("groups", "perfect")
def who_is_welcome_hears_of_its_moderator_only() -> Iterator[Patch]:
    def enter(honest: Any) -> Any:
        return lambda self, message, content, turn: honest(
            self, message, content._replace(participants=content.participants[:1]), turn
        )

    yield Participant, "_enter", enter


@breaks("groups", "perfect")
def a_commit_is_not_applied() -> Iterator[Patch]:
    yield MlsSession, "process", lambda honest: nothing


@breaks("groups", "death", "single", "storm")
def who_is_invited_waits_for_its_welcome_for_ever() -> Iterator[Patch]:
    def expire(honest: Any) -> Any:
        def broken(self: Any, turn: Any) -> None:
            if hasattr(self._state, "until"):
                self._state = self._state._replace(until=turn.now + 1e6)
            honest(self, turn)

        return broken

    yield Participant, "expire", expire


@breaks("groups", "death", "cut")
def requests_of_a_moderator_are_tried_for_minutes() -> Iterator[Patch]:
    def start(honest: Any) -> Any:
        def broken(self: Any, message: Any, awaiting: Any, turn: Any) -> None:
            honest(self, message, awaiting, turn)
            self._under_way[message.message_id].retries = 60

        return broken

    yield Requests, "start", start


@breaks("groups", "perfect")
def a_session_that_is_over_is_not_forgotten() -> Iterator[Patch]:
    yield AppActor, "_forget", lambda honest: nothing


@breaks("groups", "perfect")
def who_took_up_a_session_is_not_noted() -> Iterator[Patch]:
    yield Invitations, "adopted", lambda honest: nothing


@breaks("groups", "perfect")
def an_expelled_member_is_still_awaited() -> Iterator[Patch]:
    yield DataPath, "expel", lambda honest: nothing


@breaks("groups", "perfect")
def a_session_ends_without_a_word_to_its_application() -> Iterator[Patch]:
    def close_turn(honest: Any) -> Any:
        def broken(self: Any, turn: Any) -> None:
            honest(self, turn)
            if self.ended:
                turn.effects[:] = [each for each in turn.effects if type(each).__name__ != "SessionEnded"]

        return broken

    yield SessionCore, "_close_turn", close_turn


@breaks("groups", "moderated")
def a_moderator_does_not_sync_its_journal() -> Iterator[Patch]:
    yield Journal, "sync", lambda honest: nothing


@breaks("groups", "moderated")
def a_moderator_acknowledges_what_its_script_has_not_dealt_with() -> Iterator[Patch]:
    yield JournalKeeper, "_waits", lambda honest: lambda self, effect: False


@breaks("groups", "moderated")
def a_moderator_that_was_away_for_too_long_forgets_its_members() -> Iterator[Patch]:
    def lose_group(honest: Any) -> Any:
        return lambda self: (honest(self), setattr(self, "lost", ()))

    yield Book, "lose_group", lose_group


@breaks("groups", "moderated")
def a_moderator_that_is_back_takes_its_timers_for_done() -> Iterator[Patch]:
    def opened(honest: Any) -> Any:
        return lambda self, now: (honest(self, now), self.book.timers.clear())[0]

    yield Journal, "open", opened


# Routing


@breaks("routing", "perfect")
def a_node_does_not_forget_who_is_gone() -> Iterator[Patch]:
    yield SubscriptionTable, "detach", lambda honest: lambda self, connection: []


@breaks("routing", "perfect")
def a_name_leads_to_one_connection_only() -> Iterator[Patch]:
    yield (
        Targets,
        "having",
        lambda honest: lambda self, connection, rank: honest(Targets(), connection, rank),
    )


@breaks("routing", "restart", "cut")
def subscriptions_are_not_told_again_on_a_new_stream() -> Iterator[Patch]:
    yield RouteControl, "_reattach", lambda honest: nothing


@breaks("routing", "narrow")
def a_connection_that_paused_never_reads_again() -> Iterator[Patch]:
    yield Backpressure, "_read_on", lambda honest: nothing


@breaks("routing", "perfect")
def bindings_of_a_session_stay_when_it_is_over() -> Iterator[Patch]:
    yield Routes, "forget", lambda honest: nothing


@breaks("routing", "perfect", "loss")
def an_unsubscription_is_acknowledged_and_not_done() -> Iterator[Patch]:
    yield SubscriptionTable, "remove", lambda honest: lambda self, *_, **__: 0


# Links


@breaks("links", "cut", "restart")
def a_link_that_broke_is_not_dialled_again() -> Iterator[Patch]:
    async def dial_again(self: Any) -> None:
        self._redial = None

    yield DialledLink, "_dial_again", lambda honest: dial_again


@breaks("links", "narrow")
def nobody_hears_that_a_link_has_drained() -> Iterator[Patch]:
    yield AcceptedLink, "stream_drained", lambda honest: nothing


@breaks("links", "perfect")
def a_link_drops_the_last_of_many_messages() -> Iterator[Patch]:
    def messages(honest: Any) -> Any:
        return lambda self, messages: honest(self, messages[:-1] if len(messages) > 3 else messages)

    yield AcceptedLink, "stream_messages", messages


@breaks("links", "cut", "restart")
def the_end_of_a_stream_is_not_noticed() -> Iterator[Patch]:
    yield DialledLink, "_stream_gone", lambda honest: nothing


@breaks("links", "outage")
def a_node_does_not_subscribe_again_on_a_new_stream_to_the_backbone() -> Iterator[Patch]:
    def make(honest: Any) -> Any:
        def begin(self: NatsLink, client: Any) -> None:
            honest(self, client)
            self._wanted = dict.fromkeys(list(self._wanted)[: len(self._wanted) // 2])

        return begin

    yield NatsLink, "_begin", make


@breaks("links", "backbone", "outage")
def a_node_forgets_that_it_wants_a_name_of_the_backbone() -> Iterator[Patch]:
    def make(honest: Any) -> Any:
        def want(self: NatsLink, changes: Any) -> None:
            honest(self, {wanted: present for wanted, present in changes.items() if wanted[0][-1] % 4})

        return want

    yield NatsLink, "want", make


@breaks("links", "outage")
def a_backbone_that_was_lost_is_not_dialled_again() -> Iterator[Patch]:
    def make(honest: Any) -> Any:
        async def serve(self: NatsLink, client: Any) -> None:
            await honest(self, client)
            await asyncio.sleep(3600.0)

        return serve

    yield NatsLink, "_serve", make


@breaks("routing", "headless")
def a_node_registers_once_and_never_again() -> Iterator[Patch]:
    def make(honest: Any) -> Any:
        async def registered(self: ControlledNode, *arguments: Any) -> Any:
            await honest(self, *arguments)
            await asyncio.sleep(3600.0)

        return registered

    yield ControlledNode, "_registered", make


@breaks("routing", "headless")
def a_controller_that_comes_back_has_forgotten_what_it_stored() -> Iterator[Patch]:
    yield Controller, "load", lambda honest: nothing


@breaks("routing", "controlled", "headless")
def a_controller_draws_no_link_to_the_last_node() -> Iterator[Patch]:
    yield controller_module, "peer_pairs", lambda honest: lambda nodes: honest(nodes)[:-1]


@breaks("groups", "controlled")
def an_order_to_remove_is_told_done_and_not_done() -> Iterator[Patch]:
    def make(honest: Any) -> Any:
        async def order(self: ControlledNode, order: Any) -> Any:
            if order.verb == "remove":
                return OrderDone("", order.order)
            return await honest(self, order)

        return order

    yield ControlledNode, "order", make
