"""The `auth` section of a listener or a link (`api.md` 3.1).

Which kinds there are, besides none and basic, and which keys they have, say the lines of `identity.provider`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any

from gateway.config.keys import Key, Kind, Table
from gateway.config.section import Material, Section, texts
from identity.errors import ConfigError
from identity.provider import IdentityProvider, IdentityVerifier
from identity.registry import Form, IdentityRole, Option, Registered

_ROLES = ("encoding", "decoding", "autoresolve")


class Proof(Enum):
    """What a caller proves who it is by."""

    USER = "user"
    """The user of basic authentication."""
    SUBJECT = "subject"
    """The subject of a token."""


@dataclass(frozen=True, slots=True)
class JwtKeyConfig:
    """The key of a `jwt` authentication. `role`: encoding (signs), decoding (verifies) or autoresolve."""

    role: str
    algorithm: str = ""
    format: str = "pem"
    material: Material | None = field(default=None, repr=False)

    @classmethod
    def read(cls, section: Section) -> JwtKeyConfig:
        """Check the dict; `{decoding: {...}}` is an older spelling of a type. Raises ConfigError."""
        older = _only(section, _ROLES)
        if older == "autoresolve" and section.take(older, bool, False):
            section.end()
            return cls(older)
        if older:
            inner = section.section(older)
            section.end()
            assert inner is not None
            section, role = inner, older
        else:
            role = section.take("type", str, None)
        if role not in _ROLES:
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
        path = where.take("file", str, None)
        text = where.take(where.spelling("data", ("pem",)), str, None)
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
    file: str | None = None
    """Of a listener with basic authentication: its users, in place of one."""
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What the section says of the provider's or verifier's options, by the key of each."""
    custom_claims: Mapping[str, Any] = field(default_factory=dict)
    where: str = "auth"
    """Where in the configuration it stands, for errors."""

    @property
    def proof(self) -> Proof:
        """What a caller of this listener proves."""
        return Proof.USER if self.kind == "basic" else Proof.SUBJECT

    @property
    def key(self) -> JwtKeyConfig | None:
        """The key of a `jwt` authentication."""
        return self.values.get("key")

    @classmethod
    def read(cls, section: Section | None, *, member: str = "") -> AuthConfig:
        """Check the dict; `{basic: {...}}` is an older spelling of a type. Raises ConfigError.

        `member` is the identity of a shared secret whose section does not say it.
        """
        if section is None:
            return cls()
        older = _only(section, ("basic", *_kinds()))
        if older:
            inner = section.peek(older)
            found = Section(
                {"data": inner} if isinstance(inner, str) else inner, section.at(older), section.notes
            )
            section.ignore(older)
            section.end()
            section, kind = found, older
        else:
            kind = section.take("type", str, "none")
        if kind == "none":
            made = cls()
        elif kind == "basic":
            made = cls._basic(section)
        else:
            made = cls._registered(section, kind, member)
        section.end()
        return made

    @classmethod
    def _basic(cls, section: Section) -> AuthConfig:
        file = section.take("file", str, None)
        username, password = section.take("username", str, None), section.take("password", str, None)
        if file:
            for key, value in (("username", username), ("password", password)):
                if value:
                    raise ConfigError(
                        f"{section.at(key)}: the users are those of the file", field=section.at(key)
                    )
            return cls("basic", file=file, where=section.where)
        for key, value in (("username", username), ("password", password)):
            if not value:
                raise ConfigError(f"{section.at(key)}: basic authentication needs it", field=section.at(key))
        return cls("basic", username, password, where=section.where)

    @classmethod
    def _registered(cls, section: Section, kind: str, member: str) -> AuthConfig:
        lines = _lines(kind)
        if not lines:
            raise ConfigError(
                f"{section.at('type')}: one of {', '.join(('none', 'basic', *_kinds()))}, got {kind!r}",
                field=section.at("type"),
            )
        # Whether it is a link's or a listener's section shows later: both have the same keys.
        options = {option.keys[0]: option for line in lines for option in line.options if option.keys}
        claims = section.section("claims") if any("." in name for name in options) else None
        claims = claims or Section({}, section.at("claims"), section.notes)
        values = {
            name: _value(section, claims, option, member if option.argument == "identity" else "")
            for name, option in options.items()
        }
        custom = dict(claims.take("custom_claims", dict, {}))
        claims.end()
        section.ignore(*(key for line in lines for key in line.ignored))
        section.end()
        return cls(kind, values=values, custom_claims=custom, where=section.where)


_JWT_KEY_DATA = (
    Key("file", "a file of the key, which is followed"),
    Key("data", "the key itself", Kind.SECRET, aliases=("pem",)),
)
_JWT_KEY = Table(
    "key of a token",
    Key("algorithm", "such as ES256 or HS256"),
    Key("format", "of the key", default="pem", choices=("pem", "jwk", "jwks")),
    Key("key", "the key: a file or a text", Kind.SECTION, inner=Table("key data", *_JWT_KEY_DATA)),
)
JWT_KEY = Table(
    "jwt key",
    Key("type", "a link signs (encoding); a listener verifies, or asks the issuer", choices=_ROLES),
    variants={"encoding": _JWT_KEY, "decoding": _JWT_KEY, "autoresolve": Table("autoresolve")},
)


@cache
def auth_table() -> Table:
    """The keys of an `auth` section, as the registered providers and verifiers have them."""
    basic = Table(
        "basic",
        Key("username", "the user"),
        Key("password", "the password", Kind.SECRET),
        Key("file", "of a listener: several users with hashed passwords, in place of one (callboard user)"),
    )
    kinds = {kind: Table(kind, *_keys_of(_lines(kind))) for kind in _kinds()}
    return Table(
        "auth",
        Key("type", "what is shown, or demanded, when a connection is opened", default="none"),
        variants={"none": Table("none"), "basic": basic, **kinds},
    )


_KINDS_OF_FORM = {
    Form.TEXT: Kind.TEXT,
    Form.SECRET: Kind.SECRET,
    Form.SECONDS: Kind.SECONDS,
    Form.TEXTS: Kind.TEXTS,
    Form.REPEATED: Kind.TEXTS,
    Form.KEY: Kind.SECTION,
}


def _keys_of(lines: list[Registered[Any]]) -> list[Key]:
    """The lines of a registered kind as keys, its claims in a section of their own."""
    keys: dict[str, Key] = {}
    claims: dict[str, Key] = {}
    for option in (option for line in lines for option in line.options if option.keys):
        first, *others = option.keys
        section, _, name = first.rpartition(".")
        inner = JWT_KEY if option.form is Form.KEY else None
        aliases = tuple(other.rpartition(".")[2] for other in others)
        help = option.help or option.argument.replace("_", " ")
        key = Key(name, help, _KINDS_OF_FORM[option.form], aliases=aliases, inner=inner)
        (claims if section else keys).setdefault(name, key)
    if claims:
        claims["custom_claims"] = Key("custom_claims", "further claims of a token", Kind.FREE)
        inner = Table("claims", *claims.values())
        keys["claims"] = Key("claims", "of a token: what it says, or has to say", Kind.SECTION, inner=inner)
    for name in (name for line in lines for name in line.ignored):
        keys.setdefault(name, Key(name, "", Kind.ANY, without_effect="what is read says it itself"))
    return list(keys.values())


def _roles() -> tuple[IdentityRole, ...]:
    return IdentityProvider, IdentityVerifier


def _kinds() -> list[str]:
    return list(dict.fromkeys(line.kind for role in _roles() for line in role.lines()))


def _lines(kind: str) -> list[Registered[Any]]:
    return [line for role in _roles() if (line := role.of_kind(kind)) is not None]


def _only(section: Section, names: tuple[str, ...]) -> str:
    """The one of these names that stands where a `type` is missing; empty if none. Raises ConfigError."""
    there = [name for name in names if section.has(name)] if not section.has("type") else []
    if len(there) > 1:
        raise ConfigError(
            f"{section.where}: give one of {' and '.join(there)}, with its name as the type",
            field=section.where,
        )
    return there[0] if there else ""


def _value(section: Section, claims: Section, option: Option, default: str) -> Any:
    """What a section says of an option; None, or the default, when nothing. Raises ConfigError."""
    value: Any = None
    for key in option.keys:
        _, dot, member = key.rpartition(".")
        found = _take(claims if dot else section, member, option.form)
        value = found if value is None else value
    value = value or default or None
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
