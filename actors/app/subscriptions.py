"""What one application subscribes at its node, and whose acknowledgements it awaits (`dataplane.md` 5, 10).

Every subscription and route has an id from one counter; it is undone under the id it was made with.
"""

from __future__ import annotations

from typing import Any

from actors.app.effects import Awaited
from actors.app.turn import AppTurn
from actors.errors import SessionError, SlimTimeout
from actors.messages.session import RemoveRoute, UnsubscribeName
from actors.messages.wire import Subscription, SubscriptionAck
from actors.names import Name


class Subscriptions:
    """The subscriptions of the application `local` (its full name)."""

    def __init__(self, local: Name, first_id: int, patience: float) -> None:
        self._local = local
        self._id = first_id
        self._own: Subscription | None = None
        self._patience = patience
        self._made: dict[tuple[str, int | None, Name], list[Subscription]] = {}
        self._channels: dict[int, dict[tuple[Name, int], Subscription]] = {}
        """By session, name and the connection on which they are announced."""
        self._awaited: dict[int, Awaited] = {}

    @property
    def awaited(self) -> int:
        """Subscriptions without an answer."""
        return len(self._awaited)

    def own(self) -> Subscription:
        """Be reachable within the node by our own name. Nobody waits for the answer."""
        if self._own is None:
            self._own = Subscription(True, self._local, self._local, subscription_id=self._next_id())
        return self._own

    def names(self) -> list[Name]:
        """The further names that stand."""
        return [name for what, _, name in self._made if what == "name"]

    def standing(self, token: str) -> list[Subscription]:
        """The further names and routes that stand, under the ids they were made with: to be made again.

        Names are told with `token`; without one, with what they were told with before.
        """
        return [
            one._replace(identity=token) if what == "name" and token else one
            for (what, _, _), made in self._made.items()
            for one in made
        ]

    def name(self, name: Name, connection: int | None, token: str) -> Subscription:
        """Receive for a further name, and tell the node at the end of `connection` too."""
        subscription = Subscription(True, self._local, name, token, self._next_id(), forward_to=connection)
        self._made.setdefault(("name", connection, name), []).append(subscription)
        return subscription

    def route(self, name: Name, connection: int) -> Subscription:
        """Messages for `name` leave by `connection`."""
        subscription = Subscription(
            True, self._local, name, subscription_id=self._next_id(), recv_from=connection
        )
        self._made.setdefault(("route", connection, name), []).append(subscription)
        return subscription

    def undo(self, asked: UnsubscribeName | RemoveRoute) -> Subscription:
        """What our application wants undone. Raises SessionError when there is no such thing."""
        if isinstance(asked, RemoveRoute):
            return self.undo_route(asked.name, asked.connection)
        return self.undo_name(asked.name.with_id(self._local.id), asked.connection)

    def undo_name(self, name: Name, connection: int | None) -> Subscription:
        """Raises SessionError when there is no such subscription."""
        return self._undo(("name", connection, name), f"not subscribed to {name} there")

    def undo_route(self, name: Name, connection: int) -> Subscription:
        """Raises SessionError when there is no such route."""
        return self._undo(("route", connection, name), f"no route for {name} over connection {connection}")

    def channel(self, session_id: int, name: Name, connection: int) -> Subscription:
        """Receive for a session's channel there. Its identity is empty (`dataplane.md` 10).

        What was asked for before, and not answered in time, is asked for again under the id that it has.
        """
        made = self._channels.setdefault(session_id, {})
        if (name, connection) not in made:
            made[name, connection] = Subscription(
                True, self._local, name, subscription_id=self._next_id(), forward_to=connection
            )
        return made[name, connection]

    def move_channels(self, session_id: int, gone: tuple[int, ...], connection: int) -> list[Subscription]:
        """Receive on `connection` for the channels that a session had on those that are gone."""
        made = self._channels.get(session_id, {})
        names = dict.fromkeys(made.pop(key).destination for key in list(made) if key[1] in gone)
        return [self.channel(session_id, name, connection) for name in names]

    def undo_channel(self, session_id: int, name: Name) -> list[Subscription]:
        """The session receives for `name` no longer, on whatever connection."""
        made = self._channels.get(session_id, {})
        found = [key for key in made if key[0] == name]
        return [made.pop(key)._replace(subscribe=False) for key in found]

    def undo_session(self, session_id: int) -> list[Subscription]:
        """A session is over: so are its channels."""
        return [made._replace(subscribe=False) for made in self._channels.pop(session_id, {}).values()]

    # Acknowledgements

    def await_answer(self, subscription: Subscription, handle: int | None, asker: Any, turn: AppTurn) -> None:
        """The node is being told of it: the outcome is for `asker`."""
        awaited = Awaited(turn.now + self._patience, subscription.destination, handle, asker)
        self._awaited[subscription.subscription_id] = awaited

    def handle(self, event: SubscriptionAck, turn: AppTurn) -> None:
        """The node answered; perhaps somebody waited for it."""
        awaited = self._awaited.pop(event.subscription_id, None)
        if awaited is None:
            return
        error = None
        if not event.success:
            error = SessionError(f"subscription of {awaited.name.short} failed: {event.error}")
        turn.subscribed(awaited, error)

    def expire(self, turn: AppTurn) -> None:
        """Tell those who waited in vain."""
        late = [id for id, awaited in self._awaited.items() if awaited.deadline <= turn.now]
        for awaited in map(self._awaited.pop, late):
            turn.subscribed(awaited, self._timeout(awaited))

    def next_deadline(self) -> float | None:
        return min((awaited.deadline for awaited in self._awaited.values()), default=None)

    # Private

    def _next_id(self) -> int:
        # 0 would mean that no acknowledgement is wanted.
        self._id = (self._id + 1) % 2**64 or 1
        return self._id

    def _undo(self, key: tuple[str, int | None, Name], missing: str) -> Subscription:
        made = self._made.get(key)
        if not made:
            raise SessionError(missing)
        subscription = made.pop()
        if not made:
            del self._made[key]
        return subscription._replace(subscribe=False)

    def _timeout(self, awaited: Awaited) -> SlimTimeout:
        return SlimTimeout(
            f"timed out: no answer to the subscription of {awaited.name.short} in {self._patience:g} s"
        )
