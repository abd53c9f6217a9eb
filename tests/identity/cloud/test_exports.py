"""The public names of cloud identity: adding one is a decision."""

from __future__ import annotations

import pytest

import identity.cloud as cloud
from identity.errors import AuthError, SlimError

DOCUMENTED = {
    "NoCloudProviderDetectedError": "CloudProviderNotFound",
    "ProviderNotDetectedError": "ProviderNotDetected",
    "ProviderDetectedNoIdentityError": "ProviderIdentityUnavailable",
    "AssumeRoleNotSupportedError": "AssumeRoleNotSupported",
}


@pytest.mark.parametrize(("documented", "programmed"), DOCUMENTED.items())
def test_both_published_sets_of_exceptions(documented: str, programmed: str) -> None:
    assert getattr(cloud, documented) is getattr(cloud, programmed)
    assert issubclass(getattr(cloud, programmed), cloud.S2IAMError)
    assert issubclass(cloud.S2IAMError, AuthError)
    assert issubclass(AuthError, SlimError)


def test_public_names() -> None:
    assert sorted(cloud.__all__) == [
        "AWSClient",
        "AssumeRoleNotSupported",
        "AssumeRoleNotSupportedError",
        "AzureClient",
        "CloudIdentity",
        "CloudProvider",
        "CloudProviderClient",
        "CloudProviderNotFound",
        "CloudProviderType",
        "CloudRequestFailed",
        "DETECT_PROVIDER_DEFAULT_TIMEOUT",
        "FORMAT_AWS_ARN",
        "FORMAT_AWS_IAM_ROLE_ARN",
        "FORMAT_AWS_ROLE_ID",
        "FORMAT_AZURE_OBJECT_ID",
        "FORMAT_AZURE_RESOURCE_ID",
        "FORMAT_GCP_SA_EMAIL",
        "FORMAT_GCP_SA_UNIQUE_ID",
        "GCPClient",
        "IDENTITY_FORMAT_PREFERENCE_ENV",
        "IDENTITY_FORMAT_PREFERENCE_HEADER",
        "JWTType",
        "JwtRequestFailed",
        "Logger",
        "NoCloudProviderDetectedError",
        "ProviderDetectedNoIdentityError",
        "ProviderIdentityUnavailable",
        "ProviderNotDetected",
        "ProviderNotDetectedError",
        "S2IAMError",
        "detect_provider",
        "get_jwt",
        "get_jwt_api",
        "get_jwt_database",
    ]
