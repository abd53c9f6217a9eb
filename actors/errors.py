"""Errors of links, sessions and delivery. (Configuration, tokens and cryptography: `identity/errors.py`.)

SlimError
├── LinkError                         a connection to another node
│   ├── NotConnected (RuntimeError)   an operation needs a connection and there is none
│   ├── ConnectionLost                it was there and ended for good
│   │   └── CannotConnect             it never came to be
│   ├── AlreadyConnected              this endpoint is connected already
│   └── ProtocolError                 the peer spoke wrongly; costs it its message or its connection
├── SlimTimeout (TimeoutError)        nothing came in time; also spelled SLIMTimeoutError
├── SessionError                      a session's protocol
│   ├── SessionClosed                 the session ended, here or there
│   ├── HandshakeFailed               it was never established
│   ├── NotModerator                  only the moderator of a group may do this
│   ├── ParticipantExists             the name is in the group already
│   ├── ParticipantNotFound           the name is not in the group
│   └── ParticipantDisconnected       a member stopped answering or left
└── DeliveryError                     one message
    ├── MessageUndelivered            it was never acknowledged by everybody
    ├── MessageLost                   a gap that its sender could not fill
    ├── NoRoute                       no connection leads to the destination
    │   └── NobodyThere               no node of the backbone has the name, at this moment
    ├── MessageTooLarge               over the limit of the link
    └── QueueFull                     a bounded queue had no room

The texts keep the words that users of the original bindings match on (`api.md` 4.5).
"""

from __future__ import annotations

from identity.errors import SlimError


def as_written(name: str) -> str:
    """A printed name as people write it: the first digits of its instance id, or none (`Name.short`)."""
    path, _, id = name.rpartition("/")
    if path.count("/") < 2 or len(id) <= 4:
        return name
    return path if id == "f" * 16 else f"{path}/{id.rjust(16, '0')[:4]}"


class LinkError(SlimError):
    """Something about a connection to another node."""


class NotConnected(LinkError, RuntimeError):
    """An operation needs a connection and there is none."""

    def __init__(self, message: str = "No active connection. Please connect first.") -> None:
        super().__init__(message)


class ConnectionLost(LinkError):
    """The connection to `endpoint` ended for good."""

    def __init__(self, endpoint: str, cause: str) -> None:
        super().__init__(f"connection to {endpoint} lost: {cause}")
        self.endpoint = endpoint
        self.cause = cause


class CannotConnect(ConnectionLost):
    """Nobody at `endpoint` takes our connection."""

    def __init__(self, endpoint: str, cause: str) -> None:
        LinkError.__init__(self, f"cannot connect to {endpoint}: {cause}")
        self.endpoint = endpoint
        self.cause = cause


class AlreadyConnected(LinkError):
    """This endpoint is connected already."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(f"client already connected: {endpoint}")
        self.endpoint = endpoint


class ProtocolError(LinkError):
    """The peer spoke wrongly. `what` says which rule it broke."""

    def __init__(self, what: str) -> None:
        super().__init__(f"protocol error: {what}")
        self.what = what


class SlimTimeout(SlimError, TimeoutError):
    """Nothing came in time. The fields are those of the 0.7 package's SLIMTimeoutError."""

    def __init__(
        self,
        message: str = "timed out",
        *,
        message_id: int | None = None,
        session_id: int | None = None,
        original_exception: BaseException | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.message_id = message_id
        self.session_id = session_id
        self.original_exception = original_exception


SLIMTimeoutError = SlimTimeout
"""As the 0.7 package spells it."""


class SessionError(SlimError):
    """The protocol of a session. `session_id` tells which, when one is known."""

    def __init__(self, message: str, *, session_id: int | None = None) -> None:
        super().__init__(message)
        self.session_id = session_id


class SessionClosed(SessionError):
    """The session ended. `cause` says why, when that is known."""

    def __init__(self, cause: str = "", *, session_id: int | None = None) -> None:
        super().__init__(f"session closed: {cause}" if cause else "session closed", session_id=session_id)
        self.cause = cause


class HandshakeFailed(SessionError):
    """The session, or one member's part in it, was never established."""

    def __init__(self, message: str = "session handshake failed", *, session_id: int | None = None) -> None:
        super().__init__(message, session_id=session_id)


class NotModerator(SessionError):
    """Only the moderator of a group may invite, remove and close it."""


class ParticipantExists(SessionError):
    """The name is in the group already (compared without id, `session.md` 6.2)."""

    def __init__(self, name: str, *, session_id: int | None = None) -> None:
        super().__init__(f"participant already in group: {as_written(name)}", session_id=session_id)
        self.name = name


class ParticipantNotFound(SessionError):
    """The name is not in the group."""

    def __init__(self, name: str, *, session_id: int | None = None) -> None:
        super().__init__(f"participant not found: {as_written(name)}", session_id=session_id)
        self.name = name


class ParticipantDisconnected(SessionError):
    """A member left or stopped answering (`session.md` 8)."""

    def __init__(self, name: str, cause: str = "", *, session_id: int | None = None) -> None:
        why = f" ({cause})" if cause else ""
        super().__init__(f"participant disconnected: {as_written(name)}{why}", session_id=session_id)
        self.name = name
        self.cause = cause


class DeliveryError(SlimError):
    """One message could not be delivered."""


class MessageUndelivered(DeliveryError):
    """Not everybody acknowledged the message; `missing` names who did not, `gone` those of them that are no
    members any more. `cause` says why, where somebody said so while it was sent."""

    def __init__(
        self, message_id: int, missing: tuple[str, ...] = (), gone: tuple[str, ...] = (), cause: str = ""
    ) -> None:
        who = f"; no acknowledgement from {', '.join(map(as_written, missing))}" if missing else ""
        if gone:
            who += f"; no member any more: {', '.join(map(as_written, gone))}"
        if cause:
            who += f"; {cause}"
        super().__init__(
            f"error send message {message_id}. stop retrying "
            f"(message send retries exhausted for id={message_id}{who})"
        )
        self.message_id = message_id
        self.missing = missing
        self.gone = gone
        self.cause = cause


class MessageLost(DeliveryError):
    """A gap in what a sender sent could not be filled; later messages follow."""

    def __init__(self, session_id: int, source: str = "", message_id: int | None = None) -> None:
        where = f" (message {message_id} of {as_written(source)})" if message_id is not None else ""
        super().__init__(f"message lost: {session_id}{where}")
        self.session_id = session_id
        self.source = source
        self.message_id = message_id


class NoRoute(DeliveryError):
    """No connection leads to `destination`."""

    def __init__(self, destination: str) -> None:
        super().__init__(f"no matching route found for {as_written(destination)}; set_route or connect first")
        self.destination = destination


class NobodyThere(NoRoute):
    """No node of the backbone has `destination` at this moment: it may be on its way, and is tried again."""

    def __init__(self, destination: str) -> None:
        super().__init__(destination)
        self.args = (f"nobody on the backbone has {as_written(destination)} now",)


class MessageTooLarge(DeliveryError):
    """A message of `size` bytes is over the link's limit of `limit` bytes."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"message of {size} bytes exceeds the limit of {limit} bytes (max_message_size)")
        self.size = size
        self.limit = limit


class QueueFull(DeliveryError):
    """The queue `name`, bounded to `bound` entries, had no room."""

    def __init__(self, name: str, bound: int) -> None:
        super().__init__(f"queue full: {name} holds its {bound} entries")
        self.name = name
        self.bound = bound
