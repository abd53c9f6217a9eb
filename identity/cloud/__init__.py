"""Cloud identity: prove who a machine is by the cloud it runs in, and get a token for it (`identity.md` 8).

    jwt = await get_jwt_database("workspace-group-id")

recognises AWS, GCP or Azure, takes the machine's identity from there and exchanges it at the auth server. The
names are those of the published client; `CloudProvider` hands such tokens to SLIM applications.
"""

from __future__ import annotations

from identity.cloud.aws import AWSClient
from identity.cloud.azure import AzureClient
from identity.cloud.detection import DETECT_PROVIDER_DEFAULT_TIMEOUT, detect_provider
from identity.cloud.errors import (
    AssumeRoleNotSupported,
    AssumeRoleNotSupportedError,
    CloudProviderNotFound,
    CloudRequestFailed,
    JwtRequestFailed,
    NoCloudProviderDetectedError,
    ProviderDetectedNoIdentityError,
    ProviderIdentityUnavailable,
    ProviderNotDetected,
    ProviderNotDetectedError,
    S2IAMError,
    UnusableCredentials,
)
from identity.cloud.exchange import (
    IDENTITY_FORMAT_PREFERENCE_ENV,
    IDENTITY_FORMAT_PREFERENCE_HEADER,
    get_jwt,
    get_jwt_api,
    get_jwt_database,
)
from identity.cloud.gcp import GCPClient
from identity.cloud.models import (
    FORMAT_AWS_ARN,
    FORMAT_AWS_IAM_ROLE_ARN,
    FORMAT_AWS_ROLE_ID,
    FORMAT_AZURE_OBJECT_ID,
    FORMAT_AZURE_RESOURCE_ID,
    FORMAT_GCP_SA_EMAIL,
    FORMAT_GCP_SA_UNIQUE_ID,
    CloudIdentity,
    CloudProviderClient,
    CloudProviderType,
    JWTType,
    Logger,
)
from identity.cloud.slim import CloudProvider

__all__ = [
    # tokens
    "get_jwt",
    "get_jwt_database",
    "get_jwt_api",
    "JWTType",
    "CloudProvider",
    # clouds
    "detect_provider",
    "DETECT_PROVIDER_DEFAULT_TIMEOUT",
    "CloudProviderClient",
    "CloudProviderType",
    "CloudIdentity",
    "AWSClient",
    "GCPClient",
    "AzureClient",
    "Logger",
    # forms of the subject
    "IDENTITY_FORMAT_PREFERENCE_ENV",
    "IDENTITY_FORMAT_PREFERENCE_HEADER",
    "FORMAT_AWS_ARN",
    "FORMAT_AWS_IAM_ROLE_ARN",
    "FORMAT_AWS_ROLE_ID",
    "FORMAT_GCP_SA_EMAIL",
    "FORMAT_GCP_SA_UNIQUE_ID",
    "FORMAT_AZURE_OBJECT_ID",
    "FORMAT_AZURE_RESOURCE_ID",
    # errors, under both sets of published names
    "S2IAMError",
    "CloudProviderNotFound",
    "NoCloudProviderDetectedError",
    "ProviderNotDetected",
    "ProviderNotDetectedError",
    "ProviderIdentityUnavailable",
    "ProviderDetectedNoIdentityError",
    "AssumeRoleNotSupported",
    "AssumeRoleNotSupportedError",
    "CloudRequestFailed",
    "JwtRequestFailed",
    "UnusableCredentials",
]
