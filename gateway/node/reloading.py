"""What of a node's configuration may change while it runs: certificates, users, rules by name, limits.

A snapshot is taken at the start and when the node is told to read again (SIGHUP): all of it is read and
checked before anything is put in force, so that a broken file changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from gateway.config import TlsConfig
from gateway.config.network import LimitsConfig
from gateway.config.node import NodeConfig
from gateway.security.expiry import CertificateEnd, end_of
from gateway.security.material import Side, TlsSource
from gateway.security.rules import RuleSet, placed
from gateway.security.users import PasswordHash, load_users
from identity.encoding import Malformed
from identity.errors import ConfigError

_FOR_THE_NEXT_START = ("node_id", "group", "servers", "peers", "backbone", "admin", "drain")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the files said."""

    config: NodeConfig
    certificates: Mapping[str, bytes]
    """A digest of certificate, key and authorities, by their place in the configuration."""
    ends: tuple[CertificateEnd, ...]
    users: Mapping[str, Mapping[str, PasswordHash]]
    """By place."""
    rules: RuleSet | None

    @classmethod
    def take(cls, config: NodeConfig) -> Snapshot:
        """Read all files. Raises ConfigError naming the key at fault. SPIFFE agents are not asked."""
        digests: dict[str, bytes] = {}
        ends: list[CertificateEnd] = []
        for where, tls, side in _encrypted(config):
            try:
                material = TlsSource(tls, side).material()
            except ConfigError as error:
                raise ConfigError(str(error), field=f"{where}.{error.field}") from error
            chain, key, roots = material.certificate_chain, material.private_key, material.trust_bundle
            digest = hashlib.sha256()
            for part in (chain, key, roots):
                digest.update(hashlib.sha256(part or b"").digest())
            digests[where] = digest.digest()
            if chain is not None:
                ends.append(end_of(f"{where}.tls", chain))
        return cls(config, digests, tuple(ends), dict(_users(config)), load_rules(config))


def changes(old: Snapshot, new: Snapshot) -> list[str]:
    """What is different, in words; what only the next start takes is said to be so."""
    found = [
        f"certificates of {_short(where)}"
        for where, digest in new.certificates.items()
        if old.certificates.get(where, digest) != digest
    ]
    for where, users in new.users.items():
        before = old.users.get(where, users)
        if before != users:
            found.append(f"users of {_short(where)} ({len(before)} before, {len(users)} now)")
    before_rules, rules = _lines(old.rules), _lines(new.rules)
    if before_rules != rules:
        found.append(f"rules by name ({len(before_rules)} before, {len(rules)} now)")
    found += _limits(old.config.limits, new.config.limits)
    later = [name for name in _FOR_THE_NEXT_START if getattr(old.config, name) != getattr(new.config, name)]
    if [each.endpoint for each in old.config.clients] != [each.endpoint for each in new.config.clients]:
        later.append("clients")
    if later:
        found.append(f"at the next start: {', '.join(later)}")
    return found


def load_rules(config: NodeConfig) -> RuleSet | None:
    """The rules by name that a configuration names. Raises ConfigError."""
    if config.rules is None:
        return None
    try:
        return RuleSet.load(config.rules)
    except Malformed as error:
        field = f"{config.where}.rules"
        raise ConfigError(f"{field}: {config.rules}{placed(error)}", field=field) from None


def _limits(old: LimitsConfig, new: LimitsConfig) -> list[str]:
    pairs = ((one.name, getattr(old, one.name), getattr(new, one.name)) for one in fields(LimitsConfig))
    return [
        f"limits.{name} ({before or 'none'} -> {now or 'none'})"
        for name, before, now in pairs
        if before != now
    ]


def _lines(rules: RuleSet | None) -> list[str]:
    return [] if rules is None else [str(rule) for rule in rules.rules]


def _short(where: str) -> str:
    return where.rpartition("dataplane.")[2] or where


def _encrypted(config: NodeConfig) -> Iterator[tuple[str, TlsConfig, Side]]:
    """Who has certificates in files, and where that stands."""
    dataplane, control = f"{config.where}.dataplane", f"{config.where}.controller"
    for place, servers in ((dataplane, config.servers), (control, config.controller.servers)):
        for index, server in enumerate(servers):
            if _in_files(server.tls):
                yield f"{place}.servers[{index}]", server.tls, Side.SERVER
    for place, clients in ((dataplane, config.clients), (control, config.controller.clients)):
        for index, client in enumerate(clients):
            if not client.plaintext and _in_files(client.tls):
                yield f"{place}.clients[{index}]", client.tls, Side.CLIENT


def _in_files(tls: TlsConfig) -> bool:
    return not (tls.insecure or tls.spire or tls.ca_spire)


def _users(config: NodeConfig) -> Iterator[tuple[str, Mapping[str, PasswordHash]]]:
    for index, server in enumerate(config.servers):
        path = server.auth.file
        if path is None:
            continue
        where = f"{config.where}.dataplane.servers[{index}]"
        try:
            yield where, load_users(path)
        except Malformed as error:
            field = f"{where}.auth.file"
            raise ConfigError(f"{field}: {path}: {error}", field=field) from None
