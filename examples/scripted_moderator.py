"""A group led by a script: an actor that decides, by messages alone, who is in.

    python examples/scripted_moderator.py
    python examples/scripted_moderator.py --guests ann,bob,cleo --forbidden macbeth

The moderator is an ordinary Thespian actor. It admits its guests one by one, removes whoever says the
forbidden word, reports what happens, and closes the group when one guest at most is left. The guests are
stand-ins in this process; through a node they may be anywhere, and nothing in the actor changes.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
from collections import deque
from typing import Any, NamedTuple

from common import name_of, run
from thespian.actors import Actor, ActorAddress, ActorExitRequest

from actors.messages.session import (
    CloseSession,
    Completed,
    Delivered,
    Invite,
    MemberJoined,
    MemberLeft,
    OpenSession,
    RemoveMember,
    SessionConfig,
    SessionEnded,
    SessionOpened,
    Taken,
    Watch,
)
from actors.messages.wire import Payload, SessionKind, SessionMessage
from gateway import IdentityProvider, IdentityVerifier, Name, Slim

GROUP = SessionConfig(SessionKind.MULTICAST, interval=1.0, max_retries=5)
LIMIT = 20.0
"""Seconds that the whole evening may take."""


class Begin(NamedTuple):
    """To the moderator: open the group."""


class Report(NamedTuple):
    """From the moderator to who made it: what has happened; `over` with the last one."""

    text: str
    over: bool = False


class Moderator(Actor):  # type: ignore[misc]
    """Leads `channel` for the application whose actor is `app`; Reports go to `reader`.

    It is the session's inbox: everything an application would hear comes here as a message.
    """

    def __init__(
        self, app: ActorAddress, reader: ActorAddress, channel: Name, guests: list[Name], forbidden: str
    ) -> None:
        self._app, self._reader = app, reader
        self._channel = channel
        self._waiting = deque(guests)
        self._forbidden = forbidden.casefold()
        self._session: ActorAddress | None = None
        self._operations = 0
        self._handles: dict[int, str] = {}
        """What is under way, by the number that its outcome will carry."""
        self._removed: set[Name] = set()
        self._closing = False

    def receiveMessage(self, message: Any, sender: ActorAddress) -> None:
        match message:
            case Begin():
                handle = self._handle(f"the group on {self._channel}")
                self.send(self._app, OpenSession(handle, self.myAddress, self._channel, GROUP))
            case SessionOpened(address=address):
                self._session = address
                self.send(address, Watch(self.myAddress))
                self._admit_next()
            case Completed(done=done, failed=failed):
                self._completed(done, {failure.handle: str(failure.error) for failure in failed})
            case MemberJoined(member=member):
                self._report(f"{short(member)} has joined")
            case MemberLeft(member=member, members=members, cause=cause):
                self._report(f"{short(member)} is out ({cause})")
                # The moderator itself is a member too.
                if len(members) <= 2 and not self._waiting:
                    self._close()
            case Delivered(items=items):
                for item in items:
                    if isinstance(item, SessionMessage):
                        self._heard(item)
                self.send(self._session, Taken(len(items)))
            case SessionEnded():
                self.send(self._reader, Report("the group is closed", over=True))
                self.send(self.myAddress, ActorExitRequest())

    def _handle(self, what: str) -> int:
        self._operations += 1
        number = self._operations
        self._handles[number] = what
        return number

    def _admit_next(self) -> None:
        """One at a time: the next is invited when everybody knows the one before."""
        if self._waiting:
            guest = self._waiting.popleft()
            self.send(self._session, Invite(self._handle(f"inviting {short(guest)}"), guest))

    def _completed(self, done: tuple[int, ...], failed: dict[int, str]) -> None:
        for number in (*done, *failed):
            what = self._handles.pop(number, "")
            if number in failed:
                self._report(f"{what} failed: {failed[number]}")
            if what.startswith("inviting"):
                self._admit_next()

    def _heard(self, message: SessionMessage) -> None:
        """The rule of the house."""
        who = message.source
        if isinstance(message.content, Payload) and who not in self._removed:
            text = message.content.blob.decode(errors="replace")
            self._report(f"{short(who)} says: {text}")
            if self._forbidden in text.casefold():
                self._removed.add(who)
                self.send(self._session, RemoveMember(self._handle(f"removing {short(who)}"), who))

    def _close(self) -> None:
        if not self._closing:
            self._closing = True
            self.send(self._session, CloseSession(None, 5.0))

    def _report(self, text: str) -> None:
        self.send(self._reader, Report(text))


def short(name: Name) -> str:
    """The last part of a name."""
    return name.strings[2]


def application(text: str, secret: str) -> Slim:
    """An application of this process."""
    name = name_of(f"callboard/house/{text}", "--guests")
    pair = IdentityProvider.SharedSecret(text, secret), IdentityVerifier.SharedSecret(text, secret)
    return Slim(name, *pair)


async def guest(app: Slim, lines: asyncio.Queue[str]) -> None:
    """A stand-in: joins, and says what it is told to say."""
    session = await app.listen_for_session()
    while True:
        await (await session.publish((await lines.get()).encode()))


async def evening(guests: list[str], forbidden: str) -> None:
    """Open the house, let each guest say something, and the first of them the forbidden word."""
    secret = secrets.token_urlsafe(32)
    reports: asyncio.Queue[Report] = asyncio.Queue()
    async with asyncio.timeout(LIMIT), application("moderator", secret) as house:
        system = house.data_plane.system
        apps = {name: application(name, secret) for name in guests}
        lines: dict[str, asyncio.Queue[str]] = {name: asyncio.Queue() for name in guests}
        talking = [asyncio.create_task(guest(app, lines[name])) for name, app in apps.items()]
        moderator = system.spawn(
            Moderator,
            house.actor,
            system.inbox(lambda report, _: reports.put_nowait(report)),
            Name.parse("callboard/house/stage"),
            [app.local_name.without_id() for app in apps.values()],
            forbidden,
        )
        system.tell(moderator, Begin())
        script = deque(
            [*((name, "good evening") for name in guests), *((n, f"{forbidden}!") for n in guests)]
        )
        joined = 0
        while not (report := await reports.get()).over:
            print(report.text, flush=True)
            joined += report.text.endswith("has joined")
            # A line at a time, each answered by a report, once everybody is there.
            if script and joined == len(guests) and not report.text.endswith(f"{forbidden}!"):
                name, line = script.popleft()
                lines[name].put_nowait(line)
        print(report.text)
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
        for app in apps.values():
            await app.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description="A group led by a script.")
    parser.add_argument("--guests", default="ann,bob,cleo", metavar="A,B,...", help="who is admitted")
    parser.add_argument("--forbidden", default="macbeth", metavar="WORD", help="who says it is removed")
    arguments = parser.parse_args()
    # Each guest once.
    await evening(list(dict.fromkeys(arguments.guests.split(","))), arguments.forbidden)


if __name__ == "__main__":
    run(main)
