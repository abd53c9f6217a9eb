"""What can go wrong on the way from a cloud's metadata to a token (`identity.md` 8.1).

S2IAMError (AuthError)
├── CloudProviderNotFound            no cloud was recognised; one line per provider
├── ProviderNotDetected              a client was used before detect(), or its cloud is not there
├── ProviderIdentityUnavailable      the cloud is there but gives this machine no identity
│   └── UnusableCredentials          (ConfigError) a setting names broken or unsupported credentials
├── AssumeRoleNotSupported           this identity cannot become another one
├── CloudRequestFailed               a service did not answer as it should; has `service`, `status`
└── JwtRequestFailed                 the auth server refused; has `status`

The published documentation and the published program name four of them differently: both names are offered.
No error's text holds a credential: of a service's answer only a short error code is quoted, of the auth
server's at most 300 characters, from which everything that was sent as a secret has been removed.
"""

from __future__ import annotations

from identity.errors import AuthError, ConfigError


class S2IAMError(AuthError):
    """Root of all errors of cloud identity."""


class CloudProviderNotFound(S2IAMError):
    """No cloud provider was recognised. `reasons` says per provider what was missing."""

    def __init__(self, message: str, *, reasons: dict[str, str] | None = None) -> None:
        self.reasons = reasons or {}
        super().__init__("\n".join([message, *(f"  {name}: {why}" for name, why in self.reasons.items())]))


class ProviderNotDetected(S2IAMError):
    """This machine does not look like the provider's cloud, or `detect()` was not called."""


class ProviderIdentityUnavailable(S2IAMError):
    """The cloud was recognised, but no usable identity could be obtained from it."""


class UnusableCredentials(
    ProviderIdentityUnavailable, ProviderNotDetected, CloudProviderNotFound, ConfigError
):
    """Credentials are named that are broken or of a kind that is not supported; `field` names the setting.

    Whoever names credentials means them: this machine's own never take their place.
    """

    def __init__(self, message: str, *, field: str | None, reasons: dict[str, str] | None = None) -> None:
        CloudProviderNotFound.__init__(self, message, reasons=reasons)
        self.field = field


class AssumeRoleNotSupported(S2IAMError):
    """The identity in use cannot be exchanged for another one."""


class CloudRequestFailed(S2IAMError):
    """A metadata, token or auth service did not give a usable answer.

    `service` names it; `status` is the HTTP status, or None when no complete answer came; `code` is the short
    error code of the service's own vocabulary, if it gave one.
    """

    def __init__(
        self,
        service: str,
        problem: str,
        *,
        status: int | None = None,
        code: str = "",
        transient: bool = False,
    ) -> None:
        super().__init__(f"{service}: {problem}")
        self.service = service
        self.problem = problem
        self.status = status
        self.code = code
        self.transient = transient
        """Whether the same request may succeed in a moment (no connection, throttled, server error)."""


class JwtRequestFailed(S2IAMError):
    """The auth server issued no token. `status` is its HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"the auth server answered {status}: {text or 'no text'}")
        self.status = status


NoCloudProviderDetectedError = CloudProviderNotFound
ProviderNotDetectedError = ProviderNotDetected
ProviderDetectedNoIdentityError = ProviderIdentityUnavailable
AssumeRoleNotSupportedError = AssumeRoleNotSupported
