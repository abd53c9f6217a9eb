"""The sessions of an application: their actors, where their applications receive, and who hears of new ones.

opened here    ──► has its inbox from the start
opened by others ──► announced to the listener ──► adopted: has an inbox
                          │ nobody listens yet
                          └──► kept, in order, for whoever does
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from thespian.actors import ActorAddress

from actors.app.lasting import Lasting
from actors.errors import SessionClosed
from actors.messages.session import Adopted, SessionAnnounced, SessionEnded


class OwnSessions:
    """`lasting` has the listener, and the sessions that failed before anybody adopted them."""

    __slots__ = ("_ids", "_inboxes", "_lasting", "_send", "_unheard", "addresses")

    def __init__(self, send: Callable[[Any, Any], None], lasting: Lasting) -> None:
        self.addresses: dict[int, ActorAddress] = {}
        """The actors, by session id."""
        self._send = send
        self._lasting = lasting
        self._ids: dict[ActorAddress, int] = {}
        """Until an actor's exit is known, which may be after its session is forgotten."""
        self._inboxes: dict[int, Any] = {}
        self._unheard: list[SessionAnnounced] = []

    def __len__(self) -> int:
        return len(self.addresses)

    def begun(self, session_id: int, address: ActorAddress, inbox: Any) -> None:
        """There is a session; `inbox` is None until somebody adopts it."""
        self.addresses[session_id] = address
        if inbox is not None:
            self._inboxes[session_id] = inbox
        self._ids[address] = session_id

    def id_of(self, address: ActorAddress) -> int | None:
        """Which session an actor is."""
        return self._ids.get(address)

    def forget(self, session_id: int, address: ActorAddress) -> bool:
        """It is over; False if another one has its id by now."""
        if self.addresses.get(session_id) != address:
            return False
        del self.addresses[session_id]
        self._inboxes.pop(session_id, None)
        return True

    def exited(self, address: ActorAddress) -> None:
        """An actor is gone."""
        self._ids.pop(address, None)

    def tell(self, session_ids: Iterable[int], message: Any) -> None:
        """Send to those that are there."""
        for session_id in session_ids:
            if (address := self.addresses.get(session_id)) is not None:
                self._send(address, message)

    def say_over(self, session_id: int, cause: str) -> bool:
        """Tell where it receives that it is over. Returns whether there is such a place."""
        inbox = self._inboxes.get(session_id)
        if inbox is not None:
            self._end(inbox, session_id, cause)
        return inbox is not None

    def all_over(self, cause: str) -> None:
        """They end with their application."""
        for session_id in self._inboxes:
            self.say_over(session_id, cause)
        self.addresses.clear()

    def listen(self, inbox: Any) -> None:
        """Sessions that others open are announced there from now on."""
        self._lasting.listener = inbox
        for announced in self._unheard:
            self._send(inbox, announced)
        self._unheard.clear()

    def announce(self, opened: SessionAnnounced) -> None:
        """Somebody opened one with us."""
        if self._lasting.listener is not None:
            self._send(self._lasting.listener, opened)
        else:
            self._unheard.append(opened)

    def adopt(self, message: Adopted) -> None:
        """Who was told of a session receives it."""
        session_id, unadopted = message.session_id, self._lasting.unadopted
        if session_id in self.addresses:
            self._inboxes[session_id] = message.inbox
        elif session_id in unadopted:
            unadopted.discard(session_id)
            self._end(message.inbox, session_id, "its application's actor failed")

    def _end(self, inbox: Any, session_id: int, cause: str) -> None:
        self._send(inbox, SessionEnded(session_id, SessionClosed(cause, session_id=session_id)))
