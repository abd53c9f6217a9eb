"""The `auth` section of a listener or a link (`api.md` 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.config.section import Material, Section, texts
from gateway.config.tls import SpireSource
from identity.errors import ConfigError


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
    """Authentication at connect time. `kind`: none, basic, static_jwt, jwt, spire."""

    kind: str = "none"
    username: str = ""
    password: str = field(default="", repr=False)
    file: str = ""
    """The token of static_jwt."""
    key: JwtKeyConfig | None = None
    issuer: str | None = None
    audience: tuple[str, ...] = ()
    subject: str | None = None
    custom_claims: Mapping[str, Any] = field(default_factory=dict)
    duration: float = 3600.0
    """Seconds that a signed token lives."""
    spire: SpireSource | None = None
    where: str = "auth"
    """Where in the configuration it stands, for errors."""

    @classmethod
    def read(cls, section: Section | None) -> AuthConfig:
        """Check the dict. Raises ConfigError naming the key at fault."""
        if section is None:
            return cls()
        where = section.where
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
            made = cls("basic", username, password, where=where)
        elif kind == "static_jwt":
            file = section.take("file", str, None) or section.take("token_file", str, None)
            if not file:
                raise ConfigError(f"{section.at('file')}: the file with the token", field=section.at("file"))
            # The token says itself how long it lives.
            section.ignore("duration")
            made = cls("static_jwt", file=file, where=where)
        elif kind == "jwt":
            made = cls._jwt(section, where)
        elif kind == "spire":
            made = cls("spire", spire=SpireSource.read(section), where=where)
        else:
            raise ConfigError(
                f'{section.at("type")}: "none", "basic", "static_jwt", "jwt" or "spire", got {kind!r}',
                field=section.at("type"),
            )
        section.end()
        return made

    @classmethod
    def _jwt(cls, section: Section, where: str) -> AuthConfig:
        key = section.section("key")
        if key is None:
            raise ConfigError(f"{section.at('key')}: required", field=section.at("key"))
        claims = section.section("claims") or Section({}, section.at("claims"))
        made = cls(
            "jwt",
            key=JwtKeyConfig.read(key),
            issuer=claims.take("issuer", str, None) or claims.take("iss", str, None),
            audience=texts(claims, "audience") or texts(claims, "aud") or texts(claims, "audiences"),
            subject=claims.take("subject", str, None) or claims.take("sub", str, None),
            custom_claims=dict(claims.take("custom_claims", dict, {})),
            duration=section.seconds("duration", 3600.0),
            where=where,
        )
        claims.end()
        return made
