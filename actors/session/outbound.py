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
from actors.messages.wire import ONE, Frame, Hint, SessionMessage
from actors.names import Name
from actors.record import record
from actors.routing.view import RouteView, Targets


@record
class WayOut(NamedTuple):
    """What an App tells its sessions."""

    own: int
    """The App's connection."""
    view: RouteView
    codec: Codec
    token: Callable[[float], str]
    """The token to send with at a time. Raises AuthError or ConfigError."""
    wall: Callable[[], float]
    """Unix seconds."""
    last_token: str
    """The one that the App sent with last."""


Batch = tuple[ActorAddress, list[Frame | SessionMessage]]
"""What leaves by one connection, in order."""


class DirectOutbound:
    """One session's choice of connections. `renewed`: the latest token is another one than before."""

    __slots__ = (
        "_bound",
        "_chosen",
        "_destination",
        "_fanout",
        "_pinned",
        "_targets",
        "_token",
        "_version",
        "_way",
        "renewed",
    )

    def __init__(self, way: WayOut) -> None:
        self.renewed = False
        self._way = way
        self._token = way.last_token
        self._bound: dict[Name, tuple[int, ...]] = {}
        self._version = way.view.bindings.version
        # The latest choice, which holds as long as the table leads that name to the same connections.
        self._destination: Name | None = None
        self._fanout = ONE
        self._pinned: int | None = None
        self._targets: Targets | None = None
        self._chosen: tuple[tuple[int, bool], ...] = ()

    def told(self, hint: Hint, connection: int, now: float) -> ActorAddress | None:
        """Where a hint goes that is for who is behind `connection`; it is remembered here too."""
        self._way.view.past.tell(hint, now)
        return self._way.view.addresses.get(connection)

    def bind(self, name: Name, connection: int, *, also: bool = False) -> None:
        """A peer or channel is reached by `connection` (`also`: beside others), as the session learned."""
        before = self._bound.get(name, ()) if also else ()
        others = [each for each in before if each != connection] if before else ()
        self._bound[name] = (*others, connection)
        self._destination = None

    def move(self, gone: tuple[int, ...], connection: int) -> None:
        """Who was reached by connections that are gone is reached by `connection`."""
        for name, bound in self._bound.items():
            self._bound[name] = tuple(dict.fromkeys(connection if each in gone else each for each in bound))
        self._destination = None

    def unbind(self, name: Name) -> None:
        self._bound.pop(name, None)
        self._destination = None

    def batches(self, messages: list[SessionMessage]) -> list[Batch] | None:
        """What leaves, by connection; None when it is the App's to put these out, all of them."""
        own, view, codec, token_at, wall, _ = self._way
        addresses, by_name = view.addresses, view.by_name
        if own not in addresses:
            return None
        if view.bindings.version != self._version:
            self._version, self._destination = view.bindings.version, None
        found: dict[int, list[Frame | SessionMessage]] = {}
        try:
            token = token_at(wall())
            for message in messages:
                destination, fanout, pinned = message.destination, message.fanout, message.connection
                targets = by_name.get(destination.key)
                if (
                    destination is not self._destination
                    or targets is not self._targets
                    or pinned != self._pinned
                    or fanout != self._fanout
                ):
                    self._choose(message.session_id, destination, fanout, pinned, targets)
                if not self._chosen:
                    return None
                frame: Frame | None = None
                for connection, local in self._chosen:
                    item: Frame | SessionMessage
                    if local:
                        item = message._replace(identity=token, connection=own)
                    else:
                        item = frame = frame or codec.encode(message, token)
                    batch = found.get(connection)
                    if batch is None:
                        found[connection] = [item]
                    else:
                        batch.append(item)
            batches = [(addresses[connection], batch) for connection, batch in found.items()]
        except Exception:
            # No token, no encoding, a connection that is gone: the App meets it too, and says so.
            self._destination = None
            return None
        if token is not self._token:
            self.renewed = token != self._token
            self._token = token
        return batches

    def _choose(
        self, session_id: int, destination: Name, fanout: int, pinned: int | None, of_name: Targets | None
    ) -> None:
        """Find the connections, and whether each is an application of this process; none: the App decides."""
        self._destination, self._fanout, self._pinned, self._targets = destination, fanout, pinned, of_name
        own, view = self._way.own, self._way.view
        addresses = view.addresses
        local = of_name.local if of_name is not None else ()
        if pinned is not None and pinned in addresses and view.may_serve(pinned, destination):
            self._chosen = ((pinned, pinned in local),)
            return
        found: list[int] = []
        if fanout != ONE or destination.has_id:
            targets = view.find(destination.key, destination.instance)
            bound = self._bound.get(destination, ())
            known = view.bindings.routes(bound, session_id, destination, addresses)
            if targets is not None:
                found += targets.all if fanout != ONE else targets.first
            if fanout != ONE:
                found += [connection for connection in known if connection not in found]
            elif not found:
                found += known[:1]
            if own in found:
                found.remove(own)
            if of_name is None and targets is not None:
                # By a route for many names, of which this session does not hear when it goes.
                found.clear()
            if fanout == ONE and len(found) > 1:
                # Each in turn, for all sessions of the application together.
                found.clear()
        self._chosen = tuple((connection, connection in local) for connection in found)
