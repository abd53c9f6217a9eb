"""What the peer of one connection may do by name: the rules of the node, and what they decided for it.

    link ──► Connection ── frames ──► Gate ── those that may pass ──► router
                                       │ no rules: nothing is looked at
                                       └ remembers for each action and name what the rules said

An action is told from a frame: a message with a payload publishes, a DISCOVERY_REQUEST or JOIN_REQUEST
invites. Answers, acknowledgements and what else belongs to a session pass: its beginning was judged.
Subscriptions the route table judges (`RouteControl`), which also has those that come back with a lost link.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from actors.memo import Memo
from actors.messages.wire import Frame, Inbound, MessageType
from actors.names import Key, Name
from actors.record import record

_DECIDED_BOUND = 1024
_INVITING = frozenset({MessageType.DISCOVERY_REQUEST, MessageType.JOIN_REQUEST})


class Action(StrEnum):
    """What somebody does with a name."""

    SUBSCRIBE = "subscribe"
    PUBLISH = "publish"
    INVITE = "invite"


@record
class ConnectionIdentity(NamedTuple):
    """Who is at the other end of a connection, as its opening proved; without anything: nobody known."""

    node: bool = False
    """A node that proved to be one, or the backbone; nothing else is asked of it."""
    user: str = ""
    subject: str = ""
    """Of a token."""
    names: frozenset[str] = frozenset()
    """In a certificate: SPIFFE IDs, DNS names, the common name."""

    def __str__(self) -> str:
        """For people."""
        if self.node:
            return "a node"
        proved = [*([f"user {self.user}"] if self.user else []), *([self.subject] if self.subject else [])]
        return ", ".join([*proved, *sorted(self.names)]) or "anonymous"


NODE = ConnectionIdentity(node=True)


class NameRules(Protocol):
    """Rules, which do not change: others come in their place."""

    def why_not(self, who: ConnectionIdentity, action: Action, key: Key) -> str:
        """By which rule somebody may not; nothing when it may."""


class RulesInForce:
    """The rules of a node, one object for all its gates; None: everybody may everything."""

    __slots__ = ("rules",)

    def __init__(self, rules: NameRules | None = None) -> None:
        self.rules = rules


@record
class Judged(NamedTuple):
    """What passed, and what did not."""

    passing: Sequence[Inbound]
    refused: Sequence[tuple[Action, Frame, str]]
    """With the rule."""


class Gate:
    """Of one connection. `kind` tells the message type of a control frame."""

    __slots__ = ("_by_action", "_kind", "_rules", "held", "who")

    def __init__(self, held: RulesInForce, who: ConnectionIdentity, kind: Callable[[Frame], int]) -> None:
        self.held = held
        self.who = who
        self._kind = kind
        self._rules: NameRules | None = None
        self._by_action: dict[Action, Memo[Key, str]] = {each: Memo(_DECIDED_BOUND) for each in Action}

    def opened_by_node(self) -> None:
        """The other end proved to be a node: what was decided for it is void."""
        self.who = NODE
        self._rules = None

    def judge(self, frames: Sequence[Inbound]) -> Judged:
        """Sort what came in. To be asked where there are rules."""
        passing: list[Inbound] = []
        refused: list[tuple[Action, Frame, str]] = []
        for frame in frames:
            if type(frame) is Frame:
                if not frame.control:
                    action = Action.PUBLISH
                elif self._kind(frame) in _INVITING:
                    action = Action.INVITE
                else:
                    passing.append(frame)
                    continue
                why = self.why_not(action, frame.key)
                if why:
                    refused.append((action, frame, why))
                    continue
            passing.append(frame)
        return Judged(passing, refused)

    def why_not(self, action: Action, key: Key) -> str:
        """By which rule the peer may not do so; nothing when it may."""
        rules = self.held.rules
        if rules is None:
            return ""
        if rules is not self._rules:
            self._rules = rules
            for decided in self._by_action.values():
                decided.clear()
        decided = self._by_action[action]
        why = decided.get(key)
        return decided.remember(key, rules.why_not(self.who, action, key)) if why is None else why


Forbidden = Callable[[int, Action, Name | None, str], None]
"""Told of a connection that did what it may not: the name, where it is known, and the rule."""
