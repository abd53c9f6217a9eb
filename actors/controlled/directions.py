"""Routes that controllers set at a node (`controller.md` 4.1): each once, however often it is told.

A route is a subscription of the agent's at the route table, whose answer says whether there was room for it.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import count

from actors.messages.controlled import Lead, Leading, Led
from actors.messages.wire import Subscription, SubscriptionAck


class Directions:
    """The routes that stand, and the commands whose answers are awaited."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._standing: dict[Leading, int] = {}
        """The subscription id of each route."""
        self._asked: dict[int, tuple[Hashable, int, Leading, bool]] = {}
        """By subscription id: the command, the place in it, the route, and whether it is to stand."""
        self._errors: dict[Hashable, list[str | None]] = {}
        """By command; None where the table has not answered yet."""

    def ask(self, command: Lead, ticket: Hashable) -> list[Subscription]:
        """What to tell the table. Where that is nothing, `answer` has the answer at once."""
        told = []
        wanted = [(one, True) for one in command.routes] + [(one, False) for one in command.withdrawn]
        errors: list[str | None] = [""] * len(wanted)
        for place, (leading, stands) in enumerate(wanted):
            known = self._standing.get(leading)
            if (known is not None) == stands:
                continue
            if known is None:
                known = self._standing[leading] = next(self._ids)
            else:
                del self._standing[leading]
            errors[place] = None
            self._asked[known] = (ticket, place, leading, stands)
            told.append(
                Subscription(
                    stands,
                    leading.name.with_id(0),
                    leading.name,
                    subscription_id=known,
                    recv_from=leading.connection,
                )
            )
        self._errors[ticket] = errors
        return told

    def take(self, ack: SubscriptionAck) -> Hashable | None:
        """The table's answer. The command that it was about, if it was."""
        ticket, place, leading, stands = self._asked.pop(ack.subscription_id, (None, 0, None, False))
        if leading is None:
            return None
        if stands and not ack.success:
            self._standing.pop(leading, None)
        # What is not there need not be taken away.
        self._errors[ticket][place] = "" if ack.success or not stands else ack.error or "refused"
        return ticket

    def answer(self, ticket: Hashable) -> Led | None:
        """The answer to a command, once it is whole; it is forgotten then."""
        errors = self._errors[ticket]
        found = tuple(error for error in errors if error is not None)
        if len(found) < len(errors):
            return None
        del self._errors[ticket]
        return Led(found)

    def gone(self, connection: int) -> None:
        """A connection is closed for good, and the table is without its routes."""
        for leading in [one for one in self._standing if one.connection == connection]:
            del self._standing[leading]
