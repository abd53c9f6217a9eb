"""A script in a process of its own, beside its application: `app.moderate(channel, Script, process=True)`."""

from __future__ import annotations

from actors.moderation.script import Script
from identity.errors import ConfigError


class PlayerBeside:
    def __init__(self, script: type[Script]) -> None:
        raise ConfigError("process", field="process")
