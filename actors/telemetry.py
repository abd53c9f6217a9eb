"""Named counters of a node: what its parts did, and what each bounded queue dropped.

    class ConnectionCounts(Counts, part="connection"):        one line for each counter
        dropped: int = counter("Data frames dropped because ...")

    counts.dropped += 1                                       the part counts, each owner for itself
              │
              ▼
    Registry.samples() ──► callboard_connection_dropped_total, help, sum over all owners, gone ones included

Names follow Prometheus: `callboard_<part>_<what>`, with `_total` behind what only grows. A label is a rule or
a state, never a name, a session or an address, of which a peer could make many.

Counting is an addition to a plain attribute; sums are made when somebody looks. All of a registry belongs to
one loop's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, TypeVar

from actors.record import record

PREFIX = "callboard"
TOTAL = "_total"

Labels = tuple[tuple[str, str], ...]


@record
class Sample(NamedTuple):
    """One number at one moment."""

    name: str
    help: str
    value: int
    labels: Labels = ()

    @property
    def grows(self) -> bool:
        """Whether it only grows (Prometheus: a counter), or goes up and down (a gauge)."""
        return self.name.endswith(TOTAL)


@record
class _Counter(NamedTuple):
    help: str


def counter(help: str) -> Any:
    """A counter of a Counts class: `name: int = counter("What it counts.")`."""
    return _Counter(help)


class _Declared(type):
    """Makes a slot of each declared counter: adding to one is on the path of every message."""

    def __new__(
        meta, name: str, bases: tuple[type, ...], namespace: dict[str, Any], *, part: str = ""
    ) -> _Declared:
        helps = {key: value.help for key, value in namespace.items() if isinstance(value, _Counter)}
        kept = {key: value for key, value in namespace.items() if key not in helps}
        slots = (*namespace.get("__slots__", ()), *helps)
        return super().__new__(meta, name, bases, {**kept, "__slots__": slots, "part": part, "helps": helps})


class Counts(metaclass=_Declared):
    """The numbers of one part, which its owner adds to. Subclasses declare them with `counter`."""

    part: ClassVar[str]
    helps: ClassVar[dict[str, str]]
    """The counters, by attribute."""

    def __init__(self) -> None:
        for name in self.helps:
            setattr(self, name, 0)

    def figures(self) -> dict[str, int]:
        """The numbers by attribute: of this owner alone."""
        return {name: getattr(self, name) for name in self.helps}


C = TypeVar("C", bound=Counts)
Read = Callable[[], int]
ReadByLabel = Callable[[], Mapping[str, int]]


class Registry:
    """All that is counted in one loop."""

    def __init__(self) -> None:
        self._owned: dict[type[Counts], dict[Counts, None]] = {}
        """By kind, the objects of owners that live."""
        self._past: dict[type[Counts], Counts] = {}
        """What owners that are gone had counted."""
        self._shared: dict[type[Counts], Counts] = {}
        self._readings: dict[str, tuple[str, Read]] = {}
        self._readings_by_label: dict[str, tuple[str, str, ReadByLabel]] = {}

    def register(self, counts: C) -> C:
        """Take the numbers of one more owner into the sum, where they stay after `close`. Returns them."""
        self._owned.setdefault(type(counts), {})[counts] = None
        return counts

    def close(self, counts: Counts) -> None:
        """The owner is gone. Idempotent."""
        kind = type(counts)
        owners = self._owned.get(kind, {})
        if counts in owners:
            del owners[counts]
            past = self._past.setdefault(kind, kind())
            for name in kind.helps:
                setattr(past, name, getattr(past, name) + getattr(counts, name))

    def shared(self, kind: type[C]) -> C:
        """The one object for all owners that need no numbers of their own."""
        found = self._shared.get(kind)
        if found is None:
            found = self._shared[kind] = self.register(kind())
        assert isinstance(found, kind)
        return found

    def read(self, what: str, help: str, read: Read) -> None:
        """A number that somebody knows already: `read()` tells it. `what` is the name behind the prefix."""
        self._readings[f"{PREFIX}_{what}"] = (help, read)

    def read_by(self, label: str, what: str, help: str, read: ReadByLabel) -> None:
        """Numbers that somebody knows already, by the values of one label, which must be few."""
        self._readings_by_label[f"{PREFIX}_{what}"] = (help, label, read)

    def samples(self) -> Iterator[Sample]:
        """Everything as it is now, those of one name together."""
        return (sample for sample in self.steps() if sample is not None)

    def steps(self) -> Iterator[Sample | None]:
        """The samples, with a None after each owner that was added up: there may be thousands.

        Whoever comes or goes between two steps counts as it was when its kind was begun, or as it is now.
        """
        for kind in list(self._owned):
            past = self._past.get(kind)
            totals = dict.fromkeys(kind.helps, 0) if past is None else past.figures()
            for counts in list(self._owned[kind]):
                for name in totals:
                    totals[name] += getattr(counts, name)
                yield None
            for name, help in kind.helps.items():
                yield Sample(f"{PREFIX}_{kind.part}_{name}{TOTAL}", help, totals[name])
        for full, (help, read) in list(self._readings.items()):
            yield Sample(full, help, read())
        for full, (help, label, read_all) in list(self._readings_by_label.items()):
            for value, number in list(read_all().items()):
                yield Sample(full, help, number, ((label, value),))

    def figures(self) -> dict[str, int]:
        """The samples by name, `name{label="value"}` where there is a label."""
        return {_shown(sample): sample.value for sample in self.samples()}


def _shown(sample: Sample) -> str:
    labels = ",".join(f'{label}="{value}"' for label, value in sample.labels)
    return f"{sample.name}{{{labels}}}" if labels else sample.name
