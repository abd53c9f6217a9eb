"""What to look at when something went wrong: said behind the error's own sentence."""

from __future__ import annotations

from actors.errors import CannotConnect, HandshakeFailed


def sentence(error: Exception) -> str:
    """The error, and where to look, if that is known."""
    match error:
        case CannotConnect(cause=cause) if "UNAUTHENTICATED" in cause:
            remedy = (
                "the node wants a user and a password, or a token, that are not those shown "
                "(SLIM_AUTH_BASIC=USER:PASSWORD, --auth-token FILE)"
            )
        case CannotConnect():
            remedy = (
                "is a node listening there (callboard start), and has it TLS if and only if this is https?"
            )
        case HandshakeFailed():
            remedy = (
                "is it running under that name, at this node, with the same secret or with keys that fit?"
            )
        case _:
            return str(error)
    return f"{error}; {remedy}"
