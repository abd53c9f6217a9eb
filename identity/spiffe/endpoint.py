"""The address of the Workload API: where it comes from and what it may look like (`identity.md` 5)."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from identity.log import logger
from identity.spiffe.errors import ArgumentError, WorkloadApiError

ENVIRONMENT_VARIABLE = "SPIFFE_ENDPOINT_SOCKET"
MAX_SOCKET_PATH_BYTES = 107
"""What `sun_path` holds on Linux without its closing zero."""

_PROBE_SECONDS = 1.0
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WorkloadEndpoint:
    """A parsed address of the Workload API."""

    uri: str
    """As given, with `unix:` in front of a bare path."""
    target: str
    """What the gRPC library dials."""
    path: str | None
    """The socket's path, or `None` for TCP."""


USUAL_SOCKETS = (
    "/run/spire/agent-sockets/api.sock",
    "/run/spire/sockets/agent.sock",
    "/run/spire/agent/public/api.sock",
    "/tmp/spire-agent/public/api.sock",  # noqa: S108 (where SPIRE's own default is)
)
"""Where agents put their socket, looked for in this order when nothing names one; /tmp, where anybody could
have put it, last."""


def find_endpoint(socket_path: str | None, environment: Mapping[str, str] | None = None) -> WorkloadEndpoint:
    """The endpoint that `socket_path` names, or else the variable `SPIFFE_ENDPOINT_SOCKET`; without both the
    first of USUAL_SOCKETS that is there.

    Raises ArgumentError when there is none or the address cannot be used. A socket that is named need not
    exist yet.
    """
    given = socket_path or (os.environ if environment is None else environment).get(ENVIRONMENT_VARIABLE)
    given = given or next((path for path in USUAL_SOCKETS if _is_socket(path)), None)
    if not given:
        raise ArgumentError(
            f"no address of the Workload API: pass socket_path or set {ENVIRONMENT_VARIABLE} "
            f"(looked for {', '.join(USUAL_SOCKETS)})",
            field="socket_path",
        )
    return parse_endpoint(given)


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def parse_endpoint(address: str) -> WorkloadEndpoint:
    """Parse a bare path, `unix:` or `tcp:` address. Raises ArgumentError."""
    uri = address if _SCHEME.match(address) else f"unix:{address}"
    if any(ord(character) <= 0x20 or ord(character) == 0x7F for character in uri):
        raise _unusable("it has white space or control characters")
    try:
        parts = urlsplit(uri)
    except ValueError as exc:
        raise _unusable("it is not a URI") from exc
    if parts.query or parts.fragment or "?" in uri or "#" in uri:
        raise _unusable("it has a query or a fragment")
    match parts.scheme:
        case "unix":
            return _unix_endpoint(uri, parts.netloc, parts.path)
        case "tcp":
            return _tcp_endpoint(uri, parts.netloc, parts.path)
        case scheme:
            raise _unusable(f"its scheme is {scheme!r} instead of 'unix' or 'tcp'")


def can_check_socket_owner() -> bool:
    """Whether this platform tells who is behind a unix socket."""
    return hasattr(socket, "SO_PEERCRED")


def check_socket_owner(path: str, agent_uid: int) -> None:
    """Make sure that the process behind the unix socket `path` runs as `agent_uid`.

    A probe connection is made and its peer credentials are read, so a socket that another user put in the
    agent's place is found before anything is asked of it. Raises WorkloadApiError with the code
    `UNAVAILABLE`, or `UNTRUSTED_AGENT` for another user. Only where `can_check_socket_owner`.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_PROBE_SECONDS)
            probe.connect(path)
            credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError as exc:
        raise WorkloadApiError(f"no agent answers at {path!r}: {exc.strerror}", code="UNAVAILABLE") from exc
    _, uid, _ = struct.unpack("3i", credentials)
    if uid != agent_uid:
        raise WorkloadApiError(
            f"the socket {path!r} belongs to user {uid}, not to the agent's user {agent_uid}",
            code="UNTRUSTED_AGENT",
        )


def warn_about_open_socket(path: str) -> None:
    """Log one line when others than its owner may replace the socket (agents do make it 0777)."""
    try:
        parent = os.stat(os.path.dirname(path) or ".")
    except OSError:
        return
    if parent.st_mode & stat.S_IWOTH and not parent.st_mode & stat.S_ISVTX:
        logger.warning(
            "anybody may replace the Workload API socket: its directory is world-writable; "
            "restrict the directory, or name the agent's user with agent_uid",
            path=path,
        )


def _unix_endpoint(uri: str, authority: str, path: str) -> WorkloadEndpoint:
    if authority:
        raise _unusable("a unix address is written unix:/path or unix:///path, without a host")
    if not path.startswith("/") or path.endswith("/"):
        raise _unusable("the path of a unix address is absolute and names a file")
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise _unusable(f"the path of a unix address has at most {MAX_SOCKET_PATH_BYTES} bytes")
    return WorkloadEndpoint(uri, f"unix:{path}", path)


def _tcp_endpoint(uri: str, authority: str, path: str) -> WorkloadEndpoint:
    if path:
        raise _unusable("a tcp address has no path")
    host, _, port = authority.rpartition(":")
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError as exc:
        raise _unusable("a tcp address is written tcp://IP:port, with an IP address") from exc
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise _unusable("the port of a tcp address is a number from 1 to 65535")
    if not (address.is_loopback or address.is_link_local):
        raise _unusable("a tcp address must be loopback or link-local: the Workload API has no encryption")
    family = "ipv6" if address.version == 6 else "ipv4"
    text = f"[{address}]" if address.version == 6 else str(address)
    return WorkloadEndpoint(uri, f"{family}:{text}:{port}", None)


def _unusable(reason: str) -> ArgumentError:
    return ArgumentError(f"the address of the Workload API cannot be used: {reason}", field="socket_path")
