"""Rules by name: reading them, and which line decides."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.names import Name
from actors.routing.gate import NODE, Action, ConnectionIdentity
from gateway.security.rules import Rule, RuleSet, name_prefix, parse_action, parse_identity, placed
from identity.encoding import Malformed

ALICE = ConnectionIdentity(user="alice")
AGENT = ConnectionIdentity(subject="agent-7")
SPIFFE = ConnectionIdentity(names=frozenset({"spiffe://example.org/ops/east", "east.example"}))
NOBODY = ConnectionIdentity()
EVERYBODY = (ALICE, AGENT, SPIFFE, NOBODY, NODE)

TEXT = """
# who                                what               name
allow user:alice                     *                  org/alice/*    # hers
deny  user:alice                     subscribe          org/*/*
allow spiffe://example.org/ops/*     publish,invite     org/*
allow subject:agent-*                publish            org/team/board
allow certificate:east.example       subscribe          org/east/*
deny  node                           *                  org/private/*
deny  anyone                         invite             *
deny  anonymous                      *                  org/ns/app
"""


def line(who: ConnectionIdentity, action: Action, name: str) -> int | None:
    rule = RuleSet.parse(TEXT).ruling(who, action, Name.parse(name).key)
    return None if rule is None else rule.line


@pytest.mark.parametrize(
    ("who", "action", "name", "decided"),
    [
        (ALICE, Action.SUBSCRIBE, "org/alice/inbox", 3),
        (ALICE, Action.SUBSCRIBE, "org/bob/inbox", 4),
        (ALICE, Action.PUBLISH, "org/bob/inbox", None),
        (ALICE, Action.INVITE, "org/bob/inbox", 9),
        (SPIFFE, Action.INVITE, "org/any/thing", 5),
        (SPIFFE, Action.INVITE, "other/any/thing", 9),
        (SPIFFE, Action.SUBSCRIBE, "org/east/x", 7),
        (AGENT, Action.PUBLISH, "org/team/board", 6),
        (AGENT, Action.PUBLISH, "org/team/other", None),
        (NODE, Action.SUBSCRIBE, "org/private/x", 8),
        (NODE, Action.INVITE, "org/ns/app", None),
        (NOBODY, Action.PUBLISH, "org/ns/app", 10),
        (NOBODY, Action.PUBLISH, "org/ns/app/1f", 10),
    ],
)
def test_the_first_line_that_fits_decides(
    who: ConnectionIdentity, action: Action, name: str, decided: int | None
) -> None:
    assert line(who, action, name) == decided


def test_what_is_forbidden_names_the_file_and_the_line() -> None:
    rules = RuleSet.parse(TEXT, "rules")
    assert rules.why_not(ALICE, Action.SUBSCRIBE, Name.parse("org/x/y").key) == "rules, line 4"
    assert rules.why_not(ALICE, Action.PUBLISH, Name.parse("org/x/y").key) == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("allow anyone *", "line 1: expected four words"),
        ("\npermit anyone * *", "line 2: expected allow or deny, got 'permit'"),
        ("allow user:\x1b[2Jeve * *", r"line 1: a character in 'user:\\x1b\[2Jeve' cannot be printed"),
        ("allow anyone * org/\x07/*", "line 1: a character in"),
        ("allow bob * *", "line 1: expected anyone, anonymous, node, user:NAME"),
        ("allow user: * *", "got 'user:'"),
        ("allow anyone read *", "got 'read'"),
        ("allow anyone publish,  org/x", "line 1: expected four words|got ''"),
        ("allow anyone * org", "got 'org'"),
        ("allow anyone * org/*/app", r"got 'org/\*/app'"),
        ("allow anyone * a/b/c/d", "got 'a/b/c/d'|three parts"),
        ("allow anyone * org/n*/app", "got"),
    ],
)
def test_a_broken_line_is_said(text: str, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        RuleSet.parse(text)


@given(st.text(max_size=200))
def test_any_text_is_rules_or_refused(text: str) -> None:
    with contextlib.suppress(Malformed):
        for rule in RuleSet.parse(text).rules:
            assert len(str(rule).split()) == 4


PARTS = st.sampled_from(["org", "ns", "app", "x"])
NAMES = st.tuples(PARTS, PARTS, PARTS).map("/".join)
NAMESPACES = st.tuples(PARTS, PARTS).map("/".join)
PATTERNS = st.one_of(st.just("*"), st.one_of(PARTS, NAMESPACES).map("{}/*".format), NAMES)
WHO = st.sampled_from(
    ["anyone", "anonymous", "node", "user:alice", "user:a*", "subject:agent-7", "spiffe://example.org/*",
     "certificate:east.example"]
)  # fmt: skip
WHAT = st.sampled_from(["*", "publish", "subscribe,invite", "invite", "publish,subscribe"])
LINES = st.tuples(st.sampled_from(["allow", "deny"]), WHO, WHAT, PATTERNS)


def is_under(name: str, pattern: str) -> bool:
    """The same by texts."""
    return pattern == "*" or name == pattern or (pattern.endswith("/*") and name.startswith(pattern[:-1]))


@given(st.lists(LINES, max_size=12), st.sampled_from(EVERYBODY), st.sampled_from(list(Action)), NAMES)
def test_a_decision_is_that_of_the_first_line_about_it(
    lines: list[tuple[str, str, str, str]], who: ConnectionIdentity, action: Action, name: str
) -> None:
    rules = RuleSet.parse("\n".join(map(" ".join, lines)))
    fitting = [
        rule
        for rule, (_, _, what, pattern) in zip(rules.rules, lines, strict=True)
        if rule.is_about(who) and (what == "*" or action in what.split(",")) and is_under(name, pattern)
    ]
    found = rules.ruling(who, action, Name.parse(name).key)
    assert found is (fitting[0] if fitting else None)


@given(st.lists(LINES, max_size=12), st.sampled_from(EVERYBODY), st.sampled_from(list(Action)), NAMES)
def test_nobody_but_nodes_is_ruled_by_lines_about_nodes(
    lines: list[tuple[str, str, str, str]], who: ConnectionIdentity, action: Action, name: str
) -> None:
    found = RuleSet.parse("\n".join(map(" ".join, lines))).ruling(who, action, Name.parse(name).key)
    assert found is None or (found.who == "node") == who.node


@pytest.mark.parametrize(
    "who", ["user:alice", "subject:x", "certificate:a.b", "spiffe://d/x", "node", "anonymous"]
)
def test_a_word_about_somebody_means_it(who: str) -> None:
    rule = Rule(1, True, who, frozenset(Action), "*", name_prefix("*"))
    assert rule.is_about(parse_identity(who))


def test_actions_and_patterns_by_themselves() -> None:
    assert parse_action("invite") is Action.INVITE
    with pytest.raises(Malformed):
        parse_action("*")
    assert name_prefix("org/*") == name_prefix("org/*/*") == Name("org", "x", "y").key[:8]


def test_a_file_is_named_before_its_line_and_before_what_is_wrong_with_all_of_it() -> None:
    assert placed(Malformed("line 3: no rule")) == ", line 3: no rule"
    assert placed(Malformed("not UTF-8")) == ": not UTF-8"
