"""The kinds of faults that scenarios have shown, and by which marks a finding belongs to one.

A fault may bear the marks of two kinds, and then counts for both. What bears no mark goes by the name
of its finding.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tests.simulation.ledger import Finding

KINDS = {
    "a": "who was dropped is not told, and stays",
    "b": "who missed a change of the members does not come up to date",
    "c": "acknowledged, and never had",
    "d": "a request returns what is no answer to it",
    "e": "an invitation fails, and its guest is in",
    "f": "a member is listed that is not in",
    "g": "an accepting loop ends before its application",
    "h": "a session is half alive after its application connected again",
    "i": "tasks that wait to publish do not go on in their order",
    "j": "what is said to nobody has no end, or is heard by who comes later",
    "k": "a timer comes early, and time stands still",
    "l": "a group with members in its moderator's process and elsewhere does not reach all",
    "m": "who comes in hears out of order what was said before",
    "n": "who comes in is told that something is lost which could be had, or was not for it",
    "o": "a node or an application keeps something after all has closed",
    "p": "whom a moderator with a journal wants in is not in",
    "q": "who is heard has no token any more",
    "r": "who may have a token again does not reach others, or they not it",
    "s": "tokens that have run out keep somebody out of a group with MLS",
}
OPEN: frozenset[str] = frozenset()
"""Kinds that are not mended: tests of scenarios pass over them."""
_BY_NAME = {
    "ghost": "a",
    "stranger": "a",
    "deaf": "b",
    "lost": "c",
    "answer": "d",
    "invitation": "e",
    "accepting": "g",
    "crowd": "i",
    "alone": "j",
    "order": "m",
    "gap": "n",
    "remains": "o",
    "absent": "p",
    "expired": "q",
    "barred": "s",
}
_AFTER_A_RECONNECTION = frozenset({"ghost", "stranger", "deaf", "lost", "left", "late", "invitation"})
_PROBED = re.compile(r"a probe of \d+ in session (\d+) failed")
_SESSION = re.compile(r"^session (\d+): (?:(\S+) (lists|does not know)|its members disagree)")


def kinds(findings: Iterable[Finding], profile: str) -> set[str]:
    """Letters of KINDS, and names of findings that belong to none."""
    findings = list(findings)
    if profile == "shared":
        # It is a perfect network otherwise.
        return {"d" if finding.kind == "answer" else "l" for finding in findings}
    left = [finding.text for finding in findings if finding.kind == "left"]
    haunted = {match[1] for text in left if (match := _SESSION.match(text)) and match[3] == "does not know"}
    found = {_kind(finding, profile, haunted) for finding in findings if finding.kind != "left"}
    if left and profile == "reconnect":
        return found | {"h"}
    return found | _disagreements(left) | _other_remains(left, profile)


def _kind(finding: Finding, profile: str, haunted: set[str]) -> str:
    if profile == "reconnect" and finding.kind in _AFTER_A_RECONNECTION:
        return "h"
    if finding.kind == "stuck" and "time stands still" in finding.text:
        return "k"
    if profile == "expiring" and finding.kind == "deaf":
        return "r"
    session = _PROBED.search(finding.text)
    if finding.kind == "deaf" and session is not None and session[1] in haunted:
        # Nobody answers a ghost.
        return "a"
    return _BY_NAME.get(finding.kind, finding.kind)


def _disagreements(left: Iterable[str]) -> set[str]:
    """Who does not know whom. A ghost lists whoever was there when it became one: that is its own fault."""
    found: dict[str, set[str]] = {}
    ghosts = {
        (match[1], ghost)
        for text in left
        if (match := _SESSION.match(text)) and match[3] == "does not know"
        for ghost in re.findall(r"[\w/]+/app\d+\S*?(?=,|$)", text.split(" does not know ", 1)[1])
    }
    for text in left:
        match = _SESSION.match(text)
        if match is None:
            continue
        marks = found.setdefault(match[1], set())
        if match[3] == "does not know":
            marks.add("a")
        elif match[3] == "lists" and (match[1], match[2]) not in ghosts:
            marks.add("f")
    return {mark for marks in found.values() for mark in marks or {"b"}}


def _other_remains(left: Iterable[str], profile: str) -> set[str]:
    others = [text for text in left if not _SESSION.match(text)]
    waiting = [text for text in others if "calls never ended" in text]
    found = {"j" if profile == "alone" else "late"} if waiting else set()
    return found | ({"left"} if len(others) > len(waiting) else set())
