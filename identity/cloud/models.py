"""The values and roles of cloud identity, under the names of the published client (`identity.md` 8.1)."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

FORMAT_AWS_ARN = "aws-arn"
FORMAT_AWS_IAM_ROLE_ARN = "aws-iam-role-arn"
FORMAT_AWS_ROLE_ID = "aws-role-id"
FORMAT_GCP_SA_EMAIL = "gcp-sa-email"
FORMAT_GCP_SA_UNIQUE_ID = "gcp-sa-unique-id"
FORMAT_AZURE_OBJECT_ID = "azure-object-id"
FORMAT_AZURE_RESOURCE_ID = "azure-resource-id"


class CloudProviderType(enum.Enum):
    """The clouds whose identities the auth server knows."""

    AWS = "aws"
    GCP = "gcp"
    AZURE = "azure"


class JWTType(enum.Enum):
    """What the issued token is for."""

    DATABASE_ACCESS = "database"
    API_GATEWAY_ACCESS = "api"


@dataclass(frozen=True, slots=True)
class CloudIdentity:
    """Who a cloud says this machine is. Informative: the auth server decides by itself what it was shown."""

    provider: CloudProviderType
    identifier: str
    account_id: str = ""
    region: str = ""
    resource_type: str = ""
    additional_claims: dict[str, str] = field(default_factory=dict)
    identity_format: str = ""
    candidates: list[tuple[str, str]] = field(default_factory=list)
    """(format, value) for each form of this identity that the auth server may choose as `sub`."""


class Logger(Protocol):
    """Takes one line of what detection and exchange do."""

    def log(self, message: str) -> None: ...


class CredentialHeaders(dict[str, str]):
    """Headers that are credentials: an ordinary dict whose repr shows the names only."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<CredentialHeaders {', '.join(self)}>"

    __str__ = __repr__


class CloudProviderClient(ABC):
    """One cloud: recognises it, and turns its metadata into what the auth server wants to see."""

    @abstractmethod
    async def fast_detect(self) -> None:
        """Recognise the cloud by environment and files alone. Raises ProviderNotDetected."""

    @abstractmethod
    async def detect(self) -> None:
        """Recognise the cloud, asking its metadata service. Raises ProviderNotDetected."""

    @abstractmethod
    def get_type(self) -> CloudProviderType:
        """Which cloud this is."""

    @abstractmethod
    def assume_role(self, role_identifier: str) -> CloudProviderClient:
        """A client like this one that acts as another identity. Raises AssumeRoleNotSupported."""

    @abstractmethod
    async def get_identity_headers(
        self, additional_params: Mapping[str, str] | None = None
    ) -> tuple[dict[str, str], CloudIdentity]:
        """The headers that prove this identity to the auth server, and the identity.

        Raises ProviderNotDetected and ProviderIdentityUnavailable.
        """
