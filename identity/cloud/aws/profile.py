"""Profiles of the shared AWS files: `~/.aws/credentials` and `~/.aws/config`."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from typing import NamedTuple

from identity.cloud.environment import is_file, read_file
from identity.cloud.sigv4 import AwsCredentials
from identity.errors import ConfigError
from identity.record import record

FILES = {
    "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
    "AWS_CONFIG_FILE": "~/.aws/config",
}


@record
class RoleSource(NamedTuple):
    """A profile that says: become `role_arn`, starting from the credentials of `source_profile`."""

    role_arn: str
    source_profile: str
    external_id: str
    session_name: str


@record
class WebIdentity(NamedTuple):
    """A profile that says: become `role_arn`, by the token in `token_file`."""

    role_arn: str
    token_file: str
    session_name: str


UNSUPPORTED = ("credential_process", "credential_source", "sso_session", "sso_start_url", "login_session")
"""Settings of profiles that name credentials of another kind than a key, a role or a web identity."""


@record
class Profiles(NamedTuple):
    """All profiles of both files, merged; where both set something, the credentials file wins."""

    settings: Mapping[str, Mapping[str, str]]

    def static_credentials(self, name: str) -> AwsCredentials | None:
        """The access key written in a profile, if it has one. Raises ConfigError for half of one."""
        return access_key(
            self.settings.get(name, {}), "aws_access_key_id", "aws_secret_access_key", "aws_session_token"
        )

    def role(self, name: str) -> RoleSource | None:
        """The role that a profile assumes, if it names one with a source profile."""
        found = self.settings.get(name, {})
        if not (found.get("role_arn") and found.get("source_profile")):
            return None
        return RoleSource(
            found["role_arn"],
            found["source_profile"],
            found.get("external_id", ""),
            found.get("role_session_name", ""),
        )

    def web_identity(self, name: str) -> WebIdentity | None:
        """The role that a profile assumes by a token in a file, if it names both. Raises ConfigError."""
        found = self.settings.get(name, {})
        file, role = found.get("web_identity_token_file", ""), found.get("role_arn", "")
        if not file:
            return None
        if not role:
            raise ConfigError(
                f"AWS profile {name!r} has web_identity_token_file without role_arn", field="role_arn"
            )
        return WebIdentity(role, file, found.get("role_session_name", ""))

    def check_supported(self, name: str) -> None:
        """Raise ConfigError for a profile whose credentials are of a kind that cannot be used here.

        To be asked when no other kind was found in it: to go on would act as somebody else.
        """
        found = self.settings.get(name, {})
        for setting in UNSUPPORTED:
            if found.get(setting):
                raise ConfigError(
                    f"AWS profile {name!r} has {setting}, which is not supported", field=setting
                )
        if found.get("role_arn"):
            raise ConfigError(
                f"AWS profile {name!r} has role_arn without source_profile or web_identity_token_file",
                field="role_arn",
            )

    def region(self, name: str) -> str:
        """The region of a profile, or an empty text."""
        return self.settings.get(name, {}).get("region", "")


def access_key(settings: Mapping[str, str], key: str, secret: str, token: str) -> AwsCredentials | None:
    """The access key of three settings, if it is there. Raises ConfigError for half of one."""
    if bool(settings.get(key)) != bool(settings.get(secret)):
        there, missing = (key, secret) if settings.get(key) else (secret, key)
        raise ConfigError(f"{there} is set without {missing}", field=missing)
    if not settings.get(key):
        return None
    return AwsCredentials(settings[key], settings[secret], settings.get(token) or None)


def load_profiles(environ: Mapping[str, str]) -> Profiles:
    """Read both files, where they exist. Raises ConfigError for one that is set but cannot be used."""
    merged: dict[str, dict[str, str]] = {}
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        path = environ.get(variable) or _home_path(FILES[variable], environ)
        if environ.get(variable) or is_file(path):
            for section, settings in _sections(read_file(path, variable), path, variable).items():
                name = section.removeprefix("profile ").strip() if variable == "AWS_CONFIG_FILE" else section
                merged.setdefault(name, {}).update(settings)
    return Profiles(merged)


def _home_path(path: str, environ: Mapping[str, str]) -> str:
    return environ["HOME"] + path[1:] if environ.get("HOME") else path


def _sections(text: str, path: str, variable: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(strict=False, default_section="\0", delimiters=("=",))
    try:
        parser.read_string(text)
    except configparser.Error as exc:
        # The parser's own text quotes lines, and lines hold keys.
        raise ConfigError(f"{path} is not a usable AWS file ({type(exc).__name__})", field=variable) from None
    return {name: dict(parser.items(name)) for name in parser.sections()}
