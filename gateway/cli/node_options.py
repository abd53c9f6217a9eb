"""The options of a node as argparse takes them, and the configuration that they make with a file."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from gateway.cli.environment import add_environment
from gateway.cli.identity import add_flags, chosen
from gateway.cli.parsing import Listed
from gateway.config.document import Document
from gateway.config.node import NodeConfig
from gateway.config.options import DEFAULT_LISTEN, NODE_OPTIONS, NodeOption, overlaid
from identity.errors import ConfigError
from identity.provider import IdentityProvider
from identity.registry import Form, Registered

_TLS = ("--insecure", "--tls-cert", "--tls-key", "--client-ca")


def add_node_options(command: argparse.ArgumentParser) -> None:
    """All options that describe a node, each also as a variable of the environment."""
    tls = command.add_argument_group("encryption (one choice is needed, here or in the file)")
    for option in NODE_OPTIONS:
        group = tls if option.flag in _TLS else command
        if option.is_switch:
            group.add_argument(option.flag, action="store_true", default=None, help=option.words)
        else:
            action = Listed if option.may_repeat else "store"
            group.add_argument(option.flag, metavar=option.metavar, help=option.words, action=action)
    orders = command.add_argument_group(
        "identity", "With which orders of a controller reach applications (controller.token_provider)."
    )
    add_flags(orders, *IdentityProvider.lines())
    add_environment(command)


def read_node(arguments: argparse.Namespace, path: str | None) -> tuple[NodeConfig, Document]:
    """The configuration of a file, if there is one, and the options.

    Raises ConfigError in a sentence that names the file and the line, or the option.
    """
    document = Document({}, {}) if path is None else Document.load(path)
    given = {option.flag: value for option in NODE_OPTIONS if (value := _of(arguments, option)) is not None}
    if path is None:
        _say_how_to_listen(given)
        given.setdefault("--listen", DEFAULT_LISTEN)
    if given.get("--insecure") and any(flag in given for flag in _TLS[1:]):
        raise ConfigError("--insecure and TLS files exclude each other: give one or the other", field="tls")
    document = overlaid(document, given, _token(arguments))
    try:
        return NodeConfig.read(document.value), document
    except ConfigError as error:
        raise ConfigError(document.sentence(error), field=error.field) from error


def _of(arguments: argparse.Namespace, option: NodeOption) -> Any:
    value = getattr(arguments, option.flag.removeprefix("--").replace("-", "_"))
    # A switch that the environment turns off says nothing; the file may turn it on.
    return None if value is False or value == "" else value


def _say_how_to_listen(given: Mapping[str, Any]) -> None:
    if "--insecure" not in given and not ("--tls-cert" in given and "--tls-key" in given):
        raise ConfigError(
            "say how to listen: --insecure for no TLS, or --tls-cert FILE and --tls-key FILE", field="tls"
        )


def _token(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """The `token_provider` section that the identity flags describe; None without any."""
    line = chosen(arguments, IdentityProvider)
    return None if line is None else {"type": line.kind, **_members(arguments, line)}


def _members(arguments: argparse.Namespace, line: Registered[Any]) -> dict[str, Any]:
    """What the flags of a provider say, by the keys of its section."""
    members: dict[str, Any] = {}
    for option in line.options:
        for flag in option.flags:
            value = getattr(arguments, flag.removeprefix("--").replace("-", "_"), None)
            if not value:
                continue
            section, _, name = option.keys[0].rpartition(".")
            if option.form is Form.TEXTS:
                value = [part.strip() for part in value.split(",") if part.strip()]
            (members.setdefault(section, {}) if section else members)[name] = value
    return members
