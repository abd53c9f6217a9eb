"""The two halves of an identity, as applications configure them (`api.md` 2): one line for each variant.

    IdentityProvider.SharedSecret | StaticJwt | Jwt | Spire | Cloud       makes tokens
    IdentityVerifier.SharedSecret | Jwt | Spire                           checks them

A configuration that cannot work fails at construction with a ConfigError that names the field. Arguments are
read-only attributes, and no repr shows a secret. Objects of other classes serve as well: whatever has the
methods of the role.
"""

from __future__ import annotations

from abc import ABCMeta
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from identity.protocols import RotatingProvider, Verifier
from identity.registry import Form, IdentityRole, Option, Registered

if TYPE_CHECKING:
    from identity.cloud.slim import CloudProvider
    from identity.jwt import ConfiguredJwtVerifier, JwtProvider
    from identity.shared_secret import SharedSecretProvider, SharedSecretVerifier
    from identity.spiffe.slim import SpireProvider, SpireVerifier
    from identity.static_jwt import StaticJwtProvider

    _ProtocolMeta = ABCMeta
else:
    _ProtocolMeta = type(Protocol)

_AGENT = Option(
    "socket_path", ("socket_path",), ("--spire-socket-path",), "PATH", "the Workload API of a SPIFFE agent"
)
_AUDIENCES = Option(
    "jwt_audiences",
    ("jwt_audiences",),
    ("--spire-jwt-audience",),
    "A",
    "repeatable (default: slim)",
    Form.REPEATED,
)
_ISSUER = ("claims.issuer", "claims.iss")
_AUDIENCE = ("claims.audience", "claims.aud", "claims.audiences")
_SUBJECT = ("claims.subject", "claims.sub")
_SECRET = Option(
    "shared_secret",
    ("shared_secret", "data"),
    ("--shared-secret",),
    help="a secret that all sides know",
    form=Form.SECRET,
    required=True,
)
_MLS_KEY = Option("mls_key")
"""A matter of programs: no flag and no key."""
_MEMBER = Option("identity", ("identity", "id"), required=True)


class _Providers(IdentityRole, _ProtocolMeta):
    """The lines of the providers, in the order in which a command line is searched for them."""

    StaticJwt: Registered[StaticJwtProvider] = Registered(
        "identity.static_jwt:StaticJwtProvider",
        "static_jwt",
        Option(
            "path",
            ("file", "token_file"),
            ("--jwt",),
            "FILE",
            "a file with our token, which somebody else renews",
            required=True,
        ),
        _MLS_KEY,
        verified_by="jwt",
        carries_claims=False,
        ignored=("duration",),  # the token says itself how long it lives
    )
    Cloud: Registered[CloudProvider] = Registered(
        "identity.cloud.slim:CloudProvider",
        "cloud",
        Option(
            "jwt_type",
            ("jwt_type",),
            ("--cloud",),
            "KIND",
            'exchange the identity that this machine has in its cloud for a token: "database" or "api"',
        ),
        Option(
            "workspace_group_id",
            ("workspace_group_id",),
            ("--cloud-workspace-group-id",),
            "ID",
            "which the database token is for",
        ),
        Option(
            "server_url", ("server_url",), ("--cloud-server-url",), "URL", "the auth server that issues it"
        ),
        Option(
            "assume_role_identifier",
            ("assume_role_identifier",),
            ("--cloud-assume-role",),
            "ROLE",
            "the role, service account or client to act as",
        ),
        verified_by="jwt",
        carries_claims=False,
    )
    Spire: Registered[SpireProvider] = Registered(
        "identity.spiffe.slim:SpireProvider",
        "spire",
        _AGENT,
        Option(
            "target_spiffe_id",
            ("target_spiffe_id",),
            ("--spire-target-spiffe-id",),
            "ID",
            "which of our identities to use",
        ),
        _AUDIENCES,
        ignored=("trust_domains",),
    )
    Jwt: Registered[JwtProvider] = Registered(
        "identity.jwt:JwtProvider",
        "jwt",
        Option("private_key", ("key",), form=Form.KEY, required=True),
        Option("duration", ("duration",), form=Form.SECONDS),
        Option("issuer", _ISSUER),
        Option("audience", _AUDIENCE, form=Form.TEXTS),
        Option("subject", _SUBJECT),
    )
    SharedSecret: Registered[SharedSecretProvider] = Registered(
        "identity.shared_secret:SharedSecretProvider", "shared_secret", _MEMBER, _SECRET
    )


class _Verifiers(IdentityRole, _ProtocolMeta):
    """The lines of the verifiers."""

    Jwt: Registered[ConfiguredJwtVerifier] = Registered(
        "identity.jwt:ConfiguredJwtVerifier",
        "jwt",
        Option(
            "public_key",
            ("key",),
            ("--spire-trust-bundle", "--jwks"),
            "FILE",
            "keys to verify tokens by: a JWKS, or what spiffe-helper writes",
            Form.KEY,
            required=True,
        ),
        Option(
            "issuer",
            _ISSUER,
            ("--issuer",),
            "URL",
            "tokens must name this issuer; without a file of keys, it is asked for them",
        ),
        Option(
            "audience",
            _AUDIENCE,
            ("--audience",),
            "A,B",
            "tokens must be for one of these (comma list)",
            Form.TEXTS,
            chooses=False,
        ),
        Option("subject", _SUBJECT),
        _MLS_KEY,
    )
    Spire: Registered[SpireVerifier] = Registered(
        "identity.spiffe.slim:SpireVerifier",
        "spire",
        _AGENT,
        Option("target_spiffe_id", ("target_spiffe_id",)),
        _AUDIENCES,
        ignored=("trust_domains",),
    )
    SharedSecret: Registered[SharedSecretVerifier] = Registered(
        "identity.shared_secret:SharedSecretVerifier", "shared_secret", _MEMBER, _SECRET
    )


@runtime_checkable
class IdentityProvider(RotatingProvider, Protocol, metaclass=_Providers):
    """Makes the tokens of one application: choose a variant, such as `IdentityProvider.SharedSecret(...)`."""


@runtime_checkable
class IdentityVerifier(Verifier, Protocol, metaclass=_Verifiers):
    """Checks the tokens of others: choose a variant, such as `IdentityVerifier.SharedSecret(...)`."""
