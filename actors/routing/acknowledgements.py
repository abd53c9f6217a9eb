"""Forwarded subscriptions whose acknowledgement is awaited (`dataplane.md` 5.2).

forwarded ──► awaited for 5 s ──► sent again, three times ──► given up
"""

from __future__ import annotations

from typing import NamedTuple

from actors.messages.wire import Subscription
from actors.record import record

ACK_WAIT = 5.0
"""Seconds between attempts to have a forwarded subscription acknowledged."""
ACK_RESENDS = 3

_Asked = tuple[int, int]
"""The connection that a subscription was forwarded to, and its id."""


@record
class AwaitedAck(NamedTuple):
    """One of them."""

    peer: int
    """The connection that it was forwarded to."""
    asker: int
    """The connection that waits for the answer."""
    subscription: Subscription
    resends: int
    deadline: float
    repeated: bool = False
    """Whether it was sent on an older stream of the connection too."""

    @property
    def given_up(self) -> bool:
        """Whether it was sent as often as it may be."""
        return self.resends >= ACK_RESENDS

    @property
    def asked(self) -> _Asked:
        return self.peer, self.subscription.subscription_id


class AwaitedAcks:
    """In the order of their deadlines, since all wait equally long."""

    __slots__ = ("_awaited", "_of")

    def __init__(self) -> None:
        self._awaited: dict[_Asked, AwaitedAck] = {}
        self._of: dict[int, dict[_Asked, None]] = {}
        """Those that a connection asked for or was asked."""

    def __len__(self) -> int:
        return len(self._awaited)

    def __contains__(self, asked: _Asked) -> bool:
        return asked in self._awaited

    def ask(self, peer: int, asker: int, subscription: Subscription, now: float) -> None:
        """It was forwarded to `peer` for `asker`; an earlier one with its id counts no more."""
        self._await(AwaitedAck(peer, asker, subscription, 0, now + ACK_WAIT))

    def again(self, awaited: AwaitedAck, now: float) -> None:
        """It is sent once more."""
        self._await(awaited._replace(resends=awaited.resends + 1, deadline=now + ACK_WAIT))

    def take(self, peer: int, subscription_id: int) -> AwaitedAck | None:
        """The one that `peer` answers, awaited no longer."""
        awaited = self._awaited.pop((peer, subscription_id), None)
        if awaited is not None:
            for connection in (awaited.peer, awaited.asker):
                mine = self._of.get(connection)
                if mine is not None:
                    mine.pop(awaited.asked, None)
                    if not mine:
                        del self._of[connection]
        return awaited

    def drop(self, connection: int) -> list[AwaitedAck]:
        """A connection is gone for good: those that others wait for."""
        gone = [self.take(*asked) for asked in self._of.pop(connection, {})]
        return [one for one in gone if one is not None and one.asker != connection]

    def repeat(self, connection: int) -> None:
        """They are sent anew, on the next stream of the connection."""
        for asked in self._of.get(connection, {}):
            if asked[0] == connection:
                self._awaited[asked] = self._awaited[asked]._replace(repeated=True)

    def expired(self, now: float) -> list[AwaitedAck]:
        """Those that waited long enough, awaited no longer."""
        due = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            one = next(iter(self._awaited.values()))
            self.take(*one.asked)
            due.append(one)
        return due

    def next_deadline(self) -> float | None:
        return next(iter(self._awaited.values())).deadline if self._awaited else None

    def _await(self, awaited: AwaitedAck) -> None:
        self.take(*awaited.asked)
        self._awaited[awaited.asked] = awaited
        for connection in (awaited.peer, awaited.asker):
            self._of.setdefault(connection, {})[awaited.asked] = None
