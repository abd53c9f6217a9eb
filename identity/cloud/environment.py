"""What clients read from environment variables and small files, and to whom they tell what they do."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from loguru import logger as project_log

from identity import files
from identity.cloud.models import Logger
from identity.encoding import Malformed
from identity.errors import ConfigError

FILE_LIMIT = 256 * 1024

_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def read_file(path: str, what: str) -> str:
    """The text of a small regular file that the setting `what` names. Raises ConfigError, quoting nothing."""
    try:
        return files.read_file(Path(path).expanduser(), max_bytes=FILE_LIMIT).data.decode("utf-8-sig")
    except Malformed as error:
        problem = str(error)
    except UnicodeDecodeError:
        problem = "not UTF-8"
    except (RuntimeError, ValueError):  # no home directory, or no path
        problem = "not a path"
    raise ConfigError(f"{what} names {path}, which is no usable file: {problem}", field=what)


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
