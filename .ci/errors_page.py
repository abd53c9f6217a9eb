"""Write docs/errors.md anew: the errors that applications meet, from their classes and docs/errors.yaml.

What an error says stands in its docstring; why it comes and what helps stands there. An error of
`gateway.__all__` without an entry, or an entry without an error, is refused.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

import gateway
from identity.errors import SlimError

DOCS = Path(__file__).resolve().parents[1] / "docs"
HEAD = """\
# Errors

<!-- Made by `make errors-page` from the classes and docs/errors.yaml. -->

Everything that Callboard raises on purpose is a `SlimError`, is imported from `gateway`, and says in one
sentence what went wrong, with the name, argument or address in it.
No text of an error holds a token, a key or a secret.

Where an error appears:

- What is wrong with an **argument** is raised by the call that got it, before anything is sent.
- What became of **one message** its handle tells: `handle = await session.publish(...)`, then `await handle`.
- What became of **a member**, and a gap in what was received, is an event:
  `async for event in session.events()`.
- Why **a session** ended is `session.closed_because`; the receive loop itself just ends.
- `get_message`, for programs written for `slim-bindings`, raises all of them where a message would have come.

Errors with a second base in brackets are also caught by Python's own name.

"""

HELP = yaml.safe_load((DOCS / "errors.yaml").read_text())


def errors(root: type[SlimError] = SlimError, depth: int = 0) -> Iterator[tuple[type[SlimError], int]]:
    """The public errors, each below its base, with their depth."""
    public = {id(getattr(gateway, name)) for name in gateway.__all__}
    if id(root) in public:
        yield root, depth
        depth += 1
    for kind in sorted(root.__subclasses__(), key=lambda each: each.__name__):
        yield from errors(kind, depth)


def page() -> str:
    """The page, Markdown. Raises LookupError when classes and table differ."""
    found = list(errors())
    names = [kind.__name__ for kind, _ in found]
    if set(names) != set(HELP):
        raise LookupError(f"without an entry, or an error: {sorted(set(names) ^ set(HELP))}")
    tree = "\n".join(f"{'    ' * depth}{_title(kind)}" for kind, depth in found)
    parts = [HEAD + f"```text\n{tree}\n```\n"]
    for kind, _ in found:
        entry = HELP[kind.__name__]
        what = re.sub(r" \(`[a-z-]+\.md` [\d.]+\)", "", inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0])
        reasons = f"*Why:* {entry['why']}\n\n*What helps:* {entry['helps']}"
        parts.append(f"## {kind.__name__}\n\n{' '.join(what.split())}\n\n{reasons}\n")
    return "\n".join(parts)


def _title(kind: type[SlimError]) -> str:
    builtin = [
        base.__name__ for base in kind.__bases__ if not issubclass(base, SlimError) and base is not Exception
    ]
    return f"{kind.__name__} ({', '.join(builtin)})" if builtin else kind.__name__


if __name__ == "__main__":
    DOCS.joinpath("errors.md").write_text(page())
