"""The journal: what it says after a kill, after a power cut, and after somebody has been at it."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages.moderation import Wish
from actors.messages.session import Invite, Outgoing, SessionConfig
from actors.messages.wire import MessageType, Payload, SessionKind, SessionMessage
from actors.moderation.book import BLOCK
from actors.moderation.entries import (
    ENTRIES,
    DataAcknowledged,
    DataKept,
    DataSaid,
    Fired,
    GroupKept,
    GroupOpened,
    GroupOver,
    Known,
    MembershipKept,
    MessageOf,
    OperationOver,
    PingSent,
    Started,
    Step,
    TheEnd,
)
from actors.moderation.journal import ANEW_BYTES, AWAY, Beginning, Journal, OpenedJournal
from actors.names import Name
from actors.session.crypto import KeptGroup
from actors.session.membership.kept import KeptMember, KeptModerator, SaidMessage
from gateway.testing.disk import SimDisk
from identity.sealed_log import HEADER_BYTES, LogDamaged, LogKey, Mark

KEY = LogKey(bytes(range(32)))
BOOT, NEXT_BOOT = b"a" * 16, b"b" * 16
CHANNEL = Name.parse("org/test/channel")
MODERATOR, ANN = (Name.parse(f"org/test/{name}").with_id(7) for name in ("mod", "ann"))
OPENED = GroupOpened(5, CHANNEL, SessionConfig(SessionKind.MULTICAST, 1.0, 25, mls=True), "mod_x", 1000.0)
MEMBERSHIP = MembershipKept(
    KeptModerator(1, True, (KeptMember(ANN, True, "1.3 - 1.4"),), None, (), (), False),
    GroupKept(1, KeptGroup(b"group", ((ANN, 1),)), 0),
)


def opened(disk: SimDisk, boot: bytes = BOOT, now: float = 1001.0) -> tuple[Journal, OpenedJournal]:
    journal = Journal(disk, KEY, boot=boot, random=Random(len(disk.content)).randbytes)
    return journal, journal.open(now)


def led(disk: SimDisk) -> Journal:
    journal, found = opened(disk)
    assert found == OpenedJournal(Beginning.NEW, 0)
    wishes: tuple[tuple[int, Wish], ...] = ((1, Invite(0, ANN.without_id())),)
    journal.append(OPENED, Step(Started(), b"state", wishes, (), (("tea", 1030.0),)), MEMBERSHIP)
    journal.append(OperationOver(1), Step(Known(ANN, there=True)))
    journal.sync()
    return journal


def say(journal: Journal, id: int, handle: int | None = None) -> SaidMessage:
    """As a session does it: reserved, then noted, then it may leave."""
    journal.reserve(id + 1, 1, id)
    content = Payload("", b"%d" % id)
    message = SessionMessage(MODERATOR, CHANNEL, SessionKind.MULTICAST, MessageType.MSG, 5, id, content)
    said = SaidMessage(message, handle, 1, id - 1, (ANN,))
    journal.append(DataSaid(said))
    return said


def test_after_a_kill_all_that_was_noted_is_there() -> None:
    disk = SimDisk()
    journal = led(disk)
    journal.append(Step(MessageOf(ANN, 4, False), b"more", (), (Outgoing(b"hello", handle=2),)))
    said = [say(journal, 1, 2), say(journal, 2)]
    journal.append(DataAcknowledged((1,)))
    again, found = opened(disk, now=1000.0 + AWAY)
    assert found == OpenedJournal(Beginning.RESUMED, 0)
    book = again.book
    assert book.summary() == journal.book.summary()
    assert book.state == b"more"
    assert not book.operations
    assert not book.outgoing
    assert book.timers == {"tea": 1030.0}
    assert book.has_taken(ANN, 4)
    assert not book.has_taken(ANN, 5)
    kept = book.group_to_resume(9)
    assert kept is not None
    assert (kept.next_id, kept.generation, kept.said) == (3, 2, (said[1],))


def test_ids_and_generations_are_reserved_in_blocks_each_synced_before_its_first_use() -> None:
    disk = SimDisk()
    journal = led(disk)
    before = disk.syncs
    for id in range(1, 2 * BLOCK + 1):
        say(journal, id)
        assert id < journal.book.reserved.ids
        assert id <= journal.book.reserved.generations
    assert disk.syncs - before == 2


@settings(max_examples=20)
@given(st.integers(0, 3 * BLOCK), st.integers(0, 2**32))
def test_after_a_power_cut_nothing_is_used_twice(count: int, seed: int) -> None:
    random = Random(seed)
    disk = SimDisk()
    journal = led(disk)
    for id in range(1, count + 1):
        say(journal, id)
    again, found = opened(disk.after_power_cut(random), NEXT_BOOT)
    assert found.beginning is Beginning.RESUMED
    kept = again.book.group_to_resume(None)
    assert kept is not None
    assert kept.next_id > count
    assert kept.generation >= count
    assert found.skipped <= 2 * BLOCK
    # It goes on, and dies again at once.
    say(again, kept.next_id)
    _, found = opened(again._disk.after_power_cut(random), BOOT)  # type: ignore[attr-defined]
    assert found.beginning is Beginning.RESUMED


@given(st.integers(0, 3 * BLOCK), st.integers(0, 2**32))
@settings(max_examples=20)
def test_who_ended_in_good_order_leaves_no_hole_on_another_machine(count: int, seed: int) -> None:
    disk = SimDisk()
    journal = led(disk)
    for id in range(1, count + 1):
        say(journal, id)
    journal.end()
    again, found = opened(disk.after_power_cut(Random(seed)), NEXT_BOOT)
    assert found == OpenedJournal(Beginning.RESUMED, 0)
    kept = again.book.group_to_resume(None)
    assert kept is not None
    assert (kept.next_id, kept.generation) == (count + 1, count)
    # What it uses is reserved again before.
    say(again, kept.next_id)
    assert again.book.reserved.ids > kept.next_id


def test_a_journal_without_a_group_ends_too() -> None:
    disk = SimDisk()
    journal, _ = opened(disk)
    journal.end()
    assert opened(disk)[1] == OpenedJournal(Beginning.NO_GROUP, 0)


def test_an_older_journal_says_nothing_of_where_members_began() -> None:
    older = (
        "c74c0194aa4b6570744d656d626572c7320395c418873e580376ea963b2e9144fe90d9fddab03de32d2da4bb69a36f7267"
        "a474657374a3616e6ec4080000000000000007c3a9312e33202d20312e34"
    )
    assert ENTRIES.unpack(bytes.fromhex(older)) == KeptMember(ANN, True, "1.3 - 1.4", None)


@given(st.integers(0, 2**32), st.lists(st.booleans(), max_size=12))
def test_a_commit_that_was_synced_is_there_after_a_power_cut(seed: int, synced: list[bool]) -> None:
    random = Random(seed)
    disk = SimDisk()
    journal = led(disk)
    last = 1
    for number, wait in enumerate(synced, 2):
        moderator = MEMBERSHIP.moderator._replace(commit_id=number)
        journal.append(MembershipKept(moderator, GroupKept(number, KeptGroup(b"g%d" % number, ()), 0)))
        if wait:
            journal.sync()
            last = number
    again, _ = opened(disk.after_power_cut(random), NEXT_BOOT)
    assert again.book.moderator is not None
    assert again.book.group is not None
    assert again.book.moderator.commit_id >= last
    assert again.book.group.epoch == again.book.moderator.commit_id


def test_a_group_that_was_away_for_too_long_is_lost_and_its_members_are_known() -> None:
    disk = SimDisk()
    journal = led(disk)
    journal.append(PingSent(1500.0))
    _, found = opened(disk, now=1500.0 + AWAY)
    assert found.beginning is Beginning.RESUMED
    again, found = opened(disk, now=1501.0 + AWAY)
    assert found.beginning is Beginning.LOST
    assert again.book.lost == (ANN.without_id(),)
    assert again.book.group_to_resume(None) is None
    assert again.book.state == b"state"
    assert opened(disk, now=9999.0)[1].beginning is Beginning.NO_GROUP


def test_a_closed_group_is_not_opened_again_before_its_script_knows() -> None:
    disk = SimDisk()
    journal = led(disk)
    journal.append(GroupOver())
    again, found = opened(disk)
    assert found.beginning is Beginning.OVER
    again.append(Step(TheEnd(), b"the end"))
    again, found = opened(disk)
    assert found.beginning is Beginning.NO_GROUP
    assert (again.book.started, again.book.state, again.book.timers) == (False, b"the end", {})


def test_a_long_journal_is_written_anew_and_says_the_same() -> None:
    disk = SimDisk()
    journal = led(disk)
    state = bytes(ANEW_BYTES // 8)
    longest = 0
    for number in range(40):
        journal.append(Step(Fired("tea"), state + b"%d" % number))
        longest = max(longest, len(disk.content))
    assert longest < 3 * ANEW_BYTES
    assert opened(disk)[0].book.summary() == journal.book.summary()


@pytest.mark.parametrize("synced", [True, False])
def test_a_journal_that_was_cut_is_refused(synced: bool) -> None:
    disk = SimDisk()
    journal = led(disk)
    say(journal, 1)
    if synced:
        journal.sync()
    disk.content = disk.content[:-1]
    boot = NEXT_BOOT if synced else BOOT
    with pytest.raises(
        LogDamaged, match=r"the journal was cut: \d+ entries were written, \d+ are there"
    ) as cut:
        opened(disk, boot)
    assert cut.value.rule == "cut"


def test_a_journal_that_was_changed_anywhere_is_refused() -> None:
    disk = SimDisk()
    led(disk)
    whole = bytes(disk.content)
    for at in (*range(0, HEADER_BYTES, 7), *range(HEADER_BYTES, len(whole), 31)):
        if Mark.WRITTEN.offset <= at < HEADER_BYTES:
            continue  # as after a power cut
        changed = bytearray(whole)
        changed[at] ^= 1
        with pytest.raises(LogDamaged) as error:
            opened(SimDisk(bytes(changed)))
        assert error.value.rule in ("form", "key", "cut", "changed")


def test_another_key_opens_nothing_and_no_text_holds_it() -> None:
    disk = SimDisk()
    led(disk)
    other = LogKey(b"k" * 32)
    with pytest.raises(LogDamaged, match="another key") as error:
        Journal(disk, other, boot=BOOT, random=Random(1).randbytes).open(1001.0)
    assert "kkkk" not in str(error.value) + repr(other)


def test_no_secret_stands_in_the_file() -> None:
    disk = SimDisk()
    led(disk)
    assert b"group" not in disk.content
    assert b"state" not in disk.content
    assert b"org" not in disk.content


def test_what_was_asked_for_is_there_for_who_asks_again() -> None:
    disk = SimDisk()
    journal = led(disk)
    said = [say(journal, 1, 2), say(journal, 2)]
    journal.append(DataKept((1,)), DataAcknowledged((2,)))
    book = opened(disk)[0].book
    kept = book.group_to_resume(9)
    assert kept is not None
    assert kept.said == (said[0]._replace(handle=None, to=()),)
    assert not book.said_handles()
