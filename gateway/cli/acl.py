"""`callboard acl check FILE`: what rules by name say, and which line decides."""

from __future__ import annotations

import argparse

from actors.names import Name
from actors.routing.gate import Action
from gateway.security.rules import RuleSet, parse_action, parse_identity, placed
from identity.encoding import Malformed
from identity.errors import ConfigError


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    acl = commands.add_parser("acl")
    verbs = acl.add_subparsers(metavar="VERB", required=True)
    check = verbs.add_parser(
        "check",
        help="whether a file is right, and which line decides",
        description="Read a file of rules. With --may, say which line decides about that: "
        "exit code 0 where it is allowed, 1 where it is not.",
    )
    check.add_argument("file", metavar="FILE", help="rules, one a line")
    check.add_argument(
        "--as",
        dest="who",
        metavar="WHO",
        help="user:NAME, subject:NAME, certificate:NAME, spiffe://ID, node, or anonymous (the default)",
        default="anonymous",
    )
    actions = "|".join(Action)
    check.add_argument("--may", nargs=2, metavar=(actions, "NAME"), help="what WHO wants to do")
    check.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    path: str = arguments.file
    try:
        rules = RuleSet.load(path)
    except Malformed as error:
        raise ConfigError(f"{path}{placed(error)}", field="file") from None
    if arguments.may is None:
        count = len(rules.rules)
        print(f"{path}: {count} rule{'' if count == 1 else 's'}; what none of them is about is allowed")
        return 0
    action, text = arguments.may
    try:
        who, name, action = parse_identity(arguments.who), Name.parse(text), parse_action(action)
    except (Malformed, ValueError) as error:
        raise ConfigError(str(error), field="may") from None
    rule = rules.ruling(who, action, name.key)
    what = f"{arguments.who} may {{}}{action} {text}"
    if rule is None:
        print(f"{what.format('')}: no line is about it, and what no line is about is allowed")
        return 0
    print(f"{what.format('' if rule.allows else 'not ')}: {path}, line {rule.line}: {rule}")
    return 0 if rule.allows else 1
