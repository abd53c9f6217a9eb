"""Names as the control plane writes them (`controller.md` 3): texts, an instance id in decimal."""

from __future__ import annotations

from actors.controller.turn import Declined
from actors.messages.controller import Triple
from actors.names import NO_ID

COMPONENT_SIZE = 256
"""Characters of one component at most."""


def checked(name: tuple[str, ...], what: str) -> Triple:
    """Three components that are not empty. Raises Declined (INVALID_ARGUMENT) naming `what`."""
    if len(name) != 3 or not all(name):
        raise Declined(
            "INVALID_ARGUMENT",
            f"{what}: a name is organisation/namespace/application, got {'/'.join(name)!r}",
        )
    for part in name:
        if len(part) > COMPONENT_SIZE or not part.isprintable() or "/" in part:
            raise Declined(
                "INVALID_ARGUMENT",
                f"{what}: a component has at most {COMPONENT_SIZE} printable characters and no slash",
            )
    return (name[0], name[1], name[2])


def node_id(text: str) -> str:
    """The id of a node, its group before a slash. Raises Declined (INVALID_ARGUMENT)."""
    if not text or len(text) > COMPONENT_SIZE or not text.isprintable():
        raise Declined(
            "INVALID_ARGUMENT", f"node_id: 1 to {COMPONENT_SIZE} printable characters, got {len(text)}"
        )
    return text


def channel(text: str, what: str = "channel_name") -> str:
    """A channel or participant: exactly three components. Raises Declined (INVALID_ARGUMENT)."""
    return "/".join(checked(_parts(text, what), what))


def moderator(text: str) -> tuple[Triple, int | None]:
    """A moderator: three components, or four with the id. Raises Declined (INVALID_ARGUMENT)."""
    parts = _parts(text, "moderators")
    name = checked(parts[:3], "moderators")
    if len(parts) == 3:
        return name, None
    if len(parts) == 4 and parts[3].isascii() and parts[3].isdigit() and int(parts[3]) < NO_ID:
        return name, int(parts[3])
    raise Declined(
        "INVALID_ARGUMENT",
        f"moderators: the fourth part of {text[:COMPONENT_SIZE]!r} is to be an instance id in decimal",
    )


def shown(name: Triple, id: int | None) -> str:
    """The text of a name, with its id if there is one."""
    return "/".join(name) + ("" if id is None else f"/{id}")


def _parts(text: str, what: str) -> tuple[str, ...]:
    if not text:
        raise Declined("INVALID_ARGUMENT", f"{what}: required")
    if len(text) > 4 * COMPONENT_SIZE:
        raise Declined("INVALID_ARGUMENT", f"{what}: a name of {len(text)} characters is too long")
    return tuple(part.strip() for part in text.split("/"))
