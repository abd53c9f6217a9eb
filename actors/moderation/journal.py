"""A moderator's journal: what it needs to survive its own death, on a disk.

    open ──► read, believe, fold ──► written anew, synced ──► append ... sync ... append ──► written anew

A kill of the process loses nothing that was appended; a power cut loses what was not synced. So what must
not be repeated (a message id, a generation of the ratchet) is reserved in blocks before it is used, and what
others may have seen (a commit) is synced before it leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Protocol

from actors.moderation.book import BLOCK, Book
from actors.moderation.entries import ENTRIES, Entry, Reserved
from actors.record import record
from actors.session.serial import MASK
from identity.sealed_log import FILE_ID_BYTES, LogDamaged, LogKey, LogWriter, Mark, read_log

ANEW_BYTES = 1024 * 1024
"""Appended bytes after which a journal is written anew; or four times what it began with, if that is more."""
AWAY = 29.0
"""Seconds since the members were last asked after which they may have given us up: they do so 30 s after, at
the earliest (`session.md` 8)."""


class Disk(Protocol):
    """One file. Every method may raise OSError."""

    def read(self) -> bytes:
        """All of it; nothing if there is none."""

    def append(self, data: bytes) -> None:
        """At its end. A kill of the process does not undo it, a power cut may."""

    def overwrite(self, offset: int, data: bytes) -> None:
        """In its place, as `append`."""

    def sync(self) -> None:
        """What was written so far outlives a power cut."""

    def replace(self, data: bytes) -> None:
        """Another content in its place, which is there as a whole or not at all, and outlives a power cut."""


class Beginning(Enum):
    """What a journal is opened to."""

    NEW = "nothing was there"
    RESUMED = "its group goes on"
    LOST = "its group was away for too long, and is offered anew"
    OVER = "its group was closed, and its script does not know"
    NO_GROUP = "its script is known, and has no group"


@record
class OpenedJournal(NamedTuple):
    """What was found."""

    beginning: Beginning
    skipped: int
    """Message ids that may have been used and are not known of, after a power cut."""


class Journal:
    """`book` is all that it says."""

    def __init__(self, disk: Disk, key: LogKey, *, boot: bytes, random: Callable[[int], bytes]) -> None:
        self._disk = disk
        self._key = key
        self._boot = boot
        self._random = random
        self.book = Book()
        self._writer = LogWriter(key, bytes(FILE_ID_BYTES), boot)
        self._synced = 0
        self._appended = self._began_with = 0

    def open(self, now: float) -> OpenedJournal:
        """Read what is there and begin anew behind it; `now` in Unix seconds. Raises LogDamaged, OSError."""
        data = self._disk.read()
        skipped = 0
        beginning = Beginning.NEW
        if data:
            read = read_log(data, self._key, self._boot)
            try:
                self.book = Book(map(ENTRIES.unpack, read.entries))
            except (ValueError, AssertionError) as error:
                raise LogDamaged("form", "the journal is of another version of this program") from error
            beginning = Beginning.OVER if self.book.over else Beginning.NO_GROUP
            if self.book.opened is not None:
                if not read.same_boot:
                    skipped = self.book.skip_reserved()
                beginning = Beginning.RESUMED
                if self.book.asked + AWAY < now or self.book.moderator is None:
                    self.book.lose_group()
                    beginning = Beginning.OVER if self.book.over else Beginning.LOST
        self._write_anew()
        return OpenedJournal(beginning, skipped)

    def append(self, *entries: Entry) -> None:
        """Note these, in order."""
        if self._appended > max(ANEW_BYTES, 4 * self._began_with):
            self._write_anew()
        made = []
        for entry in entries:
            self.book.apply(entry)
            made.append(self._writer.entry(ENTRIES.pack(entry)))
        data = b"".join(made)
        self._disk.append(data)
        self._disk.overwrite(Mark.WRITTEN.offset, self._writer.mark())
        self._appended += len(data)

    def sync(self) -> None:
        """Wait until all that was noted outlives a power cut. Nothing happens if it does."""
        if self._synced == self._writer.entries:
            return
        self._disk.sync()
        self._synced = self._writer.entries
        self._disk.overwrite(Mark.SYNCED.offset, self._writer.mark())

    def reserve(self, next_id: int, epoch: int, generation: int) -> None:
        """See to it that what comes before these (the next ones to be used) is reserved, and synced."""
        reserved = self.book.reserved
        left = (reserved.ids - next_id) & MASK
        if 0 <= left <= 2 * BLOCK and reserved.epoch == epoch and generation <= reserved.generations:
            return
        self.append(Reserved((next_id + BLOCK) & MASK, epoch, generation + BLOCK))
        self.sync()

    def end(self) -> None:
        """Nothing more is going to be said: what is reserved and was not used is given back, so that also on
        another machine a successor leaves no hole. All of it is synced then. Raises OSError."""
        book = self.book
        if book.opened is not None:
            epoch = 0 if book.group is None else book.group.epoch
            self.append(Reserved(book.next_id, epoch, book.generation))
        self.sync()

    def _write_anew(self) -> None:
        self._writer = writer = LogWriter(self._key, self._random(FILE_ID_BYTES), self._boot)
        entry = writer.entry(ENTRIES.pack(self.book.summary()))
        header = writer.header(writer.entries)
        self._disk.replace(header + entry)
        self._synced = writer.entries
        self._began_with, self._appended = len(entry), 0
