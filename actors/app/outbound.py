"""From the messages of sessions to what leaves by each connection: route, identity, one encoding for all."""

from __future__ import annotations

from typing import Any, NamedTuple

from actors.app.routes import Routes
from actors.errors import NoRoute
from actors.messages.codec import Codec
from actors.messages.wire import ONE, Frame, SessionMessage
from identity.errors import SlimError


class Departures(NamedTuple):
    """What leaves, by connection and in order, and what cannot."""

    batches: dict[int, list[Frame | SessionMessage]]
    refused: list[tuple[SessionMessage, SlimError]]


def departures(
    messages: tuple[SessionMessage, ...], token: str, routes: Routes, own: int, codec: Codec
) -> Departures:
    """Find the way of each message of the application at connection `own`, whose identity is `token`.

    Messages to applications of the same process stay records; for others they are encoded once, however many
    connections they leave by.
    """
    encode = codec.encode
    batches: dict[int, list[Frame | SessionMessage]] = {}
    refused: list[tuple[SessionMessage, SlimError]] = []
    last: Any = None
    targets: tuple[int, ...] = ()
    for message in messages:
        destination, fanout, pinned = message.destination, message.fanout, message.connection
        # Messages of one batch mostly go the same way; anycast takes a turn for each.
        route = (destination, fanout, pinned) if fanout != ONE or destination.has_id else None
        if route is None or route != last:
            targets, last = routes.find(message), route
        if not targets:
            refused.append((message, NoRoute(str(destination))))
            continue
        item: Frame | SessionMessage | None = None
        frame: Frame | None = None
        for target in targets:
            if routes.is_local(target, destination.key):
                item = message._replace(identity=token, connection=own)
            else:
                if frame is None:
                    try:
                        frame = encode(message, token)
                    except SlimError as error:
                        refused.append((message, error))
                        break
                item = frame
            batch = batches.get(target)
            if batch is None:
                batches[target] = [item]
            else:
                batch.append(item)
    return Departures(batches, refused)
