"""Everything that can go wrong with SPIFFE identities (`identity.md` 7).

PySpiffeError (AuthError)                    root; the names are those of the published `spiffe` module
├── ArgumentError (ConfigError)              the caller gave something unusable; names the field
├── SpiffeIdError
├── TrustDomainError
├── X509CertificateError
│   ├── ParseCertificateError, LoadCertificateError, StoreCertificateError
│   └── ParsePrivateKeyError, LoadPrivateKeyError, StorePrivateKeyError
├── X509SvidError
│   ├── InvalidLeafCertificateError
│   ├── InvalidIntermediateCertificateError
│   └── UntrustedX509SvidError               the path does not lead to an authority of its trust domain
├── X509BundleError
│   └── ParseX509BundleError, LoadX509BundleError, SaveX509BundleError
├── JwtSvidError (InvalidToken)              `rule` names the check that failed
│   ├── InvalidTokenError                    not a token, or its signature does not fit
│   ├── InvalidClaimError, MissingClaimError
│   ├── TokenExpiredError
│   └── InvalidAlgorithmError, InvalidTypeError
├── JwtBundleError
│   ├── ParseJWTBundleError
│   └── AuthorityNotFoundError (InvalidToken)
├── SpiffeBundleError                        a bundle document or bundle map is malformed
└── WorkloadApiError                         the agent refused, failed, or answered nonsense
    ├── FetchX509SvidError, FetchX509BundleError, FetchJwtSvidError, FetchJwtBundleError
    ├── ValidateJwtSvidError
    └── X509SourceError, JwtSourceError

No text holds a token, a key, or the contents of a document.
"""

from __future__ import annotations

from identity.errors import AuthError, ConfigError, InvalidToken


class PySpiffeError(AuthError):
    """Root of all errors about SPIFFE identities."""


class ArgumentError(PySpiffeError, ConfigError):
    """An argument that cannot work. `field` names it."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        ConfigError.__init__(self, message, field=field)


class SpiffeIdError(PySpiffeError):
    """A text is not a SPIFFE ID. Holds the rule it breaks, not the text: it may come from a stranger."""


class TrustDomainError(PySpiffeError):
    """A text is not the name of a trust domain."""


class X509CertificateError(PySpiffeError):
    """A certificate or private key could not be read or written."""


class ParseCertificateError(X509CertificateError):
    """Bytes are not the certificates they should be."""


class LoadCertificateError(X509CertificateError):
    """A certificate file cannot be read."""


class StoreCertificateError(X509CertificateError):
    """A certificate file cannot be written."""


class ParsePrivateKeyError(X509CertificateError):
    """Bytes are not the private key they should be."""


class LoadPrivateKeyError(X509CertificateError):
    """A private key file cannot be read."""


class StorePrivateKeyError(X509CertificateError):
    """A private key file cannot be written."""


class X509SvidError(PySpiffeError):
    """Certificates and key do not make an X.509 SVID."""


class InvalidLeafCertificateError(X509SvidError):
    """The leaf breaks a rule for X.509 SVIDs (`identity.md` 6.2)."""


class InvalidIntermediateCertificateError(X509SvidError):
    """A certificate after the leaf may not sign others."""


class UntrustedX509SvidError(X509SvidError):
    """No path leads from the leaf to an authority of the leaf's own trust domain."""


class X509BundleError(PySpiffeError):
    """An X.509 bundle could not be made, read or written."""


class ParseX509BundleError(X509BundleError):
    """Bytes are not a list of certificates."""


class LoadX509BundleError(X509BundleError):
    """A bundle file cannot be read."""


class SaveX509BundleError(X509BundleError):
    """A bundle file cannot be written."""


class JwtSvidError(PySpiffeError, InvalidToken):
    """A JWT-SVID was refused; `rule` is a short stable word for the check that failed."""

    default_rule = "invalid"

    def __init__(self, message: str, *, rule: str | None = None) -> None:
        InvalidToken.__init__(self, message, rule=rule or self.default_rule)


class InvalidTokenError(JwtSvidError):
    """The text is not a token of the right form, or its signature does not fit."""

    default_rule = "format"


class InvalidClaimError(JwtSvidError):
    """A claim has a value that is not allowed. `claim`, which is also the rule, names it."""

    def __init__(self, claim: str, reason: str) -> None:
        super().__init__(f"claim {claim!r} of the JWT-SVID {reason}", rule=claim)
        self.claim = claim


class MissingClaimError(JwtSvidError):
    """A mandatory claim is absent or empty. `claim`, which is also the rule, names it."""

    def __init__(self, claim: str) -> None:
        super().__init__(f"the JWT-SVID has no claim {claim!r}, which is mandatory", rule=claim)
        self.claim = claim


class TokenExpiredError(JwtSvidError):
    """The token's life is over. `expiry` says since when (Unix seconds)."""

    default_rule = "expired"

    def __init__(self, expiry: int, now: float) -> None:
        super().__init__(f"the JWT-SVID expired {now - expiry:.0f} s ago")
        self.expiry = expiry


class InvalidAlgorithmError(JwtSvidError):
    """The header names an algorithm that JWT-SVIDs may not use, or that the key does not fit."""

    default_rule = "algorithm"


class InvalidTypeError(JwtSvidError):
    """The header's `typ` is neither absent nor `JWT` nor `JOSE`."""

    default_rule = "header"


class JwtBundleError(PySpiffeError):
    """A JWT bundle could not be made or used."""


class ParseJWTBundleError(JwtBundleError):
    """A document is not a JWK set."""


class AuthorityNotFoundError(JwtBundleError, InvalidToken):
    """No authority of the trust domain has the token's key id, or the domain has no bundle."""

    def __init__(self, message: str, *, rule: str = "unknown_key") -> None:
        InvalidToken.__init__(self, message, rule=rule)


class SpiffeBundleError(PySpiffeError):
    """A SPIFFE bundle document or a map of bundles is malformed."""


class WorkloadApiError(PySpiffeError):
    """A call of the Workload API failed.

    `code` is the name of the gRPC status (`"UNAVAILABLE"`, `"PERMISSION_DENIED"`, ...), or `None` when the
    agent answered but its answer was unusable.
    """

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class FetchX509SvidError(WorkloadApiError):
    """X.509 SVIDs could not be fetched."""


class FetchX509BundleError(WorkloadApiError):
    """X.509 bundles could not be fetched."""


class FetchJwtSvidError(WorkloadApiError):
    """JWT-SVIDs could not be fetched."""


class FetchJwtBundleError(WorkloadApiError):
    """JWT bundles could not be fetched."""


class ValidateJwtSvidError(WorkloadApiError):
    """The agent did not confirm a JWT-SVID."""


class X509SourceError(WorkloadApiError):
    """A source has no X.509 identity to give: closed, revoked, or never received one."""


class JwtSourceError(WorkloadApiError):
    """A source has no JWT bundles or tokens to give: closed, revoked, or never received any."""
