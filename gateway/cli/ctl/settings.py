"""What `callboard ctl` remembers between calls: a YAML file under `common_opts`, as of the original tool."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from gateway.config import duration
from gateway.config.document import FILE_BOUND
from identity.encoding import Malformed
from identity.errors import ConfigError
from identity.files import read_file

KEYS = (
    "server",
    "timeout",
    "basic-auth-creds",
    "token-file",
    "tls-ca-file",
    "tls-cert-file",
    "tls-key-file",
    "tls-insecure",
)


def path() -> Path:
    """Where the file is."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "slimctl" / "config.yaml"


def read() -> dict[str, str]:
    """All settings that are set. Raises ConfigError."""
    file = path()
    if not file.exists():
        return {}
    try:
        content = read_file(file, max_bytes=FILE_BOUND)
        value: Any = yaml.safe_load(content.data.decode()) or {}
        options = value.get("common_opts") or {}
        return {key: str(options[name]) for key in KEYS if (name := key.replace("-", "_")) in options}
    except (Malformed, UnicodeDecodeError, yaml.YAMLError, AttributeError, TypeError) as error:
        raise ConfigError(f"{file}: not the settings of ctl: {error}", field="config") from error


def write(key: str, value: str) -> None:
    """Set one of them. Raises ConfigError and OSError."""
    if key not in KEYS:
        raise ConfigError(f"one of {', '.join(KEYS)}, got {key!r}", field="config")
    if key == "timeout":
        duration(value, key)
    if key == "tls-insecure" and value.lower() not in ("true", "false"):
        raise ConfigError(f"{key}: true or false, got {value!r}", field=key)
    options = {one.replace("-", "_"): text for one, text in (read() | {key: value}).items()}
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True)
    # It may hold a password: nobody else's to read.
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        yaml.safe_dump({"common_opts": options}, out)
