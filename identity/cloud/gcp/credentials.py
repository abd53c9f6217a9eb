"""The file of Application Default Credentials: which kinds there are, and which of them can be used here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from identity.cloud.environment import is_file, read_file
from identity.cloud.gcp.external_account import ExternalAccount, external_account
from identity.cloud.gcp.service_account import ServiceAccount, service_account
from identity.cloud.service import parse_object
from identity.errors import ConfigError
from identity.record import record

VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
FOLDER_VARIABLE = "CLOUDSDK_CONFIG"


GCLOUD = "gcloud auth application-default"
"""What names the file where it keeps credentials."""


@record
class CredentialsFile(NamedTuple):
    """A file, and the setting that names it."""

    named_by: str
    path: str


def credentials_file(environ: Mapping[str, str]) -> CredentialsFile | None:
    """The file that the variable names, else the one where `gcloud` keeps credentials, if it is there."""
    if named := environ.get(VARIABLE):
        return CredentialsFile(VARIABLE, named)
    home = environ.get("HOME")
    folder = environ.get(FOLDER_VARIABLE) or (f"{home}/.config/gcloud" if home else "")
    path = f"{folder}/application_default_credentials.json"
    return CredentialsFile(GCLOUD, path) if folder and is_file(path) else None


def load_credentials(file: CredentialsFile, clock: Callable[[], float]) -> ServiceAccount | ExternalAccount:
    """The credentials of a file. Raises ConfigError for a broken one, or of a kind that is not supported.

    No text quotes more of it than its type.
    """
    named_by, path = file
    document = parse_object(read_file(path, named_by))
    if document is None:
        raise ConfigError(f"{named_by} names {path}, which is not a JSON object", field=named_by)
    match document.get("type"):
        case "service_account":
            return service_account(document, path, clock)
        case "external_account":
            return external_account(document, path)
        case other:
            kind = repr(other[:40]) if isinstance(other, str) else "no type"
            raise ConfigError(
                f"{named_by} names {path}, credentials of {kind}, which cannot be used: "
                "give those of a service_account or an external_account",
                field=named_by,
            )
