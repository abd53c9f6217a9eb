"""Where in a sender's sequence a member begins that came in while it was going on (`session.md` 7.8).

Some of what is sent to a new member comes before its subscription is in force, some is lost: by itself it
cannot know which of the messages before the first that reaches it are for it too. So who sends says it, in
the metadata of its messages, until the member has acknowledged one:

    CALLBOARD_SINCE    9:5d0e41aa07f3c2b8,736f99d1aa00bb17;12:ad58...    from 9 on, these two; from 12, ...

At most NAMED members are told at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from actors.names import Name
from actors.session.serial import MASK

NAMED = 32
LONGEST = 4096
"""Characters of a mark beyond which it is not read."""


def mark(beginnings: Mapping[Name, int], id: int) -> str:
    """What message `id` says to the members of `beginnings`; empty if it is where they all begin."""
    tags: dict[int, list[str]] = {}
    for name, start in islice(beginnings.items(), NAMED):
        if start != id:
            tags.setdefault(start, []).append(_tag(name))
    return ";".join(f"{start}:{','.join(names)}" for start, names in tags.items())


def beginning(text: str, name: Name) -> int | None:
    """The id at which `name` begins, as the mark `text` of a peer says; None if it does not say."""
    tag = _tag(name)
    for part in text.split(";") if len(text) <= LONGEST else ():
        start, _, tags = part.partition(":")
        if tag in tags.split(","):
            plain = start.isascii() and start.isdecimal() and len(start) <= len(str(MASK))
            return int(start) if plain and int(start) <= MASK else None
    return None


def _tag(name: Name) -> str:
    return (name.key[-8:-4] + name.instance[:4]).hex()
