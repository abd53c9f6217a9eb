"""The `auth` section of a listener or a link (`api.md` 3.1).

Which kinds there are, besides none and basic, and which keys they have, say the lines of `identity.provider`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.config.section import Material, Section, texts
from identity.errors import ConfigError
from identity.provider import IdentityProvider, IdentityVerifier
from identity.registry import Form, IdentityRole, Option


@dataclass(frozen=True, slots=True)
class JwtKeyConfig:
    """The key of a `jwt` authentication. `role`: encoding (signs), decoding (verifies) or autoresolve."""

    role: str
    algorithm: str = ""
    format: str = "pem"
    material: Material | None = field(default=None, repr=False)

    @classmethod
    def read(cls, section: Section) -> JwtKeyConfig:
        role = section.take("type", str, None)
        if role not in ("encoding", "decoding", "autoresolve"):
            raise ConfigError(
                f'{section.at("type")}: "encoding", "decoding" or "autoresolve", got {role!r}',
                field=section.at("type"),
            )
        if role == "autoresolve":
            section.end()
            return cls(role)
        algorithm = section.take("algorithm", str, None)
        if not algorithm:
            raise ConfigError(
                f"{section.at('algorithm')}: required, such as RS256", field=section.at("algorithm")
            )
        format_ = section.take("format", str, "pem").lower()
        where = section.section("key") or section
        path, text = where.take("file", str, None), where.take("data", str, None)
        if (path is None) == (text is None):
            raise ConfigError(
                f'{section.at("key")}: expected {{"file": PATH}} or {{"data": TEXT}}', field=section.at("key")
            )
        if where is not section:
            where.end()
        section.end()
        return cls(role, algorithm, format_, Material(path=path, text=text))


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """Authentication at connect time. `kind`: none, basic, or that of a provider or verifier."""

    kind: str = "none"
    username: str = ""
    password: str = field(default="", repr=False)
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What the section says of the provider's or verifier's options, by the key of each."""
    custom_claims: Mapping[str, Any] = field(default_factory=dict)
    where: str = "auth"
    """Where in the configuration it stands, for errors."""

    @property
    def key(self) -> JwtKeyConfig | None:
        """The key of a `jwt` authentication."""
        return self.values.get("key")

    @classmethod
    def read(cls, section: Section | None) -> AuthConfig:
        """Check the dict. Raises ConfigError naming the key at fault."""
        if section is None:
            return cls()
        kind = section.take("type", str, "none")
        if kind == "none":
            made = cls()
        elif kind == "basic":
            username, password = section.take("username", str, None), section.take("password", str, None)
            for key, value in (("username", username), ("password", password)):
                if not value:
                    raise ConfigError(
                        f"{section.at(key)}: basic authentication needs it", field=section.at(key)
                    )
            made = cls("basic", username, password, where=section.where)
        else:
            made = cls._registered(section, kind)
        section.end()
        return made

    @classmethod
    def _registered(cls, section: Section, kind: str) -> AuthConfig:
        roles: tuple[IdentityRole, ...] = (IdentityProvider, IdentityVerifier)
        lines = [line for role in roles if (line := role.of_kind(kind)) is not None]
        if not lines:
            kinds = dict.fromkeys(line.kind for role in roles for line in role.lines())
            raise ConfigError(
                f"{section.at('type')}: one of {', '.join(('none', 'basic', *kinds))}, got {kind!r}",
                field=section.at("type"),
            )
        # Whether it is a link's or a listener's section shows later: both have the same keys.
        options = {option.keys[0]: option for line in lines for option in line.options if option.keys}
        claims = section.section("claims") if any("." in name for name in options) else None
        claims = claims or Section({}, section.at("claims"))
        values = {name: _value(section, claims, option) for name, option in options.items()}
        custom = dict(claims.take("custom_claims", dict, {}))
        claims.end()
        section.ignore(*(key for line in lines for key in line.ignored))
        return cls(kind, values=values, custom_claims=custom, where=section.where)


def _value(section: Section, claims: Section, option: Option) -> Any:
    """What a section says of an option; None when nothing. Raises ConfigError."""
    value: Any = None
    for key in option.keys:
        _, dot, member = key.rpartition(".")
        found = _take(claims if dot else section, member, option.form)
        value = found if value is None else value
    if option.required and not value:
        where = section.at(option.keys[0])
        raise ConfigError(f"{where}: required{f' ({option.help})' if option.help else ''}", field=where)
    return value


def _take(section: Section, key: str, form: Form) -> Any:
    match form:
        case Form.TEXTS | Form.REPEATED:
            return list(texts(section, key)) or None
        case Form.SECONDS:
            return section.seconds(key, 0.0) if section.has(key) else None
        case Form.KEY:
            nested = section.section(key)
            return None if nested is None else JwtKeyConfig.read(nested)
        case Form.TEXT | Form.SECRET:
            return section.take(key, str, None)
