"""The public names of cloud identity."""

from __future__ import annotations

import pytest

import identity.cloud as cloud
from identity.errors import AuthError, SlimError
from tests.exports import handed_on

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
    assert sorted(cloud.__all__) == sorted(handed_on(cloud))
