"""Who may come in as a node (`backbone.md`, peers): by TLS identity, by token, or from loopback."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from cryptography import x509

from actors.messages.wire import Introduction
from gateway.config import ClientConfig
from identity.errors import ConfigError

_TOKEN_LEAST = 16
"""Characters of a token: it is all that stands between strangers and the network."""


class NodeCaller(Protocol):
    """The link of a node that calls."""

    @property
    def peer(self) -> str:
        """Its address."""

    @property
    def certificate(self) -> bytes:
        """What it showed, checked by TLS; empty without one."""

    @property
    def subject(self) -> str:
        """Who it is, as the listener's authentication proved; empty without one."""


@dataclass(frozen=True, slots=True)
class PeerPolicy:
    """Whoever has one of these may come in: the token, one of the TLS identities (SPIFFE ID, DNS name or
    common name of the certificate), one of the subjects that the listener's authentication proves (of a
    token, or a user), an address on loopback (None: where none of the others is given).

    The token is also what this node shows to the nodes that it calls. Raises ConfigError for a short one.
    """

    token: str = field(default="", repr=False)
    identities: frozenset[str] = frozenset()
    subjects: frozenset[str] = frozenset()
    loopback: bool | None = None

    def __post_init__(self) -> None:
        if self.token and len(self.token) < _TOKEN_LEAST:
            raise ConfigError(f"peer token: at least {_TOKEN_LEAST} characters", field="peers.token")

    def is_proved(self, caller: NodeCaller, introduction: Introduction) -> bool:
        """Whether a node that calls is one by what is said here: an address is none where nothing is."""
        if self.token and hmac.compare_digest(self.token.encode(), introduction.token.encode()):
            return True
        if self.identities and self.identities & identities(caller.certificate):
            return True
        if caller.subject and caller.subject in self.subjects:
            return True
        return bool(self.loopback) and is_loopback(caller.peer)

    def refusal(self, caller: NodeCaller, introduction: Introduction) -> str:
        """Why a node that calls is not let in; nothing when it is."""
        if self.is_proved(caller, introduction):
            return ""
        given = bool(self.token or self.identities or self.subjects)
        if self.loopback is None and not given and is_loopback(caller.peer):
            return ""
        if given:
            wanted = [
                *(["a peer token"] if self.token else []),
                *(["a certificate of a known peer"] if self.identities else []),
                *(["the authentication of a known peer"] if self.subjects else []),
            ]
            return f"this node takes as peer only who shows {' or '.join(wanted)}"
        if self.loopback is False:
            return "this node takes no peers"
        return "this node takes peers from loopback only: tell it the peers' TLS identities"


LOOPBACK_ONLY = PeerPolicy()


@lru_cache(1024)
def identities(certificate: bytes) -> frozenset[str]:
    """The names in a certificate: URIs and DNS names of its alternative names, and its common name."""
    if not certificate:
        return frozenset()
    pem = certificate.startswith(b"-----")
    try:
        read = (x509.load_pem_x509_certificate if pem else x509.load_der_x509_certificate)(certificate)
        found = [str(one.value) for one in read.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
        try:
            names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return frozenset(found)
        found += names.get_values_for_type(x509.UniformResourceIdentifier)
        found += names.get_values_for_type(x509.DNSName)
    except ValueError:
        return frozenset()
    return frozenset(found)


def proved_name(link: NodeCaller) -> str:
    """What people know a caller by: its user, the subject of its token, or the names in its certificate."""
    return link.subject or ", ".join(sorted(identities(link.certificate)))


def is_loopback(peer: str) -> bool:
    """Whether an address, as a stream tells it, is of this machine."""
    if peer in ("unix socket", "memory") or peer.startswith("unix:"):
        return True
    host = peer.removeprefix("ipv4:").removeprefix("ipv6:").rpartition(":")[0]
    host = host.replace("%5B", "[").replace("%5D", "]").strip("[]")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def peer_configs(
    endpoints: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]], **common: Any
) -> list[ClientConfig]:
    """The configurations with which peers are dialled: `common` holds for those that are only endpoints.

    A text may name several endpoints, with commas between. Raises ConfigError.
    """
    if isinstance(endpoints, str):
        endpoints = [part.strip() for part in endpoints.split(",") if part.strip()]
    elif isinstance(endpoints, Mapping):
        endpoints = [endpoints]
    return [
        ClientConfig.read({"endpoint": one, **common} if isinstance(one, str) else one) for one in endpoints
    ]
