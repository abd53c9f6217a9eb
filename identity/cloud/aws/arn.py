"""Amazon resource names, and what they tell about a caller (`identity.md` 8.4)."""

from __future__ import annotations

from typing import NamedTuple

from identity.cloud.models import (
    FORMAT_AWS_ARN,
    FORMAT_AWS_IAM_ROLE_ARN,
    FORMAT_AWS_ROLE_ID,
    CloudIdentity,
    CloudProviderType,
)
from identity.record import record


@record
class Arn(NamedTuple):
    """`arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`; a resource may hold further colons."""

    partition: str
    service: str
    region: str
    account: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> Arn | None:
        """The parts of an ARN, or None for any other text."""
        parts = text.split(":", 5)
        return cls(*parts[1:]) if len(parts) == 6 and parts[0] == "arn" else None

    @property
    def resource_type(self) -> str:
        """The word before the first slash or colon, such as `assumed-role` or `user`."""
        return self.resource.replace(":", "/").split("/", 1)[0]

    @property
    def assumed_role(self) -> tuple[str, str] | None:
        """(role, session) of an STS session, else None. The session is empty when the name lacks it."""
        kind, _, rest = self.resource.partition("/")
        role, _, session = rest.partition("/")
        return (role, session) if kind == "assumed-role" and role else None


@record
class Caller(NamedTuple):
    """What STS GetCallerIdentity says."""

    arn: str
    account: str
    user_id: str


def identity_of(caller: Caller) -> CloudIdentity:
    """The identity of a caller, with every form that the auth server may choose."""
    arn = Arn.parse(caller.arn)
    candidates = [(FORMAT_AWS_ARN, caller.arn)]
    claims = {"UserId": caller.user_id} if caller.user_id else {}
    if arn and arn.assumed_role:
        role, session = arn.assumed_role
        candidates.append((FORMAT_AWS_IAM_ROLE_ARN, f"arn:{arn.partition}:iam::{arn.account}:role/{role}"))
        if role_id := caller.user_id.partition(":")[0]:
            candidates.append((FORMAT_AWS_ROLE_ID, role_id))
        claims["AssumedRoleArn"] = caller.arn
        if session:
            claims["RoleSessionName"] = session
    return CloudIdentity(
        provider=CloudProviderType.AWS,
        identifier=caller.arn,
        account_id=caller.account,
        region=arn.region if arn else "",
        resource_type=arn.resource_type if arn else "",
        additional_claims=claims,
        identity_format=FORMAT_AWS_ARN,
        candidates=candidates,
    )
