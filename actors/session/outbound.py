"""What a session puts out itself, by what its App told it (`design.md` 5.2).

    SessionActor ── Forward ──► Connection           the way is plain: the table, or what the session bound
                 ── Outbound ──► App ── Forward      all else: anycast, no route, no token, not attached yet

The App told it once, when it was spawned: the table to read, the codec, where tokens come from. Nothing of
that is the session's to change. Whatever the App alone can decide goes to the App, and until the App says
that it is out (PutOut) everything behind it goes there too, so that order holds on every connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from thespian.actors import ActorAddress

from actors.messages.codec import Codec
from actors.messages.wire import ONE, Frame, SessionMessage
from actors.names import Name
from actors.routing.view import RouteView, Targets
from identity.errors import SlimError


class WayOut(NamedTuple):
    """What an App tells its sessions."""

    own: int
    """The App's connection."""
    view: RouteView
    codec: Codec
    token: Callable[[], str]
    """The token to send with now. Raises AuthError or ConfigError."""
    last_token: str
    """The one that the App sent with last."""


Batch = tuple[ActorAddress, list[Frame | SessionMessage]]
"""What leaves by one connection, in order."""

_Route = tuple[Name, int, int | None]
"""Destination, fan-out, and the connection that a message is pinned to."""


class DirectOutbound:
    """One session's choice of connections. `renewed`: the latest token is another one than before."""

    __slots__ = ("_bound", "_chosen", "_route", "_targets", "_token", "_way", "renewed")

    def __init__(self, way: WayOut) -> None:
        self.renewed = False
        self._way = way
        self._token = way.last_token
        self._bound: dict[Name, int] = {}
        # The latest choice, which holds as long as the table leads that name to the same connections.
        self._route: _Route | None = None
        self._targets: Targets | None = None
        self._chosen: tuple[tuple[int, bool], ...] = ()

    def bind(self, name: Name, connection: int) -> None:
        """A peer or channel is reached by `connection`, as the session learned on the way."""
        self._bound[name] = connection
        self._route = None

    def unbind(self, name: Name) -> None:
        self._bound.pop(name, None)
        self._route = None

    def batches(self, messages: list[SessionMessage]) -> list[Batch] | None:
        """What leaves, by connection; None when it is the App's to put these out, all of them."""
        own, view, codec, current, _ = self._way
        addresses, by_name = view.addresses, view.by_name
        if own not in addresses:
            return None
        try:
            token = current()
        except SlimError:
            return None
        if token is not self._token:
            self._token, self.renewed = token, True
        found: dict[int, list[Frame | SessionMessage]] = {}
        for message in messages:
            destination, fanout = message.destination, message.fanout
            route = (destination, fanout, message.connection)
            targets = by_name.get(destination.key)
            if route != self._route or targets is not self._targets:
                self._chosen = self._choose(route, targets)
                self._route, self._targets = route, targets
            if not self._chosen:
                return None
            frame: Frame | None = None
            for connection, local in self._chosen:
                item: Frame | SessionMessage
                if local:
                    item = message._replace(identity=token, connection=own)
                else:
                    if frame is None:
                        try:
                            frame = codec.encode(message, token)
                        except SlimError:
                            return None
                    item = frame
                batch = found.get(connection)
                if batch is None:
                    found[connection] = [item]
                else:
                    batch.append(item)
        out: list[Batch] = []
        for connection, batch in found.items():
            address = addresses.get(connection)
            if address is None:
                self._route = None
                return None
            out.append((address, batch))
        return out

    def _choose(self, route: _Route, of_name: Targets | None) -> tuple[tuple[int, bool], ...]:
        """The connections, and whether each is an application of this process; none: let the App decide."""
        own, view = self._way.own, self._way.view
        destination, fanout, pinned = route
        local = of_name.local if of_name is not None else ()
        if pinned is not None and pinned in view.addresses:
            return ((pinned, pinned in local),)
        targets = view.find(destination.key, destination.id)
        bound = self._bound.get(destination)
        if bound is not None and bound not in view.addresses:
            bound = None
        if fanout == ONE:
            if not destination.has_id:
                return ()
            several = targets.local or targets.remote if targets is not None else ()
            if len(several) > 1:
                return ()
            chosen: list[int | None] = [c for c in several if c != own] or [bound]
        else:
            chosen = [c for c in targets.all if c != own] if targets is not None else []
            if bound not in chosen:
                chosen.append(bound)
        return tuple((c, c in local) for c in chosen if c is not None)
