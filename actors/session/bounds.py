"""What somebody whom we do not know may set for us, and within which bounds (`session.md` 4.2, 7.4).

An invitation brings timers, and by them the pace at which *we* repeat ourselves; the ids of data messages
bring gaps, and by them what we ask for. Values outside are taken as the nearest one inside, because programs
of SLIM use such values in good faith, and are counted; an interval of nothing is refused. How long a session
lives without whoever began it is bounded here too; `docs/signs-of-life.md` tells the rest of that.

Values that an application sets for itself are its own affair, but for the last ones.
"""

from __future__ import annotations

from typing import NamedTuple

from actors.messages.wire import TimerSettings
from actors.record import record
from actors.session.retry import ResendPolicy

SHORTEST_INTERVAL = 0.05
LONGEST_INTERVAL = 600.0
"""Seconds between two attempts."""
MOST_RETRIES = 1000
LONGEST_TIME = 3600.0
"""Seconds for which anything is tried again: interval times retries."""

LONGEST_OUTAGE = 24 * 3600
"""Seconds without a sign of life that a peer may ask a session to survive."""

WIDEST_GAP = 512
"""Messages of one sender that may be missing at a time: no sender of SLIM keeps more for those who ask."""
REQUESTS_A_SECOND = 100
"""Requests for missing messages to one sender, after the first of each."""

MEMBERS = 10_000
"""Names that a list of members may hold."""
METADATA = 1024
"""Entries of metadata that a message may have."""

JOIN_TIME = 60.0
"""Seconds for which a session waits for its initiator's next step: the welcome after a join, the leave after
a removal."""


@record
class Bounded(NamedTuple):
    """Timers within the bounds, and whether they had to be brought there."""

    timers: TimerSettings
    changed: bool


def bounded(timers: TimerSettings) -> Bounded | None:
    """The timers of an invitation as we use them; None when they cannot be used."""
    asked, most = timers
    if not asked > 0:
        return None
    interval = min(max(asked, SHORTEST_INTERVAL), LONGEST_INTERVAL)
    retries = min(most, MOST_RETRIES, int(LONGEST_TIME / interval))
    inside = TimerSettings(interval, retries)
    return Bounded(inside, inside != timers)


def paced(policy: ResendPolicy, under_way: int) -> ResendPolicy:
    """How to ask for each of `under_way` messages: as `policy` says if they are few, else so that all of
    them together are asked for at a pace of REQUESTS_A_SECOND, and not for longer."""
    interval = max(policy.interval, under_way / REQUESTS_A_SECOND)
    if interval == policy.interval:
        return policy
    return ResendPolicy(
        interval, max(min(1, policy.retries), int(policy.interval * policy.retries / interval))
    )
