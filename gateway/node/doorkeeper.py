"""Who may come in at a node, and what those who are in may do by name: what is in force, and what it refuses.

Shells ask: the data plane about new connections, the route table about names, each Connection by its gate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from actors.alarm import Alarm
from actors.messages.wire import Introduction
from actors.names import Key, Name
from actors.routing.gate import Action, ConnectionIdentity, Gate, RulesInForce
from actors.routing.node_links import NodeLinks
from actors.routing.pace import SendingLimits
from gateway.codec import kind_of
from gateway.config.auth import Proof
from gateway.config.network import CONNECTIONS, LimitsConfig
from gateway.http2.acceptor import PerHost
from gateway.links.link import AcceptedLink
from gateway.node.peer_policy import NodeCaller, PeerPolicy, identities
from gateway.security.door import Door, DoorRule, host_of
from gateway.security.rules import RuleSet
from identity.log import logger

TOLD_PER_HOST = 16
"""Connections of one address beyond its own, which are told so; further ones are closed unread."""
_HERE = ("unix socket", "memory")
"""What stands in the place of an address where there is none."""


class Doorkeeper:
    """Of one node."""

    def __init__(self, clock: Callable[[], float], policy: PeerPolicy, rules: RuleSet | None = None) -> None:
        self.door = Door(clock)
        self._clock, self._alarm = clock, Alarm()
        self._policy = policy
        self._held = RulesInForce(rules)
        self._gates: dict[int, tuple[Gate, str]] = {}
        """By connection, with the address of its other end."""
        self.connections: int = CONNECTIONS
        """How many may be open that others opened."""
        self.connections_per_address: int | None = None
        self.sending = SendingLimits()
        """How fast peers may send; each Connection asks it."""
        self.tcp = PerHost(self._most_of_one_host)
        """Connections without a stream too, at all listeners with our own framing."""
        self._callers: dict[int, str] = {}
        """Those that others opened, with the host that they are of."""
        self._hosts: Counter[str] = Counter()
        self.nodes: NodeLinks | None = None
        """The other nodes, to read: no two of them may have one id."""

    def limit(self, limits: LimitsConfig) -> None:
        """Put these limits in force; who is connected stays."""
        self.connections, self.connections_per_address = limits.connections, limits.connections_per_address
        self.sending.take(limits.messages_per_second, limits.bytes_per_second)

    def come(self, index: int, peer: str) -> str:
        """Somebody opened a connection: why it cannot stay; nothing when it can, and counts until `gone`."""
        host, rule, most = host_of(peer), "", 0
        per_address = self.connections_per_address
        if len(self._callers) >= self.connections:
            rule, most = DoorRule.CONNECTIONS, self.connections
        elif per_address is not None and host not in _HERE and self._hosts[host] >= per_address:
            rule, most = DoorRule.CONNECTIONS_PER_ADDRESS, per_address
        if rule:
            place = "this node" if rule == DoorRule.CONNECTIONS else f"{host} at this node"
            refusal = f"{place} has its {most} connections"
            self.door.refused(rule, peer, refusal)
            return refusal
        self._callers[index] = host
        self._hosts[host] += 1
        return ""

    def _most_of_one_host(self) -> int | None:
        """Somewhat more than streams: who is one too many is told so."""
        most = self.connections_per_address
        return None if most is None else most + TOLD_PER_HOST

    @property
    def callers(self) -> int:
        """How many connections others opened."""
        return len(self._callers)

    @property
    def most_of_one_address(self) -> int:
        """How many the address has that has most."""
        return max(self._hosts.values(), default=0)

    def paces(self, index: int) -> tuple[int | None, int | None]:
        """Messages and bytes a second that a connection may send; None: there is no limit for it."""
        gate = self._gates.get(index)
        if gate is not None and gate[0].who.node:
            return None, None
        return self.sending.messages_per_second, self.sending.bytes_per_second

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
        host = self._callers.pop(index, None)
        if host is not None:
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]

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

    def rule_against(self, index: int, action: Action, key: Key) -> str:
        """The rule by which a connection may not do so, as it stands in its file; nothing when it may."""
        known, rules = self._gates.get(index), self.rules
        if known is None or rules is None:
            return ""
        rule = rules.ruling(known[0].who, action, key)
        return "" if rule is None or rule.allows else f"{rules.where}, line {rule.line}: {rule}"

    def who(self, index: int) -> str:
        """Who is at the other end of a connection, for people; nothing when there is none."""
        known = self._gates.get(index)
        return str(known[0].who) if known is not None else ""

    def forbidden(self, index: int, action: Action, name: Name | None, why: str) -> None:
        """A connection did what it may not: count it, and tell people."""
        gate, peer = self._gates.get(index, (None, "unknown"))
        shown = name.short if name is not None else "a name"
        cause = f"may not {action} {shown} ({why})"
        self.door.refused(action, peer, cause, str(gate.who) if gate is not None else "")

    def admits(self, index: int, link: NodeCaller) -> Callable[[Introduction], str]:
        """Why somebody who calls as a node is not let in; nothing when it is."""
        return partial(self._admit, index, link)

    def _admit(self, index: int, link: NodeCaller, introduction: Introduction) -> str:
        refusal = self._policy.refusal(link, introduction)
        nodes = self.nodes
        if not refusal and nodes is not None and (refusal := nodes.why_not(introduction)):
            self._tell_of_namesake(nodes, link, introduction, refusal)
        elif refusal:
            who = ", ".join(sorted({link.subject, *identities(link.certificate)} - {""}))
            self.door.refused(DoorRule.NODE, link.peer, refusal, who)
        elif self._policy.is_proved(link, introduction):
            if index in self._gates:
                self._gates[index][0].opened_by_node()
        elif self._held.rules is not None and self._alarm.is_due(self._clock()):
            # Any program of this machine may say that it is a node.
            logger.warning(
                "a node that proved nothing is judged like everybody else",
                conn=index,
                peer=link.peer,
                cause="peers does not say who is a node; loopback: true takes the word of this machine",
            )
        return refusal

    def _tell_of_namesake(
        self, nodes: NodeLinks, link: NodeCaller, introduction: Introduction, refusal: str
    ) -> None:
        """It calls again and again: people are told once."""
        if nodes.is_news(introduction):
            there = self._gates.get(nodes.connection_of(introduction.node_id) or 0)
            other = f"that one is at {there[1]}" if there is not None else "it is this one"
            logger.warning(
                "a node is not taken as a peer",
                peer=link.peer,
                node=introduction.node_id,
                cause=f"{refusal} ({other})",
            )


def identity_of(link: AcceptedLink) -> ConnectionIdentity:
    """Who opened a connection, as that proved."""
    user = link.subject if link.proof is Proof.USER else ""
    subject = link.subject if link.proof is Proof.SUBJECT else ""
    return ConnectionIdentity(user=user, subject=subject, names=identities(link.certificate))
