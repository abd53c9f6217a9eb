"""The identity that a machine has in its cloud, exchanged for tokens of an auth server.

    python examples/identity/cloud.py
    python examples/identity/cloud.py --workspace-group-id ID     on a machine of AWS, Google Cloud or Azure

Without flags the program plays the cloud and the auth server itself. Such a token cannot carry an MLS key, so
end-to-end encryption needs another pair.
"""

from __future__ import annotations

import argparse

from conversation import converse, run
from stand_ins import Cloud

from gateway import IdentityProvider, IdentityVerifier
from identity.cloud import GCPClient, JWTType

AUTH_SERVER = "https://authsvc.singlestore.com"


async def main() -> None:
    made = argparse.ArgumentParser(description="Talk with the identity that this machine has in its cloud.")
    made.add_argument("--workspace-group-id", metavar="ID")
    made.add_argument("--issuer", default=f"{AUTH_SERVER}/auth/oidc/op/Customer", metavar="URL")
    arguments = made.parse_args()
    if arguments.workspace_group_id:
        provider = IdentityProvider.Cloud(JWTType.DATABASE_ACCESS, arguments.workspace_group_id)
        await talk(provider, arguments.issuer)
        return
    async with Cloud() as cloud:
        machine = GCPClient(metadata_endpoint=cloud.url)
        await machine.detect()
        provider = IdentityProvider.Cloud(
            JWTType.DATABASE_ACCESS,
            "a-workspace-group",
            f"{cloud.url}/auth/iam/database",
            allow_http=True,
            provider=machine,
        )
        await talk(provider, cloud.issuer)


async def talk(provider: IdentityProvider, issuer: str) -> None:
    """Both applications are this machine; the last of them closes the provider that they share."""
    verifier = IdentityVerifier.Jwt(autoresolve=True, issuer=issuer)
    await converse((provider, verifier), (provider, verifier))


if __name__ == "__main__":
    run(main)
