"""Where the controller's state survives: one SQLite file, of which kill -9 takes nothing that was answered.

Entries are rows of (kind, key, value), key and value as JSON arrays. The file is only its owner's: a
connection's configuration may hold credentials. It is one controller's at a time, who keeps `<file>.lock`:
each has the state in memory too, and two would undo what the other one answered.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from actors.controller.turn import Save
from identity.errors import ConfigError

MIGRATION = 1
"""What `user_version` of a file says that this program wrote."""


class SqliteStore:
    """A ControllerStore in a file. Writes are transactions in the write-ahead log.

    A power cut may take the last of them (`synchronous=NORMAL`), a killed process none.
    """

    def __init__(self, path: Path) -> None:
        """Open, and make when it is not there. Raises ConfigError saying what is wrong with the file."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            self._open(path)
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self, path: Path) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"database.filePath: another controller keeps {path}; end that one first", field="database"
            ) from None
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._db.execute(
                    "CREATE TABLE IF NOT EXISTS entry"
                    " (kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key))"
                    " WITHOUT ROWID"
                )
                self._db.execute(f"PRAGMA user_version={MIGRATION}")
        except (OSError, sqlite3.Error) as error:
            raise _unusable(path, error) from error
        if version > MIGRATION:
            raise ConfigError(
                f"database.filePath: {path} was written by a newer version (migration {version}; "
                f"this one knows {MIGRATION})",
                field="database",
            )

    def load(self) -> Iterable[Save]:
        """All entries, in the order of their kinds and keys."""
        rows = self._db.execute("SELECT kind, key, value FROM entry ORDER BY kind, key").fetchall()
        return [Save(kind, tuple(json.loads(key)), tuple(json.loads(value))) for kind, key, value in rows]

    def save(self, entries: Sequence[Save]) -> None:
        """Keep or forget entries, all of them or none. Raises OSError."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for kind, key, value in entries:
                if value is None:
                    self._db.execute("DELETE FROM entry WHERE kind = ? AND key = ?", (kind, json.dumps(key)))
                else:
                    self._db.execute(
                        "INSERT INTO entry VALUES (?, ?, ?)"
                        " ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value",
                        (kind, json.dumps(key), json.dumps(value)),
                    )
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise OSError(f"the controller's database does not take what changed ({error})") from error

    def close(self) -> None:
        """Close the file, and let another controller have it."""
        self._db.close()
        os.close(self._lock)


def _unusable(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"database.filePath: cannot use {path}: {error}", field="database")


class MemoryStore:
    """A ControllerStore that ends with the process: for tests, and `database.filePath: ":memory:"`."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], Save] = {}

    def load(self) -> Iterable[Save]:
        """All entries."""
        return list(self.entries.values())

    def save(self, entries: Sequence[Save]) -> None:
        """Keep or forget entries, in the form that a file would give back."""
        for entry in entries:
            place = (entry.kind, json.dumps(entry.key))
            if entry.value is None:
                self.entries.pop(place, None)
            else:
                value = tuple(json.loads(json.dumps(entry.value)))
                self.entries[place] = Save(entry.kind, tuple(json.loads(place[1])), value)

    def close(self) -> None:
        """Nothing to close."""
