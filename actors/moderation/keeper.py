"""What of a session is noted in the journal before its effects are performed.

    effects of a turn ──► membership and group, if they changed      synced
                     ──► ids and generations, if a block is used up  synced
                     ──► what is said for the first time, who answered, what was acknowledged
                     ──► the effects, less the acknowledgements of what the script has not dealt with

A member's message is acknowledged when the script's step on it is noted. Until then its sender sends it
again, to our successor if need be.
"""

from __future__ import annotations

from collections.abc import Callable

from actors.messages.session import SessionEnded
from actors.messages.wire import MessageType, Payload, SessionMessage
from actors.moderation.entries import (
    AnswersKept,
    DataAcknowledged,
    DataKept,
    DataSaid,
    Entry,
    GroupKept,
    GroupOpened,
    GroupOver,
    MembershipKept,
    PingSent,
)
from actors.moderation.journal import Journal
from actors.names import Name
from actors.session.effects import Effect
from actors.session.keeping import KeepableSession
from actors.session.membership.kept import SaidMessage
from identity.mls.framing import PrivateMessage, decode_message

_Key = tuple[Name, int]


class JournalKeeper:
    """Of one session. `wall` tells Unix seconds, `identity` is the id of the application's identity."""

    def __init__(
        self, core: KeepableSession, journal: Journal, identity: str, wall: Callable[[], float]
    ) -> None:
        self._core = core
        self._journal = journal
        self._wall = wall
        self._opened = GroupOpened(core.session_id, core.destination, core.config, identity, wall())
        self._held: dict[_Key, SessionMessage] = {}
        """Acknowledgements that wait, by whose message it is and its id."""

    def before(self, effects: list[Effect]) -> list[Effect]:
        """Note what these rest on. Returns those to be performed now. Raises OSError: then none may be."""
        core, journal, book = self._core, self._journal, self._journal.book
        entries: list[Entry] = [] if book.opened is not None else [self._opened]
        over = any(isinstance(effect, SessionEnded) for effect in effects)
        news = False
        if not over:
            entries += self._membership()
            news = any(isinstance(entry, GroupOpened | MembershipKept) for entry in entries)
        said = [
            effect
            for effect in effects
            if isinstance(effect, SessionMessage)
            and effect.kind is MessageType.MSG
            and effect.message_id not in book.said
        ]
        if said:
            crypto = core.crypto
            journal.reserve(
                core.sender.next_id, *((0, 0) if crypto is None else (crypto.epoch or 0, crypto.generation))
            )
            entries += map(DataSaid, self._numbered(said))
        if any(isinstance(each, SessionMessage) and each.kind is MessageType.PING for each in effects):
            entries.append(PingSent(self._wall()))
        entries += self._acknowledged(said)
        if over:
            entries.append(GroupOver())
        if entries:
            journal.append(*entries)
        if news or over:
            journal.sync()
        return [effect for effect in effects if not self._waits(effect)]

    def released(self) -> list[SessionMessage]:
        """Acknowledgements of what the script has dealt with since, synced."""
        book = self._journal.book
        keys = [key for key in self._held if book.has_taken(*key)]
        if keys:
            self._journal.sync()
        return [self._held.pop(key) for key in keys]

    # Private

    def _membership(self) -> list[Entry]:
        book, core = self._journal.book, self._core
        now, before, crypto = core.kept(), book.moderator, core.crypto
        if before is not None and now == before:
            return []
        if before is not None and now._replace(open=()) == before._replace(open=()):
            return [AnswersKept(now.open)]
        group = None
        epoch = None if crypto is None else crypto.epoch
        if crypto is not None and epoch is not None and (book.group is None or book.group.epoch != epoch):
            kept = crypto.kept()
            if kept is not None:
                group = GroupKept(epoch, kept, crypto.generation)
        return [MembershipKept(now, group)]

    def _numbered(self, said: list[SessionMessage]) -> list[SaidMessage]:
        """With epoch and generation: those of the present epoch are the last that its ratchet gave."""
        sender, crypto = self._core.sender, self._core.crypto
        epochs = [0 if crypto is None else _epoch_of(message) for message in said]
        present = crypto.epoch if crypto is not None else 0
        generation = 0 if crypto is None else crypto.generation - epochs.count(present or 0)
        numbered = []
        for message, epoch in zip(said, epochs, strict=True):
            id = message.message_id
            numbered.append(SaidMessage(message, sender.handle_of(id), epoch, generation, sender.missing(id)))
            generation += crypto is not None and epoch == present
        return numbered

    def _acknowledged(self, said: list[SessionMessage]) -> list[Entry]:
        """What is not under way any more. An original's question counts for its acknowledgement, and the
        answer may not have left as we die: what was asked for stays, while the sender itself keeps it."""
        book, sender = self._journal.book.said, self._core.sender
        under_way, kept = set(sender.unacknowledged_ids()), sender.kept_ids()
        known = book.keys() | {message.message_id for message in said}
        over = known - under_way
        asked = tuple(sorted(id for id in over & kept if id not in book or book[id].to))
        forgotten = tuple(sorted(over - kept))
        entries: list[Entry] = [DataKept(asked)] if asked else []
        return [*entries, DataAcknowledged(forgotten)] if forgotten else entries

    def _waits(self, effect: Effect) -> bool:
        """Whether this acknowledges what the script has not dealt with; it is held then."""
        if not isinstance(effect, SessionMessage) or effect.kind is not MessageType.MSG_ACK:
            return False
        key = effect.destination, effect.message_id
        if self._journal.book.has_taken(*key):
            return False
        self._held[key] = effect
        return True


def _epoch_of(message: SessionMessage) -> int:
    """In which epoch a message of ours was encrypted."""
    assert isinstance(message.content, Payload)
    private = decode_message(message.content.blob)
    assert isinstance(private, PrivateMessage)
    return private.epoch
