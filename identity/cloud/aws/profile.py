"""Profiles of the shared AWS files: `~/.aws/credentials` and `~/.aws/config`."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from typing import NamedTuple

from identity.cloud.environment import is_file, read_file
from identity.cloud.sigv4 import AwsCredentials
from identity.errors import ConfigError

FILES = {
    "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
    "AWS_CONFIG_FILE": "~/.aws/config",
}


class RoleSource(NamedTuple):
    """A profile that says: become `role_arn`, starting from the credentials of `source_profile`."""

    role_arn: str
    source_profile: str
    external_id: str
    session_name: str


class Profiles(NamedTuple):
    """All profiles of both files, merged; where both set something, the credentials file wins."""

    settings: Mapping[str, Mapping[str, str]]

    def static_credentials(self, name: str) -> AwsCredentials | None:
        """The access key written in a profile, if it has one."""
        found = self.settings.get(name, {})
        key, secret = found.get("aws_access_key_id", ""), found.get("aws_secret_access_key", "")
        return AwsCredentials(key, secret, found.get("aws_session_token") or None) if key and secret else None

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

    def region(self, name: str) -> str:
        """The region of a profile, or an empty text."""
        return self.settings.get(name, {}).get("region", "")


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
