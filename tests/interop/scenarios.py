"""What applications do together, whoever made them and whichever node is between them.

The applications offer what `OriginalApp` and `OriginalSession` of the harness do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.interop.harness import Message, OriginalApp, OriginalSession, full_name, numbered


async def pair(
    alice: OriginalApp,
    bob: OriginalApp,
    *,
    mls: bool = False,
    reliable: bool = True,
    interval: float = 1.0,
    max_retries: int = 10,
    metadata: dict[str, str] | None = None,
) -> tuple[OriginalSession, OriginalSession]:
    """Alice opens a point-to-point session with bob; both ends."""
    await alice.set_route(bob.name)
    ends = await asyncio.gather(
        alice.create_session(
            bob.name,
            mls=mls,
            reliable=reliable,
            interval=interval,
            max_retries=max_retries,
            metadata=metadata,
        ),
        bob.listen(),
    )
    assert ends[0].id == ends[1].id
    return ends


async def gathering(
    moderator: OriginalApp,
    members: Sequence[OriginalApp],
    *,
    mls: bool = False,
    interval: float = 1.0,
    max_retries: int = 10,
    channel: str = "channel",
) -> list[OriginalSession]:
    """The moderator opens a group and invites the members one by one; all ends, the moderator's first."""
    ends = [
        await moderator.create_session(
            channel, group=True, mls=mls, interval=interval, max_retries=max_retries
        )
    ]
    for member in members:
        _, end = await asyncio.gather(ends[0].invite(member.name), member.listen())
        ends.append(end)
    return ends


async def flood(
    sender: OriginalSession, receivers: Sequence[OriginalSession], count: int, prefix: str
) -> None:
    """The sender publishes `count` numbered messages; each receiver gets each once, in order, and no more."""
    *received, _ = await asyncio.gather(
        *(receiver.receive(count, timeout=30.0) for receiver in receivers),
        sender.publish_many(count, prefix=prefix),
    )
    for messages in received:
        assert [message.payload for message in messages] == [numbered(prefix, n) for n in range(count)]
    await silent(*receivers)


async def silent(*ends: OriginalSession, seconds: float = 0.2) -> None:
    """Nothing more comes."""
    heard = await asyncio.gather(*(end.receive_some(1, seconds) for end in ends))
    assert all(messages == [] for messages, _ in heard)


async def p2p_both_ways(alice: OriginalApp, bob: OriginalApp, *, mls: bool, count: int = 1000) -> None:
    """`count` messages each way: nothing lost, nothing twice, in order; then alice closes and bob is told."""
    ends = await pair(alice, bob, mls=mls, metadata={"topic": "weather"})
    assert ends[1].metadata["topic"] == "weather"
    await flood(ends[0], [ends[1]], count, "alice")
    await flood(ends[1], [ends[0]], count, "bob")
    told, _ = await asyncio.gather(ends[1].ended(), ends[0].delete())
    assert "session closed" in told


async def group_talk(
    moderator: OriginalApp, members: Sequence[OriginalApp], *, mls: bool, count: int = 50
) -> None:
    """Everybody publishes to everybody; then the moderator closes and all members are told."""
    ends = await gathering(moderator, members, mls=mls)
    everybody = {moderator.name, *(member.name for member in members)}
    for end in ends:
        assert await end.participants() == everybody
    for number, sender in enumerate(ends):
        await flood(sender, [end for end in ends if end is not sender], count, f"member{number}")
    *told, _ = await asyncio.gather(*(end.ended() for end in ends[1:]), ends[0].delete())
    assert all("session closed" in text for text in told)


async def private_answer(moderator: OriginalApp, members: Sequence[OriginalApp], *, mls: bool) -> None:
    """An answer to one member reaches that member alone, marked as such."""
    ends = await gathering(moderator, members, mls=mls)
    heard: list[list[Message]] = list(
        (await asyncio.gather(*(end.receive() for end in ends[1:]), ends[0].publish(b"question")))[:-1]
    )
    got, _ = await asyncio.gather(ends[0].receive(), ends[1].publish_to(heard[0][0], b"answer"))
    assert got[0].payload == b"answer"
    assert got[0].metadata.get("PUBLISH_TO") == "TRUE"
    assert got[0].source.id == members[0].id
    await silent(*ends[2:])
    await ends[0].delete()


async def removal(moderator: OriginalApp, members: Sequence[OriginalApp], *, mls: bool) -> None:
    """A removed member is told and hears no more; the others go on; it can be invited again."""
    ends = await gathering(moderator, members, mls=mls)
    gone, rest = members[0], ends[2:]
    told, _ = await asyncio.gather(ends[1].ended(), ends[0].remove(gone.name))
    assert "session closed" in told
    await flood(ends[0], rest, 10, "after")
    assert await ends[0].participants() == {moderator.name, *(member.name for member in members[1:])}
    _, again = await asyncio.gather(ends[0].invite(gone.name), gone.listen())
    await flood(ends[-1], [ends[0], again, *rest[:-1]], 10, "again")
    await ends[0].delete()


async def leaving(moderator: OriginalApp, members: Sequence[OriginalApp], *, mls: bool) -> None:
    """A member leaves by itself: the moderator is told, the others go on."""
    ends = await gathering(moderator, members, mls=mls)
    told, _ = await asyncio.gather(ends[0].ended(), ends[1].delete())
    assert "participant disconnected" in told
    await membership(ends, {moderator.name, *(member.name for member in members[1:])}, among=[0, 2])
    await flood(ends[0], ends[2:], 10, "after")
    await ends[0].delete()


async def membership(
    ends: Sequence[OriginalSession], names: set[str], *, among: Sequence[int], timeout: float = 10.0
) -> None:
    """Wait until these ends agree that the members are `names`: the library gives no notice of it."""
    wanted = {full_name(name) for name in names}
    async with asyncio.timeout(timeout):
        for number in among:
            while await ends[number].participants() != wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
