"""What to look at when something went wrong: said behind the error's own sentence."""

from __future__ import annotations

import re

from actors.errors import CannotConnect, HandshakeFailed

_PORT = re.compile(r":\d+/?$")


def sentence(error: Exception) -> str:
    """The error, and where to look, if that is known."""
    match error:
        case CannotConnect(cause=cause) if "UNAUTHENTICATED" in cause:
            remedy = (
                "the node wants a user and a password, or a token, that are not those shown "
                "(SLIM_AUTH_BASIC=USER:PASSWORD, --auth-token FILE)"
            )
        case CannotConnect(cause=cause) if "RESOURCE_EXHAUSTED" in cause:
            return str(error)  # A node is there, and says which of its limits it is.
        case CannotConnect(endpoint=endpoint, cause=cause) if _ends_behind_tls(endpoint, cause):
            remedy = (
                "a node that demands client certificates ends connections so: --tls-cert FILE and "
                "--tls-key FILE show one that it takes"
            )
        case CannotConnect(cause=cause) if "CERTIFICATE_VERIFY_FAILED" in cause:
            remedy = (
                "--ca FILE says who signs certificates of nodes, --tls-server-name NAME whom they are for"
            )
        case CannotConnect(endpoint=endpoint) if _PORT.search(endpoint) is None and "unix:" not in endpoint:
            remedy = "it names no port, and a node listens on 46357 unless told otherwise"
        case CannotConnect():
            remedy = (
                "is a node listening there (callboard start), and has it TLS if and only if this is https?"
            )
        case HandshakeFailed():
            remedy = (
                "is it running under that name, at this node, with the same secret or with keys that fit?"
            )
        case OSError(filename=str() as path, strerror=str() as cause, filename2=None):
            return f"{path}: {cause}"
        case OSError(filename=None, strerror=str() as cause):
            return cause
        case _:
            return str(error)
    return f"{error}; {remedy}"


def _ends_behind_tls(endpoint: str, cause: str) -> bool:
    """TLS 1.3 refuses a client certificate when the client takes its handshake for done."""
    return endpoint.startswith("https://") and "refused the call: UNAVAILABLE" in cause
