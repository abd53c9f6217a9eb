"""Text that others chose, made harmless for a terminal and a log."""

from __future__ import annotations

SHOWN = 2000
"""Characters of it that are shown at most."""


def harmless(text: str, limit: int | None = SHOWN) -> str:
    """The same text, with escapes for all that would move a cursor, end a line or turn the writing around.

    Tabs stay. What is longer than `limit` characters is cut, and says so; None: it is not.
    """
    cut = ""
    if limit is not None and len(text) > limit:
        cut = f"... ({len(text) - limit} more characters)"
        text = text[:limit]
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in text)
    return text + cut
