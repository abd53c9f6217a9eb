"""What clients read from environment variables and small files, and to whom they tell what they do."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from loguru import logger as project_log

from identity.cloud.models import Logger
from identity.errors import ConfigError

FILE_LIMIT = 256 * 1024

_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def read_file(path: str, what: str) -> str:
    """The text of a small regular file that the setting `what` names. Raises ConfigError, quoting nothing."""
    try:
        place = Path(path).expanduser()
        found = place.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{what} names {path}, which is not a regular file", field=what)
        if found.st_size > FILE_LIMIT:
            raise ConfigError(f"{what} names {path}, which is larger than {FILE_LIMIT} bytes", field=what)
        with place.open("rb") as stream:
            return stream.read(FILE_LIMIT).decode("utf-8-sig")
    except (OSError, RuntimeError, UnicodeDecodeError, ValueError) as exc:
        if isinstance(exc, ConfigError):
            raise
        raise ConfigError(
            f"{what} names {path}, which cannot be read ({type(exc).__name__})", field=what
        ) from None


def is_file(path: str | None) -> bool:
    """Whether a setting names a file that is there."""
    try:
        return bool(path) and Path(path or "").is_file()
    except (OSError, ValueError):
        return False


def host_url(host: str, what: str) -> str:
    """`http://HOST[:PORT]` for a setting that holds a bare host. Raises ConfigError."""
    if not _HOST.fullmatch(host):
        raise ConfigError(f"{what} must be a host name or address with an optional port", field=what)
    return f"http://{host}"


def log_to(logger: Logger | None, environ: Mapping[str, str] | None = None) -> Callable[[str], None]:
    """Where lines go: to the caller's logger, with S2IAM_DEBUGGING=true to the project's log, or nowhere."""
    if logger is not None:
        return logger.log
    if (os.environ if environ is None else environ).get("S2IAM_DEBUGGING", "").lower() == "true":
        return project_log.bind(part="cloud").info
    return _nowhere


def _nowhere(_message: str) -> None:
    return None
