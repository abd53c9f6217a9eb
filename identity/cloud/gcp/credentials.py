"""The file of Application Default Credentials: which kinds there are, and which of them can be used here."""

from __future__ import annotations

from collections.abc import Callable

from identity.cloud.environment import read_file
from identity.cloud.gcp.external_account import ExternalAccount, external_account
from identity.cloud.gcp.service_account import ServiceAccount, service_account
from identity.cloud.service import parse_object
from identity.errors import ConfigError

VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"


def load_credentials(path: str, clock: Callable[[], float]) -> ServiceAccount | ExternalAccount:
    """The credentials of a file. Raises ConfigError for a broken one, or of a kind that is not supported.

    No text quotes more of it than its type.
    """
    document = parse_object(read_file(path, VARIABLE))
    if document is None:
        raise ConfigError(f"{VARIABLE} names {path}, which is not a JSON object", field=VARIABLE)
    match document.get("type"):
        case "service_account":
            return service_account(document, path, clock)
        case "external_account":
            return external_account(document, path)
        case other:
            kind = repr(other[:40]) if isinstance(other, str) else "no type"
            raise ConfigError(
                f"{VARIABLE} names {path}, credentials of {kind}, which cannot be used: "
                "give those of a service_account or an external_account",
                field=VARIABLE,
            )
