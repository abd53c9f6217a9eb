"""What is going on in a World, and what of it is wrong once nothing changes any more.

It looks into applications, sessions and actors from outside, which only tests may.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, NamedTuple

from actors.app.actor import AppActor
from actors.names import Name
from actors.record import record
from actors.session.actor import SessionActor
from gateway.api.slim import Slim
from gateway.node.data_plane import DataPlane
from gateway.testing.host import SimHost
from gateway.testing.loop import VirtualLoop
from gateway.testing.places import described, waits_at


@record
class Seen(NamedTuple):
    """One side of a session."""

    host: str
    session: int
    local: Name
    members: tuple[Name, ...]
    epoch: int | None
    fingerprint: str
    pending: int
    """Calls of the application that have not ended."""


def sessions(host: SimHost) -> list[Seen]:
    """The sessions on this host that are not over."""
    return _sessions(host.name, host.planes, host.applications)


def _sessions(host: str, planes: Iterable[DataPlane], applications: Iterable[Slim]) -> list[Seen]:
    found = []
    pending: dict[tuple[Name, int], int] | None = None
    for plane in planes:
        for actor in _actors(plane, SessionActor):
            core = actor._core
            if core.ended:
                continue
            if pending is None:
                pending = {
                    (app.local_name, session.number): session.unfinished
                    for app in applications
                    for session in app.open_sessions()
                }
            local, number = core.local, core.session_id
            waiting = pending.get((local, number), 0)
            found.append(Seen(host, number, local, core.members, core.epoch, core.fingerprint, waiting))
    return found


def picture(hosts: Iterable[SimHost]) -> Any:
    """All that is to stand still: two equal pictures mean that nothing has changed."""
    picture = []
    for host in hosts:
        planes, applications = host.planes, host.applications
        systems = [plane.system for plane in planes]
        figures = [(len(system._actors), len(system._inboxes), system.failures) for system in systems]
        calls = [app.unfinished for app in applications]
        done = [task.done() for task in host.tasks]
        picture.append((host.name, _sessions(host.name, planes, applications), figures, calls, done))
    return picture


def wrongs(hosts: Iterable[SimHost], loop: VirtualLoop) -> list[str]:
    """Sentences about what should not be once all is quiet."""
    hosts = [host for host in hosts if host.up]
    found = [*map(unseen_error, loop.unseen), *failed_programs(hosts)]
    sides: dict[int, list[Seen]] = {}
    names: set[Name] = set()
    for host in hosts:
        names |= {app.local_name for app in host.applications}
        for plane in host.planes:
            for actor in _actors(plane, AppActor):
                found += _leaks(host.name, actor.figures())
            if plane.system.failures:
                found.append(f"{host.name}: {plane.system.failures} failures of actors")
        for app in host.applications:
            if app.unfinished:
                found.append(f"{app.local_name} on {host.name}: {app.unfinished} calls never ended")
        for side in sessions(host):
            sides.setdefault(side.session, []).append(side)
            if side.pending:
                found.append(f"session {side.session} of {side.local}: {side.pending} calls never ended")
    for number, ends in sides.items():
        found += disagreements(number, ends, names)
    return found


def _leaks(where: str, figures: dict[str, int]) -> list[str]:
    """What an application holds that no session of its accounts for."""
    untaken = figures["announced"]
    held = {name: figures[name] for name in ("announced", "awaited", "bound", "congested") if figures[name]}
    if figures["sessions"]:
        held.pop("announced", None)
        held.pop("bound", None)
    if held.pop("announced", None):
        return [
            f"an application on {where} took up none of {untaken} sessions that others opened with it: "
            "app.serve, app.sessions() or app.listen_for_session() does"
        ]
    return [f"an application on {where} without need holds {held}"] if held else []


def disagreements(number: int, ends: list[Seen], names: set[Name]) -> list[str]:
    """Members that know different things of one session."""
    found = []
    views = {(frozenset(end.members), end.epoch, end.fingerprint) for end in ends}
    if len(views) > 1:
        said = "; ".join(f"{end.local} has {_listed(end.members)}, epoch {end.epoch}" for end in ends)
        found.append(f"session {number}: its members disagree: {said}")
    present = {end.local for end in ends}
    for end in ends:
        if missing := [name for name in end.members if name in names and name not in present]:
            found.append(f"session {number}: {end.local} lists {_listed(missing)}, who is not in it")
        if strangers := [name for name in present if name not in end.members]:
            found.append(f"session {number}: {end.local} does not know {_listed(strangers)}, who is in it")
    return found


async def held_by_node(host: SimHost) -> list[str]:
    """What a node still holds when no application is connected to it any more."""
    if host.process is None:
        return []
    plane = host.plane
    routes = (await plane.status())["routes"]
    held = {"pending_acks": routes["pending_acks"], "streams": sum(map(plane.is_edge, plane.accepted))}
    if not plane.dialled() and not routes["peers"]:
        # Names of other nodes stay, and a node that is sought may come back.
        held |= {name: routes[name] for name in ("names", "places", "lost_connections")}
    left = {name: figure for name, figure in held.items() if figure}
    return [f"{host.name} holds, though nobody is connected, {left}"] if left else []


def remains(host: SimHost) -> list[str]:
    """What is still there on a host on which everything was closed."""
    process = host.process
    if process is None:
        return []
    found = []
    for plane in host.planes:
        left = [*_actors(plane, AppActor), *_actors(plane, SessionActor)]
        if left:
            found.append(f"{host.name}: actors are left: {', '.join(type(one).__name__ for one in left)}")
        if plane.system._inboxes:
            found.append(f"{host.name}: {len(plane.system._inboxes)} inboxes are open")
    if len(process.surroundings.identities):
        found.append(f"{host.name}: {len(process.surroundings.identities)} identities are held")
    tasks = [task for task in process.site.tasks.values() if not task.done()]
    current = asyncio.current_task()
    found += [
        f"{host.name}: the task {task.get_name()} runs on, at {waits_at(task.get_coro())}"
        for task in tasks
        if task is not current
    ]
    return found


def _actors(plane: DataPlane, kind: type[Any]) -> list[Any]:
    return [cell.actor for cell in plane.system._actors.values() if isinstance(cell.actor, kind)]


def unseen_error(context: dict[str, Any]) -> str:
    """A sentence about what asyncio's exception handler was told."""
    error = context.get("exception")
    said = described(error) if isinstance(error, BaseException) else repr(error)
    return f"an error that nobody saw: {context.get('message')}: {said}"


def unseen_end(task: asyncio.Task[Any]) -> BaseException | None:
    """The error that ended a program, if nobody asked for it. To exit with 0 is none."""
    if not task.done() or task.cancelled() or not getattr(task, "_log_traceback", False):
        return None
    error = task.exception()
    return None if isinstance(error, SystemExit) and not error.code else error


def failed_programs(hosts: Iterable[SimHost]) -> list[str]:
    """Sentences about programs that failed where nobody waited for them."""
    return [
        f"{task.get_name()} failed: {described(error)}"
        for host in hosts
        for task in host.tasks
        if (error := unseen_end(task))
    ]


def _listed(names: Iterable[Name]) -> str:
    return ", ".join(sorted(map(str, names))) or "nobody"
