"""Who may call the controller, and what: proofs, and roles that hold one another (`controller.md` 1).

    reader     lists
    operator   channels, participants, routes
    admin      nodes and connections too

A proof is a basic password, a bearer token (a constant or a JWT), or the certificate of the TLS handshake.
Without any of them configured everybody is in, as published; a listener that others can reach says so when it
starts.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from cryptography import x509

from gateway.controller.calls import CallError, RpcCaller
from identity.errors import InvalidToken
from identity.protocols import Verifier


class AccessRole(IntEnum):
    """What a caller may do; each may what those before it may."""

    READER = 1
    OPERATOR = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller and what it may. `subject` is for the audit: never a secret."""

    subject: str
    role: AccessRole


@dataclass(slots=True)
class AccessPolicy:
    """The proofs that one service takes, and the roles of those who give them."""

    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By user."""
    token: str = field(default="", repr=False)
    """The shared bearer token."""
    verifier: Verifier | None = None
    certificates: bool = False
    """Whether a certificate that TLS has checked is a proof."""
    roles: Mapping[str, AccessRole] = field(default_factory=dict)
    """By subject: the user, `sub` of a token, the name of a certificate (`certificate_subject`)."""
    default_role: AccessRole | None = None
    """Of those whom `roles` does not name; None: they may nothing."""
    clock: Callable[[], float] = time.time

    @property
    def open(self) -> bool:
        """Whether everybody is let in."""
        return not (self.passwords or self.token or self.verifier or self.certificates)

    async def principal(self, caller: RpcCaller) -> Principal:
        """Who calls. Raises AuthError without a proof, CallError (PERMISSION_DENIED) without a role."""
        if self.open:
            return Principal("anonymous", AccessRole.ADMIN)
        subject = await self._subject(caller)
        role = self.roles.get(subject, self.default_role)
        if role is None:
            raise CallError("PERMISSION_DENIED", f"{subject} has no role here")
        return Principal(subject, role)

    async def _subject(self, caller: RpcCaller) -> str:
        scheme, _, value = caller.headers.get("authorization", "").partition(" ")
        value = value.strip()
        match scheme.lower():
            case "basic" if self.passwords:
                return self._basic(value)
            case "bearer" if self.token and hmac.compare_digest(value.encode(), self.token.encode()):
                return "token"
            case "bearer" if self.verifier is not None:
                claims = await self.verifier.get_claims(value, self.clock())
                return str(claims.get("sub") or "")
        if self.certificates and caller.certificates:
            return certificate_subject(caller.certificates)
        raise InvalidToken(f"a proof is needed: {self._wanted()}", rule="missing")

    def _basic(self, value: str) -> str:
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            user, password = "", ""
        expected = self.passwords.get(user, "")
        # Compared also for unknown users, so that time does not tell who is known.
        if not hmac.compare_digest(password.encode(), expected.encode()) or not expected:
            raise InvalidToken("basic authentication failed", rule="basic")
        return user

    def _wanted(self) -> str:
        wanted = [
            "user and password" if self.passwords else "",
            "a bearer token" if self.token or self.verifier else "",
            "a client certificate" if self.certificates else "",
        ]
        return " or ".join(filter(None, wanted))


def certificate_subject(pem: bytes) -> str:
    """The SPIFFE ID of a certificate, else its first host name, else its common name. Raises InvalidToken."""
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        hosts = names.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        uris, hosts = [], []
    for uri in uris:
        if uri.startswith("spiffe://"):
            return uri
    if hosts:
        return hosts[0]
    common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    if not common:
        raise InvalidToken("the certificate names nobody", rule="certificate")
    return str(common[0].value)
