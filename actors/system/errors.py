"""What the actor system raises on purpose.

SlimError
└── ActorSystemError
    ├── AskFailed                     no answer came to `ask`; names the actor and the message's type
    │   ├── AskTimeout (TimeoutError) none within the time given
    │   ├── ActorGone                 the actor has exited, or there never was one
    │   ├── ActorFailed               the actor raised twice on the message
    │   └── MailboxFull               the actor's mailbox refused it
    ├── SystemStopped                 the system is shutting down or has ended
    ├── NotInVocabulary               strict mode: an object that the vocabulary cannot carry
    ├── BlockingCall                  a blocking call on the loop's own thread
    ├── NotOnThisBase                 Thespian knows the operation, this system base does not
    └── KeyedError                    the keyed serializer
        ├── BadFrame                  a frame that is forged, damaged or of a class not allowed
        └── NotAllowed                an object that may not leave this process

No text ever holds a message, a payload or a key: only addresses and names of types.
"""

from __future__ import annotations

from identity.errors import SlimError


class ActorSystemError(SlimError):
    """Root of what the actor system raises."""


class AskFailed(ActorSystemError):
    """An `ask` got no answer. `actor` is the address asked (as text), `message` the type's name."""

    def __init__(self, actor: str, message: str, why: str) -> None:
        super().__init__(f"no answer to {message} from {actor}: {why}")
        self.actor = actor
        self.message = message


class AskTimeout(AskFailed, TimeoutError):
    """No answer within `timeout` seconds."""

    def __init__(self, actor: str, message: str, timeout: float) -> None:
        super().__init__(actor, message, f"none within {timeout:g} s; give it longer or look at its status")
        self.timeout = timeout


class ActorGone(AskFailed):
    """The actor asked has exited, or the address never belonged to one."""

    def __init__(self, actor: str, message: str) -> None:
        super().__init__(actor, message, "there is no such actor (any more)")


class ActorFailed(AskFailed):
    """The actor raised on the message, and again when it was retried. `details` is the traceback's text."""

    def __init__(self, actor: str, message: str, details: str | None) -> None:
        super().__init__(actor, message, "it raised twice; see `details` for the traceback")
        self.details = details


class MailboxFull(AskFailed):
    """The actor's mailbox held `bound` messages and refused this one."""

    def __init__(self, actor: str, message: str, bound: int) -> None:
        super().__init__(
            actor, message, f"its mailbox is full ({bound} messages); send less or give it more room"
        )
        self.bound = bound


class SystemStopped(ActorSystemError):
    """The system is shutting down or has ended, so it takes no new work and answers none."""

    def __init__(self) -> None:
        super().__init__("the actor system has been shut down; start a new one")


class NotInVocabulary(ActorSystemError):
    """Strict mode met an object that the vocabulary cannot pack or unpack. `type_name` says which type."""

    def __init__(self, type_name: str) -> None:
        super().__init__(
            f"{type_name} is not a message of the vocabulary; declare it there, with its msgpack form"
        )
        self.type_name = type_name


class BlockingCall(ActorSystemError):
    """A blocking call was made on the thread that must run the loop."""

    def __init__(self, call: str) -> None:
        super().__init__(f"{call} would block the running loop; await the LoopSystem's own form instead")
        self.call = call


class NotOnThisBase(ActorSystemError):
    """An operation that this system base does not have. `remedy` says what to do instead."""

    def __init__(self, operation: str, remedy: str) -> None:
        super().__init__(f"{operation} is not available on this system base; {remedy}")
        self.operation = operation


class KeyedError(ActorSystemError):
    """Root of what the keyed serializer raises."""


class BadFrame(KeyedError):
    """A frame was refused. `rule` is a short stable word: "short", "forged", "damaged" or "class"."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


class NotAllowed(KeyedError):
    """An object of a type that is not on the allow-list was about to be sent."""

    def __init__(self, type_name: str) -> None:
        super().__init__(f"{type_name} may not cross a process boundary; use a message of the vocabulary")
        self.type_name = type_name
