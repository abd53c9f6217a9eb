"""What an application's actor is given beside messages."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple

from thespian.actors import ActorAddress

from actors.messages.codec import Codec
from actors.moderation.leading import JournaledGroup
from actors.names import Name
from actors.record import record
from actors.routing.view import RouteView
from actors.session.conversation import Draw
from actors.session.crypto import CryptoFactory
from actors.system.tasks import SpawnTask
from actors.telemetry import Registry
from identity.protocols import Provider, Verifier


@record
class Collaborators(NamedTuple):
    """The parts of the process that an App works with."""

    route_table: ActorAddress
    routes: RouteView
    """The table that this actor writes, to read."""
    codec: Codec
    provider: Provider
    verifier: Verifier
    clock: Callable[[], float]
    """Seconds that only grow."""
    wall: Callable[[], float]
    """Unix seconds."""
    draw: Draw
    spawn_task: SpawnTask
    telemetry: Registry
    """Where the App and its sessions count."""
    crypto: CryptoFactory | None = None
    """None: sessions with MLS are refused."""
    leading: Mapping[Name, JournaledGroup] = {}
    """The groups that a journal is kept of, by their channels."""
    groups: ActorAddress | None = None
    """Who is told which groups this application leads."""
    threads: Callable[[Callable[[], None]], Coroutine[Any, Any, None]] | None = None
    """Runs long cryptography of large groups elsewhere; None: in the actor's own turn."""
