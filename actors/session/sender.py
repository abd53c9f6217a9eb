"""The sending half of a session: ids, the window, acknowledgements, re-sends (`session.md` 7.1, 7.2, 7.5).

    publish ──► pending (until everybody acknowledged or retries are over) ──► completed, and forgotten
                   └─► kept, if somebody asked for it or never acknowledged it: it may be asked for again

Who goes while a message is pending may have acknowledged it before; that is waited for until the message is
due. What it has not acknowledged by then has failed, for it.

What is kept is bounded: the last KEPT messages, and KEPT_BYTES of payload.

There is one deadline for the whole window: the earliest of its messages when it was last looked at. An
acknowledgement does not touch it, so a message costs no timer; the look-round at the deadline passes over
at most the window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from itertools import islice

from actors.alarm import SOURCE_PAUSE
from actors.errors import MessageTooLarge, MessageUndelivered, NobodyThere
from actors.messages.session import Outgoing
from actors.messages.wire import (
    ACKNOWLEDGES,
    ALL,
    ONE,
    PUBLISH_TO,
    REQUEST_KEY,
    SINCE,
    TRUE,
    MessageType,
    Payload,
    SessionKind,
    SessionMessage,
)
from actors.names import Name
from actors.session.beginnings import mark
from actors.session.counts import SessionCounts
from actors.session.hints import Hints
from actors.session.retry import Attempt, ResendPolicy, review
from actors.session.serial import DIRECT_FIRST, DIRECT_LAST, MASK, ahead
from actors.session.turn import Turn
from identity.errors import AuthError, SlimError

WINDOW = 512
"""Messages of one application that may be under way in one session: its credit at the start."""
KEPT = 512
KEPT_BYTES = 16 * 1024 * 1024
"""Of messages that are no longer under way, for those who ask again."""
REASONS = 4
"""Of why one message was not acknowledged, that stand in its error."""
LOOKED_AT = 64
"""Members of whom it is counted how far they are behind."""
EMPTY = Payload()

_MSG = MessageType.MSG
_GROUP = SessionKind.MULTICAST


class _Unacknowledged(Attempt):
    """A message that somebody has not acknowledged yet."""

    __slots__ = ("asked", "cause", "gone", "handle", "message", "missing", "notable")

    def __init__(
        self,
        message: SessionMessage,
        missing: set[Name],
        handle: int | None,
        policy: ResendPolicy,
        now: float,
    ) -> None:
        # As Attempt does it, without the call: one is made for each message.
        self.policy = policy
        self.retries = policy.retries
        self.deadline = now + policy.interval
        self.message = message
        self.missing = missing
        self.handle = handle
        self.asked = False
        """Whether somebody asked for it that does not acknowledge what it is sent then."""
        self.notable = False
        """Whether more is to be done with it, once it is acknowledged, than to forget it."""
        self.gone: tuple[Name, ...] = ()
        """Of those who are missing, who is no member any more."""
        self.cause: SlimError | None = None
        """Why the last attempt could not leave, if it could not."""


class DataSender:
    """One sequence of data messages to the peer or channel `destination`.

    Outcomes gather in the Turn.
    """

    __slots__ = (
        "_beginnings",
        "_counts",
        "_deadline",
        "_draw",
        "_group",
        "_hints",
        "_kept",
        "_kept_bytes",
        "_mark",
        "_next_id",
        "_pending",
        "_say",
        "_session_id",
        "_session_type",
        "_starts",
        "destination",
        "endpoints",
        "policy",
        "retransmissions",
        "source",
    )

    def __init__(
        self,
        source: Name,
        destination: Name,
        session_type: SessionKind,
        session_id: int,
        draw: Callable[[int], int],
        policy: ResendPolicy | None,
        say: Callable[[Turn], None] | None = None,
        counts: SessionCounts | None = None,
        hints: Hints | None = None,
    ) -> None:
        """`say` tells the application what gathered in a Turn so far; `counts` and `hints` are of many."""
        self.source = source
        self.destination = destination
        self.endpoints: set[Name] = set()
        """Who must acknowledge: the full names of the members that can receive."""
        self.policy = policy
        """For messages sent from now on; None: best effort."""
        self.retransmissions = 0
        """How often a message went to somebody again: one for each member that it was sent to."""
        self._counts = counts or SessionCounts()
        self._hints = hints or Hints()
        self._session_type = session_type
        self._session_id = session_id
        self._group = session_type is _GROUP
        self._draw = draw
        self._say = say or (lambda _: None)
        self._next_id = 1
        self._pending: dict[int, _Unacknowledged] = {}
        self._kept: dict[int, SessionMessage] = {}
        """Oldest first."""
        self._kept_bytes = 0
        self._deadline: float | None = None
        self._beginnings: dict[Name, int] = {}
        """Members of whom it is not known that they know where they begin, and where that is."""
        self._starts: dict[Name, int] = {}
        """Where all begin that came in while others were talking."""
        self._mark: str | None = None
        """What messages say to these, once one was sent that is no beginning: later ones say the same."""

    @property
    def unacknowledged(self) -> int:
        return len(self._pending)

    @property
    def lag(self) -> int:
        """How many messages under way the member that is furthest behind has not acknowledged.

        That is what was published to it, less what it acknowledged and what was given up. Counted when it is
        asked for: once through the window where one member lacks all of it, and at most for the LOOKED_AT
        members that lack the oldest messages.
        """
        window = self._pending.values()
        most, seen = 0, set[Name]()
        for index, pending in enumerate(window):
            for name in pending.missing.difference(seen, pending.gone):
                # Who is met here for the first time has everything before.
                if most >= len(window) - index or len(seen) == LOOKED_AT:
                    return most
                seen.add(name)
                most = max(most, sum(name in one.missing and name not in one.gone for one in window))
        return most

    def next_deadline(self) -> float | None:
        return self._deadline if self._pending else None

    # What is kept of it

    @property
    def next_id(self) -> int:
        """The id of the next message to all."""
        return self._next_id

    def unacknowledged_ids(self) -> Iterable[int]:
        """Of messages under way."""
        return self._pending.keys()

    def kept_ids(self) -> Set[int]:
        """Of messages that are not under way, and may be asked for again."""
        return self._kept.keys()

    def handle_of(self, id: int) -> int | None:
        """By which the outcome of a message under way is told."""
        pending = self._pending.get(id)
        return None if pending is None else pending.handle

    def missing(self, id: int) -> tuple[Name, ...]:
        """Who has not acknowledged a message under way."""
        pending = self._pending.get(id)
        return () if pending is None else tuple(sorted(pending.missing, key=str))

    def resume(
        self,
        next_id: int,
        said: Iterable[tuple[SessionMessage, int | None, tuple[Name, ...]]],
        turn: Turn,
    ) -> None:
        """Go on behind what was said before our time, the members known: `said` (messages, the handles of
        their outcomes, to whom) is sent again as it was; what is for nobody is kept for those who
        ask again."""
        self._next_id = next_id
        if self.policy is None:
            return
        for message, handle, to in said:
            missing = self.endpoints.intersection(to)
            if not to:
                self._keep(message)
            elif not missing:
                self._leave(handle, turn)
            else:
                pending = _Unacknowledged(message, missing, handle, self.policy, turn.now)
                self._pending[message.message_id] = pending
                self._deadline = pending.deadline
                self._sent_again(1)
                turn.send(message)

    def publish(self, item: Outgoing, blob: bytes, turn: Turn) -> None:
        """Send `item` with `blob` (what encryption made of it) in its place; the owner has seen to room."""
        payload_type, metadata, handle = item.payload_type, item.metadata, item.handle
        if metadata and PUBLISH_TO in metadata:
            metadata = {key: value for key, value in metadata.items() if key != PUBLISH_TO}
        fanout, pin, missing = ONE, None, self.endpoints
        if item.to is not None and self._group:
            destination, pin, missing = item.to, item.connection, {item.to}
            metadata = {**(metadata or {}), PUBLISH_TO: TRUE}
            id = self._draw_direct_id()
        else:
            id = self._next_id
            self._next_id = (id + 1) & MASK
            destination = self.destination
            if self._group:
                fanout = ALL
                if self._beginnings and (since := self._mark or self._marked(id)):
                    metadata = {**(metadata or {}), SINCE: since}
        message = SessionMessage(
            self.source,
            destination,
            self._session_type,
            _MSG,
            self._session_id,
            id,
            Payload(payload_type, blob),
            fanout,
            metadata or None,
            "",
            False,
            pin,
        )
        turn.send(message)
        policy = self.policy
        if policy is None:
            self._leave(handle, turn)
            return
        pending = _Unacknowledged(message, missing.copy(), handle, policy, turn.now)
        if metadata and REQUEST_KEY in metadata:
            pending.notable = True
        self._pending[id] = pending
        if self._deadline is None or pending.deadline < self._deadline:
            self._deadline = pending.deadline

    def open(self, member: Name, *, new: bool) -> None:
        """Send to `member` from now on; `new`: it comes in while others are talking."""
        self.endpoints.add(member)
        if new and self._group and self.policy is not None:
            self.begin(member, self._next_id)

    def begin(self, member: Name, start: int) -> None:
        """What is said from `start` on is for `member`, and it may not know that."""
        self._starts[member] = self._beginnings[member] = start
        self._mark = None

    def start_of(self, member: Name) -> int | None:
        """Where `member` begins; None of one that was there from the first message on."""
        return self._starts.get(member)

    def acknowledged(self, source: Name, id: int, turn: Turn) -> None:
        """MSG_ACK, or what counts as one: `source` has message `id`."""
        pending = self._pending.get(id)
        if pending is not None:
            missing = pending.missing
            missing.discard(source)
            if self._beginnings:
                self._begun(source, id)
            if not missing:
                del self._pending[id]
                self._leave(pending.handle, turn)
                if pending.notable:
                    self._note(pending, turn)

    def retransmit(self, request: SessionMessage, turn: Turn) -> None:
        """Answer an RTX_REQUEST, which counts for an acknowledgement unless it says that one will follow."""
        id = request.message_id
        pending = self._pending.get(id)
        found = pending.message if pending is not None else self._kept.get(id)
        acknowledges = bool(request.metadata and ACKNOWLEDGES in request.metadata)
        if pending is not None:
            if not acknowledges:
                pending.asked = pending.notable = True
                self.acknowledged(request.source, id, turn)
            elif request.source not in pending.missing:
                # Who came in behind it: nobody waits for its acknowledgement, and the answer may be lost.
                pending.asked = pending.notable = True
        if found is not None:
            reply = found._replace(
                destination=request.source, kind=MessageType.RTX_REPLY, connection=request.connection
            )
            if acknowledges:
                reply = reply._replace(metadata={**(found.metadata or {}), ACKNOWLEDGES: TRUE})
            self._sent_again(1)
            turn.send(reply)
            return
        start = self._beginnings.get(request.source)
        since = mark({request.source: start}, id) if start is not None and id <= MASK else ""
        turn.send(
            SessionMessage(
                request.destination,
                request.source,
                self._session_type,
                MessageType.RTX_REPLY,
                self._session_id,
                id,
                EMPTY,
                metadata={SINCE: since} if since else None,
                error=True,
                connection=request.connection,
            )
        )

    def expire(self, turn: Turn) -> None:
        """Send again, to each who is missing, what is due; give up what has no retries left."""
        if self._deadline is None or turn.now < self._deadline:
            return
        again, failed, self._deadline = review(self._pending.values(), turn.now)
        for pending in again:
            pending.cause = None
            awaited = pending.missing.difference(pending.gone)
            self._sent_again(len(awaited))
            for name in sorted(awaited, key=str):
                turn.send(pending.message._replace(destination=name))
            if not awaited:
                self._had_by_all_who_stayed(pending, turn)
        for pending in failed:
            if pending.missing.issubset(pending.gone):
                self._had_by_all_who_stayed(pending, turn)
            else:
                error = pending.cause or _undelivered(pending, self._why(pending, turn.now))
                self._give_up(pending.message.message_id, error, turn)

    def unroutable(self, message: SessionMessage, error: SlimError, turn: Turn) -> None:
        """The node had no way for a message: nobody is going to acknowledge it (`dataplane.md` 9).

        A re-send to one member of a group that cannot leave changes nothing: its retries go on. So they do
        while there is no token to send with, and while nobody on the backbone has the name: the next token
        may be on its way, or another node's subscription.
        """
        pending = self._pending.get(message.message_id)
        if pending is None:
            if self.policy is None:
                turn.report(error)
        elif isinstance(error, AuthError | NobodyThere):
            pending.cause = error
        elif pending.message.destination == message.destination:
            self._give_up(message.message_id, error, turn)

    def forget(self, name: Name) -> None:
        """A member is gone: nothing is sent to it any more."""
        self.endpoints.discard(name)
        self._starts.pop(name, None)
        if self._beginnings.pop(name, None) is not None:
            self._mark = None
        for pending in self._pending.values():
            if name in pending.missing and name not in pending.gone:
                pending.gone = (*pending.gone, name)

    def abandon(self, error: SlimError, turn: Turn) -> None:
        """Everything pending fails."""
        for pending in self._pending.values():
            self._leave(None, turn)
            if pending.handle is not None:
                turn.answer(pending.handle, error)
        self._pending.clear()

    # Private: how a message leaves the window.

    def _marked(self, id: int) -> str:
        """What message `id` says to those who begin; kept for the later ones."""
        text = mark(self._beginnings, id)
        if id not in self._beginnings.values():
            self._mark = text
        return text

    def _begun(self, source: Name, id: int) -> None:
        """`source` has message `id`: it knows where it begins, if that one told it."""
        start = self._beginnings.get(source)
        if start is not None and id <= MASK and ahead(start, id) >= 0:
            del self._beginnings[source]
            self._mark = None

    def _why(self, pending: _Unacknowledged, now: float) -> str:
        """What was said of who is missing while the message was under way, or just before, as nobody says it
        twice in SOURCE_PAUSE."""
        since = now - pending.policy.interval * (pending.policy.retries + 1) - SOURCE_PAUSE
        said = (self._hints.about(name, since) for name in sorted(pending.missing, key=str))
        return "; ".join(islice(filter(None, said), REASONS))

    def _sent_again(self, times: int) -> None:
        self.retransmissions += times
        self._counts.retransmissions += times

    def _leave(self, handle: int | None, turn: Turn) -> None:
        turn.freed += 1
        if handle is not None:
            turn.done.append(handle)

    def _note(self, pending: _Unacknowledged, turn: Turn) -> None:
        """It was asked for and may be again; or it is a request, and its application must know by what comes
        before and what comes after that it was acknowledged."""
        if pending.asked:
            self._keep(pending.message)
        metadata = pending.message.metadata
        if metadata and REQUEST_KEY in metadata:
            self._say(turn)

    def _had_by_all_who_stayed(self, pending: _Unacknowledged, turn: Turn) -> None:
        """Its handle says who went without it; the members that are gone are an event already."""
        del self._pending[pending.message.message_id]
        if pending.asked:
            self._keep(pending.message)
        turn.freed += 1
        if pending.handle is not None:
            turn.answer(pending.handle, _undelivered(pending))

    def _give_up(self, id: int, error: SlimError, turn: Turn) -> None:
        pending = self._pending.pop(id)
        if not isinstance(error, MessageTooLarge):
            # What can never leave is not available: who asks for it shall hear that, and go on.
            self._keep(pending.message)
        turn.freed += 1
        if pending.handle is not None:
            turn.answer(pending.handle, error)
        turn.report(error)

    def _keep(self, message: SessionMessage) -> None:
        """Somebody may ask for it yet."""
        if message.message_id > MASK:
            return
        self._kept[message.message_id] = message
        self._kept_bytes += _size(message)
        while len(self._kept) > KEPT or self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= _size(self._kept.pop(next(iter(self._kept))))

    def _draw_direct_id(self) -> int:
        while True:
            id = DIRECT_FIRST + self._draw(DIRECT_LAST - DIRECT_FIRST + 1)
            if id not in self._pending:
                return id


def _undelivered(pending: _Unacknowledged, cause: str = "") -> MessageUndelivered:
    """Who has not acknowledged it, in the order of their names."""
    missing, gone = (tuple(sorted(map(str, names))) for names in (pending.missing, pending.gone))
    left = tuple(name for name in gone if name in missing)
    return MessageUndelivered(pending.message.message_id, missing, left, cause)


def _size(message: SessionMessage) -> int:
    """Bytes of payload."""
    content = message.content
    return len(content.blob) if isinstance(content, Payload) else 0
