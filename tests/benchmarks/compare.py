"""The same work for different brokers: throughput, latency, fan-out, sessions and membership, side by side.

A *side* is a node of one broker and applications of one broker, so that also mixtures can be measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median, quantiles

from tests.benchmarks.processes import Role, Side, run
from tests.benchmarks.stages import Stage, side_by_side
from tests.benchmarks.table import Figure, Wanted


def each(cpu: Mapping[str, float], count: int) -> dict[str, float]:
    """CPU seconds as microseconds per message."""
    return {head: seconds / count * 1e6 for head, seconds in cpu.items()}


def name(last: str) -> str:
    return f"org/bench/{last}"


def mode_of(reliable: bool) -> str:
    return "reliable" if reliable else "best effort"


async def throughput(
    side: Side, *, size: int, reliable: bool, window: int, count: int, mls: bool = False
) -> list[Figure]:
    """Messages per second from the first publish to the last delivery."""
    arguments = {
        "peer": name("bob"),
        "size": size,
        "reliable": reliable,
        "window": window,
        "count": count,
        "mls": mls,
    }
    roles = [
        Role("receiver", "receive", [name("bob")], arguments),
        Role("sender", "send", [name("alice")], arguments),
    ]
    (received, sent), cpu = await run(side, roles)
    pace = "each acknowledged" if window == 1 else f"window {window}"
    lost = count - received["received"]
    stage = f"one way, {size} B, {mode_of(reliable)}, {pace}" + (", MLS" if mls else "")
    if lost:
        stage += f" ({lost} of {count} lost)"
    rate = received["received"] / (received["end"] - sent["start"])
    return [Figure(stage, rate, "messages/s", True, each(cpu, count))]


async def round_trip(side: Side, *, size: int, reliable: bool, count: int) -> list[Figure]:
    """Median and 99th percentile of a question and its answer, in microseconds."""
    arguments = {"peer": name("bob"), "size": size, "reliable": reliable, "count": count}
    roles = [
        Role("receiver", "pong", [name("bob")], arguments),
        Role("sender", "ping", [name("alice")], arguments),
    ]
    (_, report), cpu = await run(side, roles)
    cuts = quantiles(report["trips"], n=100)
    stage = f"ping-pong, {size} B, {mode_of(reliable)}"
    return [
        Figure(f"{stage}, p50", cuts[49] * 1e6, "us", False, each(cpu, count)),
        Figure(f"{stage}, p99", cuts[98] * 1e6, "us", False),
    ]


async def fan_out(side: Side, *, members: int, size: int, mls: bool, window: int, count: int) -> list[Figure]:
    """Deliveries per second in a reliable group, from the first publish to the last delivery."""
    names = [name(f"member{number}") for number in range(members)]
    arguments = {
        "channel": name("channel"),
        "members": names,
        "size": size,
        "mls": mls,
        "window": window,
        "count": count,
    }
    roles = [Role("receiver", "receive", [member], arguments) for member in names]
    roles.append(Role("sender", "send_to_group", [name("moderator")], arguments))
    (*received, sent), cpu = await run(side, roles)
    got = sum(report["received"] for report in received)
    rate = got / (max(report["end"] for report in received) - sent["start"])
    stage = f"group of 1 + {members}, {size} B, {'MLS' if mls else 'plain'}, window {window}"
    return [Figure(stage, rate, "deliveries/s", True, each(cpu, count * members))]


async def sessions(side: Side, *, window: int, count: int) -> list[Figure]:
    """Point-to-point sessions established per second, `window` at a time."""
    arguments = {"peer": name("bob"), "window": window, "count": count}
    roles = [
        Role("receiver", "accept_sessions", [name("bob")], arguments),
        Role("sender", "open_sessions", [name("alice")], arguments),
    ]
    (_, report), cpu = await run(side, roles)
    rate = count / (report["end"] - report["start"])
    return [Figure(f"opening sessions, {window} at a time", rate, "sessions/s", True, each(cpu, count))]


async def growth(side: Side, *, members: int, measured: int = 3, hosts: int = 4) -> list[Figure]:
    """Median milliseconds to add the `members`-th member (and the next ones) to an MLS group."""
    names = [name(f"member{number}") for number in range(members - 2 + measured)]
    arguments = {"channel": name("channel"), "members": names, "measured": measured}
    roles = [Role("receiver", "join_group", names[host::hosts], {}) for host in range(hosts)]
    roles.append(Role("sender", "grow_group", [name("moderator")], arguments))
    (*_, report), cpu = await run(side, roles)
    stage = f"adding member {members}, MLS"
    return [Figure(stage, median(report["took"]) * 1e3, "ms", False, each(cpu, measured))]


AS_GOOD = Wanted(0.98)
"""No worse, but for what two runs of the same differ by."""


def times(count: int, scale: float) -> int:
    return max(20, int(count * scale))


def stages(scale: float = 1.0) -> list[Stage]:
    """The whole comparison; `scale` multiplies the numbers of messages."""
    made = []
    for size, count, ratio in ((64, 20_000, 5.0), (1024, 10_000, 8.0), (65_536, 500, 25.0)):
        one_way = partial(throughput, size=size, reliable=True)
        made += [
            Stage(
                partial(one_way, window=256, count=times(count, scale)),
                (Wanted(ratio),),
                name=f"one-way-{size}",
            ),
            Stage(
                partial(throughput, size=size, reliable=False, window=256, count=times(count, scale)),
                (None,),
                name=f"best-effort-{size}",
            ),
            Stage(
                partial(one_way, window=1, count=times(count // 10, scale)),
                (Wanted(2.5),),
                name=f"acknowledged-{size}",
            ),
        ]
    for reliable, count in ((True, 200), (False, 2_000)):
        trip = partial(round_trip, size=64, reliable=reliable, count=times(count, scale))
        made.append(
            Stage(
                trip,
                (Wanted(value=500.0), Wanted(value=2000.0)) if reliable else (None, None),
                name="ping-pong" if reliable else "ping-pong-best-effort",
            )
        )
    for mls in (False, True):
        made.append(group_stage(scale, mls=mls, wanted=None if mls else Wanted(4.0)))
    for window in (1, 16):
        opening = partial(sessions, window=window, count=times(200, scale))
        made.append(Stage(opening, (Wanted(1.5),), name=f"sessions-{window}"))
    return made


def mls_stages(scale: float = 1.0) -> list[Stage]:
    """What concerns MLS, and beside it what the same costs without: the rest is the link and the session."""
    made = []
    for mls in (False, True):
        one_way = partial(throughput, size=1024, reliable=True, window=256, mls=mls)
        wanted = Wanted(1.5) if mls else None
        made.append(Stage(partial(one_way, count=times(10_000, scale)), (wanted,)))
    for mls in (False, True):
        made.append(group_stage(scale, mls=mls, wanted=None))
    made.append(Stage(partial(growth, members=50), (None,)))
    return made


def mixed_stages(scale: float = 1.0) -> list[Stage]:
    """What a node's choice means for applications that stay as they are: five busy processes, so in turns."""
    made = []
    for size, count in ((64, 20_000), (1024, 10_000)):
        one_way = partial(throughput, size=size, reliable=True, window=256)
        made.append(Stage(partial(one_way, count=times(count, scale)), (Wanted(0.9),), repeats=3))
    trip = partial(round_trip, size=64, reliable=True, count=times(200, scale))
    made.append(Stage(trip, (AS_GOOD, None)))
    return made


def group_stage(scale: float, *, mls: bool, wanted: Wanted | None) -> Stage:
    """A group of eight members and a moderator who sends."""
    talk = partial(fan_out, members=8, size=1024, mls=mls, window=256)
    return Stage(partial(talk, count=times(2_000, scale)), (wanted,), name="group-mls" if mls else "group")


async def compare(sides: Sequence[Side], stages: Sequence[Stage], progress: Callable[[str], None]) -> str:
    """Measure each side; the table."""
    return await side_by_side({side.label: side for side in sides}, stages, progress)
