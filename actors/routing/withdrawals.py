"""Subscriptions that peers were asked to forget, until they acknowledge it (`dataplane.md` 8).

A peer that noticed later than we that a stream broke gives the next one the routes of the old: what was
withdrawn meanwhile among them, whether somebody still waits for that or not. So it is asked again, on each
new stream, before anything is subscribed there.

At most BOUND for each connection; beyond it the oldest is no longer repeated.
"""

from __future__ import annotations

from collections.abc import Iterable

from actors.messages.wire import Subscription

BOUND = 4096


class Withdrawals:
    """By connection and subscription id, oldest first."""

    def __init__(self) -> None:
        self._asked: dict[int, dict[int, Subscription]] = {}

    def ask(self, connection: int, subscription: Subscription) -> None:
        """The peer is asked to forget it."""
        mine = self._asked.setdefault(connection, {})
        mine[subscription.subscription_id] = subscription
        if len(mine) > BOUND:
            del mine[next(iter(mine))]

    def acknowledged(self, connection: int, subscription_id: int) -> None:
        """The peer knows of it, or of nothing that it could forget."""
        mine = self._asked.get(connection)
        if mine is not None and mine.pop(subscription_id, None) is not None and not mine:
            del self._asked[connection]

    def of(self, connection: int) -> Iterable[Subscription]:
        """What the next stream of a connection begins with."""
        return self._asked.get(connection, {}).values()

    def drop(self, connection: int) -> None:
        """A connection is gone for good, and its routes with it."""
        self._asked.pop(connection, None)
