"""Whether peers are there, asked outside their sessions (`docs/signs-of-life.md`).

    AskPeer of any session ─► asked lately? ── no ──► DISCOVERY_REQUEST to the full name, fresh session id
                                │ yes                        │ DISCOVERY_REPLY of that very name
                                └► it waits with others ─────┴──► PeerAlive to all who asked

All sessions with a peer share one question and its answer. A peer is asked at most twice in the interval of
liveness rounds; after that time a question is over.
"""

from __future__ import annotations

from collections.abc import Callable

from actors.app.turn import AppTurn
from actors.messages.wire import DiscoveryRequest, MessageType, SessionKind, SessionMessage
from actors.names import Name
from actors.session.senders import Senders


class _Question:
    """Whether somebody is there, and who wants to know."""

    __slots__ = ("answered", "asked", "askers", "id")

    def __init__(self, id: int, now: float) -> None:
        self.id = id
        self.asked = now
        self.answered = False
        self.askers: set[int] = set()


class Questions:
    """The questions of the application `local`. `draw_id` gives a session id that no session has, `interval`
    is that of liveness rounds in seconds."""

    def __init__(self, local: Name, draw_id: Callable[[], int], senders: Senders, interval: float) -> None:
        self._interval = interval
        self._local = local
        self._draw_id = draw_id
        self._senders = senders
        self._asked: dict[Name, _Question] = {}
        """Oldest first: no more than there were sessions to ask in the last interval."""

    def ask(self, peer: Name, session_id: int, turn: AppTurn) -> None:
        """A session wants to know whether `peer` is there."""
        self._expire(turn.now)
        question = self._asked.get(peer)
        if question is None or turn.now - question.asked >= self._interval / 2:
            before = self._asked.pop(peer, None)
            question = self._asked[peer] = _Question(self._draw_id(), turn.now)
            if before is not None and not before.answered:
                question.askers = before.askers
            turn.send(self._request(peer, question.id))
        question.askers.add(session_id)
        if question.answered:
            turn.tell_alive(peer, (session_id,))

    def answered(self, reply: SessionMessage, turn: AppTurn) -> None:
        """A DISCOVERY_REPLY that no session awaits. It counts if it is in the name that was asked."""
        question = self._asked.get(reply.source)
        if question is None or question.id != reply.session_id or question.answered:
            return
        if self._senders.believes(reply):
            question.answered = True
            turn.tell_alive(reply.source, tuple(question.askers))

    def _request(self, peer: Name, id: int) -> SessionMessage:
        kind, content = MessageType.DISCOVERY_REQUEST, DiscoveryRequest()
        return SessionMessage(self._local, peer, SessionKind.POINT_TO_POINT, kind, id, id, content)

    def _expire(self, now: float) -> None:
        while self._asked:
            peer, question = next(iter(self._asked.items()))
            if now - question.asked < self._interval:
                return
            del self._asked[peer]
