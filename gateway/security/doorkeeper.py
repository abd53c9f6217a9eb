"""Who may come in at a node, and what those who are in may do by name: what is in force, and what it refuses.

Shells ask: the data plane about new connections, the route table about names, each Connection by its gate.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from actors.messages.wire import Introduction
from actors.names import Name
from actors.routing.gate import NODE, Action, ConnectionIdentity, Gate, RulesInForce
from gateway.codec import kind_of
from gateway.config.auth import Proof
from gateway.links.link import AcceptedLink
from gateway.node.peer_policy import NodeCaller, PeerPolicy, identities
from gateway.security.door import Door, DoorRule
from gateway.security.rules import RuleSet


class Doorkeeper:
    """Of one node."""

    def __init__(self, clock: Callable[[], float], policy: PeerPolicy, rules: RuleSet | None = None) -> None:
        self.door = Door(clock)
        self._policy = policy
        self._held = RulesInForce(rules)
        self._gates: dict[int, tuple[Gate, str]] = {}
        """By connection, with the address of its other end."""

    @property
    def rules(self) -> RuleSet | None:
        """What is in force; None: everybody may everything."""
        rules = self._held.rules
        assert rules is None or isinstance(rules, RuleSet)
        return rules

    def take(self, rules: RuleSet | None) -> None:
        """Put others in force, for those who are connected too."""
        self._held.rules = rules

    def gate(self, index: int, peer: str, who: ConnectionIdentity) -> Gate:
        """The gate of a new connection."""
        made = Gate(self._held, who, kind_of)
        self._gates[index] = made, peer
        return made

    def gone(self, index: int) -> None:
        """A connection is over. Idempotent."""
        self._gates.pop(index, None)

    def why_not_subscribe(self, index: int, name: Name) -> str:
        """Why a name does not lead to a connection, for its other end; nothing when it may."""
        known = self._gates.get(index)
        if known is None or self._held.rules is None:
            return ""
        why = known[0].why_not(Action.SUBSCRIBE, name.key)
        if not why:
            return ""
        self.forbidden(index, Action.SUBSCRIBE, name, why)
        # Where the rules stand is the operator's affair.
        return f"the rules of this node do not let {known[0].who} subscribe to {name.short}"

    def forbidden(self, index: int, action: Action, name: Name | None, why: str) -> None:
        """A connection did what it may not: count it, and tell people."""
        gate, peer = self._gates.get(index, (None, "unknown"))
        shown = name.short if name is not None else "a name"
        cause = f"may not {action} {shown} ({why})"
        self.door.refused(action, peer, cause, str(gate.who) if gate is not None else "")

    def admits(self, link: NodeCaller) -> Callable[[Introduction], str]:
        """Why somebody who calls as a node is not let in; nothing when it is."""
        return partial(self._admit, link)

    def _admit(self, link: NodeCaller, introduction: Introduction) -> str:
        refusal = self._policy.refusal(link, introduction)
        if refusal:
            who = ", ".join(sorted({link.subject, *identities(link.certificate)} - {""}))
            self.door.refused(DoorRule.NODE, link.peer, refusal, who)

        return refusal


def identity_of(link: AcceptedLink) -> ConnectionIdentity:
    """Who opened a connection, as that proved."""
    user = link.subject if link.proof is Proof.USER else ""
    subject = link.subject if link.proof is Proof.SUBJECT else ""
    return ConnectionIdentity(user=user, subject=subject, names=identities(link.certificate))


__all__ = ["NODE", "Doorkeeper", "identity_of"]
