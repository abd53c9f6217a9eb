"""What others said about why somebody cannot be reached, in words, until it can.

A hint proves nothing: who refuses us cannot be asked for a token that we would take. So nothing ends by one.
It is told to people at once, and stands in the error if the request ends without an answer.
"""

from __future__ import annotations

import math

from actors.memo import Memo
from actors.messages.wire import HintReason
from actors.names import Key, Name
from identity.errors import InvalidToken, SlimError

KNOWN_HINTS = 256

_WORDS = {
    HintReason.NOBODY: "nobody there has the name {}",
    HintReason.SECRET: "{} refuses: our token is made with another secret",
    HintReason.KEY: "{} refuses: our token is signed with a key that it does not know",
    HintReason.AUDIENCE: "{} refuses: our token is for another audience",
    HintReason.ISSUER: "{} refuses: our token is of another issuer",
    HintReason.SUBJECT: "{} refuses: our token names a subject that it does not trust",
    HintReason.TIME: "{} refuses: our token is not valid at the time of its clock",
    HintReason.KIND: "{} refuses: it expects another kind of identity",
    HintReason.TOKEN: "{} refuses our token",
    HintReason.MLS_WANTED: "{} takes encrypted sessions only: open them with MLS",
    HintReason.NO_MLS: "{} is not set up for MLS",
    HintReason.SUITE: "{} cannot take us in: our MLS is of another cipher suite",
    HintReason.KEYS: "{} cannot judge our token: its issuer's keys cannot be had there",
    HintReason.FORBIDDEN: "the rules of the node do not let us reach {}",
    HintReason.TOO_FAST: "the node reads from us more slowly: we send more than it lets us, to {} too",
    HintReason.MEMORY: "the node reads from us more slowly, what is for {} too: its memory is nearly full",
}
_BY_RULE = {
    "secret": HintReason.SECRET,
    "signature": HintReason.KEY,
    "unknown_key": HintReason.KEY,
    "keys_unavailable": HintReason.KEYS,
    "ambiguous_key": HintReason.KEY,
    "algorithm": HintReason.KEY,
    "trust_domain": HintReason.KEY,
    "aud": HintReason.AUDIENCE,
    "iss": HintReason.ISSUER,
    "sub": HintReason.SUBJECT,
    "expired": HintReason.TIME,
    "not_yet_valid": HintReason.TIME,
    "format": HintReason.KIND,
}


def reason_of(error: SlimError) -> HintReason:
    """What to tell somebody whose token was refused."""
    return _BY_RULE.get(error.rule, HintReason.TOKEN) if isinstance(error, InvalidToken) else HintReason.TOKEN


def in_words(reason: HintReason, name: Name) -> str:
    """A sentence about `name`, as people write it."""
    return _WORDS[reason].format(name.short)


class Hints:
    """Of one application, by the names that it wants to reach; bounded."""

    __slots__ = ("_said",)

    def __init__(self) -> None:
        self._said: Memo[Key, tuple[str, float]] = Memo(KNOWN_HINTS)

    def note(self, name: Name, sentence: str, now: float) -> None:
        """Somebody said so about `name`."""
        self._said.remember(name.key, (sentence, now))

    def forget(self, name: Name) -> None:
        """`name` was reached."""
        self._said.pop(name.key, None)

    def about(self, name: Name, since: float = -math.inf) -> str:
        """The hint about `name`, if it came at `since` or later; empty without one."""
        said, at = self._said.get(name.key) or ("", 0.0)
        return said if at >= since else ""

    def behind(self, name: Name) -> str:
        """The hint about `name` as the end of a sentence; empty without one."""
        said = self.about(name)
        return f" ({said})" if said else ""
