"""What an application says about those whom it refuses, and hears about those whom it cannot reach.

refused: warned about here, and the other end is given a hint (at most one for a source in a second)
a hint came: warned about here, and remembered for the error (`actors/session/hints.py`)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from actors.alarm import RETRY_PAUSE, Alarm, SourceAlarms
from actors.app.effects import Dropped, Hinted
from actors.messages.routing import Transmit
from actors.messages.wire import HELD_UP, Hint
from actors.routing.past import Past
from actors.session.hints import Hints, in_words


class Refusals:
    """`address` tells which actor puts messages out on a connection, `past` what the node of this process
    remembers; `log` is the application's own.
    """

    def __init__(
        self,
        send: Callable[[Any, Any], None],
        address: Callable[[int], Any],
        hints: Hints,
        past: Past,
        log: Any,
    ) -> None:
        self._send, self._address, self._hints, self._past = send, address, hints, past
        self._log = log
        self._alarm = Alarm()
        self._strangers, self._given = SourceAlarms(), SourceAlarms()
        self._heard = SourceAlarms(RETRY_PAUSE)

    def refused(self, reason: str, now: float) -> None:
        """An invitation was."""
        self._log.log("WARNING" if self._alarm.is_due(now) else "DEBUG", "invitation refused", cause=reason)

    def crowded(self, source: Any, cause: str, now: float) -> None:
        """An invitation of `source` was, because there is no room."""
        level, more = self._strangers.level(source, now)
        self._log.log(level, f"invitation refused{more}", peer=str(source), cause=cause)

    def dropped(self, dropped: Dropped, now: float) -> None:
        """A message was: its sender is not believed."""
        level, more = self._strangers.level(dropped.source if dropped.alarming else None, now)
        self._log.log(level, f"message dropped{more}", peer=str(dropped.source), cause=dropped.reason)

    def give(self, hinted: Hinted, now: float) -> None:
        """Tell the other end why, if that may be said again."""
        hint, address = hinted.hint, self._address(hinted.connection)
        if address is not None and self._given.is_due(hint.destination, now):
            self._past.tell(hint, now)
            self._send(address, Transmit((hint,)))

    def take(self, records: Iterable[Any], now: float) -> None:
        """Somebody tells us why, if a hint is among these."""
        for record in records:
            if isinstance(record, Hint):
                self._heard_of(record, now)

    def _heard_of(self, hint: Hint, now: float) -> None:
        sentence = in_words(hint.reason, hint.about)
        held_up = hint.reason in HELD_UP
        if not held_up:
            self._hints.note(hint.about, sentence, now)
        level, more = self._heard.level((hint.about.without_id(), hint.reason), now)
        if held_up:
            self._log.log(level, f"held up{more}", cause=sentence)
        else:
            self._log.log(level, f"not reached{more}", cause=sentence)
