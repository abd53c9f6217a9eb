"""When to dial again (`api.md` 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from gateway.config.keys import Key, Kind, Table
from gateway.config.section import Section, duration
from identity.errors import ConfigError

_WITHOUT_END = 2**31
"""From here on a number of attempts is taken for "without end": the original's default is 2**64 - 1."""
_DOUBTFUL = 100
"""A bare number from here on may be meant in milliseconds."""

_ATTEMPTS = Key(
    "max_attempts", "attempts in a row before the connection is given up; 0: without end", Kind.COUNT, 0, 0
)
EXPONENTIAL = Table(
    "exponential",
    Key("base", "the first delay: a duration, or a number of milliseconds", Kind.ANY, 100),
    Key("factor", "how many times longer each further delay is, from 1 to 100", Kind.NUMBER, 2.0),
    Key("max_delay", "no delay is longer", Kind.SECONDS, 1.0, shown="1s"),
    _ATTEMPTS,
    Key("jitter", "each delay loses up to half of itself, at random", Kind.SWITCH, True),
)
FIXED = Table(
    "fixed_interval",
    Key("interval", "the delay between attempts", Kind.SECONDS, 1.0, shown="1s"),
    _ATTEMPTS,
)
BACKOFF = Table(
    "backoff",
    Key(
        "type", "how delays go on; `fixed` is `fixed_interval`", default="exponential",
        choices=("exponential", "fixed_interval", "fixed"),
    ),
    variants={"exponential": EXPONENTIAL, "fixed_interval": FIXED},
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Backoff:
    """Times between attempts to connect, in seconds; `max_attempts` 0 is without end.

    Delays grow by `factor` from `base` to `max_delay`; jitter takes up to half of each away, so that many
    clients do not come back in step. The original tries once a second: programs count on being back within
    two seconds of a restart, whatever it took. Raising `max_delay` spares a node that is gone for long.
    """

    base: float = 0.1
    factor: float = 2.0
    max_delay: float = 1.0
    max_attempts: int = 0
    jitter: bool = True

    def delay(self, attempt: int, random: float) -> float:
        """Seconds before attempt number `attempt` (0 is the first); `random` is in [0, 1)."""
        full: float = min(self.max_delay, self.base * self.factor ** min(attempt, 64))
        return full * (1 - 0.5 * random) if self.jitter else full

    @classmethod
    def read(cls, section: Section | None) -> Backoff:
        """Check the dict; without a `type`, `interval` says that it is a fixed one. Raises ConfigError."""
        if section is None:
            return cls()
        fixed = section.has("interval") and not section.has("type")
        kind = BACKOFF.key("type").read(section)
        if fixed or kind in ("fixed", "fixed_interval"):
            values = FIXED.read(section)
            interval = values["interval"]
            return cls(interval, 1.0, interval, _attempts(values["max_attempts"]), jitter=False)
        _no_doubt(section, "max_delay")
        values = EXPONENTIAL.read(section)
        base, factor = values["base"], float(values["factor"])
        if not 1.0 <= factor <= 100.0:
            raise ConfigError(
                f"{section.at('factor')}: from 1 to 100, got {factor:g}", field=section.at("factor")
            )
        if isinstance(base, int | float) and not isinstance(base, bool):
            # A bare number is milliseconds here, as it is for the original.
            base = timedelta(milliseconds=base) if abs(base) < 10**12 else float("inf")
        return cls(
            duration(base, section.at("base")),
            factor,
            values["max_delay"],
            _attempts(values["max_attempts"]),
            values["jitter"],
        )


def _attempts(count: int) -> int:
    return count if count < _WITHOUT_END else 0


def _no_doubt(section: Section, key: str) -> None:
    """Refuse a bare number that the original's own example means in milliseconds, and we in seconds."""
    value = section.peek(key)
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= _DOUBTFUL:
        where = section.at(key)
        raise ConfigError(
            f'{where}: say which unit, such as "{value}ms" or "{value}s", got {value}', field=where
        )
