"""Who an application of the command line is, and whom it believes: flags, and the pair they describe.

Which flags there are say the lines of `identity.provider`. The first provider with a flag given is taken; a
shared secret, which has a default in some commands, is looked at last.
"""

from __future__ import annotations

import argparse
from typing import Any

from actors.names import Name
from gateway.cli.environment import refuse_idle
from identity.encoding import Malformed
from identity.errors import ConfigError
from identity.files import read_file
from identity.jose.keys import MAX_KEY_BYTES, Algorithm, Key, KeyData, KeyFormat
from identity.mls_key import BOUND, UNBOUND
from identity.provider import IdentityProvider, IdentityVerifier
from identity.registry import Form, IdentityRole, Option, Registered


def add_identity(parser: argparse.ArgumentParser, *, default_secret: str | None = None) -> None:
    """The flags of all providers and verifiers. A `default_secret` is what counts when nothing is given."""
    named = ", ".join(_usage(line) for line in _on_command_line())
    group = parser.add_argument_group("identity", f"One of {named}, and what goes with it.")
    add_flags(group, *IdentityProvider.lines(), *IdentityVerifier.lines())
    if default_secret is not None:
        parser.set_defaults(shared_secret=default_secret)


def add_flags(group: Any, *lines: Registered[Any]) -> None:
    """The flags of some providers and verifiers, each once: a pair may share an option."""
    added: set[str] = set()
    for option in (option for line in lines for option in line.options):
        for flag in option.flags:
            if flag not in added:
                repeated = {"action": "append"} if option.form is Form.REPEATED else {}
                group.add_argument(flag, metavar=option.metavar, help=option.help, **repeated)
                added.add(flag)


def identity(
    arguments: argparse.Namespace, name: Name, *, mls_key: str = BOUND
) -> tuple[IdentityProvider, IdentityVerifier]:
    """Provider and verifier from the flags. Raises ConfigError in a sentence that names what to give."""
    line = chosen(arguments, IdentityProvider)
    if line is None:
        *others, last = map(_usage, _on_command_line())
        raise ConfigError(f"say who you are: {', '.join(others)} or {last}", field="identity")
    flag = _flags(line)[0]
    unbound = mls_key == UNBOUND and line.option("mls_key") is not None
    checking = IdentityVerifier.of_kind(line.verified_by)
    if checking is None or not _is_given(arguments, checking):
        raise ConfigError(
            f"{flag} needs a way to verify the tokens of others: {_ways(checking)}",
            field=flag.removeprefix("--").replace("-", "_"),
        )
    used = {*_flags(line), *_flags(checking)}
    lines = (*IdentityProvider.lines(), *IdentityVerifier.lines())
    refuse_idle(arguments, [f for one in lines for f in _flags(one) if f not in used], f"beside {flag}")
    who = {"identity": "/".join(name.strings), **({"mls_key": mls_key} if unbound else {})}
    verifier = made(arguments, IdentityVerifier, checking, **who)
    provider = made(arguments, IdentityProvider, line, **who)
    if getattr(arguments, "enable_mls", False) and not getattr(
        provider, "carries_claims", line.carries_claims
    ):
        raise ConfigError(
            f"--enable-mls does not go with {flag}: its token cannot carry the MLS public key; "
            "use --shared-secret on both sides, or --spire-socket-path on both sides",
            field="enable_mls",
        )
    return provider, verifier


def chosen(arguments: argparse.Namespace, role: IdentityRole) -> Registered[Any] | None:
    """The first provider, or verifier, with a flag given."""
    return next((line for line in role.lines() if _is_given(arguments, line)), None)


def made(arguments: argparse.Namespace, role: IdentityRole, line: Registered[Any], **more: Any) -> Any:
    """The provider or verifier that the flags describe. Of `more`, what it has an option for counts too.

    Raises ConfigError.
    """
    values = {option.argument: _value(arguments, option) for option in line.options}
    return role.make(line, {**values, **{name: value for name, value in more.items() if name in values}})


def comma_list(text: str | None) -> list[str] | None:
    """The parts of a comma list; None when there are none."""
    return [part.strip() for part in (text or "").split(",") if part.strip()] or None


def _value(arguments: argparse.Namespace, option: Option) -> Any:
    given = [(flag, value) for flag in option.flags if (value := _of(arguments, flag))]
    if len(given) > 1:
        flags = " and ".join(flag for flag, _ in given)
        raise ConfigError(f"{flags} say the same: give one of them", field=option.argument)
    value = given[0][1] if given else None
    match option.form:
        case Form.TEXTS:
            return comma_list(value)
        case Form.KEY if value is not None:
            try:
                read_file(value, max_bytes=MAX_KEY_BYTES)
            except Malformed as error:
                raise ConfigError(
                    f"cannot read the keys in {value}: {error}", field=option.argument
                ) from None
            # The keys of a set say themselves which algorithm they are for.
            return Key(Algorithm.RS256, KeyFormat.Jwks, KeyData.File(value))
    return value


def _of(arguments: argparse.Namespace, flag: str) -> Any:
    return getattr(arguments, flag.removeprefix("--").replace("-", "_"), None)


def _flags(line: Registered[Any]) -> list[str]:
    return [flag for option in line.options for flag in option.flags]


def _on_command_line() -> list[Registered[Any]]:
    """The providers that have flags, the plainest first."""
    return [line for line in reversed(IdentityProvider.lines()) if _flags(line)]


def _is_given(arguments: argparse.Namespace, line: Registered[Any]) -> bool:
    return any(_of(arguments, flag) for option in line.options if option.chooses for flag in option.flags)


def _usage(line: Registered[Any]) -> str:
    """The flag that chooses a line, in the first place: "--jwt FILE"."""
    option = next(option for option in line.options if option.flags)
    return f"{option.flags[0]} {option.metavar}"


def _ways(checking: Registered[Any] | None) -> str:
    """The flags that make a verifier: its keys, or who is asked for them."""
    options = [option for option in checking.options if option.chooses] if checking is not None else []
    return " or ".join(f"{flag} {option.metavar}" for option in options for flag in option.flags)
