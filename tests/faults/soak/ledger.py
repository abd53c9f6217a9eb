"""What the processes of a soak write down, and what that comes to.

A line is a kind, and what it is about:

    a KEY N      message N of conversation KEY was acknowledged by all who were there
    w KEY NAMES  who has to have what is acknowledged of KEY: sinks, or a server
    r KEY N      it was received
    t MICROS     a round trip of the bystanders
    f TEXT       an operation failed, as it may when somebody was killed
    h TEXT       a hostile peer has done something
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from pathlib import Path


class Ledger:
    """Appends lines; each is with the system when `write` returns, so that no kill takes it back."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, kind: str, *what: object) -> None:
        os.write(self._file, (" ".join([kind, *map(str, what)]) + "\n").encode())

    def close(self) -> None:
        os.close(self._file)


class Books:
    """Reads the ledgers in `folder` on and on, and compares them. A file is named for who writes it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}
        self._rest: dict[Path, bytes] = {}
        self._acknowledged: dict[str, set[int]] = defaultdict(set)
        self._received: dict[tuple[str, str], set[int]] = defaultdict(set)
        self._required: dict[str, tuple[str, ...]] = {}
        self.twice: list[tuple[str, str, int]] = []
        """Who received which message of which conversation again."""
        self.acknowledged = self.received = 0
        self.round_trips: dict[str, list[int]] = defaultdict(list)
        """Of each of the bystanders, in microseconds, since whoever reads them took them away."""
        self.failures: Counter[str] = Counter()
        self.hostile: Counter[str] = Counter()

    def read(self) -> None:
        """Take what was written since."""
        for path in sorted(self._folder.glob("*.ledger")):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                data = file.read()
            self._read[path] = self._read.get(path, 0) + len(data)
            *lines, self._rest[path] = (self._rest.get(path, b"") + data).split(b"\n")
            for line in lines:
                kind, _, what = line.decode().partition(" ")
                self._take(path.stem, kind, what)

    def lost(self) -> list[tuple[str, str, int]]:
        """Who has not received what was acknowledged in his name. Read the receivers' files afterwards."""
        return [
            (who, key, number)
            for key, numbers in self._acknowledged.items()
            for who in self._required[key]
            for number in sorted(numbers - self._received[key, who])
        ]

    def _take(self, who: str, kind: str, what: str) -> None:
        match kind:
            case "a":
                key, number = what.split()
                self._acknowledged[key].add(int(number))
                self.acknowledged += 1
            case "w":
                key, names = what.split()
                self._required[key] = tuple(names.split(","))
            case "r":
                key, text = what.split()
                known, number = self._received[key, who], int(text)
                if number in known:
                    self.twice.append((who, key, number))
                known.add(number)
                self.received += 1
            case "t":
                self.round_trips[who].append(int(what))
            case "f":
                self.failures[what] += 1
            case "h":
                self.hostile[what] += 1


def percentile(values: list[int], part: float) -> float:
    """Milliseconds of what is given in microseconds; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] / 1000 if ordered else 0.0
