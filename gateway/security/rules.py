"""Rules by name: who of those that are connected may subscribe, publish to and invite which names.

    # allow or deny   who                        what              name
    allow             user:alice                 *                 org/alice/*
    allow             spiffe://example.org/ops/* publish,invite    org/*
    deny              anyone                     subscribe,invite  org/private/*
    allow             node                       *                 *
    deny              anonymous                  *                 *

One rule a line; the first that fits decides; where none does, everybody may. A name is `*`, `org/*`,
`org/ns/*` or `org/ns/app` (with all its instances). Who is

    anyone              every connection but those of nodes
    anonymous           one that proved nothing
    user:NAME           a user of basic authentication
    subject:NAME        the subject of a token
    certificate:NAME    a DNS name or the common name of a client certificate
    spiffe://ID         a SPIFFE ID, of a certificate or a token
    node                a node that proved to be one (`PeerPolicy`) or that we dialled, and the backbone: no
                        other line is about those

and NAME and ID may end with a star, for all that begin so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from actors.names import Key, component_hash
from actors.routing.gate import Action, ConnectionIdentity
from identity.encoding import Malformed
from identity.files import read_file

RULES_BYTES = 1024 * 1024
RULES_BOUND = 10_000
"""Of one file: each name that a connection uses first is held against all that are about it."""
_VERDICTS = {"allow": True, "deny": False}
_KINDS = ("user", "subject", "certificate")
_WHO = "expected anyone, anonymous, node, user:NAME, subject:NAME, certificate:NAME or spiffe://ID"
_SPIFFE = "spiffe://"
_REMARK = re.compile(r"(^|\s)#.*")


@dataclass(frozen=True, slots=True)
class Rule:
    """One line."""

    line: int
    allows: bool
    who: str
    actions: frozenset[Action]
    name: str
    prefix: bytes
    """What the keys of these names begin with."""

    def __str__(self) -> str:
        """As people write it."""
        what = "*" if len(self.actions) == len(Action) else ",".join(sorted(self.actions))
        return f"{'allow' if self.allows else 'deny'} {self.who} {what} {self.name}"

    def is_about(self, who: ConnectionIdentity) -> bool:
        """Whether somebody is meant."""
        if who.node or self.who == "node":
            return who.node and self.who == "node"
        if self.who == "anyone":
            return True
        if self.who == "anonymous":
            return not (who.user or who.subject or who.names)
        if self.who.startswith(_SPIFFE):
            found = [each for each in (who.subject, *who.names) if each.startswith(_SPIFFE)]
            return any(_fits(self.who, each) for each in found)
        kind, _, wanted = self.who.partition(":")
        match kind:
            case "user":
                return bool(who.user) and _fits(wanted, who.user)
            case "subject":
                return bool(who.subject) and _fits(wanted, who.subject)
            case _:
                return any(_fits(wanted, each) for each in who.names if not each.startswith(_SPIFFE))

    def decides(self, action: Action, key: Key) -> bool:
        """Whether it is about this, whoever does it."""
        return action in self.actions and key.startswith(self.prefix)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of a file, in their order. `where` is the file, for people."""

    rules: tuple[Rule, ...]
    where: str = "the rules"
    _of: dict[ConnectionIdentity, tuple[Rule, ...]] = field(default_factory=dict, repr=False, compare=False)
    """Those about somebody who asked lately."""

    @classmethod
    def parse(cls, text: str, where: str = "the rules") -> RuleSet:
        """Read rules. Raises Malformed naming the line."""
        rules: list[Rule] = []
        for number, line in enumerate(text.splitlines(), 1):
            words = _REMARK.sub("", line).split()
            if not words:
                continue
            if len(rules) == RULES_BOUND:
                raise Malformed(f"line {number}: more than {RULES_BOUND} rules")
            try:
                rules.append(_rule(number, words))
            except Malformed as error:
                raise Malformed(f"line {number}: {error}") from None
        return cls(tuple(rules), where)

    @classmethod
    def load(cls, path: str) -> RuleSet:
        """Read a file. Raises Malformed."""
        try:
            return cls.parse(read_file(path, max_bytes=RULES_BYTES).data.decode("utf-8-sig"), path)
        except UnicodeDecodeError:
            raise Malformed("not UTF-8") from None

    def ruling(self, who: ConnectionIdentity, action: Action, key: Key) -> Rule | None:
        """The rule that decides; None where no rule does, and everybody may."""
        mine = self._of.get(who)
        if mine is None:
            if len(self._of) >= _IDENTITIES:
                self._of.clear()
            mine = self._of[who] = tuple(rule for rule in self.rules if rule.is_about(who))
        return next((rule for rule in mine if rule.decides(action, key)), None)

    def why_not(self, who: ConnectionIdentity, action: Action, key: Key) -> str:
        """By which rule somebody may not; nothing when it may."""
        rule = self.ruling(who, action, key)
        return "" if rule is None or rule.allows else f"{self.where}, line {rule.line}"


_IDENTITIES = 1024


def _rule(line: int, words: list[str]) -> Rule:
    if len(words) != 4:
        raise Malformed(f"expected four words: allow or deny, who, what, name; these are {len(words)}")
    verdict, who, what, name = words
    if verdict not in _VERDICTS:
        raise Malformed(f"expected allow or deny, got {verdict!r}")
    return Rule(line, _VERDICTS[verdict], _checked_who(who), _actions(what), name, name_prefix(name))


def _checked_who(who: str) -> str:
    if not who.isprintable():
        raise Malformed(f"a character in {who!r} cannot be printed")
    kind, separator, name = who.partition(":")
    if who in ("anyone", "anonymous", "node") or (kind in _KINDS and name):
        return who
    if separator and who.startswith(_SPIFFE) and len(who) > len(_SPIFFE):
        return who
    raise Malformed(f"{_WHO}, got {who!r}")


def _actions(what: str) -> frozenset[Action]:
    if what == "*":
        return frozenset(Action)
    known: Mapping[str, Action] = {each.value: each for each in Action}
    unknown = [word for word in what.split(",") if word not in known]
    if unknown:
        raise Malformed(f"expected *, or of {', '.join(known)} some with commas between, got {unknown[0]!r}")
    return frozenset(known[word] for word in what.split(","))


def parse_action(what: str) -> Action:
    """One action. Raises Malformed."""
    found = list(_actions(what))
    if len(found) != 1:
        raise Malformed(f"expected one of {', '.join(Action)}, got {what!r}")
    return found[0]


def name_prefix(name: str) -> bytes:
    """What the keys of all names that `name` stands for begin with. Raises Malformed."""
    if name == "*":
        return b""
    *given, last = name.split("/")
    parts = given if last == "*" else [*given, last]
    while parts and len(given) == 2 and parts[-1] == "*":
        # As routes by hand write an organisation: org/*/*.
        parts = parts[:-1]
    if not name.isprintable():
        raise Malformed(f"a character in {name!r} cannot be printed")
    whole = len(parts) == 3 and last != "*"
    if not parts or not all(parts) or any("*" in part for part in parts) or not (whole or last == "*"):
        raise Malformed(f"expected *, org/*, org/ns/* or org/ns/app, got {name!r}")
    if len(given) > 2:
        raise Malformed(f"a name has three parts, got {name!r}")
    return b"".join(component_hash(part).to_bytes(8) for part in parts)


def parse_identity(text: str) -> ConnectionIdentity:
    """Who a word of a rule means, if it means somebody: for trying rules out. Raises Malformed."""
    if text in ("anyone", "anonymous"):
        return ConnectionIdentity()
    if text == "node":
        return ConnectionIdentity(node=True)
    kind, _, name = _checked_who(text).partition(":")
    match kind:
        case "user":
            return ConnectionIdentity(user=name)
        case "subject":
            return ConnectionIdentity(subject=name)
        case "certificate":
            return ConnectionIdentity(names=frozenset({name}))
    return ConnectionIdentity(names=frozenset({text}))


def _fits(wanted: str, name: str) -> bool:
    return name.startswith(wanted[:-1]) if wanted.endswith("*") else name == wanted


def placed(error: Malformed) -> str:
    """What is wrong with a file of rules, to stand behind its name: in a line of it, or with all of it."""
    return f", {error}" if str(error).startswith("line ") else f": {error}"
